//! Prices that move by themselves: with the clock, and with what is reserved on an interface.
//!
//! Windows of a schedule are to the minute, so the clock is looked at every minute. What is reserved
//! is looked at when it changes, and again when a price has been held for long enough. Whatever moves
//! is quoted as a price that an operator sets; Lmax was announced for all of it.

use super::time::{Instant, Now, Span};
use super::{Core, Engine};

const MINUTE_S: u64 = 60;

impl Engine {
    /// Lets all prices follow, and quotes anew what changed.
    pub(crate) fn move_prices(&mut self, now: Now) {
        let moving: Vec<u32> = self
            .core
            .interfaces
            .iter()
            .filter(|port| port.settings.tariff.moves())
            .map(|port| port.kernel.index)
            .collect();
        let mut next: Option<Instant> = None;
        for interface in moving {
            let Some(port) = self.core.interfaces.get_mut(interface) else { continue };
            if port.weigh(now) {
                self.core.counters.price_moves += 1;
                self.core.repriced.push(interface);
            }
            let until_minute = MINUTE_S - u64::from(now.unix_s) % MINUTE_S;
            let minute = now.at + Span::from_millis(until_minute * 1_000);
            let minute = port.settings.tariff.schedule.is_some().then_some(minute);
            next = next.into_iter().chain(minute).chain(port.next_move()).min();
        }
        self.core.prices_move = next.map(|at| at.max(now.at + super::SHORTEST_ALARM));
        self.requote_repriced(now);
    }

    /// As [`move_prices`](Self::move_prices), if it is time.
    pub(crate) fn prices_due(&mut self, now: Now) {
        if self.core.prices_move.is_some_and(|at| at <= now.at) {
            self.move_prices(now);
        }
    }
}

impl Core {
    /// What is reserved on an interface changed: its price may have to follow.
    pub(crate) fn utilisation_changed(&mut self, interface: u32) {
        let port = self.interfaces.get(interface);
        let Some(at) = port.and_then(|port| port.next_move()) else { return };
        let at = at.max(self.at);
        self.prices_move = Some(self.prices_move.map_or(at, |earlier| earlier.min(at)));
    }
}
