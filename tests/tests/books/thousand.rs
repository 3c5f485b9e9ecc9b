//! A thousand sessions on one prepaid account, on the real kernel: to zero at its millisecond.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use lcm_daemon::control::client::Client;
use lcm_daemon::control::protocol::{
    AccountOrder, ReceiveRequest, Reply, Request, SendRequest, SessionName, StyleName, TrafficSpec,
};
use lcm_daemon::demo::stage::Setup;
use lcm_daemon::engine::Level;
use lcm_daemon::engine::show::PurseView;
use lcm_daemon::lab::Topology;
use lcm_daemon::lab::wait::until;
use lcm_daemon::ledger::record::{Action, Body, Cause, Gap, Meter, Payment, Runs, Stamp};
use lcm_daemon::ledger::verify::{Expected, Walk};
use lcm_daemon::purse::{amount_text, parse_amount};
use lcm_tests::harness::TestResult;

use crate::restart::ENDING;
use crate::sound;
use crate::support::metrics::Page;
use crate::support::play::{self, Play};
use crate::support::wire::RESV_ERR;

const NODE: &str = "A";
const HOLDER: &str = "nai:R@figure2.example";
const SESSIONS: u16 = 1_000;
/// Beyond the ports of the kernel's own choice.
const FIRST_PORT: u16 = 5_000;
/// So long that nobody refreshes while the account is left to itself: its alarm alone wakes the
/// daemon.
const REFRESH_MS: u32 = 30_000;
/// What a session costs at first, in wire units per second, and after the first change.
const PRICE: u64 = 1_000;
const LOWER: u64 = 700;
/// For how long the money is to last when it is made to run out, and the warning before.
const LASTS_MS: u128 = 5_000;
const WARN_S: u128 = 3;
/// How late the end of an account may be seen to.
const LATE_MS: u64 = 100;

/// What the play is, and one connection to each daemon.
struct Crowd {
    play: Play,
    clients: BTreeMap<&'static str, Client>,
    destination: IpAddr,
    source: IpAddr,
}

impl Crowd {
    fn start(books: &Path) -> Result<Crowd, Box<dyn Error>> {
        let more = format!("\n[accounts]\nwarn_s = {WARN_S}\n");
        let more = BTreeMap::from([(NODE.to_owned(), more)]);
        let setup = Setup {
            books: Some(books.to_owned()),
            more,
            refresh_ms: REFRESH_MS,
            log_level: "info",
            ..play::setup(Topology::chain(&["S", NODE, "R"]), &[(NODE, "R", PRICE, PRICE)], None)
        };
        let play = Play::start(setup)?;
        let (destination, source) = (play.stage.address("R")?, play.stage.address("S")?);
        let mut clients = BTreeMap::new();
        for node in ["S", NODE, "R"] {
            let client = Client::connect(&play.stage.socket(node)?)?;
            client.set_timeout(play::PATIENCE)?;
            clients.insert(node, client);
        }
        Ok(Crowd { play, clients, destination, source })
    }

    fn ask(&mut self, node: &str, request: &Request) -> Result<Reply, Box<dyn Error>> {
        Ok(self.clients.get_mut(node).ok_or("no such node")?.ask(request)?)
    }

    fn order(&mut self, order: AccountOrder) -> TestResult {
        self.ask(NODE, &Request::Account(order)).map(|_| ())
    }

    /// Pays in, in 10⁻¹⁵ currency units.
    fn credit(&mut self, amount: u128) -> TestResult {
        let amount = amount_text(i128::try_from(amount)?);
        let (account, reason) = (HOLDER.to_owned(), "cash".to_owned());
        self.order(AccountOrder::Credit { account, currency: None, amount, reason })
    }

    fn price(&mut self, price: u64) -> TestResult {
        let interface = "to-R".to_owned();
        let max_price = Some(price);
        let at_admission = false;
        self.ask(NODE, &Request::Price { interface, price, max_price, at_admission }).map(|_| ())
    }

    /// The account, whose balance is never below zero.
    fn account(&mut self) -> Result<(PurseView, u128), Box<dyn Error>> {
        let Reply::Purses(mut purses) = self.ask(NODE, &Request::ListAccounts)? else {
            return Err("another reply".into());
        };
        let purse = purses.pop().ok_or("no account")?;
        let balance = &purse.balance;
        let left = parse_amount(balance).map_err(|e| format!("a balance of {balance}: {e}"))?;
        Ok((purse, left))
    }

