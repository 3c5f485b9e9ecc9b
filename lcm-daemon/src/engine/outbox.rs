//! What the engine wants done: messages, questions, records, news for local applications.
//!
//! Where refresh reduction is on (`reduce/`), messages get numbers here, and what leaves together
//! is looked through for acknowledgements to go along before it is handed out.
//!
//! A message that rests on a consent waits here until the record of that consent is acknowledged
//! (durable). Acknowledgements are cumulative, so the waiting messages form a queue; one that
//! rests on an older consent than those before it waits with them.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use rsvp_wire::object::{ListEntry, MessageId};
use rsvp_wire::{BufferTooSmall, MessageType, MessageWriter, rewrite_checksum};

use super::accounts::Spending;
use super::charging::Alarm;
use super::counters::Counters;
use super::diagnose::{TraceId, TraceView};
use super::integrity::Disbelieved;
use super::local::Notice;
use super::record::RecordId;
use super::reduce::{NeighbourNews, Reduce, Sent, To};
use super::time::Instant;
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
    /// Tell the operator of a neighbour that fell silent, restarted or came back.
    Neighbour {
        /// Its address.
        address: IpAddr,
        /// Where it was heard last.
        interface: u32,
        /// What became of it.
        news: NeighbourNews,
    },
    /// Send a diagnostic reply to a requester that listens by UDP (RFC 2745 section 6).
    Datagram {
        /// Where it listens.
        to: SocketAddr,
        /// The message, from the RSVP header on.
        message: Box<[u8]>,
    },
    /// Tell whoever asked what a trace has found.
    Traced(TraceId, Box<TraceView>),
    /// Tell the operator of an account that is used up, or will be soon.
    Spending(Box<Spending>),
    /// Make, modify or delete what traffic control reserves on an interface.
    Traffic(Box<TrafficChange>),
}

/// Messages and other outputs, in the order in which they arose.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    ready: TransmitQueue,
    /// What is to leave once acknowledgements have joined it; in step with `staged_to`.
    pub(super) staged: TransmitQueue,
    pub(super) staged_to: Vec<To>,
    held: VecDeque<Held>,
    /// Numbers, neighbours that have them, and what they have not acknowledged.
    pub(crate) reduce: Reduce,
    /// The time of the last input.
    pub(crate) at: Instant,
    /// What traffic control is to do once the consents are durable on which it rests.
    admitted: VecDeque<(RecordId, Box<TrafficChange>)>,
    outputs: VecDeque<Output>,
    last_record: RecordId,
    recorded: RecordId,
    buffer: Buffer,
}

/// A message that waits for a record.
#[derive(Debug, Clone)]
struct Held {
    needs: RecordId,
    to: To,
    meta: TransmitMeta,
    /// Its number, if it is to be acknowledged.
    number: Option<u32>,
    message: Box<[u8]>,
}

/// A PATH or RESV, which refreshes what it said the last time if it says the same again.
pub(crate) struct Saying<'a> {
    /// What was said last; what is said now, afterwards.
    pub(crate) sent: &'a mut Option<Sent>,
    /// The session's slot.
    pub(crate) slot: usize,
    /// It is sent because it is time to: its number will do, where the neighbour takes that.
    pub(crate) refresh: bool,
    /// The record that it rests on.
    pub(crate) needs: RecordId,
    /// For the Srefresh of a multicast session's PATH: whose state it is.
    pub(crate) multicast: Option<(IpAddr, IpAddr)>,
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

/// Where the number of a message stands: behind the header, and the object's header and epoch.
const NUMBER_AT: std::ops::Range<usize> = 16..20;

