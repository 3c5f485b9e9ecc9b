//! What the links carry, read from the packets captured on them.

use std::net::IpAddr;

use rsvp_wire::charging::{ChgErr, Dcpe, Ucpe};
use rsvp_wire::{Message, MessageType};

use crate::config::DEFAULT_P_TYPES;
use crate::lab::capture::{Capture, Captured, Direction};

/// One captured message with its charging elements.
#[derive(Debug, Clone)]
pub struct Spoken {
    /// When, in nanoseconds since 1970.
    pub at_ns: u64,
    /// The node that sent it onto the link.
    pub from: String,
    /// The node at the other end.
    pub to: String,
    /// Source address of the IP header.
    pub source: IpAddr,
    /// Destination address of the IP header.
    pub destination: IpAddr,
    /// What it says.
    pub words: Words,
}

/// What a message says, as far as charging is concerned.
#[derive(Debug, Clone)]
pub enum Words {
    /// PATH, with its DCPE.
    Path(Option<Dcpe>),
    /// RESV, with its UCPE.
    Resv(Option<Ucpe>),
    /// RESVERR: code, value, and its CHG_ERR.
    ResvErr(u8, u16, Option<ChgErr>),
    /// PATHERR: code, value, and its CHG_ERR.
    PathErr(u8, u16, Option<ChgErr>),
    /// Any other type.
    Other(MessageType),
    /// Bytes that are no RSVP message, and why.
    Malformed(String),
}

/// Collects what was said.
#[derive(Debug, Default)]
pub struct Observer {
    spoken: Vec<Spoken>,
}

impl Observer {
    /// Takes what was captured since the last call.
    pub fn listen(&mut self, capture: &Capture) {
        self.spoken.extend(capture.drain().iter().filter_map(spoken));
    }

    /// Everything so far, in the order of its capture.
    pub fn spoken(&self) -> &[Spoken] {
        &self.spoken
    }

    /// The last DCPE that went from one node to the next.
    pub fn last_dcpe(&self, from: &str, to: &str) -> Option<&Dcpe> {
        self.between(from, to).find_map(|spoken| match &spoken.words {
            Words::Path(dcpe) => dcpe.as_ref(),
            _ => None,
        })
    }

    /// The last UCPE that went from one node to the next.
    pub fn last_ucpe(&self, from: &str, to: &str) -> Option<&Ucpe> {
        self.between(from, to).find_map(|spoken| match &spoken.words {
            Words::Resv(ucpe) => ucpe.as_ref(),
            _ => None,
        })
    }

    /// What went from one node to the next, newest first.
    fn between(&self, from: &str, to: &str) -> impl Iterator<Item = &Spoken> {
        self.spoken.iter().rev().filter(move |spoken| spoken.from == from && spoken.to == to)
    }
}

fn spoken(captured: &Captured) -> Option<Spoken> {
    let (first, second) = captured.label.split_once('-')?;
    let (from, to) = match captured.direction {
        Direction::Out => (first, second),
        Direction::In => (second, first),
    };
    let packet = captured.rsvp()?;
    Some(Spoken {
        at_ns: captured.timestamp_ns,
        from: from.to_owned(),
        to: to.to_owned(),
        source: packet.source,
        destination: packet.destination,
        words: words(packet.message),
    })
}

fn words(bytes: &[u8]) -> Words {
    let ptypes = DEFAULT_P_TYPES;
    let message = match Message::parse(bytes) {
        Ok(message) => message,
        Err(error) => return Words::Malformed(error.to_string()),
    };
    let element = |wanted: u16| {
        let objects = message.packet().policy_data();
        objects.flat_map(|object| object.elements()).find(|element| element.ptype == wanted)
    };
    let fault = || element(ptypes.chg_err).and_then(|pe| ChgErr::parse(pe.bytes).ok());
    match &message {
        Message::Path(_) => {
            Words::Path(element(ptypes.dcpe).and_then(|pe| Dcpe::parse(pe.bytes).ok()))
        }
        Message::Resv(_) => {
            Words::Resv(element(ptypes.ucpe).and_then(|pe| Ucpe::parse(pe.bytes).ok()))
        }
        Message::ResvErr(error) => Words::ResvErr(error.error.code, error.error.value, fault()),
        Message::PathErr(error) => Words::PathErr(error.error.code, error.error.value, fault()),
        other => Words::Other(other.packet().message_type()),
    }
}