    fn open(&mut self, number: u16) -> TestResult {
        let port = FIRST_PORT + number;
        let destination = SocketAddr::new(self.destination, port);
        let session = SessionName { destination, protocol: 17 };
        let traffic = TrafficSpec {
            rate: 10_000,
            bucket: 2_000,
            peak: None,
            min_policed: 64,
            max_packet: 1_500,
        };
        let send = SendRequest {
            session,
            source: SocketAddr::new(self.source, port),
            traffic,
            ttl: 63,
            interface: None,
            proxy: None,
            share: None,
            detach: true,
        };
        self.ask("S", &Request::Send(send))?;
        let receive = ReceiveRequest {
            session,
            sender: None,
            style: StyleName::Ff,
            traffic: None,
            max_payment: None,
            budget: None,
            interface: None,
            confirm: false,
            identity: None,
            priority: None,
            cheapest: None,
            detail: Level::default(),
            detach: true,
        };
        self.ask("R", &Request::Receive(receive))?;
        Ok(())
    }

    /// Waits until so many sessions are paid for at this price each; what is left then.
    fn wait_rate(&mut self, sessions: u64, price: u64) -> Result<u128, Box<dyn Error>> {
        let what = format!("{sessions} sessions at {price}");
        let left = until(3 * play::PATIENCE, &what, || {
            let (account, left) = self.account().map_err(|error| error.to_string())?;
            let all = (account.sessions as u64, account.rate) == (sessions, sessions * price);
            if all { Ok(left) } else { Err(format!("{account:?}")) }
        });
        left.map_err(|error| format!("{error}\n{}", self.play.story()).into())
    }

    /// A price at which what is left of the account lasts for about [`LASTS_MS`], and how much
    /// that is when everybody pays it.
    fn make_dear(&mut self) -> Result<(u64, u128), Box<dyn Error>> {
        let (_, left) = self.account()?;
        let price = u64::try_from(left / (u128::from(SESSIONS) * LASTS_MS))?;
        self.price(price)?;
        Ok((price, self.wait_rate(SESSIONS.into(), price)?))
    }

    /// The lines of the daemon's log with these words, without a question to it.
    fn log(&mut self, words: &str) -> Result<Vec<String>, Box<dyn Error>> {
        let mut text = String::new();
        let process = self.play.stage.daemon(NODE)?.process();
        for path in [process.stdout(), process.stderr()] {
            text.push_str(&std::fs::read_to_string(path)?);
        }
        Ok(text.lines().filter(|line| line.contains(words)).map(str::to_owned).collect())
    }

    fn wait_log(&mut self, words: &str, count: usize) -> Result<String, Box<dyn Error>> {
        let what = format!("{count} times {words:?} in the log");
        Ok(until(3 * play::PATIENCE, &what, || {
            let lines = self.log(words).map_err(|error| error.to_string())?;
            match lines.last() {
                Some(last) if lines.len() >= count => Ok(last.clone()),
                _ => Err(format!("{} lines", lines.len())),
            }
        })?)
    }

    /// For how long the daemon waited for a processor so far, in milliseconds.
    fn starved_ms(&mut self) -> Result<u64, Box<dyn Error>> {
        let pid = self.play.stage.daemon(NODE)?.process().pid();
        let mut all = 0;
        for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            let text = std::fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            all += text.split(' ').nth(1).and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(all / 1_000_000)
    }
}

/// How late a line of the log says that an end was seen to.
fn late(line: &str) -> Result<u64, Box<dyn Error>> {
    let (before, _) = line.split_once(" ms later").ok_or("no time in the log")?;
    Ok(before.rsplit(' ').next().unwrap_or_default().parse()?)
}

