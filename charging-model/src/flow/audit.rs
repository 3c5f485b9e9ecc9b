//! The audit of next hops (charging.md section 1, Audit; section 3.4 of the paper).
//!
//! What a next hop reports must fit what it was told: A − B = C_k, and the limits that it echoes
//! are those that were announced to it. While increases wait (T8) A − B falls short by what the
//! hops below carry, so a mismatch counts for something only when it lasts. With H of the longer
//! of the two refresh periods on the link:
//!
//! ```text
//!  0        H              2H              3H
//!  ├────────┼──────────────┼───────────────┼──▶ the same mismatch stands
//!  told     distrusted:    alarm           refused, where the configuration says so
//!  upwards  A := B + C_k
//! ```
//!
//! - One hold-out is gone H after it was asked (T5), one that fell silent 2H after it was heard
//!   last (T9): no honest mismatch stays the same for 2H. Hold-outs one after the other change it
//!   each time, and the alarm waits anew, but never beyond 8H in all.
//! - Time alone proves nothing where messages are lost: after the first H, in which the hops below
//!   may not have noticed themselves, two more UCPEs that answer the last DCPE must repeat the
//!   mismatch (or six of any kind, until 8H). A hop that is not heard is not suspected, and is soon
//!   gone.
//! - From H on this hop no longer passes on upwards what it cannot vouch for, or every hop above
//!   would see a mismatch too, and suspect its own neighbour. So the alarm is raised on the link
//!   where the lie is told, H before anybody above could raise one.
//! - Echoed limits go up as they are, for the sender to compare: each link above shows them.
//! - A few units of rounding, which hops may carry (T4), are no mismatch.

use super::Flow;
use super::branch::{Branch, Status};
use super::messages::{Doubt, Finding, Limits, Mismatch};
use crate::money::Rate;
use crate::split::BranchKey;
use crate::time::{Millis, Span, serial_newer};

/// Units that hops below may carry for rounding, one each (T4).
const ROUNDING: i128 = 8;
/// An alarm is raised after so many H, however the mismatch changes.
const LONGEST_H: u64 = 8;

/// How far a mismatch has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    New,
    Distrusted,
    Raised,
    Overdue,
}

/// What of a report does not fit, and by how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gap {
    /// (A − B) − C_k, or A − (S_k + SP) where that is negative.
    Totals(i128),
    /// What was echoed.
    Limits(Limits),
}

impl Gap {
    fn about(self) -> Doubt {
        match self {
            Self::Totals(_) => Doubt::Totals,
            Self::Limits(_) => Doubt::Limits,
        }
    }
}

/// A branch in mismatch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suspicion {
    key: BranchKey,
    gap: Gap,
    /// When it began, and when it last changed.
    since: Millis,
    changed: Millis,
    h: Span,
    stage: Stage,
    /// UCPEs that repeated it H after it last changed, and UCPEs H after it began.
    repeated: u8,
    doubtful: u8,
}

/// So many UCPEs must repeat a mismatch before an alarm, and so many must contain any one if it
/// changes all the time, or if they never answer what is said. What was lost proves nothing, and only a hop that is heard can be judged.
const REPEATED: u8 = 2;
const DOUBTFUL: u8 = 6;

impl Suspicion {
    fn raise_at(&self) -> Option<Millis> {
        let lasts = (self.repeated >= REPEATED).then(|| self.changed.after(self.h.twice()));
        let longest = || self.since.after(Span(self.h.0.saturating_mul(LONGEST_H)));
        let longest = (self.doubtful >= DOUBTFUL).then(longest);
        lasts.into_iter().chain(longest).min()
    }

    /// When it comes to the next stage, and which that is.
    fn next(&self) -> Option<(Millis, Stage)> {
        Some(match self.stage {
            Stage::New => (self.since.after(self.h), Stage::Distrusted),
            Stage::Distrusted => (self.raise_at()?, Stage::Raised),
            Stage::Raised => (self.changed.after(Span(self.h.0.saturating_mul(3))), Stage::Overdue),
            Stage::Overdue => return None,
        })
    }
}

/// The worse of two limits: the higher one; none at all is the worst.
fn worse(a: Option<Rate>, b: Option<Rate>) -> Option<Rate> {
    Some(a?.max(b?))
}

impl Flow {
    /// Compares what the branches report with what they were told.
    pub(super) fn audit(&mut self, now: Millis) {
        if !self.config.audit {
            return;
        }
        let none_active = !self.branches.iter().any(|b| b.status == Status::Active);
        let counts = |b: &&Branch| match b.status {
            Status::Active => true,
            Status::Pending => none_active,
            Status::Lapsed => false,
        };
        let judged = self.branches.iter().filter(|b| !b.key.is_local()).filter(counts);
        let gaps: Vec<(BranchKey, Gap, Span)> = judged.flat_map(|b| self.gaps_of(b)).collect();
        if gaps.is_empty() && self.extra.suspicions().is_empty() {
            return;
        }
        let same = |key, gap: Gap| {
            move |(k, g, _): &&(BranchKey, Gap, Span)| *k == key && g.about() == gap.about()
        };
        let mut kept = self.extra.take_suspicions();
        kept.retain_mut(|old| match gaps.iter().find(same(old.key, old.gap)) {
            Some((_, gap, _)) => {
                if old.gap != *gap {
                    (old.gap, old.changed, old.repeated) = (*gap, now, 0);
                }
                true
            }
            None => {
                if old.stage >= Stage::Raised {
                    let (key, about) = (old.key, old.gap.about());
                    self.extra.find(Finding { key, about, raised: false, mismatch: None });
                }
                false
            }
        });
        for (key, gap, h) in gaps {
            if !kept.iter().any(|s| s.key == key && s.gap.about() == gap.about()) {
                let stage = Stage::New;
                let (since, changed, repeated, doubtful) = (now, now, 0, 0);
                kept.push(Suspicion { key, gap, since, changed, h, stage, repeated, doubtful });
            }
        }
        self.extra.keep_suspicions(kept);
    }

