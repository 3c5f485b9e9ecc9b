//! Contra entries of one flow: what was metered while a reservation was not in place is given back,
//! as was agreed at setup (T11). Postings stay as they are.
//!
//! Who first knows of a break gives back what it metered of each branch since then; its payers take
//! that from their shadows and give back what they metered of *their* branches in that time. So each
//! hop gives back its own price and what it gets back itself, which is c of each branch, exactly:
//! rate × milliseconds, and nothing is rounded.
//!
//! A payee tells how much it has given back since the reservation began, in every DCPE. A payer books
//! what is more than it knows: messages may be lost, doubled or repeated after a restart.

use super::Flow;
use super::branch::NEVER;
use super::messages::Account;
use super::quality::{Break, Broken};
use crate::ledger::Entry;
use crate::meter::Segment;
use crate::money::{Amount, Rate};
use crate::refund::{Grant, Refunded};
use crate::split::{BranchKey, LOCAL_GROUP};
use crate::time::{Clock, Millis, Span, next_serial};

/// How many reservations that are gone a flow tells its payers of; the oldest goes first.
const GIVEN_MAX: usize = 64;

/// A contra entry: so much of what was metered is given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contra {
    /// Which payment.
    pub entry: Entry,
    /// The account that was debited, where this node is the payee and the payer named one.
    pub account: Option<Account>,
    /// What is given back, at most what was metered.
    pub amount: Amount,
    /// Billed time that it is for; what a neighbour says where this node pays.
    pub time: Span,
    /// Why.
    pub why: Broken,
}

/// A closed segment that may be given back yet, and what is left of it.
#[derive(Clone, Debug)]
struct Recent {
    entry: Entry,
    account: Option<Account>,
    segment: Segment,
    left: Amount,
}

/// What was given back to a branch.
#[derive(Clone, Debug)]
struct Given {
    key: BranchKey,
    said: Refunded,
    /// The outage that lasts, if it does.
    open: Option<Millis>,
    /// Told until then, if the branch is gone.
    until: Millis,
}

/// What a flow whose next hops are granted anything keeps of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Refunds {
    /// What the previous hop grants.
    offered: Grant,
    /// What this node grants, by interface.
    own: Vec<(u32, Grant)>,
    /// What was agreed on with branches, and which count it is.
    agreed: Vec<(BranchKey, Grant, u32)>,
    recent: Vec<Recent>,
    given: Vec<Given>,
    /// What was heard of refunds of the previous hop.
    booked: Vec<Refunded>,
    /// Our own last instance there, and the one before.
    former: Option<u32>,
    /// Billed time that was given back before the previous hop said anything of it.
    ahead: Span,
    last_since: Option<u32>,
    contra: Vec<Contra>,
}

impl Refunds {
    pub(super) fn is_empty(&self) -> bool {
        self.offered == Grant::None
            && self.own.is_empty()
            && self.agreed.is_empty()
            && self.given.is_empty()
            && self.contra.is_empty()
    }

    fn agreed(&self, key: BranchKey) -> Grant {
        self.agreed
            .iter()
            .find(|(of, ..)| *of == key)
            .map(|(_, grant, _)| *grant)
            .unwrap_or_default()
    }

    /// Notes a segment that may have to be given back; what is older than `kept` is past that.
    pub(super) fn note(
        &mut self,
        entry: Entry,
        account: Option<&Account>,
        segment: Segment,
        kept: Span,
    ) {
        let grants = match entry {
            Entry::ReceiverPaymentFrom(key) => self.agreed(key) != Grant::None,
            Entry::ReceiverPaymentToUpstream => self.offered != Grant::None,
            _ => false,
        };
        if !grants {
            return;
        }
        let oldest = segment.to.before(self.kept(kept));
        self.recent.retain(|recent| recent.segment.to >= oldest);
        let (account, left) = (account.cloned(), segment.amount);
        self.recent.push(Recent { entry, account, segment, left });
    }

    fn hears_nothing(&self) -> bool {
        self.offered == Grant::None
    }

    /// How long what was metered may have to be given back; an outage is noticed within `kept`.
    fn kept(&self, kept: Span) -> Span {
        let above = if self.offered == Grant::None { Grant::MOST } else { self.offered };
        let own = self.own.iter().map(|(_, grant)| *grant).max().unwrap_or(Grant::MOST);
        match own.min(above) {
            Grant::FreeIfShort(least) if least < Span(u64::MAX) => Span(least.0.max(kept.0)),
            _ => kept,
        }
    }

