//! The node under test: one engine, its kernel's tables, and virtual time.

use std::collections::BTreeMap;
use std::net::IpAddr;

use lcm_daemon::config::{Config, Role};
use lcm_daemon::engine::{Engine, Handle, Instant, NoticeEvent, Now, Output, TrafficSetting};
use lcm_daemon::kernel::{Interface, KernelNews, Route, RouteKey};
use lcm_daemon::packet::{PacketMeta, TransmitMeta};
use rsvp_wire::object::Filter;

use super::build::parse;
use super::case::Line;
use super::words::time;

/// Seconds of the wall clock when a case starts.
const EPOCH: u32 = 1_700_000_000;
/// Seed of the refresh timers.
const SEED: u64 = 2205;

/// A message that the node sent.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    /// When, in microseconds since the case began.
    pub(crate) at: u64,
    pub(crate) meta: TransmitMeta,
    pub(crate) bytes: Vec<u8>,
}

/// The node with all that is around it.
pub(crate) struct Node {
    pub(crate) engine: Engine,
    /// Microseconds since the case began.
    pub(crate) time: u64,
    pub(crate) interfaces: Vec<Interface>,
    unicast: BTreeMap<(IpAddr, u8), u32>,
    multicast: BTreeMap<(IpAddr, IpAddr), (u32, Vec<u32>)>,
    pub(crate) sent: Vec<Sent>,
    pub(crate) notices: Vec<(Handle, NoticeEvent)>,
    /// Groups joined and not left, with the interface.
    pub(crate) joined: Vec<(IpAddr, u32)>,
    /// What traffic control was told to reserve, by interface and sender; none for a shared one.
    pub(crate) traffic: BTreeMap<(u32, Option<Filter>), TrafficSetting>,
    /// Applications by the names that the case gives them.
    pub(crate) applications: BTreeMap<String, Handle>,
}

impl Node {
    /// A node as the lines of a setup describe it.
    pub(crate) fn new(setup: &[Line]) -> Result<Self, String> {
        let mut toml = String::new();
        let mut host = false;
        for line in setup {
            match line.words.first().map(String::as_str) {
                Some("config") => {
                    toml.push_str(&line.text()["config".len()..]);
                    toml.push('\n');
                }
                Some("host") => host = true,
                _ => {}
            }
        }
        let mut config = Config::parse(&toml, "config lines").map_err(|e| e.to_string())?;
        if host {
            config.rsvp.role = Role::Host;
        }
        let mut node = Self {
            engine: Engine::new(config, SEED),
            time: 0,
            interfaces: Vec::new(),
            unicast: BTreeMap::new(),
            multicast: BTreeMap::new(),
            sent: Vec::new(),
            notices: Vec::new(),
            joined: Vec::new(),
            traffic: BTreeMap::new(),
            applications: BTreeMap::new(),
        };
        for line in setup {
            let words: Vec<&str> = line.words.iter().map(String::as_str).collect();
            match words.as_slice() {
                ["config" | "host", ..] => {}
                _ => node.kernel(&words).map_err(|e| format!("{}: {e}", line.text()))?,
            }
        }
        Ok(node)
    }

    /// The clocks now.
    pub(crate) fn now(&self) -> Now {
        let seconds = u32::try_from(self.time / 1_000_000).unwrap_or(u32::MAX);
        // A clock does not start with the case.
        Now::new(Instant::from_micros(self.time + 1_000_000_000), EPOCH + seconds)
    }

    fn micros(&self, at: Instant) -> u64 {
        at.as_micros().saturating_sub(1_000_000_000)
    }

    /// When the node wants to be called.
    pub(crate) fn alarm(&self) -> Option<u64> {
        self.engine.poll_timeout().map(|at| self.micros(at))
    }

    /// Lets time pass, with every alarm on the way.
    pub(crate) fn advance(&mut self, to: u64) -> Result<(), String> {
        if to < self.time {
            return Err(format!("it is {} us already", self.time));
        }
        let mut calls = 0;
        while let Some(at) = self.alarm().filter(|at| *at <= to) {
            self.time = self.time.max(at);
            let now = self.now();
            self.engine.handle_timeout(now);
            self.settle();
            calls += 1;
            if calls > 1_000_000 {
                return Err("the node asks to be called for ever".to_owned());
            }
        }
        self.time = to;
        Ok(())
    }

    /// A message arrives.
    pub(crate) fn receive(&mut self, meta: PacketMeta, bytes: &[u8]) {
        let now = self.now();
        self.engine.handle_packet(now, meta, bytes);
        self.settle();
    }

