//! A link of many (charging.md D10): the router A at the top of a bridge, the routers B and C and the
//! hosts H1 and H2 on it; one PATH of A's reaches them all, and each pays its share of A's price.
//!
//! ```text
//!  S ── A ══╤══════╤══════╤══════╗
//!           B      C      H1     H2
//!           R1     R2
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use lcm_daemon::control::client::Client;
use lcm_daemon::control::protocol::{
    ReceiveRequest, Reply, Request, SendRequest, SessionName, Share, StyleName, TrafficSpec, What,
};
use lcm_daemon::engine::Level;
use lcm_daemon::engine::show::{AccountsView, ReservationView};
use lcm_daemon::lab::multicast::{ForwardingEntry, MulticastRoutes};
use lcm_daemon::lab::process::DaemonProcess;
use lcm_daemon::lab::wait::until;
use lcm_daemon::lab::{LinkOptions, Network, Role};
use lcm_tests::harness::TestResult;
use lcm_tests::node;

use crate::support::play::program;

const PATIENCE: Duration = Duration::from_secs(20);
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const PORT: u16 = 5_000;
/// What A, B and C ask for sending out of an interface.
const PRICES: [(&str, &str, u64); 3] =
    [("A", "to-LAN", 100), ("B", "to-R1", 40), ("C", "to-R2", 60)];
/// Those on the bridge, in the order of their addresses.
const MEMBERS: [&str; 5] = ["A", "B", "C", "H1", "H2"];
const DAEMONS: [&str; 8] = ["S", "A", "B", "C", "H1", "H2", "R1", "R2"];

struct Lan {
    daemons: BTreeMap<&'static str, DaemonProcess>,
    _routes: MulticastRoutes,
    network: Network,
}

fn on_lan(name: &str) -> Ipv4Addr {
    let place = MEMBERS.iter().position(|member| *member == name).unwrap();
    Ipv4Addr::new(10, 200, 1, u8::try_from(place + 1).unwrap())
}

impl Lan {
    fn start() -> Result<Self, Box<dyn Error>> {
        let mut network = Network::new()?;
        for name in DAEMONS {
            let router = ["A", "B", "C"].contains(&name);
            network.add(name, if router { Role::Router } else { Role::Host })?;
        }
        for (a, b) in [("S", "A"), ("B", "R1"), ("C", "R2")] {
            network.link(a, b, LinkOptions::default())?;
        }
        network.auto_routes()?;
        network.lan("LAN", 1, &MEMBERS)?;
        let any = (IpAddr::from([10, 0, 0, 0]), 8);
        for name in ["B", "C", "H1", "H2"] {
            let node = network.get(name)?;
            node.route(any, Some(on_lan("A").into()), "to-LAN")?;
        }
        let source = network.link_between("S", "A")?.address("S").ok_or("no address")?;
        let entry = |node: &str, incoming: &str, outgoing: &str| ForwardingEntry {
            node: node.to_owned(),
            source: source.into(),
            group: GROUP.into(),
            incoming: incoming.to_owned(),
            outgoing: vec![outgoing.to_owned()],
        };
        let entries = [
            entry("A", "to-S", "to-LAN"),
            entry("B", "to-LAN", "to-R1"),
            entry("C", "to-LAN", "to-R2"),
        ];
        let mut routes = MulticastRoutes::new();
        routes.install(&network, &entries)?;
        let mut lan = Self { daemons: BTreeMap::new(), _routes: routes, network };
        for name in DAEMONS {
            lan.start_daemon(name)?;
        }
        for name in DAEMONS {
            let socket = lan.network.get(name)?.dir().join("control.sock");
            let daemon = lan.daemons.get_mut(name).ok_or("no daemon")?;
            daemon.wait_ready(PATIENCE, || Client::connect(&socket).map_err(|e| e.to_string()))?;
        }
        Ok(lan)
    }

