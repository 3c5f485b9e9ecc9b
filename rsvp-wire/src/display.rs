//! Packets for people: one line, or one line per object.

use core::fmt;

use crate::error::DecodeError;
use crate::iana::{self, class, service};
use crate::object::{
    AdspecView, ErrorSpec, FilterSpec, FlowSpec, Hop, Integrity, PolicyData, PolicyElement,
    ResvConfirm, ScopeIter, SenderTemplate, Session, Style, TimeValues, Tspec,
};
use crate::packet::{Packet, RawObject};

/// A packet in one line: type, TTL, length, then each object in brackets.
#[derive(Debug, Clone, Copy)]
pub struct Summary<'a>(pub Packet<'a>);

/// A packet in one line for the header and one for each object and policy element.
#[derive(Debug, Clone, Copy)]
pub struct Lines<'a>(pub Packet<'a>);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_header(f, &self.0)?;
        for raw in self.0.objects() {
            write!(f, " [{raw}]")?;
        }
        Ok(())
    }
}

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_header(f, &self.0)?;
        for raw in self.0.objects() {
            write!(f, "\n  {raw}")?;
            let policy = PolicyData::decode(&raw).ok().filter(|_| raw.class == class::POLICY_DATA);
            for element in policy.iter().flat_map(PolicyData::elements) {
                write!(f, "\n    {element}")?;
            }
        }
        Ok(())
    }
}

fn write_header(f: &mut fmt::Formatter<'_>, packet: &Packet<'_>) -> fmt::Result {
    match packet.message_type() {
        iana::MessageType::Unknown(number) => write!(f, "message type {number}")?,
        known => f.write_str(known.name())?,
    }
    write!(f, " ttl {} length {}", packet.send_ttl(), packet.bytes().len())?;
    match packet.checksum_ok() {
        Some(true) => Ok(()),
        Some(false) => f.write_str(" bad checksum"),
        None => f.write_str(" no checksum"),
    }
}

impl fmt::Display for RawObject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match iana::class_name(self.class) {
            Some(name) => f.write_str(name)?,
            None => write!(f, "class {}", self.class)?,
        }
        match write_value(f, self) {
            Ok(result) => result,
            Err(error) => write!(f, " malformed: {} is {}", error.field, error.value),
        }
    }
}

/// Writes the object's fields; an outer error says that they cannot be read.
fn write_value(
    f: &mut fmt::Formatter<'_>,
    raw: &RawObject<'_>,
) -> Result<fmt::Result, DecodeError> {
    Ok(match raw.class {
        class::NULL => Ok(()),
        class::SESSION => write!(f, " {}", Session::decode(raw)?),
        class::RSVP_HOP => write!(f, " {}", Hop::decode(raw)?),
        class::TIME_VALUES => write!(f, " {} ms", TimeValues::decode(raw)?.refresh_ms),
        class::ERROR_SPEC => write!(f, " {}", ErrorSpec::decode(raw)?),
        class::SCOPE => write_list(f, ScopeIter::decode(raw)?),
        class::STYLE => write!(f, " {}", Style::decode(raw)?),
        class::FLOWSPEC => write!(f, " {}", FlowSpec::decode(raw)?),
        class::FILTER_SPEC => write!(f, " {}", FilterSpec::decode(raw)?.0),
        class::SENDER_TEMPLATE => write!(f, " {}", SenderTemplate::decode(raw)?.0),
        class::SENDER_TSPEC => write!(f, " {}", Tspec::decode(raw)?),
        class::ADSPEC => write!(f, " {}", AdspecView::decode(raw)?),
        class::POLICY_DATA => write_policy(f, &PolicyData::decode(raw)?),
        class::RESV_CONFIRM => write!(f, " {}", ResvConfirm::decode(raw)?.receiver),
        class::INTEGRITY => {
            let Integrity { key_id, sequence, digest, .. } = Integrity::decode(raw)?;
            write!(f, " key {key_id:#x} sequence {sequence} digest {} bytes", digest.len())
        }
        _ => write!(f, " C-Type {} length {}", raw.ctype, raw.bytes.len()),
    })
}

