//! One pass over a message's objects: what may stand in it, once or often, and its value.

use core::net::IpAddr;

use crate::error::{DecodeError, ErrorKind};
use crate::iana::{UnknownClassAction, class, unknown_class_action};
use crate::object::{
    AdspecView, ErrorSpec, Filter, FilterSpec, FlowId, Hop, Integrity, MessageId, MessageIdAck,
    PolicyData, ResvConfirm, ScopeIter, SenderTemplate, Session, Style, TimeValues, Tspec,
};
use crate::packet::{Objects, Packet, RawObject};

use super::missing;

/// What a message type allows (RFC 2205 section 3.1).
pub(super) struct Rules {
    /// Bit n: class n may stand in the message.
    allowed: u64,
    /// Whether a sender descriptor is only a quotation, so that what cannot be read is left out.
    quoted_sender: bool,
}

pub(super) const fn bits(classes: &[u8]) -> u64 {
    let mut bits = 0;
    let mut rest = classes;
    while let [first, tail @ ..] = rest {
        bits |= 1 << *first;
        rest = tail;
    }
    bits
}

/// Classes that may stand in any message.
const ANYWHERE: u64 = bits(&[class::NULL, class::INTEGRITY]);
/// Classes that may stand in any message about a session.
const SESSION: u64 = ANYWHERE | bits(&[class::SESSION, class::MESSAGE_ID, class::MESSAGE_ID_ACK]);
const SENDER: u64 = bits(&[class::SENDER_TEMPLATE, class::SENDER_TSPEC, class::ADSPEC]);
const FLOW: u64 = bits(&[class::STYLE, class::FLOWSPEC, class::FILTER_SPEC]);

/// Classes that this crate knows: where a message does not allow one of them, it is misplaced;
/// other classes are unknown.
const KNOWN: u64 = SESSION
    | SENDER
    | FLOW
    | bits(&[
        class::RSVP_HOP,
        class::TIME_VALUES,
        class::ERROR_SPEC,
        class::SCOPE,
        class::POLICY_DATA,
        class::RESV_CONFIRM,
        class::HELLO,
        class::MESSAGE_ID_LIST,
        class::DIAGNOSTIC,
        class::ROUTE,
        class::DIAG_RESPONSE,
        class::DIAG_SELECT,
    ]);

impl Rules {
    const fn new(classes: &[u8], groups: u64, quoted_sender: bool) -> Self {
        Self { allowed: SESSION | bits(classes) | groups, quoted_sender }
    }

    pub(super) const PATH: Self =
        Self::new(&[class::RSVP_HOP, class::TIME_VALUES, class::POLICY_DATA], SENDER, false);
    pub(super) const RESV: Self = Self::new(
        &[
            class::RSVP_HOP,
            class::TIME_VALUES,
            class::RESV_CONFIRM,
            class::SCOPE,
            class::POLICY_DATA,
        ],
        FLOW,
        false,
    );
    pub(super) const PATH_ERR: Self =
        Self::new(&[class::ERROR_SPEC, class::POLICY_DATA], SENDER, true);
    pub(super) const RESV_ERR: Self = Self::new(
        &[class::RSVP_HOP, class::ERROR_SPEC, class::SCOPE, class::POLICY_DATA],
        FLOW,
        false,
    );
    pub(super) const PATH_TEAR: Self = Self::new(&[class::RSVP_HOP], SENDER, true);
    pub(super) const RESV_TEAR: Self = Self::new(&[class::RSVP_HOP, class::SCOPE], FLOW, false);
    pub(super) const RESV_CONF: Self =
        Self::new(&[class::ERROR_SPEC, class::RESV_CONFIRM], FLOW, false);

    const fn allows(&self, class: u8) -> bool {
        class < 64 && self.allowed & (1 << class) != 0
    }
}

