//! Upstream charging state: one installed branch (paper 3.3, three fields and ours).

use std::sync::Arc;

use super::asked::Asked;
use super::charge::{Charge, Member, Target};
use super::messages::{Account, BranchView, Limits, Mismatch, Payment, Price};
use crate::meter::Meter;
use crate::money::{Overflow, Ppm, Rate};
use crate::split::{BranchFacts, BranchKey, Flowspec, LOCAL_GROUP};
use crate::time::{Millis, Span};

/// What was last announced to a branch, or to an interface without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offered {
    pub(super) charge: Charge,
    /// r towards the branch.
    pub(super) fraction: Ppm,
    pub(super) established: Option<u32>,
    /// `None` until something was announced.
    pub(super) epoch: Option<u32>,
}

impl Offered {
    /// True if `now` is what was announced, but perhaps for what stands end to end.
    pub(super) fn charges_as(&self, now: &Target) -> bool {
        (self.charge.total(), self.charge.sponsored, self.fraction)
            == (now.charge.total(), now.charge.sponsored, now.fraction)
    }

    /// Takes what is to be announced now; true if that differs and so needs `epoch`.
    pub(super) fn update(&mut self, now: &Target, established: Option<u32>, force: bool) -> bool {
        let Target { charge, fraction, .. } = *now;
        let changed = force
            || !self.charges_as(now)
            || self.established != established
            || self.epoch.is_none();
        self.charge = charge;
        self.fraction = fraction;
        self.established = established;
        changed
    }
}

/// An outgoing interface that the PATH is forwarded on.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) id: u32,
    pub(super) price: Price,
    /// The next hops here refuse the account that sender payments would debit.
    pub(super) refused: bool,
    /// The quote for a hop that would join here.
    pub(super) join: Offered,
    /// A quote on this interface changed since the changes were last taken.
    pub(super) dirty: bool,
}

/// Where a branch is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Admitted, not yet in place end to end: rate 0 (T12).
    Pending,
    /// Counts in the split and in the sums.
    Active,
    /// Not heard of for 2H: counts nowhere (T9).
    Lapsed,
}

#[derive(Clone, Debug)]
pub(super) struct Branch {
    pub(super) key: BranchKey,
    pub(super) account: Account,
    pub(super) status: Status,
    /// The hop carries one unit of RP that a re-split's rounding added (T4).
    pub(super) carries_unit: bool,
    /// At least 1.
    pub(super) receivers_below: u32,
    /// The order of joining.
    pub(super) joined: u32,
    pub(super) quantity: u64,
    /// L of what it reserves; `None` where the interface has one price for all.
    pub(super) price: Option<Rate>,

    // The last accepted UCPE.
    pub(super) ceiling: Rate,
    announced_total: Rate,
    pub(super) sender_payment: Rate,
    local_sum: Rate,
    pub(super) epoch_echo: u32,
    pub(super) sequence: u32,
    pub(super) instance: u32,
    /// The sequence that first carried the present quantity (T12).
    pub(super) flow_sequence: u32,
    /// Which of our own sequences must stand for this branch to be ACTIVE; `None` while the UCPE
    /// that carries it upstream is still to be sent.
    pub(super) needs: Option<u32>,
    pub(super) approved_at: Millis,
    /// Since when it is in place end to end; the end of time while it is not.
    pub(super) placed: Millis,
    refresh_ms: u32,

    /// What was agreed: c, L and S; RP is debited.
    pub(super) agreed: Charge,
    /// S_k as it counts in X_j: above the agreed S while an increase waits (T8).
    pub(super) floor: Rate,
    /// When an increase must be covered; the end of time if none waits.
    pub(super) deadline: Millis,
    pub(super) offered: Offered,
    /// The limits that it echoed last, where it echoed any.
    pub(super) echo: Option<Arc<Limits>>,

    /// RP received: counts.
    pub(super) rp: Meter,
    /// SP paid: a shadow.
    pub(super) sp: Meter,
}

/// TIME_VALUES has 32 bits; a longer period is that.
fn refresh_ms(payment: &Payment) -> u32 {
    u32::try_from(payment.refresh.0).unwrap_or(u32::MAX)
}

pub(super) const NEVER: Millis = Millis(u64::MAX);

