//! What the tests on the real kernel share: a stage with real daemons, ears on every link, the
//! operator's programs, and eyes that read bytes without the product's help.

#![allow(
    dead_code,
    unused_imports,
    reason = "every test program takes the whole of this and uses its part"
)]

pub(crate) mod golden;
pub(crate) mod metrics;
pub(crate) mod play;
pub(crate) mod programs;
pub(crate) mod promise;
pub(crate) mod wire;

pub(crate) use play::{Heard, Play};
