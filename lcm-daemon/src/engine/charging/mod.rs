//! The one adapter between RSVP state, charging elements on the wire, and the charging model.
//!
//! The rest of the engine treats policy as opaque: it asks here what to put into a PATH or a RESV,
//! whether a payment is good, and tells what came and went.

mod accounts;
mod assurance;
mod audit;
mod books;
mod context;
mod curve;
mod detail;
mod downstream;
mod exchange;
mod fault;
mod handler;
mod journal;
mod pricing;
mod purses;
mod repeat;
mod report;
mod returns;
mod serials;
mod unwritten;
mod upstream;
mod view;

pub(crate) use accounts::Accounts;
pub(crate) use assurance::{broken, lost, silent};
pub use audit::{Alarm, AlarmKind, AuditView};
pub(crate) use audit::{Audit, show as show_audit};
pub(crate) use books::Books;
pub(crate) use context::Context;
pub use context::wire_account;
pub(crate) use curve::{Heard, due_at, wish};
pub(crate) use detail::Detail;
pub use detail::HopCharge;
pub(crate) use downstream::{Announced, asked, originate, sync_groups, tell_alone, upstream_moved};
pub(crate) use exchange::{Border, Traded};
pub(crate) use fault::{ChargingFault, Fault, blames_others, charging_error, write_fault};
pub(crate) use journal::stop_spending;
pub(crate) use pricing::Priced;
pub(crate) use purses::{Account as PurseAccount, Denied, Purses, User};
pub(crate) use repeat::{Again, announced_again, paid_again, was_announced};
pub(crate) use report::report;
pub(crate) use returns::Returns;
pub(crate) use unwritten::Unwritten;
pub(crate) use upstream::{
    Admission, LocalDue, Payments, approved_until, due_of, is_paid, is_unpaid, new_flow,
    own_refused, release, renew_local, sender_refused, settle,
};
pub(crate) use view::{show_downstream, show_upstream};

use std::net::IpAddr;

use charging_model::flow::Happening;
use charging_model::{BranchKey, Clock, Millis};
use rsvp_wire::PolicyOptions;
use rsvp_wire::object::{FilterSpec, Hop, Style};

use super::counters::bump;
use super::local::NoticeEvent;
use super::outbox::Output;
use super::policy::{Handler, Handlers, Identities, Preemption};
use super::psb::Psb;
use super::rsb::LOCAL;
use super::session::SessionState;
use super::time::{Instant, Now, Span};
use super::{Core, Few, local::Notice};
use crate::config::Config;

/// Longest time for which changes that move no payment are collected (T19), in milliseconds.
const COALESCE_MS: u64 = 500;

/// Rounds of mutual reaction of a price, the receiver here and our own payment to one event; two
/// are enough, more would be an error that must not hang the router.
const MAX_ROUNDS: usize = 4;

/// The handlers of a node that controls policy, which is one that charges or asks who somebody is;
/// none on a policy-ignorant one. Charging stands last, so that nobody pays for what another one refuses.
pub(crate) fn handlers(config: &Config) -> Handlers {
    let mut handlers: Vec<Box<dyn Handler>> = Vec::new();
    if config.charging.is_some() || !config.identities.is_empty() {
        handlers.push(Box::new(Identities));
    }
    if let Some(charging) = &config.charging {
        handlers.push(Box::new(Preemption));
        handlers.push(Box::new(handler::Charging::new(charging.p_types)));
    }
    handlers.into()
}

/// Options of a POLICY_DATA object of ours.
fn options<'a>(own: Hop, destination: Option<Hop>, filters: &'a [FilterSpec]) -> PolicyOptions<'a> {
    PolicyOptions { destination, filters, ..PolicyOptions::from_hop(own) }
}

pub(super) fn clock(now: Now) -> Clock {
    Clock { now: Millis(now.at.as_millis()), unix_s: now.serial_s }
}

pub(crate) fn branch(outgoing: u32, next_hop: IpAddr) -> BranchKey {
    BranchKey { group: outgoing, hop: next_hop }
}

/// Who was told of changes at once.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Interfaces on which PATH went out.
    pub(crate) interfaces: Few<u32>,
    /// RESV went to the previous hop.
    pub(crate) upstream: bool,
}

