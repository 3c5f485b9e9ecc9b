//! The node's interfaces: what the kernel says of them and what the operator set.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::config::{self, Tariff};
use crate::kernel::Interface;

/// One interface with its settings.
#[derive(Debug, Clone)]
pub(crate) struct Port {
    pub(crate) kernel: Interface,
    pub(crate) settings: config::Interface,
    /// A price that takes effect when the next reservation is admitted here (T6).
    pub(crate) price_at_admission: Option<u64>,
    /// What is reserved here in all.
    pub(crate) reserved_bits_per_s: u128,
}

impl Port {
    /// The address that we put into RSVP_HOP here, of the family of `like`.
    pub(crate) fn address(&self, like: IpAddr) -> Option<IpAddr> {
        let same = |a: &IpAddr| a.is_ipv4() == like.is_ipv4();
        let mut of_family = self.kernel.addresses.iter().map(|(a, _)| *a).filter(same);
        let first = of_family.next()?;
        // A global IPv6 address is reachable across an ignorant hop; a link-local one is not.
        match first {
            IpAddr::V6(v6) if v6.is_unicast_link_local() => of_family.next().or(Some(first)),
            _ => Some(first),
        }
    }

    /// Changes the local price.
    pub(crate) fn set_price(&mut self, price: u64, max_price: u64) {
        self.settings.tariff =
            Tariff::Flat { price_pico_per_s: price, max_price_pico_per_s: max_price };
    }

    pub(crate) fn usable(&self) -> bool {
        self.kernel.up && self.settings.rsvp && !self.kernel.loopback
    }
}

/// All interfaces by index.
#[derive(Debug, Default)]
pub(crate) struct Interfaces {
    ports: BTreeMap<u32, Port>,
    own: BTreeSet<IpAddr>,
    /// The shortest refresh period of all interfaces, in milliseconds.
    shortest_refresh_ms: Option<u32>,
}

impl Interfaces {
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
    pub(crate) fn refresh_ms(&self, otherwise: u32) -> u32 {
        self.shortest_refresh_ms.map_or(otherwise, |shortest| shortest.min(otherwise))
    }

    /// True if `address` is one of this node's.
    pub(crate) fn owns(&self, address: IpAddr) -> bool {
        self.own.contains(&address)
    }

    /// Takes the kernel's word on an interface; returns true if its usefulness to RSVP changed.
    pub(crate) fn update(&mut self, kernel: Interface, settings: config::Interface) -> bool {
        let index = kernel.index;
        let (changed, settings, price_at_admission, reserved_bits_per_s) =
            match self.ports.get(&index) {
                // A renamed interface takes the settings of its new name.
                Some(old) if old.kernel.name == kernel.name => (
                    old.kernel.up != kernel.up
                        || old.kernel.addresses != kernel.addresses
                        || old.kernel.mtu != kernel.mtu,
                    old.settings.clone(),
                    old.price_at_admission,
                    old.reserved_bits_per_s,
                ),
                Some(old) => (true, settings, None, old.reserved_bits_per_s),
                None => (true, settings, None, 0),
            };
        self.ports
            .insert(index, Port { kernel, settings, price_at_admission, reserved_bits_per_s });
        self.collect_addresses();
        changed
    }

    pub(crate) fn remove(&mut self, index: u32) -> bool {
        let known = self.ports.remove(&index).is_some();
        self.collect_addresses();
        known
    }

    fn collect_addresses(&mut self) {
        self.shortest_refresh_ms = self.ports.values().map(|port| port.settings.refresh_ms).min();
        self.own = self.ports.values().flat_map(|p| &p.kernel.addresses).map(|(a, _)| *a).collect();
    }
}
