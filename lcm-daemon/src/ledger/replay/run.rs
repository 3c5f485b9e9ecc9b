//! One run of a daemon: its boot, what is proved of it, and the time of day in it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::fault::Wrong;
use crate::ledger::record::{Stamp, Started};

/// Stamps that are kept to date instants with. A gap may be billed after the longest lifetime that
/// a configuration allows, five hours; stamps come about every second.
const STAMPS_MAX: usize = 32_768;

/// An instant of a boot, by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// The boot.
    pub boot: [u8; 16],
    /// Its clocks.
    pub stamp: Stamp,
}

impl Moment {
    /// Whether `span_ms` have passed since `earlier`: by the monotonic clock of the same boot,
    /// across boots by the wall clock.
    #[must_use]
    pub fn is_past(&self, earlier: &Moment, span_ms: u64) -> bool {
        let (now, then) = if self.boot == earlier.boot {
            (self.stamp.at_ms, earlier.stamp.at_ms)
        } else {
            (self.stamp.wall_ms, earlier.stamp.wall_ms)
        };
        now.checked_sub(then).is_some_and(|passed| passed >= span_ms)
    }
}

/// A run, from a start to the next one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) boot: [u8; 16],
    pub(super) hold_ms: u64,
    /// Stopped in order: nothing runs.
    pub(super) stopped: bool,
    /// The last instant that is proved.
    pub(super) proved: Stamp,
    /// The last instant that any record names.
    latest_ms: u64,
    /// Older stamps first; those that say the same about the wall clock as the one before are left
    /// out.
    stamps: VecDeque<Stamp>,
}

impl Run {
    /// The run that `started` opens after `before`.
    pub(super) fn new(started: &Started, before: Option<&Run>) -> Result<Self, Wrong> {
        let at_ms = started.stamp.at_ms;
        if let Some(before) = before.filter(|run| run.boot == started.boot) {
            before.not_before_others(at_ms)?;
        }
        Ok(Self {
            boot: started.boot,
            hold_ms: started.hold_ms,
            stopped: false,
            proved: started.stamp,
            latest_ms: at_ms,
            stamps: VecDeque::from([started.stamp]),
        })
    }

    /// Proves everything up to `stamp`.
    pub(super) fn prove(&mut self, stamp: Stamp) -> Result<(), Wrong> {
        self.not_before_others(stamp.at_ms)?;
        self.proved = stamp;
        self.latest_ms = stamp.at_ms;
        let offset = |stamp: &Stamp| stamp.wall_ms.wrapping_sub(stamp.at_ms);
        if self.stamps.back().map(offset) != Some(offset(&stamp)) {
            if self.stamps.len() >= STAMPS_MAX {
                self.stamps.pop_front();
            }
            self.stamps.push_back(stamp);
        }
        Ok(())
    }

    fn not_before_others(&self, at_ms: u64) -> Result<(), Wrong> {
        if at_ms < self.latest_ms {
            return Err(Wrong::Backwards { at_ms, after_ms: self.latest_ms });
        }
        Ok(())
    }

    /// Notes an instant that a record names.
    pub(super) fn names(&mut self, at_ms: u64) {
        self.latest_ms = self.latest_ms.max(at_ms);
    }

    /// Refuses what would open before the instant that is proved: that time is told already.
    pub(super) fn opens_at(&mut self, at_ms: u64) -> Result<(), Wrong> {
        if at_ms < self.proved.at_ms {
            return Err(Wrong::Backwards { at_ms, after_ms: self.proved.at_ms });
        }
        self.names(at_ms);
        Ok(())
    }

    /// Dates an instant by the nearest earlier stamp.
    pub(super) fn dated(&self, at_ms: u64) -> Stamp {
        let later = self.stamps.partition_point(|stamp| stamp.at_ms <= at_ms);
        let stamp = self.stamps.get(later.saturating_sub(1)).copied().unwrap_or(self.proved);
        let wall_ms = if at_ms >= stamp.at_ms {
            stamp.wall_ms.saturating_add(at_ms - stamp.at_ms)
        } else {
            stamp.wall_ms.saturating_sub(stamp.at_ms - at_ms)
        };
        Stamp { at_ms, wall_ms }
    }
}
