//! RSVP objects as JSON: `class`, `ctype`, `length`, `name`, then the fields under names close to
//! those of the RFCs. An object that cannot be read has its bytes in `data`, and `error` if that is
//! because it is malformed rather than unknown.

use std::net::IpAddr;

use rsvp_wire::iana::{self, class, service};
use rsvp_wire::object::{
    AdspecService, AdspecView, Challenge, DiagResponse, DiagSelect, Diagnostic, ErrorFlags,
    ErrorSpec, Filter, FilterSpec, FlowId, FlowSpec, Hello, Hop, Integrity, MessageId,
    MessageIdAck, MessageIdList, NodeChar, PolicyData, ResvConfirm, Route, ScopeIter,
    SenderTemplate, Session, SessionAssoc, Style, TimeValues, Tspec,
};
use rsvp_wire::{DecodeError, ErrorKind, RawObject};

use super::policy;
use super::record::{Record, hex};

/// An object with its fields.
pub(super) fn record(raw: &RawObject<'_>) -> Record {
    let mut record = Record::new();
    record.put("class", raw.class);
    record.put("ctype", raw.ctype);
    record.put("length", raw.bytes.len() as u64);
    record.put("name", iana::class_name(raw.class).unwrap_or("unknown"));
    match fields(raw) {
        Ok(Some(fields)) => record.extend(fields),
        Ok(None) => record.put("data", hex(raw.body)),
        Err(error) => {
            record.put("data", hex(raw.body));
            if error.kind != ErrorKind::UnknownCType {
                record.put_text("error", error);
            }
        }
    }
    record
}

/// Whether an object's contents are malformed, as far as its class and C-Type are known.
pub(super) fn check(raw: &RawObject<'_>) -> Result<(), DecodeError> {
    fields(raw).map(drop)
}

/// The fields of an object; none of a class that is only carried.
fn fields(raw: &RawObject<'_>) -> Result<Option<Record>, DecodeError> {
    Ok(Some(match raw.class {
        class::NULL => return Ok(None),
        class::SESSION => session(&Session::decode(raw)?),
        class::RSVP_HOP => hop(&Hop::decode(raw)?),
        class::TIME_VALUES => Record::new().with("refresh_ms", TimeValues::decode(raw)?.refresh_ms),
        class::ERROR_SPEC => error_spec(&ErrorSpec::decode(raw)?),
        class::SCOPE => Record::new().with("senders", addresses(ScopeIter::decode(raw)?)),
        class::STYLE => style(Style::decode(raw)?),
        class::FLOWSPEC => flowspec(&FlowSpec::decode(raw)?),
        class::FILTER_SPEC => filter(&FilterSpec::decode(raw)?.0),
        class::SENDER_TEMPLATE => filter(&SenderTemplate::decode(raw)?.0),
        class::SENDER_TSPEC => tspec(&Tspec::decode(raw)?),
        class::ADSPEC => adspec(&AdspecView::decode(raw)?),
        class::POLICY_DATA => policy_data(&PolicyData::decode(raw)?),
        class::RESV_CONFIRM => {
            Record::new().with_text("receiver", ResvConfirm::decode(raw)?.receiver)
        }
        class::INTEGRITY => integrity(&Integrity::decode(raw)?),
        _ => return extension(raw),
    }))
}

