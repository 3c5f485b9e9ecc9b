//! Support for the tests that drive real daemons.

pub mod harness;
