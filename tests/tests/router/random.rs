//! Whatever applications and operators do, nobody pays what it did not approve: a play from a seed
//! in which nothing is awaited or compared but at its end (`support/promise.rs`).

use lcm_daemon::control::Request;
use lcm_tests::harness::TestResult;

use crate::support::play::{self, Play};
use crate::support::wire::PATH;

/// Changes in one play.
const CHANGES: usize = 24;
/// Interfaces that cost something.
const PRICED: [(&str, &str); 4] =
    [("IS1", "to-IS2"), ("IS2", "to-IS3"), ("IS2", "to-R1"), ("IS3", "to-R2")];

pub(crate) fn changes() -> TestResult {
    for seed in [1, 2] {
        play(seed).map_err(|error| format!("seed {seed}: {error}"))?;
    }
    Ok(())
}

fn play(seed: u64) -> TestResult {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut play = Play::start(play::figure())?;
    let mut sender = Some(play.send()?);
    let mut receivers = [("R1", None), ("R2", None)];
    for _ in 0..CHANGES {
        match random.u8(..8) {
            0 => match sender.take() {
                Some(handle) => play.close("S", handle)?,
                None => sender = Some(play.send_share(random.u32(..=1_000_000))?),
            },
            1..4 => {
                let (name, handle) = &mut receivers[random.usize(..2)];
                match handle.take() {
                    Some(handle) => play.close(name, handle)?,
                    None => *handle = Some(play.stage.receive(name, None)?),
                }
            }
            _ => {
                let (node, interface) = PRICED[random.usize(..PRICED.len())];
                let request = Request::Price {
                    interface: interface.to_owned(),
                    price: random.u64(..500),
                    max_price: None,
                    at_admission: random.u8(..4) == 0,
                };
                play.stage.ask(node, &request)?;
            }
        }
        // As long as it takes that somebody somewhere says something: not at all, or a while.
        let mark = play.mark();
        if sender.is_some() && random.bool() {
            play.wait_for("a PATH", mark, |heard| heard.message.kind == PATH)?;
        }
    }
    Ok(())
}
