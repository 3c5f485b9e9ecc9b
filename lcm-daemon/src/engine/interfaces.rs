//! The node's interfaces: what the kernel says of them and what the operator set.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::slew::Ramp;
use super::time::{Instant, Now, Span};
use crate::config;
use crate::kernel::Interface;
use crate::tariff::{Demand, Factors, Tariff};

/// One interface with its settings.
#[derive(Debug, Clone)]
pub(crate) struct Port {
    pub(crate) kernel: Interface,
    pub(crate) settings: config::Interface,
    /// The version of the tariff in force, as consents record it.
    pub(crate) tariff_version: u32,
    /// What prices are multiplied by for the time being.
    pub(crate) factors: Factors,
    /// When the price last followed utilisation.
    pub(crate) moved: Option<Instant>,
    /// A price that takes effect when the next reservation is admitted here (T6).
    pub(crate) price_at_admission: Option<u64>,
    /// What is reserved here in all.
    pub(crate) reserved_bits_per_s: u128,
    /// R on its way to what the settings say.
    refresh: Ramp,
}

impl Port {
    /// The address of this interface of the family of `like`; `None` where it has none.
    fn address(&self, like: IpAddr) -> Option<IpAddr> {
        let same = |a: &IpAddr| a.is_ipv4() == like.is_ipv4();
        let mut of_family = self.kernel.addresses.iter().map(|(a, _)| *a).filter(same);
        let first = of_family.next()?;
        // A global IPv6 address is reachable across an ignorant hop; a link-local one is not.
        match first {
            IpAddr::V6(v6) if v6.is_unicast_link_local() => of_family.next().or(Some(first)),
            _ => Some(first),
        }
    }

    /// The address at the other end of a link between two, as its prefix tells.
    pub(crate) fn other_end(&self, like: IpAddr) -> Option<IpAddr> {
        let of_family = |(a, _): &&(IpAddr, u8)| a.is_ipv4() == like.is_ipv4();
        match self.kernel.addresses.iter().find(of_family)? {
            (IpAddr::V4(own), 31) => Some(Ipv4Addr::from(own.to_bits() ^ 1).into()),
            (IpAddr::V4(own), 30) => Some(Ipv4Addr::from(own.to_bits() ^ 3).into()),
            (IpAddr::V6(own), 127) => Some(Ipv6Addr::from(own.to_bits() ^ 1).into()),
            _ => None,
        }
    }

    /// True if RSVP could not tell the interface from what the kernel says of it now.
    fn serves_like(&self, kernel: &Interface) -> bool {
        let old = &self.kernel;
        (&old.name, old.up, old.mtu) == (&kernel.name, kernel.up, kernel.mtu)
            && old.addresses == kernel.addresses
    }

    /// The refresh period R that is in force, in milliseconds.
    pub(crate) fn refresh_ms(&self, percent: u32, now: Instant) -> u32 {
        self.refresh.at(self.settings.refresh_ms, percent, now)
    }

    /// Changes the local price, to one for whatever is reserved.
    pub(crate) fn set_price(&mut self, price: u64, max_price: u64) {
        // What was agreed on refunds is no price: it stays.
        let Tariff { split, curve, refunds, .. } = self.settings.tariff.clone();
        self.set_tariff(Tariff { split, curve, refunds, ..Tariff::flat(price, max_price) });
    }

    /// Changes how the local price is found.
    pub(crate) fn set_tariff(&mut self, tariff: Tariff) {
        self.tariff_version = tariff.version();
        self.settings.tariff = tariff;
        self.factors = Factors::ONE;
        self.moved = None;
    }

    /// L of a demand that takes nothing, now.
    pub(crate) fn base_price(&self) -> u64 {
        self.settings.tariff.base_price(self.factors)
    }

    /// L of a demand now.
    pub(crate) fn price(&self, demand: &Demand) -> u64 {
        self.settings.tariff.price(demand, self.factors)
    }

    /// Lets prices follow the clock and what is reserved; true if they changed.
    pub(crate) fn weigh(&mut self, now: Now) -> bool {
        let before = self.factors;
        let tariff = &self.settings.tariff;
        let scheduled = tariff.schedule.as_ref();
        self.factors.schedule = scheduled.map_or(100, |s| s.percent(now.unix_s.into()));
        if self.next_move().is_some_and(|at| at <= now.at)
            && let Some((_, percent)) = self.step()
        {
            self.factors.congestion = percent;
            self.moved = Some(now.at);
        }
        self.factors != before
    }

    /// Where the curve of utilisation would have the price next, and how long each stands.
    fn step(&self) -> Option<(u32, u32)> {
        let curve = self.settings.tariff.congestion.as_ref()?;
        let target = curve.target(self.reserved_bits_per_s, self.settings.reservable_bits_per_s);
        Some((curve.hold_ms, curve.step(self.factors.congestion, target)?))
    }

    /// When the price next follows utilisation, if nothing changes.
    pub(crate) fn next_move(&self) -> Option<Instant> {
        let (hold_ms, _) = self.step()?;
        let held = |moved: Instant| moved + Span::from_millis(hold_ms.into());
        Some(self.moved.map_or_else(Instant::default, held))
    }

    /// Whether an address lies on the link.
    pub(crate) fn reaches(&self, address: IpAddr) -> bool {
        self.kernel.addresses.iter().any(|(own, length)| same_prefix(*own, address, *length))
    }

    pub(crate) fn usable(&self) -> bool {
        self.kernel.up && self.settings.rsvp && !self.kernel.loopback
    }
}

/// All interfaces by index.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interfaces {
    ports: BTreeMap<u32, Port>,
    own: BTreeSet<IpAddr>,
    /// Slew.Max in percent.
    slew_max_percent: u32,
}