    /// Does what the engine wants done; routes are answered from the tables at once.
    pub(crate) fn settle(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Route(key) => {
                    let route = self.route(&key);
                    let now = self.now();
                    self.engine.handle_route(now, key, route);
                }
                Output::Record(id, _) => self.engine.handle_recorded(id),
                Output::Alarm(_)
                | Output::Disbelieved(_)
                | Output::LastKeyEnded { .. }
                | Output::Neighbour { .. }
                | Output::Datagram { .. }
                | Output::Traced(..)
                | Output::Spending(_) => {}
                Output::Notice(notice) => self.notices.push((notice.handle, notice.event)),
                Output::Traffic(change) => {
                    let key = (change.interface, change.sender);
                    match change.setting {
                        Some(setting) => drop(self.traffic.insert(key, setting)),
                        None => drop(self.traffic.remove(&key)),
                    }
                }
                Output::Join { group, interface } => self.joined.push((group, interface)),
                Output::Leave { group, interface } => {
                    self.joined.retain(|joined| *joined != (group, interface));
                }
            }
        }
        let at = self.time;
        let queue = self.engine.transmits();
        let fresh = queue.iter().map(|(meta, bytes)| Sent { at, meta, bytes: bytes.to_vec() });
        self.sent.extend(fresh);
        queue.clear();
    }

    /// The interface of a name.
    pub(crate) fn interface(&self, name: &str) -> Result<u32, String> {
        let found = self.interfaces.iter().find(|interface| interface.name == name);
        found.map(|interface| interface.index).ok_or_else(|| format!("no interface {name}"))
    }

    /// Whether an address is one of this node's.
    pub(crate) fn owns(&self, address: IpAddr) -> bool {
        let mut addresses = self.interfaces.iter().flat_map(|interface| &interface.addresses);
        addresses.any(|(own, _)| *own == address)
    }

    /// The name of an interface.
    pub(crate) fn name(&self, index: u32) -> &str {
        let found = self.interfaces.iter().find(|interface| interface.index == index);
        found.map_or("?", |interface| interface.name.as_str())
    }

    /// The first address of an interface in the family of `like`.
    pub(crate) fn address(&self, index: u32, like: IpAddr) -> Option<IpAddr> {
        let interface = self.interfaces.iter().find(|interface| interface.index == index)?;
        let mut addresses = interface.addresses.iter().map(|(address, _)| *address);
        addresses.find(|address| address.is_ipv4() == like.is_ipv4())
    }

    /// A line about the kernel: an interface, a route, a link that goes up or down.
    pub(crate) fn kernel(&mut self, words: &[&str]) -> Result<(), String> {
        let now = self.now();
        let news = match words {
            ["set", "refresh", name, period] => {
                let period = u32::try_from(time(period)? / 1000).map_err(|e| e.to_string())?;
                let set = self.engine.set_refresh(now, name, period);
                self.settle();
                return set.map_err(|error| error.to_string());
            }
            ["interface", name, rest @ ..] => self.define(name, rest)?,
            ["link", name, state @ ("up" | "down")] => {
                let index = self.interface(name)?;
                let mut found = self.interfaces.iter_mut();
                let interface = found.find(|it| it.index == index).ok_or("gone")?;
                interface.up = *state == "up";
                KernelNews::Interface(interface.clone())
            }
            ["remove", "interface", name] => {
                let index = self.interface(name)?;
                self.interfaces.retain(|interface| interface.index != index);
                KernelNews::InterfaceGone { index }
            }
            ["route", prefix, "via", name] => {
                let prefix = prefix_of(prefix)?;
                self.unicast.insert(prefix, self.interface(name)?);
                KernelNews::UnicastRoutes { prefix: Some(prefix) }
            }
            ["no", "route", prefix] => {
                let prefix = prefix_of(prefix)?;
                self.unicast.remove(&prefix);
                KernelNews::UnicastRoutes { prefix: Some(prefix) }
            }
            ["multicast", source, group, "in", incoming, "out", outgoing @ ..] => {
                let (source, group) = (parse(source)?, parse(group)?);
                let outgoing: Result<Vec<u32>, _> =
                    outgoing.iter().map(|name| self.interface(name)).collect();
                let entry = (self.interface(incoming)?, outgoing?);
                self.multicast.insert((source, group), entry);
                KernelNews::MulticastRoute { source, group }
            }
            _ => return Err("no such line about the node".to_owned()),
        };
        self.engine.handle_news(now, news);
        self.settle();
        Ok(())
    }

    fn define(&mut self, name: &str, words: &[&str]) -> Result<KernelNews, String> {
        let known = self.interfaces.iter().find(|interface| interface.name == name);
        let index = known.map_or(self.interfaces.len() as u32 + 1, |known| known.index);
        let mut interface = Interface {
            index,
            name: name.to_owned(),
            up: true,
            mtu: 1500,
            loopback: name == "lo",
            addresses: Vec::new(),
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "mtu" => interface.mtu = parse(words.next().ok_or("mtu of what size?")?)?,
                prefix => interface.addresses.push(prefix_of(prefix)?),
            }
        }
        self.interfaces.retain(|interface| interface.index != index);
        self.interfaces.push(interface.clone());
        self.interfaces.sort_by_key(|interface| interface.index);
        Ok(KernelNews::Interface(interface))
    }

    fn route(&self, key: &RouteKey) -> Route {
        if let Some(source) = key.source {
            return match self.multicast.get(&(source, key.destination)) {
                Some((incoming, outgoing)) => {
                    Route::Multicast { incoming: *incoming, outgoing: outgoing.clone() }
                }
                None => Route::Unreachable,
            };
        }
        if self.owns(key.destination) {
            return Route::Local;
        }
        let matching = self.unicast.iter().filter(|(prefix, _)| within(**prefix, key.destination));
        match matching.max_by_key(|((_, length), _)| *length) {
            Some((_, interface)) => Route::Unicast { interface: *interface, gateway: None },
            None => Route::Unreachable,
        }
    }
}

fn prefix_of(word: &str) -> Result<(IpAddr, u8), String> {
    let (address, length) = word.split_once('/').ok_or_else(|| format!("{word} is no prefix"))?;
    Ok((parse(address)?, parse(length)?))
}

fn within((network, length): (IpAddr, u8), address: IpAddr) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
    network.is_ipv4() == address.is_ipv4() && (bits(network) ^ bits(address)) & mask == 0
}

/// The time at which a step says that it happens, if it does.
pub(crate) fn when(words: &mut &[String]) -> Result<Option<u64>, String> {
    match *words {
        [at, moment, rest @ ..] if at == "at" => {
            *words = rest;
            time(moment).map(Some)
        }
        _ => Ok(None),
    }
}
