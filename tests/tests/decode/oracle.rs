//! What tshark says of RSVP messages, and the comparison with what `lcmctl decode --json` says.

use std::error::Error;
use std::path::Path;

use serde_json::Value;

use crate::programs::tshark;

/// An object as tshark shows it: its length, class and C-Type, then its fields in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Object {
    pub(crate) length: u64,
    pub(crate) class: Option<u64>,
    pub(crate) ctype: Option<u64>,
    fields: Vec<(String, String)>,
}

/// A message as tshark shows it; the parts of a Bundle are messages of their own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message {
    pub(crate) frame: u64,
    pub(crate) src: String,
    pub(crate) dst: String,
    pub(crate) ttl: u64,
    pub(crate) kind: u64,
    pub(crate) length: u64,
    pub(crate) objects: Vec<Object>,
}

/// The RSVP messages of a capture, by tshark's PDML, in which each field has a line.
pub(crate) fn messages(file: &Path) -> Result<Vec<Message>, Box<dyn Error>> {
    let text = tshark(file, &["-T", "pdml"])?;
    let mut packet = Message::default();
    let mut found: Vec<Message> = Vec::new();
    let mut in_rsvp = false;
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("<proto ") {
            in_rsvp = attribute(line, "name") == Some("rsvp");
        } else if line.starts_with("</packet") {
            in_rsvp = false;
        }
        let (Some(name), Some(show)) = (attribute(line, "name"), attribute(line, "show")) else {
            continue;
        };
        match name {
            "frame.number" => packet.frame = show.parse()?,
            "ip.src" | "ipv6.src" => packet.src = show.to_owned(),
            "ip.dst" | "ipv6.dst" => packet.dst = show.to_owned(),
            "ip.ttl" | "ipv6.hlim" => packet.ttl = show.parse()?,
            // Lines without a name only sum up those below them.
            _ if !in_rsvp || name.is_empty() => {}
            // The first field of a message.
            "rsvp.version" => found.push(packet.clone()),
            _ => {
                let message = found.last_mut().ok_or("a field before any message")?;
                message.take(name, show)?;
            }
        }
    }
    Ok(found)
}

fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!(" {name}=\""))?;
    Some(rest.split_once('"')?.0)
}

fn number(text: &str) -> Result<u64, std::num::ParseIntError> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    }
}

impl Message {
    fn take(&mut self, name: &str, show: &str) -> Result<(), Box<dyn Error>> {
        match name {
            "rsvp.msg" => self.kind = number(show)?,
            "rsvp.message_length" => self.length = number(show)?,
            // The first field of an object.
            "rsvp.length" => {
                self.objects.push(Object { length: number(show)?, ..Object::default() });
            }
            _ => {
                let Some(object) = self.objects.last_mut() else { return Ok(()) };
                match name {
                    "rsvp.object" => object.class = Some(number(show)?),
                    // Parts of an object may have another one behind it.
                    "rsvp.ctype" if object.ctype.is_none() => object.ctype = Some(number(show)?),
                    _ => object.fields.push((name.to_owned(), show.to_owned())),
                }
            }
        }
        Ok(())
    }
}

/// Fields of ours, by class, and the names that tshark has for them.
const FIELDS: &[(u64, &str, &[&str])] = &[
    (1, "destination", &["rsvp.session.ip", "rsvp.session.destination_address"]),
    (1, "protocol", &["rsvp.session.proto", "rsvp.session.protocol"]),
    (1, "port", &["rsvp.session.port", "rsvp.session.destination_port"]),
    (3, "address", &["rsvp.hop.neighbor_address_ipv4", "rsvp.neighbor_address_ipv6"]),
    (3, "lih", &["rsvp.hop.logical_interface"]),
    (5, "refresh_ms", &["rsvp.refresh_interval"]),
    (6, "node", &["rsvp.error.error_node_ipv4", "rsvp.error.error_node_ipv6"]),
    (6, "code", &["rsvp.error.error_code"]),
    (6, "value", &["rsvp.error_value"]),
    (8, "option_vector", &["rsvp.style.style"]),
    (9, "service", &["rsvp.flowspec.service_header"]),
    (9, "rate", &["rsvp.flowspec.token_bucket_rate"]),
    (9, "bucket", &["rsvp.flowspec.token_bucket_size"]),
    (9, "peak", &["rsvp.flowspec.peak_data_rate"]),
    (9, "min_policed", &["rsvp.minimum_policed_unit"]),
    (9, "max_packet", &["rsvp.maximum_packet_size"]),
    (9, "r", &["rsvp.flowspec.rate"]),
    (9, "slack", &["rsvp.flowspec.slack_term"]),
    (10, "source", &["rsvp.sender.ip", "rsvp.template_filter.source_address_ipv6"]),
    (10, "port", &["rsvp.sender.port", "rsvp.template_filter.source_port"]),
    (11, "source", &["rsvp.sender.ip", "rsvp.template_filter.source_address_ipv6"]),
    (11, "port", &["rsvp.sender.port", "rsvp.template_filter.source_port"]),
    (12, "rate", &["rsvp.tspec.token_bucket_rate"]),
    (12, "bucket", &["rsvp.tspec.token_bucket_size"]),
    (12, "peak", &["rsvp.tspec.peak_data_rate"]),
    (12, "min_policed", &["rsvp.minimum_policed_unit"]),
    (12, "max_packet", &["rsvp.maximum_packet_size"]),
    (13, "path_bandwidth", &["rsvp.adspec.float"]),
    (15, "receiver", &["rsvp.confirm.receiver_address_ipv4", "rsvp.confirm.receiver_address_ipv6"]),
    (22, "source_instance", &["rsvp.hello.source_instance"]),
    (22, "destination_instance", &["rsvp.hello.destination_instance"]),
    (23, "epoch", &["rsvp.message_id.epoch"]),
    (23, "message_id", &["rsvp.message_id.message_id"]),
    (25, "epoch", &["rsvp.message_id_list.epoch"]),
];

