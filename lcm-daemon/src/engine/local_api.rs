//! What applications and operators on this node ask of the engine.

use std::collections::BTreeMap;
use std::net::IpAddr;

use rsvp_wire::EncodeObject;
use rsvp_wire::object::{Adspec, Filter, Float, FlowSpec, ResvConfirm, Session, Style, Tspec};

use super::charging;
use super::flowspec::lower_bound;
use super::limits::Seat;
use super::local::{
    Behind, Handle, Level, LocalError, LocalReceiver, LocalSender, Notice, NoticeEvent,
    ReceiverRequest, SenderRequest,
};
use super::outbox::Output;
use super::path::{has_stray_port, may_be_destination, may_be_source};
use super::policy::{self, Elements, ResvPolicy};
use super::psb::{Psb, SenderFacts};
use super::resv::Request;
use super::rsb::{LOCAL, Selection};
use super::session::SessionState;
use super::time::{Instant, Now};
use super::upstream::own_address;
use super::{Core, Engine};
use crate::config::{Config, REFRESH_MS_MAX, REFRESH_MS_MIN};
use crate::kernel::RouteKey;
use crate::tariff::Tariff;

/// A change of the local price on an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceChange {
    /// Interface name.
    pub interface: String,
    /// New local price, in wire units.
    pub price: u64,
    /// New highest price; `None` keeps the old one, raised to `price` if need be.
    pub max_price: Option<u64>,
    /// Take effect when the next reservation is admitted here, instead of at once (charging.md
    /// T6: a price may have moved when the RESV arrives).
    pub at_admission: bool,
}

impl Engine {
    /// Starts to send PATH for a sender on this node.
    pub fn open_sender(&mut self, now: Now, request: SenderRequest) -> Result<Handle, LocalError> {
        let now = self.enter(now);
        let SenderRequest { session, sender, .. } = request;
        if !may_be_destination(session.destination) {
            return Err(LocalError::BadDestination(session.destination));
        }
        if request.behind.is_none() && !self.core.interfaces.owns(sender.source) {
            return Err(LocalError::NotOurAddress(sender.source));
        }
        if !may_be_source(sender.source) {
            return Err(LocalError::BadSource(sender.source));
        }
        if has_stray_port(&session, sender) {
            return Err(LocalError::Ports(session));
        }
        if request.share.is_some() && self.core.config.charging.is_none() {
            return Err(LocalError::ChargingOff);
        }
        let slot = self.slot_for(session)?;
        let handle = self.core.new_handle();
        self.with_session(slot, |core, state| state.add_local_sender(core, now, handle, request))
            .unwrap_or(Err(LocalError::UnknownHandle(handle)))
            .map(|()| handle)
    }

    /// Starts to answer PATH for a receiver on this node.
    pub fn open_receiver(
        &mut self,
        now: Now,
        request: ReceiverRequest,
    ) -> Result<Handle, LocalError> {
        let now = self.enter(now);
        let session = request.session;
        if !may_be_destination(session.destination) {
            return Err(LocalError::BadDestination(session.destination));
        }
        if !session.destination.is_multicast() && !self.core.interfaces.owns(session.destination) {
            return Err(LocalError::NotOurAddress(session.destination));
        }
        let slot = self.slot_for(session)?;
        let handle = self.core.new_handle();
        self.with_session(slot, |core, state| state.add_receiver(core, now, handle, request))
            .unwrap_or(Err(LocalError::UnknownHandle(handle)))
            .map(|()| handle)
    }

    /// Ends a registration: PATHTEAR or RESVTEAR goes out at once.
    pub fn close(&mut self, now: Now, handle: Handle) -> Result<(), LocalError> {
        let now = self.enter(now);
        let slot = self
            .sessions
            .iter()
            .find(|session| session.is_registered(handle))
            .map(|session| session.slot)
            .ok_or(LocalError::UnknownHandle(handle))?;
        self.core.closing = true;
        self.with_session(slot, |core, session| session.close(core, now, handle));
        self.core.closing = false;
        Ok(())
    }

    /// Ends all registrations, as before the node stops.
    pub fn close_all(&mut self, now: Now) {
        let now = self.enter(now);
        self.core.closing = true;
        for slot in self.sessions.slots() {
            self.with_session(slot, |core, session| {
                for handle in session.handles() {
                    session.close(core, now, handle);
                }
            });
        }
        self.core.closing = false;
    }

