//! The interfaces of a namespace, kept from rtnetlink's messages about links and addresses.

use std::collections::BTreeMap;

use super::rtnetlink::{InterfaceAddress, Link};
use crate::kernel::Interface;

/// What a message changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing that an [`Interface`] shows.
    None,
    /// Something, but not whether the interface is up.
    Edited,
    /// The interface appeared, or went up or down.
    Link,
    /// The interface is gone.
    Gone,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    interface: Interface,
    /// How many of the addresses, which come first, are primary ones.
    primary: usize,
    pim_register: bool,
}

/// Interfaces by index.
#[derive(Debug, Clone, Default)]
pub(super) struct InterfaceTable {
    entries: BTreeMap<u32, Entry>,
}

impl InterfaceTable {
    /// The interfaces by index, without the pseudo interfaces of multicast routing.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Interface> {
        self.entries.values().filter(|entry| !entry.pim_register).map(|entry| &entry.interface)
    }

    /// One interface.
    pub(super) fn get(&self, index: u32) -> Option<&Interface> {
        self.entries.get(&index).map(|entry| &entry.interface)
    }

    /// Takes in a new or changed link.
    pub(super) fn link(&mut self, link: Link) -> Change {
        let Link { index, name, mtu, up, loopback, pim_register } = link;
        let Some(entry) = self.entries.get_mut(&index) else {
            let addresses = Vec::new();
            let interface = Interface { index, name, up, mtu, loopback, addresses };
            self.entries.insert(index, Entry { interface, primary: 0, pim_register });
            return if pim_register { Change::None } else { Change::Link };
        };
        let interface = &mut entry.interface;
        let change = if interface.up != up {
            Change::Link
        } else if (&interface.name, interface.mtu, interface.loopback) != (&name, mtu, loopback) {
            Change::Edited
        } else {
            Change::None
        };
        (interface.name, interface.mtu) = (name, mtu);
        (interface.up, interface.loopback) = (up, loopback);
        if entry.pim_register { Change::None } else { change }
    }

    /// Takes in that a link is gone.
    pub(super) fn link_gone(&mut self, index: u32) -> Change {
        match self.entries.remove(&index) {
            Some(entry) if !entry.pim_register => Change::Gone,
            _ => Change::None,
        }
    }

    /// Takes in a new or changed address.
    pub(super) fn address(&mut self, new: InterfaceAddress) -> Change {
        let Some(entry) = self.entries.get_mut(&new.index) else { return Change::None };
        let pair = (new.address, new.prefix);
        let addresses = &mut entry.interface.addresses;
        let place = addresses.iter().position(|known| *known == pair);
        if !new.usable {
            return self.address_gone(&new);
        }
        match place {
            Some(place) if (place >= entry.primary) == new.secondary => Change::None,
            Some(_) => {
                // A secondary address was promoted, or the other way round.
                self.address_gone(&new);
                self.address(new)
            }
            None if new.secondary => {
                addresses.push(pair);
                Change::Edited
            }
            None => {
                addresses.insert(entry.primary.min(addresses.len()), pair);
                entry.primary += 1;
                Change::Edited
            }
        }
    }

    /// Takes in that an address is gone.
    pub(super) fn address_gone(&mut self, old: &InterfaceAddress) -> Change {
        let Some(entry) = self.entries.get_mut(&old.index) else { return Change::None };
        let pair = (old.address, old.prefix);
        let addresses = &mut entry.interface.addresses;
        let Some(place) = addresses.iter().position(|known| *known == pair) else {
            return Change::None;
        };
        addresses.remove(place);
        if place < entry.primary {
            entry.primary -= 1;
        }
        Change::Edited
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn link(up: bool) -> Link {
        Link {
            index: 7,
            name: "east".to_owned(),
            mtu: 1500,
            up,
            loopback: false,
            pim_register: false,
        }
    }

    fn address(last: u8, secondary: bool) -> InterfaceAddress {
        InterfaceAddress {
            index: 7,
            address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)),
            prefix: 24,
            secondary,
            usable: true,
        }
    }

    fn last_octets(table: &InterfaceTable) -> Vec<u8> {
        let octet = |(address, _): &(IpAddr, u8)| match address {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(_) => 0,
        };
        table.get(7).unwrap().addresses.iter().map(octet).collect()
    }

    #[test]
    fn primary_addresses_stand_first_and_promotion_moves_them() {
        let mut table = InterfaceTable::default();
        assert_eq!(table.link(link(true)), Change::Link);
        assert_eq!(table.address(address(1, false)), Change::Edited);
        assert_eq!(table.address(address(2, true)), Change::Edited);
        assert_eq!(table.address(address(3, false)), Change::Edited);
        assert_eq!(last_octets(&table), [1, 3, 2]);
        assert_eq!(table.address(address(2, true)), Change::None);
        assert_eq!(table.address_gone(&address(1, false)), Change::Edited);
        assert_eq!(table.address(address(2, false)), Change::Edited);
        assert_eq!(table.address(address(4, true)), Change::Edited);
        assert_eq!(table.address(address(5, false)), Change::Edited);
        assert_eq!(last_octets(&table), [3, 2, 5, 4]);
        assert_eq!(table.address_gone(&address(9, false)), Change::None);
    }

    #[test]
    fn an_address_under_detection_is_not_shown() {
        let mut table = InterfaceTable::default();
        table.link(link(true));
        let tentative = InterfaceAddress { usable: false, ..address(1, false) };
        assert_eq!(table.address(tentative), Change::None);
        assert_eq!(table.address(address(1, false)), Change::Edited);
        assert_eq!(table.address(tentative), Change::Edited);
        assert_eq!(last_octets(&table), [] as [u8; 0]);
    }

    #[test]
    fn what_changed_is_told_apart() {
        let mut table = InterfaceTable::default();
        assert_eq!(table.link(link(false)), Change::Link);
        assert_eq!(table.link(link(false)), Change::None);
        assert_eq!(table.link(link(true)), Change::Link);
        assert_eq!(table.link(Link { mtu: 9000, ..link(true) }), Change::Edited);
        assert_eq!(table.link_gone(7), Change::Gone);
        assert_eq!(table.link_gone(7), Change::None);
        assert_eq!(table.address(address(1, false)), Change::None);
    }

    #[test]
    fn the_register_interface_is_no_interface() {
        let mut table = InterfaceTable::default();
        assert_eq!(table.link(Link { pim_register: true, ..link(true) }), Change::None);
        assert_eq!(table.iter().count(), 0);
        assert_eq!(table.link_gone(7), Change::None);
    }
}
