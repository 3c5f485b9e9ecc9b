//! What operators do with accounts: they open, credit, limit and close them at any time, and before
//! the network is held against the reference everybody has money for all.
//!
//! A node whose daemon starts again reads its journal for a while, and lets nobody in until then.

use std::collections::BTreeSet;

use lcm_daemon::engine::AccountError;
use lcm_daemon::ledger::record::{Actor, Body, Payment};
use lcm_daemon::purse::{Backend, Caps, Holder, Simultaneous, Terms};

use super::plan::Kept;
use super::world::World;
use crate::sim::{Kind, NodeId};

/// The currency of all prices, the euro.
const EUR: u16 = 978;
/// What is more than anybody spends here.
const RICH: u128 = 1_000_000_000_000_000_000_000;
/// What some payers of a network spend in a minute, about.
const MINUTE: u128 = 60_000_000;
/// What a token is worth.
const TOKEN: u128 = 10_000;

/// Who looks after accounts.
#[derive(Debug)]
pub(super) struct Tellers {
    kept: Kept,
    /// Daemons that read their journal yet.
    reading: BTreeSet<NodeId>,
    /// Not what feeds the play: that stays as it is without accounts.
    rng: fastrand::Rng,
}

impl Tellers {
    pub(super) fn new(seed: u64, kept: Kept) -> Self {
        let rng = fastrand::Rng::with_seed(seed ^ 0xCA5E_0009_CA5E_0009);
        Self { kept, reading: BTreeSet::new(), rng }
    }

    /// Whether what senders pay may be cut for want of money.
    pub(super) fn cut_shares(&self) -> bool {
        self.kept.neighbours
    }

    /// Whether this daemon knows no accounts yet.
    pub(super) fn reads(&self, id: NodeId) -> bool {
        self.reading.contains(&id)
    }

    fn terms(&mut self) -> Terms {
        let rng = &mut self.rng;
        let some = |rng: &mut fastrand::Rng, most: u128| {
            let amount = rng.u128(1..most);
            (rng.u8(0..5) == 0).then_some(amount)
        };
        let backend = match rng.u8(0..5) {
            0 | 1 => Backend::Account { limit: 0 },
            2 | 3 => Backend::Account { limit: rng.u128(0..MINUTE) },
            _ => Backend::Tokens { value: TOKEN },
        };
        let caps = Caps {
            session: some(rng, MINUTE),
            day: some(rng, 4 * MINUTE),
            month: some(rng, 8 * MINUTE),
        };
        let simultaneous = if rng.u8(0..4) == 0 { Simultaneous::Deny } else { Simultaneous::Share };
        let warn_ms = if rng.bool() { 5_000 } else { 0 };
        Terms { backend, caps, simultaneous, warn_ms, ..Terms::prepaid(EUR) }
    }
}

fn rich() -> Terms {
    Terms { backend: Backend::Account { limit: RICH }, ..Terms::prepaid(EUR) }
}

fn operator() -> Actor {
    Actor { uid: 0, name: "root".to_owned() }
}

impl World {
    /// Where nobody is served without an account, all have one.
    pub(super) fn open_for_business(&mut self) {
        if !self.tellers.as_ref().is_some_and(|tellers| tellers.kept.refuse) {
            return;
        }
        for id in self.providers() {
            for holder in self.possible(id) {
                self.open_account(id, holder, rich());
            }
        }
        self.diary.clear();
        self.diary.push("everybody has an account with everybody".to_owned());
    }

    /// The nodes that charge, and whose daemons know their accounts.
    fn providers(&self) -> Vec<NodeId> {
        let Some(tellers) = &self.tellers else { return Vec::new() };
        let nodes = self.net.topology.nodes.iter().enumerate();
        let routers = nodes.filter(|(_, node)| node.kind == Kind::Router).map(|(id, _)| id);
        routers.filter(|id| self.runs(*id) && !tellers.reads(*id)).collect()
    }

    /// Whoever may pay a node: nodes by all their addresses, and by the names that they use.
    fn possible(&self, id: NodeId) -> Vec<Holder> {
        let (topology, family) = (&self.net.topology, self.net.family());
        let mut all = vec![Holder::customer(1, b"simulated")];
        for link in 0..topology.links.len() {
            for end in topology.links[link].ends {
                if end != id {
                    all.push(Holder::Neighbour(topology.address_on(family, end, link)));
                    all.push(Holder::customer(1, self.name(end).as_bytes()));
                    all.push(self.customer(end, id));
                }
            }
        }
        all.sort();
        all.dedup();
        all
    }

    /// The name that a payer has with a payee.
    fn customer(&self, payer: NodeId, payee: NodeId) -> Holder {
        let name = format!("{} with {}", self.name(payer), self.name(payee));
        Holder::customer(1, name.as_bytes())
    }

    /// Whoever has paid a node so far.
    fn payers(&self, id: NodeId) -> Vec<Holder> {
        let neighbours = self.tellers.as_ref().is_some_and(|tellers| tellers.kept.neighbours);
        let mut seen = BTreeSet::new();
        for body in self.net.node(id).journal() {
            match body {
                Body::Consent(consent) => {
                    seen.insert(Holder::Customer(consent.account.clone()));
                    if neighbours {
                        seen.insert(Holder::Neighbour(consent.payer.address));
                    }
                }
                Body::Runs(runs) if neighbours && runs.meter.payment == Payment::SenderIn => {
                    seen.insert(Holder::Neighbour(runs.meter.neighbour.address));
                }
                _ => {}
            }
        }
        seen.into_iter().collect()
    }