    fn start_daemon(&mut self, name: &'static str) -> TestResult {
        let node = self.network.get(name)?;
        let role = if node.role() == Role::Host { "host" } else { "router" };
        let socket = node.dir().join("control.sock");
        let mut text = format!(
            "[daemon]\nname = \"{name}\"\ncontrol_socket = \"{}\"\n\
             [rsvp]\nrole = \"{role}\"\nrefresh_ms = 500\n\
             [charging]\nenabled = true\ncurrency = \"EUR\"\n\
             account = {{ kind = \"nai\", id = \"{name}@lan.example\" }}\n\
             [default_interface]\ntariff = {{ price_pico_per_s = 0 }}\n",
            socket.display()
        );
        for (_, interface, price) in PRICES.iter().filter(|(at, ..)| *at == name) {
            text += &format!(
                "[[interface]]\nname = \"{interface}\"\ntariff = {{ price_pico_per_s = {price} }}\n"
            );
        }
        let config = node.dir().join("lcm.toml");
        std::fs::write(&config, text)?;
        let config = config.to_string_lossy().into_owned();
        let arguments = [node::DAEMON, "--config", &config];
        let daemon = DaemonProcess::start(&node, "daemon", &program(), &arguments)?;
        self.daemons.insert(name, daemon);
        Ok(())
    }

    fn ask(&self, name: &str, request: &Request) -> Result<Reply, Box<dyn Error>> {
        let socket = self.network.get(name)?.dir().join("control.sock");
        let mut client = Client::connect(&socket)?;
        client.set_timeout(PATIENCE)?;
        Ok(client.ask(request)?)
    }

    fn open(&self, name: &str, request: &Request) -> Result<u64, Box<dyn Error>> {
        match self.ask(name, request)? {
            Reply::Handle(handle) => Ok(handle),
            other => Err(format!("{name}: {other:?}").into()),
        }
    }

    fn send(&self) -> Result<u64, Box<dyn Error>> {
        let source = self.network.link_between("S", "A")?.address("S").ok_or("no address")?;
        let request = Request::Send(SendRequest {
            session: session(),
            source: SocketAddr::from((source, PORT)),
            traffic: TrafficSpec {
                rate: 10_000,
                bucket: 2_000,
                peak: None,
                min_policed: 64,
                max_packet: 1_500,
            },
            ttl: 63,
            interface: None,
            proxy: None,
            share: Some(Share::default()),
            detach: true,
        });
        self.open("S", &request)
    }

    fn receive(&self, name: &str) -> Result<u64, Box<dyn Error>> {
        let request = Request::Receive(ReceiveRequest {
            session: session(),
            sender: None,
            style: StyleName::Ff,
            traffic: None,
            max_payment: None,
            budget: None,
            interface: None,
            confirm: false,
            identity: None,
            cheapest: None,
            detail: Level::Totals,
            priority: None,
            detach: true,
        });
        self.open(name, &request)
    }

    fn accounts(&self, name: &str) -> Result<AccountsView, Box<dyn Error>> {
        match self.ask(name, &Request::Show { what: What::Accounts })? {
            Reply::Accounts(view) => Ok(view),
            other => Err(format!("{other:?}").into()),
        }
    }

    fn reservations(&self, name: &str) -> Result<Vec<ReservationView>, Box<dyn Error>> {
        match self.ask(name, &Request::Show { what: What::Reservations })? {
            Reply::Reservations(list) => Ok(list),
            other => Err(format!("{other:?}").into()),
        }
    }

