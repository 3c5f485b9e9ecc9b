//! Reservation state: one block per next hop and outgoing interface, and for fixed filters per
//! sender (RFC 2205 sections 1.3 and 3.1.4, RFC 2209 section 1).

use std::net::IpAddr;

use rsvp_wire::object::{Filter, FlowSpec, ResvConfirm, Style};

use super::limits::Seat;
use super::policy::{Carried, Elements};
use super::psb::Psb;
use super::reduce::Numbers;
use super::time::Instant;

/// The pseudo-interface of applications on this node.
pub(crate) const LOCAL: u32 = 0;

/// The senders that a reservation is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selection {
    /// FF: one sender, a reservation of its own.
    Fixed(Filter),
    /// SE: these senders share one reservation; each is refreshed on its own.
    Explicit(Vec<(Filter, Instant)>),
    /// WF: all senders share one reservation.
    Wildcard,
}

impl Selection {
    pub(crate) fn style(&self) -> Style {
        match self {
            Self::Fixed(_) => Style::FixedFilter,
            Self::Explicit(_) => Style::SharedExplicit,
            Self::Wildcard => Style::WildcardFilter,
        }
    }

    pub(crate) fn selects(&self, sender: Filter) -> bool {
        match self {
            Self::Fixed(filter) => *filter == sender,
            Self::Explicit(filters) => filters.iter().any(|(filter, _)| *filter == sender),
            Self::Wildcard => true,
        }
    }
}

/// A charging hop that pays for one sender from behind the next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Payer {
    pub(crate) sender: Filter,
    /// Originating RSVP_HOP of its elements.
    pub(crate) origin: IpAddr,
    /// When it counts as gone, where the next hop's RESVs about the sender come without it.
    pub(crate) gone_at: Instant,
}

/// Reservation state block.
#[derive(Debug, Clone)]
pub(crate) struct Rsb {
    /// Outgoing interface of the data; [`LOCAL`] for a receiver on this node.
    pub(crate) outgoing: u32,
    /// Next hop of the data: who sent the RESV.
    pub(crate) next_hop: IpAddr,
    pub(crate) selection: Selection,
    pub(crate) flowspec: FlowSpec,
    /// Receiver that still waits to be told that its reservation stands.
    pub(crate) confirm: Option<ResvConfirm>,
    /// Whole objects to forward upstream byte for byte.
    pub(crate) carried: Option<Carried>,
    /// WF: the senders that this reservation is meant to reach upstream, `None` for all.
    pub(crate) scope: Option<Box<[IpAddr]>>,
    pub(crate) expires: Instant,
    /// R of the RESV, in milliseconds.
    pub(crate) refresh_ms: u32,
    /// What handlers keep of the next hop's policy elements.
    pub(crate) elements: Elements,
    /// A policy refresh period longer than R keeps what was paid until then, though a RESV leaves
    /// it out (RFC 2750 section 3.2).
    pub(crate) policy_until: Instant,
    /// Who pays, where that is not the next hop alone: a hop that does not charge concatenates
    /// what several behind it pay (charging.md section 6).
    pub(crate) payers: Box<[Payer]>,
    /// No RESV made it: the router reserves for a receiver without RSVP.
    pub(crate) proxied: bool,
    /// Numbers of the RESVs that this block is refreshed by (RFC 2961).
    pub(crate) numbers: Numbers,
    /// Counts this block as the next hop's; `None` for a receiver on this node.
    pub(crate) seat: Option<Seat>,
}

impl Rsb {
    /// True if this is the block of `next_hop` on `outgoing` that a message with this style and
    /// this first filter is about.
    pub(crate) fn is(&self, outgoing: u32, next_hop: IpAddr, selection: &Selection) -> bool {
        let same = match (&self.selection, selection) {
            (Selection::Fixed(own), Selection::Fixed(other)) => own == other,
            (own, other) => own.style() == other.style(),
        };
        self.outgoing == outgoing && self.next_hop == next_hop && same
    }

    /// True if the reservation is for data of this sender.
    pub(crate) fn selects(&self, sender: Filter) -> bool {
        let in_scope = self.scope.as_ref().is_none_or(|scope| scope.contains(&sender.source));
        in_scope && self.selection.selects(sender)
    }

    /// True if the reservation is for data of this sender, and the data takes its interface
    /// (RFC 2209 section 2 "RESV refresh": OI appears in the OutInterface_list).
    pub(crate) fn matches(&self, psb: &Psb) -> bool {
        let routed = match self.outgoing {
            LOCAL => psb.phop.is_some(),
            outgoing => psb.outgoing.contains(&outgoing),
        };
        routed && self.selects(psb.sender)
    }

    /// Forgets some of those who pay from behind the next hop.
    pub(crate) fn forget_payers(&mut self, gone: impl Fn(&Payer) -> bool) {
        if self.payers.iter().any(&gone) {
            self.payers = self.payers.iter().filter(|payer| !gone(payer)).copied().collect();
        }
    }

    /// Who pays for this sender's part: the next hop itself, unless others are known.
    pub(crate) fn origins(&self, sender: Filter) -> impl Iterator<Item = IpAddr> + '_ {
        let itself = self.payers.is_empty().then_some(self.next_hop);
        let of_sender = move |payer: &&Payer| payer.sender == sender;
        let behind = self.payers.iter().filter(of_sender).map(|payer| payer.origin);
        itself.into_iter().chain(behind)
    }

    /// Senders that this block names.
    pub(crate) fn named(&self) -> usize {
        named(&self.selection, self.scope.as_deref())
    }

    /// When the first part of this block ends.
    pub(crate) fn deadline(&self) -> Instant {
        let gone = self.payers.iter().map(|payer| payer.gone_at).fold(self.expires, Instant::min);
        gone.min(self.state_deadline())
    }

    /// The same of what RSVP refreshes, whoever pays.
    pub(crate) fn state_deadline(&self) -> Instant {
        match &self.selection {
            Selection::Explicit(filters) => {
                filters.iter().map(|(_, expires)| *expires).fold(self.expires, Instant::min)
            }
            _ => self.expires,
        }
    }
}

/// Senders that a filter list and a scope name together.
pub(crate) fn named(selection: &Selection, scope: Option<&[IpAddr]>) -> usize {
    let filters = match selection {
        Selection::Explicit(filters) => filters.len(),
        _ => 0,
    };
    filters + scope.map_or(0, <[IpAddr]>::len)
}
