//! What a journal of turns says was metered, beside the postings.

use std::collections::BTreeMap;

use charging_model::*;

/// The turns of all nodes, summed up as they come: rate × time between them.
#[derive(Default)]
pub(crate) struct Turns {
    open: BTreeMap<(usize, Entry), (u64, u64)>,
    closed: BTreeMap<(usize, Entry), i128>,
    posted: BTreeMap<(usize, Entry), i128>,
}

impl Turns {
    pub(crate) fn take(&mut self, node: usize, now: u64, turns: &[Turn]) {
        for turn in turns {
            match *turn {
                Turn::Runs { entry, at, rate, .. } => {
                    assert!(at.0 <= now, "{turn:?} in the future of {now}");
                    if let Some((before, since)) = self.open.remove(&(node, entry)) {
                        assert!(at.0 >= since, "{turn:?} ends what began at {since}");
                        self.add(node, entry, i128::from(before) * i128::from(at.0 - since));
                    }
                    if rate > Rate::ZERO {
                        self.open.insert((node, entry), (rate.0, at.0));
                    }
                }
                Turn::Gap { entry, from, to, rate } => {
                    assert!(!self.open.contains_key(&(node, entry)), "{turn:?} while it runs");
                    self.add(node, entry, i128::from(rate.0) * i128::from(to.0 - from.0));
                }
            }
        }
    }

    fn add(&mut self, node: usize, entry: Entry, amount: i128) {
        *self.closed.entry((node, entry)).or_default() += amount;
    }

    pub(crate) fn posted(&mut self, node: usize, posting: &Posting) {
        *self.posted.entry((node, posting.entry)).or_default() += posting.segment.amount.0;
    }

    /// Asserts that the books would be right if all stopped at `now`; `open` are the segments that
    /// run.
    pub(crate) fn assert_agrees(&self, now: u64, open: &[(usize, Posting)]) {
        let mut posted = self.posted.clone();
        for (node, posting) in open {
            *posted.entry((*node, posting.entry)).or_default() += posting.segment.amount.0;
        }
        let mut told = self.closed.clone();
        for (key, (rate, since)) in &self.open {
            *told.entry(*key).or_default() += i128::from(*rate) * i128::from(now - since);
        }
        told.retain(|_, amount| *amount != 0);
        posted.retain(|_, amount| *amount != 0);
        assert_eq!(told, posted, "the turns and the postings of all payments at {now}");
    }
}
