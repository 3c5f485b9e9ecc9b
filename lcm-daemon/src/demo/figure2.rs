//! The play: phases A, C and B on real daemons, and what is checked in each.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use charging_model::Ppm;
use serde::Serialize;

use super::args::{Figure2Args, LinkRate};
use super::expect::{DcpeRow, Figure, Phase, UcpeRow, reduced};
use super::observe::{Observer, Spoken, Words};
use super::report;
use super::stage::{LinkPrice, Setup, Stage};
use crate::control::Request;
use crate::control::protocol::Share;
use crate::exit::Exit;
use crate::lab::{self, LabError, Topology, wait};

/// The group that the figure's sender sends to.
const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(239, 1, 2, 3));
/// The same over IPv6: transient, within the site (RFC 4291 section 2.7).
const GROUP6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0, 0x123));
const PORT: u16 = 5000;
/// Validity of all prices, as in the paper's example.
const VALIDITY_MS: u32 = 60_000;
/// L and Lmax of the figure's links, in wire units.
const PRICES: [(&str, &str, u64, u64); 5] = [
    ("S", "IS1", 0, 0),
    ("IS1", "IS2", 100, 120),
    ("IS2", "IS3", 60, 70),
    ("IS2", "R1", 40, 80),
    ("IS3", "R2", 50, 60),
];
/// What IS2 asks on its link to R1 when R1 returns.
const RAISED: u64 = 60;
/// How much more that is where the link is dearer already.
const RAISE: u64 = 20;
/// How long a phase may take to settle.
const SETTLING: Duration = Duration::from_secs(10);

/// All that the demo found, under the names of the paper's cases.
#[derive(Debug, Serialize)]
pub(super) struct Findings {
    #[serde(rename = "A_equilibrium")]
    pub(super) a: Phase,
    #[serde(rename = "B_after_R1_price_rise_40_to_60")]
    pub(super) b: Phase,
    #[serde(rename = "C_R2_only")]
    pub(super) c: Phase,
}

/// Why the demo ends with another status than 0.
pub(super) enum Failure {
    /// The arguments make no sense.
    Usage(String),
    /// The machine cannot do it, or a daemon failed.
    Lab(LabError),
    /// The numbers are not what they must be.
    Differs(String),
}

impl From<LabError> for Failure {
    fn from(error: LabError) -> Self {
        Self::Lab(error)
    }
}

pub(super) fn run(args: &Figure2Args) -> Exit {
    match play(args) {
        Ok(()) => Exit::Ok,
        Err(Failure::Usage(text)) => {
            eprintln!("lcmctl demo figure2: {text}");
            Exit::Usage
        }
        Err(Failure::Lab(error)) => {
            eprintln!("lcmctl demo figure2: {error}");
            Exit::Failed
        }
        Err(Failure::Differs(text)) => {
            eprintln!("lcmctl demo figure2: {text}");
            Exit::Failed
        }
    }
}

fn play(args: &Figure2Args) -> Result<(), Failure> {
    let figure = figure(args)?;
    let raised = raised(args, &figure)?;
    let expected = Findings {
        a: expect(&figure, &["R1", "R2"])?,
        c: expect(&figure, &["R2"])?,
        b: expect(&raised, &["R1", "R2"])?,
    };
    let pcap = folder("--pcap", args.pcap.as_deref())?;
    let books = folder("--keep", args.keep.as_deref())?;
    let needed: Vec<_> = pcap.iter().chain(&books).map(PathBuf::as_path).collect();
    lab::enter(&needed)?;
    let program = std::env::current_exe().map_err(LabError::from)?;
    let stage = Stage::start(Setup {
        topology: figure.topology.clone(),
        prices: figure.prices.clone(),
        reservable: BTreeMap::new(),
        ignorant: BTreeSet::new(),
        refresh_ms: args.refresh_ms,
        validity_ms: VALIDITY_MS,
        group: Some(if args.ipv6 { GROUP6 } else { GROUP }),
        ipv6: args.ipv6,
        reduce: false,
        port: PORT,
        program: (program, vec!["daemon".to_owned()]),
        pcap,
        books,
        hold_s: None,
        more: BTreeMap::new(),
        extra: BTreeMap::new(),
        log_level: "info",
        metrics_port: None,
    })?;
    let metered = Duration::from_secs(args.phase_s.into());
    let observer = Observer::default();
    let mut actors = Actors { stage, observer, metered, tell: !args.json };
    let findings = actors.perform(args, &expected, &raised)?;
    if args.keep.is_some() {
        actors.stage.stop()?;
    }
    if args.json {
        let text = serde_json::to_string_pretty(&findings)
            .map_err(|e| Failure::Differs(format!("cannot print the findings: {e}")))?;
        println!("{text}");
    } else {
        report::summary(&findings);
    }
    Ok(())
}

