//! Support for the tests that drive real daemons, and the benchmark.

pub mod bench;
pub mod breakings;
pub mod cost;
pub mod crash;
pub mod day;
pub mod explore;
pub mod harness;
pub mod node;
pub mod promise;
pub mod requirements;
pub mod sim;
pub mod simulate;
