//! Plays a case on one engine.

use std::net::IpAddr;

use lcm_daemon::engine::{Level, ReceiverRequest, SenderRequest};
use lcm_daemon::packet::PacketMeta;
use rsvp_wire::iana::class;
use rsvp_wire::{Message, MessageType, Packet};

use super::build;
use super::case::{Case, Line};
use super::node::{Node, Sent, when};
use super::show;
use super::state::{self, Counted};
use super::words::{Named, Written, same_objects, time, times};

/// How a case ended that did not go as written.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The step; 0 is the setup.
    pub(crate) step: usize,
    /// The step's words, what was expected, and what came.
    pub(crate) what: String,
}

/// Plays a case; what its known difference says is taken into account by the caller.
pub(crate) fn play(case: &Case) -> Result<(), Failure> {
    let mut node = Node::new(&case.setup).map_err(|what| Failure { step: 0, what })?;
    node.sent.clear();
    let mut before = Counted::of(&node);
    for step in &case.steps {
        let failed = |what: String| Failure {
            step: step.number,
            what: format!("{} {}\n    {what}", step.number, step.text()),
        };
        let expectation = step.words.first().is_some_and(|word| word == "expect");
        if !expectation {
            if step.words.first().is_none_or(|word| word != "ignore") {
                nothing_left(&node).map_err(failed)?;
            }
            before = Counted::of(&node);
        }
        perform(&mut node, &before, step).map_err(|what| {
            let risen = before.risen(&node);
            failed(if risen.is_empty() { what } else { format!("{what}\n    counted: {risen:?}") })
        })?;
        node.sent.iter().try_for_each(|sent| sound(&node, sent)).map_err(failed)?;
    }
    let last = case.steps.len();
    let end = |what| Failure { step: last, what: format!("after the last step: {what}") };
    nothing_left(&node).map_err(end)
}

fn nothing_left(node: &Node) -> Result<(), String> {
    match node.sent.is_empty() {
        true => Ok(()),
        false => Err(format!("nobody expected{}", list(node))),
    }
}

fn list(node: &Node) -> String {
    let all: Vec<String> = node.sent.iter().map(|sent| describe(node, sent)).collect();
    if all.is_empty() { " nothing".to_owned() } else { format!("\n      {}", all.join("\n      ")) }
}

fn perform(node: &mut Node, before: &Counted, step: &Line) -> Result<(), String> {
    let mut words = step.words.as_slice();
    if let Some(at) = when(&mut words)? {
        node.advance(at)?;
        nothing_left(node)?;
    }
    let plain: Vec<&str> = words.iter().map(String::as_str).collect();
    match plain.as_slice() {
        ["recv", "on", interface, ..] => receive(node, interface, &words[3..]),
        ["advance", "to", to, rest @ ..] => advance(node, time(to)?, rest),
        ["advance", "by", by, rest @ ..] => advance(node, node.time + time(by)?, rest),
        ["open", name, "sender", ..] => open_sender(node, name, &words[2..]),
        ["open", name, "receiver", ..] => open_receiver(node, name, &words[2..]),
        ["ignore", kinds @ ..] => ignore(node, kinds),
        ["close", name] => {
            let handle = node.applications.remove(*name).ok_or("no such application")?;
            let now = node.now();
            node.engine.close(now, handle).map_err(|error| error.to_string())?;
            node.settle();
            Ok(())
        }
        ["expect", "nothing"] => nothing_left(node),
        ["expect", "send", ..] => claim(node, &words[2..]),
        ["expect", rest @ ..] => state::expect(node, before, rest),
        other => node.kernel(other),
    }
}

fn advance(node: &mut Node, to: u64, rest: &[&str]) -> Result<(), String> {
    node.advance(to)?;
    match rest {
        [] => Ok(()),
        ["ignoring", kinds @ ..] => ignore(node, kinds),
        _ => Err(format!("`{}` is no way to advance", rest.join(" "))),
    }
}

/// Forgets messages that nobody expected so far.
fn ignore(node: &mut Node, kinds: &[&str]) -> Result<(), String> {
    match kinds {
        ["messages"] => node.sent.clear(),
        kinds => {
            let known: Result<Vec<u8>, String> = kinds
                .iter()
                .map(|kind| build::message(&alone(kind)).map(|bytes| bytes[1]))
                .collect();
            let known = known?;
            node.sent.retain(|sent| !sent.bytes.get(1).is_some_and(|kind| known.contains(kind)));
        }
    }
    Ok(())
}

fn alone(kind: &str) -> Written {
    Written { kind: kind.to_owned(), ..Written::default() }
}

