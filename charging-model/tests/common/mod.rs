//! A network of flows in virtual time: every node is a [`Flow`], messages arrive at once, and the
//! ledger is what the payees metered.
#![allow(dead_code, reason = "each test binary uses a part of it")]

mod journal;
pub(crate) mod sharing;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use charging_model::flow::Limits;
use charging_model::tree::{Link, Solution, Tree};
use charging_model::*;

use sharing::Sharing;

/// `count` cases, unless PROPTEST_CASES says otherwise.
pub(crate) fn cases(count: u32) -> proptest::test_runner::Config {
    let default = proptest::test_runner::Config::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { count };
    proptest::test_runner::Config { cases, ..default }
}

pub(crate) const SENDER: usize = 0;
pub(crate) const UNIX: u32 = 1_750_000_000;

/// How a receiver answers a quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Will {
    /// Pays whatever is required.
    Any,
    /// Pays up to this.
    UpTo(u64),
    /// Does not reserve.
    Absent,
}

pub(crate) struct Node {
    pub(crate) flow: Flow,
    pub(crate) parent: usize,
    pub(crate) will: Will,
    pub(crate) offer: u64,
    pub(crate) app_sequence: u32,
    pub(crate) app_instance: u32,
    pub(crate) receives: bool,
}

pub(crate) struct Net {
    pub(crate) nodes: Vec<Node>,
    pub(crate) terms: Announcement,
    pub(crate) now: u64,
    pub(crate) ledger: Ledger<usize>,
    pub(crate) shadow: Ledger<usize>,
    pub(crate) turns: journal::Turns,
    pub(crate) messages: usize,
    pub(crate) refusals: usize,
    pub(crate) sharing: Sharing,
}

pub(crate) fn account(node: usize) -> Account {
    Account::new(1, node.to_be_bytes().to_vec())
}

pub(crate) fn hop(node: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + node as u32))
}

/// Every next hop has an interface of its own, in the order of the nodes.
pub(crate) fn key(node: usize) -> BranchKey {
    BranchKey { group: node as u32, hop: hop(node) }
}

pub(crate) fn local_key(node: usize) -> BranchKey {
    BranchKey { group: LOCAL_GROUP, hop: hop(node) }
}

pub(crate) fn link(parent: usize, local: u64, max_local: u64, receives: bool) -> Link {
    Link { parent, local: Rate(local), max_local: Rate(max_local), weight: 1, receives }
}

pub(crate) fn terms(ppm: u32, limits: Limits) -> Announcement {
    Announcement {
        fraction: Ppm::new(ppm).unwrap(),
        limits,
        sender_account: Some(account(SENDER)),
        epoch: UNIX,
        validity: Span(u64::MAX / 4),
        refresh: Span(30_000),
        ..Announcement::default()
    }
}

pub(crate) fn price(link: &Link) -> Price {
    Price { local: link.local, max_local: link.max_local, validity: Span(60_000) }
}

/// The figure: S 0, IS1 1, IS2 2, IS3 3, R1 4, R2 5. IS3 stands before R1.
pub(crate) fn figure(price_r1: u64) -> Tree {
    Tree {
        links: vec![
            link(0, 0, 0, false),
            link(1, 100, 120, false),
            link(2, 60, 70, false),
            link(2, price_r1, 80, true),
            link(3, 50, 60, true),
        ],
        fraction: Ppm::new(300_000).unwrap(),
        limits: Limits::default(),
    }
}

impl Net {
    pub(crate) fn new(tree: &Tree) -> Self {
        Self::with(tree, FlowConfig::default())
    }

    pub(crate) fn with(tree: &Tree, config: FlowConfig) -> Self {
        Self::shared(tree, config, Sharing::Equal)
    }

