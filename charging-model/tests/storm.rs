//! Messages lost, late and out of order: nobody pays what it did not approve, and when the
//! weather clears the network stands where the whole-tree computation says.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::collections::{BTreeMap, HashMap};

use charging_model::flow::{Heard, Limits};
use charging_model::tree::Tree;
use charging_model::*;
use common::{Net, SENDER, Will, key, link, local_key};
use proptest::prelude::*;

/// How long state lives without a refresh, R = 30 s.
const LIFETIME: u64 = 157_500;
const H: u64 = 47_000;

#[derive(Clone, Debug)]
enum Message {
    Path {
        child: usize,
        said: Announcement,
    },
    Resv {
        child: usize,
        payment: Payment,
    },
    ResvErr {
        child: usize,
        sequence: u32,
        required: Rate,
    },
    /// RFC 2205 3.1.6: a RESVTEAR carries no policy data, so no instance either.
    Tear {
        child: usize,
    },
}

/// A small generator of its own, seeded by the test case.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// One accepted UCPE at a payee: when, its ceiling, its instance.
type Approval = (u64, u64, u32);

struct Storm {
    net: Net,
    dice: Dice,
    loss_percent: u64,
    delay_ms: u64,
    queue: BTreeMap<(u64, u64), Message>,
    sent: u64,
    path_due: Vec<u64>,
    resv_due: Vec<u64>,
    heard: HashMap<usize, u64>,
    approvals: HashMap<(usize, usize), Vec<Approval>>,
    messages: u64,
}

impl Storm {
    fn new(tree: &Tree, config: FlowConfig, seed: u64) -> Self {
        let net = Net::with(tree, config);
        let count = net.nodes.len();
        Self {
            net,
            dice: Dice(seed | 1),
            loss_percent: 10,
            delay_ms: 400,
            queue: BTreeMap::new(),
            sent: 0,
            path_due: vec![1; count],
            resv_due: vec![1; count],
            heard: HashMap::new(),
            approvals: HashMap::new(),
            messages: 0,
        }
    }

    fn send(&mut self, message: Message) {
        self.messages += 1;
        if self.dice.below(100) < self.loss_percent {
            return;
        }
        let at = self.net.now + 1 + self.dice.below(self.delay_ms + 1);
        self.sent += 1;
        self.queue.insert((at, self.sent), message);
    }

    /// RFC 2205 3.7: a refresh comes after half to one and a half periods.
    fn jitter(&mut self) -> u64 {
        15_000 + self.dice.below(30_001)
    }

    fn send_path(&mut self, parent: usize, child: usize) {
        if let Some(said) = self.net.path(parent, child) {
            self.send(Message::Path { child, said });
        }
    }

    fn send_resv(&mut self, child: usize) {
        if let Some(payment) = self.net.resv(child) {
            self.send(Message::Resv { child, payment });
        }
    }

    /// Everyone with something to say says it.
    fn speak(&mut self) {
        for _ in 0..100 {
            let mut quiet = true;
            for node in 0..self.net.nodes.len() {
                let changes = self.net.nodes[node].flow.take_changes();
                for group in &changes.groups {
                    if *group == LOCAL_GROUP {
                        quiet = false;
                        self.net.answer(node);
                    } else {
                        self.send_path(node, *group as usize);
                    }
                }
                if node != SENDER && (changes.payment || changes.coalescable) {
                    self.send_resv(node);
                }
                if node != SENDER && changes.withdrawn {
                    self.send(Message::Tear { child: node });
                }
            }
            self.check_postings();
            if quiet {
                return;
            }
        }
        panic!("a node does not stop talking to its own receiver");
    }