/// A message arrives: what the case does not say of its IP header is as an honest neighbour's.
fn receive(node: &mut Node, interface: &str, words: &[String]) -> Result<(), String> {
    let written = Written::read(words)?;
    let bytes = build::message(&written)?;
    let index = node.interface(interface)?;
    let kind = MessageType::from(bytes.get(1).copied().unwrap_or_default());
    let along = matches!(kind, MessageType::Path | MessageType::PathTear);
    let part = |key: &str| -> Option<IpAddr> {
        let word = written.object(key).or(written.object(&format!("spi-{key}")))?.first()?;
        if key == "sender" {
            return build::filter(word).ok().map(|filter| filter.source);
        }
        word.split('/').next()?.parse().ok()
    };
    let family = part("session").unwrap_or(IpAddr::from([0, 0, 0, 0]));
    let address = |key: &str, usual: Option<IpAddr>| match written.header(key) {
        Some(word) => build::parse(word),
        None => Ok(usual.unwrap_or(family)),
    };
    let hop = part("hop").or_else(|| part("error"));
    let (from, to) = match kind {
        _ if along => (part("sender").or(hop), part("session")),
        MessageType::ResvConf => (part("error"), part("confirm")),
        _ => (hop, node.address(index, family)),
    };
    let meta = PacketMeta {
        interface: index,
        source: address("from", from)?,
        destination: address("to", to)?,
        ttl: written.header("ttl").map_or(Ok(64), build::parse)?,
        router_alert: along || kind == MessageType::ResvConf,
    };
    node.receive(meta, &bytes);
    Ok(())
}

fn open_sender(node: &mut Node, name: &str, words: &[String]) -> Result<(), String> {
    let written = Written::read(words)?;
    let value = |key: &str| -> Result<&str, String> {
        let found = written.object(key).and_then(|values| values.first());
        found.map(String::as_str).ok_or_else(|| format!("a sender has a {key}"))
    };
    let request = SenderRequest {
        session: session(&written)?,
        sender: build::filter(value("sender")?)?,
        tspec: build::tspec(value("tspec")?)?,
        ttl: written.header("ttl").map_or(Ok(64), build::parse)?,
        interface: written.header("on").map(|name| node.interface(name)).transpose()?,
        share: None,
        behind: None,
    };
    let now = node.now();
    let handle = node.engine.open_sender(now, request).map_err(|error| error.to_string())?;
    node.applications.insert(name.to_owned(), handle);
    node.settle();
    Ok(())
}

fn session(written: &Written) -> Result<rsvp_wire::object::Session, String> {
    let mut objects = written.objects.iter();
    let session = objects.find(|object| object.key.ends_with("session"));
    build::session(session.ok_or("an application has a session")?)
}

fn open_receiver(node: &mut Node, name: &str, words: &[String]) -> Result<(), String> {
    let written = Written::read(words)?;
    let find = |key: &str| written.objects.iter().find(|object| object.key == key);
    let first = |key: &str| find(key).and_then(|object| object.values.first());
    let request = ReceiverRequest {
        session: session(&written)?,
        sender: first("sender").map(|word| build::filter(word)).transpose()?,
        style: build::style(first("style").map_or("FF", String::as_str))?,
        flowspec: find("flowspec").map(build::flowspec).transpose()?,
        max_payment: None,
        budget: None,
        interface: written.header("on").map(|name| node.interface(name)).transpose()?,
        cheapest: false,
        detail: Level::Totals,
        confirm: find("confirm").is_some(),
        identity: None,
        priority: None,
    };
    let now = node.now();
    let handle = node.engine.open_receiver(now, request).map_err(|error| error.to_string())?;
    node.applications.insert(name.to_owned(), handle);
    node.settle();
    Ok(())
}

/// Takes the first message that fits out of those that nobody expected yet.
fn claim(node: &mut Node, words: &[String]) -> Result<(), String> {
    // The words about the IP header may stand before the type, where they read better.
    let mut front = 0;
    let about_ip =
        |word: &String| ["on", "to", "from", "when", "ttl", "alert"].contains(&word.as_str());
    while words.get(front).is_some_and(about_ip) {
        front += 2;
    }
    let (header, message) = words.split_at_checked(front).ok_or("a message has a type")?;
    let (kind, rest) = message.split_first().ok_or("a message has a type")?;
    let words = [std::slice::from_ref(kind), header, rest].concat();
    let wanted = Written::read(&words)?;
    // Objects in words that cannot be built are mistakes of the case.
    let open = |named: &Named| named.values.iter().any(|value| value.contains('*'));
    for object in wanted.objects.iter().filter(|object| !open(object)) {
        if !matches!(object.key.as_str(), "policy" | "error" | "adspec") {
            build::object(object)?;
        }
    }
    let number = build::message(&alone(&wanted.kind))?[1];
    let mut chosen = None;
    for (index, sent) in node.sent.iter().enumerate() {
        if sent.bytes.get(1) == Some(&number) && fits(node, &wanted, sent)? {
            chosen = Some(index);
            break;
        }
    }
    match chosen {
        Some(index) => {
            node.sent.remove(index);
            Ok(())
        }
        None => Err(format!("sent was{}", list(node))),
    }
}

