//! What payers approved, by the UCPEs that were captured: each approves its payment from its
//! arrival for H = 1.5 R + 2 s (charging.md T3).

use std::collections::BTreeMap;
use std::error::Error;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::play::{Heard, Play};
use crate::support::wire::RESV;

/// What a capture's clock and the payee's may differ by, with the time that a loaded machine takes
/// from one to the other.
const SLACK_MS: u64 = 100;

/// Receiver payments by (payee, payer's address), in ledger units.
pub(crate) type Debits = BTreeMap<(&'static str, IpAddr), u128>;

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

/// What a node's books say that its neighbours owe it as receivers.
pub(crate) fn debits(play: &Play, payee: &'static str) -> Result<Debits, Box<dyn Error>> {
    let mut debits = Debits::new();
    for account in play.stage.accounts(payee)?.accounts {
        debits.insert((payee, account.neighbour), account.receiver_payments_in.parse()?);
    }
    Ok(debits)
}

/// Compares what every payee debited with what its payers approved: with the payee alone, and for
/// each payer over all payees together, so that nobody pays two for one. `lost` is what books said
/// that are gone. Returns how many accounts moved.
pub(crate) fn nobody_paid_more(
    play: &mut Play,
    names: &[&'static str],
    lost: Debits,
) -> Result<usize, Box<dyn Error>> {
    let mut all = lost;
    for payee in names {
        for (key, amount) in debits(play, payee)? {
            *all.entry(key).or_default() += amount;
        }
    }
    let now_ms = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let addresses = |play: &Play, node: &str| -> Vec<IpAddr> {
        let links = play.stage.network().links().iter();
        links.filter_map(|link| link.address(node)).map(IpAddr::V4).collect()
    };
    let everybody: Vec<IpAddr> = names.iter().flat_map(|name| addresses(play, name)).collect();
    let mut by_payer: BTreeMap<IpAddr, u128> = BTreeMap::new();
    let mut checked = 0;
    for ((payee, payer), amount) in all {
        *by_payer.entry(payer).or_default() += amount;
        if amount == 0 {
            continue;
        }
        let payees = addresses(play, payee);
        let most = most(&of(play.heard(), payer, &payees), now_ms);
        assert!(amount <= most, "{payee} debited {payer} {amount}, who had approved {most}");
        checked += 1;
    }
    for (payer, amount) in by_payer {
        let most = most(&of(play.heard(), payer, &everybody), now_ms);
        assert!(amount <= most, "{payer} was debited {amount} by all, and had approved {most}");
    }
    Ok(checked)
}