/// A folder that was named, made if it is not there.
fn folder(option: &str, path: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
    let Some(path) = path else { return Ok(None) };
    let path = std::path::absolute(path).map_err(LabError::from)?;
    std::fs::create_dir_all(&path)
        .map_err(|e| Failure::Usage(format!("{option} {}: {e}", path.display())))?;
    Ok(Some(path))
}

/// The figure with the prices that were asked for.
fn figure(args: &Figure2Args) -> Result<Figure, Failure> {
    let mut prices = BTreeMap::new();
    for (from, to, price, max_price) in PRICES {
        prices.insert((from.to_owned(), to.to_owned()), LinkPrice { price, max_price });
    }
    let unknown = |rate: &LinkRate| {
        let links: Vec<String> = PRICES.iter().map(|(a, b, ..)| format!("{a}-{b}")).collect();
        let LinkRate { from, to, .. } = rate;
        Failure::Usage(format!("no link {from}-{to} in the figure; there are {}", links.join(", ")))
    };
    for rate in &args.prices {
        let key = (rate.from.clone(), rate.to.clone());
        let price = prices.get_mut(&key).ok_or_else(|| unknown(rate))?;
        price.price = rate.rate;
        price.max_price = price.max_price.max(rate.rate);
    }
    for rate in &args.max_prices {
        let key = (rate.from.clone(), rate.to.clone());
        let price = prices.get_mut(&key).ok_or_else(|| unknown(rate))?;
        if rate.rate < price.price {
            return Err(Failure::Usage(format!(
                "--max-price {}-{}={} is below the link's price {}: raise it, or lower --price",
                rate.from, rate.to, rate.rate, price.price
            )));
        }
        price.max_price = rate.rate;
    }
    let fraction = Ppm::new(args.fraction)
        .map_err(|_| Failure::Usage(format!("--fraction {} is above 1000000", args.fraction)))?;
    let validity_s = u64::from(VALIDITY_MS / 1000);
    Ok(Figure { topology: Topology::figure2(), prices, fraction, validity_s })
}

/// The figure after IS2 raised its price towards R1.
fn raised(args: &Figure2Args, figure: &Figure) -> Result<Figure, Failure> {
    let mut figure = figure.clone();
    let key = ("IS2".to_owned(), "R1".to_owned());
    let Some(price) = figure.prices.get_mut(&key) else { return Ok(figure) };
    let own = if price.price < RAISED { RAISED } else { price.price.saturating_add(RAISE) };
    price.price = args.raised.unwrap_or(own);
    price.max_price = price.max_price.max(price.price);
    Ok(figure)
}

fn expect(figure: &Figure, reserved: &[&str]) -> Result<Phase, Failure> {
    figure.expect(reserved).map_err(|error| {
        Failure::Usage(format!("these prices cannot be added up: {error}; give lower ones"))
    })
}

/// The network, and who watches it.
struct Actors {
    stage: Stage,
    observer: Observer,
    /// For how long each phase is metered at least.
    metered: Duration,
    tell: bool,
}