/// The objects found; those that a message requires are asked for by its own code.
#[derive(Default)]
pub(super) struct Scan<'a> {
    session: Option<Session>,
    pub(super) hop: Option<Hop>,
    pub(super) time_values: Option<TimeValues>,
    pub(super) error: Option<ErrorSpec>,
    pub(super) confirm: Option<ResvConfirm>,
    pub(super) scope: Option<ScopeIter<'a>>,
    pub(super) template: Option<SenderTemplate>,
    pub(super) tspec: Option<(Tspec, &'a [u8])>,
    pub(super) adspec: Option<AdspecView<'a>>,
    message_id: Option<MessageId>,
    /// The style, and the objects behind it.
    pub(super) style: Option<(Style, Objects<'a>)>,
}

/// Fills a slot that may be filled once.
#[inline(always)]
pub(super) fn once<T>(
    slot: &mut Option<T>,
    raw: &RawObject<'_>,
    value: T,
) -> Result<(), DecodeError> {
    if slot.is_some() {
        return Err(raw.fault(ErrorKind::DuplicateObject, 2, "class", raw.class.into()));
    }
    *slot = Some(value);
    Ok(())
}

impl<'a> Scan<'a> {
    #[inline(always)]
    pub(super) fn new(packet: &Packet<'a>, rules: &Rules) -> Result<Self, DecodeError> {
        let mut scan = Self::default();
        let mut objects = packet.objects();
        let mut first = true;
        while let Some(raw) = objects.next() {
            if !rules.allows(raw.class) {
                refuse_or_skip(&raw)?;
                continue;
            }
            let flow = matches!(raw.class, class::FLOWSPEC | class::FILTER_SPEC);
            let in_place = match raw.class {
                class::NULL => true,
                class::INTEGRITY => first,
                _ => flow == scan.style.is_some(),
            };
            // A second STYLE is a duplicate rather than misplaced.
            if !in_place && raw.class != class::STYLE {
                return Err(raw.fault(ErrorKind::MisplacedObject, 2, "class", raw.class.into()));
            }
            scan.take(&raw, objects, rules)?;
            first = false;
        }
        if !objects.is_empty() {
            packet.check_framing()?;
        }
        scan.check_families(packet)?;
        Ok(scan)
    }

    #[inline(always)]
    fn take(
        &mut self,
        raw: &RawObject<'a>,
        behind: Objects<'a>,
        rules: &Rules,
    ) -> Result<(), DecodeError> {
        match raw.class {
            class::SESSION => once(&mut self.session, raw, Session::decode(raw)?),
            class::RSVP_HOP => once(&mut self.hop, raw, Hop::decode(raw)?),
            class::TIME_VALUES => once(&mut self.time_values, raw, TimeValues::decode(raw)?),
            class::ERROR_SPEC => once(&mut self.error, raw, ErrorSpec::decode(raw)?),
            class::RESV_CONFIRM => once(&mut self.confirm, raw, ResvConfirm::decode(raw)?),
            class::SCOPE => once(&mut self.scope, raw, ScopeIter::decode(raw)?),
            class::STYLE => once(&mut self.style, raw, (Style::decode(raw)?, behind)),
            class::POLICY_DATA => PolicyData::check(raw),
            class::INTEGRITY => Integrity::decode(raw).map(drop),
            class::MESSAGE_ID => once(&mut self.message_id, raw, MessageId::decode(raw)?),
            class::MESSAGE_ID_ACK => MessageIdAck::decode(raw).map(drop),
            class::SENDER_TEMPLATE => once(&mut self.template, raw, SenderTemplate::decode(raw)?),
            class::SENDER_TSPEC => match Tspec::decode(raw) {
                Ok(tspec) => once(&mut self.tspec, raw, (tspec, raw.bytes)),
                Err(_) if rules.quoted_sender => Ok(()),
                Err(error) => Err(error),
            },
            class::ADSPEC => match AdspecView::decode(raw) {
                Ok(adspec) => once(&mut self.adspec, raw, adspec),
                Err(_) if rules.quoted_sender => Ok(()),
                Err(error) => Err(error),
            },
            // FLOWSPEC and FILTER_SPEC are checked as a list, once the style is known.
            _ => Ok(()),
        }
    }

    #[inline]
    pub(super) fn session(&self) -> Result<Session, DecodeError> {
        self.session.ok_or_else(|| missing(class::SESSION))
    }

    /// Everything in the family of the session, and ports only where it has one.
    fn check_families(&self, packet: &Packet<'a>) -> Result<(), DecodeError> {
        let Some(session) = self.session else { return Ok(()) };
        let v6 = session.destination.is_ipv6();
        let other = |address: Option<IpAddr>| address.is_some_and(|a| a.is_ipv6() != v6);
        let mixed = if other(self.hop.map(|hop| hop.address)) {
            class::RSVP_HOP
        } else if other(self.error.map(|error| error.node)) {
            class::ERROR_SPEC
        } else if other(self.confirm.map(|confirm| confirm.receiver)) {
            class::RESV_CONFIRM
        } else if self.scope.is_some_and(|scope| scope.is_v6() != v6) {
            class::SCOPE
        } else {
            class::NULL
        };
        if mixed != class::NULL {
            return Err(at_object(packet, mixed, ErrorKind::AddressFamily));
        }
        if let Some(SenderTemplate(filter)) = self.template {
            check_filter(&session, &filter)
                .map_err(|kind| at_object(packet, class::SENDER_TEMPLATE, kind))?;
        }
        let Some((_, flows)) = self.style else { return Ok(()) };
        for raw in flows.filter(|raw| raw.class == class::FILTER_SPEC) {
            let FilterSpec(filter) = FilterSpec::decode(&raw)?;
            check_filter(&session, &filter).map_err(|kind| filter_fault(&raw, kind))?;
        }
        Ok(())
    }
}

/// Goes over the objects of a message whose order does not matter: INTEGRITY first if at all, then
/// those of the `allowed` classes.
pub(super) fn walk<'a>(
    packet: &Packet<'a>,
    allowed: u64,
    take: impl FnMut(&RawObject<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    walk_with(packet, allowed, &[], take)
}

/// As [`walk`], with further classes that do not fit into the bits.
pub(super) fn walk_with<'a>(
    packet: &Packet<'a>,
    allowed: u64,
    more: &[u8],
    mut take: impl FnMut(&RawObject<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut objects = packet.objects();
    for (index, raw) in objects.by_ref().enumerate() {
        match raw.class {
            class::NULL => {}
            class::INTEGRITY if index == 0 => drop(Integrity::decode(&raw)?),
            class::INTEGRITY => {
                return Err(raw.fault(ErrorKind::MisplacedObject, 2, "class", raw.class.into()));
            }
            listed if more.contains(&listed) => take(&raw)?,
            listed if listed < 64 && allowed & (1 << listed) != 0 => take(&raw)?,
            _ => refuse_or_skip(&raw)?,
        }
    }
    if objects.is_empty() { Ok(()) } else { packet.check_framing() }
}

/// Checks a MESSAGE_ID or an acknowledgement that goes along.
pub(super) fn check_reduction(raw: &RawObject<'_>) -> Result<(), DecodeError> {
    if raw.class == class::MESSAGE_ID {
        MessageId::decode(raw).map(drop)
    } else {
        MessageIdAck::decode(raw).map(drop)
    }
}

/// An object that the message's rules do not name: misplaced, unknown, or to be passed over.
fn refuse_or_skip(raw: &RawObject<'_>) -> Result<(), DecodeError> {
    if raw.class == class::CHALLENGE || (raw.class < 64 && KNOWN & (1 << raw.class) != 0) {
        return Err(raw.fault(ErrorKind::MisplacedObject, 2, "class", raw.class.into()));
    }
    match unknown_class_action(raw.class) {
        UnknownClassAction::Reject => {
            Err(raw.fault(ErrorKind::UnknownClass, 2, "class", raw.class.into()))
        }
        UnknownClassAction::Ignore | UnknownClassAction::Forward => Ok(()),
    }
}

/// Whether a sender can belong to a session (RFC 2205 section 3.2, RFC 2207 section 3).
fn check_filter(session: &Session, filter: &Filter) -> Result<(), ErrorKind> {
    if filter.source.is_ipv6() != session.destination.is_ipv6()
        || matches!(filter.id, FlowId::Gpi(_)) != session.generalized
    {
        return Err(ErrorKind::AddressFamily);
    }
    match filter.id {
        FlowId::Port(port) if port != 0 && session.destination_port == 0 => Err(ErrorKind::BadPort),
        _ => Ok(()),
    }
}

#[cold]
fn filter_fault(raw: &RawObject<'_>, kind: ErrorKind) -> DecodeError {
    if kind == ErrorKind::BadPort {
        let port = raw.body.last_chunk::<2>().map_or(0, |bytes| u16::from_be_bytes(*bytes));
        return raw.fault(kind, raw.bytes.len() - 2, "SrcPort", port.into());
    }
    raw.fault(kind, 3, "C-Type", raw.ctype.into())
}

/// A fault in the first object of a class.
#[cold]
fn at_object(packet: &Packet<'_>, class: u8, kind: ErrorKind) -> DecodeError {
    match packet.objects_of(class).next() {
        Some(raw) => filter_fault(&raw, kind),
        None => missing(class),
    }
}
