//! The journal on a real disk and on one that fails.

mod disk;
mod faults;
mod sim;
mod speed;
mod tools;

use tokio::sync::mpsc::UnboundedReceiver;

use super::record::{AccountId, Cause, Meter, Payment};
use super::record::{Body, Consent, Neighbour, Runs, Stamp, Started};
use super::writer::Event;

/// What the thread says next, but for how fast the disk is: on a busy machine any may be slow.
pub(super) fn next_event(heard: &mut UnboundedReceiver<Event>) -> Event {
    loop {
        match heard.blocking_recv().unwrap() {
            Event::Slow | Event::Swift => {}
            event => return event,
        }
    }
}

/// A record that differs with `n`, of a usual kind.
pub(super) fn sample(n: u64) -> Body {
    let neighbour = Neighbour { interface: 2, address: [192, 0, 2, 1].into() };
    match n % 4 {
        0 => Body::Alive(Stamp { at_ms: n, wall_ms: n + 1_000_000 }),
        1 | 2 => Body::Consent(Consent {
            at_ms: n,
            flow: n % 100,
            payer: neighbour,
            account: AccountId { kind: 1, id: n.to_be_bytes().into() },
            ceiling: n << 20,
            epoch: 1_700_000_000,
            sequence: 1_700_000_000,
            instance: 1_700_000_000,
            tariff: 1,
            digest: [7; 16],
        }),
        _ => Body::Runs(Runs {
            at_ms: n,
            meter: Meter { flow: n, payment: Payment::ReceiverIn, neighbour },
            rate: n,
            cause: Cause::Terms,
        }),
    }
}

pub(super) fn started() -> Body {
    Body::Started(Started {
        node: "is1".to_owned(),
        program: "lcm-daemon test".to_owned(),
        boot: [3; 16],
        currency: 978,
        hold_ms: 0,
        stamp: Stamp { at_ms: 5, wall_ms: 6 },
    })
}
