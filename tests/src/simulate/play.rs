//! One network, played from start to teardown, and checked all the time.

use std::collections::BTreeMap;

use lcm_daemon::engine::{Spending, SpendingNews};

use super::compare::{self, Difference};
use super::plan::{Plan, R_MS};
use super::reckoning;
use super::reference::{self, Expected};
use super::tellers::Tellers;
use super::world::World;
use crate::sim::{Kind, NodeId, Weather};

/// (K + ½) · 1.5 R, in milliseconds, with K = 3.
const LIFETIME_MS: u64 = (2 * 3 + 1) * R_MS * 3 / 4;
/// The longest gap between two refreshes: 1.5 R.
const GAP_MS: u64 = R_MS * 3 / 2;
/// Slow clocks take longer for the same time, and packets their milliseconds.
const SLACK_PERCENT: u64 = 2;
/// How often the state is compared on its way to rest.
const LOOKS: u64 = 6;
/// A network that came to rest is looked at again after this.
const STAY_MS: u64 = GAP_MS + 5_000;
/// Least time between two refreshes of one state: 0.5 R.
const LEAST_GAP_MS: u64 = R_MS / 2;
/// Messages that a change may cost for each hop of all paths: see [`Play::check_messages`].
const MESSAGES_PER_CHANGE: u64 = 6;

/// Small networks are taken for ones with so many hops: a node whose wall clock went back needs up
/// to 25 refusals to find an instance that is new to its neighbour (charging.md T17), each with a
/// PATH, a RESVERR or two, and a new RESV.
const LEAST_HOPS: u64 = 60;

/// What was done and found in one network, or in several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Networks played.
    pub networks: u64,
    /// Virtual time, in milliseconds.
    pub virtual_ms: u64,
    /// Messages that daemons sent.
    pub messages: u64,
    /// States compared with the reference.
    pub compared: u64,
    /// Times that a network came to rest.
    pub rests: u64,
    /// The slowest rest, in thousandths of the time that is allowed.
    pub slowest: u64,
    /// Most messages for a change, in hundredths of a message per hop of all paths.
    pub dearest: u64,
    /// Events by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// A number that differs if any message differs.
    pub digest: u64,
}

impl Totals {
    /// Adds another network.
    pub fn add(&mut self, other: &Self) {
        self.networks += other.networks;
        self.virtual_ms += other.virtual_ms;
        self.messages += other.messages;
        self.compared += other.compared;
        self.rests += other.rests;
        self.slowest = self.slowest.max(other.slowest);
        self.dearest = self.dearest.max(other.dearest);
        for (kind, count) in &other.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        self.digest = (self.digest ^ other.digest).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.digest = self.digest.rotate_left(29);
    }
}

/// What was wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// When, in microseconds of virtual time.
    pub at_us: u64,
    /// Which promise was broken.
    pub promise: String,
    /// Where it shows.
    pub differences: Vec<Difference>,
    /// What had happened until then.
    pub diary: Vec<String>,
}

/// Plays a network; also hands back the world for those who want to read its log.
pub fn play(plan: Plan) -> (Result<Totals, Failure>, World) {
    let mut play = Play { world: World::new(plan), totals: Totals::default() };
    let result = play.run();
    let Play { world, mut totals, .. } = play;
    totals.networks = 1;
    totals.virtual_ms = world.net.now_us() / 1_000;
    totals.messages = world.net.log.messages();
    totals.digest = world.net.log.digest();
    totals.faults = world.faults.clone();
    totals.faults.extend(cut_off(&world));
    (result.map(|()| totals), world)
}

/// How often accounts were used up, or came to a cap, where there are any.
fn cut_off(world: &World) -> Option<(&'static str, u64)> {
    world.tellers.as_ref()?;
    let ended = |news: &&Spending| matches!(news.news, SpendingNews::Ended { .. });
    let nodes = 0..world.net.topology.nodes.len();
    let all = nodes.map(|id| world.net.node(id).spending().iter().filter(ended).count() as u64);
    Some(("accounts used up", all.sum()))
}

struct Play {
    world: World,
    totals: Totals,
}

impl Play {
    fn run(&mut self) -> Result<(), Failure> {
        let end = self.world.plan.minutes * 60_000_000;
        self.world.populate();
        while self.world.net.now_us() < end {
            self.turbulence()?;
            self.rest()?;
        }
        self.tear_down()
    }