impl Branch {
    /// A branch as `payment` installs it at `agreed`, approved from `now` on.
    pub(super) fn new(key: BranchKey, payment: &Payment, agreed: Charge, now: Millis) -> Self {
        let mut branch = Self {
            key,
            account: payment.account.clone(),
            status: Status::Pending,
            carries_unit: false,
            receivers_below: 1,
            joined: 0,
            quantity: 0,
            price: None,
            ceiling: Rate::ZERO,
            announced_total: Rate::ZERO,
            sender_payment: Rate::ZERO,
            local_sum: Rate::ZERO,
            epoch_echo: 0,
            sequence: 0,
            instance: 0,
            flow_sequence: payment.sequence,
            needs: None,
            approved_at: now,
            placed: NEVER,
            refresh_ms: 0,
            agreed,
            floor: agreed.sponsored,
            deadline: NEVER,
            offered: Offered::default(),
            echo: None,
            rp: Meter::default(),
            sp: Meter::default(),
        };
        branch.approve(payment, now);
        branch
    }

    /// Takes the fields of an accepted UCPE, which approves [now, now + H] (T3).
    pub(super) fn approve(&mut self, payment: &Payment, now: Millis) {
        if self.account != payment.account {
            self.account = payment.account.clone();
        }
        let local = self.key.group == LOCAL_GROUP;
        let unless_local = |rate| if local { Rate::ZERO } else { rate };
        self.ceiling = payment.payment;
        self.announced_total = unless_local(payment.announced_total);
        self.sender_payment = unless_local(payment.sender_payment);
        self.local_sum = unless_local(payment.local_sum);
        self.epoch_echo = payment.epoch_echo;
        self.sequence = payment.sequence;
        self.instance = payment.instance;
        self.quantity = payment.quantity;
        self.receivers_below = payment.receivers_below;
        self.approved_at = now;
        self.refresh_ms = refresh_ms(payment);
    }

    /// Whether `payment` says again what the last UCPE said, but for echo and sequence.
    pub(super) fn is_repeated_by(&self, payment: &Payment) -> bool {
        let local = self.key.group == LOCAL_GROUP;
        let reports = (payment.announced_total, payment.sender_payment, payment.local_sum);
        self.status == Status::Active
            && self.ceiling == payment.payment
            && (local || reports == (self.announced_total, self.sender_payment, self.local_sum))
            && self.quantity == payment.quantity
            && self.receivers_below == payment.receivers_below
            && self.refresh_ms == refresh_ms(payment)
            && self.account == payment.account
    }

    /// The limits that it echoed last.
    pub(super) fn echo(&self) -> Limits {
        self.echo.as_deref().copied().unwrap_or_default()
    }

    /// RP_{k,j}, as agreed.
    pub(super) fn receiver_payment(&self) -> Rate {
        self.agreed.receiver_payment()
    }

    /// c_{j,k} as it counts in U_j: where the sender covers more than was agreed, the hop carries
    /// less.
    pub(super) fn carried(&self) -> Rate {
        let more = self.floor.0.saturating_sub(self.agreed.sponsored.0);
        Rate(self.agreed.carried.0.saturating_add(more))
    }

    /// A: what k reports, or what a local receiver was told.
    pub(super) fn announced_total(&self) -> Rate {
        if self.key.group == LOCAL_GROUP { self.agreed.total() } else { self.announced_total }
    }

    /// A and B as k reports them.
    pub(super) fn reports(&self) -> (Rate, Rate) {
        (self.announced_total, self.local_sum)
    }

    /// R, from the RESV's TIME_VALUES.
    pub(super) fn refresh(&self) -> Span {
        Span(u64::from(self.refresh_ms))
    }

    /// What this branch adds to our B: B_k + L_k.
    pub(super) fn local_sum(&self) -> u128 {
        self.local_sum.wide() + self.agreed.local.wide()
    }

    /// H of this branch's refresh period.
    pub(super) fn approval(&self) -> Span {
        self.refresh().approval()
    }

    /// The end of the approval: t + H, and where an increase waits not beyond the deadline.
    pub(super) fn approved_until(&self) -> Millis {
        self.approved_at.after(self.approval()).min(self.deadline)
    }

    /// The last instant at which the branch counts in SP and in our own UCPE: t + 2H (T9).
    pub(super) fn counts_until(&self) -> Millis {
        self.approved_at.after(self.approval().twice())
    }

    /// Whether the ceiling, and the unit that this hop may carry, cover `charge`.
    pub(super) fn covers(&self, charge: &Charge) -> bool {
        let unit = self.carries_unit && charge.carried > Rate::ZERO;
        let ceiling = self.ceiling.0.saturating_add(u64::from(unit));
        charge.receiver_payment().0 <= ceiling
    }

    /// Agrees to a charge that is covered; a unit that only this hop covers is taken off c.
    pub(super) fn agree(&mut self, mut charge: Charge) {
        if charge.receiver_payment() > self.ceiling {
            charge.carried = Rate(charge.carried.0.saturating_sub(1));
        }
        self.agreed = charge;
        self.floor = charge.sponsored;
    }

