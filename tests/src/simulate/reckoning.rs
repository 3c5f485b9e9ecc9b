//! What accounts come to, from the journals of all lives alone, and whether they were spent as they
//! may be. It shares nothing with the daemon but the records.
//!
//! - What a meter runs at from a record on is paid from the account that the payer's consent names,
//!   or else from that of the neighbour, if it was opened before and is not closed.
//! - No account is spent beyond what is in it with its credit, by the millisecond.
//! - Who is cut off for want of money has none left for another millisecond.
//! - Where one session has an account to itself, no other is let in.

use std::collections::BTreeMap;

use lcm_daemon::engine::{Spending, SpendingNews};
use lcm_daemon::ledger::record::{
    Action, Body, Consent, Gap, Meter, Neighbour, Operator, Payment, Runs,
};
use lcm_daemon::purse::{Backend, End, Holder, Simultaneous, Terms, amount_text};

use super::compare::Difference;
use super::world::World;
use crate::sim::{Kind, NodeId};

/// What happened to an account at an instant.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// So much may be owed from now on.
    Limit(u128),
    PaidIn(u128),
    /// More or less a millisecond.
    Rate(i128),
    /// At once.
    Billed(u128),
}

/// An account, from its opening on.
#[derive(Debug, Clone)]
struct Account {
    closed: bool,
    terms: Terms,
    events: Vec<(u64, Event)>,
}

#[derive(Debug, Clone, Default)]
struct Running {
    holder: Option<Holder>,
    rate: u64,
    since: u64,
}

/// A journal, reckoned.
#[derive(Debug, Default)]
struct Books {
    /// Accounts that are there, and those that were opened anew.
    accounts: BTreeMap<Holder, Account>,
    former: Vec<(Holder, Account)>,
    meters: BTreeMap<Meter, Running>,
    /// The session of each flow.
    sessions: BTreeMap<u64, Vec<u8>>,
    /// The account that a next hop names for a flow, and whether it is let in on it.
    consents: BTreeMap<(u64, Neighbour), (Holder, bool)>,
    proved: u64,
    /// The latest instant that was named so far.
    latest: u64,
    /// The first thing that may not be.
    wrong: Option<String>,
}

fn signed(amount: u128) -> i128 {
    i128::try_from(amount).unwrap_or(i128::MAX)
}

fn limit(terms: &Terms) -> u128 {
    match terms.backend {
        Backend::Account { limit } => limit,
        Backend::Tokens { .. } => 0,
    }
}

impl Books {
    fn of(journal: &[Body]) -> Self {
        let mut books = Self::default();
        journal.iter().for_each(|body| books.take(body));
        books
    }

    fn take(&mut self, body: &Body) {
        let named = match body {
            Body::Started(started) => started.stamp.at_ms,
            Body::Alive(stamp) => stamp.at_ms,
            Body::Consent(consent) => consent.at_ms,
            Body::Runs(runs) => runs.at_ms,
            Body::Operator(operator) => operator.wall_ms,
            _ => 0,
        };
        self.latest = self.latest.max(named);
        match body {
            Body::Started(started) => {
                self.crash();
                self.proved = started.stamp.at_ms;
            }
            Body::Alive(stamp) => self.proved = stamp.at_ms,
            Body::Flow(flow) => {
                self.sessions.insert(flow.flow, flow.session.to_vec());
            }
            Body::Consent(consent) => self.consent(consent),
            Body::Closed(closed) => {
                self.consents.remove(&(closed.flow, closed.payer));
            }
            Body::Runs(runs) => self.turn(runs),
            Body::Gap(gap) => self.gap(gap),
            Body::Operator(operator) => self.order(operator),
            _ => {}
        }
    }

    /// Whatever ran did so for as long as is proved.
    fn crash(&mut self) {
        for (_, running) in std::mem::take(&mut self.meters) {
            self.segment(&running, self.proved.max(running.since));
        }
        self.consents.clear();
        self.sessions.clear();
    }

    fn segment(&mut self, running: &Running, until: u64) {
        let Running { holder: Some(holder), rate, since } = running else { return };
        if let Some(account) = self.accounts.get_mut(holder) {
            account.events.push((*since, Event::Rate((*rate).into())));
            account.events.push((until, Event::Rate(-i128::from(*rate))));
        }
    }