impl Outbox {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            ready: TransmitQueue::default(),
            staged: TransmitQueue::default(),
            staged_to: Vec::new(),
            held: VecDeque::new(),
            reduce: Reduce::new(seed),
            at: Instant::default(),
            admitted: VecDeque::new(),
            outputs: VecDeque::new(),
            last_record: RecordId::default(),
            recorded: RecordId::default(),
            buffer: Buffer::default(),
        }
    }

    /// Builds a message that is no refresh and queues it; it rests on the records up to `needs`.
    /// A message that does not fit an IP packet is counted and not sent.
    pub(crate) fn send(
        &mut self,
        counters: &mut Counters,
        to: To,
        meta: TransmitMeta,
        message_type: MessageType,
        needs: RecordId,
        build: impl FnOnce(&mut MessageWriter<'_>) -> Result<(), BufferTooSmall>,
    ) {
        let numbered = self.reduce.numbers_for(to);
        let Some(length) = self.build(counters, to, meta, message_type, numbered, build) else {
            return;
        };
        let number = numbered.then(|| self.number_it(length, None));
        self.queue(counters, to, meta, number, needs, length);
    }

    /// As [`send`](Self::send), of a PATH or RESV.
    pub(crate) fn say(
        &mut self,
        counters: &mut Counters,
        to: To,
        meta: TransmitMeta,
        message_type: MessageType,
        saying: Saying<'_>,
        build: impl FnOnce(&mut MessageWriter<'_>) -> Result<(), BufferTooSmall>,
    ) {
        let needs = saying.needs;
        let Some(peer) = to.peer.filter(|_| self.reduce.numbers_for(to)) else {
            if let Some(old) = saying.sent.take() {
                self.reduce.forget(old.number());
            }
            return self.send(counters, to, meta, message_type, needs, build);
        };
        let Some(length) = self.build(counters, to, meta, message_type, true, build) else {
            return;
        };
        let body = self.buffer.0.get(NUMBER_AT.end..length).unwrap_or_default();
        let digest = self.reduce.digest(peer, &meta, body);
        let same = saying.sent.filter(|sent| sent.says(digest));
        if let Some(same) = same
            && saying.refresh
            && needs <= self.recorded
            && !self.reduce.awaits(same.number())
        {
            let (identifier, addresses) = (same.number(), saying.multicast);
            let (source, destination) = addresses.unzip();
            let entry = ListEntry { identifier, source, destination };
            if self.reduce.renew(to, self.at, entry) {
                return super::counters::bump(&mut counters.reduction, "refreshed_by_number");
            }
        }
        let number = self.number_it(length, same.map(Sent::number));
        if same.is_none() {
            if let Some(old) = saying.sent.replace(Sent::new(number, digest)) {
                self.reduce.forget(old.number());
            }
            self.reduce.stands(number, saying.slot);
        }
        self.queue(counters, to, meta, Some(number), needs, length);
    }

    /// Writes a message into the buffer, with room for a number if it is to have one.
    fn build(
        &mut self,
        counters: &mut Counters,
        to: To,
        meta: TransmitMeta,
        message_type: MessageType,
        numbered: bool,
        build: impl FnOnce(&mut MessageWriter<'_>) -> Result<(), BufferTooSmall>,
    ) -> Option<usize> {
        let epoch = self.reduce.epoch();
        let room = self.buffer.room();
        let mut writer = MessageWriter::with_flags(room, message_type, meta.ttl, to.flags);
        let id = MessageId { flags: MessageId::ACK_DESIRED, epoch, identifier: 0 };
        let header = if numbered { writer.object(&id) } else { Ok(()) };
        match header.and_then(|()| build(&mut writer)).and_then(|()| writer.finish()) {
            Ok(length) => Some(length),
            Err(BufferTooSmall { .. }) => {
                counters.drop("message_too_long");
                None
            }
        }
    }

    /// Puts a number into the message in the buffer, its old one or the next.
    fn number_it(&mut self, length: usize, old: Option<u32>) -> u32 {
        let number = old.unwrap_or_else(|| self.reduce.next_number());
        if let Some(place) = self.buffer.0.get_mut(NUMBER_AT) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        rewrite_checksum(self.buffer.0.get_mut(..length).unwrap_or_default());
        number
    }

    /// Has the message in the buffer leave as soon as it may.
    fn queue(
        &mut self,
        counters: &mut Counters,
        to: To,
        meta: TransmitMeta,
        number: Option<u32>,
        needs: RecordId,
        length: usize,
    ) {
        let waits = self.recorded < needs;
        if waits && self.held.len() >= HELD_MAX {
            return counters.drop("records_in_arrears");
        }
        let message = self.buffer.0.get(..length).unwrap_or_default();
        counters.sent(message.get(1).copied().unwrap_or_default());
        if let Some(number) = number {
            self.reduce.keep(number, to, meta, message);
        }
        if waits {
            self.held.push_back(Held { needs, to, meta, number, message: message.into() });
            return;
        }
        if self.reduce.active {
            self.staged.push(meta, message);
            self.staged_to.push(to);
        } else {
            self.ready.push(meta, message);
        }
        if let Some(number) = number {
            self.reduce.left(number, Some(self.at));
        }
    }

    /// Has a message that was made leave.
    pub(super) fn stage(&mut self, to: To, meta: TransmitMeta, message: &[u8]) {
        if self.reduce.active {
            self.staged.push(meta, message);
            self.staged_to.push(to);
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
        while self.held.front().is_some_and(|held| held.needs <= self.recorded) {
            if let Some(Held { to, meta, number, message, .. }) = self.held.pop_front() {
                if let Some(number) = number.filter(|number| self.reduce.awaits(*number)) {
                    self.reduce.left(number, None);
                }
                self.stage(to, meta, &message);
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
        self.held.retain(|held| !(resv(&held.message) && records.contains(&held.needs)));
    }

    /// What waits, to be printed; of the numbers of records how far the acknowledgements are behind.
    pub(crate) fn image(&self) -> impl std::fmt::Debug + '_ {
        let Self { ready, held, admitted, outputs, last_record, recorded, .. } = self;
        let Self { staged, staged_to, reduce, at: _, buffer: _, .. } = self;
        let behind = |record: RecordId| last_record.0.saturating_sub(record.0);
        let held: Vec<_> =
            held.iter().map(|held| (behind(held.needs), held.meta, &held.message)).collect();
        let ready: Vec<_> = ready.iter().chain(staged.iter()).collect();
        let reduce = (staged_to, reduce.image());
        let admitted: Vec<_> = admitted.iter().map(|(id, change)| (behind(*id), change)).collect();
        (ready, held, admitted, outputs, behind(*recorded), reduce)
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(crate) fn pop(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The messages to send now. Those that were taken and not yet sent stay as they are.
    pub(crate) fn transmits(&mut self) -> &mut TransmitQueue {
        &mut self.ready
    }

    /// Has somebody else's message leave as it came.
    pub(crate) fn pass_foreign(&mut self, meta: TransmitMeta, message: &[u8]) {
        self.ready.push_foreign(meta, message);
    }

    /// Has a message leave as it is.
    pub(crate) fn pass(&mut self, meta: TransmitMeta, message: &[u8]) {
        self.ready.push(meta, message);
    }
}
