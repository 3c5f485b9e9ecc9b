//! Expectations about what the node knows.

use lcm_daemon::engine::NoticeEvent;
use lcm_daemon::engine::show::{ReservationView, SenderView, SessionView};

use super::build::{filter, parse};
use super::node::Node;
use super::words::{time, times};

/// Counters before the last step that was not an expectation.
#[derive(Debug, Default)]
pub(crate) struct Counted(std::collections::BTreeMap<String, u64>);

impl Counted {
    /// The counters as they stand.
    pub(crate) fn of(node: &Node) -> Self {
        let counters = node.engine.counters();
        let named = [
            ("dropped", &counters.dropped),
            ("malformed", &counters.malformed),
            ("expired", &counters.expired),
        ];
        let all = named.into_iter().flat_map(|(kind, counts)| {
            counts.iter().map(move |(reason, count)| (format!("{kind} {reason}"), *count))
        });
        Self(all.collect())
    }

    /// What rose since `self`.
    pub(crate) fn risen(&self, node: &Node) -> Vec<String> {
        let now = Self::of(node);
        let rose = |name: &String, count: u64| count > self.0.get(name).copied().unwrap_or(0);
        now.0.into_iter().filter(|(name, count)| rose(name, *count)).map(|(name, _)| name).collect()
    }
}

/// Checks `expect WORDS`.
pub(crate) fn expect(node: &mut Node, before: &Counted, words: &[&str]) -> Result<(), String> {
    match words {
        ["path", sender, rest @ ..] => path(node, sender, rest),
        ["no", "path"] => {
            let (_, paths, _) = node.engine.sizes();
            same("path states", 0, paths)
        }
        ["no", "path", sender] => match sender_view(node, sender)? {
            None => Ok(()),
            Some(view) => Err(format!("there is {view:?}")),
        },
        ["paths", count] => same("path states", parse(count)?, node.engine.sizes().1),
        ["reservations", count] => same("reservations", parse(count)?, node.engine.sizes().2),
        ["no", "reservation"] => same("reservations", 0, node.engine.sizes().2),
        ["no", "reservation", rest @ ..] => match reservations(node, rest)?.as_slice() {
            [] => Ok(()),
            found => Err(format!("there is {found:?}")),
        },
        ["reservation", rest @ ..] => match reservations(node, rest)?.as_slice() {
            [] => Err(format!("there is only {:?}", node.engine.show_reservations(node.now()))),
            _ => Ok(()),
        },
        ["no", "state"] => {
            let (sessions, paths, reservations) = node.engine.sizes();
            same("state blocks", 0, sessions + paths + reservations)
        }
        ["counted", kind, reason] => {
            let risen = before.risen(node);
            let wanted = format!("{kind} {reason}");
            let found = risen.contains(&wanted);
            found.then_some(()).ok_or_else(|| format!("these rose: {risen:?}"))
        }
        ["alarm", range] => {
            let (first, last) = times(range)?;
            match node.alarm() {
                Some(at) if (first..=last).contains(&at) => Ok(()),
                other => Err(format!("the next alarm is at {other:?} us")),
            }
        }
        ["no", "alarm"] => match node.alarm() {
            None => Ok(()),
            Some(at) => Err(format!("the next alarm is at {at} us")),
        },
        ["joined", group, "on", interface] => {
            let wanted = (parse(group)?, node.interface(interface)?);
            let found = node.joined.contains(&wanted);
            found.then_some(()).ok_or_else(|| format!("joined are {:?}", node.joined))
        }
        ["no", "traffic", "on", name] => {
            let index = node.interface(name)?;
            let found = node.traffic.keys().any(|(interface, _)| *interface == index);
            if found { Err(format!("there is {:?}", node.traffic)) } else { Ok(()) }
        }
        ["traffic", "on", name, rest @ ..] => traffic(node, node.interface(name)?, rest),
        ["no", "notice"] => match node.notices.as_slice() {
            [] => Ok(()),
            told => Err(format!("told were {told:?}")),
        },
        ["notice", name, rest @ ..] => notice(node, name, rest),
        _ => Err("no such expectation".to_owned()),
    }
}

fn same(what: &str, wanted: usize, got: usize) -> Result<(), String> {
    if wanted == got { Ok(()) } else { Err(format!("{got} {what}, not {wanted}")) }
}

fn sender_view(node: &Node, sender: &str) -> Result<Option<SenderView>, String> {
    let wanted = filter(sender)?;
    let sessions: Vec<SessionView> = node.engine.show_sessions(node.now());
    let mut all = sessions.into_iter().flat_map(|session| session.senders);
    Ok(all.find(|view| view.sender.source == wanted.source && id(sender) == view.sender.id))
}