    /// A network in which all nodes share by one strategy; where that is not the equal split,
    /// receivers reserve unlike quantities.
    pub(crate) fn shared(tree: &Tree, config: FlowConfig, sharing: Sharing) -> Self {
        let config = match sharing {
            Sharing::Equal => config,
            _ => FlowConfig { policy: sharing.policy(), ..config },
        };
        let origin = Arc::new(FlowConfig { origin: true, ..config.clone() });
        let config = Arc::new(config);
        let parents =
            std::iter::once((0, false)).chain(tree.links.iter().map(|l| (l.parent, l.receives)));
        let nodes = parents.enumerate().map(|(index, (parent, receives))| Node {
            flow: Flow::new(Arc::clone(if index == 0 { &origin } else { &config })),
            parent,
            will: Will::Absent,
            offer: 0,
            app_sequence: 0,
            app_instance: 0,
            receives,
        });
        let mut net = Self {
            nodes: nodes.collect(),
            terms: terms(tree.fraction.get(), tree.limits),
            now: 0,
            ledger: Ledger::default(),
            shadow: Ledger::default(),
            turns: journal::Turns::default(),
            messages: 0,
            refusals: 0,
            sharing,
        };
        let clock = net.clock();
        // Whoever might join is quoted for all that the sender sends. Were it for nothing, a
        // hold-out would come for that price, and go at its own, for ever.
        let most = sharing::MOST;
        let sends = Flowspec { rate: most, reserved: most, ..Flowspec::default() };
        for (index, node) in net.nodes.iter_mut().enumerate() {
            if sharing != Sharing::Equal {
                let config = if index == SENDER { &origin } else { &config };
                node.flow.configure(clock, config, Some(sends));
            }
        }
        for node in 1..net.nodes.len() {
            if net.nodes[node].receives {
                net.nodes[node].flow.set_group(clock, LOCAL_GROUP, Price::default()).unwrap();
            }
            let l = &tree.links[node - 1];
            net.nodes[l.parent].flow.set_group(clock, node as u32, price(l)).unwrap();
        }
        net.announce();
        net.pump();
        net
    }

    pub(crate) fn clock(&self) -> Clock {
        Clock { now: Millis(self.now), unix_s: UNIX + (self.now / 1000) as u32 }
    }

    /// The sender announces its terms.
    pub(crate) fn announce(&mut self) {
        let (clock, terms) = (self.clock(), self.terms.clone());
        let _ = self.nodes[SENDER].flow.on_dcpe(clock, &terms).unwrap();
    }

    pub(crate) fn set_price(&mut self, node: usize, local: u64) {
        let clock = self.clock();
        let parent = self.nodes[node].parent;
        let old = self.nodes[parent].flow.groups().find(|(g, _)| *g == node as u32).unwrap().1;
        let new = Price { local: Rate(local), ..old };
        self.nodes[parent].flow.set_group(clock, node as u32, new).unwrap();
    }

    pub(crate) fn join(&mut self, node: usize, will: Will) {
        self.nodes[node].will = will;
        self.nodes[node].app_instance = 0;
        self.answer(node);
    }

    pub(crate) fn leave(&mut self, node: usize) {
        self.nodes[node].will = Will::Absent;
        let clock = self.clock();
        self.nodes[node].flow.remove_branch(clock, local_key(node), Cause::Tear);
    }

    /// The application of a receiver answers the newest quote, unless it has done so already.
    pub(crate) fn answer(&mut self, node: usize) {
        let clock = self.clock();
        let equal = self.sharing == Sharing::Equal;
        let quantity = if equal { 0 } else { sharing::demand(node) };
        let n = &mut self.nodes[node];
        let Some(quote) = n.flow.quote(LOCAL_GROUP) else { return };
        let required = quote.receiver_payment().0;
        let installed = n.flow.branch(local_key(node)).is_some();
        let offer = match n.will {
            Will::Absent => return,
            Will::Any => required,
            Will::UpTo(most) if required <= most => required,
            Will::UpTo(_) if installed => n.offer,
            Will::UpTo(_) => return,
        };
        n.app_sequence += 1;
        if n.app_instance == 0 || !installed {
            n.app_instance = n.app_sequence;
        }
        n.offer = offer;
        let payment = Payment {
            payment: Rate(offer),
            announced_total: Rate::ZERO,
            sender_payment: Rate::ZERO,
            local_sum: Rate::ZERO,
            epoch_echo: quote.epoch,
            sequence: n.app_sequence,
            instance: n.app_instance,
            account: account(node),
            refresh: Span(30_000),
            quantity,
            receivers_below: 1,
            flowspec: None,
            limits: Limits::default(),
        };
        let verdict = n.flow.on_ucpe(clock, local_key(node), &payment);
        // An expired price is announced again soon, and answered then.
        if let Verdict::Refused(refusal) = verdict {
            assert_eq!(refusal.reason, Reason::AnnouncementExpired, "node {node}: {refusal:?}");
        }
    }