/// Whether tshark's text is our value: addresses and numbers as such, infinity as null.
fn is_same(ours: &Value, text: &str) -> bool {
    match ours {
        Value::Null => text == "inf",
        Value::String(address) => address == text,
        Value::Number(value) => match (value.as_u64(), number(text)) {
            (Some(ours), Ok(theirs)) => ours == theirs,
            // tshark prints six digits of a float.
            _ => value
                .as_f64()
                .zip(text.parse::<f64>().ok())
                .is_some_and(|(ours, theirs)| (ours - theirs).abs() <= ours.abs() * 1e-5),
        },
        _ => false,
    }
}

/// Compares one message; where ours is malformed, its objects are the first of tshark's.
fn compare(ours: &Value, theirs: &Message) {
    let place = format!("frame {}: {ours}", theirs.frame);
    assert_eq!(ours["frame"], theirs.frame, "{place}");
    assert_eq!(ours["src"], theirs.src, "{place}");
    assert_eq!(ours["dst"], theirs.dst, "{place}");
    assert_eq!(ours["ttl"], theirs.ttl, "{place}");
    assert_eq!(ours["msg_type"], theirs.kind, "{place}");
    assert_eq!(ours["length"], theirs.length, "{place}");
    let objects = ours["objects"].as_array().expect("objects");
    if ours.get("error").is_none() {
        assert_eq!(objects.len(), theirs.objects.len(), "{place}: {theirs:#?}");
    }
    assert!(objects.len() <= theirs.objects.len(), "{place}: {theirs:#?}");
    for (object, theirs) in objects.iter().zip(&theirs.objects) {
        let class = object["class"].as_u64().expect("a class");
        assert_eq!(Some(class), theirs.class, "{place}");
        assert_eq!(object["length"], theirs.length, "{place}");
        // Of a few classes tshark shows a C-Type under a name of that class only.
        if let Some(ctype) = theirs.ctype {
            assert_eq!(object["ctype"], ctype, "{place}");
        }
        compare_fields(class, object, theirs);
    }
}

fn compare_fields(class: u64, object: &Value, theirs: &Object) {
    for (_, key, names) in FIELDS.iter().filter(|(listed, _, _)| *listed == class) {
        let Some(ours) = object.get(*key) else { continue };
        let found = theirs.fields.iter().find(|(name, _)| names.contains(&name.as_str()));
        let (name, text) =
            found.unwrap_or_else(|| panic!("tshark has no {key} of {object} in {theirs:#?}"));
        assert!(is_same(ours, text), "{key} is {ours} here and {name} is {text} in tshark");
    }
}

/// Compares a capture's messages, those in Bundles included; returns how many there were.
pub(crate) fn agree(ours: &[Value], theirs: &[Message]) -> usize {
    let mut flat: Vec<&Value> = Vec::new();
    for packet in ours {
        flat.push(packet);
        flat.extend(packet["messages"].as_array().into_iter().flatten());
    }
    let seen: Vec<_> = theirs.iter().map(|message| (message.frame, message.kind)).collect();
    assert_eq!(flat.len(), theirs.len(), "tshark has {seen:?}");
    for (ours, theirs) in flat.iter().zip(theirs) {
        compare(ours, theirs);
    }
    flat.len()
}