impl Interfaces {
    /// No interfaces yet; R grows by this many percent at most (Slew.Max).
    pub(crate) fn new(slew_max_percent: u32) -> Self {
        Self { slew_max_percent, ..Self::default() }
    }

    pub(crate) fn get(&self, index: u32) -> Option<&Port> {
        self.ports.get(&index)
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Port> {
        self.ports.get_mut(&index)
    }

    pub(crate) fn by_name_mut(&mut self, name: &str) -> Option<&mut Port> {
        self.ports.values_mut().find(|port| port.kernel.name == name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Port> {
        self.ports.values()
    }

    /// The period in which this node refreshes: the shortest that it announces anywhere, so that no
    /// neighbour waits in vain.
    pub(crate) fn refresh_ms(&self, otherwise: u32, now: Instant) -> u32 {
        let percent = self.slew_max_percent;
        self.ports.values().map(|port| port.refresh_ms(percent, now)).fold(otherwise, u32::min)
    }

    /// The period that is announced on an interface.
    pub(crate) fn refresh_ms_on(&self, interface: u32, now: Instant) -> u32 {
        let port = self.ports.get(&interface);
        port.map_or(0, |port| port.refresh_ms(self.slew_max_percent, now))
    }

    /// Sets the period of an interface; a longer one is approached step by step.
    pub(crate) fn set_refresh(&mut self, interface: u32, refresh_ms: u32, now: Instant) {
        let percent = self.slew_max_percent;
        if let Some(port) = self.ports.get_mut(&interface) {
            let from = port.refresh_ms(percent, now);
            port.refresh = Ramp::new(from, refresh_ms, percent, now);
            port.settings.refresh_ms = refresh_ms;
        }
    }

    /// The address that we put into RSVP_HOP on an interface, of the family of `like`. An
    /// interface without one (unnumbered) borrows one of the node, and is told from others by the
    /// logical interface handle (RFC 2205 sections 2.9 and 3.3).
    pub(crate) fn address(&self, interface: u32, like: IpAddr) -> Option<IpAddr> {
        let port = self.ports.get(&interface)?;
        port.address(like).or_else(|| self.node_address(like))
    }

    /// An address that stands for the node: on the loopback interface if there is one to be
    /// reached by, else on the interface with the lowest index.
    pub(crate) fn node_address(&self, like: IpAddr) -> Option<IpAddr> {
        let reachable = |address: &IpAddr| match address {
            IpAddr::V4(v4) => like.is_ipv4() && !v4.is_loopback(),
            IpAddr::V6(v6) => like.is_ipv6() && !v6.is_loopback() && !v6.is_unicast_link_local(),
        };
        let (loopback, others): (Vec<&Port>, Vec<&Port>) =
            self.ports.values().partition(|port| port.kernel.loopback);
        let ports = loopback.into_iter().chain(others);
        ports.flat_map(|port| &port.kernel.addresses).map(|(a, _)| *a).find(reachable)
    }

    /// The interface by which a neighbour is reached: the one whose link it is on, else the one
    /// that has the address `source`, from which it is spoken to.
    pub(crate) fn towards(&self, neighbour: IpAddr, source: Option<IpAddr>) -> Option<u32> {
        let mut ports = self.ports.values().filter(|port| !port.kernel.loopback);
        let holds =
            |port: &&Port| port.kernel.addresses.iter().any(|(own, _)| Some(*own) == source);
        let on_link = ports.clone().find(|port| port.reaches(neighbour));
        on_link.or_else(|| ports.find(holds)).map(|port| port.kernel.index)
    }

    /// The interface on whose link an address is, as prefixes tell; `heard` if it is on that one.
    pub(crate) fn on_link(&self, heard: u32, address: IpAddr) -> Option<u32> {
        let usable = self.ports.values().filter(|port| !port.kernel.loopback);
        let mut ports = self.ports.get(&heard).into_iter().chain(usable);
        ports.find(|port| port.reaches(address)).map(|port| port.kernel.index)
    }

    /// True if `address` is one of this node's.
    pub(crate) fn owns(&self, address: IpAddr) -> bool {
        self.own.contains(&address)
    }

    /// Takes the kernel's word on an interface; returns true if its usefulness to RSVP changed.
    pub(crate) fn update(&mut self, kernel: Interface, settings: config::Interface) -> bool {
        let index = kernel.index;
        let old = self.ports.remove(&index);
        let changed = old.as_ref().is_none_or(|old| !old.serves_like(&kernel));
        let reserved_bits_per_s = old.as_ref().map_or(0, |old| old.reserved_bits_per_s);
        let port = match old.filter(|old| old.kernel.name == kernel.name) {
            Some(old) => Port { kernel, ..old },
            // A renamed interface takes the settings of its new name.
            None => Port {
                kernel,
                tariff_version: settings.tariff.version(),
                settings,
                factors: Factors::ONE,
                moved: None,
                price_at_admission: None,
                reserved_bits_per_s,
                refresh: Ramp::default(),
            },
        };
        self.ports.insert(index, port);
        self.collect_addresses();
        changed
    }

    pub(crate) fn remove(&mut self, index: u32) -> bool {
        let known = self.ports.remove(&index).is_some();
        self.collect_addresses();
        known
    }

    fn collect_addresses(&mut self) {
        self.own = self.ports.values().flat_map(|p| &p.kernel.addresses).map(|(a, _)| *a).collect();
    }
}

fn same_prefix(a: IpAddr, b: IpAddr, length: u8) -> bool {
    let high = |width: u32| width.saturating_sub(u32::from(length));
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            (a.to_bits() ^ b.to_bits()).checked_shr(high(32)).unwrap_or(0) == 0
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            (a.to_bits() ^ b.to_bits()).checked_shr(high(128)).unwrap_or(0) == 0
        }
        _ => false,
    }
}
