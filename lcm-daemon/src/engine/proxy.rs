//! Reservations for receivers without RSVP (RFC 5945, RFC 5946): a PATH brings them about, as if a
//! RESV had come in where the data goes out.
//!
//! ```text
//!  PATH ─▶ PSB ─▶ [[receiver_proxy]] for this session and interface?
//!                   │ price within its maximum?  no ─▶ PATHERR 02/4 to the sender
//!                   ▼
//!         RSB with `proxied`, which no refresh keeps ─▶ RESV upstream as ever
//!                   │
//!   refused above ──┴──▶ PATHERR to the sender with the code of the RESVERR (section 3.1.2), and
//!                        RESVTEAR: nothing is held along a way that is not whole
//! ```
//!
//! The branch of the charging model is the receiver's, as with a receiver that speaks RSVP, so the
//! price of the last link counts and the receiver's account is debited; only the consent is the
//! operator's: its configured maximum, never more.

use std::net::IpAddr;

use charging_model::BranchKey;
use rsvp_wire::iana::{error_code, policy};
use rsvp_wire::object::{
    ErrorFlags, ErrorSpec, Filter, Float, FlowSpec, SenderTemplate, SenderTspec, Session, Tspec,
};
use rsvp_wire::{EncodeObject as _, Sink};

use super::charging::{self, Fault, LocalDue};
use super::counters::bump;
use super::error::{about, send_path_err};
use super::local::{Behind, Handle, LocalError, SenderRequest, SenderShare};
use super::policy::ResvPolicy;
use super::psb::Psb;
use super::resv::Request;
use super::rsb::{Rsb, Selection};
use super::session::SessionState;
use super::time::{Instant, Now, Span};
use super::{Core, Engine};
use crate::config::{ReceiverProxy, SenderProxy};

/// Unrecoverable Receiver Proxy Error: the value's low byte is the code of the RESVERR (RFC 5946
/// section 3.1.2).
const CAUSED_BY: u16 = 0x0100;

/// Bytes of the smallest packet of a sender without RSVP that is counted.
const MIN_POLICED: u32 = 64;

/// What became of one sender's reservation for the receivers behind an interface.
#[derive(Debug, Clone)]
pub(crate) struct Proxied {
    sender: Filter,
    interface: u32,
    state: State,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    /// Nothing is known against it.
    Open,
    /// It is asked for.
    Asked,
    /// The price of this epoch is above the maximum: another one is looked at.
    Declined { epoch: u32, until: Instant },
    /// It was refused: tried again then, or when the sender changes its tspec.
    Failed { tspec: Tspec, until: Instant },
    /// Somebody behind the interface speaks RSVP: this node is a router like any other
    /// (section 4.1).
    Given,
}

impl State {
    /// When it is looked at again.
    fn until(&self) -> Instant {
        match self {
            Self::Declined { until, .. } | Self::Failed { until, .. } => *until,
            Self::Open | Self::Asked | Self::Given => Instant::NEVER,
        }
    }
}

/// What a proxy is about to ask for.
struct Wish {
    interface: u32,
    next_hop: IpAddr,
    flowspec: FlowSpec,
    payments: charging::Payments,
    /// It keeps what is left of a reservation, until more is asked for again.
    kept: bool,
}

impl Core {
    /// What the operator has configured for receivers of a session behind an interface.
    pub(crate) fn receiver_proxy(
        &self,
        session: Session,
        interface: u32,
    ) -> Option<&ReceiverProxy> {
        let all = &self.config.receiver_proxies;
        let name = &self.interfaces.get(interface).filter(|_| !all.is_empty())?.kernel.name;
        let port = if session.generalized { 0 } else { session.destination_port };
        all.iter().find(|proxy| {
            proxy.interface.as_ref().is_none_or(|own| own == name)
                && proxy.is_for(session.destination, session.protocol, port)
        })
    }

