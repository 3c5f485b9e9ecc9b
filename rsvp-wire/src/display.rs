//! Packets for people: one line, or one line per object.

use core::fmt;

use crate::error::DecodeError;
use crate::iana::{self, class, service};
use crate::message::BundleParts;
use crate::object::{
    AdspecView, Challenge, DiagResponse, DiagSelect, Diagnostic, ErrorSpec, FilterSpec, FlowSpec,
    Hello, Hop, Integrity, MessageId, MessageIdAck, MessageIdList, NodeChar, PolicyData,
    PolicyElement, ResvConfirm, Route, ScopeIter, SenderTemplate, Session, SessionAssoc, Style,
    TimeValues, Tspec,
};
use crate::packet::{Packet, RawObject};
use crate::policy::Element;

/// A packet in one line: type, TTL, length, then each object in brackets.
#[derive(Debug, Clone, Copy)]
pub struct Summary<'a>(pub Packet<'a>);

/// A packet in one line for the header and one for each object and policy element.
#[derive(Debug, Clone, Copy)]
pub struct Lines<'a>(pub Packet<'a>);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_summary(f, &self.0)?;
        for part in BundleParts::of(&self.0) {
            f.write_str(" {")?;
            match Packet::parse_header(part) {
                Ok(part) => write_summary(f, &part)?,
                Err(error) => write!(f, "{error}")?,
            }
            f.write_str("}")?;
        }
        Ok(())
    }
}

/// One message; the parts of a Bundle are left to the caller, so that Bundles in Bundles, which
/// are malformed, cannot pile up calls.
fn write_summary(f: &mut fmt::Formatter<'_>, packet: &Packet<'_>) -> fmt::Result {
    write_header(f, packet)?;
    packet.objects().try_for_each(|raw| write!(f, " [{raw}]"))
}

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_lines(f, &self.0)?;
        for part in BundleParts::of(&self.0) {
            f.write_str("\n- ")?;
            match Packet::parse_header(part) {
                Ok(part) => write_lines(f, &part)?,
                Err(error) => write!(f, "{error}")?,
            }
        }
        Ok(())
    }
}

fn write_lines(f: &mut fmt::Formatter<'_>, packet: &Packet<'_>) -> fmt::Result {
    write_header(f, packet)?;
    for raw in packet.objects() {
        write!(f, "\n  {raw}")?;
        let policy = PolicyData::decode(&raw).ok().filter(|_| raw.class == class::POLICY_DATA);
        for element in policy.iter().flat_map(PolicyData::elements) {
            write!(f, "\n    {element}")?;
        }
    }
    Ok(())
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
        _ => return write_extension(f, raw),
    })
}

/// As [`write_value`], for the objects of RFCs other than 2205.
fn write_extension(
    f: &mut fmt::Formatter<'_>,
    raw: &RawObject<'_>,
) -> Result<fmt::Result, DecodeError> {
    Ok(match raw.class {
        class::HELLO => write!(f, " {}", Hello::decode(raw)?),
        class::MESSAGE_ID => write!(f, " {}", MessageId::decode(raw)?),
        class::MESSAGE_ID_ACK => write!(f, " {}", MessageIdAck::decode(raw)?),
        class::MESSAGE_ID_LIST => write_id_list(f, &MessageIdList::decode(raw)?),
        class::CHALLENGE => {
            let Challenge { key_id, cookie } = Challenge::decode(raw)?;
            write!(f, " key {key_id:#x} cookie {cookie:#018x}")
        }
        class::NODE_CHAR => {
            let tunnel = NodeChar::decode(raw)?.tunnel;
            f.write_str(if tunnel { " tunnel-capable" } else { " not tunnel-capable" })
        }
        class::SESSION_ASSOC => {
            let SessionAssoc { session, tunnel } = SessionAssoc::decode(raw)?;
            write!(f, " {session} over {}", tunnel.0)
        }
        class::DIAGNOSTIC => write!(f, " {}", Diagnostic::decode(raw)?),
        class::DIAG_SELECT => {
            let pairs = DiagSelect::decode(raw)?.pairs().iter();
            write_list(f, pairs.map(|&[class, ctype]| Pair(class, ctype)))
        }
        class::ROUTE => {
            let Route { pointer, nodes } = Route::decode(raw)?;
            write!(f, " pointer {pointer}").and_then(|()| write_list(f, nodes))
        }
        class::DIAG_RESPONSE => write_response(f, &DiagResponse::decode(raw)?),
        _ => write!(f, " C-Type {} length {}", raw.ctype, raw.bytes.len()),
    })
}