    /// A while of events, in fair or foul weather.
    fn turbulence(&mut self) -> Result<(), Failure> {
        if self.world.rng.bool() {
            let loss = self.world.rng.u32(0..300);
            self.world.net.set_weather(Weather::storm(loss));
            self.count("storms");
        }
        for _ in 0..self.world.rng.usize(1..12) {
            self.world.disturb();
            let wait = match self.world.rng.u8(0..4) {
                0 => 0,
                1 => self.world.rng.u64(0..50),
                2 => self.world.rng.u64(0..2_000),
                _ => self.world.rng.u64(0..60_000),
            };
            self.world.net.run_ms(wait);
            self.world.look_who_wants();
            self.check_orphans()?;
        }
        Ok(())
    }

    fn count(&mut self, kind: &'static str) {
        *self.world.faults.entry(kind).or_default() += 1;
    }

    /// Everything must have come to what the reference says, and stay there.
    fn rest(&mut self) -> Result<(), Failure> {
        if self.world.rng.bool() {
            self.world.heal();
        }
        self.world.give_right_keys();
        self.world.net.set_weather(Weather::FAIR);
        self.check_accounts()?;
        self.world.make_rich();
        let expected = reference::expect(&self.world);
        let allowed = self.allowed_ms(&expected);
        let before = self.world.net.log.messages();
        let mut agreed = None;
        for look in 1..=LOOKS {
            self.world.net.run_ms(allowed / LOOKS);
            let (differences, compared) = self.compare(&expected);
            self.totals.compared += compared;
            match differences.is_empty() {
                true => agreed = agreed.or(Some(look)),
                false => agreed = None,
            }
            if look == LOOKS && !differences.is_empty() {
                return Err(self.failure("the state comes to what the reference says", differences));
            }
        }
        self.totals.slowest = self.totals.slowest.max(agreed.unwrap_or(LOOKS) * 1_000 / LOOKS);
        self.check_messages(&expected, before, allowed)?;
        let quiet = self.world.net.log.messages();
        self.world.net.run_ms(STAY_MS);
        let (differences, compared) = self.compare(&expected);
        self.totals.compared += compared;
        if !differences.is_empty() {
            return Err(self.failure("a network at rest stays at rest", differences));
        }
        self.check_quiet(&expected, quiet)?;
        self.check_notes()?;
        self.check_orphans()?;
        self.check_books()?;
        self.check_accounts()?;
        self.totals.rests += 1;
        self.world.clock_went_back = false;
        Ok(())
    }

    /// depth · 1.5 R + (K + ½) · 1.5 R after the last fault.
    fn allowed_ms(&self, expected: &Expected) -> u64 {
        let hops = expected.depth.max(self.depth());
        let mut allowed = hops * GAP_MS + LIFETIME_MS;
        if self.world.clock_went_back {
            // Neighbours believe a node that numbers its messages anew from a smaller number only
            // when what they know of it has ended.
            allowed += LIFETIME_MS;
        }
        allowed * (100 + SLACK_PERCENT) / 100
    }

    /// The longest way through the network: state may be left behind on a way that is not taken
    /// any more.
    fn depth(&self) -> u64 {
        let topology = &self.world.net.topology;
        let routers = topology.nodes.iter().filter(|node| node.kind != Kind::Host).count();
        routers as u64 + 1
    }

    /// Honest daemons accuse nobody when they compare what they know.
    fn check_notes(&mut self) -> Result<(), Failure> {
        match compare::accused(&self.world) {
            accused if accused.is_empty() => Ok(()),
            accused => Err(self.failure("honest nodes' notes do not differ", accused)),
        }
    }

    /// Nobody refreshes what nobody wants: lost tears end hop by hop, each after a lifetime.
    fn check_orphans(&mut self) -> Result<(), Failure> {
        let allowed_ms = self.depth() * (LIFETIME_MS + GAP_MS);
        match compare::orphan(&self.world, allowed_ms * 1_000) {
            Some(orphan) => Err(self.failure("no reservation without a receiver", vec![orphan])),
            None => Ok(()),
        }
    }

