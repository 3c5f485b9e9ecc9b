//! What was measured, for people and for programs.

use std::fmt;

use serde_json::{Map, Value, json};

/// Below this share of delivered set-ups the CPU time of one says nothing.
const TRUSTED_SHARE: f64 = 0.999;
/// A router that was busy for less than this share at saturation was not what was slowest.
const SATURATED_SHARE: f64 = 0.9;

/// The figures of one kind of router.
#[derive(Debug, Clone, Default)]
pub(crate) struct RouterFigures {
    /// Set-ups a second at saturation.
    pub setups_per_s: f64,
    /// Share of one CPU that the router used at saturation.
    pub saturation_busy_share: f64,
    /// User and system time of the router for each set-up at saturation, in microseconds; less than
    /// at a lower rate, since more messages are taken at once.
    pub saturation_cpu_us: f64,
    /// Share of the set-ups offered at the fixed rate that came back.
    pub delivered_share: f64,
    /// User and system time of the router for each of them, in microseconds.
    pub setup_cpu_us: f64,
    /// Resident bytes for each session; not measured for the forwarder.
    pub bytes_per_session: f64,
    /// What else is to be said.
    pub notes: Vec<String>,
}

impl RouterFigures {
    /// The median of each figure over all rounds, and all notes.
    pub(crate) fn median(rounds: &[RouterFigures]) -> RouterFigures {
        let median = |figure: fn(&RouterFigures) -> f64| {
            let mut values: Vec<f64> = rounds.iter().map(figure).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        RouterFigures {
            setups_per_s: median(|figures| figures.setups_per_s),
            saturation_busy_share: median(|figures| figures.saturation_busy_share),
            saturation_cpu_us: median(|figures| figures.saturation_cpu_us),
            // The worst round decides: what was lost once may be lost again.
            delivered_share: rounds.iter().map(|f| f.delivered_share).fold(1.0, f64::min),
            setup_cpu_us: median(|figures| figures.setup_cpu_us),
            bytes_per_session: median(|figures| figures.bytes_per_session),
            notes: rounds.iter().flat_map(|figures| figures.notes.clone()).collect(),
        }
    }

    /// CPU time of a set-up, if enough was delivered for it to mean something.
    fn trusted_cpu_us(&self) -> Option<f64> {
        (self.delivered_share >= TRUSTED_SHARE).then_some(self.setup_cpu_us)
    }
}

/// The whole benchmark.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    /// Set-ups offered a second in the measurement of delivery and CPU time.
    pub offered_per_s: u32,
    /// The CPUs of the generator and of the router, if there were two.
    pub cpus: Option<(usize, usize)>,
    /// The bare forwarder.
    pub forwarder: RouterFigures,
    /// The daemon; `None` if only the forwarder was asked for.
    pub daemon: Option<RouterFigures>,
    /// How long everything took.
    pub seconds: f64,
}

impl Report {
    /// One object; a CPU time that is not to be trusted is null, and `notes` says why.
    pub(crate) fn json(&self) -> Value {
        let mut object = Map::new();
        let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
        if let Some(daemon) = &self.daemon {
            put("setups_per_s", json!(daemon.setups_per_s.round()));
            put("setup_cpu_us", json!(daemon.trusted_cpu_us().map(hundredths)));
            put("delivered_share", json!(daemon.delivered_share));
            put("saturation_cpu_us", json!(hundredths(daemon.saturation_cpu_us)));
            put("bytes_per_session", json!(daemon.bytes_per_session.round()));
        }
        put("forwarder_setup_cpu_us", json!(self.forwarder.trusted_cpu_us().map(hundredths)));
        put("forwarder_saturation_cpu_us", json!(hundredths(self.forwarder.saturation_cpu_us)));
        put("forwarder_setups_per_s", json!(self.forwarder.setups_per_s.round()));
        put("forwarder_delivered_share", json!(self.forwarder.delivered_share));
        put("offered_per_s", json!(self.offered_per_s));
        put("notes", json!(self.notes()));
        Value::Object(object)
    }