    /// The account that is paid from what begins now.
    fn pays(&self, meter: &Meter) -> Option<Holder> {
        let of_customer = (meter.payment == Payment::ReceiverIn)
            .then(|| self.consents.get(&(meter.flow, meter.neighbour)))
            .flatten()
            .map(|(holder, _)| holder.clone());
        let of_neighbour = Holder::Neighbour(meter.neighbour.address);
        let open = |holder: &Holder| self.accounts.get(holder).is_some_and(|it| !it.closed);
        of_customer.into_iter().chain([of_neighbour]).find(open)
    }

    fn turn(&mut self, runs: &Runs) {
        let Runs { at_ms, meter, rate, .. } = *runs;
        if !matches!(meter.payment, Payment::ReceiverIn | Payment::SenderIn) {
            return;
        }
        if let Some(running) = self.meters.remove(&meter) {
            // What lapsed before it began has not run.
            self.segment(&running, at_ms.max(running.since));
        }
        if rate > 0 {
            let holder = self.pays(&meter);
            if let Some((_, in_use)) = self.consents.get_mut(&(meter.flow, meter.neighbour)) {
                *in_use = true;
            }
            self.meters.insert(meter, Running { holder, rate, since: at_ms });
        }
    }

    fn gap(&mut self, gap: &Gap) {
        let Gap { meter, from_ms, to_ms, rate } = *gap;
        if !matches!(meter.payment, Payment::ReceiverIn | Payment::SenderIn) {
            return;
        }
        let running = self.meters.get(&meter).and_then(|running| running.holder.clone());
        let Some(holder) = running.or_else(|| self.pays(&meter)) else { return };
        let amount = u128::from(rate) * u128::from(to_ms - from_ms);
        if let Some(account) = self.accounts.get_mut(&holder) {
            // It may end before it is known who was silent.
            account.events.push((to_ms.max(self.latest), Event::Billed(amount)));
        }
    }

    fn consent(&mut self, consent: &Consent) {
        let (holder, at) =
            (Holder::Customer(consent.account.clone()), (consent.flow, consent.payer));
        let known = self.consents.get(&at).cloned();
        if let Some((_, in_use)) = known {
            self.consents.insert(at, (holder, in_use));
            return;
        }
        let account = self.accounts.get(&holder).filter(|account| !account.closed);
        let alone = account.is_some_and(|it| it.terms.simultaneous == Simultaneous::Deny);
        let session = self.sessions.get(&consent.flow);
        let other = self.consents.iter().find(|((flow, _), (other, in_use))| {
            *in_use && *other == holder && self.sessions.get(flow) != session
        });
        if let (true, Some(((flow, _), _))) = (alone, other) {
            let (new, at_ms) = (consent.flow, consent.at_ms);
            let what = format!("at {at_ms} ms {holder} pays for flow {new} beside flow {flow}");
            self.wrong.get_or_insert(what);
        }
        self.consents.insert(at, (holder, account.is_some()));
    }

    /// Operators of these plays write the monotonic clock where others have that of the wall.
    fn order(&mut self, operator: &Operator) {
        let at = operator.wall_ms;
        match &operator.action {
            Action::Open { holder, terms } => {
                let events = vec![(at, Event::Limit(limit(terms)))];
                let terms = terms.clone();
                let new = Account { closed: false, terms, events };
                let old = self.accounts.insert(holder.clone(), new);
                self.former.extend(old.map(|old| (holder.clone(), old)));
            }
            Action::Credit { holder, amount, .. } => self.event(holder, at, Event::PaidIn(*amount)),
            Action::Agree { holder, terms } => {
                self.event(holder, at, Event::Limit(limit(terms)));
                if let Some(account) = self.accounts.get_mut(holder) {
                    account.terms = terms.clone();
                }
            }
            Action::Close { holder, .. } => {
                if let Some(account) = self.accounts.get_mut(holder) {
                    account.closed = true;
                }
            }
            Action::Did(_) => {}
        }
    }

    fn event(&mut self, holder: &Holder, at: u64, event: Event) {
        if let Some(account) = self.accounts.get_mut(holder) {
            account.events.push((at, event));
        }
    }

    /// All accounts with what runs on them by now.
    fn by(mut self, now: u64) -> Self {
        for (_, running) in std::mem::take(&mut self.meters) {
            self.segment(&running, now);
        }
        self
    }
}

