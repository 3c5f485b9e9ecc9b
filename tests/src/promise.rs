//! The promise of `docs/promise.md` as a function of what was said: how much a payee may have
//! debited a payer by an instant, from the payments and announcements that crossed the links.
//!
//! ```text
//!  UCPE k→j at t            k approves its payment for [t, t + H], H = 1.5 R + 2 s (T3)
//!  RESVTEAR k→j             the end of it
//!  DCPE i→j, ESTABLISHED    the path above j stands for [t, t + 2H] (T12)
//!  DCPE i→j without it,
//!  PATHTEAR i→j             the end of that
//!
//!  j may debit k:   Σ over flows   ∫ ceiling of k · (path above j stands) dt
//! ```
//!
//! Nothing here knows the product: captures of a real network and the log of a simulated one are
//! read into [`Evidence`] by whoever has them. All times are in milliseconds of one clock, rates in
//! wire units per second, amounts in ledger units (rate × milliseconds).

use std::collections::{BTreeMap, BTreeSet};

/// The time for which a UCPE approves, by the refresh period of its message: H (T3).
pub fn approval_ms(refresh_ms: u64) -> u64 {
    refresh_ms + refresh_ms.div_ceil(2) + 2_000
}

/// One approval: a UCPE that reached a payee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Approval {
    /// From when.
    pub at_ms: u64,
    /// Until when it holds.
    pub until_ms: u64,
    /// The most that may be debited per second.
    pub ceiling: u64,
    /// Instance of the reservation.
    pub instance: u32,
}

/// Time in which the path above a payee stood as far as that could know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    from_ms: u64,
    until_ms: u64,
}

/// A flow at a payee, told by its name (session and sender).
type At = (String, String);

/// What was said, in the order in which it was said.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// By how much later than it was said something may have become known.
    slack_ms: u64,
    /// By payee and flow, then payer, then the hop over which it came.
    approvals: BTreeMap<At, BTreeMap<String, BTreeMap<String, Vec<Approval>>>>,
    /// By node and flow, then previous hop.
    standing: BTreeMap<At, BTreeMap<String, Vec<Standing>>>,
    /// Flows at nodes to which nobody announces anything: the first that charge.
    first: BTreeSet<At>,
}

impl Evidence {
    /// Nothing said yet. Whoever ends something may be heard `slack_ms` later.
    pub fn new(slack_ms: u64) -> Self {
        Self { slack_ms, ..Self::default() }
    }

    /// A payer, by a message that `hop` sent to the payee, approves.
    pub fn approves(&mut self, payee: &str, flow: &str, payer: &str, hop: &str, said: Approval) {
        let until_ms = said.until_ms + self.slack_ms;
        let of_flow = self.approvals.entry((payee.to_owned(), flow.to_owned())).or_default();
        let of_payer = of_flow.entry(payer.to_owned()).or_default();
        of_payer.entry(hop.to_owned()).or_default().push(Approval { until_ms, ..said });
    }

    /// A hop ends what it and those behind it approved for a flow.
    pub fn revokes(&mut self, payee: &str, flow: &str, hop: &str, at_ms: u64) {
        let end = at_ms + self.slack_ms;
        let at = (payee.to_owned(), flow.to_owned());
        let payers = self.approvals.get_mut(&at).into_iter().flat_map(BTreeMap::values_mut);
        for approval in payers.filter_map(|hops| hops.get_mut(hop)).flatten() {
            approval.until_ms = approval.until_ms.min(end);
        }
    }

    /// A node is told by a previous hop that the path above stands, which holds for twice H.
    pub fn stands(&mut self, node: &str, flow: &str, phop: &str, at_ms: u64, refresh_ms: u64) {
        let standing = Standing {
            from_ms: at_ms.saturating_sub(self.slack_ms),
            until_ms: at_ms + 2 * approval_ms(refresh_ms) + self.slack_ms,
        };
        let of_flow = self.standing.entry((node.to_owned(), flow.to_owned())).or_default();
        of_flow.entry(phop.to_owned()).or_default().push(standing);
    }