    /// Whether PATH ends here because the receivers behind an interface are known to have no RSVP.
    pub(crate) fn sinks_path(&self, session: Session, interface: u32) -> bool {
        self.receiver_proxy(session, interface).is_some_and(|proxy| !proxy.discover)
    }
}

impl SessionState {
    /// Reserves one sender's data for receivers without RSVP, at the price as it stands, or keeps
    /// what was agreed before.
    pub(crate) fn answer_as_proxy(&mut self, core: &mut Core, now: Now, index: usize) {
        if core.config.receiver_proxies.is_empty() {
            return;
        }
        let Some(psb) = self.senders.get(index) else { return };
        for interface in psb.outgoing.clone().iter() {
            self.answer_behind(core, now, index, *interface);
        }
        let Some(psb) = self.senders.get(index) else { return };
        let gone =
            |one: &Proxied| one.sender == psb.sender && !psb.outgoing.contains(&one.interface);
        self.proxied.retain(|one| !gone(one));
    }

    fn answer_behind(&mut self, core: &mut Core, now: Now, index: usize, interface: u32) {
        let Some(psb) = self.senders.get(index) else { return };
        let Some(proxy) = core.receiver_proxy(self.session, interface) else { return };
        let Some(next_hop) = stand_in(core, self.session, interface) else { return };
        let most = proxy.max_price_pico_per_s;
        let mut flowspec = wanted(proxy, psb);
        let sender = psb.sender;
        let here = |rsb: &&Rsb| rsb.outgoing == interface && rsb.selects(sender);
        let standing = self.reservations.iter().filter(here).find(|rsb| rsb.proxied);
        let stands = standing.is_some();
        if !stands && self.reservations.iter().any(|rsb| here(&rsb)) {
            return;
        }
        let mut kept = false;
        match (self.proxied_state(sender, interface), standing) {
            (Some(State::Given), _) => return,
            (Some(State::Failed { tspec, until }), standing)
                if *until > now.at && *tspec == psb.facts.tspec =>
            {
                // What is left is kept, at any price that it may have.
                let Some(standing) = standing else { return };
                (flowspec, kept) = (standing.flowspec, true);
            }
            _ => {}
        }
        let known = standing.is_some_and(|rsb| rsb.flowspec == flowspec);
        let mut payments = charging::Payments::default();
        if psb.flow.is_some() {
            let key = charging::branch(interface, next_hop);
            let Some(due) = charging::due_of(psb, key) else { return };
            if known && (due.approved || core.unwritten.closed()) {
                return;
            }
            if due.payment > most {
                return self.decline(core, now, index, key, (due, most, stands));
            }
            payments = charging::Payments::of_receiver(sender, due.payment);
        } else if known {
            return;
        }
        let wish = Wish { interface, next_hop, flowspec, payments, kept };
        self.reserve_as_proxy(core, now, index, wish);
    }

    /// Tells the sender that the price is above what may be agreed to: of each price once, and then
    /// again when it is looked at again, since errors get lost.
    fn decline(
        &mut self,
        core: &mut Core,
        now: Now,
        index: usize,
        key: BranchKey,
        (due, most, stands): (LocalDue, u64, bool),
    ) {
        let Some(psb) = self.senders.get(index) else { return };
        let (sender, interface) = (psb.sender, key.group);
        if let Some(State::Declined { epoch, until }) = self.proxied_state(sender, interface)
            && *epoch == due.epoch
            && *until > now.at
        {
            return;
        }
        let mut fault = Fault::above_maximum(core, psb, key, due.payment, most);
        fault.in_place = stands;
        let until = self.retry_at(core, interface);
        self.set_proxied(sender, interface, State::Declined { epoch: due.epoch, until });
        bump(&mut core.counters.receiver_proxy, "declined");
        self.tell_sender(core, index, &fault);
    }

