//! What one transit router's engine spends on a message, without a kernel: counted, not timed.
//!
//! ```text
//!  previous hop ──PATH──▶ engine ──PATH──▶ next hop
//!               ◀──RESV──        ◀──RESV──
//! ```
//!
//! The messages are those of the benchmark of whole daemons (`bench/`). Time is virtual and the
//! engine's numbers come from a seed, so two runs execute the same instructions.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a router that does not do what is counted is to stop the count"
)]

pub mod script;
mod valgrind;

pub use valgrind::{Count, Run, count};

use std::net::{IpAddr, Ipv4Addr};

use lcm_daemon::config::Config;
use lcm_daemon::engine::{Engine, Instant, Now, Output};
use lcm_daemon::kernel::{Interface, KernelNews, Route};
use lcm_daemon::packet::{PacketMeta, TransmitMeta};

use crate::bench::messages::{self, MESSAGE_BYTES, Seen, TTL, Templates};

/// Interface towards the sender.
const UP: u32 = 2;
/// Interface towards the receivers.
const DOWN: u32 = 3;
/// The previous hop, the sender too.
const PHOP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// Our address towards it.
const OWN_UP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// Our address towards the next hop.
const OWN_DOWN: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 1);
/// The next hop.
const NHOP: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 2);
/// The wall clock at the start: serial numbers count from it (charging.md T17).
const START_UNIX_S: u32 = 1_750_000_000;

/// What the router under test does with policy elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// It charges.
    Charging,
    /// It passes them on (RFC 2750 section 3.3: a policy-ignorant node).
    Ignorant,
}

/// Messages that are sent to the router, made before anything is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// PATH, from the previous hop.
    Down,
    /// RESV, from the next hop.
    Up,
}

/// One transit router with a previous and a next hop.
#[derive(Debug)]
pub struct Transit {
    engine: Engine,
    upstream: Templates,
    downstream: Templates,
    now_us: u64,
    buffer: Box<[u8]>,
    /// Messages that came out since the start.
    pub sent: u64,
    last: Vec<u8>,
}

impl Transit {
    /// A router without sessions.
    ///
    /// # Panics
    /// If its own configuration is not valid.
    #[must_use]
    pub fn new(policy: Policy) -> Transit {
        let mut transit = Transit {
            engine: Engine::new(config(policy), 7),
            upstream: Templates::at(START_UNIX_S, PHOP, PHOP),
            downstream: Templates::at(START_UNIX_S, NHOP, PHOP),
            now_us: 1_000_000,
            buffer: vec![0; MESSAGE_BYTES].into(),
            sent: 0,
            last: Vec::with_capacity(MESSAGE_BYTES),
        };
        for (index, own) in [(UP, OWN_UP), (DOWN, OWN_DOWN)] {
            let interface = Interface {
                index,
                name: format!("eth{index}"),
                up: true,
                mtu: 1500,
                loopback: false,
                addresses: vec![(own.into(), 24)],
            };
            let now = transit.now();
            transit.engine.handle_news(now, KernelNews::Interface(interface));
        }
        transit.settle();
        transit
    }

    fn now(&self) -> Now {
        let unix_s = START_UNIX_S + u32::try_from(self.now_us / 1_000_000).unwrap_or(u32::MAX / 4);
        Now::new(Instant::from_micros(self.now_us), unix_s)
    }

    /// Lets time pass without doing what is due: refreshes of our own are not what is counted.
    pub fn pass_us(&mut self, micros: u64) {
        self.now_us += micros;
    }

    /// Does what is due now.
    pub fn wake(&mut self) {
        let now = self.now();
        self.engine.handle_timeout(now);
        self.settle();
    }

    /// One session, PATH through and RESV back.
    ///
    /// # Panics
    /// If the router does not pass them on as it should.
    pub fn set_up(&mut self, session: u32) {
        let path = self.path(session);
        self.take(Way::Down, &path);
        let resv = self.resv();
        self.take(Way::Up, &resv);
        match messages::read(&self.last) {
            Ok(Seen::Resv { session: seen, .. }) if seen == session => {}
            other => panic!("session {session}: {other:?} came out where a RESV should"),
        }
    }