    /// Changes the local price of an interface; sessions that go out there are quoted anew, many
    /// of them one after another, unless the change waits for an admission.
    pub fn set_price(&mut self, now: Now, change: &PriceChange) -> Result<(), LocalError> {
        let now = self.enter(now);
        let port = self
            .core
            .interfaces
            .by_name_mut(&change.interface)
            .ok_or_else(|| LocalError::UnknownInterface(change.interface.clone()))?;
        let old_max = port.settings.tariff.max_price_pico_per_s();
        let most = change.max_price.unwrap_or(old_max.max(change.price));
        if change.price > most {
            return Err(LocalError::OutOfRange { what: "price", value: change.price, most });
        }
        if change.at_admission {
            port.price_at_admission = Some(change.price);
            return Ok(());
        }
        port.set_price(change.price, most);
        let interface = port.kernel.index;
        self.core.repriced.push(interface);
        self.requote_repriced(now);
        Ok(())
    }

    /// Takes the tariffs of a configuration that was read again; returns those that are new, by
    /// interface. A price that an operator set holds until the configuration has another tariff.
    pub fn set_tariffs(&mut self, now: Now, config: &Config) -> Vec<(String, Tariff)> {
        let before = self.core.config.clone();
        self.core.config.take_tariffs(config);
        let ports = self.core.interfaces.iter();
        let names: Vec<String> = ports.map(|port| port.kernel.name.clone()).collect();
        let tariff = |name: String| {
            let tariff = self.core.config.interface(&name).tariff.clone();
            (tariff != before.interface(&name).tariff).then_some((name, tariff))
        };
        let changed: Vec<_> = names.into_iter().filter_map(tariff).collect();
        for (name, tariff) in &changed {
            // Each was found by its name just now.
            let _ = self.set_tariff(now, name, tariff.clone());
        }
        changed
    }

    /// Changes how the local price of an interface is found; sessions that go out there are quoted
    /// anew, many of them one after another.
    ///
    /// # Errors
    ///
    /// If there is no such interface.
    pub fn set_tariff(
        &mut self,
        now: Now,
        interface: &str,
        tariff: Tariff,
    ) -> Result<(), LocalError> {
        let now = self.enter(now);
        let port = self
            .core
            .interfaces
            .by_name_mut(interface)
            .ok_or_else(|| LocalError::UnknownInterface(interface.to_owned()))?;
        port.price_at_admission = None;
        port.set_tariff(tariff);
        let interface = port.kernel.index;
        self.core.share();
        self.core.repriced.push(interface);
        self.move_prices(now);
        Ok(())
    }

    /// Changes the refresh period R of an interface. A shorter one holds at once; a longer one is
    /// approached by Slew.Max from one refresh to the next (RFC 2205 section 3.7).
    ///
    /// # Errors
    ///
    /// If there is no such interface, if R is out of its range, or if prices quoted there would
    /// lapse before they are repeated.
    pub fn set_refresh(
        &mut self,
        now: Now,
        interface: &str,
        refresh_ms: u32,
    ) -> Result<(), LocalError> {
        let now = self.enter(now);
        let port = self
            .core
            .interfaces
            .by_name_mut(interface)
            .ok_or_else(|| LocalError::UnknownInterface(interface.to_owned()))?;
        let mut most = REFRESH_MS_MAX;
        if port.settings.charging && port.settings.rsvp {
            // A quote must outlive the longest gap, 1.5 R.
            most = most.min(port.settings.validity_ms / 3 * 2);
        }
        if !(REFRESH_MS_MIN..=most).contains(&refresh_ms) {
            return Err(LocalError::Refresh { refresh_ms, least: REFRESH_MS_MIN, most });
        }
        let index = port.kernel.index;
        self.core.interfaces.set_refresh(index, refresh_ms, now.at);
        for slot in self.sessions.slots() {
            self.with_session(slot, |core, session| session.refresh_sooner(core, now));
        }
        Ok(())
    }

    fn slot_for(&mut self, session: Session) -> Result<usize, LocalError> {
        let limits = &self.core.config.limits;
        if self.core.neighbours.handles.count() >= u64::from(limits.max_local_handles) {
            return Err(LocalError::Limit("max_local_handles"));
        }
        if let Some(slot) = self.sessions.find(&session) {
            return Ok(slot);
        }
        if self.sessions.len() >= limits.max_sessions as usize {
            return Err(LocalError::Limit("max_sessions"));
        }
        if self.sessions.port_conflict(&session) {
            return Err(LocalError::Ports(session));
        }
        Ok(self.sessions.create(session))
    }
}

impl Core {
    fn new_handle(&mut self) -> Handle {
        self.next_handle = self.next_handle.saturating_add(1);
        Handle(self.next_handle)
    }
}