    fn deliver(&mut self, message: Message) {
        let clock = self.net.clock();
        match message {
            Message::Path { child, said } => {
                let heard = self.net.nodes[child].flow.on_dcpe(clock, &said).unwrap();
                assert_ne!(heard, Heard::EpochReused);
                if self.net.nodes[child].receives && heard == Heard::Changed {
                    self.net.answer(child);
                }
            }
            Message::Resv { child, payment } => self.deliver_resv(child, &payment),
            Message::ResvErr { child, sequence, required } => {
                let flow = &mut self.net.nodes[child].flow;
                if flow.last_sequence() == Some(sequence) {
                    flow.on_own_refused(clock, required);
                    if self.net.nodes[child].receives {
                        self.net.answer(child);
                    }
                }
            }
            Message::Tear { child } => {
                let parent = self.net.nodes[child].parent;
                self.net.nodes[parent].flow.remove_branch(clock, key(child), Cause::Tear);
            }
        }
    }

    fn deliver_resv(&mut self, child: usize, payment: &Payment) {
        let (clock, parent) = (self.net.clock(), self.net.nodes[child].parent);
        let flow = &mut self.net.nodes[parent].flow;
        match flow.on_ucpe(clock, key(child), payment) {
            Verdict::Accepted { .. } | Verdict::Kept { extended: true, .. } => {
                self.heard.insert(child, clock.now.0);
                let approval = (clock.now.0, payment.payment.0, payment.instance);
                self.approvals.entry((parent, child)).or_default().push(approval);
            }
            Verdict::Kept { extended: false, .. } => {
                self.heard.insert(child, clock.now.0);
                self.send_path(parent, child);
            }
            Verdict::Refused(refusal) => {
                let Refusal { required, .. } = refusal;
                self.send(Message::ResvErr { child, sequence: payment.sequence, required });
                self.send_path(parent, child);
            }
            Verdict::Stale => {}
        }
    }

    fn timers(&mut self) {
        let now = self.net.now;
        for node in 0..self.net.nodes.len() {
            if self.path_due[node] <= now {
                self.path_due[node] = now + self.jitter();
                if node == SENDER {
                    self.net.announce();
                }
                let groups: Vec<_> = self.net.nodes[node].flow.groups().map(|(g, _)| g).collect();
                for group in groups.into_iter().filter(|g| *g != LOCAL_GROUP) {
                    self.send_path(node, group as usize);
                }
            }
            if node != SENDER && self.resv_due[node] <= now {
                self.resv_due[node] = now + self.jitter();
                if self.net.nodes[node].receives {
                    self.net.answer(node);
                }
                self.send_resv(node);
            }
            let parent = self.net.nodes[node].parent;
            let silent = self.heard.get(&node).is_some_and(|at| at + LIFETIME <= now);
            if silent && node != SENDER {
                self.heard.remove(&node);
                let clock = self.net.clock();
                self.net.nodes[parent].flow.remove_branch(clock, key(node), Cause::Timeout);
            }
        }
        let clock = self.net.clock();
        for node in 0..self.net.nodes.len() {
            for happening in self.net.nodes[node].flow.tick(clock) {
                let Happening::Uncovered(k) = happening else { continue };
                let b = self.net.nodes[node].flow.branch(k).unwrap();
                self.net.nodes[node].flow.remove_branch(clock, k, Cause::Uncovered);
                if !k.is_local() {
                    let child = k.group as usize;
                    let (sequence, required) = (b.sequence, Rate::ZERO);
                    self.send(Message::ResvErr { child, sequence, required });
                }
            }
        }
    }

    fn run_to(&mut self, end: u64) {
        loop {
            self.speak();
            assert_invariants(&self.net);
            let mut next = end;
            next = next.min(self.queue.keys().next().map_or(end, |(at, _)| *at));
            for node in 0..self.net.nodes.len() {
                next = next.min(self.path_due[node]).min(if node == SENDER {
                    end
                } else {
                    self.resv_due[node]
                });
                next = next.min(self.heard.get(&node).map_or(end, |at| at + LIFETIME));
                let deadline = self.net.nodes[node].flow.next_deadline().map_or(end, |d| d.0);
                next = next.min(deadline.max(self.net.now + 1));
            }
            self.net.now = next.max(self.net.now);
            while let Some(entry) = self.queue.first_entry().filter(|e| e.key().0 <= self.net.now) {
                let message = entry.remove();
                self.deliver(message);
            }
            self.timers();
            if self.net.now >= end {
                return self.speak();
            }
        }
    }