    /// A change goes down every path once, and each answer to it comes up every hop at most a few
    /// times: once for the reservation, once for a changed payment, and later without haste for
    /// what moves no payment (charging.md T19). Refreshes come on top, one per hop and 0.5 R.
    fn check_messages(&mut self, expected: &Expected, before: u64, ms: u64) -> Result<(), Failure> {
        let sent = self.world.net.log.messages() - before;
        let hops = expected.flows.max(1);
        let refreshes = 2 * hops * (ms / LEAST_GAP_MS + 1);
        let beyond = sent.saturating_sub(refreshes);
        self.totals.dearest = self.totals.dearest.max(beyond * 100 / hops);
        let allowed = refreshes + MESSAGES_PER_CHANGE * hops * hops.max(LEAST_HOPS);
        if sent <= allowed {
            return Ok(());
        }
        Err(self.failure(
            "messages per change are bounded",
            vec![Difference {
                node: "all".to_owned(),
                what: format!("messages in {ms} ms over {hops} hops of paths"),
                expected: format!("at most {allowed}"),
                found: sent.to_string(),
            }],
        ))
    }

    /// At rest there is nothing but refreshes: PATH and RESV over every hop, twice per R at most.
    fn check_quiet(&mut self, expected: &Expected, before: u64) -> Result<(), Failure> {
        let sent = self.world.net.log.messages() - before;
        let allowed = 2 * expected.flows * (STAY_MS / LEAST_GAP_MS + 1);
        if sent <= allowed {
            return Ok(());
        }
        Err(self.failure(
            "a network at rest only refreshes",
            vec![Difference {
                node: "all".to_owned(),
                what: format!("messages in {STAY_MS} ms over {} hops of paths", expected.flows),
                expected: format!("at most {allowed}"),
                found: sent.to_string(),
            }],
        ))
    }

    /// No payee metered more than its payers approved.
    fn check_books(&mut self) -> Result<(), Failure> {
        let mut broken = self.world.net.broken_promises().into_iter();
        let Some((pair, debited, approved)) = broken.next() else { return Ok(()) };
        let difference = Difference {
            node: self.world.name(pair.payee).to_owned(),
            what: format!("debits of {}", self.world.name(pair.payer)),
            expected: format!("at most {approved}, which was approved"),
            found: debited.to_string(),
        };
        Err(self.failure("nobody is debited what it did not approve", vec![difference]))
    }

    /// After the last teardown nothing is left, and no timer runs.
    fn tear_down(&mut self) -> Result<(), Failure> {
        self.world.give_right_keys();
        self.world.close_all();
        let expected = reference::expect(&self.world);
        let allowed = self.allowed_ms(&expected);
        self.world.net.run_ms(allowed);
        let nodes = (0..self.world.net.topology.nodes.len()).filter(|id| self.world.runs(*id));
        let left: Vec<Difference> = nodes
            .filter_map(|id: NodeId| {
                let sizes = self.world.net.node(id).engine().sizes();
                (sizes != (0, 0, 0)).then(|| Difference {
                    node: self.world.name(id).to_owned(),
                    what: "sessions, path and reservation state blocks".to_owned(),
                    expected: "none".to_owned(),
                    found: format!("{sizes:?}"),
                })
            })
            .collect();
        if !left.is_empty() {
            return Err(self.failure("nothing is left after the last teardown", left));
        }
        // Alarms that were set before may still ring, for nothing.
        if !self.world.net.run_out(2 * LIFETIME_MS) {
            return Err(self.failure("no timer runs after the last teardown", Vec::new()));
        }
        self.check_accounts()?;
        self.check_books()
    }

    /// No account was spent beyond what is in it, nobody was cut off with money left, and what
    /// the daemons say is what follows from their journals.
    fn check_accounts(&mut self) -> Result<(), Failure> {
        match reckoning::broken(&mut self.world) {
            Some(difference) => Err(self.failure("accounts are spent to zero", vec![difference])),
            None => Ok(()),
        }
    }

    /// Where the state differs from the reference. A sender's share that was cut for want of money
    /// does not come back by itself: there only what is left after a teardown is compared.
    fn compare(&self, expected: &Expected) -> (Vec<Difference>, u64) {
        if self.world.tellers.as_ref().is_some_and(Tellers::cut_shares) {
            return (Vec::new(), 0);
        }
        compare::compare(&self.world, expected)
    }

    fn failure(&self, promise: &str, differences: Vec<Difference>) -> Failure {
        Failure {
            at_us: self.world.net.now_us(),
            promise: promise.to_owned(),
            differences,
            diary: self.world.diary.clone(),
        }
    }
}