    fn reserve_as_proxy(&mut self, core: &mut Core, now: Now, index: usize, wish: Wish) {
        let Some(psb) = self.senders.get(index) else { return };
        let sender = psb.sender;
        let Wish { interface, next_hop, flowspec, payments, kept } = wish;
        if !kept && self.proxied_state(sender, interface) != Some(&State::Asked) {
            bump(&mut core.counters.receiver_proxy, "asked");
        }
        if !kept {
            // What comes of it may ask what there is to reserve, before it is known that there is
            // room: no more than stands.
            self.proxy_failed(core, sender, interface);
        }
        let request = Request {
            outgoing: interface,
            next_hop,
            selection: Selection::Fixed(sender),
            flowspec,
            confirm: None,
            scope: None,
            refresh_ms: core.config.rsvp.refresh_ms,
            policy: ResvPolicy { payments, ..ResvPolicy::default() },
            paid_before: false,
            stood: None,
            payers: Box::default(),
            proxied: true,
            yielding: 0,
        };
        // This comes in the middle of something else: what that has changed takes room, or gives it.
        self.update_traffic(core);
        // A failure here is one that a router on the way would answer with RESVERR.
        let refusals = self.take_resv(core, now, request);
        let fails = |fault: &Fault| !fault.in_place || fault.code == error_code::ADMISSION;
        let failed = refusals.iter().any(|(_, fault)| fails(fault));
        let waits = matches!(self.proxied_state(sender, interface), Some(State::Failed { .. }));
        match (failed, kept) {
            (true, _) => self.proxy_failed(core, sender, interface),
            (false, false) if waits => drop(self.set_proxied(sender, interface, State::Asked)),
            (false, _) => {}
        }
        for (_, fault) in refusals {
            bump(&mut core.counters.receiver_proxy, "refused_here");
            self.tell_sender(core, index, &as_proxy(&fault));
        }
    }

    /// What a proxy asked for failed: it is tried again by the clock, or when the sender asks for
    /// something else, never by what the failure itself changes.
    fn proxy_failed(&mut self, core: &Core, sender: Filter, interface: u32) {
        let psb = self.sender(sender).and_then(|index| self.senders.get(index));
        if let Some(tspec) = psb.map(|psb| psb.facts.tspec) {
            let until = self.retry_at(core, interface);
            self.set_proxied(sender, interface, State::Failed { tspec, until });
        }
    }

    /// When a proxy looks again at what failed now.
    fn retry_at(&self, core: &Core, interface: u32) -> Instant {
        let retry_s = core.receiver_proxy(self.session, interface).map_or(0, |one| one.retry_s);
        core.at + Span::from_millis(u64::from(retry_s) * 1_000)
    }

    /// What this node reserved for a receiver was refused above (RFC 5946 section 3.1).
    pub(crate) fn proxy_refused(
        &mut self,
        core: &mut Core,
        now: Now,
        (sender, interface): (Filter, u32),
        error: ErrorSpec,
    ) {
        let Some(index) = self.sender(sender) else { return };
        if core.receiver_proxy(self.session, interface).is_none() {
            return;
        }
        bump(&mut core.counters.receiver_proxy, "refused_above");
        let mut fault = as_proxy(&Fault::new(error.code, error.value, "refused_above"));
        fault.in_place = error.flags.contains(ErrorFlags::IN_PLACE);
        self.tell_sender(core, index, &fault);
        if !fault.in_place {
            self.proxy_failed(core, sender, interface);
            self.end_proxied(core, now, sender, interface);
        }
    }

    /// What was reserved is given up here: nobody pays for it any more, or a price was not agreed to
    /// in time. One that was declined waits for another price, which may come before it is tried
    /// again.
    pub(crate) fn proxy_ended(
        &mut self,
        core: &mut Core,
        sender: Filter,
        interface: u32,
        fault: &Fault,
    ) {
        bump(&mut core.counters.receiver_proxy, "ended");
        if !matches!(self.proxied_state(sender, interface), Some(State::Declined { .. })) {
            self.proxy_failed(core, sender, interface);
        }
        if let Some(index) = self.sender(sender) {
            self.tell_sender(core, index, &as_proxy(fault));
        }
    }

