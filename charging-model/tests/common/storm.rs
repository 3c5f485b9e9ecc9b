//! A network in weather: messages are lost, late and out of order.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::{BTreeMap, HashMap};

use charging_model::flow::{Heard, Inconsistency};
use charging_model::tree::Tree;
use charging_model::*;

use crate::common::sharing::Sharing;
use crate::common::{Net, SENDER, Will, key, local_key};

/// How long state lives without a refresh, R = 30 s.
pub(crate) const LIFETIME: u64 = 157_500;
pub(crate) const H: u64 = 47_000;

#[derive(Clone, Debug)]
pub(crate) enum Message {
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
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// One accepted UCPE at a payee: when, its ceiling, its instance.
pub(crate) type Approval = (u64, u64, u32);

pub(crate) struct Storm {
    pub(crate) net: Net,
    pub(crate) dice: Dice,
    pub(crate) loss_percent: u64,
    pub(crate) delay_ms: u64,
    pub(crate) queue: BTreeMap<(u64, u64), Message>,
    pub(crate) sent: u64,
    pub(crate) path_due: Vec<u64>,
    pub(crate) resv_due: Vec<u64>,
    pub(crate) heard: HashMap<usize, u64>,
    pub(crate) approvals: HashMap<(usize, usize), Vec<Approval>>,
    pub(crate) messages: u64,
}

impl Storm {
    pub(crate) fn new(tree: &Tree, config: FlowConfig, seed: u64, sharing: Sharing) -> Self {
        let net = Net::shared(tree, config, sharing);
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

    pub(crate) fn send(&mut self, message: Message) {
        self.messages += 1;
        if self.dice.below(100) < self.loss_percent {
            return;
        }
        let at = self.net.now + 1 + self.dice.below(self.delay_ms + 1);
        self.sent += 1;
        self.queue.insert((at, self.sent), message);
    }

    /// RFC 2205 3.7: a refresh comes after half to one and a half periods.
    pub(crate) fn jitter(&mut self) -> u64 {
        15_000 + self.dice.below(30_001)
    }

    pub(crate) fn send_path(&mut self, parent: usize, child: usize) {
        if let Some(said) = self.net.path(parent, child) {
            self.send(Message::Path { child, said });
        }
    }

    pub(crate) fn send_resv(&mut self, child: usize) {
        if let Some(payment) = self.net.resv(child) {
            self.send(Message::Resv { child, payment });
        }
    }

    /// Everyone with something to say says it.
    pub(crate) fn speak(&mut self) {
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

    pub(crate) fn deliver(&mut self, message: Message) {
        let clock = self.net.clock();
        match message {
            Message::Path { child, said } => {
                let heard = self.net.nodes[child].flow.on_dcpe(clock, &said).unwrap();
                self.net.assert_conserves(child);
                let reused = Inconsistency::EpochReused;
                assert!(!matches!(heard, Heard::Inconsistent { how, .. } if how == reused));
                let news = !matches!(heard, Heard::Refreshed | Heard::Stale);
                if self.net.nodes[child].receives && news {
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
                self.net.assert_conserves(parent);
            }
        }
    }

    pub(crate) fn deliver_resv(&mut self, child: usize, payment: &Payment) {
        let (clock, parent) = (self.net.clock(), self.net.nodes[child].parent);
        let verdict = self.net.nodes[parent].flow.on_ucpe(clock, key(child), payment);
        self.net.assert_conserves(parent);
        match verdict {
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

    pub(crate) fn timers(&mut self) {
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
            let happenings = self.net.nodes[node].flow.tick(clock);
            let found = self.net.nodes[node].flow.take_findings();
            assert!(found.is_empty(), "node {node} suspects the honest: {found:?}");
            for happening in happenings {
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

    pub(crate) fn run_to(&mut self, end: u64) {
        loop {
            self.settle();
            let next = self.next_event().min(end);
            self.step_to(next);
            if self.net.now >= end {
                return self.speak();
            }
        }
    }

    /// Everyone speaks, and what must hold at any instant does.
    pub(crate) fn settle(&mut self) {
        self.speak();
        self.net.assert_invariants();
        self.net.assert_turns();
    }

    /// When a message arrives, or something is due, next.
    pub(crate) fn next_event(&self) -> u64 {
        let mut next = self.queue.keys().next().map_or(u64::MAX, |(at, _)| *at);
        for node in 0..self.net.nodes.len() {
            next = next.min(self.path_due[node]);
            if node != SENDER {
                next = next.min(self.resv_due[node]);
            }
            next = next.min(self.heard.get(&node).map_or(u64::MAX, |at| at + LIFETIME));
            let deadline = self.net.nodes[node].flow.next_deadline();
            next = next.min(deadline.map_or(u64::MAX, |d| d.0.max(self.net.now + 1)));
        }
        next
    }

    /// Moves time to `next`, not beyond the next event, and does what is due then.
    pub(crate) fn step_to(&mut self, next: u64) {
        self.net.now = next.max(self.net.now);
        while let Some(entry) = self.queue.first_entry().filter(|e| e.key().0 <= self.net.now) {
            let message = entry.remove();
            self.deliver(message);
        }
        self.timers();
    }

    /// Receivers who found it too dear, and have no reservation, are gone.
    pub(crate) fn give_up(&mut self) {
        for node in 1..self.net.nodes.len() {
            let n = &mut self.net.nodes[node];
            if matches!(n.will, Will::UpTo(_)) && n.flow.branch(local_key(node)).is_none() {
                n.will = Will::Absent;
            }
        }
    }

    /// The promise: RP is debited only for time that the payer approved, and within its ceilings.
    pub(crate) fn check_postings(&mut self) {
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
