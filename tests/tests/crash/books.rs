//! Routers that are killed while they keep books: after each recovery nothing is posted twice or
//! without consent, no time is charged that was not proved or not metered, nothing went upstream
//! that is not in the books, and at most a second and a half of metering is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use fastrand::Rng;
use lcm_daemon::ledger::record::{Body, Cause, Neighbour, Payment};
use lcm_daemon::ledger::replay::Posting;
use lcm_daemon::ledger::verify::{Expected, Unsound, Walk, verify};
use lcm_tests::crash::books::{digits, started};
use lcm_tests::crash::{self, Phase};
use lcm_tests::node::KEEP_BOOKS;
use tempfile::TempDir;

use crate::damage::{TAILS, Tail, damage, run_and_kill};

/// What a crash may cost of each meter, in milliseconds.
const LOST_MS: u64 = 1_500;

#[derive(Debug, Default)]
struct Report {
    phases: BTreeMap<Phase, u32>,
    tails: BTreeMap<Tail, u32>,
    torn_found: u32,
    damage_named: u32,
    acknowledged: u64,
    unannounced: u64,
    consents: u64,
    postings: u64,
    gaps: u64,
    lapses: u64,
    offers_sent: u64,
    sums_checked: u64,
    metered_ms: u64,
    largest_loss_ms: u64,
}

fn is_counted(body: &Body) -> bool {
    !matches!(body, Body::Key(_) | Body::Head(_))
}

/// Sums by neighbour and kind of payment.
type Sums = BTreeMap<(IpAddr, Payment), u128>;

const PAYMENTS: [Payment; 4] =
    [Payment::ReceiverIn, Payment::SenderIn, Payment::SenderOut, Payment::ReceiverOut];

/// What a router told before it was killed.
#[derive(Debug, Default)]
struct Told {
    records: BTreeMap<u64, String>,
    metered: BTreeMap<u64, Sums>,
    /// Where to, the port, the instance and what was approved.
    offers: BTreeSet<(IpAddr, u16, u32, u64)>,
}

impl Told {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let (mut told, mut sums) = (Self::default(), Sums::new());
        for line in whole.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["record", number, hex] => {
                    told.records.insert(number.parse().unwrap(), hex.to_owned());
                }
                ["metered", _, neighbour, ..] => {
                    let amounts = words[3..].iter().map(|amount| amount.parse().unwrap());
                    let neighbour: IpAddr = neighbour.parse().unwrap();
                    sums.extend(
                        PAYMENTS.map(|payment| (neighbour, payment)).into_iter().zip(amounts),
                    );
                }
                ["at", ms] => {
                    told.metered.insert(ms.parse().unwrap(), std::mem::take(&mut sums));
                }
                ["offer", to, port, instance, most] => {
                    let (port, instance) = (port.parse().unwrap(), instance.parse().unwrap());
                    told.offers.insert((
                        to.parse().unwrap(),
                        port,
                        instance,
                        most.parse().unwrap(),
                    ));
                }
                _ => panic!("{line:?}"),
            }
        }
        told
    }
}

/// Number, instant and ceiling of what a payer approved, 0 where it ended.
type Approved = (u64, u64, u64);

/// One life of the router, as the books have it.
#[derive(Debug, Default)]
struct Life {
    started_ms: u64,
    proved_ms: u64,
    /// The latest instant that a record names.
    named_ms: u64,
    /// Destination and port of each flow.
    flows: BTreeMap<u64, (IpAddr, u16)>,
    consents: BTreeMap<(u64, Neighbour), Vec<Approved>>,
    /// Destination, port, instance and ceiling.
    offers: Vec<(IpAddr, u16, u32, u64)>,
    postings: Vec<Posting>,
    lapses: u64,
}

impl Life {
    fn take(&mut self, number: u64, body: &Body) {
        let at_ms = match body {
            Body::Alive(stamp) => {
                self.proved_ms = stamp.at_ms;
                stamp.at_ms
            }
            Body::Flow(flow) => {
                let session = flow.session().unwrap();
                self.flows.insert(flow.flow, (session.destination, session.destination_port));
                0
            }
            Body::Consent(c) => {
                let of = self.consents.entry((c.flow, c.payer)).or_default();
                of.push((number, c.at_ms, c.ceiling));
                c.at_ms
            }
            Body::Closed(c) => {
                self.consents.entry((c.flow, c.payer)).or_default().push((number, c.at_ms, 0));
                c.at_ms
            }
            Body::Offer(offer) => {
                let (destination, port) = self.flows[&offer.flow];
                self.offers.push((destination, port, offer.instance, offer.ceiling));
                offer.at_ms
            }
            Body::Runs(runs) => {
                self.lapses += u64::from(runs.cause == Cause::Lapsed);
                runs.at_ms
            }
            Body::Gap(gap) => gap.to_ms,
            _ => 0,
        };
        self.named_ms = self.named_ms.max(at_ms);
    }

