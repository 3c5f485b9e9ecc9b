//! A new price on its way to the sessions that it concerns, some at a time.
//!
//! Quoting a hundred thousand sessions in one breath would send as many PATHs in a row, more than the
//! sockets of a neighbour hold, and leave this node deaf meanwhile. So sessions are quoted in batches, and
//! the last one hears within [`SPREAD_PERCENT`] of a refresh period, before it would have been told by
//! a refresh anyway. What is agreed stays until a session is quoted: the new price is effective for it
//! from then on (charging.md T4 to T6). Few sessions are quoted at once.

use super::time::{Instant, Now, Span};
use super::{Engine, SHORTEST_ALARM};

/// Time from one batch to the next.
const TICK_MS: usize = 10;
const TICK: Span = Span::from_millis(TICK_MS as u64);
/// The least number of sessions in a batch: 6,400 a second.
const BATCH_MIN: usize = 64;
/// How many places without a session a batch may pass.
const VACANT_MAX: usize = 16_384;
/// The part of R by which all sessions are told.
const SPREAD_PERCENT: usize = 75;

/// An interface whose new price is on its way.
#[derive(Debug, Clone)]
struct Sweep {
    interface: u32,
    /// The next slot to look at.
    at: usize,
    /// How many slots are left.
    left: usize,
    /// When the next batch is due.
    due: Instant,
}

/// The prices on their way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Requotes {
    sweeps: Vec<Sweep>,
}

impl Requotes {
    /// When the next batch is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.sweeps.iter().map(|sweep| sweep.due).min()
    }

    /// The place of the sweep of an interface that has all `slots` before it: a new one, or the one
    /// under way, which goes on where it is, so that no price that moves often keeps the last sessions
    /// waiting.
    fn begin(&mut self, interface: u32, slots: usize, now: Instant) -> usize {
        match self.sweeps.iter_mut().position(|sweep| sweep.interface == interface) {
            Some(place) => {
                if let Some(sweep) = self.sweeps.get_mut(place) {
                    sweep.left = slots;
                }
                place
            }
            None => {
                self.sweeps.push(Sweep { interface, at: 0, left: slots, due: now });
                self.sweeps.len() - 1
            }
        }
    }
}

impl Engine {
    /// Quotes sessions anew on interfaces whose price changed, the first of them at once.
    pub(crate) fn requote_repriced(&mut self, now: Now) {
        for interface in std::mem::take(&mut self.core.repriced) {
            let slots = self.sessions.end();
            let place = self.core.requotes.begin(interface, slots, now.at);
            self.requote_batch(now, place);
        }
        self.core.requotes.sweeps.retain(|sweep| sweep.left > 0);
    }

    /// Quotes the next sessions, if it is time.
    pub(crate) fn requotes_due(&mut self, now: Now) {
        for place in 0..self.core.requotes.sweeps.len() {
            self.requote_batch(now, place);
        }
        self.core.requotes.sweeps.retain(|sweep| sweep.left > 0);
    }

    fn requote_batch(&mut self, now: Now, place: usize) {
        let Some(sweep) = self.core.requotes.sweeps.get(place) else { return };
        let Sweep { interface, mut at, mut left, due } = *sweep;
        if due > now.at {
            return;
        }
        let end = self.sessions.end();
        let mut batch = self.batch(now, interface);
        let mut vacant = VACANT_MAX;
        left = left.min(end);
        while left > 0 && batch > 0 && vacant > 0 {
            at = if at < end { at } else { 0 };
            let told =
                self.with_session(at, |core, state| state.price_changed(core, now, interface));
            match told {
                Some(()) => batch -= 1,
                None => vacant -= 1,
            }
            (at, left) = (at + 1, left - 1);
        }
        if let Some(sweep) = self.core.requotes.sweeps.get_mut(place) {
            // Late batches follow each other faster, so that all is done in time.
            let due = (due + TICK).max(now.at + SHORTEST_ALARM);
            *sweep = Sweep { interface, at, left, due };
        }
    }

    /// How many sessions to quote in one batch.
    fn batch(&self, now: Now, interface: u32) -> usize {
        let refresh_ms = self.core.interfaces.refresh_ms_on(interface, now.at) as usize;
        let batches = refresh_ms / 100 * SPREAD_PERCENT / TICK_MS;
        self.sessions.len().div_ceil(batches.max(1)).max(BATCH_MIN)
    }

    /// How many places of the table of sessions prices on their way have still to pass.
    pub fn requotes_left(&self) -> usize {
        self.core.requotes.sweeps.iter().map(|sweep| sweep.left).sum()
    }
}
