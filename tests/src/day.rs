//! A day of fifty routers with congestion prices, and receivers that reserve only what they find
//! cheap enough.
//!
//! ```text
//!            S
//!            │
//!            0            each router i has (i − 1) / 2 above it; the 25 lowest have two receivers
//!          ┌─┴─┐          each, so that 25 or so share each of the two links below the first router
//!          1   2
//!         ┌┴┐ ┌┴┐
//!         3 4 5 6  …  49
//! ```
//!
//! What receivers want follows the hour; what each would pay is its own. They look at prices every
//! few minutes, as people do, and not all at once.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a network that does not do what is measured is to stop the measurement"
)]

use std::path::Path;

use lcm_daemon::chart::{Axis, Chart, Line};
use lcm_daemon::engine::Handle;
use lcm_daemon::tariff::{Class, Congestion, Flat, Most, Tariff};

use crate::sim::{Kind, LinkId, Net, NodeConfig, NodeId, Options, Topology, reserve_up_to};

/// Routers of the tree.
pub const ROUTERS: usize = 50;
/// What a link costs a flow when hardly anything is reserved.
pub const BASE: u64 = 1_000;
/// What a price is at most, in percent of that.
const DEAREST_PERCENT: u32 = 500;
/// How long a price stands at least.
pub const HOLD_MS: u32 = 900_000;
/// R: a day has a thousand refreshes of it.
const REFRESH_MS: u32 = 90_000;
/// How often the network is looked at, and some receivers decide.
const STEP_MS: u64 = 300_000;
/// What the two links below the first router carry: 16 of the 25 flows that may want to.
const TRUNK: u64 = 16_000_000;

/// What part of the receivers want something, in percent, from each hour on.
const DEMAND: [(u64, u64); 6] = [(0, 20), (4, 10), (7, 60), (11, 80), (17, 100), (22, 40)];

/// What was seen at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Minutes since midnight.
    pub minute: u64,
    /// Price of a flow on the first of the two trunks.
    pub price: u64,
    /// Receivers that want something, and those that have it.
    pub wanting: usize,
    /// Receivers whose reservation stands.
    pub reserved: usize,
    /// Messages since the start, on all links.
    pub messages: u64,
}

/// A day that was played.
#[derive(Debug, Clone)]
pub struct Day {
    /// One every five minutes.
    pub samples: Vec<Sample>,
    /// How often the price of the first trunk changed.
    pub changes: u64,
}

struct Customer {
    node: NodeId,
    /// It wants something while demand is above this, in percent.
    from: u64,
    /// What it would pay for the whole way.
    most: u64,
    handle: Option<Handle>,
}

/// Plays so many hours from an hour of the day on.
#[must_use]
pub fn play(seed: u64, from: u64, hours: u64) -> Day {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut net, server, routers, mut customers, trunk) = network(seed, &mut rng);
    for customer in &customers {
        let session = net.session_to(customer.node);
        net.send(server, session, None);
    }
    net.run_ms(5_000);
    let (mut samples, mut changes, mut last) = (Vec::new(), 0, None);
    for step in 0..hours * 3_600_000 / STEP_MS {
        let minute = from * 60 + step * STEP_MS / 60_000;
        let demand = demand_at(minute / 60 % 24);
        let mut wanting = 0;
        for customer in &mut customers {
            let wants = customer.from < demand;
            wanting += usize::from(wants);
            // A third of them look now.
            if rng.u32(..3) == 0 {
                decide(&mut net, customer, wants);
            }
        }
        net.run_ms(STEP_MS);
        let price = price_of(&net, routers[0], trunk);
        changes += u64::from(last.is_some_and(|last| last != price));
        last = Some(price);
        let reserved = customers.iter().filter(|customer| stands(&net, customer)).count();
        samples.push(Sample { minute, price, wanting, reserved, messages: net.log.messages() });
    }
    Day { samples, changes }
}

fn demand_at(hour: u64) -> u64 {
    DEMAND.iter().rev().find(|(from, _)| *from <= hour).map_or(0, |(_, percent)| *percent)
}