/// As [`fields`], for the objects of RFCs other than 2205.
fn extension(raw: &RawObject<'_>) -> Result<Option<Record>, DecodeError> {
    Ok(Some(match raw.class {
        class::HELLO => {
            let Hello { ack, source_instance, destination_instance } = Hello::decode(raw)?;
            Record::new()
                .with("ack", ack)
                .with("source_instance", source_instance)
                .with("destination_instance", destination_instance)
        }
        class::MESSAGE_ID => {
            let MessageId { flags, epoch, identifier } = MessageId::decode(raw)?;
            Record::new().with("flags", flags).with("epoch", epoch).with("message_id", identifier)
        }
        class::MESSAGE_ID_ACK => {
            let MessageIdAck { nack, epoch, identifier } = MessageIdAck::decode(raw)?;
            Record::new().with("nack", nack).with("epoch", epoch).with("message_id", identifier)
        }
        class::MESSAGE_ID_LIST => message_id_list(&MessageIdList::decode(raw)?),
        class::CHALLENGE => {
            let Challenge { key_id, cookie } = Challenge::decode(raw)?;
            Record::new().with("key_id", key_id).with("cookie", cookie)
        }
        class::NODE_CHAR => Record::new().with("tunnel", NodeChar::decode(raw)?.tunnel),
        class::SESSION_ASSOC => {
            let association = SessionAssoc::decode(raw)?;
            Record::new()
                .with("session", session(&association.session))
                .with("tunnel", filter(&association.tunnel.0))
        }
        class::DIAGNOSTIC => diagnostic(&Diagnostic::decode(raw)?),
        class::DIAG_SELECT => {
            let pair = |&[class, ctype]: &[u8; 2]| {
                Record::new()
                    .with("class", class)
                    .with("ctype", ctype)
                    .with("name", iana::class_name(class).unwrap_or("unknown"))
            };
            let pairs = DiagSelect::decode(raw)?.pairs();
            Record::new().with("selected", pairs.iter().map(pair).collect::<Vec<_>>())
        }
        class::ROUTE => {
            let Route { pointer, nodes } = Route::decode(raw)?;
            Record::new().with("pointer", pointer).with("nodes", addresses(nodes))
        }
        class::DIAG_RESPONSE => diag_response(&DiagResponse::decode(raw)?),
        _ => return Ok(None),
    }))
}

fn addresses(list: impl Iterator<Item = IpAddr>) -> Vec<String> {
    list.map(|address| address.to_string()).collect()
}

fn session(session: &Session) -> Record {
    Record::new()
        .with_text("destination", session.destination)
        .with("protocol", session.protocol)
        .with("flags", session.flags)
        .with(if session.generalized { "virtual_port" } else { "port" }, session.destination_port)
}

fn hop(hop: &Hop) -> Record {
    Record::new().with_text("address", hop.address).with("lih", hop.lih)
}

fn error_spec(error: &ErrorSpec) -> Record {
    Record::new()
        .with_text("node", error.node)
        .with("flags", error.flags.0)
        .with("in_place", error.flags.contains(ErrorFlags::IN_PLACE))
        .with("not_guilty", error.flags.contains(ErrorFlags::NOT_GUILTY))
        .with("code", error.code)
        .with("value", error.value)
        .with("error_name", iana::error_name(error.code))
}

fn style(style: Style) -> Record {
    let name = match style {
        Style::Unknown(_) => "unknown".to_owned(),
        known => known.to_string(),
    };
    Record::new().with("style", name).with("option_vector", style.vector())
}

fn filter(filter: &Filter) -> Record {
    let record = Record::new().with_text("source", filter.source);
    match filter.id {
        FlowId::Port(port) => record.with("port", port),
        FlowId::FlowLabel(label) => record.with("flow_label", label),
        FlowId::Gpi(spi) => record.with("gpi", spi),
    }
}

fn tspec(tspec: &Tspec) -> Record {
    Record::new()
        .with("rate", tspec.rate)
        .with("bucket", tspec.bucket)
        .with("peak", tspec.peak)
        .with("min_policed", tspec.min_policed)
        .with("max_packet", tspec.max_packet)
}

fn flowspec(flowspec: &FlowSpec) -> Record {
    let mut record = Record::new().with("service", flowspec.service());
    record.put("service_name", service_name(flowspec.service()));
    record.extend(tspec(flowspec.tspec()));
    if let FlowSpec::Guaranteed { rate, slack, .. } = flowspec {
        record.put("r", *rate);
        record.put("slack", *slack);
    }
    record
}