    /// This branch as a member of the split.
    pub(super) fn member(&self, group: Option<&Group>, flowspec: Option<Flowspec>) -> Member {
        let Self { key, quantity, receivers_below, joined, .. } = *self;
        let facts = BranchFacts { key, quantity, receivers_below, joined, flowspec };
        Member::new(facts, group, self.price)
    }

    /// This branch as a member if it reserved what it asked for.
    pub(super) fn member_as_asked(&self, group: Option<&Group>, asked: &Asked) -> Member {
        let facts = asked.facts(self.key, self.joined);
        Member::new(facts, group, Some(asked.local))
    }

    /// Whether what k reports agrees with what it was told: A − B = C_k, and the receivers below
    /// did not pay a negative sum.
    pub(super) fn is_consistent(&self) -> bool {
        self.key.group == LOCAL_GROUP || self.mismatch() == 0
    }

    /// (A − B) − C_k.
    pub(super) fn imbalance(&self) -> i128 {
        let signed = |rate: Rate| i128::from(rate.0);
        signed(self.announced_total) - signed(self.local_sum) - signed(self.agreed.total())
    }

    /// (A − B) − C_k; where that fits, A − (S_k + SP) if the receivers below paid a negative sum.
    pub(super) fn mismatch(&self) -> i128 {
        let signed = |rate: Rate| i128::from(rate.0);
        match self.imbalance() {
            0 => {
                let covered = signed(self.agreed.sponsored) + signed(self.sender_payment);
                (signed(self.announced_total) - covered).min(0)
            }
            imbalance => imbalance,
        }
    }

    /// What k reports beside what it was told.
    pub(super) fn reported(&self) -> Mismatch {
        Mismatch::Totals {
            told: self.agreed.total(),
            announced_total: self.announced_total,
            local_sum: self.local_sum,
        }
    }

    pub(super) fn view(&self) -> BranchView {
        BranchView {
            key: self.key,
            status: match self.status {
                Status::Pending => "PENDING",
                Status::Active => "ACTIVE",
                Status::Lapsed => "LAPSED",
            },
            local: self.agreed.local,
            price: self.price,
            sender_payment: self.sender_payment,
            announced_total: self.announced_total(),
            local_sum: self.local_sum,
            total: self.agreed.total(),
            carried: self.carried(),
            sponsored: self.floor,
            receiver_payment: self.receiver_payment(),
            ceiling: self.ceiling,
            required: self.offered.charge.receiver_payment(),
            approved_until: self.approved_until(),
            deadline: (self.deadline != NEVER).then_some(self.deadline),
            account: self.account.clone(),
            epoch_echo: self.epoch_echo,
            sequence: self.sequence,
            instance: self.instance,
            receivers_below: self.receivers_below,
            quantity: self.quantity,
            joined: self.joined,
            consistent: self.is_consistent(),
        }
    }
}

/// The sums of the branches that count, over 128 bits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub(super) sponsored: u128,
    pub(super) carried: u128,
    pub(super) receiver_payment: u128,
    pub(super) sender_payment: u128,
    pub(super) announced_total: u128,
    pub(super) local_sum: u128,
    pub(super) locals: u128,
    pub(super) ceilings: u128,
    pub(super) receivers_below: u64,
    pub(super) count: usize,
}

impl Sums {
    pub(super) fn over<'a>(branches: impl Iterator<Item = &'a Branch>) -> Self {
        let mut sums = Self::default();
        for b in branches {
            sums.sponsored += b.floor.wide();
            sums.carried += b.carried().wide();
            sums.receiver_payment += b.receiver_payment().wide();
            sums.sender_payment += b.sender_payment.wide();
            sums.announced_total += b.announced_total().wide();
            sums.local_sum += b.local_sum();
            sums.locals += b.agreed.local.wide();
            sums.ceilings += b.ceiling.wide();
            sums.receivers_below += u64::from(b.receivers_below);
            sums.count += 1;
        }
        sums
    }

    /// Receivers below, as RECEIVERS_BELOW says it.
    pub(super) fn receivers(&self) -> u32 {
        u32::try_from(self.receivers_below).unwrap_or(u32::MAX)
    }

    /// Whether the sums fit the wire, with C_j and all local prices on top, so that no later split
    /// can make them overflow.
    pub(super) fn fit(&self, total: Rate, prices: u128) -> Result<(), Overflow> {
        let fits = |sum: u128, operation| Rate::from_wide(sum, operation).map(|_| ());
        fits(self.announced_total, "A = ΣA_k")?;
        let reported = self.local_sum.saturating_sub(self.locals);
        fits(reported + prices.max(self.locals), "B = Σ(B_k + L_k)")?;
        fits(self.sender_payment + total.wide() + prices, "SP = ΣSP_k + X_j")
    }
}
