//! A router that keeps books until it is killed: a real engine amid a network in virtual time,
//! whose records go to a journal on the disk, and whose RESVs wait until they are durable there.
//!
//! What it metered, wrote and sent it tells in a file, before anything of it can be durable, so
//! that what is found afterwards can be held against it.

#![allow(clippy::indexing_slicing, reason = "nodes and sessions are indices, as in the simulation")]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use fastrand::Rng;
use lcm_daemon::engine::show::AccountView;
use lcm_daemon::engine::{Handle, RecordId, SenderShare};
use lcm_daemon::ledger::journal::{Journal, encode};
use lcm_daemon::ledger::record::{Body, Stamp, Started};
use lcm_daemon::ledger::storage::Disk;
use lcm_daemon::ledger::writer::{Event, Settings, Writer};
use rsvp_wire::object::Session;
use rsvp_wire::{Message, MessageType};
use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::{Phase, Phases, Watched, finish, options, signer};
use crate::sim::{Kind, Net, NodeConfig, NodeId, Options, Topology, group, reserve_up_to, ucpes};

/// The time between two proofs, in milliseconds, as daemons have it.
const PROOF_MS: u64 = 1_000;
/// The longest that virtual time waits for a proof to become durable, in milliseconds: a slower
/// disk holds it up.
const DISK_MS: u64 = 400;
/// The refresh period, in milliseconds: approvals end after 1.6 of them.
const REFRESH_MS: u32 = 1_000;

/// The nodes of the network: two senders, a router, the one that is killed, a router below it, and
/// two receivers each.
const VICTIM: NodeId = 3;
const BELOW: NodeId = 4;
const RECEIVERS: [NodeId; 4] = [5, 6, 7, 8];

/// The record that begins a life of the router.
#[must_use]
pub fn started(at_ms: u64) -> Body {
    Body::Started(Started {
        node: "V".to_owned(),
        program: "crash".to_owned(),
        boot: [7; 16],
        currency: 978,
        hold_ms: 0,
        stamp: stamp(at_ms),
    })
}

fn stamp(at_ms: u64) -> Stamp {
    Stamp { at_ms, wall_ms: 1_750_000_000_000 + at_ms }
}