/// The name of an IntServ service.
pub(super) fn service_name(number: u16) -> &'static str {
    match u8::try_from(number) {
        Ok(service::GENERAL) => "general",
        Ok(service::GUARANTEED) => "guaranteed",
        Ok(service::CONTROLLED_LOAD) => "controlled-load",
        _ => "unknown",
    }
}

fn adspec(adspec: &AdspecView<'_>) -> Record {
    Record::new()
        .with("break", adspec.global_break())
        .with("hops", adspec.hop_count())
        .with("path_bandwidth", adspec.path_bandwidth())
        .with("min_latency", adspec.min_latency())
        .with("mtu", adspec.mtu())
        .with("services", adspec.services().map(|part| adspec_service(&part)).collect::<Vec<_>>())
}

fn adspec_service(part: &AdspecService<'_>) -> Record {
    let parameter = |(number, data): (u8, &[u8])| {
        Record::new().with("parameter", number).with("data", hex(data))
    };
    let mut record = Record::new()
        .with("service", part.number)
        .with("name", service_name(part.number.into()))
        .with("break", part.break_bit);
    if part.number == service::GUARANTEED {
        for (name, number) in [
            ("c_tot", iana::parameter::C_TOT),
            ("d_tot", iana::parameter::D_TOT),
            ("c_sum", iana::parameter::C_SUM),
            ("d_sum", iana::parameter::D_SUM),
        ] {
            record.put_some(name, part.word(number));
        }
    }
    record.with("parameters", part.parameters().map(parameter).collect::<Vec<_>>())
}

fn integrity(integrity: &Integrity<'_>) -> Record {
    Record::new()
        .with("flags", integrity.flags)
        .with("key_id", integrity.key_id)
        .with("sequence", integrity.sequence)
        .with("digest", hex(integrity.digest))
}

fn policy_data(data: &PolicyData<'_>) -> Record {
    Record::new()
        .with("options", data.options().map(|option| record(&option)).collect::<Vec<_>>())
        .with("elements", data.elements().map(|e| policy::record(&e)).collect::<Vec<_>>())
}

fn message_id_list(list: &MessageIdList<'_>) -> Record {
    let entry = |entry: rsvp_wire::object::ListEntry| {
        let mut record = Record::new().with("message_id", entry.identifier);
        record.put_some("source", entry.source.map(|address| address.to_string()));
        record.put_some("destination", entry.destination.map(|address| address.to_string()));
        record
    };
    let entries: Vec<_> = list.entries().map(entry).collect();
    Record::new().with("epoch", list.epoch).with("entries", entries)
}

fn diagnostic(diagnostic: &Diagnostic) -> Record {
    Record::new()
        .with("max_hops", diagnostic.max_hops)
        .with("hop_count", diagnostic.hop_count)
        .with("more_fragments", diagnostic.more_fragments)
        .with("request_id", diagnostic.request_id)
        .with("path_mtu", diagnostic.path_mtu)
        .with("fragment_offset", diagnostic.fragment_offset)
        .with_text("last_hop", diagnostic.last_hop)
        .with("sender", filter(&diagnostic.sender.0))
        .with("requester", filter(&diagnostic.requester.0))
}

/// A report carries objects that a node holds; those may carry no report again, so calls end.
fn diag_response(response: &DiagResponse<'_>) -> Record {
    let inner = |raw: RawObject<'_>| {
        if raw.class == class::DIAG_RESPONSE {
            return Record::new()
                .with("class", raw.class)
                .with("ctype", raw.ctype)
                .with("length", raw.bytes.len() as u64)
                .with("name", "DIAG_RESPONSE")
                .with("data", hex(raw.body));
        }
        record(&raw)
    };
    Record::new()
        .with("arrival_time", response.arrival_time)
        .with_text("incoming", response.incoming)
        .with_text("outgoing", response.outgoing)
        .with_text("previous_hop", response.previous_hop)
        .with("hops", response.hops)
        .with("merged", response.merged)
        .with("report_error", response.error)
        .with("refresh_multiple", response.refresh_multiple)
        .with("timer_s", response.timer)
        .with("objects", response.objects().map(inner).collect::<Vec<_>>())
}
