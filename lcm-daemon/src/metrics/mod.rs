//! Metrics for Prometheus.
//!
//! The engine keeps plain `u64` counters and knows nothing of this module. Whoever serves a scrape
//! copies the readings over: [`Counter::set`] takes the absolute reading and raises the exported
//! counter to it. Values are 64-bit floats on their way to Prometheus; nobody reconciles money
//! from them.

use prometheus::core::Collector;
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

pub mod descriptors;
#[cfg(test)]
mod tests;

use descriptors::{Descriptor, Kind};

/// Counters of one name, told apart by the values of `N` labels.
#[derive(Debug, Clone)]
pub struct Counter<const N: usize> {
    family: IntCounterVec,
}

impl<const N: usize> Counter<N> {
    /// Raises the counter with these label values to the absolute `reading`. A reading below the
    /// last one is ignored, for an exported counter never falls.
    pub fn set(&self, labels: [&str; N], reading: u64) {
        // The only error is a wrong number of labels, which the type rules out.
        if let Ok(counter) = self.family.get_metric_with_label_values(&labels) {
            counter.inc_by(reading.saturating_sub(counter.get()));
        }
    }
}

/// Gauges of one name, told apart by the values of `N` labels.
#[derive(Debug, Clone)]
pub struct Gauge<const N: usize> {
    family: IntGaugeVec,
}

impl<const N: usize> Gauge<N> {
    /// Sets the gauge with these label values; what exceeds 2^63 − 1 is shown as that.
    pub fn set(&self, labels: [&str; N], value: u64) {
        if let Ok(gauge) = self.family.get_metric_with_label_values(&labels) {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }
}

/// Every metric of the daemon; [`descriptors`] tells what each one means.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// See [`descriptors::BUILD_INFO`]; set by [`Metrics::new`].
    pub build_info: Gauge<1>,
    /// See [`descriptors::START_TIME`].
    pub start_time: Gauge<0>,
    /// See [`descriptors::MESSAGES_RECEIVED`].
    pub messages_received: Counter<1>,
    /// See [`descriptors::MESSAGES_SENT`].
    pub messages_sent: Counter<1>,
    /// See [`descriptors::MESSAGES_FRAGMENTED`].
    pub messages_fragmented: Counter<0>,
    /// See [`descriptors::DECODE_ERRORS`].
    pub decode_errors: Counter<1>,
    /// See [`descriptors::MESSAGES_DROPPED`].
    pub messages_dropped: Counter<1>,
    /// See [`descriptors::PROTOCOL_ERRORS_SENT`].
    pub protocol_errors_sent: Counter<3>,
    /// See [`descriptors::SESSIONS`].
    pub sessions: Gauge<0>,
    /// See [`descriptors::PATH_STATES`].
    pub path_states: Gauge<0>,
    /// See [`descriptors::RESERVATION_STATES`].
    pub reservation_states: Gauge<0>,
    /// See [`descriptors::STATES_EXPIRED`].
    pub states_expired: Counter<1>,
    /// See [`descriptors::REFRESH_REDUCTION`].
    pub refresh_reduction: Counter<1>,
    /// See [`descriptors::PREEMPTED`].
    pub preempted: Counter<1>,
    /// Outages.
    pub outages: Counter<1>,
    /// Milliseconds of outages.
    pub outage_ms: Counter<0>,
    /// Contra entries for outages.
    pub refunds: Counter<1>,
    /// See [`descriptors::CURVES`].
    pub curves: Counter<1>,
    /// See [`descriptors::DIAGNOSTICS`].
    pub diagnostics: Counter<1>,
    /// See [`descriptors::RECEIVER_PROXY`].
    pub receiver_proxy: Counter<1>,
    /// See [`descriptors::NEIGHBOUR_NEWS`].
    pub neighbour_news: Counter<1>,
    /// See [`descriptors::WAYS_TAKEN`].
    pub ways_taken: Counter<1>,
    /// See [`descriptors::ACCOUNT_EVENTS`].
    pub account_events: Counter<1>,
    /// See [`descriptors::ACCOUNT_END_LATE_MS`].
    pub account_end_late_ms: Gauge<0>,
    /// See [`descriptors::ACCOUNTS`].
    pub accounts: Gauge<1>,
    /// See [`descriptors::CHARGING_KEPT`].
    pub charging_kept: Counter<0>,
    /// See [`descriptors::CHARGING_PRICE_MOVES`].
    pub charging_price_moves: Counter<0>,
    /// See [`descriptors::CHARGING_REQUOTES_LEFT`].
    pub charging_requotes_left: Gauge<0>,
    /// See [`descriptors::ROUTE_QUERIES`].
    pub route_queries: Counter<0>,
    /// See [`descriptors::CHARGING_ACCEPTS`].
    pub charging_accepts: Counter<0>,
    /// See [`descriptors::CHARGING_REFUSALS`].
    pub charging_refusals: Counter<1>,
    /// See [`descriptors::CHARGING_INCONSISTENCIES`].
    pub charging_inconsistencies: Counter<3>,
    /// See [`descriptors::CHARGING_ALARMS`].
    pub charging_alarms: Gauge<2>,
    /// See [`descriptors::INTEGRITY_DROPPED`].
    pub integrity_dropped: Counter<3>,
    /// See [`descriptors::KERNEL_DROPS`].
    pub kernel_drops: Counter<1>,
    /// See [`descriptors::SEND_ERRORS`].
    pub send_errors: Counter<1>,
    /// See [`descriptors::DRAINING`].
    pub draining: Gauge<0>,
    /// See [`descriptors::LEDGER_RECORDS`].
    pub ledger_records: Counter<0>,
    /// See [`descriptors::LEDGER_OPEN`].
    pub ledger_open: Gauge<0>,
    /// See [`descriptors::LEDGER_WAITING`].
    pub ledger_waiting: Gauge<0>,
    /// See [`descriptors::LEDGER_TROUBLES`].
    pub ledger_troubles: Counter<1>,
}

