//! What payers approved, by the UCPEs that were captured: each approves its payment from its
//! arrival for H = 1.5 R + 2 s (charging.md T3).

use std::net::IpAddr;

use crate::support::play::Heard;
use crate::support::wire::RESV;

/// What a capture's clock and the payee's may differ by, with the time that a loaded machine takes
/// from one to the other.
const SLACK_MS: u64 = 100;

/// One approval.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Approval {
    from_ms: u64,
    until_ms: u64,
    payment: u64,
}

/// The approvals of `payer` (by the address in its RSVP_HOP) in RESVs to one of `payees`.
pub(crate) fn of(heard: &[Heard], payer: IpAddr, payees: &[IpAddr]) -> Vec<Approval> {
    let its = heard.iter().filter(|heard| {
        heard.message.kind == RESV
            && payees.contains(&heard.destination)
            && heard.message.hop().is_some_and(|(address, _)| IpAddr::V4(address) == payer)
    });
    its.filter_map(|heard| {
        let at_ms = heard.at_ns / 1_000_000;
        let refresh = u64::from(heard.message.refresh_ms()?);
        Some(Approval {
            from_ms: at_ms,
            until_ms: at_ms + refresh * 3 / 2 + 2000 + SLACK_MS,
            payment: heard.message.ucpe()?.payment,
        })
    })
    .collect()
}

/// The most that may be debited by then: at each instant the highest payment that is approved, in
/// ledger units (rate × milliseconds).
pub(crate) fn most(approvals: &[Approval], now_ms: u64) -> u128 {
    let mut edges: Vec<u64> = approvals
        .iter()
        .flat_map(|approval| [approval.from_ms, approval.until_ms])
        .chain([now_ms])
        .filter(|edge| *edge <= now_ms)
        .collect();
    edges.sort_unstable();
    let spans = edges.iter().zip(edges.iter().skip(1));
    spans
        .map(|(start, end)| {
            let valid = approvals.iter().filter(|a| a.from_ms <= *start && *end <= a.until_ms);
            let ceiling = valid.map(|approval| approval.payment).max().unwrap_or(0);
            u128::from(ceiling) * u128::from(end - start)
        })
        .sum()
}