    fn routers(&self) -> impl Iterator<Item = (&'static str, &RouterFigures)> {
        let daemon = self.daemon.iter().map(|figures| ("daemon", figures));
        daemon.chain([("bare forwarder", &self.forwarder)])
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.cpus.is_none() {
            notes.push("only one CPU: generator and router took turns on it".to_owned());
        }
        for (name, figures) in self.routers() {
            if figures.trusted_cpu_us().is_none() {
                notes.push(format!(
                    "{name}: only {:.3} % of {} set-ups a second were delivered, less than {} %: \
                     its CPU time for a set-up is not to be trusted and is not given",
                    figures.delivered_share * 100.0,
                    self.offered_per_s,
                    TRUSTED_SHARE * 100.0
                ));
            }
            if figures.saturation_busy_share < SATURATED_SHARE {
                notes.push(format!(
                    "{name}: used only {:.0} % of its CPU at saturation; the generator or the \
                     machine was slower, so it can do more set-ups a second than stated",
                    figures.saturation_busy_share * 100.0
                ));
            }
            notes.extend(figures.notes.iter().map(|note| format!("{name}: {note}")));
        }
        notes
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<40}", "one transit router")?;
        for (name, _) in self.routers() {
            write!(f, "{name:>16}")?;
        }
        let offered = self.offered_per_s;
        let mut row = |label: String, figure: &dyn Fn(&RouterFigures) -> String| {
            write!(f, "\n{label:<40}")?;
            self.routers().try_for_each(|(_, figures)| write!(f, "{:>16}", figure(figures)))
        };
        row("set-ups a second at saturation".into(), &|r| format!("{:.0}", r.setups_per_s))?;
        row("  share of its CPU used then".into(), &|r| percent(r.saturation_busy_share, 0))?;
        row("  CPU us for a set-up then".into(), &|r| format!("{:.2}", r.saturation_cpu_us))?;
        row(format!("delivered of {offered} a second"), &|r| percent(r.delivered_share, 3))?;
        row("CPU us for a set-up at that rate".into(), &|r| {
            r.trusted_cpu_us().map_or("not trusted".into(), |us| format!("{us:.2}"))
        })?;
        row("resident bytes for a session".into(), &|r| match r.bytes_per_session {
            0.0 => "-".to_owned(),
            bytes => format!("{bytes:.0}"),
        })?;
        if let Some((generator, router)) = self.cpus {
            write!(f, "\ngenerator and sink on CPU {generator}, router on CPU {router}")?;
        }
        write!(f, "; {:.0} s in all", self.seconds)?;
        self.notes().iter().try_for_each(|note| write!(f, "\nnote: {note}"))
    }
}

fn percent(share: f64, digits: usize) -> String {
    format!("{:.digits$} %", share * 100.0)
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(delivered_share: f64, setup_cpu_us: f64) -> RouterFigures {
        RouterFigures { delivered_share, setup_cpu_us, ..RouterFigures::default() }
    }

    #[test]
    fn cpu_time_is_withheld_when_set_ups_were_lost() {
        let report = Report {
            daemon: Some(figures(0.9989, 5.0)),
            forwarder: figures(0.999, 4.126),
            ..Report::default()
        };
        let json = report.json();
        assert_eq!(json["setup_cpu_us"], Value::Null);
        assert_eq!(json["forwarder_setup_cpu_us"], json!(4.13));
        let text = report.to_string();
        assert!(text.contains("daemon: only 99.890 % of 0 set-ups a second"), "{text}");
        assert!(text.contains("not trusted"), "{text}");
    }

    #[test]
    fn the_median_takes_the_worst_delivery() {
        let rounds = [figures(1.0, 3.0), figures(0.5, 9.0), figures(1.0, 4.0)];
        let median = RouterFigures::median(&rounds);
        assert_eq!((median.setup_cpu_us, median.delivered_share), (4.0, 0.5));
    }
}
