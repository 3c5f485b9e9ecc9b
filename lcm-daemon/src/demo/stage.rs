//! A network of namespaces with a daemon in each node that has one; also what the tests play on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::control::client::Client;
use crate::control::protocol::{
    ReceiveRequest, Reply, Request, SendRequest, SessionName, Share, StyleName, TrafficSpec, What,
};
use crate::engine::Level;
use crate::engine::show::{AccountsView, InterfaceState, ReservationView, SessionView};
use crate::lab::capture::Capture;
use crate::lab::multicast::{ForwardingEntry, MulticastRoutes};
use crate::lab::process::DaemonProcess;
use crate::lab::{LabError, Network, Role, Topology};

/// How long a daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// UDP, whose port numbers the demo's session has.
const UDP: u8 = 17;

/// L and Lmax of a link, in wire units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkPrice {
    /// Local price.
    pub price: u64,
    /// Highest local price.
    pub max_price: u64,
}

/// What is to be staged.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Nodes and links.
    pub topology: Topology,
    /// Prices by (upstream end, downstream end); links not named cost nothing.
    pub prices: BTreeMap<(String, String), LinkPrice>,
    /// What may be reserved in bits per second, by (upstream end, downstream end); no limit on
    /// links not named.
    pub reservable: BTreeMap<(String, String), u64>,
    /// Nodes whose daemons do not charge.
    pub ignorant: BTreeSet<String>,
    /// Refresh period of all daemons in milliseconds.
    pub refresh_ms: u32,
    /// Validity of prices in milliseconds.
    pub validity_ms: u32,
    /// Where the data goes: a multicast group, or `None` for the first receiver's own address.
    pub group: Option<IpAddr>,
    /// Whether nodes are known by their IPv6 addresses, as they are if the group is one.
    pub ipv6: bool,
    /// Whether refreshes are reduced (RFC 2961).
    pub reduce: bool,
    /// Port of the session and of the sender.
    pub port: u16,
    /// The program that is the daemon, and the arguments before `--config`.
    pub program: (PathBuf, Vec<String>),
    /// Where captures are kept.
    pub pcap: Option<PathBuf>,
    /// Where each node's books are kept, in NODE/ledger; none without it.
    pub books: Option<PathBuf>,
    /// How long postings are provisional after an orderly end, in seconds, if not as by default.
    pub hold_s: Option<u32>,
    /// What the configuration of a node says besides, in TOML.
    pub more: BTreeMap<String, String>,
    /// What some nodes' configurations have beside all this.
    pub extra: BTreeMap<String, Extra>,
    /// Log level of the daemons.
    pub log_level: &'static str,
    /// Port on the loopback of each node where its metrics page is served, if at all.
    pub metrics_port: Option<u16>,
}

/// More of a node's configuration, in its own words.
#[derive(Debug, Clone, Default)]
pub struct Extra {
    /// Currency, if it is another one than the euro.
    pub currency: Option<&'static str>,
    /// Settings of `[charging]`.
    pub charging: String,
    /// Settings of the interfaces to these nodes; one that begins with a tariff has that instead of
    /// its price.
    pub interfaces: BTreeMap<String, String>,
}

/// The running network. Dropping it removes all of it.
#[derive(Debug)]
pub struct Stage {
    daemons: BTreeMap<String, DaemonProcess>,
    capture: Capture,
    multicast: MulticastRoutes,
    network: Network,
    setup: Setup,
}

impl Stage {
    /// Builds the network, starts capturing, then the daemons, and waits until each answers.
    ///
    /// # Errors
    /// If the kernel refuses a part, or a daemon does not come up: with its log.
    pub fn start(setup: Setup) -> Result<Self, LabError> {
        let network = setup.topology.build()?;
        let mut multicast = MulticastRoutes::new();
        if let Some(group) = setup.group {
            let receivers: Vec<&str> =
                setup.topology.receivers.iter().map(String::as_str).collect();
            let sender = &setup.topology.sender;
            let entries = network.multicast_entries(sender, group, &receivers)?;
            multicast.install(&network, &entries)?;
        }
        if let Some(folder) = &setup.pcap {
            std::fs::create_dir_all(folder)?;
        }
        let capture = Capture::of_links(&network, setup.pcap.as_deref())?;
        let mut stage = Self { daemons: BTreeMap::new(), capture, multicast, network, setup };
        for node in stage.setup.topology.nodes.clone() {
            if node.role != Role::Plain {
                stage.start_daemon(&node.name)?;
            }
        }
        for name in stage.daemons.keys().cloned().collect::<Vec<_>>() {
            stage.wait_ready(&name)?;
        }
        Ok(stage)
    }

    fn start_daemon(&mut self, name: &str) -> Result<(), LabError> {
        let node = self.network.get(name)?;
        let config = node.dir().join("lcm.toml");
        std::fs::write(&config, self.config(name)?)?;
        let (program, before) = &self.setup.program;
        let path = config.to_string_lossy().into_owned();
        let mut arguments: Vec<&str> = before.iter().map(String::as_str).collect();
        arguments.extend(["--config", &path]);
        let daemon = DaemonProcess::start(&node, "daemon", program, &arguments)?;
        self.daemons.insert(name.to_owned(), daemon);
        Ok(())
    }

