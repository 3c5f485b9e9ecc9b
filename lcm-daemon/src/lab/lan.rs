//! A link of many: a bridge in a namespace of its own, with a port for each node.
//!
//! ```text
//!  A ── to-LAN ═══ to-A ┐
//!  B ── to-LAN ═══ to-B ┼ bridge, in the node "LAN"
//!  H ── to-LAN ═══ to-H ┘
//! ```

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;

use super::error::LabError;
use super::netlink::Rtnetlink;
use super::network::{Network, await_carrier, configure_end};
use super::node::Role;

/// The bridge's name and interface index, in its own namespace.
const BRIDGE: (&str, u32) = ("bridge", 9);
/// Interface indices of the first node's end and of its port; the others follow by twos.
const FIRST_INDEX: u32 = 1_001;

impl Network {
    /// Connects nodes by a bridge: a node of this name, to which each has an interface `to-NAME`
    /// with the address 10.200.`number`.1, .2 and so on, in their order, of a /24.
    ///
    /// # Errors
    /// If a node is missing, or the kernel refuses.
    pub fn lan(&mut self, name: &str, number: u8, members: &[&str]) -> Result<(), LabError> {
        let switch = self.add(name, Role::Plain)?;
        switch.attempt("making the bridge", || {
            let mut netlink = Rtnetlink::open()?;
            netlink.add_bridge(BRIDGE)?;
            netlink.set_up(BRIDGE.1, true)
        })?;
        for ((member, host), index) in members.iter().zip(1_u8..).zip((FIRST_INDEX..).step_by(2)) {
            let node = self.get(member)?;
            let (own, port) = (format!("to-{name}"), format!("to-{member}"));
            let namespace = switch.namespace();
            let (interface, address) = (own.clone(), Ipv4Addr::new(10, 200, number, host));
            node.attempt(&format!("making the link to {name}"), move || {
                let (here, there) = ((own.as_str(), index), (port.as_str(), index + 1));
                Rtnetlink::open()?.add_veth(here, there, namespace.as_fd(), None)
            })?;
            switch.attempt(&format!("adding the port of {member}"), move || {
                Rtnetlink::open()?.add_port(index + 1, BRIDGE.1)
            })?;
            let prefix = (IpAddr::V4(address), 24);
            let end = configure_end(&node, interface, index, vec![prefix])?;
            await_carrier(&node, &end)?;
            node.offer_address(address);
        }
        Ok(())
    }
}
