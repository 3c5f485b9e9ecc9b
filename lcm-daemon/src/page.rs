//! The metrics page: copies the readings of the engine and the sockets over when it is scraped.

use std::collections::BTreeMap;

use rsvp_wire::MessageType;

use crate::bookkeeper::Counts;
use crate::engine::{AuditView, Counters, DisbeliefView, Engine};
use crate::io::{SendFailure, SkipCounters};
use crate::metrics::Metrics;

/// Metrics, and the counts that nobody else keeps.
pub(crate) struct Page {
    metrics: Metrics,
    send_errors: BTreeMap<i32, u64>,
    fragmented: u64,
    /// The kernel's counter of lost packets wraps at 32 bits.
    drops: u64,
    drops_seen: u32,
}

impl Page {
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let metrics = Metrics::new()?;
        metrics.start_time.set([], crate::io::clock::unix_seconds());
        Ok(Self { metrics, send_errors: BTreeMap::new(), fragmented: 0, drops: 0, drops_seen: 0 })
    }

    pub(crate) fn send_failed(&mut self, failure: &SendFailure) {
        *self.send_errors.entry(failure.error).or_default() += failure.count;
    }

    pub(crate) fn fragmented(&mut self, count: usize) {
        self.fragmented += count as u64;
    }

    /// The page as text.
    pub(crate) fn text(
        &mut self,
        engine: &Engine,
        skipped: &SkipCounters,
        drops: u32,
        books: Counts,
    ) -> Result<String, String> {
        self.books(books);
        self.drops += u64::from(drops.wrapping_sub(self.drops_seen));
        self.drops_seen = drops;
        self.engine(engine.counters());
        self.audit(&engine.show_audit());
        self.disbelief(&engine.show_disbelief());
        let m = &self.metrics;
        let (sessions, senders, reservations) = engine.sizes();
        m.charging_requotes_left.set([], engine.requotes_left() as u64);
        m.sessions.set([], sessions as u64);
        m.path_states.set([], senders as u64);
        m.reservation_states.set([], reservations as u64);
        for (state, count) in engine.account_states() {
            m.accounts.set([state], count);
        }
        m.draining.set([], u64::from(engine.drains().is_some()));
        m.kernel_drops.set(["rsvp"], self.drops);
        m.messages_fragmented.set([], self.fragmented);
        for (reason, count) in skipped.iter() {
            m.decode_errors.set([reason.name()], count);
        }
        for (error, count) in &self.send_errors {
            let name = nix::errno::Errno::from_raw(*error).to_string();
            let name = name.split(':').next().unwrap_or_default().to_owned();
            m.send_errors.set([&name], *count);
        }
        m.text().map_err(|error| error.to_string())
    }

    fn books(&self, counts: Counts) {
        let m = &self.metrics;
        m.ledger_records.set([], counts.records);
        m.ledger_open.set([], u64::from(counts.open));
        m.ledger_waiting.set([], counts.waiting_s);
        let troubles = [
            ("failed", counts.failures),
            ("overflow", counts.overflows),
            ("slow", counts.slow),
            ("unsound", counts.unsound),
        ];
        for (kind, count) in troubles {
            m.ledger_troubles.set([kind], count);
        }
    }

    fn audit(&self, views: &[AuditView]) {
        for AuditView { link, open, counts } in views {
            let named = link.as_ref().map(|(name, hop)| (name.clone(), hop.to_string()));
            let (interface, neighbour) =
                named.unwrap_or_else(|| ("other".to_owned(), "other".to_owned()));
            self.metrics.charging_alarms.set([&interface, &neighbour], *open);
            for (kind, count) in counts.iter().filter(|(_, count)| *count > 0) {
                let labels = [interface.as_str(), kind.name(), neighbour.as_str()];
                self.metrics.charging_inconsistencies.set(labels, *count);
            }
        }
    }

    fn disbelief(&self, views: &[DisbeliefView]) {
        for DisbeliefView { interface, neighbour, dropped } in views {
            let neighbour = neighbour.map_or_else(|| "other".to_owned(), |n| n.to_string());
            for (reason, count) in dropped {
                self.metrics.integrity_dropped.set([interface, &neighbour, reason], *count);
            }
        }
    }

    fn engine(&self, counters: &Counters) {
        let m = &self.metrics;
        for (number, count) in counters.received.iter().enumerate() {
            m.messages_received.set([&type_name(number)], *count);
        }
        for (number, count) in counters.sent.iter().enumerate() {
            m.messages_sent.set([&type_name(number)], *count);
        }
        for (reason, count) in &counters.malformed {
            m.decode_errors.set([reason], *count);
        }
        for (reason, count) in &counters.dropped {
            m.messages_dropped.set([reason], *count);
        }
        let errors =
            [("patherr", &counters.path_errors_sent), ("resverr", &counters.resv_errors_sent)];
        for (kind, sent) in errors {
            for ((code, value), count) in sent {
                m.protocol_errors_sent.set([&code.to_string(), kind, &value.to_string()], *count);
            }
        }
        for (state, count) in &counters.expired {
            m.states_expired.set([state], *count);
        }
        for (event, count) in &counters.reduction {
            m.refresh_reduction.set([event], *count);
        }
        for (event, count) in &counters.receiver_proxy {
            m.receiver_proxy.set([event], *count);
        }
        for (news, count) in &counters.neighbours {
            m.neighbour_news.set([news], *count);
        }
        for (why, count) in &counters.ways_taken {
            m.ways_taken.set([why], *count);
        }
        for (how, count) in &counters.preempted {
            m.preempted.set([how], *count);
        }
        for (reason, count) in &counters.outages {
            m.outages.set([reason], *count);
        }
        m.outage_ms.set([], counters.outage_ms);
        for (direction, count) in &counters.refunds {
            m.refunds.set([direction], *count);
        }
        for (event, count) in &counters.curves {
            m.curves.set([event], *count);
        }
        for (event, count) in &counters.diagnostics {
            m.diagnostics.set([event], *count);
        }
        for (event, count) in &counters.accounts {
            m.account_events.set([event], *count);
        }
        m.account_end_late_ms.set([], counters.account_end_late_ms);
        m.charging_accepts.set([], counters.payments_accepted);
        m.charging_kept.set([], counters.payments_kept);
        m.charging_price_moves.set([], counters.price_moves);
        for (reason, count) in &counters.payments_refused {
            m.charging_refusals.set([reason], *count);
        }
        m.route_queries.set([], counters.route_queries);
    }
}

/// Message types by name; those beyond the last slot share `other`.
fn type_name(number: usize) -> String {
    match u8::try_from(number) {
        Ok(number) if usize::from(number) + 1 < crate::engine::MESSAGE_TYPES => {
            MessageType::from(number).name().to_lowercase()
        }
        _ => "other".to_owned(),
    }
}