    pub(super) fn instance_ends(&mut self, instance: Option<u32>) {
        self.former = instance.or(self.former);
        self.ahead = Span(0);
    }

    fn given_mut(&mut self, key: BranchKey, instance: u32) -> Option<&mut Given> {
        let since = self.agreed.iter().find(|(of, ..)| *of == key).map(|(.., since)| *since)?;
        let known = |it: &Given| it.key == key && it.said.instance == instance;
        if let Some(place) = self.given.iter().position(|it| known(it) && it.until == NEVER) {
            return self.given.get_mut(place);
        }
        if self.given.len() >= GIVEN_MAX {
            self.given.remove(0);
        }
        let said = Refunded { instance, since, ..Refunded::default() };
        self.given.push(Given { key, said, open: None, until: NEVER });
        self.given.last_mut()
    }

    /// Takes what a branch was billed from `start` on off the segments that can be given back.
    fn take_since(&mut self, key: BranchKey, start: Millis) -> (Amount, Span, Option<Account>) {
        let (mut amount, mut time, mut account) = (0_i128, 0, None);
        for recent in &mut self.recent {
            let Recent { entry, segment, .. } = recent;
            if *entry != Entry::ReceiverPaymentFrom(key) || segment.to <= start {
                continue;
            }
            let from = segment.from.max(start);
            let span = segment.to.since(from);
            amount += segment.rate.over(span).map_or(0, |amount| amount.0);
            time += span.0;
            account.clone_from(&recent.account);
            segment.to = from;
        }
        self.recent.retain(|recent| recent.segment.from < recent.segment.to);
        (Amount(amount), Span(time), account)
    }

    /// Takes so much of what was paid upstream off what can be given back, the newest first; what
    /// there was.
    fn take_amount(&mut self, most: Amount) -> Amount {
        let mut rest = most.0;
        let upstream = |recent: &&mut Recent| recent.entry == Entry::ReceiverPaymentToUpstream;
        for recent in self.recent.iter_mut().rev().filter(upstream) {
            let part = recent.left.0.min(rest);
            recent.left = Amount(recent.left.0 - part);
            rest -= part;
        }
        self.recent.retain(|recent| recent.left > Amount::ZERO);
        Amount(most.0 - rest)
    }
}

impl Flow {
    /// What this node grants the next hops on an interface; nothing if the previous hop grants less.
    pub fn set_refund(&mut self, group: u32, grant: Grant) {
        let nothing = grant == Grant::None && !self.extra.has_refunds();
        if group == LOCAL_GROUP || nothing || self.own_grant(group) == grant {
            return;
        }
        let Some(refunds) = self.extra.refunds_mut() else { return };
        let own = &mut refunds.own;
        own.retain(|(of, _)| *of != group);
        if grant != Grant::None {
            own.push((group, grant));
        }
        self.mark_dirty(group);
    }

    /// What the next hops on an interface are granted for all that they pay: the weakest of what
    /// this node and those above it grant.
    pub fn refund_offer(&self, group: u32) -> Grant {
        self.own_grant(group).min(self.granted_above())
    }

    /// What this node grants; a receiver in this very node everything, since it pays nothing here.
    fn own_grant(&self, group: u32) -> Grant {
        if group == LOCAL_GROUP {
            return Grant::MOST;
        }
        let own = self.extra.refunds().map(|refunds| &refunds.own);
        let own = own.and_then(|own| own.iter().find(|(of, _)| *of == group));
        own.map(|(_, grant)| *grant).unwrap_or_default()
    }

    /// Whether anything was granted here, or by the previous hop.
    pub fn knows_refunds(&self) -> bool {
        self.extra.has_refunds()
    }

    /// How long a closed segment may have to be given back; `None` where nothing is granted.
    pub fn refunds_kept(&self) -> Option<Span> {
        Some(self.extra.refunds()?.kept(self.noticed_within()))
    }

    /// An outage is noticed by 2H here, and was by 2H above.
    pub(super) fn noticed_within(&self) -> Span {
        self.config.refresh.approval().twice().twice()
    }

    /// Where nothing is charged above, nothing has to be given back.
    fn granted_above(&self) -> Grant {
        let free = self.down.as_ref().is_some_and(|down| down.max_total == Rate::ZERO);
        let offered = || self.extra.refunds().map(|refunds| refunds.offered).unwrap_or_default();
        if free { Grant::MOST } else { offered() }
    }