    /// Each millisecond of a meter is posted once, with a consent, and was proved.
    fn check(&self, context: &str, report: &mut Report) {
        report.lapses += self.lapses;
        report.consents += self.consents.values().map(|of| of.len() as u64).sum::<u64>();
        let mut by_meter: BTreeMap<_, Vec<&Posting>> = BTreeMap::new();
        let mut numbers = BTreeSet::new();
        for posting in &self.postings {
            let Posting { number, rate, from, to, amount, gap, .. } = posting;
            assert!(numbers.insert(*number), "{context}: {number} twice: {posting:?}");
            let ms = to.at_ms.checked_sub(from.at_ms).unwrap();
            assert_eq!(*amount, u128::from(*rate) * u128::from(ms), "{context}: {posting:?}");
            let proved = self.proved_ms.max(self.named_ms);
            assert!(to.at_ms <= proved, "{context}: proved until {proved}: {posting:?}");
            report.postings += 1;
            report.gaps += u64::from(*gap);
            by_meter.entry(posting.meter).or_default().push(posting);
            if posting.meter.payment == Payment::ReceiverIn {
                self.check_consent(posting, context);
            }
        }
        for postings in by_meter.values_mut() {
            postings.sort_by_key(|posting| posting.from.at_ms);
            for pair in postings.windows(2) {
                assert!(pair[0].to.at_ms <= pair[1].from.at_ms, "{context}: twice: {pair:?}");
            }
        }
    }

    fn check_consent(&self, posting: &Posting, context: &str) {
        let key = (posting.meter.flow, posting.meter.neighbour);
        let consents = self.consents.get(&key).map_or(&[][..], Vec::as_slice);
        let (before, after): (Vec<_>, Vec<_>) =
            consents.iter().partition(|(number, ..)| *number < posting.number);
        let covers = |(_, _, ceiling): &Approved| *ceiling >= posting.rate;
        let opened = before.last().is_some_and(covers);
        assert!(opened, "{context}: without consent: {posting:?} after {before:?}");
        let ended = after.iter().find(|event| !covers(event) && event.1 < posting.to.at_ms);
        assert!(ended.is_none(), "{context}: runs on: {posting:?} after {ended:?}");
    }

    fn sums(&self) -> Sums {
        let mut sums = Sums::new();
        for Posting { meter, amount, .. } in &self.postings {
            *sums.entry((meter.neighbour.address, meter.payment)).or_default() += amount;
        }
        sums
    }

    /// What the killed router had told, against what its books came to; what was lost, in ms.
    fn compare(&self, told: &Told, whole: bool, context: &str, report: &mut Report) {
        let Some((last_ms, last)) = told.metered.last_key_value() else { return };
        let posted = self.sums();
        let at_least = told.metered.range(..=self.proved_ms).next_back();
        for (key, metered) in last {
            let posted = posted.get(key).copied().unwrap_or_default();
            assert!(posted <= *metered, "{context}: {key:?}: {posted} of {metered} metered");
            let proved = at_least.and_then(|(_, sums)| sums.get(key)).copied().unwrap_or_default();
            assert!(posted >= proved, "{context}: {key:?}: {posted} of {proved} proved");
            report.sums_checked += 1;
        }
        let metered = |key| last.contains_key(key);
        assert!(posted.keys().all(metered), "{context}: {posted:?}, and nothing was metered");
        if !whole {
            return;
        }
        let lost_ms = last_ms.saturating_sub(self.proved_ms);
        assert!(lost_ms <= LOST_MS, "{context}: {lost_ms} ms are lost");
        report.largest_loss_ms = report.largest_loss_ms.max(lost_ms);
        report.metered_ms += last_ms - self.started_ms;
        for sent in &told.offers {
            let (destination, port, instance, most) = *sent;
            let written = self.offers.iter().any(|(to, at, of, ceiling)| {
                (*to, *at, *of) == (destination, port, instance) && *ceiling >= most
            });
            assert!(written, "{context}: {sent:?} went upstream and is not in the books");
            report.offers_sent += 1;
        }
    }
}

/// All that was counted, in order, and the life before the last, which a start ended.
fn read(books: &Path, context: &str) -> (Vec<String>, Life) {
    let (mut records, mut lives) = (Vec::new(), Vec::<Life>::new());
    let mut walk = Walk::new(books, Expected::default()).unwrap();
    while let Some((number, body, applied)) =
        walk.step().unwrap_or_else(|e| panic!("{context}: {e}"))
    {
        if !is_counted(&body) {
            continue;
        }
        records.push(digits(&body).unwrap());
        // What a start closes is of the life that it ends.
        if let Some(life) = lives.last_mut() {
            life.postings.extend(applied);
        }
        if let Body::Started(started) = &body {
            let at_ms = started.stamp.at_ms;
            let life =
                Life { started_ms: at_ms, proved_ms: at_ms, named_ms: at_ms, ..Life::default() };
            lives.push(life);
        } else {
            lives.last_mut().unwrap().take(number, &body);
        }
    }
    let verified = walk.end().unwrap_or_else(|e| panic!("{context}: {e}"));
    assert_eq!(verified.replay.sum(), Some(0), "{context}");
    lives.pop();
    (records, lives.pop().unwrap_or_default())
}

