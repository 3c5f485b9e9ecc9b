//! A session's state refreshed by the name of a message, and said again in whole.

use std::net::IpAddr;

use rsvp_wire::object::Filter;

use super::super::charging::{self, Again};
use super::super::rsb::Selection;
use super::super::session::SessionState;
use super::super::time::{Now, lifetime};
use super::super::{Core, Touched};
use super::Name;

impl SessionState {
    /// Does what the whole message with this name would do now that it says nothing new: path or
    /// reservation state lives on, and what was announced or paid is announced or paid again (T14).
    /// False if the whole message is needed: it would not simply be taken. Beside it, whether anything
    /// but the end of what lives on may have changed.
    pub(crate) fn refresh_by(
        &mut self,
        core: &mut Core,
        now: Now,
        neighbour: IpAddr,
        name: Name,
    ) -> (bool, Touched) {
        let (mut renewed, mut settled) = (false, false);
        for index in 0..self.senders.len() {
            let psb = self.senders.get(index);
            let names = psb.is_some_and(|psb| {
                psb.heard_by == Some(name) && psb.phop_address() == Some(neighbour)
            });
            if names {
                if !self.renew_path(core, now, index) {
                    return (false, Touched::More);
                }
                renewed = true;
            }
        }
        for at in 0..self.reservations.len() {
            let rsb = self.reservations.get(at);
            let names = rsb.is_some_and(|rsb| {
                rsb.next_hop == neighbour && rsb.numbers.iter().any(|other| other == name)
            });
            if names {
                match self.renew_reservation(core, now, at, name) {
                    Again::Refused => return (false, Touched::More),
                    done => settled |= done == Again::Settled,
                }
                renewed = true;
            }
        }
        // An application here may be waiting to give its consent again.
        if settled || self.receiver.is_some() {
            self.after_all_charging(core, now);
            return (renewed, Touched::More);
        }
        (renewed, Touched::Ends)
    }

    fn renew_path(&mut self, core: &mut Core, now: Now, index: usize) -> bool {
        let session = self.session;
        let Some(psb) = self.senders.get_mut(index) else { return false };
        if !core.is_still_identified(&session, psb)
            || charging::announced_again(now, psb) == Again::Refused
        {
            return false;
        }
        let k = u32::from(core.config.rsvp.lifetime_multiplier);
        psb.expires = now.at + lifetime(psb.refresh_ms, k);
        true
    }

    fn renew_reservation(&mut self, core: &mut Core, now: Now, at: usize, name: Name) -> Again {
        let session = self.session;
        let Some(rsb) = self.reservations.get(at) else { return Again::Refused };
        let mut all = Again::Quiet;
        let list = match &rsb.selection {
            Selection::Explicit(_) => true,
            Selection::Fixed(_) | Selection::Wildcard => false,
        };
        let named = |sender: Filter| !list || rsb.numbers.names(name, sender);
        for psb in self.senders.iter_mut().filter(|psb| rsb.matches(psb) && named(psb.sender)) {
            if !core.still_identifies(&session, rsb, psb.sender) {
                return Again::Refused;
            }
            match charging::paid_again(core, now, session, psb, (rsb.outgoing, rsb.next_hop)) {
                Again::Quiet => {}
                Again::Settled => all = Again::Settled,
                Again::Refused => return Again::Refused,
            }
        }
        let refresh_ms = rsb.refresh_ms;
        let Some(rsb) = self.reservations.get_mut(at) else { return Again::Refused };
        let k = u32::from(core.config.rsvp.lifetime_multiplier);
        let expires = now.at + lifetime(refresh_ms, k);
        rsb.expires = expires;
        if let Selection::Explicit(list) = &mut rsb.selection {
            let numbers = &rsb.numbers;
            let named = list.iter_mut().filter(|(filter, _)| numbers.names(name, *filter));
            named.for_each(|(_, until)| *until = expires);
        }
        all
    }

    /// Sends the PATH or RESV with this number of ours in whole: the neighbour does not know it.
    pub(super) fn say_again(&mut self, core: &mut Core, now: Now, number: u32) {
        for index in 0..self.senders.len() {
            let Some(psb) = self.senders.get(index) else { continue };
            let path = psb.sent.iter().find(|(_, sent)| sent.number == number);
            let resv = psb.sent_resv.is_some_and(|sent| sent.number == number);
            let phop = psb.phop_address();
            if let Some((interface, _)) = path {
                self.forward_path_on(core, now, index, interface);
            }
            if let Some(phop) = phop.filter(|_| resv) {
                self.send_resv(core, now, phop);
            }
        }
    }
}
