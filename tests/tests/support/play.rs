//! A network with a daemon in every node, and everything that was said on its links.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use lcm_daemon::control::Request;
use lcm_daemon::control::protocol::Share;
use lcm_daemon::demo::stage::{LinkPrice, Setup, Stage};
use lcm_daemon::lab::wait::until;
use lcm_daemon::lab::{Link, Topology};
use lcm_tests::{harness, node};

use super::promise::Watch;
use super::wire::{Dcpe, Message, PATH, RESV, Ucpe};

/// The group of multicast sessions.
pub(crate) const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
/// The port of sessions and senders.
pub(crate) const PORT: u16 = 5000;
/// Refresh period of all daemons in milliseconds, unless a test needs another.
pub(crate) const REFRESH_MS: u32 = 500;
/// The port of the metrics pages.
pub(crate) const METRICS_PORT: u16 = 9146;
/// How long anything may take that needs no more than a few messages.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// What a sender pays in the paper's figure, in parts per million.
pub(crate) const FRACTION: u32 = 300_000;

/// L and Lmax of the figure's links.
const FIGURE_PRICES: [(&str, &str, u64, u64); 4] = [
    ("IS1", "IS2", 100, 120),
    ("IS2", "IS3", 60, 70),
    ("IS2", "R1", 40, 80),
    ("IS3", "R2", 50, 60),
];

/// The program that is every process of a test.
pub(crate) fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_lcm-node"))
}

/// A stage over any topology; `prices` are (from, to, L, Lmax).
pub(crate) fn setup(
    topology: Topology,
    prices: &[(&str, &str, u64, u64)],
    group: Option<Ipv4Addr>,
) -> Setup {
    let price = |&(from, to, price, max_price): &(&str, &str, u64, u64)| {
        ((from.to_owned(), to.to_owned()), LinkPrice { price, max_price })
    };
    Setup {
        topology,
        prices: prices.iter().map(price).collect::<BTreeMap<_, _>>(),
        reservable: BTreeMap::new(),
        ignorant: BTreeSet::new(),
        refresh_ms: REFRESH_MS,
        validity_ms: 60_000,
        group: group.map(IpAddr::V4),
        ipv6: false,
        reduce: false,
        port: PORT,
        program: (program(), vec![node::DAEMON.to_owned()]),
        pcap: None,
        more: BTreeMap::new(),
        log_level: "debug",
        books: None,
        hold_s: None,
        extra: BTreeMap::new(),
        metrics_port: Some(METRICS_PORT),
    }
}

/// The paper's figure with its prices.
pub(crate) fn figure() -> Setup {
    setup(Topology::figure2(), &FIGURE_PRICES, Some(GROUP))
}

/// One captured message.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    /// When, in nanoseconds since 1970.
    pub(crate) at_ns: u64,
    /// The node that put it on the link.
    pub(crate) from: String,
    /// The node at the other end.
    pub(crate) to: String,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) ttl: u8,
    pub(crate) router_alert: bool,
    /// The message as it was on the link.
    pub(crate) bytes: Vec<u8>,
    pub(crate) message: Message,
}

impl Heard {
    pub(crate) fn is(&self, from: &str, to: &str, kind: u8) -> bool {
        self.from == from && self.to == to && self.message.kind == kind
    }
}

/// The running play.
pub(crate) struct Play {
    pub(crate) stage: Stage,
    heard: Vec<Heard>,
    /// Packets with protocol number 46 that are no message, as text.
    pub(crate) noise: Vec<String>,
    pub(super) watch: Watch,
}

impl Drop for Play {
    /// Whatever a test is about, the promise holds at its end.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        if let Err(broken) = self.check_end() {
            harness::fault(&format!("the promise: {broken}"));
        }
    }
}

impl Play {
    pub(crate) fn start(setup: Setup) -> Result<Play, Box<dyn Error>> {
        let stage = Stage::start(setup)?;
        let mut play =
            Play { stage, heard: Vec::new(), noise: Vec::new(), watch: Watch::default() };
        play.watch_daemons()?;
        Ok(play)
    }