    /// True if a mismatch of a branch is looked into.
    pub(super) fn is_suspected(&self, key: BranchKey) -> bool {
        self.extra.suspicions().iter().any(|suspicion| suspicion.key == key)
    }

    /// A UCPE of a branch was taken: what it did not mend it repeats. One that answers an older
    /// DCPE than the last reports what was told then.
    pub(super) fn heard_again(&mut self, key: BranchKey, now: Millis) {
        let Some(b) = self.find(key) else { return };
        let answers = b.offered.epoch.is_none_or(|epoch| !serial_newer(epoch, b.epoch_echo));
        for suspicion in self.extra.suspicions_mut().iter_mut().filter(|s| s.key == key) {
            let count = |count: &mut u8, from: Millis| {
                if now > from.after(suspicion.h) {
                    *count = count.saturating_add(1);
                }
            };
            if answers {
                count(&mut suspicion.repeated, suspicion.changed);
            }
            count(&mut suspicion.doubtful, suspicion.since);
        }
    }

    fn gaps_of(&self, b: &Branch) -> impl Iterator<Item = (BranchKey, Gap, Span)> + use<> {
        let totals = b.mismatch();
        let totals = (totals.abs() > ROUNDING).then_some(Gap::Totals(totals));
        let echoed = b.echo();
        let limits = (echoed != self.announced_limits()).then_some(Gap::Limits(echoed));
        let key = b.key;
        let h = b.approval().max(self.config.refresh.approval());
        totals.into_iter().chain(limits).map(move |gap| (key, gap, h))
    }

    /// The limits that this node was told and tells, without the number of hops, which every hop
    /// counts down and so needs no echo.
    fn announced_limits(&self) -> Limits {
        let limits = self.down.as_ref().map(|down| down.limits()).unwrap_or_default();
        Limits { max_hops: None, ..limits }
    }

    /// The limits as this node and all below heard them: of each the highest, and none where
    /// anybody heard of none.
    pub(super) fn heard_limits(&self) -> Limits {
        let own = self.announced_limits();
        if own == Limits::default() {
            return own;
        }
        let counted = self.branches.iter().filter(|b| !b.key.is_local() && self.counts(b));
        counted.map(Branch::echo).fold(own, |worst, echo| Limits {
            per_receiver: worse(worst.per_receiver, echo.per_receiver),
            per_hop: worse(worst.per_hop, echo.per_hop),
            max_hops: None,
        })
    }

    /// How much is to be added to ΣA of what children report, so that A − B is what they were told.
    pub(super) fn distrusted(&self) -> i128 {
        let gap = |s: &Suspicion| match (s.stage, s.gap) {
            (Stage::New, _) | (_, Gap::Limits(_)) => None,
            _ => self.find(s.key).map(|b| -b.imbalance()),
        };
        self.extra.suspicions().iter().filter_map(gap).sum()
    }

    /// Time has come to `now`. True if what is told upwards may have changed.
    pub(super) fn audit_due(&mut self, now: Millis) -> bool {
        let due = |s: &Suspicion| s.next().is_some_and(|(at, _)| at <= now);
        if !self.extra.suspicions().iter().any(due) {
            return false;
        }
        let mut kept = self.extra.take_suspicions();
        for suspicion in &mut kept {
            while let Some((_, stage)) = suspicion.next().filter(|(at, _)| *at <= now) {
                suspicion.stage = stage;
                if stage == Stage::Raised {
                    let mismatch = self.mismatch_of(suspicion);
                    let (key, about) = (suspicion.key, suspicion.gap.about());
                    self.extra.find(Finding { key, about, raised: true, mismatch });
                }
            }
        }
        self.extra.keep_suspicions(kept);
        true
    }

    /// When [`audit_due`](Self::audit_due) has anything to do.
    pub(super) fn audit_deadline(&self) -> Option<Millis> {
        self.extra.suspicions().iter().filter_map(|s| s.next()).map(|(at, _)| at).min()
    }

    /// Branches whose totals have not fitted for so long that they are to be refused.
    pub(super) fn overdue(&self) -> impl Iterator<Item = BranchKey> {
        let refuse = self.config.refuse_inconsistent;
        let overdue = move |s: &&Suspicion| {
            refuse && s.stage == Stage::Overdue && s.gap.about() == Doubt::Totals
        };
        self.extra.suspicions().iter().filter(overdue).map(|s| s.key)
    }

    fn mismatch_of(&self, suspicion: &Suspicion) -> Option<Mismatch> {
        let b = self.find(suspicion.key)?;
        Some(match suspicion.gap {
            Gap::Totals(_) => b.reported(),
            Gap::Limits(echoed) => Mismatch::Limits { announced: self.announced_limits(), echoed },
        })
    }

    /// What of the reports of a branch does not fit what it was told, and whether that has lasted
    /// long enough for an alarm.
    pub fn mismatches(&self, key: BranchKey) -> impl Iterator<Item = (Mismatch, bool)> {
        let of_branch = move |s: &&Suspicion| s.key == key;
        let suspicions = self.extra.suspicions().iter().filter(of_branch);
        suspicions.filter_map(|s| Some((self.mismatch_of(s)?, s.stage >= Stage::Raised)))
    }

    /// Alarms that were raised or cleared since this was last asked.
    pub fn take_findings(&mut self) -> Vec<Finding> {
        self.extra.take_findings()
    }
}
