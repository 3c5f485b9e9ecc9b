//! Tests of the exposition as Prometheus would read it.

use std::collections::BTreeMap;

use super::*;

/// Every metric with one reading at least.
fn filled() -> Metrics {
    let m = Metrics::new().unwrap();
    m.start_time.set([], 1_700_000_000);
    m.messages_received.set(["path"], 3);
    m.messages_sent.set(["resv"], 2);
    m.messages_fragmented.set([], 1);
    m.decode_errors.set(["checksum"], 1);
    m.messages_dropped.set(["no_path_state"], 1);
    m.protocol_errors_sent.set(["2", "resverr", "4"], 1);
    m.sessions.set([], 4);
    m.path_states.set([], 5);
    m.reservation_states.set([], 6);
    m.states_expired.set(["path"], 1);
    m.refresh_reduction.set(["acknowledged"], 2);
    m.preempted.set(["reduced"], 1);
    m.outages.set(["silent"], 1);
    m.outage_ms.set([], 1);
    m.refunds.set(["given"], 1);
    m.curves.set(["taken"], 1);
    m.diagnostics.set(["request"], 3);
    m.account_events.set(["warned"], 1);
    m.account_end_late_ms.set([], 12);
    m.accounts.set(["open"], 1);
    m.neighbour_news.set(["silent"], 1);
    m.ways_taken.set(["first"], 1);
    m.charging_kept.set([], 2);
    m.charging_price_moves.set([], 3);
    m.charging_requotes_left.set([], 5);
    m.receiver_proxy.set(["reserved"], 1);
    m.route_queries.set([], 3);
    m.charging_accepts.set([], 7);
    m.charging_refusals.set(["payment_too_low"], 1);
    m.charging_inconsistencies.set(["eth1", "totals", "192.0.2.1"], 1);
    m.charging_alarms.set(["eth1", "192.0.2.1"], 1);
    m.integrity_dropped.set(["eth1", "192.0.2.1", "integrity_replay"], 1);
    m.draining.set([], 0);
    m.kernel_drops.set(["rsvp"], 1);
    m.send_errors.set(["ENETUNREACH"], 1);
    m.ledger_records.set([], 9);
    m.ledger_open.set([], 1);
    m.ledger_waiting.set([], 2);
    m.ledger_troubles.set(["slow"], 1);
    m
}

/// The samples of a text, by name with labels; checks the form of every line.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let mut types: BTreeMap<&str, &str> = BTreeMap::new();
    let mut samples = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (_, help) = rest.split_once(' ').expect(line);
            assert!(help.ends_with('.'), "{line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect(line);
            assert!(types.insert(name, kind).is_none(), "{name} is declared twice");
        } else {
            let (series, value) = line.rsplit_once(' ').expect(line);
            let name = series.split('{').next().unwrap();
            assert!(types.contains_key(name), "{name} has no type");
            assert!(samples.insert(series.to_owned(), value.parse().expect(line)).is_none());
        }
    }
    for (name, kind) in types {
        assert!(name.starts_with("lcm_"), "{name}");
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
    }
    samples
}

#[test]
fn the_text_is_well_formed_and_keeps_the_conventions() {
    let metrics = filled();
    let samples = samples(&metrics.text().unwrap());
    assert_eq!(samples.len(), metrics.registry.gather().len(), "a metric has no reading");
    assert_eq!(samples["lcm_sessions"], 4.0);
    assert_eq!(samples["lcm_messages_received_total{type=\"path\"}"], 3.0);
    let error = "lcm_protocol_errors_sent_total{code=\"2\",type=\"resverr\",value=\"4\"}";
    assert_eq!(samples[error], 1.0);
    let version = concat!("lcm_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}");
    assert_eq!(samples[version], 1.0);
}

#[test]
fn counters_take_absolute_readings_and_never_fall() {
    let metrics = Metrics::new().unwrap();
    for (reading, shown) in [(0, 0.0), (5, 5.0), (5, 5.0), (9, 9.0), (2, 9.0), (10, 10.0)] {
        metrics.messages_sent.set(["path"], reading);
        metrics.messages_sent.set(["resv"], 1);
        let samples = samples(&metrics.text().unwrap());
        assert_eq!(samples["lcm_messages_sent_total{type=\"path\"}"], shown);
        assert_eq!(samples["lcm_messages_sent_total{type=\"resv\"}"], 1.0);
    }
}

#[test]
fn gauges_follow_up_and_down() {
    let metrics = Metrics::new().unwrap();
    for (value, shown) in [(3, 3.0), (1, 1.0), (u64::MAX, 9_223_372_036_854_775_807.0)] {
        metrics.path_states.set([], value);
        assert_eq!(samples(&metrics.text().unwrap())["lcm_path_states"], shown);
    }
}

#[test]
fn the_manual_lists_every_metric_as_it_is() {
    let manual = include_str!("../../../deploy/metrics.md");
    let families = filled().registry.gather();
    for family in &families {
        let kind = format!("{:?}", family.get_field_type()).to_lowercase();
        let labels: Vec<&str> =
            family.get_metric()[0].get_label().iter().map(|l| l.name()).collect();
        let row =
            format!("| `{}` | {kind} | {} | {} |", family.name(), labels.join(", "), family.help());
        assert!(manual.contains(&row), "deploy/metrics.md lacks this row:\n{row}");
    }
    let rows = manual.lines().filter(|line| line.starts_with("| `lcm_")).count();
    assert_eq!(rows, families.len(), "deploy/metrics.md has rows for metrics that are gone");
}

#[test]
fn errors_whose_numbers_look_alike_side_by_side_are_told_apart() {
    let metrics = Metrics::new().unwrap();
    metrics.protocol_errors_sent.set(["2", "resverr", "13"], 1);
    metrics.protocol_errors_sent.set(["21", "resverr", "3"], 2);
    let samples = samples(&metrics.text().unwrap());
    let of = |code: u8, value: u16| {
        let labels = format!("{{code=\"{code}\",type=\"resverr\",value=\"{value}\"}}");
        samples[&format!("lcm_protocol_errors_sent_total{labels}")]
    };
    assert_eq!((of(2, 13), of(21, 3)), (1.0, 2.0));
}