    /// Everything that was said so far, in its order.
    pub(crate) fn heard(&mut self) -> &[Heard] {
        for captured in self.stage.capture().drain() {
            let ends = captured.label.split_once('-').unwrap_or_default();
            let (from, to) = match captured.direction {
                lcm_daemon::lab::capture::Direction::Out => ends,
                lcm_daemon::lab::capture::Direction::In => (ends.1, ends.0),
            };
            let Some(packet) = captured.rsvp() else {
                self.noise.push(format!("a fragment from {from} to {to}"));
                continue;
            };
            match Message::parse(packet.message) {
                Some(message) => self.heard.push(Heard {
                    at_ns: captured.timestamp_ns,
                    from: from.to_owned(),
                    to: to.to_owned(),
                    source: packet.source,
                    destination: packet.destination,
                    ttl: packet.ttl,
                    router_alert: packet.router_alert,
                    bytes: packet.message.to_vec(),
                    message,
                }),
                None => self.noise.push(format!("{from} to {to}: {:02x?}", packet.message)),
            }
        }
        &self.heard
    }

    /// How much was said so far: what comes later has this or a higher index in [`Play::heard`].
    pub(crate) fn mark(&mut self) -> usize {
        self.heard().len()
    }

    /// The newest message of a kind that went from one node to the next.
    pub(crate) fn last(&mut self, from: &str, to: &str, kind: u8) -> Option<&Heard> {
        self.heard().iter().rev().find(|heard| heard.is(from, to, kind))
    }

    /// What was announced last from one node to the next.
    pub(crate) fn announced(&mut self, from: &str, to: &str) -> Option<Dcpe> {
        self.last(from, to, PATH)?.message.dcpe()
    }

    /// What was paid last from one node to the next.
    pub(crate) fn paid(&mut self, from: &str, to: &str) -> Option<Ucpe> {
        self.last(from, to, RESV)?.message.ucpe()
    }

    /// Asks again until the answer is there.
    pub(crate) fn wait<T>(
        &mut self,
        what: &str,
        mut probe: impl FnMut(&mut Play) -> Result<T, String>,
    ) -> Result<T, Box<dyn Error>> {
        until(PATIENCE, what, || probe(self))
            .map_err(|late| format!("{late}\n{}", self.story()).into())
    }

    /// The last messages, a line for each, for a test that fails.
    pub(crate) fn story(&mut self) -> String {
        const LINES: usize = 60;
        let heard = self.heard();
        let last = heard.get(heard.len().saturating_sub(LINES)..).unwrap_or_default();
        let end = last.last().map_or(0, |heard| heard.at_ns);
        let line = |heard: &Heard| {
            let before_ms = (end - heard.at_ns) / 1_000_000;
            let Heard { from, to, message, .. } = heard;
            let hop = message.hop().map(|(address, _)| address);
            let quotes: Vec<_> =
                message.dcpes().iter().map(|d| (d.total, d.epoch, d.established)).collect();
            let paid = message.ucpe().map(|u| (u.payment, u.sequence, u.instance));
            let error = message.error().map(|e| (e.code, e.value));
            format!(
                "  -{before_ms} ms {from}->{to} type {} hop {hop:?} C {quotes:?} pays {paid:?} {error:?}",
                message.kind
            )
        };
        last.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// Waits for a message that satisfies, said at or after `mark`.
    pub(crate) fn wait_for(
        &mut self,
        what: &str,
        mark: usize,
        mut wanted: impl FnMut(&Heard) -> bool,
    ) -> Result<Heard, Box<dyn Error>> {
        self.wait(what, |play| {
            let later = play.heard().get(mark..).unwrap_or_default();
            let found = later.iter().find(|heard| wanted(heard)).cloned();
            found.ok_or_else(|| format!("{} other messages", later.len()))
        })
    }

    /// Waits until a link announces these C and M.
    pub(crate) fn wait_announced(
        &mut self,
        from: &str,
        to: &str,
        total: u64,
        max_total: u64,
    ) -> Result<Dcpe, Box<dyn Error>> {
        self.wait(&format!("PATH {from}->{to} with C {total}, M {max_total}"), |play| {
            let dcpe = play.announced(from, to).ok_or("no PATH with a DCPE")?;
            let right = (dcpe.total, dcpe.max_total) == (total, max_total);
            if right { Ok(dcpe) } else { Err(format!("{dcpe:?}")) }
        })
    }

    /// Waits until a link carries this payment.
    pub(crate) fn wait_paid(
        &mut self,
        from: &str,
        to: &str,
        payment: u64,
    ) -> Result<Ucpe, Box<dyn Error>> {
        self.wait(&format!("RESV {from}->{to} that pays {payment}"), |play| {
            let ucpe = play.paid(from, to).ok_or("no RESV with a UCPE")?;
            if ucpe.payment == payment { Ok(ucpe) } else { Err(format!("{ucpe:?}")) }
        })
    }

    /// Opens the session at the sender as in the paper's figure.
    pub(crate) fn send(&mut self) -> Result<u64, Box<dyn Error>> {
        self.send_share(FRACTION)
    }

    /// Opens the session at the sender, who pays a share.
    pub(crate) fn send_share(&mut self, fraction_ppm: u32) -> Result<u64, Box<dyn Error>> {
        let account = Some("nai:sender@figure2.example".to_owned());
        Ok(self.stage.send(Share { fraction_ppm, account, ..Share::default() })?)
    }

    pub(crate) fn close(&mut self, node: &str, handle: u64) -> Result<(), Box<dyn Error>> {
        self.stage.ask(node, &Request::Close { handle })?;
        Ok(())
    }

    /// Waits until these nodes earn these rates by their books, then checks that their meters
    /// really run at them.
    pub(crate) fn wait_balances(
        &mut self,
        expected: &BTreeMap<String, i64>,
    ) -> Result<(), Box<dyn Error>> {
        self.wait_rates(expected)?;
        let metered = self.meter(expected.keys())?;
        assert_eq!(&metered, expected, "metered per second");
        Ok(())
    }

    /// Waits until these nodes earn these rates by their books.
    pub(crate) fn wait_rates(
        &mut self,
        expected: &BTreeMap<String, i64>,
    ) -> Result<(), Box<dyn Error>> {
        self.wait("the rates of all accounts", |play| {
            for (name, rate) in expected {
                let view = play.stage.accounts(name).map_err(|e| e.to_string())?;
                if view.rate != *rate {
                    return Err(format!("{name} earns {} instead of {rate}: {view:?}", view.rate));
                }
            }
            Ok(())
        })
    }

    /// What nodes meter per second, exact.
    pub(crate) fn meter<'a>(
        &mut self,
        names: impl Iterator<Item = &'a String>,
    ) -> Result<BTreeMap<String, i64>, Box<dyn Error>> {
        let mut metered = BTreeMap::new();
        let mut starts = Vec::new();
        for name in names {
            starts.push((name.clone(), self.stage.accounts(name)?));
        }
        for (name, start) in starts {
            let end = self.wait("the metering of a while", |play| {
                let now = play.stage.accounts(&name).map_err(|e| e.to_string())?;
                let past = now.as_of_ms.saturating_sub(start.as_of_ms);
                if past >= 200 { Ok(now) } else { Err(format!("{past} ms")) }
            })?;
            let ms = i128::from(end.as_of_ms - start.as_of_ms);
            let amount = end.amount.parse::<i128>()? - start.amount.parse::<i128>()?;
            if amount % ms != 0 {
                let story = self.story();
                return Err(format!("{name} meters {amount} in {ms} ms, no rate\n{story}").into());
            }
            metered.insert(name, i64::try_from(amount / ms)?);
        }
        Ok(metered)
    }