    /// What was reserved gives way to a request of higher priority, as a whole or in part.
    pub(crate) fn proxy_preempted(
        &mut self,
        core: &mut Core,
        sender: Filter,
        interface: u32,
        value: u16,
    ) {
        bump(&mut core.counters.receiver_proxy, "preempted");
        self.proxy_failed(core, sender, interface);
        let mut fault = Fault::new(error_code::POLICY, value, "preempted");
        fault.in_place = value == policy::PARTIAL_PREEMPT;
        if let Some(index) = self.sender(sender) {
            self.tell_sender(core, index, &fault);
        }
    }

    /// A next hop reserves for itself: what this node reserved in its place ends.
    pub(crate) fn give_way(
        &mut self,
        core: &mut Core,
        now: Now,
        interface: u32,
        senders: &[Filter],
    ) {
        for sender in senders {
            let known = self.proxied_state(*sender, interface);
            if core.receiver_proxy(self.session, interface).is_none()
                || known == Some(&State::Given)
            {
                continue;
            }
            bump(&mut core.counters.receiver_proxy, "gave_way");
            self.set_proxied(*sender, interface, State::Given);
            self.end_proxied(core, now, *sender, interface);
        }
    }

    fn end_proxied(&mut self, core: &mut Core, now: Now, sender: Filter, interface: u32) {
        let ours = |rsb: &Rsb| rsb.proxied && rsb.outgoing == interface && rsb.selects(sender);
        if let Some(at) = self.reservations.iter().position(ours) {
            self.end_reservation(core, now, at, &[]);
            self.after_all_charging(core, now);
        }
    }

    /// Forgets a sender.
    pub(crate) fn forget_proxied(&mut self, sender: Filter) {
        self.proxied.retain(|one| one.sender != sender);
    }

    /// When something is to be tried again.
    pub(crate) fn proxy_deadline(&self) -> Instant {
        self.proxied.iter().map(|one| one.state.until()).fold(Instant::NEVER, Instant::min)
    }

    /// Tries again what is due. Whatever comes of it, the instant that has passed is forgotten: what
    /// stands by now waits for nothing.
    pub(crate) fn proxies_due(&mut self, core: &mut Core, now: Now) {
        if self.proxy_deadline() > now.at {
            return;
        }
        for one in self.proxied.iter_mut().filter(|one| one.state.until() <= now.at) {
            one.state = State::Open;
        }
        self.after_all_charging(core, now);
    }

    fn proxied_state(&self, sender: Filter, interface: u32) -> Option<&State> {
        let of = |one: &&Proxied| one.sender == sender && one.interface == interface;
        self.proxied.iter().find(of).map(|one| &one.state)
    }

    /// True if it was another one.
    fn set_proxied(&mut self, sender: Filter, interface: u32, state: State) -> bool {
        let of = |one: &&mut Proxied| one.sender == sender && one.interface == interface;
        match self.proxied.iter_mut().find(of) {
            Some(one) => std::mem::replace(&mut one.state, state.clone()) != state,
            None => {
                self.proxied.push(Proxied { sender, interface, state });
                true
            }
        }
    }

    /// PATHERR towards a sender (RFC 5946 section 3.1.1), or word to the application here.
    fn tell_sender(&mut self, core: &mut Core, index: usize, fault: &Fault) {
        let Some(psb) = self.senders.get(index) else { return };
        let (session, sender) = (self.session, psb.sender);
        let Some(phop) = psb.phop else {
            let (code, value) = (fault.code, fault.value);
            let node = core.interfaces.iter().find_map(|port| port.kernel.addresses.first());
            let node = node.map_or(sender.source, |(address, _)| *address);
            let mut event = about(ErrorSpec { node, flags: ErrorFlags::NONE, code, value }, None);
            event.explain(Some(fault.reason.to_owned()));
            return self.notify_sender(core, sender, event);
        };
        let descriptor = descriptor(psb);
        send_path_err(core, psb.incoming, phop, session, &descriptor, fault);
    }
}

