//! What goes into a flow and comes out of it.

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::money::{Amount, Overflow, Ppm, Rate};
use crate::split::{BranchKey, EqualNextHop, Flowspec, SplitPolicy};
use crate::time::{Millis, Span};

/// Whom to debit, as the ACCOUNT TLV says it: shared, so that a million flows of one neighbour
/// keep one copy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Account(Arc<(u8, Box<[u8]>)>);

impl Account {
    /// The account of type `kind` (the TLV's id_type) named by `id`.
    pub fn new(kind: u8, id: impl Into<Box<[u8]>>) -> Self {
        Self(Arc::new((kind, id.into())))
    }

    /// The TLV's id_type.
    pub fn kind(&self) -> u8 {
        self.0.0
    }

    /// The TLV's id.
    pub fn id(&self) -> &[u8] {
        &self.0.1
    }
}

/// What all flows of a node share.
#[derive(Clone, Debug)]
pub struct FlowConfig {
    /// How a charge is divided among branches.
    pub policy: Arc<dyn SplitPolicy>,
    /// This node's own refresh period R towards the previous hop.
    pub refresh: Span,
    /// How long before this node's own deadline it approves an upstream increase that its
    /// branches have not all covered (T8).
    pub margin: Span,
    /// A reservation is PENDING, at rate 0, until ESTABLISHED covers it (T12). Otherwise it is
    /// billed from the moment it is accepted.
    pub require_established: bool,
    /// A new reservation may pay the last quote that was sent, within its validity (T6).
    pub honour_quote: bool,
    /// This node is the sender: nothing is checked against the limits, max_hops is sent as given,
    /// and the payment received is information (D3).
    pub origin: bool,
    /// What next hops report is compared with what they were told, and alarms are raised.
    pub audit: bool,
    /// Neighbours that contradict themselves are refused: an announcement that its own maximum or
    /// epoch forbids is not taken while the last one is valid, and next hops whose totals have not
    /// fitted for 3H are named for removal.
    pub refuse_inconsistent: bool,
    /// Where all branches are local receivers, offer their ceilings instead of RP (T8's
    /// pre-approved headroom).
    pub headroom: bool,
    /// The most receivers that one next hop is believed to have below it: what it says beyond that
    /// would be a part of our own count, by which hops above may charge us.
    pub receivers_most: u32,
}

impl Default for FlowConfig {
    fn default() -> Self {
        Self {
            policy: Arc::new(EqualNextHop),
            refresh: Span(30_000),
            margin: Span(2_000),
            require_established: false,
            honour_quote: false,
            origin: false,
            audit: false,
            refuse_inconsistent: false,
            headroom: false,
            receivers_most: u32::MAX,
        }
    }
}

/// The sender's limits; `None` is unlimited (paper 3.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Limits {
    /// The most that the sender covers of the charge of one receiver.
    pub per_receiver: Option<Rate>,
    /// The most that the local prices of one hop may come to.
    pub per_hop: Option<Rate>,
    /// How many charging hops may take from the sender.
    pub max_hops: Option<u32>,
}

/// What a PATH announces: the DCPE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Announcement {
    /// C_j.
    pub total: Rate,
    /// M_j.
    pub max_total: Rate,
    /// r.
    pub fraction: Ppm,
    /// The previous hop's account, which sender payments debit.
    pub sender_account: Option<Account>,
    /// The sender's limits.
    pub limits: Limits,
    /// S_j; absent, it is ⌈r·C_j⌉.
    pub sponsored: Option<Rate>,
    /// Which set of quotes this is (T17).
    pub epoch: u32,
    /// How long the price is expected to stand.
    pub validity: Span,
    /// The highest of our UCPE sequences that is in place end to end (T12).
    pub established: Option<u32>,
    /// What the prices are for, bit/s; 0 if the DCPE does not say.
    pub quantity: u64,
    /// The DCPE's flags: 0x02 says that a hop which does not charge was passed.
    pub flags: u8,
    /// The PATH's refresh period, from TIME_VALUES.
    pub refresh: Span,
}

/// What a RESV pays: the UCPE of one next hop, and the refresh period of its RESV.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Payment {
    /// The ceiling; what is debited is RP.
    pub payment: Rate,
    /// A: the charges announced to the receivers below, summed. Not read for a local receiver.
    pub announced_total: Rate,
    /// SP_{j,k}: what k debits from our account. Not read for a local receiver.
    pub sender_payment: Rate,
    /// B: the local prices below, summed. Not read for a local receiver.
    pub local_sum: Rate,
    /// The epoch of the quote that this answers.
    pub epoch_echo: u32,
    /// Grows with the content (T17).
    pub sequence: u32,
    /// The first sequence of this reservation instance (T3).
    pub instance: u32,
    /// Whom RP debits.
    pub account: Account,
    /// R, from the RESV's TIME_VALUES.
    pub refresh: Span,
    /// What is reserved, bit/s (weights of a split; 0 if nobody cares).
    pub quantity: u64,
    /// Receivers below, where the UCPE says so; else 1, as which 0 counts, too.
    pub receivers_below: u32,
    /// The flowspec, for strategies that look at it.
    pub flowspec: Option<Flowspec>,
    /// The sender's limits as the next hops heard them; `max_hops` is not among them.
    pub limits: Limits,
}

