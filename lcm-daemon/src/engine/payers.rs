//! Who pays for a reservation: mostly the next hop that asks for it. One that does not charge merges
//! what several charging hops behind it ask for, and concatenates what they pay; these are its
//! virtual next hops, told apart by the Originating RSVP_HOP of their elements (RFC 2750 section
//! 4.2, charging.md section 6).

use std::net::IpAddr;

use charging_model::BranchKey;
use rsvp_wire::object::Filter;

use super::charging;
use super::counters::bump;
use super::psb::Psb;
use super::resv::Request;
use super::rsb::{Payer, Rsb, Selection};
use super::session::SessionState;
use super::time::{Instant, Now, Span, lifetime, longest_gap};
use super::{Core, Few};

impl SessionState {
    /// Who pays once a request is taken, of which these senders were admitted. Who paid before and
    /// is missing counts as gone after a refresh period: a hop may spread its descriptors over
    /// several messages, and leave out for a while what is blockaded.
    pub(crate) fn payers_with(
        &self,
        now: Now,
        request: &Request,
        admitted: &[Filter],
    ) -> Box<[Payer]> {
        let next_hop = request.next_hop;
        let pays = |sender: Filter, origin: IpAddr| {
            let psb = self.sender(sender).and_then(|index| self.senders.get(index));
            psb.is_some_and(|psb| charging::is_paid(psb, request.outgoing, [origin]))
        };
        let mut payers: Few<Payer> = Few::new();
        for psb in self.senders.iter().filter(|psb| admitted.contains(&psb.sender)) {
            let present = request.policy.payments.payers(psb, request.outgoing, next_hop);
            let there = |origin| Payer { sender: psb.sender, origin, gone_at: Instant::NEVER };
            payers.extend(present.into_iter().map(there));
        }
        let known = self.reservation(request.outgoing, next_hop, &request.selection);
        let known = known.and_then(|at| self.reservations.get(at));
        if request.payers.is_empty() && payers.iter().all(|payer| payer.origin == next_hop) {
            return Box::default();
        }
        let itself = || {
            let senders = self.senders.iter().map(|psb| psb.sender);
            let paid =
                senders.filter(|s| known.is_some_and(|r| r.selects(*s)) && pays(*s, next_hop));
            paid.map(|sender| Payer { sender, origin: next_hop, gone_at: Instant::NEVER }).collect()
        };
        let before: Vec<Payer> = match &*request.payers {
            [] => itself(),
            payers => payers.to_vec(),
        };
        let gone_at = now.at + Span::from_millis(u64::from(request.refresh_ms) * 3 / 2);
        for mut old in before {
            if payers.iter().any(|new| (new.sender, new.origin) == (old.sender, old.origin)) {
                continue;
            }
            if admitted.contains(&old.sender) {
                old.gone_at = old.gone_at.min(gone_at);
            }
            payers.push(old);
        }
        let itself = |payer: &Payer| payer.origin == next_hop && payer.gone_at == Instant::NEVER;
        if payers.iter().all(itself) {
            return Box::default();
        }
        payers.into_vec().into()
    }

    /// The reservation by which a hop pays for a sender.
    pub(crate) fn paid_by(&self, key: BranchKey, sender: Filter) -> Option<usize> {
        self.reservations.iter().position(|rsb| {
            rsb.outgoing == key.group && rsb.selects(sender) && pays(rsb, sender, key.hop)
        })
    }

    /// True if a hop pays for a sender by another reservation than this one.
    pub(crate) fn paid_except(&self, at: usize, key: BranchKey, sender: Filter) -> bool {
        let others = self.reservations.iter().enumerate().filter(|(other, _)| *other != at);
        let mut others = others.map(|(_, rsb)| rsb);
        others.any(|rsb| {
            rsb.outgoing == key.group && rsb.selects(sender) && pays(rsb, sender, key.hop)
        })
    }

    /// Whoever pays through one next hop now does so through no other one: what is left of it
    /// there is a way that its RESVs took before.
    pub(crate) fn move_payers(
        &mut self,
        core: &mut Core,
        now: Now,
        (outgoing, next_hop): (u32, IpAddr),
        present: &[(Filter, IpAddr)],
    ) {
        for (sender, hop) in present {
            let key = BranchKey { group: outgoing, hop: *hop };
            let old = |rsb: &Rsb| {
                rsb.outgoing == outgoing
                    && rsb.next_hop != next_hop
                    && rsb.selects(*sender)
                    && pays(rsb, *sender, *hop)
            };
            if let Some(at) = self.reservations.iter().position(old) {
                self.drop_payer(core, now, at, key, *sender);
            }
        }
    }

    /// Who pays by a request, where not every next hop pays for itself alone.
    pub(crate) fn present_payers(
        &self,
        request: &Request,
        admitted: &[Filter],
    ) -> Vec<(Filter, IpAddr)> {
        let veiled = self.reservations.iter().any(|rsb| !rsb.payers.is_empty());
        if !veiled && request.payers.is_empty() {
            return Vec::new();
        }
        let admitted = self.senders.iter().filter(|psb| admitted.contains(&psb.sender));
        let of = |psb: &Psb| {
            let payers = request.policy.payments.payers(psb, request.outgoing, request.next_hop);
            payers.into_iter().map(|hop| (psb.sender, hop)).collect::<Vec<_>>()
        };
        admitted.flat_map(of).collect()
    }

