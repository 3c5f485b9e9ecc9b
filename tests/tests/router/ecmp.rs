//! Equal routes: PATH goes where the kernel sends the data of that very flow.
//!
//! Two nodes own the same address, and which of them a datagram reaches tells the path that it took.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use lcm_daemon::control::Request;
use lcm_daemon::control::protocol::{SendRequest, SessionName, TrafficSpec};
use lcm_daemon::lab::{Role, Topology};
use lcm_tests::harness::TestResult;

use crate::support::play::{self, Play};
use crate::support::wire::{PATH, PATH_TEAR};

/// Where all sessions go.
const DESTINATION: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
/// The nodes that own it.
const ENDS: [&str; 2] = ["D1", "D2"];
const PREFIX: (IpAddr, u8) = (IpAddr::V4(Ipv4Addr::new(10, 99, 0, 0)), 24);
/// Sessions; that the kernel's hash sends all of them one way happens once in 2^23 runs.
const FLOWS: u16 = 24;
const UDP: u8 = 17;

/// Source and destination port of a flow, which are all that its sessions differ in.
fn flow(number: u16) -> (Ipv4Addr, u16, u16) {
    // Addresses of the sender's loopback, since the kernel may prefer the path whose interface has
    // the source address.
    let source = Ipv4Addr::new(10, 98, 0, 1 + (number % 8) as u8);
    (source, 6000 + 7 * number, 5000 + number)
}

/// A node splits flows over its links to D1 and D2.
struct Split {
    play: Play,
    /// The node with the equal routes.
    at: &'static str,
    /// The sender's sockets, by destination port.
    senders: BTreeMap<u16, UdpSocket>,
    /// The sockets at each end.
    ends: BTreeMap<&'static str, Vec<UdpSocket>>,
}

pub(crate) fn in_transit() -> TestResult {
    let topology = Topology::tree(&["S"], &[("S", "IS1"), ("IS1", "D1"), ("IS1", "D2")]);
    // By addresses, then by ports too.
    for policy in ["0", "1"] {
        let mut split = Split::start(topology.clone(), "IS1", policy)?;
        split.follows_data()?;
        split.follows_changes()?;
    }
    Ok(())
}

pub(crate) fn at_the_sender() -> TestResult {
    let topology = Topology::tree(&["S"], &[("S", "D1"), ("S", "D2")]);
    for policy in ["0", "1"] {
        let mut split = Split::start(topology.clone(), "S", policy)?;
        split.follows_data()?;
        split.follows_changes()?;
    }
    Ok(())
}

impl Split {
    fn start(topology: Topology, at: &'static str, policy: &str) -> Result<Split, Box<dyn Error>> {
        let topology = topology.with_role("D1", Role::Plain).with_role("D2", Role::Plain);
        // Nothing here is to happen by a refresh.
        let setup = lcm_daemon::demo::stage::Setup {
            refresh_ms: 30_000,
            ..play::setup(topology, &[], None)
        };
        let play = Play::start(setup)?;
        let network = play.stage.network();
        let (sender, splitter) = (network.get("S")?, network.get(at)?);
        splitter.sysctl("net/ipv4/fib_multipath_hash_policy", policy)?;
        let mut ends = BTreeMap::new();
        for end in ENDS {
            let node = network.get(end)?;
            node.local_prefix(PREFIX)?;
            ends.insert(end, node.attempt("opening the receivers' sockets", receivers)?);
        }
        for number in 0..FLOWS.min(8) {
            sender.add_address("lo", IpAddr::V4(flow(number).0), 32)?;
        }
        if at != "S" {
            let via = IpAddr::V4(play.address_on(at, "S")?);
            sender.route(PREFIX, Some(via), &format!("to-{at}"))?;
        }
        let senders = sender.attempt("opening the senders' sockets", senders)?;
        let split = Split { play, at, senders, ends };
        split.both_ways()?;
        Ok(split)
    }

    /// Both ends may be reached.
    fn both_ways(&self) -> TestResult {
        let to = |end| Ok::<_, Box<dyn Error>>(IpAddr::V4(self.play.address_on(end, self.at)?));
        let gateways = [(to("D1")?, "to-D1"), (to("D2")?, "to-D2")];
        Ok(self.play.stage.network().get(self.at)?.equal_routes(PREFIX, &gateways)?)
    }