/// The local price of an outgoing interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Price {
    /// L.
    pub local: Rate,
    /// Lmax; the largest ever set is remembered.
    pub max_local: Rate,
    /// How long it is expected to stand: the validity of the quotes on this interface.
    pub validity: Span,
}

/// What a PATH towards one next hop announces: all of its DCPE but the account, which is this
/// node's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Quote {
    /// C_k = carried + local.
    pub total: Rate,
    /// M_k.
    pub max_total: Rate,
    /// c_{j,k}.
    pub carried: Rate,
    /// This branch's part of the interface's L.
    pub local: Rate,
    /// r, or 0 after a cut.
    pub fraction: Ppm,
    /// S_k, whatever the fraction says.
    pub sponsored: Rate,
    /// max_hops decremented, the rest unchanged.
    pub limits: Limits,
    /// Which set of quotes this is.
    pub epoch: u32,
    /// The interface's validity.
    pub validity: Span,
    /// ESTABLISHED, if the path above stands for this branch.
    pub established: Option<u32>,
    /// bit/s, 0 if unknown.
    pub quantity: u64,
    /// Flags of the DCPE received, to be passed on.
    pub flags: u8,
}

impl Quote {
    /// RP_{k,j} = C_k − S_k: what a payment must cover.
    pub fn receiver_payment(&self) -> Rate {
        // S ≤ C by construction.
        self.total.minus(self.sponsored, "RP = C − S").unwrap_or_default()
    }

    /// The SPONSORED TLV: S_k where the fraction alone would not say it.
    pub fn sponsored_tlv(&self) -> Option<Rate> {
        (self.fraction.ceil_of(self.total) != self.sponsored).then_some(self.sponsored)
    }
}

/// This node's own UCPE towards the previous hop, always computed anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct OwnPayment {
    /// RP_{j,i} of the claim that this node has approved; next to the sender (C_j = 0) what the
    /// receivers pay, as information.
    pub payment: Rate,
    /// A.
    pub announced_total: Rate,
    /// SP_{i,j}.
    pub sender_payment: Rate,
    /// B.
    pub local_sum: Rate,
    /// Echo of the newest epoch.
    pub epoch_echo: u32,
    /// Sequence (T17).
    pub sequence: u32,
    /// First sequence of this instance (T3).
    pub instance: u32,
    /// The merged quantity, bit/s.
    pub quantity: u64,
    /// Receivers below, summed.
    pub receivers_below: u32,
    /// The sender's limits as they were heard here and below: of each the highest, and none where
    /// anybody heard of none. `max_hops`, which every hop counts down, is not among them.
    pub limits: Limits,
}

/// What became of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It covers what is quoted; the approval runs anew.
    Accepted {
        /// The branch was not installed before.
        new: bool,
    },
    /// An installed branch that does not cover the newest quote keeps its old rate: answer with an
    /// InPlace RESVERR that requires `required` (T5). So does one that asks for a larger
    /// reservation than it pays for, and what it reserves stays as it is
    /// ([`Flow::unpaid`](super::Flow::unpaid)).
    Kept {
        /// RP of the newest quote.
        required: Rate,
        /// What it offered.
        offered: Rate,
        /// Whether it covers the old rate, which it then keeps extending until `deadline`.
        extended: bool,
        /// When the branch is given up.
        deadline: Option<Millis>,
        /// It answers an older quote than the newest: the PATH again is answer enough (T18).
        stale_echo: bool,
    },
    /// Nothing is installed: RESVERR, and an immediate PATH where the payment is too low (T5).
    Refused(Refusal),
    /// An older sequence than the one installed: ignore it (T17).
    Stale,
}

/// Why a payment was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub reason: Reason,
    /// RP of the newest quote, zero where there is none.
    pub required: Rate,
    /// What was offered.
    pub offered: Rate,
    /// The newest epoch for this branch.
    pub epoch: u32,
    /// It answers an older quote than the newest.
    pub stale_echo: bool,
}

/// Reasons to refuse a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// payment < RP.
    PaymentTooLow,
    /// No PATH has announced anything: there is no price yet.
    NoAnnouncement,
    /// The announced price has expired: no new reservation until it is announced again (T6).
    AnnouncementExpired,
    /// The PATH was not forwarded on this interface.
    NoSuchGroup,
    /// This reservation instance was removed: RESVERR 02/6, and it never comes back (T17).
    InstanceRemoved,
    /// The sums of this node would not fit with this child's numbers.
    Overflow(Overflow),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { required, offered, .. } = self;
        match self.reason {
            Reason::PaymentTooLow => {
                write!(f, "payment {offered} is below the receiver payment {required}: pay that")
            }
            Reason::NoAnnouncement => f.write_str("no price was announced yet: wait for a PATH"),
            Reason::AnnouncementExpired => {
                f.write_str("the announced price has expired: wait for the next PATH")
            }
            Reason::NoSuchGroup => f.write_str("no PATH was forwarded on this interface"),
            Reason::InstanceRemoved => {
                f.write_str("this reservation was removed: reserve anew, as a new instance")
            }
            Reason::Overflow(overflow) => write!(f, "{overflow}: report smaller totals"),
        }
    }
}