    /// What the PATH from `parent` to `child` says now.
    pub(crate) fn path(&self, parent: usize, child: usize) -> Option<Announcement> {
        let quote = self.nodes[parent].flow.quote(child as u32)?;
        Some(Announcement {
            total: quote.total,
            max_total: quote.max_total,
            fraction: quote.fraction,
            sender_account: Some(account(parent)),
            limits: quote.limits,
            sponsored: quote.sponsored_tlv(),
            epoch: quote.epoch,
            validity: quote.validity,
            established: quote.established,
            // Said only where a tariff goes by it.
            quantity: 0,
            flags: quote.flags,
            refresh: Span(30_000),
        })
    }

    /// What the RESV of `child` pays now.
    pub(crate) fn resv(&mut self, child: usize) -> Option<Payment> {
        let clock = self.clock();
        let own = self.nodes[child].flow.own_payment(clock)?;
        Some(Payment {
            payment: own.payment,
            announced_total: own.announced_total,
            sender_payment: own.sender_payment,
            local_sum: own.local_sum,
            epoch_echo: own.epoch_echo,
            sequence: own.sequence,
            instance: own.instance,
            account: account(child),
            refresh: Span(30_000),
            quantity: own.quantity,
            receivers_below: own.receivers_below,
            flowspec: None,
            limits: own.limits,
        })
    }

    pub(crate) fn send_path(&mut self, parent: usize, child: usize) {
        let clock = self.clock();
        let Some(said) = self.path(parent, child) else { return };
        self.messages += 1;
        let heard = self.nodes[child].flow.on_dcpe(clock, &said).unwrap();
        self.assert_conserves(child);
        let reused = flow::Inconsistency::EpochReused;
        let reused = matches!(heard, flow::Heard::Inconsistent { how, .. } if how == reused);
        assert!(!reused, "{parent} -> {child}: {said:?}");
        assert_ne!(heard, flow::Heard::Stale, "{parent} -> {child}: {said:?}");
        if self.nodes[child].receives && heard != flow::Heard::Refreshed {
            self.answer(child);
        }
    }

    pub(crate) fn send_resv(&mut self, child: usize) {
        let clock = self.clock();
        let parent = self.nodes[child].parent;
        let Some(payment) = self.resv(child) else { return };
        self.messages += 1;
        let verdict = self.nodes[parent].flow.on_ucpe(clock, key(child), &payment);
        self.assert_conserves(parent);
        match verdict {
            Verdict::Refused(refusal) => {
                self.refusals += 1;
                self.nodes[child].flow.on_own_refused(clock, refusal.required);
                self.send_path(parent, child);
            }
            Verdict::Stale => panic!("stale from {child}"),
            Verdict::Accepted { .. } | Verdict::Kept { .. } => {}
        }
    }

    /// Delivers messages until nobody has anything to say.
    pub(crate) fn pump(&mut self) {
        for _ in 0..10_000 {
            let mut quiet = true;
            for node in 0..self.nodes.len() {
                let changes = self.nodes[node].flow.take_changes();
                for group in &changes.groups {
                    if *group != LOCAL_GROUP {
                        quiet = false;
                        self.send_path(node, *group as usize);
                    } else {
                        self.answer(node);
                    }
                }
                if node != SENDER && (changes.payment || changes.coalescable) {
                    quiet = false;
                    self.send_resv(node);
                }
                if node != SENDER && changes.withdrawn {
                    quiet = false;
                    let (clock, parent) = (self.clock(), self.nodes[node].parent);
                    self.nodes[parent].flow.remove_branch(clock, key(node), Cause::Tear);
                    self.assert_conserves(parent);
                }
            }
            self.book();
            if quiet {
                return;
            }
        }
        panic!("the network does not come to rest");
    }

    /// Moves time, refreshing everything every 30 s and honouring every deadline.
    pub(crate) fn run_to(&mut self, ms: u64) {
        while self.now < ms {
            let next = self.next_event().min(ms);
            self.step_to(next);
        }
    }

    /// When something is due next.
    pub(crate) fn next_event(&self) -> u64 {
        let refresh = (self.now / 30_000 + 1) * 30_000;
        let deadlines = self.nodes.iter().filter_map(|n| n.flow.next_deadline());
        deadlines.map(|d| d.0).filter(|d| *d > self.now).min().unwrap_or(u64::MAX).min(refresh)
    }