impl Actors {
    fn perform(
        &mut self,
        args: &Figure2Args,
        expected: &Findings,
        raised: &Figure,
    ) -> Result<Findings, Failure> {
        self.say(|| report::opening(args.fraction));
        self.stage.send(Share {
            fraction_ppm: args.fraction,
            account: Some("nai:sender@figure2.example".to_owned()),
            ..Share::default()
        })?;
        self.stage.receive("R2", None)?;
        let r1 = self.stage.receive("R1", None)?;
        let a = self.phase("A: R1 and R2 have reserved", &expected.a)?;

        self.stage.ask("R1", &Request::Close { handle: r1 })?;
        let c = self.phase("C: R1 has left, R2 has approved the whole price", &expected.c)?;

        let key = ("IS2".to_owned(), "R1".to_owned());
        let price = raised.prices.get(&key).copied().unwrap_or_default();
        let interface = "to-R1".to_owned();
        self.stage.ask(
            "IS2",
            &Request::Price {
                interface,
                price: price.price,
                max_price: Some(price.max_price),
                at_admission: true,
            },
        )?;
        let before = self.observer.spoken().len();
        self.stage.receive("R1", None)?;
        let b = self.phase("B: R1 is back, at the price that IS2 raised meanwhile", &expected.b)?;
        self.check_refusal(before, expected)?;
        Ok(Findings { a, b, c })
    }

    /// Waits until the network is in the state expected, then meters it.
    fn phase(&mut self, title: &str, expected: &Phase) -> Result<Phase, Failure> {
        let rows = Phase { balances: BTreeMap::new(), ..expected.clone() };
        let settled = wait::until(SETTLING, title, || {
            let seen = self.look(&rows).map_err(|e| e.to_string())?;
            if seen == rows { Ok(seen) } else { Err(report::difference(&rows, &seen)) }
        });
        if let Err(late) = settled {
            let what = late.last_seen.unwrap_or_default();
            return Err(Failure::Differs(format!("{title}: not reached in {SETTLING:?}:\n{what}")));
        }
        let balances = self.meter(expected)?;
        let seen = Phase { balances, ..self.look(&rows)? };
        if seen != *expected {
            let what = report::difference(expected, &seen);
            return Err(Failure::Differs(format!("{title}: not as it must be:\n{what}")));
        }
        self.say(|| report::phase(title, &seen));
        Ok(seen)
    }

    /// The rows of the expected links, as the packets and the daemons have them now.
    fn look(&mut self, expected: &Phase) -> Result<Phase, LabError> {
        self.observer.listen(self.stage.capture());
        let mut phase = Phase { dcpe: Vec::new(), ucpe: Vec::new(), balances: BTreeMap::new() };
        for row in &expected.dcpe {
            phase.dcpe.extend(self.dcpe_row(&row.link)?);
        }
        for row in &expected.ucpe {
            phase.ucpe.extend(self.ucpe_row(&row.link)?);
        }
        Ok(phase)
    }

    fn dcpe_row(&self, link: &str) -> Result<Option<DcpeRow>, LabError> {
        let (from, to) = link.split_once("->").unwrap_or_default();
        let Some(dcpe) = self.observer.last_dcpe(from, to) else { return Ok(None) };
        // c and L are the announcing hop's own business: only their sum travels.
        let interface = format!("to-{to}");
        let sessions = self.stage.sessions(from)?;
        let charging = sessions
            .iter()
            .flat_map(|session| &session.senders)
            .find_map(|sender| sender.charging.as_ref());
        let quote = charging
            .and_then(|state| state.quotes.iter().find(|quote| quote.interface == interface));
        Ok(Some(DcpeRow {
            link: link.to_owned(),
            total_charge: dcpe.total,
            max_total_charge: dcpe.max_total,
            validity_s: u64::from(dcpe.validity_ms / 1000),
            sender_fraction: reduced(dcpe.terms.sender_fraction.unwrap_or(0)),
            c: quote.map_or(0, |quote| quote.c),
            local_price: quote.map_or(0, |quote| quote.local_price),
        }))
    }

