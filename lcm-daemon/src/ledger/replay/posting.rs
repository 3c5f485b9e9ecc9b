//! Postings after they were made: what is given back, disputed, final.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde::{Deserialize, Serialize};

use super::accounts::{AccountRef, Accounts, Sides};
use super::fault::Wrong;
use super::run::Moment;
use crate::ledger::record::{Contra, Dispute, Meter, Neighbour, Stamp};
use crate::purse::Holder;

/// One closed segment of a meter, or a gap that was billed: an amount between two adjacent
/// accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// Number of the record that opened it, by which it is known.
    pub number: u64,
    /// Of which meter.
    pub meter: Meter,
    /// The account that pays.
    pub debit: AccountRef,
    /// The account that is paid.
    pub credit: AccountRef,
    /// The rate that ran, in 10⁻¹² currency units per second.
    pub rate: u64,
    /// From when on.
    pub from: Stamp,
    /// Until when.
    pub to: Stamp,
    /// rate × ms, in 10⁻¹⁵ currency units.
    pub amount: u128,
    /// Time after an approval had lapsed.
    pub gap: bool,
    /// The approval that it rests on.
    pub tenure: TenureRef,
}

/// Where what is given back of a posting goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenBack {
    /// The neighbour that the posting is with.
    pub neighbour: Neighbour,
    /// It goes to the neighbour or its customer; otherwise to us.
    pub to_them: bool,
    /// The holder whose account was charged, if there is one.
    pub holder: Option<Holder>,
    /// What is left of the posting, in ledger units.
    pub left: u128,
    /// Which one it is, if it was metered since the last start: its meter, and when it began.
    pub piece: Option<(Meter, u64)>,
}

impl GivenBack {
    /// Notes a posting, if it is the one that record `of` opened.
    pub fn seen(piece: &mut Option<(Meter, u64)>, of: u64, posting: &Posting) {
        if posting.number == of {
            *piece = Some((posting.meter, posting.from.at_ms));
        }
    }
}

/// Whether a posting is there to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// What it rests on has not ended, or not for long enough (T10).
    Provisional,
    /// It stays.
    Final,
    /// Somebody says that it is wrong.
    Disputed,
}

impl State {
    /// Its name in exports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Provisional => "provisional",
            Self::Final => "final",
            Self::Disputed => "disputed",
        }
    }
}

/// The place of an approval among all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenureRef(u32);

/// What postings rest on, from its beginning to its end: a consent, or the like upstream.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Tenure {
    Lasts,
    Ended { at: Stamp, run: u32, orderly: bool },
}

/// What postings rested on before they were forgotten.
#[derive(Debug)]
pub(super) struct Former {
    tenures: Vec<Tenure>,
    places: BTreeMap<u32, TenureRef>,
}

/// What must be known of a posting to correct it later.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Kept {
    number: u64,
    rate: u64,
    ms: u64,
    sides: Sides,
    tenure: TenureRef,
    /// Tells meters of all runs apart, nearly always.
    meter: u32,
}

impl Kept {
    fn amount(&self) -> u128 {
        u128::from(self.rate) * u128::from(self.ms)
    }
}

/// All postings since the books' beginning.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Postings {
    /// In the order in which they came to their end.
    kept: Vec<Kept>,
    /// None; summaries have a place for it.
    sorted: usize,
    tenures: Vec<Tenure>,
    /// Boot of each run, and how long what ended in it is held.
    runs: Vec<([u8; 16], u64)>,
    /// What was given back, by posting.
    returned: BTreeMap<u64, u128>,
    disputed: BTreeSet<u64>,
    /// What of it was by hand, and no grant gave back since: it is given back once.
    #[serde(skip)]
    by_hand: BTreeMap<u64, u128>,
    /// Their places by number, made when one is looked for.
    #[serde(skip)]
    by_number: Vec<u32>,
    /// The last end of a period.
    period: Option<(u64, Moment)>,
}

/// A sum of postings by their states, less what was given back, in 10⁻¹⁵ currency units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ByState {
    /// Provisional.
    pub provisional: i128,
    /// Final.
    pub settled: i128,
    /// Disputed.
    pub disputed: i128,
}

impl Postings {
    pub(super) fn begin(&mut self) -> TenureRef {
        let place = u32::try_from(self.tenures.len()).unwrap_or(u32::MAX);
        self.tenures.push(Tenure::Lasts);
        TenureRef(place)
    }

