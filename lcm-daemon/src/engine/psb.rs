//! Path state: one block per sender of a session (RFC 2205 section 3.1.3, RFC 2209 section 1).

use std::net::IpAddr;

use charging_model::flow::Flow;
use rsvp_wire::object::{Filter, FlowId, Hop, Session, Tspec};

use super::Core;
use super::blockade::Blockade;
use super::charging::{Detail, Heard, Traded};
use super::limits::Seat;
use super::policy::{Carried, Elements};
use super::record::RecordId;
use super::reduce::{Name, Sent, SentPaths};
use super::rsb::LOCAL;
use super::time::{Instant, longest_gap};
use crate::kernel::{RouteKey, Transport};

/// What one PATH message says of its sender, whatever the hop that it came over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SenderFacts {
    pub(crate) tspec: Tspec,
    /// The ADSPEC body with its object header, as received and not yet updated by this hop.
    pub(crate) adspec: Option<Box<[u8]>>,
    /// Whole objects to forward byte for byte: POLICY_DATA that we have no handler for and
    /// objects of unknown class 11bbbbbb.
    pub(crate) carried: Option<Carried>,
    /// TTL that a forwarded PATH may carry; 0 ends its way.
    pub(crate) ttl: u8,
    /// A hop without RSVP was passed: Send_TTL differed from the IP TTL (RFC 2205 section 3.8).
    pub(crate) non_rsvp_hop: bool,
    /// No node has policed the traffic yet: E_Police of SESSION (RFC 2205 section 3.8).
    pub(crate) e_police: bool,
}

/// Path state block.
#[derive(Debug, Clone)]
pub(crate) struct Psb {
    pub(crate) sender: Filter,
    /// Previous hop, or `None` for a sender on this node.
    pub(crate) phop: Option<Hop>,
    /// Interface on which the PATH comes in; 0 for a sender on this node.
    pub(crate) incoming: u32,
    pub(crate) facts: SenderFacts,
    /// Refresh period that the previous hop announced, in milliseconds.
    pub(crate) refresh_ms: u32,
    pub(crate) expires: Instant,
    /// Where the data goes on, as a question to the kernel; where the answer is that each flow
    /// has a path of its own, [`Psb::flow_route`] is the question behind it.
    pub(crate) route: RouteKey,
    /// Outgoing interface that a local sender insists on.
    pub(crate) pinned: Option<u32>,
    /// Where PATH goes out: OutInterface_list of RFC 2209.
    pub(crate) outgoing: Outgoing,
    /// Ways that the data has left, and behind which nobody was told yet.
    pub(crate) left: Box<[Way]>,
    /// Charging state of this sender here; `None` on a policy-ignorant router.
    pub(crate) flow: Option<Box<Flow>>,
    /// Reservations that the previous hop refused for want of resources.
    pub(crate) blockade: Option<Box<Blockade>>,
    /// The RESV that we last sent upstream for this sender announced a reservation.
    pub(crate) reserved_upstream: bool,
    /// The previous hop knows a newer instance of ours than the one that it refused last.
    pub(crate) outdated: bool,
    /// Who announces the price, where the previous hop only passes that on: the hop that is paid.
    pub(crate) announcer: Option<IpAddr>,
    /// Somebody pays through a next hop that does not charge: others may be behind it, so even a
    /// single one is told its price by its address, and all others the price of a join.
    pub(crate) veiled: bool,
    /// What handlers keep of the previous hop's policy elements.
    pub(crate) elements: Elements,
    /// A policy refresh period longer than R keeps what was announced until then, though a PATH
    /// leaves it out (RFC 2750 section 3.2).
    pub(crate) policy_until: Instant,
    /// The previous hop refused our last payment for a reason that no other payment mends: it is
    /// offered again with the next refresh, not sooner (T18).
    pub(crate) held_back: bool,
    /// How it stands where the previous hop is paid in another currency.
    pub(crate) traded: Option<Box<Traded>>,
    /// Where its charges arise, where somebody asks.
    pub(crate) detail: Option<Box<Detail>>,
    /// What the previous hop says that other rates would cost, where it says so.
    pub(crate) curve: Option<Box<Heard>>,
    /// Number of this flow in the records, 0 while it is in none.
    pub(crate) number: u64,
    /// The record that must be durable before a RESV speaks of this sender.
    pub(crate) needs: RecordId,
    /// The previous hop before this one, for as long as that matters.
    pub(crate) former: Option<Box<Former>>,
    /// The PATHs that were sent last, by interface, where they have numbers (RFC 2961).
    pub(crate) sent: SentPaths,
    /// The RESV that was sent last and of which this sender is the first.
    pub(crate) sent_resv: Option<Sent>,
    /// Name of the PATH that this block is refreshed by.
    pub(crate) heard_by: Option<Name>,
    /// Counts this block as the previous hop's; `None` for a sender on this node.
    pub(crate) seat: Option<Seat>,
}