/// Why a branch goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// RESVTEAR or PATHTEAR: its segments close now.
    Tear,
    /// Its state timed out: its segments closed at the end of the last approval.
    Timeout,
    /// It did not cover an increase by its deadline, or was refused.
    Uncovered,
    /// A new instance took its place.
    Replaced,
}

/// What a branch had come to when it was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Why it was closed.
    pub cause: Cause,
    /// RP received from it.
    pub receiver_payment: Amount,
    /// SP paid to it (our shadow).
    pub sender_payment: Amount,
}

/// What time brought; see [`Flow::tick`](super::Flow::tick).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// The branch has not covered an increase by its deadline: send RESVERR and call
    /// `remove_branch(.., Cause::Uncovered)`. Reported at every tick until that is done.
    Uncovered(BranchKey),
    /// Nothing was heard from the branch for 2H: it no longer counts (T9). Its RSVP state may live
    /// on, and a UCPE of the same instance brings it back.
    Lapsed(BranchKey),
    /// What the branch reports has not fitted what it was told for 3H, and the configuration has
    /// it refused: send RESVERR and call `remove_branch(.., Cause::Uncovered)`. Reported at every
    /// tick until that is done.
    Inconsistent(BranchKey),
}

/// What a next hop reports, beside what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// A − B is not C_k, or the receivers below paid less than nothing: A < S_k + SP.
    Totals {
        /// C_k as agreed.
        told: Rate,
        /// A.
        announced_total: Rate,
        /// B.
        local_sum: Rate,
    },
    /// The limits echoed are not those announced.
    Limits {
        /// As they were announced.
        announced: Limits,
        /// As anybody below heard them, at the highest.
        echoed: Limits,
    },
}

/// What an alarm is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// A and B.
    Totals,
    /// The sender's limits.
    Limits,
}

/// An alarm about a branch was raised, or is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which branch.
    pub key: BranchKey,
    /// About what.
    pub about: Doubt,
    /// Raised; otherwise over, because the reports fit again or the branch is gone.
    pub raised: bool,
    /// What does not fit, of an alarm that is raised.
    pub mismatch: Option<Mismatch>,
}

/// What the neighbours should hear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Interfaces whose quotes changed: an immediate PATH on each.
    pub groups: SmallVec<[u32; 2]>,
    /// Our payment changed (or begins): an immediate RESV.
    pub payment: bool,
    /// Only A, B, sender_payment or the epoch echo changed: a RESV within 500 ms (T19).
    pub coalescable: bool,
    /// Nothing is reserved any more, or nothing may be offered: no UCPE is to be sent.
    pub withdrawn: bool,
}

/// An installed branch, for display and tests: the paper's three upstream fields and ours.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BranchView {
    /// Which branch.
    pub key: BranchKey,
    /// `PENDING`, `ACTIVE` or `LAPSED`.
    pub status: &'static str,
    /// `<local price>`: the agreed L.
    pub local: Rate,
    /// What its reservation costs on the interface before others there take their parts of it;
    /// `None` where that is the price of the interface.
    pub price: Option<Rate>,
    /// `<payment downstream>`: SP_{j,k}.
    pub sender_payment: Rate,
    /// `<total charge downstream>`: A.
    pub announced_total: Rate,
    /// B.
    pub local_sum: Rate,
    /// Agreed C_k.
    pub total: Rate,
    /// Agreed c_{j,k}.
    pub carried: Rate,
    /// S_k as it counts in X_j.
    pub sponsored: Rate,
    /// RP_{k,j}: what is debited.
    pub receiver_payment: Rate,
    /// The ceiling.
    pub ceiling: Rate,
    /// RP of the newest quote.
    pub required: Rate,
    /// End of the approval, t + H.
    pub approved_until: Millis,
    /// When an increase must be covered.
    pub deadline: Option<Millis>,
    /// Whom RP debits.
    pub account: Account,
    /// Epoch that the last accepted UCPE answered.
    pub epoch_echo: u32,
    /// Its sequence.
    pub sequence: u32,
    /// Its instance.
    pub instance: u32,
    /// Receivers below, as it reports.
    pub receivers_below: u32,
    /// What is reserved, bit/s; 0 where nobody says, as of a shared reservation.
    pub quantity: u64,
    /// Its place in the order of joining.
    pub joined: u32,
    /// Whether A − B agrees with the C_k that the branch was told (audit).
    pub consistent: bool,
}