    /// What ends from here on, ends in this boot, and is held for so long.
    pub(super) fn run(&mut self, boot: [u8; 16], hold_ms: u64) {
        self.runs.push((boot, hold_ms));
    }

    /// Ends what lasts still.
    pub(super) fn end(&mut self, tenure: TenureRef, at: Stamp, orderly: bool) {
        let run = u32::try_from(self.runs.len().saturating_sub(1)).unwrap_or(u32::MAX);
        if let Some(slot @ Tenure::Lasts) = self.tenures.get_mut(tenure.0 as usize) {
            *slot = Tenure::Ended { at, run, orderly };
        }
    }

    pub(super) fn keep(&mut self, posting: &Posting) {
        let Posting { number, rate, from, to, debit, credit, tenure, .. } = *posting;
        let meter = self.digest(&posting.meter);
        let ms = to.at_ms.saturating_sub(from.at_ms);
        self.kept.push(Kept { number, rate, ms, sides: Sides { debit, credit }, tenure, meter });
    }

    fn digest(&self, meter: &Meter) -> u32 {
        let mut hasher = DefaultHasher::default();
        (self.runs.len(), meter).hash(&mut hasher);
        // The lower half tells as many apart as there are.
        hasher.finish() as u32
    }

    fn find(&mut self, number: u64) -> Result<Kept, Wrong> {
        let kept = &self.kept;
        let number_of =
            |place: &u32| kept.get(*place as usize).map_or(u64::MAX, |kept| kept.number);
        if self.by_number.len() != kept.len() {
            self.by_number = (0..u32::try_from(kept.len()).unwrap_or(u32::MAX)).collect();
            self.by_number.sort_unstable_by_key(number_of);
        }
        let place = self.by_number.binary_search_by_key(&number, number_of).ok();
        let place = place.and_then(|place| self.by_number.get(place));
        let kept = place.and_then(|place| kept.get(*place as usize));
        kept.copied().ok_or(Wrong::NoSuchPosting { of: number })
    }

    /// Gives a part of a posting back; to whom.
    pub(super) fn contra(
        &mut self,
        accounts: &mut Accounts,
        contra: &Contra,
    ) -> Result<AccountRef, Wrong> {
        let Contra { of, amount, .. } = *contra;
        let kept = self.find(of)?;
        if amount == 0 {
            return Err(Wrong::EmptyContra { of });
        }
        let before = self.returned.get(&of).copied().unwrap_or_default();
        let left = kept.amount().saturating_sub(before);
        if amount > left {
            return Err(Wrong::ContraTooLarge { of, amount, left });
        }
        let Sides { debit, credit } = kept.sides;
        accounts.transfer(Sides { debit: credit, credit: debit }, amount)?;
        self.returned.insert(of, before.saturating_add(amount));
        *self.by_hand.entry(of).or_default() += amount;
        Ok(debit)
    }

    /// Who paid a posting, who was paid, and what is left of it.
    pub(super) fn left(&mut self, of: u64) -> Result<(AccountRef, AccountRef, u128), Wrong> {
        let kept = self.find(of)?;
        let left = kept.amount().saturating_sub(self.returned(of));
        Ok((kept.sides.debit, kept.sides.credit, left))
    }

    /// Gives back a part of what a meter came to in this run, its newest postings first; of which
    /// ones how much, and to whom. What was given back of them by hand is not given back again.
    pub(super) fn refund(
        &mut self,
        accounts: &mut Accounts,
        meter: &Meter,
        amount: u128,
    ) -> Result<Vec<(u64, u128, AccountRef)>, Wrong> {
        let digest = self.digest(meter);
        let (mut rest, mut parts) = (amount, Vec::new());
        for kept in self.kept.iter().rev().filter(|kept| kept.meter == digest) {
            if rest == 0 {
                break;
            }
            let part = kept.amount().saturating_sub(self.returned(kept.number)).min(rest);
            rest -= part;
            if part > 0 {
                parts.push((kept.number, part, kept.sides));
            }
            if let Some(by_hand) = self.by_hand.get_mut(&kept.number) {
                let known = rest.min(*by_hand);
                *by_hand -= known;
                rest -= known;
            }
        }
        if rest > 0 || amount == 0 {
            return Err(Wrong::RefundTooLarge { amount, left: amount - rest });
        }
        let mut given = Vec::with_capacity(parts.len());
        for (number, part, Sides { debit, credit }) in parts {
            accounts.transfer(Sides { debit: credit, credit: debit }, part)?;
            *self.returned.entry(number).or_default() += part;
            given.push((number, part, debit));
        }
        Ok(given)
    }

