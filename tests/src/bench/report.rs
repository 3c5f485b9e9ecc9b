//! What the benchmark of a transit router measured, for people and for programs.

use serde_json::{Map, Value, json};

use super::figure::Figure;
use super::outcome::{Outcome, Table};

/// Below this share of delivered set-ups the CPU time of one says nothing.
const TRUSTED_SHARE: f64 = 0.999;
/// A router that was busy for less than this share at saturation was not what was slowest.
const SATURATED_SHARE: f64 = 0.9;

/// One round of one router.
#[derive(Debug, Clone, Default)]
pub(crate) struct Round {
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
    /// The same for each packet in or out while sessions are refreshed by what changes nothing.
    pub refresh_packet_us: Option<f64>,
    /// Resident bytes for each session.
    pub bytes_per_session: Option<f64>,
    /// What else is to be said.
    pub notes: Vec<String>,
}

/// All rounds of one router.
#[derive(Debug, Clone, Default)]
pub(crate) struct Router {
    /// What it is.
    pub name: &'static str,
    /// Behind each key of the JSON object.
    pub suffix: &'static str,
    /// Before each key.
    pub prefix: &'static str,
    /// The rounds.
    pub rounds: Vec<Round>,
}

impl Router {
    fn figure(&self, of: impl Fn(&Round) -> f64) -> Figure {
        Figure::of(self.rounds.iter().map(of))
    }

    fn known(&self, of: impl Fn(&Round) -> Option<f64>) -> Figure {
        Figure::of(self.rounds.iter().filter_map(of))
    }

    /// The worst round decides: what was lost once may be lost again.
    fn delivered_share(&self) -> f64 {
        self.rounds.iter().map(|round| round.delivered_share).fold(1.0, f64::min)
    }

    /// CPU time of a set-up, if enough was delivered for it to mean something.
    fn trusted_cpu_us(&self) -> Option<Figure> {
        let trusted = self.delivered_share() >= TRUSTED_SHARE;
        trusted.then(|| self.figure(|round| round.setup_cpu_us))
    }

    /// CPU time of a packet in or out: a set-up is two in and two out.
    fn packet_us(&self) -> Option<f64> {
        self.trusted_cpu_us().map(|figure| figure.median() / 4.0)
    }
}

/// The whole benchmark.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    /// Set-ups offered a second in the measurement of delivery and CPU time.
    pub offered_per_s: u32,
    /// The CPUs of the generator and of the router, if there were two.
    pub cpus: Option<(usize, usize)>,
    /// What the books were written to.
    pub disk: String,
    /// The bare forwarder comes last.
    pub routers: Vec<Router>,
    /// How long everything took.
    pub seconds: f64,
}

impl Report {
    fn forwarder(&self) -> Option<&Router> {
        self.routers.iter().find(|router| router.prefix == "forwarder_")
    }

    /// Packets in and out for each second of CPU, as a share of the bare forwarder's.
    fn share(&self, packet_us: Option<f64>) -> Option<f64> {
        let forwarder = self.forwarder().and_then(Router::packet_us)?;
        packet_us.filter(|us| *us > 0.0).map(|us| forwarder / us)
    }

    fn refresh_share(&self, router: &Router) -> Option<f64> {
        let figure = router.known(|round| round.refresh_packet_us);
        (figure != Figure::default()).then(|| self.share(Some(figure.median()))).flatten()
    }

    /// One object; a CPU time that is not to be trusted is null, and `notes` says why.
    pub(crate) fn json(&self) -> Value {
        let mut object = Map::new();
        let mut spread = Map::new();
        for router in &self.routers {
            let key = |name: &str| format!("{}{name}{}", router.prefix, router.suffix);
            let mut put = |name: &str, figure: Option<Figure>, digits: usize| {
                let value = figure.as_ref().map_or(Value::Null, |figure| figure.json(digits));
                object.insert(key(name), value);
                if let Some(figure) = figure {
                    spread.insert(key(name), figure.spread(digits));
                }
            };
            put("setups_per_s", Some(router.figure(|round| round.setups_per_s)), 0);
            put("setup_cpu_us", router.trusted_cpu_us(), 2);
            put("saturation_cpu_us", Some(router.figure(|round| round.saturation_cpu_us)), 2);
            let bytes = router.known(|round| round.bytes_per_session);
            if bytes != Figure::default() {
                put("bytes_per_session", Some(bytes), 0);
            }
            let refresh = router.known(|round| round.refresh_packet_us);
            if refresh != Figure::default() {
                put("refresh_packet_cpu_us", Some(refresh), 2);
            }
            object.insert(key("delivered_share"), json!(router.delivered_share()));
            if router.prefix.is_empty() {
                object.insert(key("refresh_share"), json!(self.refresh_share(router)));
                object.insert(key("new_state_share"), json!(self.share(router.packet_us())));
            }
        }
        object.insert("offered_per_s".into(), json!(self.offered_per_s));
        let rounds = self.routers.first().map_or(0, |router| router.rounds.len());
        object.insert("rounds".into(), json!(rounds));
        object.insert("books_on".into(), json!(self.disk));
        object.insert("spread".into(), Value::Object(spread));
        object.insert("notes".into(), json!(self.notes()));
        Value::Object(object)
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        match self.cpus {
            Some((generator, router)) => notes.push(format!(
                "generator and sink on CPU {generator}, router on CPU {router}; {:.0} s in all",
                self.seconds
            )),
            None => {
                notes.push("only one CPU: generator and router took turns on it".to_owned());
            }
        }
        for router in &self.routers {
            let name = router.name;
            if router.trusted_cpu_us().is_none() {
                notes.push(format!(
                    "{name}: only {:.3} % of {} set-ups a second were delivered, less than {} %: \
                     its CPU time for a set-up is not to be trusted and is not given",
                    router.delivered_share() * 100.0,
                    self.offered_per_s,
                    TRUSTED_SHARE * 100.0
                ));
            }
            let busy = router.figure(|round| round.saturation_busy_share).median();
            if busy < SATURATED_SHARE {
                notes.push(format!(
                    "{name}: used only {:.0} % of its CPU at saturation; the generator, the disk \
                     or the machine was slower, so it can do more set-ups a second than stated",
                    busy * 100.0
                ));
            }
            let rounds = router.rounds.iter().flat_map(|round| &round.notes);
            notes.extend(rounds.map(|note| format!("{name}: {note}")));
        }
        notes
    }

