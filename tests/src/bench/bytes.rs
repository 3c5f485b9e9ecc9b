//! What charging adds to the bytes on a link: a call, played by engines in virtual time.
//!
//! ```text
//!  S ──── A ════ B ──── R      80 kbit/s of data from S to R for three minutes
//! ```
//!
//! All messages of RSVP that cross the link between the routers are counted with their IP headers,
//! with charging and without; the difference is charging's.

use lcm_daemon::engine::SenderShare;
use rsvp_wire::MessageType;
use serde_json::{Value, json};

use super::figure::Figure;
use super::outcome::Table;
use crate::sim::{Kind, Net, NodeConfig, Options, Topology, reserve_up_to};

/// How long the call lasts, in milliseconds.
const CALL_MS: u64 = 180_000;
/// What it sends: 64 kbit/s and its headers, in bytes a second.
const DATA_PER_S: u64 = 10_000;
/// R in milliseconds.
const REFRESH_MS: u32 = 30_000;
/// Calls that are played, each with other moments of refreshing.
const CALLS: u64 = 20;
/// The same in a quick run.
const CALLS_QUICK: u64 = 3;

/// Bytes of calls of one kind.
#[derive(Debug, Clone)]
struct Row {
    name: &'static str,
    key: &'static str,
    /// Charging's share of all bytes, and of the signalling alone, in percent.
    of_all: Figure,
    of_signalling: Figure,
    /// Bytes of signalling with charging and without.
    charging: Figure,
    ignorant: Figure,
}

/// Plays the calls.
pub(super) fn measure(quick: bool) -> (Table, Value) {
    let kinds = [
        ("in whole, the receiver pays", "whole", None, false),
        ("in whole, the sender pays a part", "whole_shared", None, true),
        ("by number, the receiver pays", "reduction", Some(0), false),
        ("by number, the sender pays a part", "reduction_shared", Some(0), true),
    ];
    let calls = if quick { CALLS_QUICK } else { CALLS };
    let rows = kinds.map(|(name, key, reducing, shared)| {
        let pairs: Vec<(f64, f64)> = (1..=calls)
            .map(|seed| {
                let bytes = |charging| call(seed, reducing, shared, charging) as f64;
                (bytes(true), bytes(false))
            })
            .collect();
        let data = (DATA_PER_S * CALL_MS / 1_000) as f64;
        let figure = |of: &dyn Fn(f64, f64) -> f64| {
            Figure::of(pairs.iter().map(|&(charging, ignorant)| of(charging, ignorant)))
        };
        Row {
            name,
            key,
            of_all: figure(&|with, without| (with - without) / (with + data) * 100.0),
            of_signalling: figure(&|with, without| (with - without) / with.max(1.0) * 100.0),
            charging: figure(&|with, _| with),
            ignorant: figure(&|_, without| without),
        }
    });
    let mut table = Table::new(
        "Bytes of a call of 3 minutes at 80 kbit/s, R = 30 s",
        &[
            "refreshes",
            "charging, % of all",
            "% of the signalling",
            "signalling, B",
            "charging off, B",
        ],
    );
    for row in &rows {
        table.row(
            row.name,
            [
                row.of_all.text(4),
                row.of_signalling.text(1),
                row.charging.text(0),
                row.ignorant.text(0),
            ],
        );
    }
    table.note(format!(
        "messages of engines in virtual time, on the link between two routers, both ways, with IP \
         headers, from the first PATH to the last tear; {calls} calls"
    ));
    let json = rows.iter().map(|row| {
        let value = json!({
            "percent_of_all": row.of_all.json(5), "percent_of_signalling": row.of_signalling.json(2),
            "bytes": row.charging.json(0), "bytes_charging_off": row.ignorant.json(0),
            "spread_percent_of_all": row.of_all.spread(5),
        });
        (row.key.to_owned(), value)
    });
    (table, Value::Object(json.collect()))
}

/// Bytes of signalling of one call on the link between the routers.
fn call(seed: u64, reducing: Option<u64>, shared: bool, charging: bool) -> u64 {
    let mut topology = Topology::default();
    let [sender, first, second, receiver] =
        [("S", Kind::Host), ("A", Kind::Router), ("B", Kind::Router), ("R", Kind::Host)]
            .map(|(name, kind)| topology.node(name, kind));
    topology.link(sender, first, (0, 0));
    topology.link(first, second, (60, 60));
    topology.link(second, receiver, (40, 40));
    let link = topology.between(first, second);
    let config = NodeConfig { refresh_ms: REFRESH_MS, charging, reducing, ..NodeConfig::default() };
    let mut net = Net::new(topology, Options { seed, config, ..Options::default() });
    let session = net.session_to(receiver);
    let share = SenderShare {
        fraction_ppm: 300_000,
        account: None,
        limit_per_receiver: Some(1_000),
        limit_per_hop: None,
        max_hops: None,
    };
    let sending = net.send(sender, session, (shared && charging).then_some(share));
    let receiving = net.receive_as(receiver, reserve_up_to(session, None));
    net.run_ms(CALL_MS);
    net.close(receiver, receiving);
    net.close(sender, sending);
    net.run_ms(5_000);
    // PATH and PATHTEAR carry Router Alert beside the header.
    let header = |kind| match kind {
        MessageType::Path | MessageType::PathTear => 24,
        _ => 20,
    };
    let crossings = net.log.crossings().iter().filter(|crossing| crossing.link == link);
    crossings.map(|c| (net.log.bytes(c).len() + header(c.message_type)) as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r109_charging_adds_a_thousandth_of_the_bytes_of_a_call() {
        let bytes = |reducing, charging| call(1, reducing, false, charging);
        let (whole, plain) = (bytes(None, true), bytes(None, false));
        assert!(plain > 1_000 && whole > plain, "{whole} {plain}");
        let all = DATA_PER_S * CALL_MS / 1_000 + whole;
        assert!((whole - plain) * 1_000 <= all, "{whole} {plain} of {all}");
        let (numbers, plain) = (bytes(Some(0), true), bytes(Some(0), false));
        assert!(numbers > plain && numbers < whole, "{numbers} {plain}");
    }
}