    /// Settles with a hop for senders that it pays for by no reservation any more.
    pub(crate) fn release_unpaid(&mut self, core: &mut Core, now: Now, key: BranchKey) {
        let session = self.session;
        let reservations = &self.reservations;
        for psb in &mut self.senders {
            let by = |rsb: &Rsb, psb: &Psb| {
                rsb.outgoing == key.group && rsb.matches(psb) && pays(rsb, psb.sender, key.hop)
            };
            if !reservations.iter().any(|rsb| by(rsb, psb)) {
                charging::release(core, now, session, psb, key);
            }
        }
    }

    /// A hop is not to pay for a sender any more.
    pub(crate) fn release_payer(
        &mut self,
        core: &mut Core,
        now: Now,
        key: BranchKey,
        sender: Filter,
    ) {
        if let Some(at) = self.paid_by(key, sender) {
            self.drop_payer(core, now, at, key, sender);
        }
    }

    /// Takes who pays for a sender out of a reservation: if nobody else does, that part of it ends.
    fn drop_payer(&mut self, core: &mut Core, now: Now, at: usize, key: BranchKey, sender: Filter) {
        let Some(rsb) = self.reservations.get_mut(at) else { return };
        let next_hop = rsb.next_hop;
        let others = rsb.origins(sender).any(|origin| origin != key.hop);
        let is_gone = |payer: &Payer| (payer.sender, payer.origin) == (sender, key.hop);
        if others {
            rsb.forget_payers(is_gone);
            self.release_unpaid(core, now, key);
            self.lift_veils(now);
            self.share_prices(core, now, key.group);
            return;
        }
        self.release_sender(core, now, key.group, next_hop, sender);
        self.release_deselected(core, now, key.group, next_hop);
        let of_hop = |rsb: &&mut Rsb| rsb.outgoing == key.group && rsb.next_hop == next_hop;
        self.reservations.iter_mut().filter(of_hop).for_each(|rsb| rsb.forget_payers(is_gone));
        self.lift_veils(now);
    }

    /// Where nobody pays from behind a next hop any more, a single one is told its price as all
    /// others are. The RESVs that still come are repeated ones and change nothing by themselves.
    pub(crate) fn lift_veils(&mut self, now: Now) {
        let reservations = &self.reservations;
        for psb in self.senders.iter_mut().filter(|psb| psb.veiled) {
            let sender = psb.sender;
            psb.veiled = reservations.iter().any(|rsb| veils(&rsb.payers, rsb.next_hop, sender));
            if !psb.veiled {
                charging::tell_alone(now, psb);
            }
        }
    }

    /// Settles with the next hop for senders of a wildcard reservation that it has not paid for as
    /// long as state lives: the reservation lives by its other senders, and what was paid for these
    /// ends as it would have with a reservation of their own. Else a hop that came back with a
    /// clock that went back could never pay for them again.
    pub(crate) fn release_unheard(&mut self, core: &mut Core, now: Now, request: &Request) {
        if request.selection != Selection::Wildcard || !request.payers.is_empty() {
            return;
        }
        let k = u32::from(core.config.rsvp.lifetime_multiplier);
        // An approval lasts for a refresh and a little more.
        let lifetime = lifetime(request.refresh_ms, k).as_micros();
        let since =
            Span::from_micros(lifetime.saturating_sub(longest_gap(request.refresh_ms).as_micros()));
        let unheard = |psb: &&Psb| {
            let ended = charging::approved_until(psb, request.outgoing, request.next_hop);
            ended.is_some_and(|ended| ended + since < now.at)
        };
        let senders: Vec<Filter> =
            self.senders.iter().filter(unheard).map(|psb| psb.sender).collect();
        for sender in senders {
            bump(&mut core.counters.expired, "payer");
            self.release_sender(core, now, request.outgoing, request.next_hop, sender);
        }
    }

    /// Ends what those paid for who have been missing for long enough.
    pub(crate) fn expire_payers(&mut self, core: &mut Core, now: Now) {
        let gone = |rsb: &Rsb| rsb.payers.iter().copied().find(|payer| payer.gone_at <= now.at);
        while let Some((at, payer)) =
            self.reservations.iter().enumerate().find_map(|(at, rsb)| Some((at, gone(rsb)?)))
        {
            bump(&mut core.counters.expired, "payer");
            let Some(group) = self.reservations.get(at).map(|rsb| rsb.outgoing) else { return };
            let key = BranchKey { group, hop: payer.origin };
            self.drop_payer(core, now, at, key, payer.sender);
            self.after_all_charging(core, now);
        }
    }
}

/// True if somebody else than the next hop itself pays for a sender.
pub(crate) fn veils(payers: &[Payer], next_hop: IpAddr, sender: Filter) -> bool {
    payers.iter().any(|payer| payer.sender == sender && payer.origin != next_hop)
}

/// True if a hop pays for this sender's part of a reservation.
fn pays(rsb: &Rsb, sender: Filter, hop: IpAddr) -> bool {
    rsb.origins(sender).any(|origin| origin == hop)
}