impl SessionState {
    fn is_registered(&self, handle: Handle) -> bool {
        self.handles().contains(&handle)
    }

    fn handles(&self) -> Vec<Handle> {
        let receiver = self.receiver.iter().map(|receiver| receiver.handle);
        self.local_senders.iter().map(|sender| sender.handle).chain(receiver).collect()
    }

    fn add_local_sender(
        &mut self,
        core: &mut Core,
        now: Now,
        handle: Handle,
        request: SenderRequest,
    ) -> Result<(), LocalError> {
        if self.sender(request.sender).is_some() {
            return Err(LocalError::Taken(self.session));
        }
        let incoming = match request.behind {
            Some(Behind::Interface(interface)) => interface,
            Some(Behind::Anywhere) | None => LOCAL,
        };
        let transits = incoming != LOCAL && self.session.destination.is_multicast();
        let facts = SenderFacts {
            tspec: request.tspec,
            adspec: Some(first_adspec()),
            carried: None,
            ttl: request.ttl,
            non_rsvp_hop: false,
            e_police: true,
        };
        let route = RouteKey {
            destination: self.session.destination,
            source: transits.then_some(request.sender.source),
            incoming: if transits { incoming } else { LOCAL },
            transport: None,
        };
        let refresh_ms = core.config.rsvp.refresh_ms;
        let pinned = request.interface;
        self.senders.push(Psb {
            incoming,
            pinned,
            ..Psb::new(request.sender, facts, refresh_ms, route)
        });
        let index = self.senders.len() - 1;
        self.local_senders.push(LocalSender {
            handle,
            sender: request.sender,
            told: None,
            _seat: Seat::take(&core.neighbours.handles, 1),
        });
        if let (Some(share), Some(psb)) = (&request.share, self.senders.get_mut(index)) {
            charging::originate(core, now, psb, share);
        }
        self.advertise(core, now, index);
        Ok(())
    }

    fn add_receiver(
        &mut self,
        core: &mut Core,
        now: Now,
        handle: Handle,
        request: ReceiverRequest,
    ) -> Result<(), LocalError> {
        if self.receiver.is_some() {
            return Err(LocalError::Taken(self.session));
        }
        self.receiver = Some(Box::new(LocalReceiver {
            handle,
            request,
            joined: Vec::new(),
            told: BTreeMap::new(),
            reduced: Vec::new(),
            fitted: Vec::new(),
            choosing: Vec::new(),
            _seat: Seat::take(&core.neighbours.handles, 1),
        }));
        self.join_usable(core);
        for index in 0..self.senders.len() {
            self.follow_route(core, now, index);
            self.after_charging(core, now, index);
        }
        self.arm_refresh(core, now);
        Ok(())
    }

    /// Joins the group of the receiver on this node on the interfaces that it asked for, or on all
    /// that speak RSVP and are up: one that comes up later is joined then.
    pub(crate) fn join_usable(&mut self, core: &mut Core) {
        let group = self.session.destination;
        let Some(receiver) = self.receiver.as_mut().filter(|_| group.is_multicast()) else {
            return;
        };
        let wanted: Vec<u32> = match receiver.request.interface {
            Some(interface) => vec![interface],
            None => {
                let usable = core.interfaces.iter().filter(|port| port.usable());
                usable.map(|port| port.kernel.index).collect()
            }
        };
        for interface in wanted {
            if !receiver.joined.contains(&interface) {
                receiver.joined.push(interface);
                core.outbox.push(Output::Join { group, interface });
            }
        }
    }

    fn close(&mut self, core: &mut Core, now: Now, handle: Handle) {
        if let Some(at) = self.local_senders.iter().position(|sender| sender.handle == handle) {
            let sender = self.local_senders.remove(at).sender;
            return self.drop_sender(core, now, sender);
        }
        let Some(receiver) = self.receiver.take_if(|receiver| receiver.handle == handle) else {
            return;
        };
        let group = self.session.destination;
        for interface in receiver.joined {
            core.outbox.push(Output::Leave { group, interface });
        }
        while let Some(at) = self.reservations.iter().position(|rsb| rsb.outgoing == LOCAL) {
            self.end_reservation(core, now, at, &[]);
        }
        for index in 0..self.senders.len() {
            self.follow_route(core, now, index);
            self.after_charging(core, now, index);
        }
        self.arm_refresh(core, now);
    }

