//! Breadth first through all states, so that the way to a violation is a shortest one.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

use super::check::{always, outcome, rest_bound_us, unrest};
use super::scenario::Scenario;
use super::shape::Fingerprint;
use super::world::{Action, World};

/// Where an exploration ends.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// States; beyond them the exploration is not complete.
    pub states: usize,
    /// Actions from the start.
    pub depth: u32,
    /// Collect what can be seen of each state.
    pub outcomes: bool,
}

impl Limits {
    /// No bound but the number of states.
    pub const fn states(states: usize) -> Self {
        Self { states, depth: u32::MAX, outcomes: false }
    }
}

/// What an exploration found.
#[derive(Debug, Default)]
pub struct Report {
    /// Different states.
    pub states: usize,
    /// Ways from one to the next.
    pub transitions: usize,
    /// Most actions from the start to a state.
    pub depth: u32,
    /// States in which the network was compared with its topology.
    pub at_rest: usize,
    /// The longest time after a disturbance at which an idle network was not yet as its topology
    /// says, in milliseconds.
    pub longest_unrest_ms: u64,
    /// All states within the limits were visited.
    pub complete: bool,
    /// What can be seen of the states, if that was asked for.
    pub outcomes: BTreeSet<String>,
    /// The first thing that must not be.
    pub violation: Option<Violation>,
}

/// Something that must not be, with the way to it.
#[derive(Debug)]
pub struct Violation {
    /// What is wrong.
    pub what: String,
    /// What happened from the start, one action a line.
    pub trace: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.trace.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        write!(f, "{}", self.what)
    }
}

/// Fingerprints are hashes already.
#[derive(Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().rev().fold(self.0, |sum, byte| sum << 8 | u64::from(*byte));
    }

    fn write_u128(&mut self, print: u128) {
        self.0 = print as u64;
    }
}

struct Search<'s> {
    scenario: &'s Scenario,
    rest_us: u64,
    /// How each state was first reached.
    reached: Vec<(u32, Action)>,
    report: Report,
    limits: Limits,
}

/// Visits every state of a scenario once.
pub fn explore(scenario: &Scenario, limits: Limits) -> Report {
    let mut search = Search::new(scenario, limits);
    let mut seen: HashSet<Fingerprint, BuildHasherDefault<AsIs>> = HashSet::default();
    let start = World::new(scenario);
    seen.insert(start.fingerprint(search.rest_us));
    let mut frontier = VecDeque::from([(start, 0_u32, 0_u32)]);
    search.report.complete = true;
    while let Some((world, id, depth)) = frontier.pop_front() {
        search.report.depth = depth;
        if let Err(what) = search.look(&world) {
            search.violate(id, what);
            break;
        }
        if depth >= limits.depth {
            continue;
        }
        for action in world.actions() {
            let next = world.after(action);
            search.report.transitions += 1;
            if !seen.insert(next.fingerprint(search.rest_us)) {
                continue;
            }
            if seen.len() > limits.states {
                search.report.complete = false;
                break;
            }
            search.reached.push((id, action));
            let next_id = u32::try_from(search.reached.len() - 1).expect("four billion states");
            frontier.push_back((next, next_id, depth + 1));
        }
    }
    search.report.states = search.reached.len();
    search.report
}

/// Goes every way to the end, whatever states it meets again; only for tiny scenarios, to see that
/// [`explore`] loses nothing by meeting states once.
pub fn explore_tree(scenario: &Scenario, limits: Limits) -> Report {
    let mut search = Search::new(scenario, limits);
    let mut waiting = vec![(World::new(scenario), 0_u32)];
    search.report.complete = true;
    while let Some((world, depth)) = waiting.pop() {
        search.report.states += 1;
        search.report.depth = search.report.depth.max(depth);
        if let Err(what) = search.look(&world) {
            search.report.violation = Some(Violation { what, trace: Vec::new() });
            break;
        }
        if depth < limits.depth {
            let after = world.actions().into_iter().map(|action| world.after(action));
            waiting.extend(after.map(|next| (next, depth + 1)));
        }
    }
    search.report
}

impl<'s> Search<'s> {
    fn new(scenario: &'s Scenario, limits: Limits) -> Self {
        let rest_us = rest_bound_us(scenario);
        let reached = vec![(0, Action::Advance)];
        Self { scenario, rest_us, reached, report: Report::default(), limits }
    }

    fn look(&mut self, world: &World<'_>) -> Result<(), String> {
        if self.limits.outcomes {
            self.report.outcomes.insert(outcome(world));
        }
        always(world)?;
        if !world.is_idle() {
            return Ok(());
        }
        self.report.at_rest += 1;
        let Some(differences) = unrest(world) else { return Ok(()) };
        let calm_ms = world.calm_us() / 1_000;
        self.report.longest_unrest_ms = self.report.longest_unrest_ms.max(calm_ms);
        if world.calm_us() < self.rest_us {
            return Ok(());
        }
        Err(format!("{calm_ms} ms after the last disturbance:\n{differences}"))
    }

    fn violate(&mut self, at: u32, what: String) {
        let mut actions = Vec::new();
        let mut id = at;
        while id != 0 {
            let (before, action) = self.reached[id as usize];
            actions.push(action);
            id = before;
        }
        let mut world = World::new(self.scenario);
        let mut trace = Vec::new();
        for action in actions.into_iter().rev() {
            trace.push(world.describe(action));
            world = world.after(action);
        }
        self.report.violation = Some(Violation { what, trace });
    }
}

impl Report {
    /// The numbers in one line.
    pub fn line(&self, scenario: &Scenario) -> String {
        let all = if self.complete { "all" } else { "the first" };
        format!(
            "{}, {} faults: {all} {} states, {} transitions, depth {}, {} at rest; \
             longest unrest {} s of {} s",
            scenario.name,
            scenario.budget.faults,
            self.states,
            self.transitions,
            self.depth,
            self.at_rest,
            self.longest_unrest_ms as f64 / 1e3,
            rest_bound_us(scenario) as f64 / 1e6,
        )
    }
}