    /// A node is told by a previous hop that the path above stands no more.
    pub fn falls(&mut self, node: &str, flow: &str, phop: &str, at_ms: u64) {
        let end = at_ms + self.slack_ms;
        let at = (node.to_owned(), flow.to_owned());
        let hops = self.standing.get_mut(&at).and_then(|hops| hops.get_mut(phop));
        for standing in hops.into_iter().flatten() {
            standing.until_ms = standing.until_ms.min(end);
        }
    }

    /// A node hears of a flow without any charge: above it, there is nothing to stand.
    pub fn is_first(&mut self, node: &str, flow: &str) {
        self.first.insert((node.to_owned(), flow.to_owned()));
    }

    /// The most that `payee` may have debited `payer` by `now_ms`.
    pub fn most(&self, payee: &str, payer: &str, now_ms: u64) -> u128 {
        let flows = self.approvals.keys().filter(|(node, _)| node == payee);
        flows.map(|at| integral(&self.ceilings(at, payer), now_ms)).sum()
    }

    /// The most that all payees together may have debited `payer` by `now_ms`, who pays for a flow
    /// once, whoever its previous hop is.
    pub fn most_of(&self, payer: &str, now_ms: u64) -> u128 {
        let flows: BTreeSet<&String> = self.approvals.keys().map(|(_, flow)| flow).collect();
        let of_flow = |flow: &String| {
            let places = self.approvals.keys().filter(|(_, other)| other == flow);
            let all: Vec<_> = places.flat_map(|at| self.ceilings(at, payer)).collect();
            integral(&all, now_ms)
        };
        flows.into_iter().map(of_flow).sum()
    }

    /// What a payer approves at a place for as long as the path above that stands.
    fn ceilings(&self, at: &At, payer: &str) -> Vec<(u64, u64, u64)> {
        let hops = self.approvals.get(at).and_then(|payers| payers.get(payer));
        let approved = hops.into_iter().flat_map(BTreeMap::values).flat_map(|all| spans(all));
        let always = [Standing { from_ms: 0, until_ms: u64::MAX }];
        let standing: Vec<Standing> = match self.standing.get(at) {
            _ if self.first.contains(at) => always.to_vec(),
            Some(hops) => hops.values().flatten().copied().collect(),
            None => Vec::new(),
        };
        let both = |(from, until, ceiling): (u64, u64, u64)| {
            let within = standing.iter().map(move |standing| {
                (from.max(standing.from_ms), until.min(standing.until_ms), ceiling)
            });
            within.filter(|(from, until, _)| from < until).collect::<Vec<_>>()
        };
        approved.flat_map(both).collect()
    }
}

/// Approvals as (from, until, ceiling), with the gaps between two of one instance, which are billed
/// at the lower of their rates (T3).
pub fn spans(approvals: &[Approval]) -> Vec<(u64, u64, u64)> {
    let mut spans: Vec<_> = approvals.iter().map(|a| (a.at_ms, a.until_ms, a.ceiling)).collect();
    // The payee may have refused any of those in between.
    for (index, old) in approvals.iter().enumerate() {
        for new in approvals.iter().skip(index + 1) {
            if old.instance == new.instance && old.until_ms < new.at_ms {
                spans.push((old.until_ms, new.at_ms, old.ceiling.min(new.ceiling)));
            }
        }
    }
    spans
}