    fn ucpe_row(&self, link: &str) -> Result<Option<UcpeRow>, LabError> {
        let (from, to) = link.split_once("->").unwrap_or_default();
        let Some(ucpe) = self.observer.last_ucpe(from, to) else { return Ok(None) };
        // What is debited stands in the books of the hop that is paid.
        let interface = format!("to-{from}");
        let reservations = self.stage.reservations(to)?;
        let debited = reservations
            .iter()
            .find(|rsb| rsb.interface == interface)
            .and_then(|rsb| rsb.charging.as_ref())
            .map(|charging| charging.debited);
        Ok(debited.map(|debited| UcpeRow {
            link: link.to_owned(),
            payment: ucpe.payment,
            debited,
            total_charge: ucpe.announced_total,
            local_sum: ucpe.local_sum,
            sender_payment: ucpe.sender_payment,
        }))
    }

    /// What each ledger metered over a while, divided by the milliseconds.
    fn meter(&self, expected: &Phase) -> Result<BTreeMap<String, i64>, Failure> {
        let mut balances = BTreeMap::new();
        let mut starts = BTreeMap::new();
        let least = u64::try_from(self.metered.as_millis()).unwrap_or(u64::MAX);
        for name in expected.balances.keys() {
            starts.insert(name.clone(), self.stage.accounts(name)?);
        }
        for (name, start) in starts {
            let end = wait::until(SETTLING + self.metered, "the metering of a phase", || {
                let now = self.stage.accounts(&name).map_err(|e| e.to_string())?;
                match now.as_of_ms.saturating_sub(start.as_of_ms) {
                    past if past >= least => Ok(now),
                    past => Err(format!("{past} ms of node {name}")),
                }
            })
            .map_err(LabError::from)?;
            let ms = i128::from(end.as_of_ms - start.as_of_ms);
            let metered = amount(&end.amount)? - amount(&start.amount)?;
            if metered % ms != 0 {
                return Err(Failure::Differs(format!(
                    "node {name} metered {metered} in {ms} ms, which is no steady rate"
                )));
            }
            let rate = i64::try_from(metered / ms)
                .map_err(|_| Failure::Differs(format!("node {name} metered {metered}")))?;
            balances.insert(name, rate);
        }
        Ok(balances)
    }

    /// R1 offered what it had been quoted; if that was too little, IS2 must have said so, quoted
    /// anew, and R1 paid that.
    fn check_refusal(&mut self, before: usize, expected: &Findings) -> Result<(), Failure> {
        self.observer.listen(self.stage.capture());
        let said: Vec<&Spoken> = self.observer.spoken().iter().skip(before).collect();
        let due = |phase: &Phase| {
            phase.ucpe.iter().find(|row| row.link == "R1->IS2").map_or(0, |row| row.payment)
        };
        let (old, new) = (due(&expected.a), due(&expected.b));
        let story = report::exchange(&said);
        let offers: Vec<u64> = said.iter().filter_map(|spoken| offer(spoken)).collect();
        let refused = said.iter().any(|spoken| {
            let to_r1 = spoken.from == "IS2" && spoken.to == "R1";
            to_r1 && matches!(spoken.words, Words::ResvErr(2, ..))
        });
        self.say(|| story.clone());
        let first_offer = offers.first() == Some(&old);
        let as_told = if new > old {
            first_offer && refused && offers.contains(&new)
        } else {
            first_offer && !refused
        };
        if as_told {
            return Ok(());
        }
        Err(Failure::Differs(format!(
            "R1 was quoted {old}, and IS2 wants {new} at its return; a payment of {old}, {} and \
             one of {new} were expected between them, but this was said:\n{story}",
            if new > old { "a RESVERR" } else { "no RESVERR" }
        )))
    }

    fn say(&self, text: impl FnOnce() -> String) {
        if self.tell {
            println!("{}", text());
        }
    }
}

fn offer(spoken: &Spoken) -> Option<u64> {
    match &spoken.words {
        Words::Resv(Some(ucpe)) if spoken.from == "R1" => Some(ucpe.payment),
        _ => None,
    }
}

fn amount(text: &str) -> Result<i128, Failure> {
    text.parse().map_err(|_| Failure::Differs(format!("{text:?} is no amount")))
}
