//! Messages that say again, octet for octet, what the state in hand was made of.
//!
//! Nearly all that a router hears are refreshes. One that is the same as the message before is
//! known by a digest and takes the short way of an Srefresh (`renew.rs`): nothing of it is parsed.
//! The digest is keyed and covers how the message came, and 63 of its bits count; state that does
//! not stand exactly as its message said has no name to be refreshed by.

use std::net::IpAddr;

use rsvp_wire::iana::class;
use rsvp_wire::message::{Path, Resv};
use rsvp_wire::object::{Filter, Hop, Style};
use rsvp_wire::{Message, MessageType, count_objects, leading_session};

use super::super::charging;
use super::super::resv::descriptors;
use super::super::rsb::{Rsb, Selection};
use super::super::session::SessionState;
use super::super::time::{Now, lifetime};
use super::super::{Engine, Few};
use super::{Name, Numbers};
use crate::packet::PacketMeta;

impl Engine {
    /// Takes a message that was taken before, if that is all it is. Where refreshes are reduced,
    /// messages bear numbers and acknowledgements, which must be looked at.
    pub(crate) fn is_repeated(&mut self, now: Now, meta: PacketMeta, bytes: &[u8]) -> bool {
        let refreshes = [MessageType::Path, MessageType::Resv].map(u8::from);
        let (core, sessions) = (&mut self.core, &self.sessions);
        if core.outbox.reduce.active || !bytes.get(1).is_some_and(|kind| refreshes.contains(kind)) {
            return false;
        }
        let slot = leading_session(bytes).and_then(|session| sessions.find(&session));
        let Some((slot, state)) = slot.and_then(|slot| Some((slot, sessions.get(slot)?))) else {
            return false;
        };
        let name = core.outbox.reduce.name_of(&meta, bytes);
        let Some(neighbour) = state.made_by(name, bytes) else { return false };
        let from = (meta.interface, neighbour);
        if let Err(limit) = core.neighbours.hear(&core.config.limits, core.at, from, || true) {
            core.counters.drop(limit);
            return true;
        }
        self.touch_session(slot, |core, state| state.refresh_by(core, now, neighbour, name))
            .unwrap_or(false)
    }

    /// After a message was handled, of which nothing was refused if it was `taken`: notes by what
    /// it will be known again.
    pub(crate) fn note_octets(
        &mut self,
        now: Now,
        meta: PacketMeta,
        message: &Message<'_>,
        bytes: &[u8],
        taken: bool,
    ) {
        if self.core.outbox.reduce.active {
            return;
        }
        // What its policy objects say was not believed, which is to be said again.
        let believed = self.core.disbelieved.is_empty() && !self.core.is_policy_signed(message);
        match message {
            Message::Path(path) => {
                let name = self.core.outbox.reduce.name_of(&meta, bytes);
                self.note_path(now, meta, path, Some(name).filter(|_| believed));
            }
            Message::Resv(resv) => {
                // A confirmation that is asked for again is given again.
                let plain = taken && believed && resv.confirm.is_none();
                let name = plain.then(|| self.core.outbox.reduce.name_of(&meta, bytes));
                self.note_resv(now, resv, name);
            }
            _ => {}
        }
    }

    /// From now on each message is read as a whole: what was believed before need not be any more.
    pub(crate) fn forget_names(&mut self) {
        for state in self.sessions.iter_mut() {
            state.senders.iter_mut().for_each(|psb| psb.heard_by = None);
            state.reservations.iter_mut().for_each(|rsb| rsb.numbers = Numbers::default());
        }
    }

    /// Remembers the name of a PATH, if that is what its sender's block rests on now: then the
    /// session's slot.
    pub(super) fn note_path(
        &mut self,
        now: Now,
        meta: PacketMeta,
        path: &Path<'_>,
        name: Option<Name>,
    ) -> Option<usize> {
        let k = u32::from(self.core.config.rsvp.lifetime_multiplier);
        let slot = self.sessions.find(&path.session)?;
        let state = self.sessions.get_mut(slot)?;
        let index = state.sender(path.sender.template.0);
        let psb = index.and_then(|index| state.senders.get_mut(index));
        let psb = psb.filter(|psb| psb.came_from(path.hop, meta.interface))?;
        let fresh = psb.expires == now.at + lifetime(psb.refresh_ms, k);
        // What outlasts refreshes that leave it out is refreshed by whole messages alone.
        let plain = psb.policy_until <= now.at
            && !psb.elements.is_slow()
            && charging::was_announced(now, psb)
            && psb.facts.carried.as_ref().is_none_or(|carried| !carried.is_slow());
        psb.heard_by = name.filter(|_| fresh && plain);
        psb.heard_by.map(|_| slot)
    }

