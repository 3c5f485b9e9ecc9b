//! What is due by the clock.

use super::super::Engine;
use super::super::time::Now;

impl Engine {
    /// Sends again, refreshes by number, acknowledges and greets what is due.
    pub(crate) fn reduce_due(&mut self, now: Now) {
        if !self.core.outbox.reduce.active {
            return;
        }
        let super::super::Core { outbox, counters, .. } = &mut self.core;
        outbox.retransmit(counters, now.at);
        outbox.refresh_batches(counters, now.at);
        let reduce = &mut outbox.reduce;
        while let Some(first) = reduce.later.first_entry().filter(|it| it.key().0 <= now.at) {
            let (key, ack) = first.remove();
            reduce.answer(key, ack);
        }
        outbox.greet_due(counters, now.at);
        let sessions = &self.sessions;
        self.core.outbox.reduce.sweep(|slot| sessions.get(slot));
    }
}
