//! Books against a second reckoning, and each way in which records can be wrong.

mod faults;
mod naive;
mod states;
mod story;

use std::net::IpAddr;

use super::*;
use crate::ledger::record;

pub(super) const CEILING: u64 = 1_000;

pub(super) fn neighbour(last: u8) -> Neighbour {
    Neighbour { interface: u32::from(last % 3), address: IpAddr::from([10, 0, 0, last]) }
}

pub(super) fn meter(flow: u64, payment: Payment, last: u8) -> Meter {
    Meter { flow, payment, neighbour: neighbour(last) }
}

pub(super) fn stamp(at_ms: u64) -> Stamp {
    Stamp { at_ms, wall_ms: 1_700_000_000_000 + at_ms }
}

pub(super) fn started(boot: u8, at_ms: u64) -> Body {
    Body::Started(Started {
        node: "n".to_owned(),
        program: "lcm-daemon 0".to_owned(),
        boot: [boot; 16],
        currency: 978,
        hold_ms: 500,
        stamp: stamp(at_ms),
    })
}

pub(super) fn flow(flow: u64) -> Body {
    Body::Flow(record::Flow { flow, session: Box::default(), sender: Box::default() })
}

pub(super) fn consent(at_ms: u64, flow: u64, last: u8, ceiling: u64, instance: u32) -> Body {
    Body::Consent(Consent {
        at_ms,
        flow,
        payer: neighbour(last),
        account: record::AccountId { kind: 1, id: Box::from([last / 2]) },
        ceiling,
        epoch: 1,
        sequence: 1,
        instance,
        tariff: 1,
        digest: [0; 16],
    })
}

pub(super) fn offer(at_ms: u64, flow: u64, last: u8, ceiling: u64) -> Body {
    let payee = neighbour(last);
    Body::Offer(Offer { at_ms, flow, payee, ceiling, epoch: 1, sequence: 1, instance: 1 })
}

pub(super) fn runs(at_ms: u64, meter: Meter, rate: u64, cause: Cause) -> Body {
    Body::Runs(Runs { at_ms, meter, rate, cause })
}

pub(super) fn closed(at_ms: u64, flow: u64, last: u8, orderly: bool) -> Body {
    Body::Closed(Closed { at_ms, flow, payer: neighbour(last), orderly })
}

/// Applies records in turn, from number 1; everything sums to zero after each.
pub(super) fn play(records: &[Body]) -> Result<(Replay, Vec<Posting>), Fault> {
    let mut replay = Replay::default();
    let mut postings = Vec::new();
    for (number, body) in (1..).zip(records) {
        postings.extend(replay.apply(number, body)?);
        assert_eq!(replay.sum(), Some(0), "after record {number}");
    }
    Ok((replay, postings))
}

/// The balance of our side of a payment.
pub(super) fn own(replay: &Replay, payment: Payment) -> i128 {
    let own = |(account, _): &(&Account, i128)| **account == Account::Own(payment);
    replay.accounts().find(own).map_or(0, |(_, balance)| balance)
}