fn network(
    seed: u64,
    rng: &mut fastrand::Rng,
) -> (Net, NodeId, Vec<NodeId>, Vec<Customer>, LinkId) {
    let mut t = Topology::default();
    let server = t.node("S", Kind::Host);
    let routers: Vec<NodeId> =
        (0..ROUTERS).map(|index| t.node(&format!("N{index}"), Kind::Router)).collect();
    t.link(server, routers[0], (0, 0));
    let mut priced = Vec::new();
    for index in 1..ROUTERS {
        let above = routers[(index - 1) / 2];
        let link = t.link(above, routers[index], (0, 0));
        t.limit(link, above, if index <= 2 { TRUNK } else { 2 * TRUNK });
        priced.push((above, link));
    }
    let mut customers = Vec::new();
    for (index, router) in routers.iter().enumerate().skip(ROUTERS / 2) {
        for which in 0..2 {
            let node = t.node(&format!("R{index}-{which}"), Kind::Host);
            t.link(*router, node, (0, 0));
            let (from, most) = (rng.u64(..100), rng.u64(6 * BASE..16 * BASE));
            customers.push(Customer { node, from, most, handle: None });
        }
    }
    let trunk = priced[0].1;
    let config = NodeConfig { refresh_ms: REFRESH_MS, ..NodeConfig::default() };
    let mut net = Net::new(t, Options { seed, config, keep_packets: false, ..Options::default() });
    for (router, link) in priced {
        let flat = Class::new(Flat { price_pico_per_s: BASE }, Most::Price(BASE));
        let congestion = Congestion {
            points: vec![(0, 100), (50, 100), (100, DEAREST_PERCENT)],
            hold_ms: HOLD_MS,
            least_change_percent: 15,
            approach_percent: 34,
        };
        let tariff = Tariff { congestion: Some(congestion), ..Tariff::new(flat, None) };
        let name = net.topology.interface_name(router, link);
        net.input(router, |engine, now| engine.set_tariff(now, &name, tariff)).expect("a tariff");
    }
    (net, server, routers, customers, trunk)
}

/// Reserves what is wanted and cheap enough; ends what is neither.
fn decide(net: &mut Net, customer: &mut Customer, wants: bool) {
    let quoted = quoted(net, customer);
    if let Some(handle) = customer.handle {
        if !wants || quoted.is_none_or(|price| price > customer.most) {
            net.close(customer.node, handle);
            customer.handle = None;
        }
    } else if wants && quoted.is_some_and(|price| price <= customer.most) {
        let request = reserve_up_to(net.session_to(customer.node), Some(customer.most));
        customer.handle = Some(net.receive_as(customer.node, request));
    }
}

fn quoted(net: &Net, customer: &Customer) -> Option<u64> {
    let now = net.clock(customer.node);
    let sessions = net.node(customer.node).engine().show_sessions(now);
    sessions.first()?.senders.first()?.charging.as_ref().map(|charging| charging.total_charge)
}

fn stands(net: &Net, customer: &Customer) -> bool {
    customer.handle.is_some() && net.node(customer.node).engine().sizes().2 > 0
}

fn price_of(net: &Net, router: NodeId, link: LinkId) -> u64 {
    let name = net.topology.interface_name(router, link);
    let interfaces = net.node(router).engine().show_interfaces(net.clock(router));
    interfaces.into_iter().find(|one| one.name == name).expect("an interface").price
}

impl Day {
    /// Samples within these hours.
    pub fn between(&self, from: u64, to: u64) -> &[Sample] {
        let at = |hour: u64| self.samples.partition_point(|sample| sample.minute < hour * 60);
        &self.samples[at(from)..at(to)]
    }

    /// Messages for each reservation that stands and hour, in the dearest hour.
    #[must_use]
    pub fn messages_an_hour(&self) -> u64 {
        let hours = self.samples.windows(13).step_by(12);
        hours.map(|hour| hour[12].messages - hour[0].messages).max().unwrap_or(0)
    }

    /// Draws price, demand and reservations over the day.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn draw(&self, file: &Path) -> std::io::Result<()> {
        let line = |name: &str, value: &dyn Fn(&Sample) -> u64| Line {
            name: name.to_owned(),
            points: self.samples.iter().map(|sample| (sample.minute, value(sample))).collect(),
            steps: true,
        };
        let percent = |count: usize| count as u64 * 100 / ROUTERS as u64;
        let last = self.samples.last().map_or(0, |sample| sample.minute);
        let first = self.samples.first().map_or(0, |sample| sample.minute);
        let hours = (first / 60..=last / 60 + 1).step_by(3);
        let chart = Chart {
            title: "A day of 50 routers with congestion prices".to_owned(),
            x: Axis {
                label: "hour".to_owned(),
                from: first,
                to: last,
                marks: hours.map(|hour| (hour * 60, hour.to_string())).collect(),
            },
            y: Axis::up_to("percent", u64::from(DEAREST_PERCENT)),
            lines: vec![
                line("price on the first trunk, of what it is when idle", &|sample| {
                    sample.price * 100 / BASE
                }),
                line("receivers that want to reserve", &|sample| percent(sample.wanting)),
                line("receivers that have reserved", &|sample| percent(sample.reserved)),
            ],
        };
        std::fs::write(file, chart.to_string())
    }
}
