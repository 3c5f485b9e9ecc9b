//! Downstream charging state: what the previous hop announced (paper 3.3, seven fields and ours).

use std::fmt;
use std::sync::Arc;

use super::charge::{Claim, Terms};
use super::messages::{Account, Announcement, Limits};
use crate::equations::sponsored;
use crate::money::{Overflow, Ppm, Rate};
use crate::time::{Clock, Millis, Span};

/// What became of an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Heard {
    /// The state was refreshed; nothing in it changed.
    Refreshed,
    /// The announcement changed the state.
    Changed,
    /// The previous hop contradicts what it said before, and what it said is still valid.
    Inconsistent {
        /// In what.
        how: Inconsistency,
        /// It was taken nevertheless; inconsistent neighbours are not refused.
        taken: bool,
    },
    /// An older epoch: ignored (T17).
    Stale,
}

/// How a previous hop contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inconsistency {
    /// The content changed under an old epoch.
    EpochReused,
    /// C rose above the maximum that was announced before.
    AboveMaximum,
}

/// An announcement that cannot be taken; the state is untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadAnnouncement {
    /// S_j > C_j: the sender would cover more than the charge.
    SponsoredAboveTotal {
        /// S_j.
        sponsored: Rate,
        /// C_j.
        total: Rate,
    },
    /// The charges of this hop would not fit.
    Overflow(Overflow),
}

impl fmt::Display for BadAnnouncement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SponsoredAboveTotal { sponsored, total } => {
                write!(f, "sponsored amount {sponsored} is above the total charge {total}")
            }
            Self::Overflow(overflow) => write!(f, "announced charge too large: {overflow}"),
        }
    }
}

impl std::error::Error for BadAnnouncement {}

impl From<Overflow> for BadAnnouncement {
    fn from(overflow: Overflow) -> Self {
        Self::Overflow(overflow)
    }
}

/// Downstream charging state of one (session, sender).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Downstream {
    /// `<total charge upstream>`: C_j.
    pub total: Rate,
    /// `<max total charge upstream>`: M_j, the largest ever announced in the life of this state.
    pub max_total: Rate,
    /// `<sender fraction>`: r.
    pub fraction: Ppm,
    /// `<sender account>`: what sender payments debit.
    pub sender_account: Option<Account>,
    /// `<limit per receiver>`, `<limit per hop>`, `<max number of hops>`; most senders set none. Next
    /// hops echo them, each of which points here.
    limits: Option<Arc<Limits>>,
    /// S_j.
    pub sponsored: Rate,
    /// Epoch; `None` where the PATH carried no DCPE.
    pub epoch: Option<u32>,
    /// The sequence of ours that stands end to end.
    pub established: Option<u32>,
    /// Nothing was heard for 2H: what stood end to end no longer counts as standing (T12).
    pub(super) lapsed: bool,
    /// bit/s that the prices are for; 0 if unknown.
    pub quantity: u64,
    /// End of the price's validity.
    pub expires: Millis,
    /// When it was last announced.
    pub heard: Millis,
    /// The PATH's refresh period.
    pub refresh: Span,
    /// Flags of the DCPE.
    pub flags: u8,
}

impl Downstream {
    /// The state that `said` makes, heard at `clock`.
    pub(super) fn new(clock: Clock, said: &Announcement) -> Result<Self, BadAnnouncement> {
        let total = said.total;
        let sponsored = said.sponsored.unwrap_or_else(|| sponsored(said.fraction, total));
        if sponsored > total {
            return Err(BadAnnouncement::SponsoredAboveTotal { sponsored, total });
        }
        Ok(Self {
            total,
            max_total: said.max_total.max(total),
            fraction: said.fraction,
            sender_account: said.sender_account.clone(),
            limits: (said.limits != Limits::default()).then(|| Arc::new(said.limits)),
            sponsored,
            epoch: Some(said.epoch),
            established: said.established,
            lapsed: false,
            quantity: said.quantity,
            expires: clock.now.after(said.validity),
            heard: clock.now,
            refresh: said.refresh,
            flags: said.flags,
        })
    }

    /// The state of the first charging hop: C = 0, no share of a sender, valid as long as the
    /// PATH state itself (T6).
    pub(super) fn first_hop(clock: Clock, refresh: Span, quantity: u64) -> Self {
        Self {
            total: Rate::ZERO,
            max_total: Rate::ZERO,
            fraction: Ppm::ZERO,
            sender_account: None,
            limits: None,
            sponsored: Rate::ZERO,
            epoch: None,
            established: None,
            lapsed: false,
            quantity,
            expires: Millis(u64::MAX),
            heard: clock.now,
            refresh,
            flags: 0,
        }
    }

    /// The sender's limits.
    pub fn limits(&self) -> Limits {
        self.limits.as_deref().copied().unwrap_or_default()
    }

    /// Has the limits of `older` where they are the same, which branches point to.
    pub(super) fn keep_limits(&mut self, older: &Self) {
        if self.limits == older.limits {
            self.limits.clone_from(&older.limits);
        }
    }

    /// These limits, as they are kept here if they are the same.
    pub(super) fn shared_limits(&self, limits: Limits) -> Option<Arc<Limits>> {
        let own = self.limits.as_ref().filter(|own| ***own == limits);
        let given = || (limits != Limits::default()).then(|| Arc::new(limits));
        own.cloned().or_else(given)
    }

    /// C_j − S_j: what the previous hop claims from this hop (paper 3.3).
    pub fn claim(&self) -> Rate {
        self.newest().receiver_payment()
    }

    /// How long one PATH approves sender payments: heard + H (T15).
    pub fn approved_until(&self) -> Millis {
        self.heard.after(self.refresh.approval())
    }

    pub(super) fn newest(&self) -> Claim {
        Claim { total: self.total, sponsored: self.sponsored }
    }

    pub(super) fn terms(&self, claim: Claim, origin: bool) -> Terms {
        Terms { claim, fraction: self.fraction, limits: self.limits(), origin }
    }

    /// Whether `other` says the same, and came the same way.
    pub(super) fn same_content(&self, other: &Self) -> bool {
        self.same_words(other) && self.flags == other.flags
    }

    /// Whether `other` says the same in everything that makes an epoch.
    pub(super) fn same_words(&self, other: &Self) -> bool {
        self.newest() == other.newest()
            && self.fraction == other.fraction
            && self.limits == other.limits
            && self.quantity == other.quantity
            && self.established == other.established
    }

    /// Whether `other`, which says the same, needs nothing to be settled anew.
    pub(super) fn refreshes_to(&self, other: &Self) -> bool {
        !self.lapsed
            && self.max_total == other.max_total
            && self.flags == other.flags
            && self.epoch == other.epoch
            && self.sender_account == other.sender_account
    }

    /// Whether everything that is passed on to all branches unchanged is the same.
    pub(super) fn same_terms(&self, other: &Self) -> bool {
        self.limits == other.limits && self.quantity == other.quantity && self.flags == other.flags
    }
}
