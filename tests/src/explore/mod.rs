//! Exhaustive exploration of networks of a few real engines: every interleaving of deliveries,
//! timers, applications and faults, within a budget of faults.
//!
//! ```text
//!  scenario.rs  a network, what happens in it, what may go wrong
//!  world.rs     one state: engines, messages on their way, clocks; and what may happen next
//!  kernel.rs    what the kernels do: routes, interception, forwarding
//!  shape.rs     when two states are the same
//!  search.rs    breadth first through all states; the shortest way to a violation
//!  check.rs     what must hold in each state, and where the network has come to rest
//!  expect.rs    what a network at rest must look like, from its topology alone
//!  library.rs   the scenarios
//! ```
//!
//! Time stands still while anything is left to do at an instant, and then leaps to the next timer
//! or to the end of a late message's delay. Refreshes have no jitter, so that states recur.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "an exploration stops at the first thing that cannot be; nodes and links are indices"
)]

mod check;
mod expect;
mod kernel;
pub mod library;
mod scenario;
mod search;
mod shape;
mod world;

pub use check::rest_bound_us;
pub use scenario::{Budget, Change, LATE_US, Scenario, Step};
pub use search::{Limits, Report, Violation, explore, explore_tree};