    /// Waits until a node's daemon answers.
    ///
    /// # Errors
    /// If it ends or stays silent: with its log.
    pub fn wait_ready(&mut self, name: &str) -> Result<(), LabError> {
        let socket = self.socket(name)?;
        let daemon = self.daemon(name)?;
        daemon.wait_ready(PATIENCE, || {
            let mut client = Client::connect(&socket).map_err(|e| e.to_string())?;
            client.set_timeout(PATIENCE).map_err(|e| e.to_string())?;
            client.ask(&Request::Show { what: What::Interfaces }).map_err(|e| e.to_string())
        })?;
        Ok(())
    }

    /// A node's daemon, to be killed and started again.
    ///
    /// # Errors
    /// If the node has none.
    pub fn daemon(&mut self, name: &str) -> Result<&mut DaemonProcess, LabError> {
        self.daemons
            .get_mut(name)
            .ok_or_else(|| LabError::new(format!("node {name} runs no daemon")))
    }

    /// Stops all daemons in order, so that their books end in order, too.
    ///
    /// # Errors
    /// If one does not end.
    pub fn stop(&mut self) -> Result<(), LabError> {
        for daemon in self.daemons.values_mut() {
            daemon.terminate(PATIENCE)?;
        }
        Ok(())
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What was staged.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Changes multicast forwarding: adds entries, or replaces those of the same node, source and
    /// group.
    ///
    /// # Errors
    /// If a node or an interface is unknown, or the kernel refuses.
    pub fn forward(&mut self, entries: &[ForwardingEntry]) -> Result<(), LabError> {
        self.multicast.install(&self.network, entries)
    }

    /// The packets on all links.
    pub fn capture(&self) -> &Capture {
        &self.capture
    }

    /// The control socket of a node's daemon.
    ///
    /// # Errors
    /// If there is no such node.
    pub fn socket(&self, name: &str) -> Result<PathBuf, LabError> {
        Ok(self.network.get(name)?.dir().join("control.sock"))
    }

    /// Asks a node's daemon.
    ///
    /// # Errors
    /// If it cannot be asked or refuses.
    pub fn ask(&self, name: &str, request: &Request) -> Result<Reply, LabError> {
        let failed = |e| LabError::new(format!("node {name}: {e}"));
        let mut client = Client::connect(&self.socket(name)?).map_err(failed)?;
        client.set_timeout(PATIENCE).map_err(failed)?;
        client.ask(request).map_err(failed)
    }

    /// Path state of a node.
    ///
    /// # Errors
    /// If its daemon cannot be asked.
    pub fn sessions(&self, name: &str) -> Result<Vec<SessionView>, LabError> {
        match self.ask(name, &Request::Show { what: What::Sessions })? {
            Reply::Sessions(list) => Ok(list),
            other => Err(unexpected(name, &other)),
        }
    }

    /// Reservation state of a node.
    ///
    /// # Errors
    /// If its daemon cannot be asked.
    pub fn reservations(&self, name: &str) -> Result<Vec<ReservationView>, LabError> {
        match self.ask(name, &Request::Show { what: What::Reservations })? {
            Reply::Reservations(list) => Ok(list),
            other => Err(unexpected(name, &other)),
        }
    }

    /// Accounts of a node.
    ///
    /// # Errors
    /// If its daemon cannot be asked.
    pub fn accounts(&self, name: &str) -> Result<AccountsView, LabError> {
        match self.ask(name, &Request::Show { what: What::Accounts })? {
            Reply::Accounts(accounts) => Ok(accounts),
            other => Err(unexpected(name, &other)),
        }
    }

    /// Interfaces of a node.
    ///
    /// # Errors
    /// If its daemon cannot be asked.
    pub fn interfaces(&self, name: &str) -> Result<Vec<InterfaceState>, LabError> {
        match self.ask(name, &Request::Show { what: What::Interfaces })? {
            Reply::Interfaces(list) => Ok(list),
            other => Err(unexpected(name, &other)),
        }
    }

    /// The session: the group, or the first receiver's address.
    ///
    /// # Errors
    /// If the topology has no receiver.
    pub fn session(&self) -> Result<SessionName, LabError> {
        let address = match self.setup.group {
            Some(group) => group,
            None => {
                let receiver = self.setup.topology.receivers.first();
                let name = receiver.ok_or_else(|| LabError::new("the topology has no receiver"))?;
                self.address(name)?
            }
        };
        let destination = SocketAddr::new(address, self.setup.port);
        Ok(SessionName { destination, protocol: UDP })
    }

    /// The address of a node on its first link.
    ///
    /// # Errors
    /// If it has none.
    pub fn address(&self, name: &str) -> Result<IpAddr, LabError> {
        let node = self.network.get(name)?;
        let ipv6 = self.setup.ipv6 || self.setup.group.is_some_and(|group| group.is_ipv6());
        let address = if ipv6 {
            let mut links = self.network.links().iter();
            links.find_map(|link| link.address6(name)).map(IpAddr::V6)
        } else {
            node.address().map(IpAddr::V4)
        };
        address.ok_or_else(|| LabError::new(format!("node {name} has no address")))
    }

    /// Opens the session at the sender, detached; returns the handle.
    ///
    /// # Errors
    /// If its daemon refuses.
    pub fn send(&self, share: Share) -> Result<u64, LabError> {
        let sender = &self.setup.topology.sender;
        let request = Request::Send(SendRequest {
            session: self.session()?,
            source: SocketAddr::new(self.address(sender)?, self.setup.port),
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
            share: Some(share),
            detach: true,
        });
        self.register(sender, &request)
    }

    /// Opens the session at a receiver, detached; returns the handle.
    ///
    /// # Errors
    /// If its daemon refuses.
    pub fn receive(&self, name: &str, max_payment: Option<u64>) -> Result<u64, LabError> {
        let request = Request::Receive(ReceiveRequest {
            session: self.session()?,
            sender: None,
            style: StyleName::Ff,
            traffic: None,
            max_payment,
            budget: None,
            interface: None,
            confirm: false,
            identity: None,
            priority: None,
            cheapest: None,
            detail: Level::default(),
            detach: true,
        });
        self.register(name, &request)
    }

    fn register(&self, name: &str, request: &Request) -> Result<u64, LabError> {
        match self.ask(name, request)? {
            Reply::Handle(handle) => Ok(handle),
            other => Err(unexpected(name, &other)),
        }
    }

    /// The configuration of a node's daemon.
    fn config(&self, name: &str) -> Result<String, LabError> {
        let role = match self.network.get(name)?.role() {
            Role::Host => "host",
            _ => "router",
        };
        let Setup { refresh_ms, validity_ms, reduce, log_level, metrics_port, .. } = &self.setup;
        let socket = self.socket(name)?;
        let metrics = metrics_port
            .map(|port| format!("metrics_listen = \"127.0.0.1:{port}\"\n"))
            .unwrap_or_default();
        let charges = !self.setup.ignorant.contains(name);
        let hold =
            self.setup.hold_s.map(|hold_s| format!("hold_s = {hold_s}\n")).unwrap_or_default();
        let books = self.setup.books.as_ref().map(|folder| folder.join(name).join("ledger"));
        let books = books
            .map(|folder| format!("[ledger]\ndirectory = \"{}\"\n{hold}\n", folder.display()))
            .unwrap_or_default();
        let extra = self.setup.extra.get(name).cloned().unwrap_or_default();
        let charging = &extra.charging;
        let currency = extra.currency.unwrap_or("EUR");
        let mut text = format!(
            "[daemon]\nname = \"{name}\"\ncontrol_socket = \"{}\"\nlog_level = \"{log_level}\"\n\
             {metrics}\n\
             [rsvp]\nrole = \"{role}\"\nrefresh_ms = {refresh_ms}\n\n{books}\
             [charging]\nenabled = {charges}\ncurrency = \"{currency}\"\nvalidity_ms = {validity_ms}\n\
             account = {{ kind = \"nai\", id = \"{name}@figure2.example\" }}\n{charging}\n\
             [diagnostics]\ntrusted = [\"0.0.0.0/0\", \"::/0\"]\n\n\
             [default_interface]\ncharging = false\nrefresh_reduction = {reduce}\n",
            socket.display(),
        );
        for link in self.network.links() {
            let [a, b] = &link.ends;
            for (end, peer) in [(a, b), (b, a)] {
                if end.node != name {
                    continue;
                }
                let key = (name.to_owned(), peer.node.clone());
                let LinkPrice { price, max_price } =
                    self.setup.prices.get(&key).copied().unwrap_or_default();
                // Writing to a String does not fail.
                let _ = write!(
                    text,
                    "\n[[interface]]\nname = \"{}\"\ncharging = true\n",
                    end.interface
                );
                let more = extra.interfaces.get(&peer.node);
                if !more.is_some_and(|more| more.starts_with("tariff")) {
                    let _ = writeln!(
                        text,
                        "tariff = {{ price_pico_per_s = {price}, max_price_pico_per_s = {max_price} }}",
                    );
                }
                if let Some(most) = self.setup.reservable.get(&key) {
                    let _ = writeln!(text, "reservable_bits_per_s = {most}");
                }
                if let Some(more) = more {
                    let _ = writeln!(text, "{more}");
                }
            }
        }
        text.push_str(self.setup.more.get(name).map_or("", String::as_str));
        Ok(text)
    }
}

fn unexpected(name: &str, reply: &Reply) -> LabError {
    LabError::new(format!("node {name}: a reply to another question: {reply:?}"))
}
