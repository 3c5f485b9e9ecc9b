//! Whether what is reserved was in place: the exact meaning of "assurance met" (paper section 2.1).
//!
//! ```text
//!  PENDING ──ESTABLISHED──▶ in place ──break──▶ outage ──ESTABLISHED──▶ in place ─▶ …
//!                              └── torn, or its payer silent: the end, and no outage
//! ```
//!
//! The assurance is met for the milliseconds in which a reservation was in place, by the clock of
//! its meter. An outage begins at the last instant at which it was known to stand and ends when it
//! stands again. While a larger reservation waits for its confirmation, the smaller one stands.

use super::Flow;
use super::branch::{NEVER, Status};
use crate::split::BranchKey;
use crate::time::{Millis, Span};

/// Why a reservation was not in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Broken {
    /// The previous hop was not heard for 2H, or is known to be dead.
    Silent,
    /// The previous hop says that the path above it does not stand.
    Withdrawn,
    /// A hop above gave up what it had admitted: RESVERR.
    Refused,
    /// The previous hop is another one.
    Moved,
    /// The data goes out on this interface no more: no route, or the link is down.
    Unrouted,
    /// It gave way to a reservation of higher priority here.
    Preempted,
    /// The node slept.
    Slept,
}

impl Broken {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Silent,
        Self::Withdrawn,
        Self::Refused,
        Self::Moved,
        Self::Unrouted,
        Self::Preempted,
        Self::Slept,
    ];

    /// The reason's name in records, metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Withdrawn => "withdrawn",
            Self::Refused => "refused",
            Self::Moved => "moved",
            Self::Unrouted => "unrouted",
            Self::Preempted => "preempted",
            Self::Slept => "slept",
        }
    }
}

/// An outage began, or is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Whose reservation.
    pub key: BranchKey,
    /// The last instant at which it was known to stand.
    pub from: Millis,
    /// When that was noticed, or when it stood again.
    pub at: Millis,
    /// Why.
    pub why: Broken,
    /// It stands again.
    pub over: bool,
}

/// How a branch has fared so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Quality {
    /// Since when it is in place, if it is.
    pub in_place: Option<Millis>,
    /// The outage that lasts, and its reason.
    pub outage: Option<(Millis, Broken)>,
    /// Outages so far.
    pub outages: u32,
    /// How long those lasted that are over.
    pub lost: Span,
}

impl Quality {
    /// How long it was out in all, at `now`.
    pub fn outage_time(&self, now: Millis) -> Span {
        let open = self.outage.map_or(Span(0), |(from, _)| now.since(from));
        Span(self.lost.0.saturating_add(open.0))
    }

    fn breaks(&mut self, from: Millis, why: Broken) -> bool {
        self.in_place = None;
        if self.outage.is_some() {
            return false;
        }
        self.outages = self.outages.saturating_add(1);
        self.outage = Some((from, why));
        true
    }

    fn stands_again(&mut self, now: Millis) -> Option<(Millis, Broken)> {
        let (from, why) = self.outage.take()?;
        self.lost = Span(self.lost.0.saturating_add(now.since(from).0));
        Some((from, why))
    }
}

/// A reservation that stood and does not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Break {
    pub(super) key: BranchKey,
    /// Since when it had been in place.
    pub(super) placed: Millis,
    pub(super) from: Millis,
    pub(super) why: Broken,
}

impl Flow {
    /// How a branch has fared.
    pub fn quality(&self, key: BranchKey) -> Quality {
        let placed = self.find(key).map(|b| b.placed).filter(|placed| *placed != NEVER);
        Quality { in_place: placed, ..self.extra.quality(key).unwrap_or_default() }
    }

    /// Outages that began or ended since this was last asked.
    pub fn take_outages(&mut self) -> Vec<Outage> {
        self.extra.take_outages()
    }

    /// A hop above has given up what it had admitted (RESVERR, not InPlace), whoever pays: nobody
    /// below is billed until the previous hop says that it stands. False if nothing stood.
    pub fn on_reservation_lost(&mut self, clock: crate::time::Clock) -> bool {
        if self.up.lost || !self.branches.iter().any(|b| b.placed != NEVER) {
            return false;
        }
        self.up.lost = true;
        self.settle(clock, super::settle::Why::Terms);
        true
    }

    /// The previous hop is dead, before 2H have passed: as if it had not been heard for that long.
    /// False if nothing stood.
    pub fn on_silent(&mut self, clock: crate::time::Clock) -> bool {
        let stood = self.branches.iter().any(|b| b.placed != NEVER);
        let Some(down) = self.down.as_mut().filter(|down| !down.lapsed && stood) else {
            return false;
        };
        if self.config.origin || down.epoch.is_none() {
            return false;
        }
        down.lapsed = true;
        self.settle(clock, super::settle::Why::Terms);
        true
    }

    /// What a branch reserves is given up here, and not by who pays. To be called before
    /// [`remove_branch`](Self::remove_branch).
    pub fn break_branch(&mut self, clock: crate::time::Clock, key: BranchKey, why: Broken) {
        let now = clock.now;
        let Some(placed) = self.find(key).map(|b| b.placed).filter(|at| *at != NEVER) else {
            return;
        };
        if let Some(b) = self.find_mut(key) {
            b.placed = NEVER;
        }
        if self.refund_agreed(key) != crate::refund::Grant::None {
            self.post_open_segment(key, now);
        }
        self.broke(now, Break { key, placed, from: now, why });
    }