    /// Receivers who found it too dear, and have no reservation, are gone.
    fn give_up(&mut self) {
        for node in 1..self.net.nodes.len() {
            let n = &mut self.net.nodes[node];
            if matches!(n.will, Will::UpTo(_)) && n.flow.branch(local_key(node)).is_none() {
                n.will = Will::Absent;
            }
        }
    }

    /// The promise: RP is debited only for time that the payer approved, and within its ceilings.
    fn check_postings(&mut self) {
        for (payee, payer, posting) in self.net.take_all() {
            let approvals = &self.approvals[&(payee, payer)];
            let (from, to) = (posting.segment.from.0, posting.segment.to.0);
            let rate = posting.segment.rate.0;
            if posting.gap {
                let before = approvals.iter().rfind(|a| a.0 < from).unwrap();
                let after = approvals.iter().find(|a| a.0 >= to).or(approvals.last()).unwrap();
                assert!(rate <= before.1 && rate <= after.1, "{posting:?}");
                assert_eq!(before.2, after.2, "a gap between two instances");
                continue;
            }
            let mut at = from;
            while at < to {
                let current = approvals.iter().rfind(|a| a.0 <= at).unwrap();
                let next = approvals.iter().find(|a| a.0 > at).map_or(to, |a| a.0).min(to);
                assert!(rate <= current.1, "{posting:?} above {current:?}");
                assert!(next <= current.0 + H, "{posting:?} beyond {current:?}");
                at = next;
            }
        }
    }
}

fn assert_invariants(net: &Net) {
    for n in net.nodes.iter().skip(1) {
        let Some((total, sponsored)) = n.flow.approved_claim() else { continue };
        // Before the first branch is ACTIVE, the PENDING ones share.
        let any = n.flow.branches().any(|b| b.status == "ACTIVE");
        let counts = if any { "ACTIVE" } else { "PENDING" };
        let counted: Vec<_> = n.flow.branches().filter(|b| b.status == counts).collect();
        let sum = |f: fn(&BranchView) -> Rate| counted.iter().map(|b| f(b).wide()).sum::<u128>();
        assert!(sum(|b| b.sponsored) >= sponsored.wide(), "negative take");
        let sp = n.flow.preview_payment().map_or(Rate::ZERO, |own| own.sender_payment);
        let claim = total.minus(sponsored, "claim").unwrap();
        if n.flow.preview_payment().is_some() {
            let paid = sum(|b| b.sender_payment);
            let earned = equations::earnings(sum(|b| b.receiver_payment), sp, paid, claim);
            assert_eq!(earned, Ok(sum(|b| b.local) as i128 - n.flow.carried_by_hop()));
        }
        assert!(counted.iter().all(|b| b.receiver_payment <= b.ceiling));
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    let nodes = proptest::collection::vec((any::<prop::sample::Index>(), 0..200_u64), 2..9);
    let limit = proptest::option::weighted(0.2, (0..400_u64).prop_map(Rate));
    let ppm = prop_oneof![Just(0), Just(333_333), Just(500_000), Just(1_000_000)];
    (nodes, ppm, limit).prop_map(|(nodes, ppm, per_receiver)| {
        let mut links = vec![link(SENDER, 0, 0, false)];
        for (index, (parent, local)) in nodes.into_iter().enumerate() {
            links.push(link(1 + parent.index(index + 1), local, local + 50, false));
        }
        let parents: Vec<_> = links.iter().map(|l| l.parent).collect();
        for (index, l) in links.iter_mut().enumerate() {
            l.receives = !parents.contains(&(index + 1));
        }
        let limits = Limits { per_receiver, ..Limits::default() };
        Tree { links, fraction: Ppm::new(ppm).unwrap(), limits }
    })
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Join(usize),
    JoinUpTo(usize, u64),
    Relent(usize),
    Leave(usize),
    Price(usize, u64),
    Fraction(u32),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..12_usize).prop_map(Op::Join),
        2 => (0..12_usize, 0..400_u64).prop_map(|(n, most)| Op::JoinUpTo(n, most)),
        1 => (0..12_usize).prop_map(Op::Relent),
        1 => (0..12_usize).prop_map(Op::Leave),
        2 => (0..12_usize, 0..300_u64).prop_map(|(n, p)| Op::Price(n, p)),
        1 => prop_oneof![Just(0), Just(250_000), Just(900_001)].prop_map(Op::Fraction),
    ]
}

