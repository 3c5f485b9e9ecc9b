//! DREQ and DREP (RFC 2745).

use crate::error::{DecodeError, ErrorKind};
use crate::iana::class;
use crate::object::{DiagResponse, DiagSelect, Diagnostic, Hop, Route, Session};
use crate::packet::Packet;

use super::missing;
use super::scan::{bits, check_reduction, once, walk};

/// A diagnostic request or reply; both have the same objects in the same order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Diagnosis<'a> {
    /// The packet.
    pub packet: Packet<'a>,
    /// The session being diagnosed.
    pub session: Session,
    /// NHOP, with the LIH at the upstream node.
    pub hop: Hop,
    /// What is asked for.
    pub diagnostic: Diagnostic,
    /// Which objects to report; none means the default set.
    pub select: Option<DiagSelect<'a>>,
    /// The route, if the reply is to come back hop by hop.
    pub route: Option<Route<'a>>,
}

/// Where an object stands in the sequence of section 3.
const fn rank(class: u8) -> u8 {
    match class {
        class::SESSION => 1,
        class::RSVP_HOP => 2,
        class::DIAGNOSTIC => 3,
        class::DIAG_SELECT => 4,
        class::ROUTE => 5,
        class::DIAG_RESPONSE => 6,
        _ => 0,
    }
}

impl<'a> Diagnosis<'a> {
    pub(super) fn new(packet: Packet<'a>) -> Result<Self, DecodeError> {
        let (mut session, mut hop, mut diagnostic) = (None, None, None);
        let (mut select, mut route) = (None, None);
        let mut last = 0;
        let allowed = bits(&[
            class::SESSION,
            class::RSVP_HOP,
            class::DIAGNOSTIC,
            class::DIAG_SELECT,
            class::ROUTE,
            class::DIAG_RESPONSE,
            class::MESSAGE_ID,
            class::MESSAGE_ID_ACK,
        ]);
        walk(&packet, allowed, |raw| {
            let rank = rank(raw.class);
            if rank != 0 && rank < last {
                return Err(raw.fault(ErrorKind::MisplacedObject, 2, "class", raw.class.into()));
            }
            last = last.max(rank);
            match raw.class {
                class::SESSION => once(&mut session, raw, Session::decode(raw)?),
                class::RSVP_HOP => once(&mut hop, raw, Hop::decode(raw)?),
                class::DIAGNOSTIC => once(&mut diagnostic, raw, Diagnostic::decode(raw)?),
                class::DIAG_SELECT => once(&mut select, raw, DiagSelect::decode(raw)?),
                class::ROUTE => once(&mut route, raw, Route::decode(raw)?),
                class::DIAG_RESPONSE => DiagResponse::decode(raw).map(drop),
                _ => check_reduction(raw),
            }
        })?;
        Ok(Self {
            packet,
            session: session.ok_or_else(|| missing(class::SESSION))?,
            hop: hop.ok_or_else(|| missing(class::RSVP_HOP))?,
            diagnostic: diagnostic.ok_or_else(|| missing(class::DIAGNOSTIC))?,
            select,
            route,
        })
    }

    /// The reports in the order of the nodes that made them.
    pub fn responses(&self) -> impl Iterator<Item = DiagResponse<'a>> + Clone + use<'a> {
        let of_class = self.packet.objects_of(class::DIAG_RESPONSE);
        of_class.filter_map(|raw| DiagResponse::decode(&raw).ok())
    }
}