impl Metrics {
    /// All metrics, without readings.
    ///
    /// # Errors
    ///
    /// If two metrics have one name, or a name is malformed: a fault of this program.
    pub fn new() -> Result<Metrics, prometheus::Error> {
        let registry = Registry::new();
        let r = &registry;
        let metrics = Metrics {
            build_info: gauge(r, &descriptors::BUILD_INFO)?,
            start_time: gauge(r, &descriptors::START_TIME)?,
            messages_received: counter(r, &descriptors::MESSAGES_RECEIVED)?,
            messages_sent: counter(r, &descriptors::MESSAGES_SENT)?,
            messages_fragmented: counter(r, &descriptors::MESSAGES_FRAGMENTED)?,
            decode_errors: counter(r, &descriptors::DECODE_ERRORS)?,
            messages_dropped: counter(r, &descriptors::MESSAGES_DROPPED)?,
            protocol_errors_sent: counter(r, &descriptors::PROTOCOL_ERRORS_SENT)?,
            sessions: gauge(r, &descriptors::SESSIONS)?,
            path_states: gauge(r, &descriptors::PATH_STATES)?,
            reservation_states: gauge(r, &descriptors::RESERVATION_STATES)?,
            states_expired: counter(r, &descriptors::STATES_EXPIRED)?,
            refresh_reduction: counter(r, &descriptors::REFRESH_REDUCTION)?,
            preempted: counter(r, &descriptors::PREEMPTED)?,
            outages: counter(r, &descriptors::OUTAGES)?,
            outage_ms: counter(r, &descriptors::OUTAGE_MS)?,
            refunds: counter(r, &descriptors::REFUNDS)?,
            curves: counter(r, &descriptors::CURVES)?,
            diagnostics: counter(r, &descriptors::DIAGNOSTICS)?,
            receiver_proxy: counter(r, &descriptors::RECEIVER_PROXY)?,
            neighbour_news: counter(r, &descriptors::NEIGHBOUR_NEWS)?,
            ways_taken: counter(r, &descriptors::WAYS_TAKEN)?,
            account_events: counter(r, &descriptors::ACCOUNT_EVENTS)?,
            account_end_late_ms: gauge(r, &descriptors::ACCOUNT_END_LATE_MS)?,
            accounts: gauge(r, &descriptors::ACCOUNTS)?,
            charging_kept: counter(r, &descriptors::CHARGING_KEPT)?,
            charging_price_moves: counter(r, &descriptors::CHARGING_PRICE_MOVES)?,
            charging_requotes_left: gauge(r, &descriptors::CHARGING_REQUOTES_LEFT)?,
            route_queries: counter(r, &descriptors::ROUTE_QUERIES)?,
            charging_accepts: counter(r, &descriptors::CHARGING_ACCEPTS)?,
            charging_refusals: counter(r, &descriptors::CHARGING_REFUSALS)?,
            charging_inconsistencies: counter(r, &descriptors::CHARGING_INCONSISTENCIES)?,
            charging_alarms: gauge(r, &descriptors::CHARGING_ALARMS)?,
            integrity_dropped: counter(r, &descriptors::INTEGRITY_DROPPED)?,
            kernel_drops: counter(r, &descriptors::KERNEL_DROPS)?,
            send_errors: counter(r, &descriptors::SEND_ERRORS)?,
            ledger_records: counter(r, &descriptors::LEDGER_RECORDS)?,
            draining: gauge(r, &descriptors::DRAINING)?,
            ledger_open: gauge(r, &descriptors::LEDGER_OPEN)?,
            ledger_waiting: gauge(r, &descriptors::LEDGER_WAITING)?,
            ledger_troubles: counter(r, &descriptors::LEDGER_TROUBLES)?,
            registry,
        };
        metrics.build_info.set([env!("CARGO_PKG_VERSION")], 1);
        Ok(metrics)
    }

    /// The last readings in Prometheus' text format, version 0.0.4. A metric without a reading
    /// does not appear, nor does a label value that was never set.
    ///
    /// # Errors
    ///
    /// If the text cannot be encoded: a fault of this program.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

fn counter<const N: usize>(
    registry: &Registry,
    descriptor: &Descriptor<N>,
) -> Result<Counter<N>, prometheus::Error> {
    let family = IntCounterVec::new(options(descriptor), &descriptor.labels)?;
    register(registry, descriptor, Kind::Counter, family.clone())?;
    Ok(Counter { family })
}

fn gauge<const N: usize>(
    registry: &Registry,
    descriptor: &Descriptor<N>,
) -> Result<Gauge<N>, prometheus::Error> {
    let family = IntGaugeVec::new(options(descriptor), &descriptor.labels)?;
    register(registry, descriptor, Kind::Gauge, family.clone())?;
    Ok(Gauge { family })
}

fn options<const N: usize>(descriptor: &Descriptor<N>) -> Opts {
    Opts::new(descriptor.name, descriptor.help)
}

fn register<const N: usize>(
    registry: &Registry,
    descriptor: &Descriptor<N>,
    kind: Kind,
    family: impl Collector + 'static,
) -> Result<(), prometheus::Error> {
    if descriptor.kind != kind {
        let name = descriptor.name;
        return Err(prometheus::Error::Msg(format!("{name} is declared as another kind")));
    }
    registry.register(Box::new(family))
}
