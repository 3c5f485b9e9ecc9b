//! A router with an established session, and raw sockets in its neighbours' namespaces.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use lcm_daemon::lab::Topology;
use lcm_tests::harness::TestResult;
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

use crate::support::metrics::Page;
use crate::support::play::{self, Play};
use crate::support::wire::{Message, PATH, PATH_ERR, RESV, RESV_ERR};

/// The router that is attacked.
pub(crate) const VICTIM: &str = "IS2";
/// IP protocol number of RSVP.
const RSVP: u8 = 46;
/// Protocol number of sockets to which the program gives the whole IPv4 header.
const RAW: i32 = 255;

/// What is sent to the victim.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// The bytes behind the IP header.
    pub(crate) payload: Vec<u8>,
    /// The series that counts it.
    pub(crate) counted: String,
    /// Code and value of the error message that answers it.
    pub(crate) answer: Option<(u8, u16)>,
}

impl Case {
    /// A message that cannot be read.
    pub(crate) fn malformed(
        name: &'static str,
        reason: &str,
        payload: Vec<u8>,
        answer: Option<(u8, u16)>,
    ) -> Case {
        let counted = format!("lcm_decode_errors_total{{reason=\"{reason}\"}}");
        Case { name, payload, counted, answer }
    }

    /// A message that can be read and is refused.
    pub(crate) fn refused(
        name: &'static str,
        reason: &str,
        payload: Vec<u8>,
        answer: (u8, u16),
    ) -> Case {
        let counted = format!("lcm_messages_dropped_total{{reason=\"{reason}\"}}");
        Case { name, payload, counted, answer: Some(answer) }
    }
}

/// From where and how a case is sent.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    /// The neighbour whose namespace it comes from.
    pub(crate) node: &'static str,
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    pub(crate) router_alert: bool,
    /// What answers: PATHERR or RESVERR.
    pub(crate) error: u8,
}

/// The network, attacked.
pub(crate) struct Attack {
    pub(crate) play: Play,
    /// What the victim and its neighbours knew when the session was established.
    state: Value,
    pid: u32,
}

impl Attack {
    /// S–IS1–IS2–R1 with its reservation in place.
    pub(crate) fn start() -> Result<Attack, Box<dyn Error>> {
        let prices = [("IS1", "IS2", 100, 120), ("IS2", "R1", 40, 80)];
        let topology = Topology::chain(&["S", "IS1", "IS2", "R1"]);
        let mut play = Play::start(play::setup(topology, &prices, None))?;
        play.send()?;
        play.stage.receive("R1", None)?;
        let balances = [("S", -42), ("IS1", 100), ("IS2", 40), ("R1", -98)];
        play.wait_balances(&balances.map(|(name, rate)| (name.to_owned(), rate)).into())?;
        let state = settled(&mut play)?;
        let pid = play.stage.daemon(VICTIM)?.process().pid();
        Ok(Attack { play, state, pid })
    }

    /// The PATH that IS1 sent to the victim last.
    pub(crate) fn path(&mut self) -> Result<Message, Box<dyn Error>> {
        let last = self.play.last("IS1", VICTIM, PATH).ok_or("no PATH")?;
        Ok(last.message.clone())
    }

    /// The RESV that R1 sent to the victim last.
    pub(crate) fn resv(&mut self) -> Result<Message, Box<dyn Error>> {
        let last = self.play.last("R1", VICTIM, RESV).ok_or("no RESV")?;
        Ok(last.message.clone())
    }

    /// How a PATH of the session reaches the victim.
    pub(crate) fn sender_above(&self) -> Result<Sender, Box<dyn Error>> {
        let v4 = |address| match address {
            IpAddr::V4(v4) => Ok(v4),
            IpAddr::V6(v6) => Err(format!("{v6} is not IPv4")),
        };
        Ok(Sender {
            node: "IS1",
            source: v4(self.play.stage.address("S")?)?,
            destination: v4(self.play.stage.address("R1")?)?,
            router_alert: true,
            error: PATH_ERR,
        })
    }

    /// How a RESV of the session reaches the victim.
    pub(crate) fn sender_below(&self) -> Result<Sender, Box<dyn Error>> {
        Ok(Sender {
            node: "R1",
            source: self.play.address_on("R1", VICTIM)?,
            destination: self.play.address_on(VICTIM, "R1")?,
            router_alert: false,
            error: RESV_ERR,
        })
    }