    /// The terms of an account, and whether it is closed.
    fn account(&self, id: NodeId, holder: &Holder) -> Option<(Terms, bool)> {
        let mut standings = self.net.node(id).replay().standings();
        let (_, standing) = standings.find(|(known, _)| *known == holder)?;
        Some((standing.terms.clone(), standing.closed))
    }

    /// Has an operator do something about an account, and daemons come to know theirs.
    pub(super) fn keep_accounts(&mut self) {
        let Some(mut tellers) = self.tellers.take() else { return };
        let reading: Vec<NodeId> = tellers.reading.iter().copied().collect();
        for id in reading {
            if tellers.rng.bool() {
                tellers.reading.remove(&id);
                self.restore(id);
            }
        }
        self.tellers = Some(tellers);
        let providers = self.providers();
        let Some(mut tellers) = self.tellers.take() else { return };
        if let Some(id) = tellers.rng.choice(&providers).copied() {
            self.tellers = Some(tellers);
            let payers = self.payers(id);
            let Some(again) = self.tellers.take() else { return };
            tellers = again;
            if let Some(holder) = tellers.rng.choice(&payers) {
                self.order(&mut tellers, id, holder.clone());
            }
        }
        self.tellers = Some(tellers);
    }

    fn order(&mut self, tellers: &mut Tellers, id: NodeId, holder: Holder) {
        let known = self.account(id, &holder).filter(|(_, closed)| !closed);
        let amount = tellers.rng.u128(1..2 * MINUTE) / TOKEN * TOKEN + TOKEN;
        match (known, tellers.rng.u8(0..10)) {
            (None, choice) => {
                let terms = tellers.terms();
                self.open_account(id, holder.clone(), terms);
                if choice < 8 {
                    self.credit(id, holder, amount);
                }
            }
            (Some(_), 0..=4) => self.credit(id, holder, amount),
            (Some(_), 5..=8) => {
                let terms = tellers.terms();
                self.limit(id, holder, terms);
            }
            (Some(_), _) => {
                let who = holder.clone();
                let closed = self.net.input(id, |engine, now| {
                    let at = now.at.as_millis();
                    engine.close_account(now, &operator(), at, holder, String::new())
                });
                if closed.is_ok() {
                    let what = format!("{} closes the account of {who}", self.name(id));
                    self.note("accounts closed", what);
                }
            }
        }
    }

    fn open_account(&mut self, id: NodeId, holder: Holder, terms: Terms) {
        let what = format!("{} opens an account for {holder}: {}", self.name(id), terms.words());
        let opened = self.net.input(id, |engine, now| {
            engine.create_account(now, &operator(), now.at.as_millis(), (holder, terms))
        });
        opened.unwrap_or_else(|error| panic!("{what}: {error}"));
        self.note("accounts opened", what);
    }

    fn credit(&mut self, id: NodeId, holder: Holder, amount: u128) {
        let what = format!("{} credits {holder} with {amount}", self.name(id));
        let credited = self.net.input(id, |engine, now| {
            let paid = (holder, EUR, amount);
            engine.credit_account(now, &operator(), now.at.as_millis(), paid, String::new())
        });
        credited.unwrap_or_else(|error| panic!("{what}: {error}"));
        self.note("accounts credited", what);
    }

    fn limit(&mut self, id: NodeId, holder: Holder, terms: Terms) {
        let what = format!("{} agrees with {holder} on {}", self.name(id), terms.words());
        let agreed = self.net.input(id, |engine, now| {
            engine.limit_account(now, &operator(), now.at.as_millis(), holder, |_| terms)
        });
        match agreed {
            Ok(_) => self.note("terms changed", what),
            // What was paid in came in whole tokens, always.
            Err(error @ AccountError::NotWhole(_)) => panic!("{what}: {error}"),
            Err(error) => panic!("{what}: {error}"),
        }
    }

    /// Everybody who has an account, or had one, has money for all that it may want.
    pub(super) fn make_rich(&mut self) {
        let Some(tellers) = &mut self.tellers else { return };
        for id in std::mem::take(&mut tellers.reading) {
            self.restore(id);
        }
        for id in self.providers() {
            let standings = self.net.node(id).replay().standings();
            let all: Vec<(Holder, bool)> =
                standings.map(|(holder, known)| (holder.clone(), known.closed)).collect();
            for (holder, closed) in all {
                match closed {
                    true => self.open_account(id, holder, rich()),
                    false => self.limit(id, holder, rich()),
                }
            }
        }
    }

    /// A daemon that started lets nobody in until it knows what was spent before.
    pub(super) fn await_accounts(&mut self, id: NodeId) {
        let charges = self.net.topology.nodes[id].kind == Kind::Router;
        let Some(tellers) = self.tellers.as_mut().filter(|_| charges) else { return };
        tellers.reading.insert(id);
        self.net.input(id, |engine, _| engine.await_accounts());
    }

    /// It has read its journal.
    fn restore(&mut self, id: NodeId) {
        if !self.runs(id) {
            return;
        }
        let standings = self.net.node(id).replay().standings();
        let accounts: Vec<_> = standings
            .map(|(holder, it)| ((holder.clone(), it.terms.clone(), it.closed), it.kept))
            .collect();
        let bad = self.net.input(id, |engine, now| engine.restore_accounts(now, accounts));
        assert!(bad.is_empty(), "accounts that cannot be held: {bad:?}");
        let what = format!("{} knows its accounts again", self.name(id));
        self.note("accounts read after a start", what);
    }
}