    /// What this node accepts of the previous hop: what it passes on, and nothing that it would keep.
    pub fn refund_accepted(&self) -> Grant {
        let Some(refunds) = self.extra.refunds() else { return Grant::None };
        let own = self.branches.iter().map(|b| self.own_grant(b.key.group)).max();
        own.unwrap_or_default().min(refunds.offered)
    }

    /// A next hop accepts a grant with its payment. What was agreed on: what it was offered, at most.
    pub fn agree_refund(&mut self, clock: Clock, key: BranchKey, accepted: Grant) -> Grant {
        let agreed = accepted.min(self.refund_offer(key.group));
        if self.find(key).is_none() || !self.extra.has_refunds() {
            return Grant::None;
        }
        if agreed != Grant::None && self.refund_agreed(key) == Grant::None {
            // What was metered before is granted nothing of.
            self.post_open_segment(key, clock.now);
        }
        let Some(refunds) = self.extra.refunds_mut() else { return Grant::None };
        match refunds.agreed.iter_mut().find(|(of, ..)| *of == key) {
            Some((_, known, _)) => *known = agreed,
            None if agreed == Grant::None => {}
            None => {
                let since = next_serial(refunds.last_since, clock.unix_s);
                refunds.last_since = Some(since);
                refunds.agreed.push((key, agreed, since));
            }
        }
        agreed
    }

    /// What was agreed on with a branch.
    pub fn refund_agreed(&self, key: BranchKey) -> Grant {
        self.extra.refunds().map(|refunds| refunds.agreed(key)).unwrap_or_default()
    }

    /// What the next hops on an interface are told of refunds: whom, and what.
    pub fn refunds_told(&self, now: Millis, group: u32) -> Vec<(BranchKey, Refunded)> {
        let Some(refunds) = self.extra.refunds() else { return Vec::new() };
        let here = refunds.given.iter().filter(|it| it.key.group == group && now < it.until);
        let told = |it: &Given| {
            let ago = it.open.map(|from| now.since(from));
            (it.key, Refunded { ago, ..it.said })
        };
        here.map(told).collect()
    }

    /// The previous hop grants this, and says what it gave back so far. To be called after the
    /// announcement that said so was taken.
    pub fn hear_refunds(&mut self, clock: Clock, offered: Grant, said: &[Refunded]) {
        if offered == Grant::None && said.is_empty() && !self.extra.has_refunds() {
            return;
        }
        if offered != Grant::None && self.extra.refunds().is_none_or(Refunds::hears_nothing) {
            let (end, _) = self.upstream_ends();
            let rate = self.up.rp.rate();
            let rp = self.up.rp.restart(clock.now, end, rate);
            self.post_upstream(Entry::ReceiverPaymentToUpstream, rp);
        }
        let Some(refunds) = self.extra.refunds_mut() else { return };
        if refunds.offered != offered {
            refunds.offered = offered;
            let groups: Vec<u32> = refunds.own.iter().map(|(group, _)| *group).collect();
            groups.into_iter().for_each(|group| self.mark_dirty(group));
        }
        for said in said {
            self.hear_refund(clock.now, *said);
        }
        if self.stands()
            && let Some(refunds) = self.extra.refunds_mut()
        {
            refunds.ahead = Span(0);
        }
    }

    fn hear_refund(&mut self, now: Millis, said: Refunded) {
        let own = self.up.instance;
        let Some(refunds) = self.extra.refunds_mut() else { return };
        if Some(said.instance) != own && Some(said.instance) != refunds.former {
            return;
        }
        let same = |it: &&mut Refunded| (it.instance, it.since) == (said.instance, said.since);
        let before = match refunds.booked.iter_mut().find(same) {
            Some(known) => {
                let before = *known;
                let (amount, time) = (said.amount.max(before.amount), said.time.max(before.time));
                *known = Refunded { amount, time, ..said };
                before
            }
            None => {
                if refunds.booked.len() >= GIVEN_MAX {
                    refunds.booked.remove(0);
                }
                refunds.booked.push(said);
                Refunded::default()
            }
        };
        let amount = Amount(said.amount.0.saturating_sub(before.amount.0).max(0));
        let time = Span(said.time.0.saturating_sub(before.time.0));
        let new = amount > Amount::ZERO || time > Span(0);
        if !new && (said.ago.is_none() || before.ago.is_some()) {
            return;
        }
        // Closed segments can be given back, open ones cannot.
        self.checkpoint(now);
        let Some(refunds) = self.extra.refunds_mut() else { return };
        let why = Broken::Withdrawn;
        let amount = refunds.take_amount(amount);
        if amount > Amount::ZERO {
            let entry = Entry::ReceiverPaymentToUpstream;
            refunds.contra.push(Contra { entry, account: None, amount, time, why });
        }
        let fresh = Span(time.0.saturating_sub(refunds.ahead.0));
        refunds.ahead = Span(refunds.ahead.0.saturating_sub(time.0));
        let start = match said.ago {
            Some(ago) => now.before(ago),
            None => now.before(fresh),
        };
        let keys: Vec<BranchKey> = refunds.agreed.iter().map(|(key, ..)| *key).collect();
        for key in keys {
            self.give_back(now, key, start, why);
        }
    }

