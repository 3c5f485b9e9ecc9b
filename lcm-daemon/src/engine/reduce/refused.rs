//! A neighbour that does not know MESSAGE_ID says so, and is told without (section 4.8).

use std::net::IpAddr;

use rsvp_wire::iana::{class, error_code};
use rsvp_wire::object::{ErrorSpec, Filter};

use super::super::Core;
use super::super::counters::bump;
use super::super::session::SessionState;
use super::super::time::Now;

/// True for an error that says that MESSAGE_ID is unknown.
pub(crate) fn refuses_numbers(error: &ErrorSpec) -> bool {
    error.code == error_code::UNKNOWN_CLASS && error.value >> 8 == u16::from(class::MESSAGE_ID)
}

impl SessionState {
    /// Sends the PATH of a sender again to a next hop that refused its number. That the error came
    /// without any has shown that the hop has none of this.
    pub(crate) fn path_without_number(
        &mut self,
        core: &mut Core,
        now: Now,
        sender: Filter,
        interface: u32,
    ) {
        bump(&mut core.counters.reduction, "number_refused");
        if let Some(index) = self.sender(sender) {
            self.forward_path_on(core, now, index, interface);
        }
    }

    /// The same of RESVs to a previous hop.
    pub(crate) fn resv_without_number(&mut self, core: &mut Core, now: Now, phop: IpAddr) {
        bump(&mut core.counters.reduction, "number_refused");
        self.send_resv(core, now, phop);
    }
}
