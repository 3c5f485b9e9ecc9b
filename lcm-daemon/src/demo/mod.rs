//! `lcmctl demo`: the product at work, in namespaces on this machine's kernel.

mod args;
mod expect;
mod figure2;
mod observe;
mod report;
pub mod stage;

pub use args::{Demo, Figure2Args, LinkRate};
pub use expect::{DcpeRow, Figure, Phase, UcpeRow};
pub use observe::{Observer, Spoken, Words};

use crate::exit::Exit;

/// Runs a demo; to be called while the process has a single thread.
pub(crate) fn run(demo: &Demo) -> Exit {
    match demo {
        Demo::Figure2(args) => figure2::run(args),
    }
}
