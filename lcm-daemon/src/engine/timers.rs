//! One alarm per session, in a heap that tolerates stale entries.
//!
//! A session knows its earliest deadline itself. A refresh moves that deadline into the future;
//! the heap is then left alone, and the early alarm merely finds nothing due. So a refresh costs
//! no heap operation.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::time::Instant;

/// Alarms of sessions, by slot number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, usize)>>,
}

impl Timers {
    /// Sees that session `slot` is looked at by `deadline`, given that `armed` is the alarm that
    /// it already has; returns the alarm that it has now.
    pub(crate) fn arm(&mut self, slot: usize, armed: Instant, deadline: Instant) -> Instant {
        if deadline < armed {
            self.heap.push(Reverse((deadline, slot)));
            deadline
        } else {
            armed
        }
    }

    /// The next alarm, which may be stale.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes an alarm that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(Instant, usize)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_earlier_deadlines_enter_the_heap() {
        let at = Instant::from_millis;
        let mut timers = Timers::default();
        let armed = timers.arm(1, Instant::NEVER, at(10));
        assert_eq!(timers.arm(1, armed, at(20)), at(10));
        assert_eq!(timers.heap.len(), 1);
        assert_eq!(timers.arm(1, armed, at(5)), at(5));
        assert_eq!(timers.pop_due(at(4)), None);
        assert_eq!(timers.pop_due(at(5)), Some((at(5), 1)));
        assert_eq!(timers.pop_due(at(30)), Some((at(10), 1)));
        assert_eq!(timers.pop_due(at(30)), None);
    }
}