/// The port, SPI or flow label of a filter in words.
fn id(word: &str) -> u32 {
    let number = word.rsplit([':', '#', '~']).next().unwrap_or_default();
    number.parse().unwrap_or(u32::MAX)
}

fn path(node: &Node, sender: &str, words: &[&str]) -> Result<(), String> {
    let view = sender_view(node, sender)?.ok_or("there is none")?;
    for pair in words.chunks(2) {
        let holds = match pair {
            ["phop", "none"] => view.phop.is_none(),
            ["phop", address] => view.phop == Some(parse(address)?),
            ["in", name] => view.incoming.as_deref() == Some(*name),
            ["out", "none"] => view.outgoing.is_empty(),
            ["out", names] => view.outgoing.join(",") == *names,
            ["rate", rate] => view.tspec.rate == parse::<u64>(rate)?,
            ["non-rsvp-hop", "yes"] => view.non_rsvp_hop,
            ["non-rsvp-hop", "no"] => !view.non_rsvp_hop,
            ["expires-in", span] => view.expires_in_ms == Some(time(span)? / 1000),
            other => return Err(format!("`{}` says nothing of a path", other.join(" "))),
        };
        if !holds {
            return Err(format!("not `{}` but {view:?}", pair.join(" ")));
        }
    }
    Ok(())
}

/// The reservations that fit the words.
fn reservations(node: &Node, words: &[&str]) -> Result<Vec<ReservationView>, String> {
    let mut found = node.engine.show_reservations(node.now());
    for pair in words.chunks(2) {
        match pair {
            ["for", sender] => {
                let wanted = filter(sender)?;
                found.retain(|view| {
                    view.sender.source == wanted.source && view.sender.id == id(sender)
                });
            }
            ["on", name] => found.retain(|view| view.interface == *name),
            ["from", address] => {
                let address: std::net::IpAddr = parse(address)?;
                found.retain(|view| view.next_hop == address);
            }
            ["style", style] => found.retain(|view| view.style == *style),
            ["rate", rate] => {
                let rate: u64 = parse(rate)?;
                found.retain(|view| view.traffic.rate == rate);
            }
            ["expires-in", span] => {
                let span = Some(time(span)? / 1000);
                found.retain(|view| view.expires_in_ms == span);
            }
            other => return Err(format!("`{}` says nothing of a reservation", other.join(" "))),
        }
    }
    Ok(found)
}

/// What is reserved on an interface, for one sender or `shared`.
fn traffic(node: &Node, interface: u32, words: &[&str]) -> Result<(), String> {
    let (sender, rest) = match words {
        ["shared", rest @ ..] => (None, rest),
        ["for", sender, rest @ ..] => (Some(filter(sender)?), rest),
        _ => return Err("want `shared` or `for SENDER`".to_owned()),
    };
    let setting = node.traffic.get(&(interface, sender));
    let setting = setting.ok_or_else(|| format!("there is only {:?}", node.traffic))?;
    let police = &setting.police;
    let flags: Vec<&str> =
        [(police.entry, "E_Police"), (police.merge, "M_Police"), (police.branch, "B_Police")]
            .into_iter()
            .filter_map(|(set, name)| set.then_some(name))
            .collect();
    let flags = if flags.is_empty() { "none".to_owned() } else { flags.join("+") };
    for pair in rest.chunks(2) {
        let holds = match pair {
            ["rate", rate] => setting.flowspec.rate().to_integer() == parse::<u64>(rate)?,
            ["path-te", rate] => setting.path_te.rate.to_integer() == parse::<u64>(rate)?,
            ["police", wanted] => flags == *wanted,
            other => return Err(format!("`{}` says nothing of traffic", other.join(" "))),
        };
        if !holds {
            return Err(format!("not `{}` but {setting:?}", pair.join(" ")));
        }
    }
    Ok(())
}

/// Takes the first notice of an application that fits.
fn notice(node: &mut Node, name: &str, words: &[&str]) -> Result<(), String> {
    let handle = *node.applications.get(name).ok_or_else(|| format!("no application {name}"))?;
    let fits = |event: &NoticeEvent| -> Result<bool, String> {
        Ok(match (words, event) {
            (["confirmed"], NoticeEvent::Confirmed)
            | (["reserved"], NoticeEvent::Reserved { .. })
            | (["released"], NoticeEvent::Released)
            | (["sender-gone"], NoticeEvent::SenderGone) => true,
            (["error", from, what], NoticeEvent::Error { node, code, value, .. }) => {
                *node == parse::<std::net::IpAddr>(from)? && *what == format!("{code}/{value}")
            }
            _ => false,
        })
    };
    for at in 0..node.notices.len() {
        let (told, event) = &node.notices[at];
        if *told == handle && fits(event)? {
            node.notices.remove(at);
            return Ok(());
        }
    }
    Err(format!("told were {:?}", node.notices))
}
