//! What the engine wants done: messages, questions, records, news for local applications.
//!
//! A message that rests on a consent waits here until the record of that consent is acknowledged
//! (durable). Acknowledgements are cumulative, so the waiting messages form a queue; one that
//! rests on an older consent than those before it waits with them.

use std::collections::VecDeque;
use std::net::IpAddr;

use rsvp_wire::{BufferTooSmall, MessageType, MessageWriter};

use super::charging::Alarm;
use super::counters::Counters;
use super::integrity::Disbelieved;
use super::local::Notice;
use super::record::RecordId;
use super::traffic::TrafficChange;
use crate::kernel::RouteKey;
use crate::ledger::record::Body;
use crate::packet::{TransmitMeta, TransmitQueue};

/// Largest RSVP message that fits an IPv4 packet with the Router Alert option.
const MAX_MESSAGE: usize = 65_535 - 24;

/// Messages that wait for records at most: a disk that hangs must not fill memory. A RESV that is
/// not kept is sent again by its next refresh.
const HELD_MAX: usize = 1 << 16;

/// Something to do that is not a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Look up a route and answer with [`Engine::handle_route`](super::Engine::handle_route).
    Route(RouteKey),
    /// Write a record and acknowledge it with
    /// [`Engine::handle_recorded`](super::Engine::handle_recorded) once it is durable.
    Record(RecordId, Box<Body>),
    /// Become a member of a multicast group, so that PATH messages to it are received.
    Join {
        /// The group.
        group: IpAddr,
        /// The interface to join on.
        interface: u32,
    },
    /// Stop being a member.
    Leave {
        /// The group.
        group: IpAddr,
        /// The interface that was joined on.
        interface: u32,
    },
    /// Tell a local application.
    Notice(Notice),
    /// Tell the operator of a neighbour that contradicts itself or us.
    Alarm(Box<Alarm>),
    /// Tell the operator of a message that was not believed.
    Disbelieved(Box<Disbelieved>),
    /// Tell the operator that the last key of an interface or neighbour has ended; it stays in use
    /// until there is another one.
    LastKeyEnded {
        /// The interface or neighbour.
        of: String,
        /// Key identifier.
        key_id: u64,
    },
    /// Make, modify or delete what traffic control reserves on an interface.
    Traffic(Box<TrafficChange>),
}

/// Messages and other outputs, in the order in which they arose.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outbox {
    ready: TransmitQueue,
    held: VecDeque<(RecordId, TransmitMeta, Box<[u8]>)>,
    /// What traffic control is to do once the consents are durable on which it rests.
    admitted: VecDeque<(RecordId, Box<TrafficChange>)>,
    outputs: VecDeque<Output>,
    last_record: RecordId,
    recorded: RecordId,
    buffer: Buffer,
}

/// Room for one message, which is no state: a copy of a node starts without it.
#[derive(Debug, Default)]
struct Buffer(Vec<u8>);

impl Clone for Buffer {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Buffer {
    fn room(&mut self) -> &mut [u8] {
        self.0.resize(MAX_MESSAGE, 0);
        &mut self.0
    }
}

impl Outbox {
    /// Builds a message and queues it; it rests on the records up to `needs`.
    /// A message that does not fit an IP packet is counted and not sent.
    pub(crate) fn send(
        &mut self,
        counters: &mut Counters,
        meta: TransmitMeta,
        message_type: MessageType,
        needs: RecordId,
        build: impl FnOnce(&mut MessageWriter<'_>) -> Result<(), BufferTooSmall>,
    ) {
        let mut writer = MessageWriter::new(self.buffer.room(), message_type, meta.ttl);
        let length = match build(&mut writer).and_then(|()| writer.finish()) {
            Ok(length) => length,
            Err(BufferTooSmall { .. }) => return counters.drop("message_too_long"),
        };
        let waits = self.recorded < needs;
        if waits && self.held.len() >= HELD_MAX {
            return counters.drop("records_in_arrears");
        }
        counters.sent(message_type.into());
        let message = self.buffer.0.get(..length).unwrap_or_default();
        if waits {
            self.held.push_back((needs, meta, message.into()));
        } else {
            self.ready.push(meta, message);
        }
    }

    /// Has a record written; its number.
    pub(crate) fn record(&mut self, body: Body) -> RecordId {
        self.last_record = self.last_record.next();
        self.outputs.push_back(Output::Record(self.last_record, Box::new(body)));
        self.last_record
    }

    /// All records up to and including `id` are durable.
    pub(crate) fn recorded(&mut self, id: RecordId) {
        self.recorded = self.recorded.max(id);
        while self.held.front().is_some_and(|(needs, _, _)| *needs <= self.recorded) {
            if let Some((_, meta, message)) = self.held.pop_front() {
                self.ready.push(meta, &message);
            }
        }
        while self.admitted.front().is_some_and(|(needs, _)| *needs <= self.recorded) {
            if let Some((_, change)) = self.admitted.pop_front() {
                self.outputs.push_back(Output::Traffic(change));
            }
        }
    }

    /// Has traffic control changed, once the records up to `needs` are durable. Changes keep their
    /// order.
    pub(crate) fn traffic(&mut self, change: TrafficChange, needs: RecordId) {
        if self.admitted.is_empty() && needs <= self.recorded {
            self.outputs.push_back(Output::Traffic(Box::new(change)));
        } else {
            self.admitted.push_back((needs, Box::new(change)));
        }
    }

    /// Forgets the RESVs that rest on these records in the last place; the tears stay, since what
    /// they end may stand.
    pub(crate) fn forget_resvs(&mut self, records: &[RecordId]) {
        let resv = |message: &[u8]| message.get(1) == Some(&u8::from(MessageType::Resv));
        self.held.retain(|(needs, _, message)| !(resv(message) && records.contains(needs)));
    }

    /// What waits, to be printed; of the numbers of records how far the acknowledgements are behind.
    pub(crate) fn image(&self) -> impl std::fmt::Debug + '_ {
        let Self { ready, held, admitted, outputs, last_record, recorded, buffer: _ } = self;
        let behind = |record: RecordId| last_record.0.saturating_sub(record.0);
        let held: Vec<_> = held.iter().map(|(id, meta, sent)| (behind(*id), meta, sent)).collect();
        let ready: Vec<_> = ready.iter().collect();
        let admitted: Vec<_> = admitted.iter().map(|(id, change)| (behind(*id), change)).collect();
        (ready, held, admitted, outputs, behind(*recorded))
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(crate) fn pop(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(crate) fn transmits(&mut self) -> &mut TransmitQueue {
        &mut self.ready
    }
}