    pub(crate) fn price_changed(&mut self, core: &mut Core, now: Now, interface: u32) {
        for index in 0..self.senders.len() {
            let concerned = self
                .senders
                .get(index)
                .is_some_and(|psb| psb.outgoing.contains(&interface) || psb.incoming == interface);
            if concerned {
                self.follow_route(core, now, index);
                self.after_charging(core, now, index);
            }
        }
    }

    /// Lets the receiver on this node decide on the price of one sender as it stands: reserve at
    /// it, or keep what was agreed before (charging.md T7: a new price is answered at once).
    pub(crate) fn answer_locally(&mut self, core: &mut Core, now: Now, index: usize) {
        if self.senders.get(index).is_some_and(|psb| psb.curve.is_some()) {
            self.fit_budget(core, now, index);
        }
        let Some(psb) = self.senders.get(index) else { return };
        let Some(receiver) = &self.receiver else { return };
        let sender = psb.sender;
        if psb.phop.is_none() || receiver.request.sender.is_some_and(|only| only != sender) {
            return;
        }
        let Some(own) = own_address(core, self.session, psb) else { return };
        let standing = self.reservation_of(LOCAL, self.session.destination, sender);
        let standing = standing.and_then(|at| self.reservations.get(at)).map(|rsb| rsb.flowspec);
        // Where the sender's own words are reserved for, they may have changed.
        let follows = receiver.request.style == Style::FixedFilter;
        let wanted = receiver.wanted(sender, psb.facts.tspec);
        let follows = follows || !receiver.reduced.is_empty();
        let fitted = receiver.fits(sender);
        let known = standing.is_some_and(|flowspec| !follows || flowspec == wanted);
        let mut payments = charging::Payments::default();
        if psb.flow.is_some() {
            let key = charging::branch(LOCAL, self.session.destination);
            let Some(due) = charging::due_of(psb, key) else { return };
            let most = receiver.most();
            let asks = receiver.request.detail == Level::Hops;
            // While nothing can be written, what stands is all that can be approved.
            // What less costs is quoted when it was asked for; nothing above the old price is offered.
            let approved = psb.flow.as_ref().and_then(|flow| flow.branch(key)).map(|b| b.ceiling.0);
            let approved = approved.filter(|paid| *paid <= most);
            let settled = self.settled_on(core, now, index, due.payment, most);
            if !settled || known && (due.approved || core.unwritten.closed()) {
                return;
            }
            let less = fitted.filter(|_| standing.is_some() && !known && most < due.payment);
            if let (Some(less), Some(approved)) = (less, approved) {
                let payment = less.payment.max(approved);
                payments = charging::Payments::of_receiver(sender, payment).asking(asks);
                return self.reserve_locally(core, now, index, own, payments);
            }
            if due.payment > most {
                let event = NoticeEvent::Declined { due: due.payment, max_payment: most };
                return self.notify_once(core, sender, due.epoch, event);
            }
            payments = charging::Payments::of_receiver(sender, due.payment).asking(asks);
            let (payment, total, max_total) = (due.payment, due.total, due.max_total);
            let event = NoticeEvent::Offered { payment, total, max_total };
            self.notify_once(core, sender, due.epoch, event);
        } else if known {
            return;
        }
        self.reserve_locally(core, now, index, own, payments);
    }

    fn reserve_locally(
        &mut self,
        core: &mut Core,
        now: Now,
        index: usize,
        own: IpAddr,
        payments: charging::Payments,
    ) {
        let (Some(psb), Some(receiver)) = (self.senders.get(index), &self.receiver) else {
            return;
        };
        let known = self.reservation_of(LOCAL, self.session.destination, psb.sender).is_some();
        let asked = receiver.request.confirm && !known;
        let mut elements = Elements::default();
        if let Some(priority) = receiver.request.priority {
            policy::add_priority(&mut elements, priority);
        }
        let request = Request {
            outgoing: LOCAL,
            // The application's place, whatever address the PATH comes in by.
            next_hop: self.session.destination,
            selection: local_selection(receiver.request.style, psb.sender),
            flowspec: receiver.wanted(psb.sender, psb.facts.tspec),
            confirm: asked.then_some(ResvConfirm { receiver: own }),
            scope: None,
            refresh_ms: core.config.rsvp.refresh_ms,
            policy: ResvPolicy { payments, elements, ..ResvPolicy::default() },
            paid_before: false,
            stood: None,
            payers: Box::default(),
            proxied: false,
            yielding: 0,
        };
        for (sender, fault) in self.take_resv(core, now, request) {
            let event = NoticeEvent::Error {
                node: own,
                code: fault.code,
                value: fault.value,
                required: fault.required(),
                detail: None,
            };
            if let Some(sender) = sender.or(self.senders.get(index).map(|psb| psb.sender)) {
                self.notify_receiver(core, sender, event);
            }
        }
    }

