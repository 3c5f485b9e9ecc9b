//! Taking a router out of service: nothing new is let in, what stands ends when its owners end it.

use super::flowspec::merge;
use super::resv::Request;
use super::rsb::{Rsb, Selection};
use super::session::SessionState;
use super::{Core, Engine, charging::Fault};

impl Engine {
    /// From now on no reservation is admitted, and none grows: RESVERR 01, "requested bandwidth
    /// unavailable", so that receivers ask again when there may be another way. Refreshes of what
    /// stands, and smaller requests, are taken as ever, and so is PATH. `false` ends it.
    pub fn drain(&mut self, on: bool) {
        self.core.draining = on;
    }

    /// Whether the node lets nothing new in.
    pub fn drains(&self) -> bool {
        self.core.draining
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