    /// Waits until A debits exactly these members of the bridge their shares by the model, and
    /// everybody else the sums that follow.
    fn wait_shares(&self, members: &[&'static str]) -> TestResult {
        let shares = shares(members);
        let expected = rates(&shares);
        until(PATIENCE, "the shares on the bridge", || {
            let view = self.accounts("A").map_err(|error| error.to_string())?;
            let lan = |address: IpAddr| matches!(address, IpAddr::V4(v4) if v4.octets()[1] == 200);
            let debited = view.accounts.iter().filter(|a| lan(a.neighbour) && a.rate != 0);
            let debited: BTreeMap<IpAddr, i64> = debited.map(|a| (a.neighbour, a.rate)).collect();
            let wanted = shares.iter().map(|(name, share)| (IpAddr::V4(on_lan(name)), *share));
            let wanted: BTreeMap<IpAddr, i64> = wanted.collect();
            if debited != wanted {
                return Err(format!("A debits {debited:?} instead of {wanted:?}"));
            }
            for (name, rate) in &expected {
                let view = self.accounts(name).map_err(|error| error.to_string())?;
                if view.rate != *rate {
                    return Err(format!("{name} earns {} instead of {rate}: {view:?}", view.rate));
                }
            }
            Ok(())
        })?;
        // One reservation on the bridge for each, merged into one for the interface.
        let reserved = self.reservations("A")?;
        assert_eq!(reserved.len(), members.len(), "{reserved:?}");
        let Reply::Interfaces(ports) = self.ask("A", &Request::Show { what: What::Interfaces })?
        else {
            return Err("no interfaces".into());
        };
        let port = ports.iter().find(|port| port.name == "to-LAN").ok_or("no to-LAN")?;
        let once = if members.is_empty() { 0 } else { 80_000 };
        assert_eq!(port.reserved_bits_per_s, once, "one reservation of 10,000 bytes per second");
        Ok(())
    }
}

fn session() -> SessionName {
    SessionName { destination: SocketAddr::from((GROUP, PORT)), protocol: 17 }
}

/// What of A's price each of those on the bridge that reserve pays: equally, by the model.
fn shares(members: &[&'static str]) -> BTreeMap<&'static str, i64> {
    let mut sorted = members.to_vec();
    sorted.sort_by_key(|name| on_lan(name));
    let count = i64::try_from(sorted.len()).unwrap().max(1);
    let (whole, rest) = (100 / count, 100 % count);
    let share = |(place, name)| (name, whole + i64::from(i64::try_from(place).unwrap() < rest));
    sorted.into_iter().enumerate().map(share).collect()
}

/// What each node earns per second: S pays nothing, and B and C pass on what they owe A.
fn rates(shares: &BTreeMap<&'static str, i64>) -> BTreeMap<&'static str, i64> {
    let of = |name| shares.get(name).copied();
    let a: i64 = shares.values().sum();
    let below = |name, price: i64| of(name).map_or(0, |share| share + price);
    [
        ("S", 0),
        ("A", a),
        ("B", of("B").map_or(0, |_| 40)),
        ("C", of("C").map_or(0, |_| 60)),
        ("H1", -of("H1").unwrap_or(0)),
        ("H2", -of("H2").unwrap_or(0)),
        ("R1", -below("B", 40)),
        ("R2", -below("C", 60)),
    ]
    .into()
}

pub(crate) fn shared_by_all() -> TestResult {
    let lan = Lan::start()?;
    let sender = lan.send()?;
    let r1 = lan.receive("R1")?;
    lan.wait_shares(&["B"])?;
    let r2 = lan.receive("R2")?;
    lan.wait_shares(&["B", "C"])?;
    let h1 = lan.receive("H1")?;
    lan.wait_shares(&["B", "C", "H1"])?;
    let h2 = lan.receive("H2")?;
    lan.wait_shares(&["B", "C", "H1", "H2"])?;
    // Each is told its own price by its address.
    let Reply::Sessions(sessions) = lan.ask("A", &Request::Show { what: What::Sessions })? else {
        return Err("no sessions".into());
    };
    let charging = sessions[0].senders[0].charging.as_ref().ok_or("no charges")?;
    let mut told: Vec<_> = charging.quotes.iter().map(|q| (q.next_hop, q.total_charge)).collect();
    told.sort();
    let of = |name| (Some(IpAddr::V4(on_lan(name))), 25);
    assert_eq!(told, ["B", "C", "H1", "H2"].map(of));
    for (name, handle, left) in [
        ("R2", r2, &["B", "H1", "H2"][..]),
        ("H1", h1, &["B", "H2"]),
        ("R1", r1, &["H2"]),
        ("H2", h2, &[]),
    ] {
        lan.ask(name, &Request::Close { handle })?;
        lan.wait_shares(left)?;
    }
    lan.ask("S", &Request::Close { handle: sender })?;
    Ok(())
}

/// One of the routers dies: it is charged no longer than it approved, and the others share its part.
pub(crate) fn one_dies() -> TestResult {
    let mut lan = Lan::start()?;
    lan.send()?;
    for name in ["R1", "R2", "H1"] {
        lan.receive(name)?;
    }
    lan.wait_shares(&["B", "C", "H1"])?;
    lan.daemons.get_mut("C").ok_or("no C")?.kill()?;
    until(PATIENCE, "the end of C's share", || {
        let view = lan.accounts("A").map_err(|error| error.to_string())?;
        let rate = |name: &str| {
            let own = |a: &&_| {
                let a: &lcm_daemon::engine::show::AccountView = a;
                a.neighbour == IpAddr::V4(on_lan(name))
            };
            view.accounts.iter().find(own).map_or(0, |account| account.rate)
        };
        let rates = (rate("B"), rate("C"), rate("H1"));
        if rates == (50, 0, 50) { Ok(()) } else { Err(format!("{rates:?}")) }
    })?;
    Ok(())
}
