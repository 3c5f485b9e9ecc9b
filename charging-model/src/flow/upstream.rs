//! This node as a customer of its previous hop: what it has approved and offered there.

use super::branch::NEVER;
use super::charge::Claim;
use crate::meter::Meter;
use crate::money::Rate;
use crate::time::{Millis, next_serial};

/// The content of the last UCPE sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) payment: Rate,
    pub(super) announced_total: Rate,
    pub(super) sender_payment: Rate,
    pub(super) local_sum: Rate,
    pub(super) epoch_echo: u32,
    /// A digest of the limits echoed and of the receivers below: what differs is told.
    pub(super) digest: u32,
}

/// The last UCPE sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) content: Content,
    /// The payment is a ceiling, not information for the sender (D3).
    pub(super) binding: bool,
    pub(super) at: Millis,
}

#[derive(Clone, Debug)]
pub(super) struct Upstream {
    /// The claim that this node has itself approved: debits follow it (T8). `None` while nothing
    /// is reserved.
    pub(super) approved: Option<Claim>,
    pub(super) sent: Option<Sent>,
    /// When the previous hop may give us up, if an increase there waits; else the end of time.
    pub(super) deadline: Millis,
    pub(super) instance: Option<u32>,
    pub(super) last_sequence: Option<u32>,
    /// The previous hop refused what we offered; nothing below this is offered again (T18).
    pub(super) refused_below: Rate,
    /// The merged flowspec grew: the next UCPE is the first to carry it (T12).
    pub(super) grown: bool,
    /// The largest flowspec that was sent in this instance, in bit/s. Growth is counted from here
    /// and not from what counts in the split: the previous hop sees what was sent, and must see the
    /// same growth or never says that it stands.
    pub(super) carried: u64,
    /// The sequence that first carried the merged flowspec.
    pub(super) carried_by: Option<u32>,
    /// A larger flowspec was sent and has not been said to stand since.
    pub(super) awaits: bool,
    /// A hop above gave up what it had admitted, and nothing was announced since.
    pub(super) lost: bool,
    /// The hop that is paid does not see what this one reserves, only what one between them merges:
    /// it never says that growth stands.
    pub(super) veiled: bool,
    /// The previous hop has no money left to pay SP from.
    pub(super) unpaid: bool,
    /// A UCPE was sent and there is nothing to offer any more.
    pub(super) withdrawn: bool,
    /// Something was reserved there when turns were told last.
    pub(super) told: bool,
    /// RP paid: a shadow.
    pub(super) rp: Meter,
    /// SP received: counts.
    pub(super) sp: Meter,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            approved: None,
            sent: None,
            deadline: NEVER,
            instance: None,
            last_sequence: None,
            refused_below: Rate::ZERO,
            grown: false,
            carried: 0,
            carried_by: None,
            awaits: false,
            lost: false,
            veiled: false,
            unpaid: false,
            withdrawn: false,
            told: false,
            rp: Meter::default(),
            sp: Meter::default(),
        }
    }
}

impl Upstream {
    /// The ceiling that the previous hop holds of ours.
    pub(super) fn ceiling(&self) -> Option<Rate> {
        let ceiling = |sent: Sent| if sent.binding { sent.content.payment } else { Rate::ZERO };
        self.sent.map(ceiling)
    }

    /// Ends this reservation instance: whatever is offered next is a new one.
    pub(super) fn end_instance(&mut self) {
        self.withdrawn = self.sent.is_some();
        self.approved = None;
        self.sent = None;
        self.deadline = NEVER;
        self.instance = None;
        self.refused_below = Rate::ZERO;
        self.grown = true;
        self.carried = 0;
        self.carried_by = None;
        self.awaits = false;
        self.lost = false;
    }

    /// Numbers `content`: a refresh repeats the sequence of the last UCPE, anything else, and a
    /// flowspec that grew, moves it. Returns (sequence, instance).
    pub(super) fn number(&mut self, content: &Content, unix_s: u32) -> (u32, u32) {
        let repeats = self.sent.is_some_and(|sent| sent.content == *content) && !self.grown;
        let sequence = match self.last_sequence {
            Some(last) if repeats => last,
            last => next_serial(last, unix_s),
        };
        self.last_sequence = Some(sequence);
        if self.grown || self.carried_by.is_none() {
            self.carried_by = Some(sequence);
            self.awaits = true;
            self.grown = false;
        }
        (sequence, *self.instance.get_or_insert(sequence))
    }
}