/// Class-Num and C-Type of a DIAG_SELECT.
struct Pair(u8, u8);

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match iana::class_name(self.0) {
            Some(name) => write!(f, "{name}/{}", self.1),
            None => write!(f, "{}/{}", self.0, self.1),
        }
    }
}

fn write_id_list(f: &mut fmt::Formatter<'_>, list: &MessageIdList<'_>) -> fmt::Result {
    write!(f, " epoch {:#08x}", list.epoch)?;
    for entry in list.entries() {
        write!(f, " {}", entry.identifier)?;
        if let Some(source) = entry.source {
            write!(f, " from {source}")?;
        }
        if let Some(destination) = entry.destination {
            write!(f, " to {destination}")?;
        }
    }
    Ok(())
}

fn write_response(f: &mut fmt::Formatter<'_>, response: &DiagResponse<'_>) -> fmt::Result {
    let DiagResponse { incoming, outgoing, previous_hop, hops, error, timer, .. } = response;
    write!(
        f,
        " in {incoming} out {outgoing} PHOP {previous_hop} IP hops {hops} error {error} \
         K {} R {timer} s",
        response.refresh_multiple
    )?;
    if response.merged {
        f.write_str(" merged")?;
    }
    response.objects().try_for_each(|raw| match iana::class_name(raw.class) {
        Some(name) => write!(f, " {name}"),
        None => write!(f, " class {}", raw.class),
    })
}

impl fmt::Display for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.ack { "ACK" } else { "REQUEST" };
        let Self { source_instance, destination_instance, .. } = self;
        write!(f, "{kind} source {source_instance:#x} destination {destination_instance:#x}")
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {:#08x} id {}", self.epoch, self.identifier)?;
        if self.flags & Self::ACK_DESIRED != 0 { f.write_str(" ack desired") } else { Ok(()) }
    }
}

impl fmt::Display for MessageIdAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.nack { "NACK" } else { "ACK" };
        write!(f, "{kind} epoch {:#08x} id {}", self.epoch, self.identifier)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "id {:#x} hops {} of {} last hop {} sender {} requester {} MTU {} offset {}",
            self.request_id,
            self.hop_count,
            self.max_hops,
            self.last_hop,
            self.sender.0,
            self.requester.0,
            self.path_mtu,
            self.fragment_offset
        )?;
        if self.more_fragments { f.write_str(" more fragments") } else { Ok(()) }
    }
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
        match Element::parse(self) {
            Ok(element) => write_policy_element(f, &element),
            Err(error) => write!(f, " malformed: {} is {}", error.field, error.value),
        }
    }
}

/// Writes what an element says, without its name.
fn write_policy_element(f: &mut fmt::Formatter<'_>, element: &Element<'_>) -> fmt::Result {
    match element {
        Element::PreemptionPri(e) => write!(
            f,
            " preemption {} defending {} merge {} {}",
            e.preemption,
            e.defending,
            e.merge_strategy.name(),
            e.error.name()
        ),
        Element::AdmissionPri(e) => {
            let (merge, error) = (e.merge_strategy.name(), e.error.name());
            write!(f, " priority {} merge {merge} {error}", e.priority)
        }
        Element::AppResourcePri(list) => {
            let mut priorities = list.priorities();
            priorities.try_for_each(|alrp| write!(f, " {}:{}", alrp.namespace, alrp.value))
        }
        Element::AuthUser(data) | Element::AuthApp(data) => {
            if let Some((kind, dn)) = data.policy_locator() {
                write!(f, " {} {}", kind.name(), dn.escape_ascii())?;
            }
            if let Some((kind, id)) = data.credential() {
                write!(f, " {} {}", kind.name(), id.escape_ascii())?;
            }
            Ok(())
        }
        Element::AuthSession(session) => {
            write!(f, " {} attributes", session.attributes().count())
        }
        Element::Empty(_) => f.write_str(" empty"),
        Element::Other(other) => write!(f, " length {}", other.bytes.len()),
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