/// A previous hop that had a block just before the present one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Former {
    pub(crate) hop: Hop,
    pub(crate) incoming: u32,
    /// It is not asked about later than this.
    pub(crate) until: Instant,
    /// It had taken the block from the present one, which took it back: it may not do so again.
    pub(crate) was_detour: bool,
}

/// A way that data takes out of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Way {
    pub(crate) interface: u32,
    /// The next hop of a unicast route. A message that is to go this way when the route leads
    /// elsewhere would not get there without: the kernel would look for the destination itself
    /// behind the interface.
    pub(crate) gateway: Option<IpAddr>,
}

/// Interfaces, ascending. Nearly every sender of a million has one or none, so those cost no
/// memory of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Outgoing {
    #[default]
    Nowhere,
    One(u32),
    Several(Box<[u32]>),
}

impl std::ops::Deref for Outgoing {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        match self {
            Self::Nowhere => &[],
            Self::One(interface) => std::slice::from_ref(interface),
            Self::Several(interfaces) => interfaces,
        }
    }
}

impl FromIterator<u32> for Outgoing {
    fn from_iter<I: IntoIterator<Item = u32>>(interfaces: I) -> Self {
        let mut interfaces = interfaces.into_iter();
        match (interfaces.next(), interfaces.next()) {
            (None, _) => Self::Nowhere,
            (Some(only), None) => Self::One(only),
            (Some(first), Some(second)) => {
                Self::Several([first, second].into_iter().chain(interfaces).collect())
            }
        }
    }
}

impl Psb {
    /// A block of which nothing is known but what the PATH says, or the sender on this node.
    pub(crate) fn new(
        sender: Filter,
        facts: SenderFacts,
        refresh_ms: u32,
        route: RouteKey,
    ) -> Self {
        Self {
            sender,
            phop: None,
            incoming: LOCAL,
            facts,
            refresh_ms,
            expires: Instant::NEVER,
            route,
            pinned: None,
            flow: None,
            blockade: None,
            outgoing: Outgoing::default(),
            left: Box::default(),
            reserved_upstream: false,
            outdated: false,
            announcer: None,
            veiled: false,
            elements: Elements::default(),
            policy_until: Instant::default(),
            held_back: false,
            traded: None,
            detail: None,
            curve: None,
            number: 0,
            needs: RecordId::default(),
            former: None,
            sent: SentPaths::default(),
            sent_resv: None,
            heard_by: None,
            seat: None,
        }
    }

    /// Where the data of this very flow goes, as a question to the kernel.
    pub(crate) fn flow_route(&self, session: Session) -> RouteKey {
        let source_port = match self.sender.id {
            FlowId::Port(port) => port,
            _ => 0,
        };
        let destination_port = if session.generalized { 0 } else { session.destination_port };
        let transport = Transport { protocol: session.protocol, source_port, destination_port };
        RouteKey {
            destination: session.destination,
            source: Some(self.sender.source),
            incoming: self.incoming,
            transport: Some(transport),
        }
    }

    /// True if a message that names `hop`, received on `incoming`, comes from our previous hop.
    pub(crate) fn came_from(&self, hop: Hop, incoming: u32) -> bool {
        self.phop == Some(hop) && self.incoming == incoming
    }

    /// The block goes to another previous hop, which is remembered for a while.
    pub(crate) fn hand_over(&mut self, now: Instant, to: Hop, incoming: u32) {
        let came_back = |former: &Former| (former.hop, former.incoming) == (to, incoming);
        let was_detour = self.former.as_deref().is_some_and(|f| came_back(f) && now < f.until);
        let until = now + longest_gap(self.refresh_ms);
        let before = self.incoming;
        self.former =
            self.phop.map(|hop| Box::new(Former { hop, incoming: before, until, was_detour }));
        self.phop = Some(to);
        self.incoming = incoming;
    }

    /// The previous hop's address, where there is one.
    pub(crate) fn phop_address(&self) -> Option<IpAddr> {
        self.phop.map(|hop| hop.address)
    }

    /// The RESV that was sent last and of which this sender is the first is past.
    pub(crate) fn forget_resv(&mut self, core: &mut Core) {
        if let Some(sent) = self.sent_resv.take() {
            core.outbox.reduce.forget(sent.number());
        }
    }

    /// Who is paid for this sender: the previous hop, or one behind it that charges.
    pub(crate) fn payee(&self) -> Option<IpAddr> {
        self.announcer.or(self.phop_address())
    }
}