/// The integral of the highest ceiling that holds at each instant up to `end`.
pub fn integral(spans: &[(u64, u64, u64)], end: u64) -> u128 {
    // When a ceiling begins to hold, and when it ends.
    let mut turns: Vec<(u64, bool, u64)> = Vec::with_capacity(2 * spans.len());
    for &(from, until, ceiling) in spans.iter().filter(|(from, until, _)| from < until) {
        turns.extend([(from.min(end), true, ceiling), (until.min(end), false, ceiling)]);
    }
    turns.sort_unstable();
    let mut holding: BTreeMap<u64, usize> = BTreeMap::new();
    let (mut sum, mut since) = (0, 0);
    for (at, begins, ceiling) in turns {
        let highest = holding.keys().next_back().copied().unwrap_or_default();
        sum += u128::from(highest) * u128::from(at - since);
        since = at;
        let held = holding.entry(ceiling).or_default();
        *held = if begins { *held + 1 } else { held.saturating_sub(1) };
        if *held == 0 {
            holding.remove(&ceiling);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn approval(at_ms: u64, until_ms: u64, ceiling: u64, instance: u32) -> Approval {
        Approval { at_ms, until_ms, ceiling, instance }
    }

    fn sum(approvals: &[Approval], end: u64) -> u128 {
        integral(&spans(approvals), end)
    }

    #[test]
    fn approvals_overlap_and_gaps_belong_to_one_instance() {
        let first = approval(0, 100, 5, 1);
        assert_eq!(sum(&[first], 40), 200);
        assert_eq!(sum(&[first, approval(50, 150, 3, 1)], 1_000), 500 + 150);
        assert_eq!(sum(&[first, approval(120, 220, 3, 1)], 1_000), 500 + 60 + 300);
        assert_eq!(sum(&[first, approval(120, 220, 3, 2)], 1_000), 500 + 300);
    }

    #[test]
    fn the_integral_is_the_sum_over_every_millisecond() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..500 {
            let mut span = || (rng.u64(0..60), rng.u64(0..60), rng.u64(0..5));
            let spans: Vec<_> = (0..12).map(|_| span()).collect();
            let end = rng.u64(0..70);
            let at = |ms: u64| {
                let holds = spans.iter().filter(|(from, until, _)| *from <= ms && ms < *until);
                u128::from(holds.map(|(_, _, ceiling)| *ceiling).max().unwrap_or_default())
            };
            assert_eq!(integral(&spans, end), (0..end).map(at).sum::<u128>(), "{spans:?} {end}");
        }
    }

    #[test]
    fn nothing_may_be_debited_but_while_the_path_above_stands() {
        let mut evidence = Evidence::new(0);
        evidence.approves("j", "f", "k", "k", approval(1_000, 51_000, 7, 1));
        assert_eq!(evidence.most("j", "k", 60_000), 0, "nobody said that it stands");
        // 2H is 10 s at R = 2 s.
        evidence.stands("j", "f", "i", 4_000, 2_000);
        assert_eq!(evidence.most("j", "k", 5_000), 7 * 1_000);
        assert_eq!(evidence.most("j", "k", 60_000), 7 * 10_000);
        evidence.stands("j", "f", "other", 20_000, 2_000);
        evidence.falls("j", "f", "i", 9_000);
        assert_eq!(evidence.most("j", "k", 60_000), 7 * 15_000, "each by its previous hop");
        evidence.is_first("j", "f");
        assert_eq!(evidence.most("j", "k", 60_000), 7 * 50_000);
        assert_eq!(evidence.most("k", "j", 60_000), 0);
    }

    #[test]
    fn a_tear_ends_what_came_over_its_hop() {
        let mut evidence = Evidence::new(10);
        evidence.is_first("j", "f");
        evidence.approves("j", "f", "k", "x", approval(0, 1_000, 7, 1));
        evidence.revokes("j", "f", "y", 100);
        evidence.revokes("j", "g", "x", 100);
        assert_eq!(evidence.most("j", "k", 5_000), 7 * 1_010);
        evidence.revokes("j", "f", "x", 100);
        assert_eq!(evidence.most("j", "k", 5_000), 7 * 110);
    }

    #[test]
    fn one_flow_is_paid_once_and_flows_add_up() {
        let mut evidence = Evidence::new(0);
        for (payee, flow) in [("i", "f"), ("j", "f"), ("j", "g")] {
            evidence.is_first(payee, flow);
            evidence.approves(payee, flow, "k", "k", approval(0, 1_000, 7, 1));
        }
        assert_eq!(evidence.most("j", "k", 1_000), 2 * 7_000);
        assert_eq!(evidence.most_of("k", 1_000), 2 * 7_000);
    }
}
