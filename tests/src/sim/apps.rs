//! Senders, receivers and prices, as their applications and operators set them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lcm_daemon::engine::{
    Handle, Level, LocalError, PriceChange, ReceiverRequest, SenderRequest, SenderShare,
    TraceError, TraceRequest, TraceView,
};
use lcm_daemon::tariff::Tariff;
use rsvp_wire::object::{Filter, Session, Style, Tspec};

use super::net::Net;
use super::node::tariff;
use super::topology::{Family, LinkId, NodeId};

/// Traffic of all simulated senders: 1 Mbit/s.
pub const TSPEC: Tspec = Tspec::new(125_000, 10_000, 64, 1_500);

/// Longer than any trace may last.
const TRACE_MS_MOST: u64 = 120_000;

/// The UDP port of simulated senders.
pub const fn sender_port() -> u16 {
    4_000
}

/// A multicast session.
pub fn group(family: Family, number: u8) -> Session {
    let destination = match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(239, 1, 2, number)),
        Family::V6 => IpAddr::V6(Ipv6Addr::new(0xff3e, 0, 0, 0, 0, 0, 0, u16::from(number))),
    };
    Session::new(destination, 17, 5_000)
}

/// A receiver for every sender of a session that pays at most this.
pub fn reserve_up_to(session: Session, max_payment: Option<u64>) -> ReceiverRequest {
    ReceiverRequest {
        session,
        sender: None,
        style: Style::FixedFilter,
        flowspec: None,
        max_payment,
        budget: None,
        priority: None,
        interface: None,
        cheapest: false,
        detail: Level::Totals,
        confirm: false,
        identity: None,
    }
}

impl Net {
    /// The address of a node.
    pub fn address(&self, id: NodeId) -> IpAddr {
        self.topology.address(self.options.family, id)
    }

    /// The family of all addresses.
    pub fn family(&self) -> Family {
        self.options.family
    }

    /// The sender that [`send`](Self::send) opens on a node.
    pub fn sender(&self, id: NodeId) -> Filter {
        Filter::port(self.address(id), sender_port())
    }

    /// A unicast session to a node.
    pub fn session_to(&self, id: NodeId) -> Session {
        Session::new(self.address(id), 17, 5_000)
    }

    /// Lays down who is a member of a group, whoever joins.
    pub fn fix_members(&mut self, session: Session, members: impl IntoIterator<Item = NodeId>) {
        self.members.insert(session.destination, members.into_iter().collect());
    }

    /// Has a node copy what is sent to groups to a link, whoever is a member.
    pub fn copy_to(&mut self, id: NodeId, link: LinkId) {
        self.copied.entry(id).or_default().insert(link);
    }

    /// Opens a sender; without a share its PATH says nothing of charges.
    pub fn send(&mut self, id: NodeId, session: Session, share: Option<SenderShare>) -> Handle {
        self.send_traffic(id, session, TSPEC, share)
    }

    /// Opens a sender of this traffic.
    pub fn send_traffic(
        &mut self,
        id: NodeId,
        session: Session,
        tspec: Tspec,
        share: Option<SenderShare>,
    ) -> Handle {
        let sender = self.sender(id);
        let group = session.destination;
        if group.is_multicast() {
            self.sources.entry(group).or_default().insert(sender.source);
        }
        let request =
            SenderRequest { session, sender, tspec, ttl: 64, interface: None, share, behind: None };
        self.input(id, |engine, now| engine.open_sender(now, request))
            .unwrap_or_else(|error| panic!("node {id}: {error}"))
    }

    /// Opens a receiver that pays whatever is asked.
    pub fn receive(&mut self, id: NodeId, session: Session) -> Handle {
        self.receive_as(id, reserve_up_to(session, None))
    }

    /// Opens a receiver.
    pub fn receive_as(&mut self, id: NodeId, request: ReceiverRequest) -> Handle {
        self.input(id, |engine, now| engine.open_receiver(now, request))
            .unwrap_or_else(|error| panic!("node {id}: {error}"))
    }

    /// Closes an application.
    pub fn close(&mut self, id: NodeId, handle: Handle) {
        self.input(id, |engine, now| engine.close(now, handle))
            .unwrap_or_else(|error| panic!("node {id}: {error}"));
    }

    /// Sets what a node asks for sending over a link.
    pub fn set_price(&mut self, id: NodeId, link: LinkId, price: u64, at_admission: bool) {
        let interface = self.topology.interface_name(id, link);
        let change = PriceChange { interface, price, max_price: None, at_admission };
        self.input(id, |engine, now| engine.set_price(now, &change))
            .unwrap_or_else(|error| panic!("node {id}: {error}"));
    }

    /// Sets how a node's price for sending over a link is found, as a new configuration does.
    pub fn set_tariff(&mut self, id: NodeId, link: LinkId, price: (u64, u64), usage: (u64, u64)) {
        let interface = self.topology.interface_name(id, link);
        let split = self.topology.splits.get(&(id, link)).cloned().unwrap_or_default();
        let curve = self.options.config.price_curves;
        let tariff = Tariff { split, curve, ..tariff(price, usage) };
        self.input(id, |engine, now| engine.set_tariff(now, &interface, tariff))
            .unwrap_or_else(|error| panic!("node {id}: {error}"));
    }

    /// Sets the refresh period of a node's interface.
    ///
    /// # Errors
    /// What the engine has against it.
    pub fn set_refresh(
        &mut self,
        id: NodeId,
        interface: &str,
        refresh_ms: u32,
    ) -> Result<(), LocalError> {
        self.input(id, |engine, now| engine.set_refresh(now, interface, refresh_ms))
    }

    /// Traces a path from a node, and waits until that has ended.
    ///
    /// # Errors
    /// What the engine has against it.
    pub fn trace(&mut self, id: NodeId, request: TraceRequest) -> Result<TraceView, TraceError> {
        let before = self.node(id).traced().len();
        self.input(id, |engine, now| engine.trace(now, request))?;
        for _ in 0..TRACE_MS_MOST / 10 {
            if let Some(view) = self.node(id).traced().get(before) {
                return Ok(view.clone());
            }
            self.run_ms(10);
        }
        panic!("a trace of node {id} does not end")
    }

    /// Sessions, PSBs and RSBs of all daemons that run.
    pub fn sizes(&self) -> (usize, usize, usize) {
        let sizes = self.nodes.iter().filter_map(|node| Some(node.engine.as_ref()?.sizes()));
        sizes.fold((0, 0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1, sum.2 + of.2))
    }
}
