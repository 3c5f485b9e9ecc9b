//! Messages that are sent again until the neighbour says that it has them (section 6).

use rsvp_wire::MessageType;

use super::super::counters::{Counters, bump};
use super::super::outbox::Outbox;
use super::super::time::{Instant, Span};
use super::{PeerKey, RETRANSMIT, Reduce, TRANSMISSIONS, To};
use crate::packet::TransmitMeta;

/// Messages that wait for acknowledgements with their bytes at most; more are refreshed only.
const KEPT_MAX: usize = 1 << 16;

/// From the first sending of a message to its being given up.
const GIVEN_UP: Span = Span::from_micros(RETRANSMIT.as_micros() * ((1 << TRANSMISSIONS) - 1));

/// A message that is not acknowledged.
#[derive(Debug, Clone)]
pub(crate) struct Unacked {
    to: To,
    meta: TransmitMeta,
    /// Empty once it was given up.
    bytes: Box<[u8]>,
    sent: u8,
    /// The wait that runs, and will be doubled: Delta is 1.
    wait: Span,
    /// `None` until it has left, and once it was given up.
    pub(super) due: Option<Instant>,
}

impl Unacked {
    /// True if it is not sent again any more.
    pub(super) fn is_given_up(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl Reduce {
    /// Notes a message that wants an acknowledgement; it has not left yet.
    pub(crate) fn keep(&mut self, number: u32, to: To, meta: TransmitMeta, message: &[u8]) {
        let kept: &[u8] = if self.unacked.len() < KEPT_MAX { message } else { &[] };
        let unacked =
            Unacked { to, meta, bytes: kept.into(), sent: 0, wait: RETRANSMIT, due: None };
        if let Some(Unacked { due: Some(at), .. }) = self.unacked.insert(number, unacked) {
            self.retries.remove(&(at, number));
        }
    }

    /// A message has left at `at`, or at an instant that will be told with the next input.
    pub(crate) fn left(&mut self, number: u32, at: Option<Instant>) {
        let Some(unacked) = self.unacked.get_mut(&number).filter(|it| !it.is_given_up()) else {
            return;
        };
        let Some(at) = at else { return self.fresh.push(number) };
        unacked.sent = unacked.sent.max(1);
        let due = at + unacked.wait;
        unacked.due = Some(due);
        self.retries.insert((due, number));
    }

    /// A neighbour has a message. If it was meant for another one, which it was taken to be by
    /// routing, it has come to somebody and is not sent again; but nothing is known of whom numbers
    /// would refresh it at.
    pub(super) fn acknowledged(&mut self, key: PeerKey, number: u32) -> bool {
        let Some(unacked) = self.unacked.get_mut(&number) else { return false };
        if unacked.to.peer == Some(key) || !self.states.contains_key(&number) {
            return self.settle(number);
        }
        unacked.bytes = Box::default();
        if let Some(at) = unacked.due.take() {
            self.retries.remove(&(at, number));
        }
        true
    }

    /// A message needs no acknowledgement any more: it came, or what it said is past.
    pub(crate) fn settle(&mut self, number: u32) -> bool {
        let Some(unacked) = self.unacked.remove(&number) else { return false };
        if let Some(at) = unacked.due {
            self.retries.remove(&(at, number));
        }
        true
    }

    /// How many messages a neighbour has not acknowledged.
    pub(crate) fn unacked_by(&self, key: PeerKey) -> usize {
        self.unacked.values().filter(|unacked| unacked.to.peer == Some(key)).count()
    }

    /// True while a message is not acknowledged.
    pub(crate) fn awaits(&self, number: u32) -> bool {
        self.unacked.contains_key(&number)
    }

    /// What was said under this number is past.
    pub(crate) fn forget(&mut self, number: u32) {
        self.settle(number);
        self.states.remove(&number);
    }
}

impl Outbox {
    /// Sends again what was not acknowledged in time.
    pub(super) fn retransmit(&mut self, counters: &mut Counters, now: Instant) {
        for number in std::mem::take(&mut self.reduce.fresh) {
            self.reduce.left(number, Some(now));
        }
        while let Some(&(at, number)) = self.reduce.retries.first().filter(|(at, _)| *at <= now) {
            self.reduce.retries.remove(&(at, number));
            let Some(unacked) = self.reduce.unacked.get_mut(&number) else { continue };
            unacked.due = None;
            // What a neighbour has stopped to understand is not sent to it again (section 2).
            let peer = unacked.to.peer.and_then(|key| self.reduce.peers.get(&key));
            let summary = unacked.bytes.get(1) == Some(&u8::from(MessageType::Srefresh));
            let understood = peer.is_some_and(|peer| peer.numbers && (peer.capable || !summary));
            if unacked.sent >= TRANSMISSIONS || !understood {
                bump(&mut counters.reduction, "unacknowledged");
                let peer = unacked.to.peer.and_then(|key| self.reduce.peers.get_mut(&key));
                if let Some(peer) = peer.filter(|peer| summary || peer.spoke + GIVEN_UP <= now) {
                    // It is deaf or gone: until it is heard again it is told in whole, and by
                    // messages of their own, which its kernel may pass on to a hop behind it.
                    peer.capable = false;
                }
                if self.reduce.states.contains_key(&number) {
                    // It is refreshed by whole messages until one of them is acknowledged.
                    unacked.bytes = Box::default();
                } else {
                    self.reduce.unacked.remove(&number);
                }
                continue;
            }
            unacked.sent += 1;
            unacked.wait = Span::from_micros(unacked.wait.as_micros().saturating_mul(2));
            let due = now + unacked.wait;
            unacked.due = Some(due);
            self.reduce.retries.insert((due, number));
            bump(&mut counters.reduction, "retransmitted");
            let (to, meta, bytes) = (unacked.to, unacked.meta, unacked.bytes.clone());
            counters.sent(bytes.get(1).copied().unwrap_or_default());
            self.stage(to, meta, &bytes);
        }
    }
}