impl SessionState {
    /// Tells everyone concerned what changed in one sender's charges.
    pub(crate) fn after_charging(&mut self, core: &mut Core, now: Now, index: usize) -> Told {
        let mut told = Told::default();
        for _ in 0..MAX_ROUNDS {
            self.answer_locally(core, now, index);
            self.answer_as_proxy(core, now, index);
            self.tell_detail(core, now, index);
            let Some(psb) = self.senders.get_mut(index) else { return told };
            let (phop, origin) = (psb.phop_address(), psb.phop.is_none());
            let held_back = psb.held_back;
            let Some(flow) = psb.flow.as_mut() else { return told };
            let changes = flow.take_changes();
            journal::take(core, now, psb);
            audit::take(core, now, self.session, psb);
            let sender = psb.sender;
            if changes.withdrawn
                && let Some(style) = self.style()
            {
                self.tear_upstream(core, style, &[sender]);
            }
            if changes.groups.is_empty() && !changes.payment && !changes.coalescable {
                return told;
            }
            for group in changes.groups.into_iter().filter(|group| *group != LOCAL) {
                self.forward_path_on(core, now, index, group);
                told.interfaces.push(group);
            }
            if origin {
                // The chain of payments ends here: nobody is to be told but the application.
                self.tell_origin(core, now, index);
            } else if changes.payment {
                if let Some(phop) = phop {
                    self.send_resv(core, now, phop);
                    told.upstream = true;
                }
            } else if changes.coalescable && !held_back {
                self.refresh_resv_soon(core, now);
            }
        }
        told
    }

    /// As [`after_charging`](Self::after_charging), for all senders.
    pub(crate) fn after_all_charging(&mut self, core: &mut Core, now: Now) {
        for index in 0..self.senders.len() {
            self.after_charging(core, now, index);
        }
    }

    /// After a join or leave: senders that share a reservation on an interface share its price
    /// anew.
    pub(crate) fn share_prices(&mut self, core: &mut Core, now: Now, outgoing: u32) {
        if outgoing == LOCAL || self.style() == Some(Style::FixedFilter) {
            return;
        }
        for index in 0..self.senders.len() {
            self.follow_route(core, now, index);
        }
    }

    /// What is due by the clock in one sender's charges.
    pub(crate) fn charging_due(&mut self, core: &mut Core, now: Now, index: usize) {
        let Some(psb) = self.senders.get_mut(index) else { return };
        let Some(flow) = psb.flow.as_mut() else { return };
        if flow.next_deadline().is_none_or(|at| at > clock(now).now) {
            return;
        }
        let happenings = flow.tick(clock(now));
        let sender = psb.sender;
        let mut refused = Vec::new();
        for happening in happenings {
            match happening {
                Happening::Uncovered(key) => {
                    bump(&mut core.counters.expired, "uncovered_price");
                    refused.push((key, Fault::uncovered(core, psb, key)));
                }
                Happening::Inconsistent(key) => {
                    let fault = Fault::inconsistent_totals(core, psb, key);
                    bump(&mut core.counters.payments_refused, fault.reason);
                    refused.push((key, fault));
                }
                Happening::Lapsed(_) => bump(&mut core.counters.expired, "approval"),
            }
        }
        for (key, fault) in refused {
            self.refuse_existing(core, key, sender, &fault);
            self.release_payer(core, now, key, sender);
        }
        self.after_charging(core, now, index);
    }

    /// Changes that move no payment wait a little for others (T19).
    fn refresh_resv_soon(&mut self, core: &Core, now: Now) {
        let wait = COALESCE_MS.min(u64::from(core.config.rsvp.refresh_ms) / 2);
        let soon: Instant = now.at + Span::from_millis(wait);
        self.resv_refresh = self.resv_refresh.min(soon);
    }

    /// Tells the sending application what it pays.
    fn tell_origin(&mut self, core: &mut Core, now: Now, index: usize) {
        let Some(psb) = self.senders.get_mut(index) else { return };
        let Some(flow) = psb.flow.as_mut() else { return };
        let Some(paid) = flow.own_payment(clock(now)) else { return };
        let sender = psb.sender;
        let Some(local) = self.local_senders.iter_mut().find(|l| l.sender == sender) else {
            return;
        };
        // Its own next hops debit the sender; what they all announced is covered by both sides.
        let sender_pays: u64 =
            flow.branches().map(|branch| branch.sender_payment.0).fold(0, u64::saturating_add);
        let total = paid.announced_total.0;
        let receivers_pay = total.saturating_sub(sender_pays);
        let event = NoticeEvent::Reserved { receivers_pay, sender_pays, total };
        if local.told.as_ref() != Some(&event) {
            local.told = Some(event.clone());
            core.outbox.push(Output::Notice(Notice { handle: local.handle, sender, event }));
        }
    }
}

/// The account of a neighbour as a person reads it.
pub(super) fn account_text(account: &charging_model::flow::Account) -> String {
    let kind = rsvp_wire::charging::AccountKind::from(account.kind());
    rsvp_wire::charging::Account::new(kind, account.id()).to_string()
}

/// True where this sender's charging state is kept on an interface.
pub(crate) fn charges_on(core: &Core, psb: &Psb, interface: u32) -> bool {
    psb.flow.is_some()
        && (interface == LOCAL
            || core.interfaces.get(interface).is_some_and(|port| port.settings.charging))
}