    /// What was agreed on for a break. Where the previous hop grants anything, and can, it says what.
    pub(super) fn refund_break(&mut self, now: Millis, it: Break) {
        let Some(refunds) = self.extra.refunds() else { return };
        let Break { key, placed, from, why } = it;
        let told_above = matches!(why, Broken::Withdrawn | Broken::Refused);
        let waits = told_above && self.refund_accepted() != Grant::None;
        let start = refunds.agreed(key).since(placed, from, now);
        let Some(start) = start.map(|start| if waits { now } else { start }) else { return };
        let time = self.give_back(now, key, start, why);
        if let Some(refunds) = self.extra.refunds_mut() {
            refunds.ahead = refunds.ahead.max(time);
        }
    }

    /// Gives back what a branch was billed from `start` on; for how long that was.
    fn give_back(&mut self, now: Millis, key: BranchKey, start: Millis, why: Broken) -> Span {
        let stands = self.find(key).is_some_and(|b| b.placed != NEVER);
        let instance = self.find(key).map(|b| b.instance);
        let Some(refunds) = self.extra.refunds_mut() else { return Span(0) };
        let (amount, time, account) = refunds.take_since(key, start);
        if amount == Amount::ZERO && (stands || instance.is_none()) {
            return Span(0);
        }
        let Some(given) = instance.and_then(|instance| refunds.given_mut(key, instance)) else {
            return Span(0);
        };
        given.said.amount = Amount(given.said.amount.0.saturating_add(amount.0));
        given.said.time = Span(given.said.time.0.saturating_add(time.0));
        if !stands {
            // Who waits for the word of the previous hop hears later since when.
            given.open = Some(given.open.unwrap_or(now).min(start));
        }
        if amount > Amount::ZERO {
            let entry = Entry::ReceiverPaymentFrom(key);
            refunds.contra.push(Contra { entry, account, amount, time, why });
        }
        self.mark_dirty(key.group);
        time
    }

    /// It stands again: what is metered from now on is not given back.
    pub(super) fn refunds_end(&mut self, key: BranchKey) {
        let Some(refunds) = self.extra.refunds_mut_if_any() else { return };
        refunds.given.iter_mut().filter(|it| it.key == key).for_each(|it| it.open = None);
    }

    /// A branch goes: its payer is told for a while yet what it was given back.
    pub(super) fn refunds_leave(&mut self, now: Millis, key: BranchKey) {
        let until = now.after(self.config.refresh.lifetime().twice());
        let Some(refunds) = self.extra.refunds_mut_if_any() else { return };
        refunds.agreed.retain(|(of, ..)| *of != key);
        refunds.given.retain(|it| now < it.until);
        for it in refunds.given.iter_mut().filter(|it| it.key == key && it.until == NEVER) {
            (it.open, it.until) = (None, until);
        }
    }

    /// Contra entries since this was last asked; their postings are taken before.
    pub fn take_refunds(&mut self) -> Vec<Contra> {
        let Some(refunds) = self.extra.refunds_mut_if_any() else { return Vec::new() };
        std::mem::take(&mut refunds.contra)
    }

    /// Books begin anew: what was metered before stands in others, and is not given back.
    pub fn forget_metered(&mut self) {
        if let Some(refunds) = self.extra.refunds_mut_if_any() {
            refunds.recent.clear();
        }
    }

    /// Closes the open segment of what a branch pays, without changing the rate.
    pub(super) fn post_open_segment(&mut self, key: BranchKey, now: Millis) {
        let Some((end, _)) = self.find(key).map(|b| self.branch_ends(b)) else { return };
        let Some(b) = self.find_mut(key) else { return };
        let rate = b.rp.rate();
        let (rp, account) = (b.rp.restart(now, end, rate), b.account.clone());
        self.post_branch(key, account, rp, None);
    }
}