    /// Waits until this much is reserved on the link from one node to another, in bits per second.
    pub(crate) fn wait_reserved(
        &mut self,
        from: &str,
        to: &str,
        bits_per_s: u64,
    ) -> Result<(), Box<dyn Error>> {
        self.wait(&format!("{bits_per_s} bits/s reserved {from}->{to}"), |play| {
            let reserved = play.reserved(from, to).map_err(|e| e.to_string())?;
            if reserved == bits_per_s { Ok(()) } else { Err(reserved.to_string()) }
        })
    }

    /// What is reserved on the link from one node to another, in bits per second.
    pub(crate) fn reserved(&self, from: &str, to: &str) -> Result<u64, Box<dyn Error>> {
        let interfaces = self.stage.interfaces(from)?;
        let name = format!("to-{to}");
        let interface = interfaces.iter().find(|interface| interface.name == name);
        Ok(interface.ok_or_else(|| format!("{from} has no {name}"))?.reserved_bits_per_s)
    }

    /// Waits until no node has any path or reservation state.
    pub(crate) fn wait_empty(&mut self, names: &[&str]) -> Result<(), Box<dyn Error>> {
        self.wait("the end of all state", |play| {
            for name in names {
                let sessions = play.stage.sessions(name).map_err(|e| e.to_string())?;
                let reservations = play.stage.reservations(name).map_err(|e| e.to_string())?;
                if !sessions.iter().all(|session| session.senders.is_empty())
                    || !reservations.is_empty()
                {
                    return Err(format!("{name} has {sessions:?} and {reservations:?}"));
                }
            }
            Ok(())
        })
    }

    /// The address of one end of a link.
    pub(crate) fn address_on(&self, node: &str, peer: &str) -> Result<Ipv4Addr, Box<dyn Error>> {
        let link: &Link = self.stage.network().link_between(node, peer)?;
        Ok(link.address(node).ok_or("the link has no IPv4 address")?)
    }
}