    /// Repeats the consent of the receiver on this node, and of those that it reserves for, as their
    /// RESV refresh does.
    pub(crate) fn renew_local_consent(&mut self, core: &mut Core, now: Now) {
        let session = self.session;
        for rsb in self.reservations.iter().filter(|rsb| rsb.outgoing == LOCAL || rsb.proxied) {
            for psb in self.senders.iter_mut().filter(|psb| rsb.matches(psb)) {
                charging::renew_local(core, now, session, psb, rsb);
            }
        }
    }

    /// Tells the receiving application something about a sender.
    pub(crate) fn notify_receiver(&self, core: &mut Core, sender: Filter, event: NoticeEvent) {
        if let Some(receiver) = &self.receiver {
            core.outbox.push(Output::Notice(Notice { handle: receiver.handle, sender, event }));
        }
    }

    /// As [`notify_receiver`](Self::notify_receiver), but only once for a price.
    fn notify_once(&mut self, core: &mut Core, sender: Filter, epoch: u32, event: NoticeEvent) {
        let Some(receiver) = &mut self.receiver else { return };
        let seen = receiver.told.entry(sender).or_insert(None);
        if seen.replace((epoch, event.clone())) != Some((epoch, event.clone())) {
            core.outbox.push(Output::Notice(Notice { handle: receiver.handle, sender, event }));
        }
    }

    /// Tells the applications that send without charges of the first reservation for them; with
    /// charges they hear of it with what is paid.
    pub(crate) fn tell_reserved(&mut self, core: &mut Core) {
        let free = |psb: &&Psb| psb.phop.is_none() && psb.flow.is_none();
        let reserved: Vec<Filter> =
            self.senders.iter().filter(free).map(|psb| psb.sender).collect();
        for sender in reserved {
            if self.reservations_for(sender).next().is_none() {
                continue;
            }
            let event = NoticeEvent::Reserved { receivers_pay: 0, sender_pays: 0, total: 0 };
            for local in self.local_senders.iter_mut().filter(|local| local.sender == sender) {
                if local.told.replace(event.clone()).is_none() {
                    let (handle, event) = (local.handle, event.clone());
                    core.outbox.push(Output::Notice(Notice { handle, sender, event }));
                }
            }
        }
    }

    /// Tells the sending application something.
    pub(crate) fn notify_sender(&mut self, core: &mut Core, sender: Filter, event: NoticeEvent) {
        let concerned = self.local_senders.iter_mut().find(|local| local.sender == sender);
        if let Some(local) = concerned {
            if event == NoticeEvent::Released {
                local.told = None;
            }
            core.outbox.push(Output::Notice(Notice { handle: local.handle, sender, event }));
        }
    }
}

impl LocalReceiver {
    /// What is reserved for a sender: what the application wants, or else what the sender has, as
    /// far as it was left.
    pub(super) fn wanted(&self, sender: Filter, tspec: Tspec) -> FlowSpec {
        let mut wanted = self.request.flowspec.unwrap_or(FlowSpec::ControlledLoad(tspec));
        if let (Some(fitted), FlowSpec::ControlledLoad(all)) = (self.fits(sender), &mut wanted) {
            all.rate = all.rate.min(fitted.rate);
        }
        let shared = self.request.style != Style::FixedFilter;
        let mut left = self.reduced.iter().filter(|(other, _)| shared || *other == sender);
        left.try_fold(wanted, |wanted, (_, left)| lower_bound(wanted, *left)).unwrap_or(wanted)
    }
}

/// The ADSPEC of a sender: nothing is known of the path yet, and controlled load is wanted
/// (RFC 2210 section 3.1).
fn first_adspec() -> Box<[u8]> {
    let adspec = Adspec::controlled_load(Float::INFINITY, u32::from(u16::MAX));
    let mut bytes = vec![0; adspec.encoded_len()];
    // The buffer is as long as the object.
    let _ = adspec.encode(&mut bytes);
    bytes.into_boxed_slice()
}

/// The senders that a receiver on this node reserves for, seen from one of them.
fn local_selection(style: Style, sender: Filter) -> Selection {
    match style {
        Style::SharedExplicit => Selection::Explicit(vec![(sender, Instant::NEVER)]),
        Style::WildcardFilter => Selection::Wildcard,
        _ => Selection::Fixed(sender),
    }
}
