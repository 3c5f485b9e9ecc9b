//! S – IS1 – IS2 – R1 over IPv6, unicast.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use lcm_daemon::control::protocol::Share;
use lcm_daemon::demo::stage::{LinkPrice, Setup, Stage};
use lcm_daemon::lab::Topology;
use lcm_daemon::lab::capture::{Captured, Direction};
use lcm_daemon::lab::wait::until;
use lcm_tests::harness::TestResult;
use lcm_tests::node;
use rsvp_wire::{Message, MessageType};

/// How long anything may take that needs no more than a few messages.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// The port of the session and of the sender.
const PORT: u16 = 5000;
/// Class selector 6, network control.
const CS6: u8 = 0xc0;

/// The running chain, and the frames that were seen on its links.
pub(crate) struct Chain {
    pub(crate) stage: Stage,
    frames: Vec<Captured>,
}

impl Chain {
    pub(crate) fn start() -> Result<Self, Box<dyn Error>> {
        let prices = [("IS1", "IS2", 100, 120), ("IS2", "R1", 40, 80)];
        let prices = prices.map(|(from, to, price, max_price)| {
            ((from.to_owned(), to.to_owned()), LinkPrice { price, max_price })
        });
        let program = PathBuf::from(env!("CARGO_BIN_EXE_lcm-node"));
        let stage = Stage::start(Setup {
            topology: Topology::chain(&["S", "IS1", "IS2", "R1"]),
            prices: BTreeMap::from(prices),
            reservable: BTreeMap::new(),
            ignorant: BTreeSet::new(),
            refresh_ms: 500,
            validity_ms: 60_000,
            group: None,
            ipv6: true,
            reduce: false,
            port: PORT,
            program: (program, vec![node::DAEMON.to_owned()]),
            pcap: None,
            more: BTreeMap::new(),
            log_level: "debug",
            books: None,
            hold_s: None,
            extra: BTreeMap::new(),
            metrics_port: None,
        })?;
        Ok(Self { stage, frames: Vec::new() })
    }

    /// All frames with RSVP so far.
    pub(crate) fn frames(&mut self) -> &[Captured] {
        self.frames.extend(self.stage.capture().drain());
        &self.frames
    }

    /// The address that a node has on its link with another one.
    pub(crate) fn address(&self, node: &str, peer: &str) -> Result<Ipv6Addr, Box<dyn Error>> {
        let link = self.stage.network().link_between(node, peer)?;
        Ok(link.address6(node).ok_or("no IPv6 address")?)
    }

    /// Waits until these nodes earn these rates per second by their books.
    fn wait_rates(&self, expected: &[(&str, i64)]) -> TestResult {
        until(PATIENCE, "the rates of all accounts", || {
            for (name, rate) in expected {
                let view = self.stage.accounts(name).map_err(|e| e.to_string())?;
                if view.rate != *rate {
                    return Err(format!("{name} earns {} instead of {rate}", view.rate));
                }
            }
            Ok(())
        })?;
        Ok(())
    }
}

/// The ends of the link that a frame crossed, in its direction.
pub(crate) fn ends(captured: &Captured) -> (&str, &str) {
    let (first, second) = captured.label.split_once('-').unwrap_or_default();
    match captured.direction {
        Direction::Out => (first, second),
        Direction::In => (second, first),
    }
}

/// The kind of the message in a frame.
pub(crate) fn kind(captured: &Captured) -> Option<MessageType> {
    let packet = captured.rsvp()?;
    Some(Message::parse(packet.message).ok()?.packet().message_type())
}

/// The prices and payments of the chain, then how its messages looked on the links.
pub(crate) fn hop_by_hop() -> TestResult {
    let mut chain = Chain::start()?;
    let account = Some("nai:sender@figure2.example".to_owned());
    chain.stage.send(Share { fraction_ppm: 300_000, account, ..Share::default() })?;
    until(PATIENCE, "the PATH at R1", || {
        let sessions = chain.stage.sessions("R1").map_err(|e| e.to_string())?;
        if sessions.is_empty() { Err("no session") } else { Ok(()) }.map_err(str::to_owned)
    })?;
    chain.stage.receive("R1", None)?;
    chain.wait_rates(&[("S", -42), ("IS1", 100), ("IS2", 40), ("R1", -98)])?;

    let sender = IpAddr::V6(chain.address("S", "IS1")?);
    let receiver = IpAddr::V6(chain.address("R1", "IS2")?);
    let hop = IpAddr::V6(chain.address("IS1", "IS2")?);
    let mut own = BTreeMap::new();
    for name in ["S", "IS1", "IS2"] {
        let interfaces = chain.stage.interfaces(name)?;
        let all = interfaces.into_iter().flat_map(|port| port.addresses);
        own.insert(name, all.collect::<Vec<_>>().join(" "));
    }
    let mut seen = BTreeSet::new();
    for captured in chain.frames() {
        let way = ends(captured);
        let packet = captured.rsvp().ok_or("a fragment")?;
        let class = captured.frame[14] << 4 | captured.frame[15] >> 4;
        assert_eq!(class, CS6, "traffic class of {:?} over {way:?}", kind(captured));
        match kind(captured) {
            Some(MessageType::Path) => {
                assert_eq!((packet.source, packet.destination), (sender, receiver), "{way:?}");
                assert!(packet.router_alert, "{way:?}");
                let Message::Path(path) = Message::parse(packet.message)? else { continue };
                assert_eq!(path.packet.send_ttl(), packet.ttl, "Send_TTL over {way:?}");
                // Nobody but the node at this end of the link says so there: the kernel of IS1 or
                // IS2 forwards no PATH that it was handed.
                let named = format!("{}/", path.hop.address);
                assert!(own[way.0].contains(&named), "PHOP {named} over {way:?}: {own:?}");
                seen.insert(("PATH", way.0.to_owned()));
            }
            Some(MessageType::Resv) => {
                assert!(!packet.router_alert, "{way:?}");
                if way == ("IS2", "IS1") {
                    assert_eq!(packet.destination, hop);
                }
                seen.insert(("RESV", way.0.to_owned()));
            }
            _ => {}
        }
    }
    assert_eq!(seen.len(), 6, "{seen:?}");
    Ok(())
}