    /// Sees which branches came into place and which broke; called before meters turn.
    pub(super) fn watch(&mut self, now: Millis) -> Vec<Break> {
        let mut broken = Vec::new();
        for index in 0..self.branches.len() {
            let Some(b) = self.branches.get(index) else { continue };
            let (key, placed) = (b.key, b.placed);
            let counts = b.status == Status::Active;
            let stands = counts && self.stands_for(b);
            let next = match (stands, placed != NEVER) {
                (true, false) => now,
                (false, true) if !counts => NEVER,
                (false, true) => match self.why_broken() {
                    None => continue,
                    Some((from, why)) => {
                        let from = from.unwrap_or(now).max(placed).min(now);
                        broken.push(Break { key, placed, from, why });
                        NEVER
                    }
                },
                _ => continue,
            };
            if let Some(b) = self.branches.get_mut(index) {
                b.placed = next;
            }
            if stands
                && let Some((from, why)) = self.extra.quality_mut(key, |q| q.stands_again(now))
            {
                self.extra.tell_outage(Outage { key, from, at: now, why, over: true });
                self.refunds_end(key);
            }
        }
        if self.stands() {
            self.up.awaits &= self.up.grown || self.up.carried_by != self.established_above();
        }
        broken
    }

    fn established_above(&self) -> Option<u32> {
        let down = self.down.as_ref()?;
        // What no previous hop charges for stands when it is sent.
        if down.epoch.is_none() { self.up.carried_by } else { down.established }
    }

    /// Why what stood above does not, and since when if not since now; `None` where it does, and
    /// only growth waits for its confirmation (T12).
    fn why_broken(&self) -> Option<(Option<Millis>, Broken)> {
        let Some(down) = &self.down else { return Some((None, Broken::Moved)) };
        if down.lapsed {
            return Some((Some(down.heard), Broken::Silent));
        }
        if self.up.lost || self.up.sent.is_none() {
            return Some((None, Broken::Refused));
        }
        let grows = self.up.grown || self.up.awaits;
        (!grows).then_some((None, Broken::Withdrawn))
    }

    /// A branch goes. Where its payer ends it, its outage ends too; what was given up here is out
    /// until it is reserved again.
    pub(super) fn leave_quality(&mut self, now: Millis, key: BranchKey) {
        let Some((from, why)) = self.extra.quality(key).and_then(|q| q.outage) else { return };
        if !matches!(why, Broken::Unrouted | Broken::Preempted) {
            self.extra.tell_outage(Outage { key, from, at: now, why, over: true });
            self.extra.forget_quality(key);
        }
    }

    /// Notes an outage, and gives back what was agreed on for it.
    pub(super) fn broke(&mut self, now: Millis, it: Break) {
        let Break { key, from, why, .. } = it;
        if self.extra.breaks(key, from, why) {
            self.extra.tell_outage(Outage { key, from, at: now, why, over: false });
        }
        self.refund_break(now, it);
    }

    /// The node slept, and nothing was in place.
    pub(super) fn out_while_asleep(&mut self, from: Millis, to: Millis) {
        let placed: Vec<BranchKey> =
            self.branches.iter().filter(|b| b.placed != NEVER).map(|b| b.key).collect();
        for key in placed {
            let why = Broken::Slept;
            if self.extra.breaks(key, from, why) {
                self.extra.tell_outage(Outage { key, from, at: from, why, over: false });
                self.extra.quality_mut(key, |q| q.stands_again(to));
                self.extra.tell_outage(Outage { key, from, at: to, why, over: true });
            }
        }
    }
}

/// Qualities of branches that had an outage, and what nobody was told of yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Qualities {
    of: Vec<(BranchKey, Quality)>,
    news: Vec<Outage>,
}

/// Of how many branches that are gone a flow remembers their outages; the oldest goes first.
const QUALITIES_MAX: usize = 64;

impl Qualities {
    pub(super) fn is_empty(&self) -> bool {
        self.of.is_empty() && self.news.is_empty()
    }

    pub(super) fn of(&self, key: BranchKey) -> Option<Quality> {
        self.of.iter().find(|(of, _)| *of == key).map(|(_, quality)| *quality)
    }

    pub(super) fn change<T>(
        &mut self,
        key: BranchKey,
        change: impl FnOnce(&mut Quality) -> Option<T>,
    ) -> Option<T> {
        let (_, quality) = self.of.iter_mut().find(|(of, _)| *of == key)?;
        change(quality)
    }

    pub(super) fn breaks(&mut self, key: BranchKey, from: Millis, why: Broken) -> bool {
        if let Some((_, quality)) = self.of.iter_mut().find(|(of, _)| *of == key) {
            return quality.breaks(from, why);
        }
        if self.of.len() >= QUALITIES_MAX {
            self.of.remove(0);
        }
        let mut quality = Quality::default();
        quality.breaks(from, why);
        self.of.push((key, quality));
        true
    }

    /// The payer ended it: nothing is out any more.
    pub(super) fn forget(&mut self, key: BranchKey) {
        self.of.retain(|(of, _)| *of != key);
    }

    pub(super) fn tell(&mut self, outage: Outage) {
        self.news.push(outage);
    }

    pub(super) fn take_news(&mut self) -> Vec<Outage> {
        std::mem::take(&mut self.news)
    }
}
