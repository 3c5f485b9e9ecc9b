//! What is explored: a network, what its applications and operators do, and what may go wrong.

use lcm_daemon::engine::ReceiverRequest;
use rsvp_wire::object::{Session, Style};

use crate::sim::{LinkId, NodeId, Topology, reserve_up_to};

/// A small network and everything that may happen in it.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Name, for people.
    pub name: &'static str,
    /// Routers that charge, and their links; applications run on them.
    pub topology: Topology,
    /// What applications and operators do: each script in its order, each step at any time.
    pub scripts: Vec<Vec<(NodeId, Step)>>,
    /// Steps of each script that are done, and answered by all, before the exploration begins.
    pub prelude: Vec<usize>,
    /// Members of the groups, as the kernels have them.
    pub members: Vec<NodeId>,
    /// What becomes of the network, in this order, each at any time.
    pub changes: Vec<Change>,
    /// What may go wrong besides.
    pub budget: Budget,
}

/// A step of a script.
#[derive(Debug, Clone)]
pub enum Step {
    /// Opens a sender.
    Send(Session),
    /// Opens a receiver.
    Receive(Box<ReceiverRequest>),
    /// Closes what the step of this number in the same script opened.
    Close(usize),
    /// Sets the local price of a link.
    Price(LinkId, u64),
}

impl Step {
    /// A receiver that pays at most this.
    pub fn receive(session: Session, style: Style, max_payment: Option<u64>) -> Self {
        Self::Receive(Box::new(ReceiverRequest { style, ..reserve_up_to(session, max_payment) }))
    }
}

/// Something that becomes of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A link goes down, with all that is on it.
    Down(LinkId),
    /// It comes up again.
    Up(LinkId),
    /// It stays up, but routes avoid it.
    Avoid(LinkId),
    /// They take it again.
    Take(LinkId),
}

/// How much may go wrong in one play.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// Messages that are lost, doubled or late, together.
    pub faults: u8,
    /// Messages may be late, and second copies of doubled ones too: up to [`LATE_US`] behind.
    pub late: bool,
    /// Messages on a link keep their order; otherwise any may overtake any other.
    pub in_order: bool,
    /// A router that may die once, and come back at any time.
    pub crash: Option<NodeId>,
}

/// How late a late message may be, in microseconds: beyond the next refresh.
pub const LATE_US: u64 = 40_000_000;