fn write_list<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    items: impl Iterator<Item = T>,
) -> fmt::Result {
    items.into_iter().try_for_each(|item| write!(f, " {item}"))
}

fn write_policy(f: &mut fmt::Formatter<'_>, policy: &PolicyData<'_>) -> fmt::Result {
    if let Some(hop) = policy.originating_hop() {
        write!(f, " from {hop}")?;
    }
    if let Some(hop) = policy.destination_hop() {
        write!(f, " to {hop}")?;
    }
    for FilterSpec(filter) in policy.filter_specs() {
        write!(f, " for {filter}")?;
    }
    for element in policy.elements() {
        match iana::ptype_name(element.ptype) {
            Some(name) => write!(f, " {name}")?,
            None => write!(f, " P-Type {:#06x}", element.ptype)?,
        }
    }
    Ok(())
}

impl fmt::Display for PolicyElement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match iana::ptype_name(self.ptype) {
            Some(name) => f.write_str(name)?,
            None => write!(f, "P-Type {:#06x}", self.ptype)?,
        }
        #[cfg(feature = "alloc")]
        if let Some(result) = write_charging(f, self) {
            return result;
        }
        write!(f, " length {}", self.bytes.len())
    }
}

/// Writes a charging element under its default P-Type; none if it is another or cannot be read.
#[cfg(feature = "alloc")]
fn write_charging(f: &mut fmt::Formatter<'_>, element: &PolicyElement<'_>) -> Option<fmt::Result> {
    use crate::charging::{ChgErr, Dcpe, Ucpe};
    match element.ptype {
        iana::ptype::DCPE => Dcpe::parse(element.bytes).ok().map(|dcpe| write!(f, " {dcpe}")),
        iana::ptype::UCPE => Ucpe::parse(element.bytes).ok().map(|ucpe| write!(f, " {ucpe}")),
        iana::ptype::CHG_ERR => ChgErr::parse(element.bytes).ok().map(|e| write!(f, " {e}")),
        _ => None,
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = core::net::SocketAddr::new(self.destination, self.destination_port);
        write!(f, "{address} protocol {}", self.protocol)?;
        if self.generalized {
            f.write_str(" GPI")?;
        }
        if self.flags != 0 { write!(f, " flags {:#04x}", self.flags) } else { Ok(()) }
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lih {}", self.address, self.lih)
    }
}

impl fmt::Display for Tspec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rate, bucket, peak, min_policed, max_packet } = self;
        write!(f, "r {rate} B/s b {bucket} B p {peak} B/s m {min_policed} M {max_packet}")
    }
}

impl fmt::Display for FlowSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ControlledLoad(tspec) => write!(f, "controlled-load {tspec}"),
            Self::Guaranteed { tspec, rate, slack } => {
                write!(f, "guaranteed {tspec} R {rate} B/s S {slack} us")
            }
        }
    }
}

impl fmt::Display for AdspecView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "hops {} bandwidth {} B/s latency {} us MTU {}",
            self.hop_count(),
            self.path_bandwidth(),
            self.min_latency(),
            self.mtu()
        )?;
        for fragment in self.services() {
            let broken = if fragment.break_bit { " broken" } else { "" };
            match fragment.number {
                service::GENERAL if fragment.break_bit => f.write_str(" break")?,
                service::GENERAL => {}
                service::GUARANTEED => write!(f, " guaranteed{broken}")?,
                service::CONTROLLED_LOAD => write!(f, " controlled-load{broken}")?,
                other => write!(f, " service {other}{broken}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for ErrorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, flags, code, value } = self;
        write!(f, "{} (code {code}, value {value}) at {node}", iana::error_name(*code))?;
        if flags.0 != 0 { write!(f, " flags {:#04x}", flags.0) } else { Ok(()) }
    }
}