    /// Moves time to `ms`, not beyond the next event, and does what is due then.
    pub(crate) fn step_to(&mut self, ms: u64) {
        self.now = ms;
        if ms.is_multiple_of(30_000) {
            self.refresh();
        }
        self.tick();
        self.pump();
    }

    pub(crate) fn tick(&mut self) {
        let clock = self.clock();
        for node in 0..self.nodes.len() {
            for happening in self.nodes[node].flow.tick(clock) {
                if let Happening::Uncovered(k) = happening {
                    self.nodes[node].flow.remove_branch(clock, k, Cause::Uncovered);
                    if k.is_local() {
                        self.nodes[node].will = Will::Absent;
                    } else {
                        let child = k.group as usize;
                        self.nodes[child].flow.on_own_refused(clock, Rate::ZERO);
                    }
                }
            }
        }
    }

    pub(crate) fn refresh(&mut self) {
        self.announce();
        for node in 0..self.nodes.len() {
            let groups: Vec<_> = self.nodes[node].flow.groups().map(|(g, _)| g).collect();
            for group in groups {
                if group != LOCAL_GROUP {
                    self.send_path(node, group as usize);
                }
            }
        }
        for node in (1..self.nodes.len()).rev() {
            if self.nodes[node].receives {
                self.answer(node);
            }
            self.send_resv(node);
        }
    }

    /// Books what the payees metered; shadows go to a ledger of their own.
    pub(crate) fn book(&mut self) {
        let _ = self.take_all();
    }

    /// Books like [`book`](Self::book), and returns what the payees metered of RP, by (payee,
    /// payer).
    pub(crate) fn take_all(&mut self) -> Vec<(usize, usize, Posting)> {
        let mut all = Vec::new();
        let now = self.clock().now;
        for node in 0..self.nodes.len() {
            let parent = self.nodes[node].parent;
            let turns = self.nodes[node].flow.take_turns(now);
            self.turns.take(node, now.0, &turns);
            for posting in self.nodes[node].flow.take_postings() {
                let amount = posting.segment.amount;
                assert!(amount >= Amount::ZERO);
                self.turns.posted(node, &posting);
                let (payer, payee) = match posting.entry {
                    Entry::ReceiverPaymentFrom(k) if k.is_local() => continue,
                    Entry::ReceiverPaymentFrom(k) => (k.group as usize, node),
                    Entry::SenderPaymentFromUpstream => (parent, node),
                    Entry::SenderPaymentTo(k) if k.is_local() => continue,
                    Entry::SenderPaymentTo(k) => (node, k.group as usize),
                    Entry::ReceiverPaymentToUpstream => (node, parent),
                };
                let ledger = if posting.entry.is_metered_here() {
                    &mut self.ledger
                } else {
                    &mut self.shadow
                };
                ledger.transfer(&payer, &payee, amount).unwrap();
                if matches!(posting.entry, Entry::ReceiverPaymentFrom(_)) {
                    all.push((payee, payer, posting));
                }
            }
        }
        assert_eq!(self.ledger.total(), Some(Amount::ZERO));
        all
    }

    /// Asserts that what turned and the time say what was metered. All that was due by now must
    /// have been done.
    pub(crate) fn assert_turns(&mut self) {
        self.book();
        let now = self.clock().now;
        let mut open = Vec::new();
        for (node, n) in self.nodes.iter().enumerate() {
            let mut flow = n.flow.clone();
            flow.checkpoint(now);
            open.extend(flow.take_postings().into_iter().map(|posting| (node, posting)));
        }
        self.turns.assert_agrees(now.0, &open);
    }

    /// Closes all segments and books them.
    pub(crate) fn close(&mut self) {
        self.assert_turns();
        let now = self.clock().now;
        for node in &mut self.nodes {
            node.flow.checkpoint(now);
        }
        self.book();
    }

    /// What every node receives less what it pays, per second, as the payees meter it.
    pub(crate) fn rates(&self) -> Vec<i128> {
        let mut rates = vec![0; self.nodes.len()];
        for (node, n) in self.nodes.iter().enumerate() {
            for b in n.flow.branches().filter(|b| !b.key.is_local()) {
                let rp = i128::from(b.receiver_payment.0);
                rates[node] += rp;
                rates[b.key.group as usize] -= rp;
            }
            if node != SENDER
                && let Some(own) = n.flow.preview_payment()
            {
                rates[node] += i128::from(own.sender_payment.0);
                rates[n.parent] -= i128::from(own.sender_payment.0);
            }
        }
        rates
    }