    /// The table.
    fn table(&self) -> Table {
        let head: Vec<&str> =
            std::iter::once("").chain(self.routers.iter().map(|router| router.name)).collect();
        let mut table = Table::new("One transit router", &head);
        let mut row = |label: String, text: &dyn Fn(&Router) -> String| {
            table.row(label, self.routers.iter().map(text));
        };
        let figure = |of: fn(&Round) -> f64, digits: usize| {
            move |router: &Router| router.figure(of).text(digits)
        };
        row("set-ups a second at saturation".into(), &figure(|r| r.setups_per_s, 0));
        row("share of its CPU used then, %".into(), &|router| {
            router.figure(|round| round.saturation_busy_share).times(100.0).text(0)
        });
        row("CPU µs for a set-up then".into(), &figure(|r| r.saturation_cpu_us, 2));
        row(format!("delivered of {} a second, worst round", self.offered_per_s), &|router| {
            percent(Some(router.delivered_share()), 3)
        });
        row("CPU µs for a set-up at that rate".into(), &|router| {
            router.trusted_cpu_us().map_or("not trusted".into(), |figure| figure.text(2))
        });
        row("CPU µs a packet of refreshes that change nothing".into(), &|router| {
            router.known(|round| round.refresh_packet_us).text(2)
        });
        row("packets a CPU-second beside the forwarder, new state".into(), &|router| {
            percent(self.share(router.packet_us()), 0)
        });
        row("the same, refreshes that change nothing".into(), &|router| {
            percent(self.refresh_share(router), 0)
        });
        row("resident bytes a session".into(), &|router| {
            router.known(|round| round.bytes_per_session).text(0)
        });
        table.note(format!("books on {}", self.disk));
        self.notes().into_iter().for_each(|note| table.note(note));
        table
    }

    /// What is printed.
    pub(crate) fn outcome(&self) -> Outcome {
        let tables = vec![self.table()];
        Outcome { name: "transit", tables, json: self.json(), plots: Vec::new() }
    }
}

fn percent(share: Option<f64>, digits: usize) -> String {
    share.map_or("-".to_owned(), |share| format!("{:.digits$} %", share * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(delivered_share: f64, setup_cpu_us: f64) -> Round {
        Round { delivered_share, setup_cpu_us, ..Round::default() }
    }

    fn report(daemon: Vec<Round>, forwarder: Vec<Round>) -> Report {
        let daemon = Router { name: "daemon", rounds: daemon, ..Router::default() };
        let forwarder = Router {
            name: "bare forwarder",
            prefix: "forwarder_",
            rounds: forwarder,
            ..Router::default()
        };
        Report { routers: vec![daemon, forwarder], ..Report::default() }
    }

    #[test]
    fn cpu_time_is_withheld_when_set_ups_were_lost() {
        let report = report(vec![round(0.9989, 5.0)], vec![round(0.999, 4.126)]);
        let json = report.json();
        assert_eq!(json["setup_cpu_us"], Value::Null);
        assert_eq!(json["new_state_share"], Value::Null);
        assert_eq!(json["forwarder_setup_cpu_us"], json!(4.13));
        let text = report.outcome().to_string();
        assert!(text.contains("daemon: only 99.890 % of 0 set-ups a second"), "{text}");
        assert!(text.contains("not trusted"), "{text}");
    }

    #[test]
    fn the_median_takes_the_worst_delivery() {
        let rounds = vec![round(1.0, 3.0), round(0.9995, 9.0), round(1.0, 4.0)];
        let report = report(rounds, vec![round(1.0, 2.0)]);
        let json = report.json();
        assert_eq!(
            (&json["setup_cpu_us"], &json["delivered_share"]),
            (&json!(4.0), &json!(0.9995))
        );
        assert_eq!(json["spread"]["setup_cpu_us"], json!([3.0, 9.0]));
        assert_eq!(json["new_state_share"], json!(0.5), "half as many packets for a second of CPU");
        assert!(report.outcome().to_string().contains("| 4.00 (3.00..9.00) | 2.00 |"));
    }
}