    /// Sends a packet out of a neighbour's interface to the victim.
    pub(crate) fn inject(&self, sender: &Sender, ttl: u8, payload: &[u8]) -> TestResult {
        let packet = ipv4(sender, ttl, payload);
        let target = SocketAddr::new(sender.destination.into(), 0);
        let node = self.play.stage.network().get(sender.node)?;
        node.attempt("sending bad input", move || {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(RAW)))?;
            socket.bind_device(Some(format!("to-{VICTIM}").as_bytes()))?;
            socket.send_to(&packet, &target.into())
        })?;
        Ok(())
    }

    /// Sends all cases; each must be counted once and answered as it says, and nothing else may
    /// be answered or changed.
    pub(crate) fn run(&mut self, sender: &Sender, ttl: u8, cases: Vec<Case>) -> TestResult {
        let mark = self.play.mark();
        let mut answers = Vec::new();
        for case in cases {
            let before = Page::fetch(&self.play, VICTIM)?.value(&case.counted);
            self.inject(sender, ttl, &case.payload)?;
            let what = format!("{}: counted in {}", case.name, case.counted);
            self.play.wait(&what, |play| {
                let page = Page::fetch(play, VICTIM).map_err(|e| e.to_string())?;
                let families = ["lcm_decode_errors_total", "lcm_messages_dropped_total"];
                match page.value(&case.counted) - before {
                    1 => Ok(()),
                    count => Err(format!("{count}, among {:?}", families.map(|f| page.family(f)))),
                }
            })?;
            if let Some(answer) = case.answer {
                answers.push((case.name, answer));
                self.wait_answer(mark, sender, &answers)?;
            }
        }
        self.check_untouched()?;
        // Whatever was answered has crossed the link by now.
        let said = self.answers(mark, sender);
        let wanted: Vec<(u8, u16)> = answers.iter().map(|(_, answer)| *answer).collect();
        assert_eq!(said, wanted, "answers to {answers:?}");
        self.check_error_counters(sender, &wanted)
    }

    fn answers(&mut self, mark: usize, sender: &Sender) -> Vec<(u8, u16)> {
        let later = self.play.heard().get(mark..).unwrap_or_default();
        let errors = later.iter().filter(|heard| {
            let error = [PATH_ERR, RESV_ERR].contains(&heard.message.kind);
            error && heard.from == VICTIM && heard.to == sender.node
        });
        errors.filter_map(|heard| heard.message.error()).map(|e| (e.code, e.value)).collect()
    }

    fn wait_answer(
        &mut self,
        mark: usize,
        sender: &Sender,
        answers: &[(&str, (u8, u16))],
    ) -> TestResult {
        let Some((name, (code, value))) = answers.last() else { return Ok(()) };
        let own = self.play.address_on(VICTIM, sender.node)?;
        let what = format!("{name}: the answer {code}/{value}");
        let error = self.play.wait_for(&what, mark, |heard| {
            let to_us = heard.is(VICTIM, sender.node, sender.error);
            let seen = heard.message.error().map(|e| (e.code, e.value));
            to_us && seen == Some((*code, *value))
        })?;
        let spec = error.message.error().ok_or("no ERROR_SPEC")?;
        assert_eq!(spec.node, own, "{name}: the node that found it");
        assert!(error.message.session().is_some(), "{name}: the session is named");
        Ok(())
    }

    fn check_error_counters(&mut self, sender: &Sender, answers: &[(u8, u16)]) -> TestResult {
        let page = Page::fetch(&self.play, VICTIM)?;
        let kind = if sender.error == PATH_ERR { "patherr" } else { "resverr" };
        for (code, value) in answers {
            // Of unknown objects the value names the object, and would make as many series.
            let label = if [13, 14].contains(code) { 0 } else { *value };
            let series = format!(
                "lcm_protocol_errors_sent_total{{code=\"{code}\",type=\"{kind}\",value=\"{label}\"}}"
            );
            let same = |answer: &&(u8, u16)| match code {
                13 | 14 => answer.0 == *code,
                _ => **answer == (*code, *value),
            };
            let count = answers.iter().filter(same).count();
            let all = page.family("lcm_protocol_errors_sent_total");
            assert_eq!(page.value(&series), count as u64, "{series} among {all:?}");
        }
        Ok(())
    }

    /// The session is as it was, on all nodes, and the victim is the process that it was.
    pub(crate) fn check_untouched(&mut self) -> TestResult {
        let daemon = self.play.stage.daemon(VICTIM)?;
        daemon.process_mut().check()?;
        assert_eq!(daemon.process().pid(), self.pid);
        assert_eq!(state(&self.play)?, self.state, "state before and after");
        let balances = [("S", -42), ("IS1", 100), ("IS2", 40), ("R1", -98)];
        self.play.wait_balances(&balances.map(|(name, rate)| (name.to_owned(), rate)).into())
    }
}

/// The state once it has stood for longer than changes without a payment are collected (T19): that
/// the path stands is told after the balances are right already.
fn settled(play: &mut Play) -> Result<Value, Box<dyn Error>> {
    let mut last = (Value::Null, Instant::now());
    play.wait("a state that stands for a second", |play| {
        let now = state(play).map_err(|error| error.to_string())?;
        if now != last.0 {
            last = (now, Instant::now());
        }
        let stands = last.1.elapsed() > Duration::from_secs(1);
        if stands { Ok(last.0.clone()) } else { Err("it still changes".to_owned()) }
    })
}

/// All path and reservation state, without what passes with time.
fn state(play: &Play) -> Result<Value, Box<dyn Error>> {
    let mut all = serde_json::Map::new();
    for node in ["S", "IS1", "IS2", "R1"] {
        let mut view =
            serde_json::to_value((play.stage.sessions(node)?, play.stage.reservations(node)?))?;
        without_clocks(&mut view);
        all.insert(node.to_owned(), view);
    }
    Ok(Value::Object(all))
}

fn without_clocks(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| {
                !["expires_in_ms", "approved_for_ms", "in_place_ms"].contains(&&**key)
            });
            map.values_mut().for_each(without_clocks);
        }
        Value::Array(list) => list.iter_mut().for_each(without_clocks),
        _ => {}
    }
}

/// An IPv4 packet (RFC 791 section 3.1); the kernel fills in identification and checksum.
fn ipv4(sender: &Sender, ttl: u8, payload: &[u8]) -> Vec<u8> {
    let options: &[u8] = if sender.router_alert { &[0x94, 4, 0, 0] } else { &[] };
    let words = 5 + options.len() as u8 / 4;
    let total = usize::from(words) * 4 + payload.len();
    let mut packet = vec![0x40 | words, 0];
    packet.extend((total as u16).to_be_bytes());
    packet.extend([0, 0, 0, 0, ttl, RSVP, 0, 0]);
    packet.extend(sender.source.octets());
    packet.extend(sender.destination.octets());
    packet.extend(options);
    packet.extend(payload);
    packet
}
