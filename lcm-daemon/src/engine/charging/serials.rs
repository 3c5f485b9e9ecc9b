//! Epochs and sequences beyond what a flow itself remembers (charging.md T17).
//!
//! They grow by one a change, or follow the seconds, whichever is more. A flow whose sender goes
//! and comes back within the seconds that it was ahead would start from an older number, and its
//! neighbours, who remember the newer one, would not believe it.

use charging_model::flow::Flow;
use charging_model::time::serial_newer;

use super::super::Core;
use super::super::time::Now;

/// A flow that ran further ahead of the wall clock than this is no reason for all others to follow.
const AHEAD_MOST_S: u32 = 3_600;

impl Core {
    /// The time of an input: new flows start their numbers beyond what was said of their
    /// forerunners.
    pub(crate) fn believable(&mut self, now: Now) -> Now {
        self.at = now.at;
        self.unix_s = now.unix_s;
        self.outbox.at = now.at;
        match self.unused_serial {
            Some(serial) if serial_newer(serial, now.unix_s) => Now { serial_s: serial, ..now },
            _ => now,
        }
    }
}

/// Notes the newest numbers of a flow before it, or a part of it, is forgotten.
pub(super) fn remember(unused: &mut Option<u32>, now: Now, flow: &Flow) {
    let groups = flow.groups().filter_map(|(group, _)| flow.quote(group));
    let branches = flow.branches().filter_map(|branch| flow.quote_for(branch.key));
    let epochs = groups.chain(branches).map(|quote| quote.epoch);
    for serial in epochs.chain(flow.last_sequence()) {
        let next = serial.wrapping_add(1);
        let near = next.wrapping_sub(now.unix_s) <= AHEAD_MOST_S;
        if near && unused.is_none_or(|known| serial_newer(next, known)) {
            *unused = Some(next);
        }
    }
}

/// The seconds to number the next instance from, when the last one was not new enough for the
/// previous hop: twice as far ahead of the clock each time. A node whose clock went back a year
/// is believed after 25 refusals, where seconds one by one would be 30 million.
pub(super) fn further(last: Option<u32>, unix_s: u32) -> u32 {
    let ahead = last.map_or(0, |last| last.wrapping_sub(unix_s));
    // Behind the clock, or so far ahead that twice as much would count as behind.
    let ahead = if ahead < 1 << 29 { ahead } else { 0 };
    unix_s.wrapping_add(2 * ahead + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use charging_model::time::next_serial;

    #[test]
    fn numbers_run_ahead_of_the_clock_and_drag_no_price_and_no_account_along() {
        let config = crate::config::Config::parse("", "test").unwrap();
        let mut engine = crate::engine::Engine::new(config, 1);
        let now = Now::new(crate::engine::Instant::default(), 1_750_000_000);
        engine.core.unused_serial = Some(now.unix_s + 3_000);
        let entered = engine.core.believable(now);
        assert_eq!((entered.unix_s, entered.serial_s), (now.unix_s, now.unix_s + 3_000));
        assert_eq!(super::super::clock(entered).unix_s, entered.serial_s);
    }

    #[test]
    fn a_clock_that_went_back_a_day_is_caught_up_with_in_17_steps() {
        let clock = 1_750_000_000;
        let mut last = clock;
        let steps = (1..).find(|_| {
            last = next_serial(Some(last), further(Some(last), clock));
            last >= clock + 86_400
        });
        assert_eq!(steps, Some(17));
        assert_eq!(further(None, clock), clock + 1);
        assert_eq!(further(Some(clock - 5), clock), clock + 1);
    }
}
