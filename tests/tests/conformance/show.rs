//! Bytes to words: the messages that the node sends.

use rsvp_wire::charging::{ChgErr, Dcpe, Ucpe};
use rsvp_wire::iana::{class, ptype};
use rsvp_wire::object::{
    AdspecView, ErrorFlags, ErrorSpec, Filter, FilterSpec, Float, FlowId, FlowSpec, Hop,
    PolicyData, ResvConfirm, ScopeIter, SenderTemplate, Session, Style, TimeValues, Tspec,
};
use rsvp_wire::{DecodeError, Packet, RawObject};

use super::words::{Named, duration};

/// The objects of a message in words.
pub(crate) fn objects(packet: &Packet<'_>) -> Vec<Named> {
    packet.objects().map(|raw| object(&raw)).collect()
}

/// One object; what cannot be read is shown as it is.
fn object(raw: &RawObject<'_>) -> Named {
    known(raw).ok().flatten().unwrap_or_else(|| bare(raw))
}

fn bare(raw: &RawObject<'_>) -> Named {
    let name = format!("{}/{}", raw.class, raw.ctype);
    Named::new("object", vec![name, hex(raw.body)])
}

fn known(raw: &RawObject<'_>) -> Result<Option<Named>, DecodeError> {
    let (key, values) = match raw.class {
        class::SESSION => return Session::decode(raw).map(|it| Some(session(&it))),
        class::RSVP_HOP => ("hop", vec![hop(&Hop::decode(raw)?)]),
        class::TIME_VALUES => ("refresh", vec![duration(TimeValues::decode(raw)?.refresh_ms)]),
        class::ERROR_SPEC => ("error", error(&ErrorSpec::decode(raw)?)),
        class::SCOPE => ("scope", ScopeIter::decode(raw)?.map(|a| a.to_string()).collect()),
        class::STYLE => ("style", vec![style(Style::decode(raw)?)]),
        class::FLOWSPEC => ("flowspec", flowspec(&FlowSpec::decode(raw)?)),
        class::FILTER_SPEC => ("filter", vec![filter(&FilterSpec::decode(raw)?.0)]),
        class::SENDER_TEMPLATE => ("sender", vec![filter(&SenderTemplate::decode(raw)?.0)]),
        class::SENDER_TSPEC => ("tspec", vec![tspec(&Tspec::decode(raw)?)]),
        class::ADSPEC => ("adspec", adspec(&AdspecView::decode(raw)?)),
        class::RESV_CONFIRM => ("confirm", vec![ResvConfirm::decode(raw)?.receiver.to_string()]),
        class::POLICY_DATA => {
            let inner = policy(&PolicyData::decode(raw)?);
            return Ok(Some(Named { key: "policy".to_owned(), values: Vec::new(), inner }));
        }
        _ => return Ok(None),
    };
    Ok(Some(Named::new(key, values)))
}

fn session(session: &Session) -> Named {
    let key = if session.generalized { "spi-session" } else { "session" };
    let flag = if session.flags & Session::E_POLICE != 0 { "e-police" } else { "policed" };
    let Session { destination, protocol, destination_port, .. } = session;
    Named::new(key, vec![format!("{destination}/{protocol}/{destination_port}/{flag}")])
}

fn hop(hop: &Hop) -> String {
    format!("{}/{}", hop.address, hop.lih)
}

fn error(error: &ErrorSpec) -> Vec<String> {
    let flags: Vec<&str> =
        [(ErrorFlags::IN_PLACE, "in-place"), (ErrorFlags::NOT_GUILTY, "not-guilty")]
            .into_iter()
            .filter(|(flag, _)| error.flags.contains(*flag))
            .map(|(_, name)| name)
            .collect();
    let flags = if flags.is_empty() { "none".to_owned() } else { flags.join("+") };
    vec![error.node.to_string(), format!("{}/{}", error.code, error.value), flags]
}

fn style(style: Style) -> String {
    match style {
        Style::Unknown(vector) => vector.to_string(),
        known => known.to_string(),
    }
}

fn number(value: Float) -> String {
    if value.is_finite() { value.to_integer().to_string() } else { "inf".to_owned() }
}

fn tspec(tspec: &Tspec) -> String {
    let Tspec { rate, bucket, peak, min_policed, max_packet } = tspec;
    let (rate, bucket, peak) = (number(*rate), number(*bucket), number(*peak));
    format!("{rate}/{bucket}/{peak}/{min_policed}/{max_packet}")
}

fn flowspec(flowspec: &FlowSpec) -> Vec<String> {
    match flowspec {
        FlowSpec::ControlledLoad(traffic) => vec![tspec(traffic)],
        FlowSpec::Guaranteed { tspec: traffic, rate, slack } => {
            let asked = format!("{}/{slack}", number(*rate));
            vec!["guaranteed".to_owned(), tspec(traffic), asked]
        }
    }
}

pub(crate) fn filter(filter: &Filter) -> String {
    match filter.id {
        FlowId::Port(_) => filter.to_string(),
        FlowId::Gpi(spi) => format!("{}#{spi}", filter.source),
        FlowId::FlowLabel(label) => format!("{}~{label}", filter.source),
    }
}

fn adspec(adspec: &AdspecView<'_>) -> Vec<String> {
    let state = if adspec.global_break() { "broken" } else { "whole" };
    vec![format!("{}/{}", adspec.hop_count(), adspec.mtu()), state.to_owned()]
}

fn policy(policy: &PolicyData<'_>) -> Vec<Named> {
    let mut inner = Vec::new();
    let mut hops = ["by", "for"].into_iter();
    for option in policy.options() {
        let mut named = object(&option);
        if named.key == "hop" {
            named.key = hops.next().unwrap_or("hop").to_owned();
        }
        inner.push(named);
    }
    for element in policy.elements() {
        let charging = match element.ptype {
            ptype::DCPE => Dcpe::parse(element.bytes)
                .ok()
                .map(|e| ("dcpe", format!("{}/{}/{}", e.total, e.max_total, e.epoch))),
            ptype::UCPE => Ucpe::parse(element.bytes)
                .ok()
                .map(|e| ("ucpe", format!("{}/{}/{}", e.payment, e.epoch_echo, e.sequence))),
            ptype::CHG_ERR => ChgErr::parse(element.bytes)
                .ok()
                .map(|e| ("chg-err", format!("{}/{}/{}", e.reason, e.required, e.offered))),
            _ => None,
        };
        inner.push(match charging {
            Some((key, value)) => Named::new(key, vec![value]),
            None => Named::new("element", vec![element.ptype.to_string(), hex(element.data)]),
        });
    }
    inner
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
