//! Scenarios with a name, for research on the dynamics of prices (row 116): one tree of routers and
//! receivers from a seed, one kind of disturbance, the figures of what it costs, and what must hold
//! whatever happens.

use std::fmt;

use charging_model::tree::{Link, Tree};
use charging_model::{Ppm, Rate};
use clap::ValueEnum;

use crate::sim::{NodeId, Options, TreeNet, Weather};

/// R, in milliseconds.
const R_MS: u64 = 30_000;
/// A network is at rest again after this: the lifetime of state, and refreshes for what was lost.
const REST_MS: u64 = 12 * R_MS;
/// A price moves between half and twice of what it was.
const MOST: u64 = 2;

/// What disturbs the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Routers undercut and outbid each other every ten seconds.
    PriceWar,
    /// All receivers join within a second, and leave likewise, again and again.
    MassJoinLeave,
    /// A router reports less than was announced below it, and then the truth.
    LyingNeighbour,
    /// Half of all messages are lost for a minute.
    LossBurst,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Which scenario.
    pub scenario: Scenario,
    /// The seed that repeats it.
    pub seed: u64,
    /// Routers and receivers.
    pub size: (usize, usize),
    /// What was done to the network.
    pub disturbances: u64,
    /// Messages from the first of these on until the network was at rest, and what refreshes alone
    /// come to in that time.
    pub messages: (u64, u64),
    /// Alarms about neighbours.
    pub alarms: usize,
    /// Outages of reservations.
    pub outages: u64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, seed, size, disturbances, messages, alarms, outages } = self;
        writeln!(f, "scenario {scenario:?}, seed {seed}")?;
        writeln!(f, "  {} routers, {} receivers, all paid for and at rest again", size.0, size.1)?;
        writeln!(f, "  {disturbances} disturbances, {alarms} alarms, {outages} outages")?;
        let more = messages.0.saturating_sub(messages.1) as f64 / (*disturbances).max(1) as f64;
        write!(
            f,
            "  {} messages, {} at rest in that time: {more:.1} more for each disturbance",
            messages.0, messages.1
        )
    }
}

fn tree(rng: &mut fastrand::Rng) -> (Tree, usize) {
    let routers = rng.usize(2..8);
    let mut link = |parent, receives| {
        let local = if parent == 0 { 0 } else { rng.u64(10..1_000) };
        let (local, max_local) = (Rate(local), Rate(local * MOST));
        Link { parent, local, max_local, weight: 1, receives }
    };
    let mut links = vec![link(0, false)];
    // A chain with a branch in it, and a receiver or two below each router.
    for router in 2..=routers {
        links.push(link(router - 1 - usize::from(router % 3 == 0), false));
    }
    for receiver in 0..2 * routers {
        links.push(link(1 + receiver % routers, true));
    }
    let fraction = Ppm::new(rng.u32(0..600_000)).unwrap_or_default();
    (Tree { links, fraction, ..Tree::default() }, routers)
}

/// Says that 7 less was announced below than was.
fn deflate(message: &mut [u8]) {
    let Some(at) = message.windows(2).position(|pair| pair == [0xD0, 0x02]) else { return };
    let Some(field) = message.get_mut(at + 18..at + 26) else { return };
    let said = field.iter().fold(0, |sum, octet| sum << 8 | u64::from(*octet));
    field.copy_from_slice(&said.saturating_sub(7).to_be_bytes());
}

/// Plays a scenario.
///
/// # Panics
///
/// If the network does not come to rest where the model says, an account is debited what was not
/// approved, or the sum of all accounts is not 0.
#[must_use]
pub fn stage(scenario: Scenario, seed: u64) -> Figures {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (tree, routers) = tree(&mut rng);
    let receivers: Vec<NodeId> = (routers + 1..=tree.links.len()).collect();
    let mut play = TreeNet::new(&tree, Options { seed, ..Options::default() }, false);
    receivers.iter().for_each(|receiver| play.join(*receiver));
    play.rest();
    play.assert_agrees();
    let (begun, before) = (play.net.now_us(), play.net.log.messages());
    let disturbances = disturb(scenario, &mut play, &mut rng, routers, &receivers);
    play.net.run_ms(REST_MS);
    let (ended, after) = (play.net.now_us(), play.net.log.messages());
    play.assert_agrees();
    play.net.assert_promise();
    assert_eq!(play.net.balances().iter().sum::<i128>(), 0, "the sum of all accounts");
    let alarms = (0..=tree.links.len()).map(|node| play.net.node(node).alarms());
    let alarms = alarms.map(|told| told.iter().filter(|alarm| alarm.kind.is_some()).count()).sum();
    let counted = |node| play.net.node(node).engine().counters().outages.values().sum::<u64>();
    let outages = (0..=tree.links.len()).map(counted).sum();
    play.assert_metered(R_MS);
    // At rest there are refreshes and nothing else.
    let (quiet, idle) = (play.net.now_us(), play.net.log.messages());
    play.net.run_ms(10 * R_MS);
    let rate = play.net.log.messages() - idle;
    let at_rest = rate * (ended - begun) / (play.net.now_us() - quiet);
    let messages = (after - before, at_rest);
    let size = (routers, receivers.len());
    Figures { scenario, seed, size, disturbances, messages, alarms, outages }
}

/// What the scenario does; how much of it.
fn disturb(
    scenario: Scenario,
    play: &mut TreeNet,
    rng: &mut fastrand::Rng,
    routers: usize,
    receivers: &[NodeId],
) -> u64 {
    match scenario {
        Scenario::PriceWar => {
            for _ in 0..20 {
                let index = rng.usize(1..play.tree.links.len());
                let link = &mut play.tree.links[index];
                let price = rng.u64(link.max_local.0 / (2 * MOST)..=link.max_local.0);
                link.local = Rate(price);
                let parent = link.parent;
                play.net.set_price(parent, index, price, false);
                play.net.run_ms(10_000);
            }
            20
        }
        Scenario::MassJoinLeave => {
            for _ in 0..3 {
                for receiver in receivers {
                    play.leave(*receiver);
                    play.net.run_ms(rng.u64(0..1_000 / receivers.len() as u64));
                }
                play.net.run_ms(rng.u64(0..5_000));
                for receiver in receivers {
                    play.join(*receiver);
                    play.net.run_ms(rng.u64(0..1_000 / receivers.len() as u64));
                }
                play.net.run_ms(rng.u64(0..5_000));
            }
            6 * receivers.len() as u64
        }
        Scenario::LyingNeighbour => {
            // Not the first router: above it there is only the sender.
            play.net.set_lie(rng.usize(2..=routers), Some(deflate));
            play.net.run_ms(8 * R_MS);
            for router in 2..=routers {
                play.net.set_lie(router, None);
            }
            1
        }
        Scenario::LossBurst => {
            play.net.set_weather(Weather { loss_permille: 500, ..Weather::FAIR });
            play.net.run_ms(60_000);
            play.net.set_weather(Weather::FAIR);
            1
        }
    }
}
