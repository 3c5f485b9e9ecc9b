//! The deterministic simulator: random networks of real engines, disturbed, and held against a
//! reference that shares no code with the engine.
//!
//! ```text
//!  plan.rs       a random network from a seed: topology, prices, clocks, sessions
//!  world.rs      the intents of applications and operators, and the events that change them
//!  reference.rs  the path and reservation state that all nodes must come to
//!  money.rs      the prices and payments, by `charging_model::tree`
//!  tellers.rs    accounts that operators open, credit, limit and close
//!  reckoning.rs  what accounts come to by the journals, and what they may
//!  compare.rs    what the daemons show, against both
//!  play.rs       disturb, come to rest, compare; at last tear everything down
//!  scenario.rs   scenarios with a name, and their figures
//!  run.rs        the program: arguments, many networks, reports
//! ```

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a simulation stops at the first thing that cannot be; nodes and links are indices"
)]

mod compare;
mod intruder;
mod money;
mod plan;
mod play;
mod reckoning;
mod reference;
mod run;
mod scenario;
mod tellers;
mod world;

pub use compare::Difference;
pub use plan::Plan;
pub use play::{Failure, Totals, play};
pub use run::{main, series};
pub use scenario::{Figures, Scenario, stage};
pub use world::World;