    pub(super) fn dispute(&mut self, dispute: &Dispute) -> Result<(), Wrong> {
        let of = dispute.of;
        self.find(of)?;
        if dispute.open {
            let new = self.disputed.insert(of);
            new.then_some(()).ok_or(Wrong::DisputedAlready { of })
        } else {
            self.disputed.remove(&of).then_some(()).ok_or(Wrong::NotDisputed { of })
        }
    }

    pub(super) fn period(&mut self, number: u64, at: Moment) -> Result<(), Wrong> {
        let expected = self.period.map_or(1, |(last, _)| last.saturating_add(1));
        if number != expected {
            return Err(Wrong::Period { expected, found: number });
        }
        self.period = Some((number, at));
        Ok(())
    }

    /// The last period that ended, and when.
    pub(super) fn period_ended(&self) -> Option<(u64, Moment)> {
        self.period
    }

    /// The last period that ended.
    pub(super) fn last_period(&self) -> Option<u64> {
        self.period.map(|(number, _)| number)
    }

    /// What was given back of a posting.
    pub(super) fn returned(&self, number: u64) -> u128 {
        self.returned.get(&number).copied().unwrap_or_default()
    }

    /// The state of a posting at an instant.
    pub(super) fn state(&self, number: u64, tenure: TenureRef, now: &Moment) -> State {
        if self.disputed.contains(&number) {
            return State::Disputed;
        }
        let Some(Tenure::Ended { at, run, orderly }) = self.tenures.get(tenure.0 as usize) else {
            return State::Provisional;
        };
        let Some(&(boot, hold_ms)) = self.runs.get(*run as usize) else {
            return State::Provisional;
        };
        let end = Moment { boot, stamp: *at };
        // What broke off is final once a period is closed that held it for long enough.
        let billed = || self.period.is_some_and(|(_, closed)| closed.is_past(&end, hold_ms));
        let held = if *orderly { now.is_past(&end, hold_ms) } else { billed() };
        if held { State::Final } else { State::Provisional }
    }

    /// Adds up what stands on each account, in the order of the accounts.
    pub(super) fn by_state(&self, accounts: usize, now: &Moment) -> Vec<ByState> {
        let mut sums = vec![ByState::default(); accounts];
        for kept in &self.kept {
            let state = self.state(kept.number, kept.tenure, now);
            let amount = kept.amount().saturating_sub(self.returned(kept.number));
            let amount = i128::try_from(amount).unwrap_or(i128::MAX);
            for (place, amount) in [(kept.sides.debit, -amount), (kept.sides.credit, amount)] {
                let Some(sum) = sums.get_mut(place.0 as usize) else { continue };
                let part = match state {
                    State::Provisional => &mut sum.provisional,
                    State::Final => &mut sum.settled,
                    State::Disputed => &mut sum.disputed,
                };
                *part = part.saturating_add(amount);
            }
        }
        sums
    }

    /// The first posting that is not final at an instant, by what is known after more records.
    pub(super) fn not_final(&self, later: &Self, now: &Moment) -> Option<u64> {
        let open = |kept: &&Kept| later.state(kept.number, kept.tenure, now) != State::Final;
        self.kept.iter().filter(open).map(|kept| kept.number).min()
    }

    pub(super) fn has(&self, number: u64) -> bool {
        self.kept.iter().any(|kept| kept.number == number)
    }

    /// Forgets all postings, and what they rested on but for what [`keep_tenure`] is told.
    ///
    /// [`keep_tenure`]: Self::keep_tenure
    pub(super) fn forget(&mut self) -> Former {
        self.kept = Vec::new();
        self.by_number = Vec::new();
        self.returned.clear();
        self.by_hand.clear();
        self.disputed.clear();
        Former { tenures: std::mem::take(&mut self.tenures), places: BTreeMap::new() }
    }

    /// Takes over what still lasts; its new place.
    pub(super) fn keep_tenure(&mut self, former: &mut Former, tenure: TenureRef) -> TenureRef {
        if let Some(known) = former.places.get(&tenure.0) {
            return *known;
        }
        let new = self.begin();
        let old = former.tenures.get(tenure.0 as usize);
        if let (Some(old), Some(slot)) = (old, self.tenures.get_mut(new.0 as usize)) {
            *slot = *old;
        }
        former.places.insert(tenure.0, new);
        new
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }
}
