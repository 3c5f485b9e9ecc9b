//! One sender heard over several interfaces: which PATH counts, and what is kept of the others
//! (RFC 2205 section 3.9 "Local_Only", RFC 2209 section 2 "PATH message arrives").
//!
//! RFC 2209 keeps a path state block for each interface and marks one as forwarding. Here the block
//! is that one, and what came over other interfaces is kept as it arrived, to take its place when
//! routing changes or when the previous hop falls silent. So no two previous hops take turns, and
//! no payment wanders between them.

use rsvp_wire::object::{Filter, Hop};

use super::Core;
use super::counters::bump;
use super::path::Arrived;
use super::psb::{Former, Psb};
use super::session::SessionState;
use super::time::{Instant, Now, lifetime, longest_gap};
use crate::kernel::Route;

/// The last PATH of a sender over an interface, if another one counts at present.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) arrived: Arrived,
    pub(crate) expires: Instant,
}

impl Heard {
    pub(crate) fn is(&self, sender: Filter, incoming: u32) -> bool {
        self.arrived.sender == sender && self.arrived.incoming == incoming
    }
}

impl SessionState {
    /// Decides whether a PATH from another previous hop than the block's takes its place; if not it
    /// is kept aside.
    pub(crate) fn counts(
        &mut self,
        core: &Core,
        now: Now,
        index: usize,
        arrived: &Arrived,
    ) -> bool {
        let Some(psb) = self.senders.get(index) else { return true };
        let known = self.heard.iter().position(|heard| heard.is(psb.sender, arrived.incoming));
        let right =
            psb.incoming == arrived.incoming || self.prefers(core, now, psb, arrived.incoming);
        if right && !self.takes_turns(core, now, psb, arrived) {
            if let Some(known) = known {
                self.heard.swap_remove(known);
            }
            return true;
        }
        let k = u32::from(core.config.rsvp.lifetime_multiplier);
        let expires = now.at + lifetime(arrived.refresh_ms, k);
        let heard = Heard { arrived: arrived.clone(), expires };
        match known.and_then(|at| self.heard.get_mut(at)) {
            Some(old) => *old = heard,
            None => self.heard.push(heard),
        }
        false
    }

    /// True if a PATH comes from a previous hop that had the block for less than a refresh, until
    /// the one before took it back, and routing does not tell which of them is right. One that the
    /// data has left speaks until its state ends, and where it charges also as often as it gains or
    /// loses a reservation by being believed: each of the two would be answered by the other.
    fn takes_turns(&self, core: &Core, now: Now, psb: &Psb, arrived: &Arrived) -> bool {
        let usable = core.interfaces.get(psb.incoming).is_some_and(|port| port.usable());
        let routed = self.session.destination.is_multicast() && psb.incoming != arrived.incoming;
        let back = |former: &Former| {
            former.was_detour
                && (former.hop, former.incoming) == (arrived.hop, arrived.incoming)
                && now.at < former.until
        };
        usable && !routed && psb.former.as_deref().is_some_and(back)
    }

    /// True if `incoming` is where a sender's data is to come in, rather than where its block says.
    fn prefers(&self, core: &Core, now: Now, psb: &Psb, incoming: u32) -> bool {
        if !self.session.destination.is_multicast() {
            // No interface is expected of unicast data: the newest PATH is right.
            return true;
        }
        let usable = core.interfaces.get(psb.incoming).is_some_and(|port| port.usable());
        if !usable {
            return true;
        }
        if let Some(Route::Multicast { incoming: expected, .. }) = core.routes.get(&psb.route) {
            return incoming == *expected;
        }
        if let Some(chosen) = self.chosen_way(psb.sender) {
            return incoming == chosen || overdue(core, now, psb);
        }
        let chosen = self.receiver.as_ref().and_then(|receiver| receiver.request.interface);
        match chosen {
            Some(chosen) if chosen == incoming => true,
            Some(chosen) if chosen == psb.incoming => false,
            _ => overdue(core, now, psb),
        }
    }

    /// Lets a PATH that was kept aside take its place if routing expects the data from there now.
    pub(crate) fn follow_expected(&mut self, core: &mut Core, now: Now, index: usize) {
        let Some(psb) = self.senders.get(index) else { return };
        let Some(Route::Multicast { incoming, .. }) = core.routes.get(&psb.route) else { return };
        if *incoming != psb.incoming {
            let (sender, expected) = (psb.sender, *incoming);
            self.take_heard(core, now, |heard| heard.is(sender, expected));
        }
    }

    /// After a sender's block is gone: what was heard of it elsewhere makes a new one.
    pub(crate) fn fall_back(&mut self, core: &mut Core, now: Now, sender: Filter) {
        self.take_heard(core, now, |heard| heard.arrived.sender == sender);
    }

    fn take_heard(&mut self, core: &mut Core, now: Now, wanted: impl Fn(&Heard) -> bool) {
        let Some(at) = self.heard.iter().position(wanted) else { return };
        let Heard { arrived, expires } = self.heard.swap_remove(at);
        let sender = arrived.sender;
        match self.take_path(core, now, arrived) {
            Ok(()) => {
                // It is no fresher for having been kept.
                if let Some(psb) = self.sender(sender).and_then(|at| self.senders.get_mut(at)) {
                    psb.expires = psb.expires.min(expires);
                }
            }
            // Whoever sent it is told when it comes again.
            Err(fault) => core.counters.drop(fault.reason),
        }
    }

    /// A PATHTEAR for what was kept aside; false if that was not there.
    pub(crate) fn unhear(&mut self, sender: Filter, hop: Hop, incoming: u32) -> bool {
        let at = self.heard.iter().position(|h| h.is(sender, incoming) && h.arrived.hop == hop);
        at.map(|at| self.heard.swap_remove(at)).is_some()
    }

    /// Forgets what was not repeated in time.
    pub(crate) fn expire_heard(&mut self, core: &mut Core, now: Now) {
        let before = self.heard.len();
        self.heard.retain(|heard| heard.expires > now.at);
        for _ in self.heard.len()..before {
            bump(&mut core.counters.expired, "sender_elsewhere");
        }
    }
}

/// True if a block's previous hop should have refreshed it by now: it repeats after 1.5 R at the
/// latest (RFC 2205 section 3.7).
fn overdue(core: &Core, now: Now, psb: &Psb) -> bool {
    let k = u32::from(core.config.rsvp.lifetime_multiplier);
    now.at + lifetime(psb.refresh_ms, k) > psb.expires + longest_gap(psb.refresh_ms)
}
