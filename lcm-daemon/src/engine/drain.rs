//! Taking a router out of service: nothing new is let in, what stands ends when its owners end it.

use charging_model::Rate;

use super::flowspec::merge;
use super::local::LocalError;
use super::psb::Psb;
use super::resv::Request;
use super::rsb::{Rsb, Selection};
use super::session::SessionState;
use super::time::Now;
use super::{Core, Engine, charging::Fault};

/// The highest price of a node that drains, in percent.
pub const DRAIN_PERCENT_MAX: u32 = 10_000;

impl Engine {
    /// From now on no reservation is admitted, and none grows: RESVERR 01, "requested bandwidth
    /// unavailable", so that receivers ask again when there may be another way. Refreshes of what
    /// stands, and smaller requests, are taken as ever, and so is PATH. `false` ends it.
    pub fn drain(&mut self, on: bool) {
        self.core.draining = on;
    }

    /// Goes out of service, or comes back with `None`: nothing new is let in, or only at so many
    /// percent of the price. What is reserved keeps the price that it has, so that whoever looks for
    /// the cheapest way goes elsewhere, and nobody who is here is driven out.
    ///
    /// # Errors
    /// If the percentage is not 100 to [`DRAIN_PERCENT_MAX`].
    pub fn set_drain(&mut self, now: Now, wanted: Option<Option<u32>>) -> Result<(), LocalError> {
        let percent = wanted.flatten();
        if let Some(value) = percent
            && !(100..=DRAIN_PERCENT_MAX).contains(&value)
        {
            let (what, most) = ("price_percent", u64::from(DRAIN_PERCENT_MAX));
            return Err(LocalError::OutOfRange { what, value: value.into(), most });
        }
        // What is used up ends first: new prices turn meters.
        let now = self.enter(now);
        self.core.draining = wanted == Some(None);
        if std::mem::replace(&mut self.core.drain_percent, percent) != percent {
            let all = self.core.interfaces.iter().map(|port| port.kernel.index).collect();
            self.core.repriced = all;
            self.requote_repriced(now);
        }
        Ok(())
    }

    /// Whether the node goes out of service, and at what price it lets in what is new, if it does.
    pub fn drains(&self) -> Option<Option<u32>> {
        let percent = self.core.drain_percent;
        (self.core.draining || percent.is_some()).then_some(percent)
    }
}

impl Core {
    /// Whether what is new is let in at a higher price.
    pub(super) fn drains_at_price(&self) -> bool {
        self.drain_percent.is_some()
    }

    /// What is asked instead of a price for what is new.
    pub(super) fn drain_rate(&self, price: Rate) -> Rate {
        let percent = u128::from(self.drain_percent.unwrap_or(100));
        let dear = u128::from(price.0) * percent / 100;
        Rate(u64::try_from(dear).unwrap_or(u64::MAX))
    }

    /// What an interface costs whoever reserves already while the node drains at a price: what it
    /// cost before. `None` if it does not drain so, or nobody pays there for this sender.
    pub(super) fn kept_price(&self, psb: &Psb, interface: u32) -> Option<Rate> {
        let flow = psb.flow.as_ref().filter(|_| self.drains_at_price())?;
        flow.branches().find(|branch| branch.key.group == interface)?;
        let (_, standing) = flow.groups().find(|(group, _)| *group == interface)?;
        Some(standing.local)
    }
}

impl SessionState {
    /// Refuses what would be new, or more, on a node that drains.
    pub(super) fn admit_while_draining(&self, core: &Core, request: &Request) -> Result<(), Fault> {
        if !core.draining {
            return Ok(());
        }
        let known = self.reservation(request.outgoing, request.next_hop, &request.selection);
        match known.and_then(|at| self.reservations.get(at)) {
            Some(stands) if no_more(stands, request) => Ok(()),
            _ => Err(Fault::DRAINING),
        }
    }
}

/// Whether a request asks for no more than stands, for no other senders.
fn no_more(stands: &Rsb, request: &Request) -> bool {
    let known = match &request.selection {
        Selection::Explicit(filters) => {
            filters.iter().all(|(filter, _)| stands.selection.selects(*filter))
        }
        _ => true,
    };
    known && merge(stands.flowspec, request.flowspec) == Some(stands.flowspec)
}