impl Account {
    /// What is left at the end, or what was wrong on the way; `cuts` are when it was said to be
    /// used up.
    fn walk(&self, cuts: &[u64]) -> Result<i128, String> {
        let mut events = self.events.clone();
        events.sort_by_key(|(at, _)| *at);
        let (mut balance, mut rate, mut credit, mut last) = (0_i128, 0_i128, 0_i128, 0);
        let mut rest = &events[..];
        while let Some((at, _)) = rest.first().copied() {
            balance -= rate * i128::from(at - last);
            if rate > 0 && balance + credit < 0 {
                return Err(format!("{balance} at {at} ms, with {credit} to be owed at most"));
            }
            last = at;
            let now = rest.iter().take_while(|(other, _)| *other == at).count();
            let (mut begins, mut least, mut billed) = (0, credit, 0);
            for (_, event) in &rest[..now] {
                match event {
                    Event::Rate(change) => begins += change.max(&0),
                    // Who may owe less from now on is cut off now.
                    Event::Limit(limit) => least = least.min(signed(*limit)),
                    Event::Billed(amount) => billed += signed(*amount),
                    Event::PaidIn(_) => {}
                }
            }
            if cuts.contains(&at) && balance + least >= rate + begins + billed {
                return Err(format!("cut off at {at} ms with {balance} at {rate} a millisecond"));
            }
            for (_, event) in &rest[..now] {
                match event {
                    Event::Rate(change) => rate += change,
                    Event::PaidIn(paid) => balance += signed(*paid),
                    Event::Limit(limit) => credit = signed(*limit),
                    Event::Billed(_) => {}
                }
            }
            balance -= billed;
            if billed > 0 && balance + credit < 0 {
                return Err(format!("{balance} after a gap that was billed at {at} ms"));
            }
            rest = &rest[now..];
        }
        Ok(balance)
    }

    fn began(&self) -> u64 {
        self.events.first().map_or(0, |(at, _)| *at)
    }
}

/// The first account anywhere that was not spent as it may be.
pub(super) fn broken(world: &mut World) -> Option<Difference> {
    world.tellers.as_ref()?;
    let routers = world.net.topology.nodes.iter().enumerate();
    let routers: Vec<NodeId> = routers
        .filter(|(_, node)| node.kind == Kind::Router)
        .map(|(id, _)| id)
        .filter(|id| world.runs(*id))
        .collect();
    routers.into_iter().find_map(|id| of_node(world, id))
}

fn of_node(world: &mut World, id: NodeId) -> Option<Difference> {
    let reads = world.tellers.as_ref().is_some_and(|tellers| tellers.reads(id));
    let views = world.net.input(id, |engine, now| engine.show_purses(now));
    let now = world.net.clock(id).at.as_millis();
    let node = world.net.node(id);
    let books = Books::of(node.journal());
    // What ran in a life that ended is no more than what is proved.
    let books = books.by(now);
    let wrong = |what: String, found: String| Difference {
        node: world.name(id).to_owned(),
        what,
        expected: "accounts that are spent as they may be".to_owned(),
        found,
    };
    if let Some(what) = books.wrong {
        return Some(wrong("an account that one session has to itself".to_owned(), what));
    }
    let cuts = |holder: &Holder| -> Vec<u64> {
        let ended = |news: &Spending| match news.news {
            SpendingNews::Ended { why: End::Exhausted, at_ms, .. } if news.holder == *holder => {
                Some(at_ms)
            }
            _ => None,
        };
        node.spending().iter().filter_map(ended).collect()
    };
    for (holder, account) in &books.former {
        let next = books.accounts.get(holder).map_or(u64::MAX, Account::began);
        let own: Vec<u64> = cuts(holder).into_iter().filter(|at| *at < next).collect();
        if let Err(what) = account.walk(&own) {
            return Some(wrong(format!("a former account of {holder}"), what));
        }
    }
    for (holder, account) in &books.accounts {
        // At the instant of its opening one that was closed before may have been used up.
        let renewed = books.former.iter().any(|(former, _)| former == holder);
        let began = account.began() + u64::from(renewed);
        let own: Vec<u64> = cuts(holder).into_iter().filter(|at| *at >= began).collect();
        let left = match account.walk(&own) {
            Ok(left) => amount_text(left),
            Err(what) => return Some(wrong(format!("the account of {holder}"), what)),
        };
        let name = holder.to_string();
        let view = views.iter().find(|view| view.account == name);
        let shown = view.map(|view| (view.balance.clone(), view.closed));
        let expected = Some((left, account.closed));
        if !reads && shown != expected {
            let what = format!("{shown:?} is shown, and by the journal it is {expected:?}");
            return Some(wrong(format!("the account of {holder}"), what));
        }
    }
    None
}