/// The lives of one router, one kill after the other.
fn history(seed: u64, kills: u32, report: &mut Report) {
    let mut rng = Rng::with_seed(seed);
    let dir = TempDir::new().unwrap();
    let (books, phase) = (dir.path().join("ledger"), dir.path().join("phase"));
    let (mut expected, mut clock_ms) = (Vec::<String>::new(), rng.u64(1..1_000_000));
    for round in 0..kills {
        let context = format!("seed {seed}, kill {round}");
        let stored = expected.len() as u64;
        let path = dir.path().join(format!("told-{round}"));
        let numbers = [u64::from(rng.u32(..)), stored + 1, clock_ms].map(|n| n.to_string());
        let [seed, first, at_ms] = numbers.each_ref().map(AsRef::as_ref);
        let (told, part) = (path.as_os_str(), KEEP_BOOKS.as_ref());
        let arguments = [part, books.as_os_str(), phase.as_os_str(), seed, first, told, at_ms];
        let most = [2, 20, 80][rng.usize(..3)];
        let upon = rng.usize(1..=most);
        let acknowledged = run_and_kill(&arguments, &phase, upon, &mut rng).unwrap_or(stored);
        let killed_in = Phase::of(fs::read(&phase).unwrap()[0]).unwrap();
        *report.phases.entry(killed_in).or_default() += 1;
        report.acknowledged += acknowledged - stored;
        if !books.exists() {
            continue;
        }
        let tail = rng.choice(TAILS).unwrap();
        *report.tails.entry(tail).or_default() += 1;
        let deep = damage(&books, tail, (acknowledged, is_counted), &mut rng);
        report.damage_named += u32::from(deep.is_some());
        assert_named(&books, deep, &context);

        let told = Told::read(&path);
        clock_ms = told.metered.last_key_value().map_or(clock_ms, |(ms, _)| *ms);
        clock_ms += rng.u64(1..5_000);
        let torn = start(&books, clock_ms, &context);
        report.torn_found += u32::from(torn);
        assert!(torn || deep.is_none(), "{context}: the cut was not reported");

        expected.extend(told.records.values().cloned());
        expected.push(digits(&started(clock_ms)).unwrap());
        let (found, life) = read(&books, &context);
        let survived = found.len() - 1;
        assert_eq!(found[..survived], expected[..survived], "{context}: lost or twice");
        assert_eq!(found.last(), expected.last(), "{context}");
        let lost = (survived as u64) < acknowledged;
        assert!(!lost || deep.is_some(), "{context}: {survived} of {acknowledged}, {tail:?}");
        report.unannounced += (survived as u64).saturating_sub(acknowledged);
        life.check(&context, report);
        if survived as u64 > stored {
            life.compare(&told, deep.is_none(), &context, report);
        }
        expected = found;
        clock_ms += rng.u64(1..5_000);
    }
}

/// `ledger verify` names what was damaged on purpose, and nothing else but a torn tail.
fn assert_named(books: &Path, deep: Option<u64>, context: &str) {
    match (verify(books, Expected::default()), deep) {
        (Err(Unsound::Chain(fault)), Some(number)) => {
            assert_eq!(fault.number, number, "{context}: {fault}");
        }
        (Err(Unsound::Chain(fault)), None) => assert!(fault.is_torn_tail(), "{context}: {fault}"),
        (Ok(_) | Err(Unsound::Empty(_)), None) => {}
        (found, deep) => panic!("{context}: {found:?}, and record {deep:?} was damaged"),
    }
}

/// Another daemon starts; whether it found a torn tail.
fn start(books: &Path, at_ms: u64, context: &str) -> bool {
    let mut journal = crash::open(books).unwrap_or_else(|error| panic!("{context}: {error}"));
    journal.append(&started(at_ms)).unwrap();
    journal.sync().unwrap();
    journal.last().torn.is_some()
}

/// Kills so often, and on until every phase and every tail has been met.
fn crash(kills: u32) {
    let mut report = Report::default();
    for seed in 0..kills.div_ceil(10) * 10 {
        let met = report.phases.len() == Phase::ALL.len() && report.tails.len() == TAILS.len();
        if seed >= kills.div_ceil(10) && met {
            break;
        }
        history(u64::from(seed), 10, &mut report);
    }
    println!("{} kills: {report:#?}", report.phases.values().sum::<u32>());
    for phase in Phase::ALL {
        assert!(report.phases.contains_key(&phase), "no kill in {phase:?}");
    }
    for tail in TAILS {
        assert!(report.tails.contains_key(&tail), "no tail was {tail:?}");
    }
    assert!(report.torn_found > 0 && report.damage_named > 0 && report.unannounced > 0);
    assert!(report.consents > 0 && report.postings > 0 && report.offers_sent > 0);
    let silent = report.lapses > 0 && report.gaps > 0;
    assert!(kills < 1000 || silent, "nobody fell silent for long enough");
    assert!(report.largest_loss_ms > 0);
}

#[test]
fn crash_books_of_routers_hold_at_random_moments() {
    crash(50);
}

#[test]
#[ignore = "minutes; run with --ignored"]
fn crash_books_a_thousand_times() {
    crash(1000);
}