impl Engine {
    /// Opens the senders of `[[sender_proxy]]` that are not open yet and whose interface is there;
    /// returns what keeps others from it, once for each.
    pub fn open_proxies(&mut self, now: Now) -> Vec<(SenderProxy, LocalError)> {
        let mut failed = Vec::new();
        for (proxy, told) in std::mem::take(&mut self.core.unopened) {
            let Err(error) = self.open_proxy(now, &proxy) else { continue };
            if matches!(error, LocalError::UnknownInterface(_)) {
                self.core.unopened.push((proxy.clone(), true));
            }
            if !told {
                failed.push((proxy, error));
            }
        }
        failed
    }

    fn open_proxy(&mut self, now: Now, proxy: &SenderProxy) -> Result<Handle, LocalError> {
        let behind = match &proxy.interface {
            None => Behind::Anywhere,
            Some(name) => {
                let unknown = || LocalError::UnknownInterface(name.clone());
                Behind::Interface(self.interface_index(name).ok_or_else(unknown)?)
            }
        };
        let request = SenderRequest {
            session: Session::new(proxy.session.ip(), proxy.protocol, proxy.session.port()),
            sender: Filter::port(proxy.source.ip(), proxy.source.port()),
            tspec: Tspec {
                rate: Float::from_integer(proxy.rate),
                bucket: Float::from_integer(proxy.bucket),
                peak: Float::INFINITY,
                min_policed: MIN_POLICED,
                max_packet: proxy.max_packet,
            },
            ttl: proxy.ttl,
            interface: None,
            share: proxy.fraction_ppm.map(|fraction_ppm| SenderShare {
                fraction_ppm,
                account: None,
                limit_per_receiver: proxy.limit_per_receiver,
                limit_per_hop: proxy.limit_per_hop,
                max_hops: proxy.max_hops,
            }),
            behind: Some(behind),
        };
        self.open_sender(now, request)
    }
}

/// The sender descriptor of a PSB: SENDER_TEMPLATE, SENDER_TSPEC and ADSPEC.
fn descriptor(psb: &Psb) -> Vec<u8> {
    let (template, tspec) = (SenderTemplate(psb.sender), SenderTspec(psb.facts.tspec));
    let mut bytes = vec![0; template.encoded_len() + tspec.encoded_len()];
    let mut sink = Sink::new(&mut bytes);
    sink.put_object(&template);
    sink.put_object(&tspec);
    bytes.extend_from_slice(psb.facts.adspec.as_deref().unwrap_or_default());
    bytes
}

/// The error as the sender is told (RFC 5946 section 3.1.2): what it can do something about as it
/// is, all else as a failure of the proxy.
fn as_proxy(fault: &Fault) -> Fault {
    let mut told = fault.clone();
    if ![error_code::ADMISSION, error_code::POLICY].contains(&fault.code) {
        told.code = error_code::RECEIVER_PROXY;
        told.value = CAUSED_BY | u16::from(fault.code);
    }
    told
}

/// What to reserve.
fn wanted(proxy: &ReceiverProxy, psb: &Psb) -> FlowSpec {
    let tspec = psb.facts.tspec;
    FlowSpec::ControlledLoad(match proxy.bucket {
        None => tspec,
        Some((rate, bucket)) => {
            Tspec { rate: Float::from_integer(rate), bucket: Float::from_integer(bucket), ..tspec }
        }
    })
}

/// The next hop in whose place a proxy reserves: the receiver, or for a group this node's own
/// address on the link, which no next hop can have.
fn stand_in(core: &Core, session: Session, interface: u32) -> Option<IpAddr> {
    match session.destination.is_multicast() {
        false => Some(session.destination),
        true => core.interfaces.address(interface, session.destination),
    }
}