pub(crate) fn to_zero() -> TestResult {
    let books = tempfile::tempdir()?;
    let mut crowd = Crowd::start(books.path())?;
    crowd.play.wait("the past to be read", |play| {
        crate::support::programs::succeed(play, NODE, &["account", "create", HOLDER])
            .map_err(|e| e.to_string())
    })?;
    // For a minute of all of them.
    let minute = u128::from(PRICE) * u128::from(SESSIONS) * 60_000;
    crowd.credit(minute)?;
    for number in 0..SESSIONS {
        crowd.open(number)?;
        match number {
            300 => crowd.price(LOWER)?,
            600 => crowd.credit(minute / 10)?,
            number if number % 50 == 0 => drop(crowd.account()?),
            _ => {}
        }
    }
    crowd.wait_rate(SESSIONS.into(), LOWER)?;
    // It is made to run out, is warned of, and is topped up in time: nobody loses anything.
    let (price, left) = crowd.make_dear()?;
    crowd.wait_log("will be used up in", 1)?;
    crowd.credit(left)?;
    let (account, more) = crowd.account()?;
    assert_eq!((account.sessions, account.rate), (SESSIONS.into(), u64::from(SESSIONS) * price));
    assert!(more > left, "there is more than there was: {account:?}");
    assert!(crowd.log("is used up")?.is_empty(), "the top-up came in time");
    // Left to itself: nobody asks the daemon anything, and nobody refreshes.
    let starved = crowd.starved_ms()?;
    let line = crowd.wait_log("is used up", 1)?;
    let (late, starved) = (late(&line)?, crowd.starved_ms()? - starved);
    assert!(line.contains(&format!("{SESSIONS} payments ended")), "{line}");
    assert!(late <= LATE_MS + starved, "{late} ms late, and {starved} ms without a processor");
    let page = Page::fetch(&crowd.play, NODE)?;
    assert_eq!(page.value("lcm_account_end_late_milliseconds"), late);
    assert!(page.value("lcm_account_events_total{event=\"warned\"}") >= 2);
    let (account, left) = crowd.account()?;
    assert_eq!((account.sessions, account.rate), (0, 0), "{account:?}");
    assert!(left < u128::from(SESSIONS) * u128::from(price), "{left} left at {price} each");
    let refused = crowd.play.heard().iter().filter(|heard| heard.is(NODE, "R", RESV_ERR));
    let ports = refused.filter_map(|heard| Some((heard.message.session()?, heard.at_ns)));
    let (ports, last): (BTreeSet<_>, Vec<_>) = ports.unzip();
    assert_eq!(ports.len(), usize::from(SESSIONS), "each was told");
    assert!(crowd.play.terminate(NODE, ENDING)?.success());
    let cut = journal(books.path())?;
    let wire = last.into_iter().max().unwrap_or_default() / 1_000_000;
    println!(
        "a thousand sessions were cut off at their millisecond, seen to {late} ms later (the daemon \
         waited {starved} ms for a processor); the last one was told {} ms after it",
        wire.saturating_sub(cut)
    );
    Ok(())
}

/// What counts for the balance, in the journal.
enum Event {
    Credit(u128),
    Turn(Meter, u64, bool),
    Gap(u128),
}

/// Events by the monotonic clock, in milliseconds.
type Events = Vec<(u64, Event)>;

/// What happened to the account by the daemon's monotonic clock, and the two clocks at its start.
fn events(books: &Path) -> Result<(Events, Stamp), Box<dyn Error>> {
    let mut walk = Walk::new(&books.join(NODE).join("ledger"), Expected::default())?;
    let (mut events, mut start) = (Vec::new(), None);
    while let Some((_, body, _)) = walk.step()? {
        match body {
            Body::Started(started) => start = Some(started.stamp),
            Body::Operator(operator) => {
                let Action::Credit { amount, .. } = operator.action else { continue };
                let Stamp { at_ms, wall_ms } = start.ok_or("no start")?;
                events.push((operator.wall_ms - wall_ms + at_ms, Event::Credit(amount)));
            }
            Body::Runs(Runs { at_ms, meter, rate, cause })
                if meter.payment == Payment::ReceiverIn =>
            {
                events.push((at_ms, Event::Turn(meter, rate, cause == Cause::Exhausted)));
            }
            Body::Gap(Gap { from_ms, to_ms, rate, .. }) => {
                let amount = u128::from(rate) * u128::from(to_ms - from_ms);
                events.push((to_ms, Event::Gap(amount)));
            }
            _ => {}
        }
    }
    events.sort_by_key(|(at, _)| *at);
    Ok((events, start.ok_or("no start")?))
}

/// Posting by posting the balance is never below zero, and all ends at the millisecond that was
/// paid last; gives that by the wall clock.
fn journal(books: &Path) -> Result<u64, Box<dyn Error>> {
    sound(books, NODE)?;
    let (events, start) = events(books)?;
    let mut running: BTreeMap<Meter, u64> = BTreeMap::new();
    let (mut balance, mut last) = (0_u128, 0);
    let mut ends: BTreeMap<u64, usize> = BTreeMap::new();
    for (at, event) in events {
        let rate: u128 = running.values().map(|rate| u128::from(*rate)).sum();
        let due = rate * u128::from(at - last);
        balance = balance.checked_sub(due).ok_or_else(|| {
            format!("at {at} ms {due} was due since {last} ms, and there was {balance}")
        })?;
        last = at;
        match event {
            Event::Credit(amount) => balance += amount,
            Event::Gap(amount) => balance = balance.checked_sub(amount).ok_or("a gap unpaid")?,
            Event::Turn(meter, rate_now, exhausted) => {
                if exhausted {
                    let first = ends.is_empty() && balance >= rate;
                    assert!(!first, "cut off at {at} ms with {balance} left at {rate}");
                    *ends.entry(at).or_default() += 1;
                }
                running.insert(meter, rate_now);
            }
        }
    }
    assert_eq!(ends.values().copied().collect::<Vec<_>>(), [usize::from(SESSIONS)], "{ends:?}");
    let at = ends.into_keys().next().ok_or("no end")?;
    Ok(at - start.at_ms + start.wall_ms)
}
