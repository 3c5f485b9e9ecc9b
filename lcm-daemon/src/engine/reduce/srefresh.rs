//! Srefresh: states that were said before and are said again by number (section 5).

use std::net::IpAddr;

use rsvp_wire::object::{ListEntry, ListKind, MessageIds};
use rsvp_wire::{BufferTooSmall, MessageType, MessageWriter};

use super::super::counters::{Counters, bump};
use super::super::outbox::Outbox;
use super::super::record::RecordId;
use super::super::time::{Instant, Span};
use super::peer::Batch;
use super::{PeerKey, Reduce, To};
use crate::packet::TransmitMeta;

/// Bytes of an Srefresh without its entries: header, MESSAGE_ID, and two lists' headers.
const FRAME: usize = 8 + 12 + 2 * 8;

impl Reduce {
    /// Takes the number of a state that is due into the next Srefresh to a neighbour. False if it
    /// must be refreshed by the whole message.
    pub(crate) fn renew(&mut self, to: To, now: Instant, entry: ListEntry) -> bool {
        let wait = self.batch_wait;
        let (Some(key), Some(own)) = (to.peer, to.own) else { return false };
        let Some(peer) = self.peers.get_mut(&key).filter(|peer| peer.capable) else {
            return false;
        };
        if !peer.batches.iter().any(|batch| batch.own == own) {
            peer.batches.push(Batch { own, plain: Vec::new(), multicast: Vec::new() });
        }
        let Some(batch) = peer.batches.iter_mut().find(|batch| batch.own == own) else {
            return false;
        };
        match entry.destination {
            Some(_) => batch.multicast.push(entry),
            None => batch.plain.push(entry.identifier),
        }
        if peer.batch_due.is_none() {
            let due = now + wait;
            peer.batch_due = Some(due);
            self.batches.insert((due, key));
        }
        true
    }

    /// Sets how long states wait for others to be refreshed with: a tenth of R, by which they are
    /// due earlier.
    pub(crate) fn set_period(&mut self, refresh_ms: u32) -> Span {
        self.batch_wait = Span::from_micros(u64::from(refresh_ms) * 100);
        self.batch_wait
    }
}

impl Outbox {
    /// Sends the Srefreshes that are due.
    pub(super) fn refresh_batches(&mut self, counters: &mut Counters, now: Instant) {
        while let Some(&(at, key)) = self.reduce.batches.first().filter(|(at, _)| *at <= now) {
            self.reduce.batches.remove(&(at, key));
            let Some(peer) = self.reduce.peers.get_mut(&key) else { continue };
            peer.batch_due = None;
            let batches = std::mem::take(&mut peer.batches);
            if !peer.capable {
                // It stopped being refreshed by numbers just now: the next refresh is whole.
                bump(&mut counters.reduction, "refresh_given_up");
                continue;
            }
            batches.into_iter().for_each(|batch| self.refresh_batch(counters, key, batch));
        }
    }

    fn refresh_batch(&mut self, counters: &mut Counters, key: PeerKey, batch: Batch) {
        let room = self.reduce.peers.get(&key).map_or(0, |peer| peer.room).saturating_sub(FRAME);
        let Batch { own, mut plain, mut multicast } = batch;
        // What has changed or ended since, or is refreshed twice, is left out.
        let states = &self.reduce.states;
        plain.sort_unstable();
        plain.dedup();
        plain.retain(|number| states.contains_key(number));
        multicast.retain(|entry| states.contains_key(&entry.identifier));
        let listed = if key.1.is_ipv6() { 36 } else { 12 };
        let fit = |entry: usize| (room / entry).max(1);
        plain.chunks(fit(4)).for_each(|part| self.srefresh(counters, (key, own), part, &[]));
        let parts = multicast.chunks(fit(listed));
        parts.for_each(|part| self.srefresh(counters, (key, own), &[], part));
    }

    fn srefresh(
        &mut self,
        counters: &mut Counters,
        (key, own): (PeerKey, IpAddr),
        plain: &[u32],
        multicast: &[ListEntry],
    ) {
        let Some(peer) = self.reduce.peers.get(&key) else { return };
        let (to, epoch) = (peer.to(key), self.reduce.epoch);
        // From the address in the RSVP_HOP of the messages whose numbers these are (section 5.2).
        let meta = TransmitMeta { source: Some(own), ..peer.meta(key) };
        let plain: Vec<ListEntry> = plain
            .iter()
            .map(|number| ListEntry { identifier: *number, source: None, destination: None })
            .collect();
        let listed = if key.1.is_ipv6() { ListKind::MulticastV6 } else { ListKind::MulticastV4 };
        let build = |w: &mut MessageWriter<'_>| -> Result<(), BufferTooSmall> {
            for (kind, entries) in [(ListKind::Plain, &*plain), (listed, multicast)] {
                if !entries.is_empty() {
                    w.object(&MessageIds { kind, epoch, entries })?;
                }
            }
            Ok(())
        };
        self.send(counters, to, meta, MessageType::Srefresh, RecordId::NONE, build);
    }
}