fn apply(storm: &mut Storm, tree: &mut Tree, op: Op) {
    let net = &mut storm.net;
    let all: Vec<_> = (1..net.nodes.len()).filter(|n| net.nodes[*n].receives).collect();
    match op {
        Op::Join(n) => {
            let node = all[n % all.len()];
            if net.nodes[node].will == Will::Absent {
                net.join(node, Will::Any);
            }
        }
        Op::JoinUpTo(n, most) => {
            let node = all[n % all.len()];
            if net.nodes[node].will == Will::Absent {
                net.join(node, Will::UpTo(most));
            }
        }
        Op::Relent(n) => {
            let node = all[n % all.len()];
            if net.nodes[node].will != Will::Absent {
                net.nodes[node].will = Will::Any;
                net.answer(node);
            }
        }
        Op::Leave(n) => {
            let node = all[n % all.len()];
            net.nodes[node].will = Will::Absent;
            let clock = net.clock();
            net.nodes[node].flow.remove_branch(clock, local_key(node), Cause::Tear);
        }
        Op::Price(n, local) => {
            let node = n % (net.nodes.len() - 1) + 1;
            if net.nodes[node].parent != SENDER {
                net.set_price(node, local);
                let l = &mut tree.links[node - 1];
                l.local = Rate(local);
                l.max_local = l.max_local.max(l.local);
            }
        }
        Op::Fraction(ppm) => {
            tree.fraction = Ppm::new(ppm).unwrap();
            net.terms.fraction = tree.fraction;
            net.terms.epoch += 1;
            net.announce();
        }
    }
}

proptest! {
    #![proptest_config(common::cases(60))]

    #[test]
    fn r006_the_promise_holds_in_any_weather(
        start in tree(),
        ops in proptest::collection::vec((op(), 0..60_000_u64), 1..14),
        seed in any::<u64>(),
        require_established in any::<bool>(),
    ) {
        let mut tree = start;
        let config = FlowConfig { require_established, ..FlowConfig::default() };
        let mut storm = Storm::new(&tree, config, seed);
        for (op, wait) in ops {
            apply(&mut storm, &mut tree, op);
            let until = storm.net.now + wait;
            storm.run_to(until);
        }
        storm.loss_percent = 0;
        let calm = storm.net.now + 3 * LIFETIME;
        storm.run_to(calm);
        storm.give_up();
        storm.net.assert_agrees(&tree);
        for node in storm.net.nodes.iter().skip(1) {
            prop_assert!(node.flow.branches().all(|b| b.status == "ACTIVE"));
            // Everything agreed is billed: RP of every branch, and SP if there is any.
            let now = Millis(calm);
            let billed: Vec<_> = node.flow.running(now).collect();
            for b in node.flow.branches().filter(|b| b.receiver_payment > Rate::ZERO) {
                let entry = (Entry::ReceiverPaymentFrom(b.key), b.receiver_payment);
                prop_assert!(billed.contains(&entry), "{:?} in {:?}", entry, billed);
            }
        }
        // At rest there is nothing but refreshes: no storm.
        let (before, links) = (storm.messages, tree.links.len() as u64);
        storm.run_to(calm + 300_000);
        storm.give_up();
        prop_assert!(storm.messages - before <= links * 2 * 21);
        storm.net.assert_agrees(&tree);
        storm.net.close();
    }
}