    /// Asserts that the network stands where the whole-tree computation says.
    pub(crate) fn assert_agrees(&self, tree: &Tree) {
        let reserves = |node: usize| self.nodes[node].will != Will::Absent;
        let mut tree = tree.clone();
        if self.sharing != Sharing::Equal {
            self.sharing.weigh(self, &mut tree);
        }
        let solution = tree.solve_for(reserves).unwrap();
        for (index, expected) in solution.links.iter().enumerate() {
            let (node, parent) = (index + 1, tree.links[index].parent);
            let branch = self.nodes[parent].flow.branch(key(node));
            let own = self.nodes[node].flow.preview_payment();
            let Some(e) = expected else {
                assert!(branch.is_none() && own.is_none(), "link to {node} is not reserved");
                continue;
            };
            let (b, own) = (branch.unwrap(), own.unwrap());
            let q = self.nodes[parent].flow.quote(node as u32).unwrap();
            assert_eq!(
                (q.total, q.max_total, q.carried, q.fraction, q.sponsored, q.limits.max_hops),
                (e.total, e.max_total, e.carried, e.fraction, e.sponsored, e.max_hops),
                "DCPE to {node}"
            );
            assert_eq!(
                (q.limits.per_receiver, q.limits.per_hop),
                (tree.limits.per_receiver, tree.limits.per_hop)
            );
            assert_eq!(
                (own.announced_total, own.local_sum, own.sender_payment),
                (e.announced_total, e.local_sum, e.sender_payment),
                "UCPE of {node}"
            );
            if e.max_total != Rate::ZERO {
                assert_eq!(own.payment, e.receiver_payment, "payment of {node}");
            }
            assert_eq!(
                (b.total, b.receiver_payment),
                (e.total, e.receiver_payment),
                "agreed with {node}"
            );
            assert!(b.consistent && b.deadline.is_none());
        }
        assert_eq!(self.rates(), solution.balances);
    }

    /// What must hold at a node at any instant, between any two messages, whoever holds out:
    /// E_j = ΣL − U_j, no negative take, and no payment above its ceiling.
    pub(crate) fn assert_conserves(&self, node: usize) {
        let flow = &self.nodes[node].flow;
        let (Some((total, sponsored)), true) = (flow.approved_claim(), node != SENDER) else {
            return;
        };
        // Before the first branch is ACTIVE, the PENDING ones share.
        let any = flow.branches().any(|b| b.status == "ACTIVE");
        let counts = if any { "ACTIVE" } else { "PENDING" };
        let counted: Vec<_> = flow.branches().filter(|b| b.status == counts).collect();
        let sum = |f: fn(&BranchView) -> Rate| counted.iter().map(|b| f(b).wide()).sum::<u128>();
        assert!(sum(|b| b.sponsored) >= sponsored.wide(), "negative take at {node}");
        for b in &counted {
            assert!(b.receiver_payment <= b.ceiling, "above the ceiling: {node} -> {}", b.key);
            let quote = flow.quote_for(b.key).unwrap();
            assert!(quote.total <= quote.max_total, "C > M: {node} -> {}", b.key);
            assert!(quote.sponsored <= quote.total, "S > C: {node} -> {}", b.key);
        }
        let Some(own) = flow.preview_payment() else { return };
        let claim = total.minus(sponsored, "claim").unwrap();
        let paid = sum(|b| b.sender_payment);
        let earned =
            equations::earnings(sum(|b| b.receiver_payment), own.sender_payment, paid, claim);
        let due = sum(|b| b.local) as i128 - flow.carried_by_hop();
        assert_eq!(earned, Ok(due), "E_j = ΣL − U_j at {node}");
    }

    /// The same at every node, and between them: all rates, and all accounts, sum to zero.
    pub(crate) fn assert_invariants(&self) {
        (0..self.nodes.len()).for_each(|node| self.assert_conserves(node));
        assert_eq!(self.ledger.total(), Some(Amount::ZERO));
        assert_eq!(self.rates().iter().sum::<i128>(), 0);
    }

    pub(crate) fn solution(&self, tree: &Tree) -> Solution {
        tree.solve_for(|node| self.nodes[node].will != Will::Absent).unwrap()
    }

    pub(crate) fn balances(&self) -> BTreeMap<usize, i128> {
        self.ledger.accounts().map(|(node, amount)| (*node, amount.0)).collect()
    }
}
