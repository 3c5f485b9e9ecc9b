//! What can still be read of a message that failed, so that it can be answered.

use crate::iana::class;
use crate::object::{FilterSpec, FlowSpec, Hop, SenderTemplate, Session, Style, TimeValues, Tspec};
use crate::packet::{HEADER_LEN, Objects};

/// The first readable object of each class that a PathErr or ResvErr has to carry back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ErrorContext<'a> {
    /// SESSION.
    pub session: Option<Session>,
    /// RSVP_HOP: where the error goes.
    pub hop: Option<Hop>,
    /// TIME_VALUES.
    pub time_values: Option<TimeValues>,
    /// STYLE.
    pub style: Option<Style>,
    /// FLOWSPEC.
    pub flowspec: Option<FlowSpec>,
    /// The FLOWSPEC as it came, header included, also if it cannot be read.
    pub flowspec_bytes: Option<&'a [u8]>,
    /// FILTER_SPEC.
    pub filter: Option<FilterSpec>,
    /// SENDER_TEMPLATE.
    pub template: Option<SenderTemplate>,
    /// SENDER_TSPEC.
    pub tspec: Option<Tspec>,
    /// The SENDER_TSPEC as it came, header included, also if it cannot be read.
    pub tspec_bytes: Option<&'a [u8]>,
}

impl<'a> ErrorContext<'a> {
    /// Walks over the objects behind the common header as far as their framing holds. The header
    /// itself is not looked at: call this only for a [`DecodeError`](crate::DecodeError) whose
    /// reaction is to answer, since that means that header and checksum were right.
    #[must_use]
    pub fn scan(message: &'a [u8]) -> Self {
        let mut found = Self::default();
        let objects = message.get(HEADER_LEN..).unwrap_or_default();
        for raw in Objects::new(objects, HEADER_LEN) {
            match raw.class {
                class::SESSION => keep(&mut found.session, Session::decode(&raw).ok()),
                class::RSVP_HOP => keep(&mut found.hop, Hop::decode(&raw).ok()),
                class::TIME_VALUES => {
                    keep(&mut found.time_values, TimeValues::decode(&raw).ok());
                }
                class::STYLE => keep(&mut found.style, Style::decode(&raw).ok()),
                class::FLOWSPEC => {
                    keep(&mut found.flowspec, FlowSpec::decode(&raw).ok());
                    keep(&mut found.flowspec_bytes, Some(raw.bytes));
                }
                class::FILTER_SPEC => keep(&mut found.filter, FilterSpec::decode(&raw).ok()),
                class::SENDER_TEMPLATE => {
                    keep(&mut found.template, SenderTemplate::decode(&raw).ok());
                }
                class::SENDER_TSPEC => {
                    keep(&mut found.tspec, Tspec::decode(&raw).ok());
                    keep(&mut found.tspec_bytes, Some(raw.bytes));
                }
                _ => {}
            }
        }
        found
    }
}

/// The session of a message in which SESSION stands first, as in one without authentication and
/// numbers. The rest of the message is not looked at.
#[must_use]
pub fn leading_session(message: &[u8]) -> Option<Session> {
    let first = Objects::new(message.get(HEADER_LEN..)?, HEADER_LEN).next()?;
    (first.class == class::SESSION).then(|| Session::decode(&first).ok())?
}

/// How many objects of a class a message holds, by the framing alone.
#[must_use]
pub fn count_objects(message: &[u8], class: u8) -> usize {
    let objects = message.get(HEADER_LEN..).unwrap_or_default();
    Objects::new(objects, HEADER_LEN).filter(|raw| raw.class == class).count()
}

fn keep<T>(slot: &mut Option<T>, value: Option<T>) {
    if slot.is_none() {
        *slot = value;
    }
}