    /// All sessions are announced, each to the end that gets its data.
    fn follows_data(&mut self) -> TestResult {
        for number in 0..FLOWS {
            let (source, source_port, port) = flow(number);
            let session = SocketAddr::from((DESTINATION, port));
            let request = Request::Send(SendRequest {
                session: SessionName { destination: session, protocol: UDP },
                source: SocketAddr::from((source, source_port)),
                traffic: TrafficSpec {
                    rate: 1_000,
                    bucket: 1_000,
                    peak: None,
                    min_policed: 64,
                    max_packet: 1_000,
                },
                ttl: 63,
                interface: None,
                proxy: None,
                share: None,
                detach: true,
            });
            self.play.stage.ask("S", &request)?;
        }
        let taken = self.by_data()?;
        let ends: BTreeSet<&str> = taken.values().copied().collect();
        assert_eq!(ends.len(), 2, "data took both paths: {taken:?}");
        self.wait_paths(0, &taken)
    }

    /// One path is left, and then both are there again.
    fn follows_changes(&mut self) -> TestResult {
        let before = self.by_data()?;
        let mark = self.play.mark();
        let first = IpAddr::V4(self.play.address_on("D1", self.at)?);
        let splitter = self.play.stage.network().get(self.at)?;
        splitter.route(PREFIX, Some(first), "to-D1")?;
        let moved: BTreeMap<u16, &str> =
            before.iter().filter(|(_, end)| **end == "D2").map(|(port, _)| (*port, "D1")).collect();
        self.wait_paths(mark, &moved)?;
        self.wait_tears(mark, "D2", &moved)?;
        assert!(self.by_data()?.values().all(|end| *end == "D1"));

        let mark = self.play.mark();
        self.both_ways()?;
        let after = self.by_data()?;
        let moved: BTreeMap<u16, &str> =
            after.into_iter().filter(|(_, end)| *end == "D2").collect();
        assert!(!moved.is_empty());
        self.wait_paths(mark, &moved)?;
        self.wait_tears(mark, "D1", &moved)
    }

    /// The end that gets the data of each flow, by destination port: sends a datagram each.
    fn by_data(&mut self) -> Result<BTreeMap<u16, &'static str>, Box<dyn Error>> {
        for (port, socket) in &self.senders {
            socket.send_to(b"data", (DESTINATION, *port))?;
        }
        let ends = &self.ends;
        let mut seen = BTreeMap::new();
        self.play.wait("a datagram of each flow", |_| {
            for (end, sockets) in ends {
                for socket in sockets {
                    match socket.recv(&mut [0; 16]) {
                        Ok(_) => {
                            let port = socket.local_addr().map_err(|e| e.to_string())?.port();
                            assert_eq!(seen.insert(port, *end), None, "a datagram came twice");
                        }
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error.to_string()),
                    }
                }
            }
            if seen.len() == usize::from(FLOWS) { Ok(()) } else { Err(format!("{}", seen.len())) }
        })?;
        Ok(seen)
    }

    /// Waits until the newest PATH of each session since `mark` went to its end.
    fn wait_paths(&mut self, mark: usize, wanted: &BTreeMap<u16, &str>) -> TestResult {
        let at = self.at;
        self.play.wait("PATH where the data goes", |play| {
            let later = play.heard().get(mark..).unwrap_or_default();
            let mut seen: BTreeMap<u16, &str> = BTreeMap::new();
            for heard in later.iter().filter(|heard| heard.message.kind == PATH && heard.from == at)
            {
                if let Some((_, port)) = heard.message.session() {
                    seen.insert(port, &heard.to);
                }
            }
            seen.retain(|port, _| wanted.contains_key(port));
            if seen == *wanted { Ok(()) } else { Err(format!("{seen:?}, not {wanted:?}")) }
        })
    }

    /// Waits until what lies behind the path that was left is told of the end of these sessions.
    fn wait_tears(&mut self, mark: usize, left: &str, moved: &BTreeMap<u16, &str>) -> TestResult {
        let at = self.at;
        self.play.wait("PATHTEAR on the path that was left", |play| {
            let later = play.heard().get(mark..).unwrap_or_default();
            let tears = later.iter().filter(|heard| heard.is(at, left, PATH_TEAR));
            let ports: BTreeSet<u16> =
                tears.filter_map(|heard| heard.message.session()).map(|(_, port)| port).collect();
            let wanted: BTreeSet<u16> = moved.keys().copied().collect();
            if ports == wanted { Ok(()) } else { Err(format!("{ports:?}, not {wanted:?}")) }
        })
    }
}

fn receivers() -> std::io::Result<Vec<UdpSocket>> {
    (0..FLOWS)
        .map(|number| {
            let socket = UdpSocket::bind((DESTINATION, flow(number).2))?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        })
        .collect()
}

fn senders() -> std::io::Result<BTreeMap<u16, UdpSocket>> {
    (0..FLOWS)
        .map(|number| {
            let (source, source_port, port) = flow(number);
            Ok((port, UdpSocket::bind((source, source_port))?))
        })
        .collect()
}