fn fits(node: &Node, wanted: &Written, sent: &Sent) -> Result<bool, String> {
    let meta = &sent.meta;
    for named in &wanted.header {
        let value = named.values.first().map_or("", String::as_str);
        let holds = match named.key.as_str() {
            "on" => meta.interface == Some(node.interface(value)?),
            "from" => meta.source == Some(build::parse(value)?),
            "to" => meta.destination == build::parse::<IpAddr>(value)?,
            "ttl" => meta.ttl == build::parse::<u8>(value)?,
            "send-ttl" => sent.bytes.get(4) == Some(&build::parse(value)?),
            "alert" => meta.router_alert == (value == "yes"),
            "when" => {
                let (first, last) = times(value)?;
                (first..=last).contains(&sent.at)
            }
            other => return Err(format!("`{other}` says nothing of a message sent")),
        };
        if !holds {
            return Ok(false);
        }
    }
    let Ok(packet) = Packet::parse(&sent.bytes) else { return Ok(false) };
    let objects = show::objects(&packet);
    let absent = |key: &String| objects.iter().all(|object: &Named| object.key != *key);
    Ok(same_objects(&wanted.objects, &objects, wanted.only) && wanted.absent.iter().all(absent))
}

/// A message that was sent, in words.
fn describe(node: &Node, sent: &Sent) -> String {
    let Sent { at, meta, bytes } = sent;
    let mut text = format!("when {}s", *at as f64 / 1e6);
    if let Some(interface) = meta.interface {
        text.push_str(&format!(" on {}", node.name(interface)));
    }
    if let Some(from) = meta.source {
        text.push_str(&format!(" from {from}"));
    }
    text.push_str(&format!(" to {} ttl {}", meta.destination, meta.ttl));
    match Packet::parse(bytes) {
        Ok(packet) => {
            text.push_str(&format!(" {}", packet.message_type().name().to_uppercase()));
            for object in show::objects(&packet) {
                text.push_str(&format!(" {object}"));
            }
        }
        Err(error) => text.push_str(&format!(" {error}")),
    }
    text
}

/// Classes in the order in which RFC 2205 section 3.1 shows them, whatever the message.
const ORDER: &[u8] = &[
    class::INTEGRITY,
    class::SESSION,
    class::RSVP_HOP,
    class::ERROR_SPEC,
    class::TIME_VALUES,
    class::RESV_CONFIRM,
    class::SCOPE,
    class::POLICY_DATA,
    class::SENDER_TEMPLATE,
    class::SENDER_TSPEC,
    class::ADSPEC,
    class::STYLE,
    class::FLOWSPEC,
];

/// What holds for every message that a node sends: it can be read, its checksum is right, Send_TTL
/// is the TTL, objects stand in the order of RFC 2205, and PATH, PATHTEAR and RESVCONF alone carry
/// Router Alert.
///
/// What is addressed to another node passes by as it came.
fn sound(node: &Node, sent: &Sent) -> Result<(), String> {
    let message = Message::parse(&sent.bytes).map_err(|error| format!("sent was {error}"))?;
    let packet = message.packet();
    let along = matches!(message, Message::Path(_) | Message::PathTear(_));
    if !along && sent.meta.source.is_some_and(|source| !node.owns(source)) {
        return Ok(());
    }
    if packet.checksum_ok() != Some(true) {
        return Err("sent was a message without a good checksum".to_owned());
    }
    if packet.send_ttl() != sent.meta.ttl {
        return Err(format!("Send_TTL {} with TTL {}", packet.send_ttl(), sent.meta.ttl));
    }
    let rank = |of: u8| {
        // FILTER_SPECs and FLOWSPECs take turns.
        let of = if of == class::FILTER_SPEC { class::FLOWSPEC } else { of };
        ORDER.iter().position(|other| *other == of)
    };
    let ranks: Vec<usize> = packet.objects().filter_map(|raw| rank(raw.class)).collect();
    if !ranks.is_sorted() {
        let names: Vec<String> = show::objects(packet).iter().map(|o| o.key.clone()).collect();
        return Err(format!("objects in another order than RFC 2205's: {}", names.join(" ")));
    }
    let alert = along || matches!(message, Message::ResvConf(_));
    if alert != sent.meta.router_alert {
        return Err(format!("Router Alert is {} on a {message:?}", sent.meta.router_alert));
    }
    Ok(())
}