/// A record as it stands in the journal, in hexadecimal digits.
///
/// # Errors
///
/// If it is too long for one.
pub fn digits(body: &Body) -> Result<String, String> {
    let mut bytes = Vec::new();
    encode(body, &mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// A process that keeps books until it is killed: `DIR PHASE SEED FIRST TOLD AT_MS`. The number
/// of the last acknowledged record goes to standard output, a line each time; the phase into the
/// file PHASE; into TOLD, a line each:
///
/// | line | |
/// |-|-|
/// | `record N HEX` | record N is about to be submitted |
/// | `metered MS NEIGHBOUR RI SI SO RO` | what this neighbour came to by then, by kind of payment |
/// | `at MS` | the accounts before this line are those of this instant |
/// | `offer DESTINATION PORT INSTANCE CEILING` | a RESV that approves this went upstream |
pub(crate) fn keeper(arguments: Vec<OsString>) -> ExitCode {
    finish(keep(&arguments))
}

fn keep(arguments: &[OsString]) -> Result<(), Box<dyn Error>> {
    let [dir, phase, seed, first, told, at_ms] = arguments else {
        return Err("usage: DIR PHASE SEED FIRST TOLD AT_MS".into());
    };
    let number = |text: &OsString| text.to_str().unwrap_or_default().parse::<u64>();
    let mut rng = Rng::with_seed(number(seed)?);
    let phases = Phases { file: File::options().write(true).open(phase)?, seed: rng.u64(..) };
    phases.enter(Phase::Opening)?;
    let watched = Watched { disk: Disk::claim(Path::new(dir))?, phases: phases.share()? };
    let journal = Journal::on(watched, options(), signer())?;
    let (events, heard) = mpsc::unbounded_channel();
    let writer = Writer::start(journal, Settings::default(), events)?;
    let at_ms = number(at_ms)?;
    let mut keeper = Keeper {
        play: Play::new(rng, at_ms),
        writer,
        heard,
        phases,
        told: File::options().create(true).append(true).open(told)?,
        next: number(first)?,
        waiting: BTreeMap::new(),
        proof: None,
        due_ms: at_ms,
    };
    keeper.submit(&[(None, started(at_ms))])?;
    loop {
        keeper.step()?;
    }
}

/// The router's end of its journal.
struct Keeper {
    play: Play,
    writer: Writer,
    heard: UnboundedReceiver<Event>,
    phases: Phases,
    told: File,
    /// Number of the next record, over all lives of the journal.
    next: u64,
    /// The engine's numbers of those that are not acknowledged.
    waiting: BTreeMap<u64, RecordId>,
    /// The proof that is not durable yet, and its instant.
    proof: Option<(u64, u64)>,
    due_ms: u64,
}

impl Keeper {
    fn step(&mut self) -> Result<(), Box<dyn Error>> {
        let step_ms = self.play.rng.u64(10..60);
        while self.proof.is_some_and(|(_, at)| self.play.now_ms() + step_ms > at + DISK_MS) {
            let event = self.heard.blocking_recv().ok_or("the journal's thread ended")?;
            self.hear(event)?;
        }
        self.play.go_on(step_ms);
        // Messages that rest on nothing new leave meanwhile.
        self.tell_offers()?;
        let now_ms = self.play.now_ms();
        let accounts = self.play.accounts();
        let mut text = accounts.iter().fold(String::new(), |text, a| text + &metered(now_ms, a));
        writeln!(text, "at {now_ms}")?;
        self.told.write_all(text.as_bytes())?;
        let taken = self.play.net.take_records(VICTIM).into_iter();
        let mut records: Vec<_> = taken.map(|(id, body)| (Some(id), *body)).collect();
        if now_ms >= self.due_ms {
            self.due_ms = now_ms + PROOF_MS;
            records.push((None, Body::Alive(stamp(now_ms))));
            self.proof = Some((self.next + records.len() as u64 - 1, now_ms));
        }
        self.submit(&records)?;
        while let Ok(event) = self.heard.try_recv() {
            self.hear(event)?;
        }
        Ok(())
    }

    fn submit(&mut self, records: &[(Option<RecordId>, Body)]) -> Result<(), Box<dyn Error>> {
        if records.is_empty() {
            return Ok(());
        }
        let mut text = String::new();
        for (number, (_, body)) in (self.next..).zip(records) {
            writeln!(text, "record {number} {}", digits(body)?)?;
        }
        self.told.write_all(text.as_bytes())?;
        self.phases.enter(Phase::BeforeWrite)?;
        for (id, body) in records {
            self.waiting.extend(id.map(|id| (self.next, id)));
            self.writer.submit(self.next, body)?;
            self.next += 1;
        }
        Ok(())
    }

    fn hear(&mut self, event: Event) -> Result<(), Box<dyn Error>> {
        let number = match event {
            Event::Durable(number) => number,
            Event::Slow | Event::Swift => return Ok(()),
            other => return Err(format!("{other:?}").into()),
        };
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{number}")?;
        stdout.flush()?;
        self.proof = self.proof.filter(|(proof, _)| *proof > number);
        if number + 1 == self.next {
            self.phases.enter(Phase::After)?;
        }
        let later = self.waiting.split_off(&(number + 1));
        if let Some((_, id)) = std::mem::replace(&mut self.waiting, later).pop_last() {
            self.play.net.recorded(VICTIM, id);
            self.tell_offers()?;
        }
        Ok(())
    }

    /// Tells what the RESVs approve that the router sent upstream since the last time.
    fn tell_offers(&mut self) -> io::Result<()> {
        let text = self.play.offers();
        self.told.write_all(text.as_bytes())
    }
}

fn metered(now_ms: u64, account: &AccountView) -> String {
    let AccountView {
        neighbour,
        receiver_payments_in,
        sender_payments_in,
        sender_payments_out,
        receiver_payments_out,
        ..
    } = account;
    format!(
        "metered {now_ms} {neighbour} {receiver_payments_in} {sender_payments_in} \
         {sender_payments_out} {receiver_payments_out}\n"
    )
}

/// A network where receivers come and go, prices change, and neighbours fall silent.
struct Play {
    net: Net,
    rng: Rng,
    sessions: Vec<Session>,
    joined: BTreeMap<(NodeId, usize), Handle>,
    muted: BTreeSet<NodeId>,
    told: BTreeSet<String>,
}

impl Play {
    fn new(mut rng: Rng, at_ms: u64) -> Self {
        let mut topology = Topology::default();
        for (name, kind) in [
            ("S1", Kind::Host),
            ("S2", Kind::Host),
            ("U", Kind::Router),
            ("V", Kind::Router),
            ("D", Kind::Router),
            ("R1", Kind::Host),
            ("R2", Kind::Host),
            ("R3", Kind::Host),
            ("R4", Kind::Host),
        ] {
            topology.node(name, kind);
        }
        let links = [(0, 2), (1, 2), (2, VICTIM), (VICTIM, BELOW), (VICTIM, 5), (VICTIM, 6)];
        for (from, to) in links.into_iter().chain([(BELOW, 7), (BELOW, 8)]) {
            let price = rng.u64(1..1_000);
            topology.link(from, to, (price, price + rng.u64(0..1_000)));
        }
        let config = NodeConfig { refresh_ms: REFRESH_MS, ..NodeConfig::default() };
        let options = Options { seed: rng.u64(..), config, ..Options::default() };
        let mut net = Net::new(topology, options);
        net.restart_at(VICTIM, at_ms);
        let sessions: Vec<Session> = (1..=4).map(|n| group(options.family, n)).collect();
        for (place, session) in sessions.iter().enumerate() {
            let fraction_ppm = [0, 1_000_000, 300_000, 500_000][place % 4];
            let share = SenderShare {
                fraction_ppm,
                account: None,
                limit_per_receiver: None,
                limit_per_hop: None,
                max_hops: None,
            };
            net.send(place % 2, *session, Some(share));
        }
        let (joined, muted, told) = Default::default();
        let mut play = Self { net, rng, sessions, joined, muted, told };
        for receiver in RECEIVERS {
            play.toggle(receiver, receiver % 4);
        }
        play
    }

    fn now_ms(&self) -> u64 {
        self.net.clock(VICTIM).at.as_millis()
    }

    fn go_on(&mut self, ms: u64) {
        match self.rng.u8(..) {
            0..12 => {
                let receiver = RECEIVERS[self.rng.usize(..RECEIVERS.len())];
                let session = self.rng.usize(..self.sessions.len());
                self.toggle(receiver, session);
            }
            12..18 => {
                let to = [BELOW, 5, 6][self.rng.usize(..3)];
                let link = self.net.topology.between(VICTIM, to);
                let price = self.rng.u64(0..2_000);
                self.net.set_price(VICTIM, link, price, self.rng.bool());
            }
            18..24 => {
                let node = [BELOW, 5, 6, 2][self.rng.usize(..4)];
                let muted = self.muted.insert(node) || !self.muted.remove(&node);
                self.net.mute(node, muted);
            }
            24 => {
                self.net.kill(BELOW);
                self.net.start(BELOW);
            }
            _ => {}
        }
        self.net.run_ms(ms);
    }

    fn toggle(&mut self, receiver: NodeId, session: usize) {
        if let Some(handle) = self.joined.remove(&(receiver, session)) {
            return self.net.close(receiver, handle);
        }
        let most = self.rng.bool().then(|| self.rng.u64(500..5_000));
        let handle = self.net.receive_as(receiver, reserve_up_to(self.sessions[session], most));
        self.joined.insert((receiver, session), handle);
    }

    fn accounts(&mut self) -> Vec<AccountView> {
        self.net.input(VICTIM, |engine, now| engine.show_accounts(now)).accounts
    }

    /// What RESVs approve that the router sent since the last time, a line each.
    fn offers(&mut self) -> String {
        let mut text = String::new();
        for crossing in self.net.log.crossings().iter().filter(|c| c.from == VICTIM) {
            if crossing.message_type != MessageType::Resv {
                continue;
            }
            let Ok(Message::Resv(resv)) = Message::parse(self.net.log.bytes(crossing)) else {
                continue;
            };
            for (_, ucpe, _) in ucpes(&resv).into_iter().filter(|(_, ucpe, _)| ucpe.payment > 0) {
                let Session { destination, destination_port, .. } = resv.session;
                let (instance, most) = (ucpe.instance, ucpe.payment);
                let line = format!("offer {destination} {destination_port} {instance} {most}\n");
                if self.told.insert(line.clone()) {
                    text += &line;
                }
            }
        }
        self.net.log.clear();
        text
    }
}