    /// One session that stands end to end; the PATH and the RESV that it is refreshed by from then
    /// on. The previous hop says that it is established (charging.md T12), and the next hop answers
    /// what that makes of the quote.
    ///
    /// # Panics
    /// If the router does not pass messages on as it should.
    pub fn establish(&mut self, session: u32) -> [Box<[u8]>; 2] {
        self.set_up(session);
        self.upstream.set_established(messages::sequence_of(&self.last));
        let path = self.path(session);
        self.upstream.set_established(None);
        self.take(Way::Down, &path);
        let resv = self.resv();
        self.take(Way::Up, &resv);
        [path, resv]
    }

    /// The PATH of a session, as the previous hop sends it.
    ///
    /// # Panics
    /// If it does not fit.
    pub fn path(&mut self, session: u32) -> Box<[u8]> {
        let length = self.upstream.path(session, 5, &mut self.buffer).expect("a PATH fits");
        self.buffer[..length].into()
    }

    /// The RESV that answers the PATH which came out last.
    ///
    /// # Panics
    /// If none did.
    pub fn resv(&mut self) -> Box<[u8]> {
        let quote = match messages::read(&self.last) {
            Ok(Seen::Path(quote)) => quote,
            other => panic!("{other:?} came out where a PATH should"),
        };
        let length = self.downstream.resv(&quote, &mut self.buffer).expect("a RESV fits");
        self.buffer[..length].into()
    }

    /// The router takes a message and does all that follows from it.
    #[inline(never)]
    pub fn take(&mut self, way: Way, message: &[u8]) {
        let meta = match way {
            Way::Down => {
                let destination = messages::destination_of(message).unwrap_or(OWN_UP.into());
                received(UP, PHOP, destination, true)
            }
            Way::Up => received(DOWN, NHOP, OWN_DOWN.into(), false),
        };
        let now = self.now();
        self.engine.handle_packet(now, meta, message);
        self.settle();
    }

    fn settle(&mut self) {
        let now = self.now();
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Route(key) => {
                    let route = Route::Unicast { interface: DOWN, gateway: Some(NHOP.into()) };
                    self.engine.handle_route(now, key, route);
                }
                Output::Record(number, _) => self.engine.handle_recorded(number),
                _ => {}
            }
        }
        let queue = self.engine.transmits();
        for (TransmitMeta { .. }, message) in queue.iter() {
            self.sent += 1;
            self.last.clear();
            self.last.extend_from_slice(message);
        }
        queue.clear();
    }
}

fn received(interface: u32, source: Ipv4Addr, destination: IpAddr, alert: bool) -> PacketMeta {
    PacketMeta { interface, source: source.into(), destination, ttl: TTL, router_alert: alert }
}

fn config(policy: Policy) -> Config {
    let enabled = policy == Policy::Charging;
    let refresh_ms = messages::REFRESH_MS;
    let text = format!(
        "[rsvp]\nrefresh_ms = {refresh_ms}\n\
         [limits]\nmax_sessions = 10000000\nmax_senders = 10000000\n\
         max_senders_per_neighbour = 10000000\nmax_reservations = 10000000\n\
         max_reservations_per_neighbour = 10000000\nmax_messages_per_s = 1000000000\n\
         [charging]\nenabled = {enabled}\ncurrency = \"EUR\"\n\
         account = {{ kind = \"opaque\", id = \"cost-router\" }}\nvalidity_ms = {}\n\
         [default_interface]\n\
         tariff = {{ kind = \"flat\", price_pico_per_s = 100, max_price_pico_per_s = 100 }}\n",
        messages::VALIDITY_MS
    );
    Config::parse(&text, "cost").unwrap_or_else(|errors| panic!("{errors}"))
}