    /// Remembers the name of a RESV, if all of it is what the next hop's blocks rest on now: then
    /// the session's slot.
    pub(super) fn note_resv(
        &mut self,
        now: Now,
        resv: &Resv<'_>,
        name: Option<Name>,
    ) -> Option<usize> {
        let k = u32::from(self.core.config.rsvp.lifetime_multiplier);
        let rsvp = &self.core.config.rsvp;
        let refresh_ms = resv.time_values.refresh_ms;
        let refresh_ms = refresh_ms.clamp(rsvp.accept_refresh_min_ms, rsvp.accept_refresh_max_ms);
        let expires = now.at + lifetime(refresh_ms, k);
        let slot = self.sessions.find(&resv.session)?;
        let state = self.sessions.get_mut(slot)?;
        let mut complete = name.is_some();
        let blocks: Few<(Option<usize>, Few<Filter>)> = descriptors(resv)
            .into_iter()
            .map(|(_, filters)| (state.block_of(resv.hop, resv.style, &filters), filters))
            .collect();
        for (at, filters) in &blocks {
            let rsb = at.and_then(|at| state.reservations.get(at));
            complete &= rsb.is_some_and(|rsb| {
                let all = match &rsb.selection {
                    Selection::Explicit(list) => filters
                        .iter()
                        .all(|filter| list.iter().any(|(f, at)| f == filter && *at == expires)),
                    _ => true,
                };
                let slow = rsb.elements.is_slow()
                    || rsb.carried.as_ref().is_some_and(|carried| carried.is_slow());
                all && rsb.expires == expires
                    && rsb.policy_until <= now.at
                    && rsb.payers.is_empty()
                    && !slow
            });
        }
        for (at, filters) in blocks {
            let Some(rsb) = at.and_then(|at| state.reservations.get_mut(at)) else { continue };
            let all: Few<Filter> = match &rsb.selection {
                Selection::Explicit(list) => list.iter().map(|(filter, _)| *filter).collect(),
                _ => Few::new(),
            };
            let named = if all.is_empty() { &[] } else { &*filters };
            match name.filter(|_| complete) {
                Some(name) => rsb.numbers.note(name, named, &all),
                None => rsb.numbers.forget(named),
            }
        }
        complete.then_some(slot)
    }
}

impl SessionState {
    /// The neighbour whose message with this name stands here in all its parts.
    fn made_by(&self, name: Name, message: &[u8]) -> Option<IpAddr> {
        if let Some(psb) = self.senders.iter().find(|psb| psb.heard_by == Some(name)) {
            return psb.phop_address();
        }
        let (mut by, mut parts) = (None, 0);
        for rsb in self.reservations.iter().filter(|rsb| rsb.numbers.iter().any(|n| n == name)) {
            by = Some(rsb.next_hop);
            parts += match &rsb.selection {
                Selection::Fixed(_) => 1,
                Selection::Explicit(list) => {
                    list.iter().filter(|(filter, _)| rsb.numbers.names(name, *filter)).count()
                }
                Selection::Wildcard => 0,
            };
        }
        // A part that has ended since is to be made anew by the whole message.
        by.filter(|_| parts == count_objects(message, class::FILTER_SPEC))
    }

    /// The block of a next hop that a flow descriptor is about.
    fn block_of(&self, hop: Hop, style: Style, filters: &[Filter]) -> Option<usize> {
        let of_hop = |rsb: &&Rsb| {
            rsb.outgoing == hop.lih && rsb.next_hop == hop.address && rsb.selection.style() == style
        };
        self.reservations.iter().position(|rsb| {
            let about = match &rsb.selection {
                Selection::Fixed(only) => filters.contains(only),
                _ => true,
            };
            of_hop(&rsb) && about
        })
    }
}
