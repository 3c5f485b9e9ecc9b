//! What an end keeps to reduce refreshes (RFC 2961): the numbers of its messages, which of them the
//! router has acknowledged, and what it must acknowledge itself.

use lcm_daemon::lab::LabError;
use rsvp_wire::object::{ListEntry, ListKind, MessageId, MessageIdAck, MessageIds};
use rsvp_wire::{Message, MessageType, MessageWriter};

use super::end::End;
use super::messages::{CAPABLE, MESSAGE_BYTES, NUMBERS_EPOCH, TTL};

/// Numbers in one Srefresh, and acknowledgements in one Ack: it fits into the buffer.
const LIST: usize = 200;
/// Acknowledgements are twelve bytes each.
const ACKS: usize = 64;

/// The numbers of one end.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    on: bool,
    /// By session: the number of the message that stands, 0 for none; and whether it was
    /// acknowledged.
    states: Vec<(u32, bool)>,
    /// The session of each number, from 1 on.
    owners: Vec<u32>,
    /// What is to be acknowledged.
    acks: Vec<MessageIdAck>,
    /// What the next Srefresh says.
    list: Vec<ListEntry>,
    /// Sessions of which the router says that it does not know them.
    pub(super) unknown: Vec<u32>,
    /// Numbers in the router's own Srefreshes so far.
    pub(super) heard: u64,
}

impl Numbers {
    /// Of an end that numbers its messages, or not.
    pub(super) fn new(on: bool) -> Numbers {
        Numbers { on, ..Numbers::default() }
    }

    /// The number of a message about a session: a new one if what it says is new. `None` where no
    /// numbers are exchanged.
    pub(super) fn of(&mut self, session: u32, new: bool) -> Option<u32> {
        if !self.on {
            return None;
        }
        let at = usize::try_from(session).ok()?;
        if self.states.len() <= at {
            self.states.resize(at + 1, (0, false));
        }
        let state = self.states.get_mut(at)?;
        if new || state.0 == 0 {
            self.owners.push(session);
            *state = (u32::try_from(self.owners.len()).ok()?, false);
        }
        Some(state.0)
    }

    /// Has a session refreshed by its number; false if the whole message is needed.
    pub(super) fn refresh(&mut self, session: u32) -> bool {
        let state = usize::try_from(session).ok().and_then(|at| self.states.get(at));
        let Some(&(identifier, true)) = state else { return false };
        self.list.push(ListEntry { identifier, source: None, destination: None });
        true
    }

    /// Takes acknowledgements and numbers of a message that came.
    pub(super) fn take(&mut self, message: &Message<'_>) {
        if !self.on {
            return;
        }
        let packet = message.packet();
        for ack in packet.message_id_acks().filter(|ack| ack.epoch == NUMBERS_EPOCH) {
            let owner = ack.identifier.checked_sub(1).and_then(|at| usize::try_from(at).ok());
            let Some(&session) = owner.and_then(|at| self.owners.get(at)) else { continue };
            let state = usize::try_from(session).ok().and_then(|at| self.states.get_mut(at));
            let Some(state) = state.filter(|state| state.0 == ack.identifier) else { continue };
            state.1 = !ack.nack;
            if ack.nack {
                self.unknown.push(session);
            }
        }
        if let Message::Srefresh(srefresh) = message {
            self.heard += srefresh.lists().map(|list| list.len() as u64).sum::<u64>();
        }
        if let Some(id) = packet.message_id()
            && id.flags & MessageId::ACK_DESIRED != 0
        {
            let MessageId { epoch, identifier, .. } = id;
            self.acks.push(MessageIdAck { nack: false, epoch, identifier });
        }
    }

    /// Queues what is to be acknowledged, and Srefreshes that are full, or all of them.
    pub(super) fn queue(&mut self, end: &mut End, all: bool) -> Result<(), LabError> {
        let failed = |error| LabError::caused("writing a list of numbers", error);
        let mut buffer = [0; MESSAGE_BYTES];
        for acks in self.acks.chunks(ACKS) {
            let mut writer = MessageWriter::with_flags(&mut buffer, MessageType::Ack, TTL, CAPABLE);
            acks.iter().try_for_each(|ack| writer.object(ack)).map_err(failed)?;
            let length = writer.finish().map_err(failed)?;
            end.queue_to_router(buffer.get(..length).unwrap_or_default());
        }
        self.acks.clear();
        while self.list.len() >= LIST || all && !self.list.is_empty() {
            let rest = self.list.split_off(self.list.len().min(LIST));
            let entries = std::mem::replace(&mut self.list, rest);
            let mut writer =
                MessageWriter::with_flags(&mut buffer, MessageType::Srefresh, TTL, CAPABLE);
            let kind = ListKind::Plain;
            let list = MessageIds { kind, epoch: NUMBERS_EPOCH, entries: &entries };
            writer.object(&list).map_err(failed)?;
            let length = writer.finish().map_err(failed)?;
            end.queue_to_router(buffer.get(..length).unwrap_or_default());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(identifier: u32, nack: bool) -> Vec<u8> {
        let mut buffer = [0; MESSAGE_BYTES];
        let mut writer = MessageWriter::with_flags(&mut buffer, MessageType::Ack, TTL, CAPABLE);
        writer.object(&MessageIdAck { nack, epoch: NUMBERS_EPOCH, identifier }).unwrap();
        let length = writer.finish().unwrap();
        buffer[..length].to_vec()
    }

    #[test]
    fn only_what_is_acknowledged_is_refreshed_by_its_number() {
        let mut numbers = Numbers::new(true);
        assert_eq!(numbers.of(7, false), Some(1));
        assert_eq!(numbers.of(7, false), Some(1), "nothing new was said");
        assert!(!numbers.refresh(7));
        numbers.take(&Message::parse(&ack(1, false)).unwrap());
        assert!(numbers.refresh(7));
        assert_eq!(numbers.of(7, true), Some(2));
        assert!(!numbers.refresh(7), "what is new must be said in whole");
        numbers.take(&Message::parse(&ack(2, true)).unwrap());
        assert_eq!(numbers.unknown, [7]);
        assert_eq!(Numbers::new(false).of(7, true), None);
    }
}
