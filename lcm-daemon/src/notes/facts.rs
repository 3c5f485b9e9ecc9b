//! What stands in a note about one thing that another note, or the same one elsewhere, says too.

use serde::Serialize;

use super::{Announced, Note, Paid, Pays, SenderNote};

/// What two stories tell differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// C.
    Charge,
    /// S.
    Sponsored,
    /// r.
    Fraction,
    /// RP.
    Payment,
    /// SP.
    SenderPayment,
    /// A.
    AnnouncedTotal,
    /// B.
    LocalSum,
    /// A − B, which must be C.
    AnnouncedLessLocal,
    /// How many receivers are below.
    Receivers,
}

impl What {
    /// In words, with the letter of the model.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Charge => "the charge announced (C)",
            Self::Sponsored => "the part that the sender covers (S)",
            Self::Fraction => "the sender's fraction (r, parts per million)",
            Self::Payment => "the receivers' payment (RP)",
            Self::SenderPayment => "what is taken from the sender (SP)",
            Self::AnnouncedTotal => "what all receivers below were told (A)",
            Self::LocalSum => "the sum of local prices below (B)",
            Self::AnnouncedLessLocal => "A - B, which must be C",
            Self::Receivers => "the number of receivers below",
        }
    }

    /// Whether it is a rate of money, and not a number of another kind.
    #[must_use]
    pub const fn is_rate(self) -> bool {
        !matches!(self, Self::Fraction | Self::Receivers)
    }
}

/// The same in two stories, the one of upstream first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub(super) what: What,
    pub(super) upper: i128,
    pub(super) lower: i128,
    pub(super) tolerance: i128,
}

impl Pair {
    pub(super) fn new(what: What, upper: impl Into<i128>, lower: impl Into<i128>) -> Self {
        Self { what, upper: upper.into(), lower: lower.into(), tolerance: 0 }
    }

    pub(super) fn within(self, tolerance: i128) -> Self {
        Self { tolerance, ..self }
    }

    pub(super) fn differs(&self) -> bool {
        (self.upper - self.lower).unsigned_abs() > self.tolerance.unsigned_abs()
    }
}

/// What was announced, by who announced it and by who heard it.
pub(super) fn announcement(said: &Announced, heard: &Announced) -> [Pair; 3] {
    [
        Pair::new(What::Charge, said.total, heard.total),
        Pair::new(What::Sponsored, said.sponsored, heard.sponsored),
        Pair::new(What::Fraction, said.fraction_ppm, heard.fraction_ppm),
    ]
}

/// What was paid, by who is paid and by who pays. The number of receivers is not among it: a hop
/// need not believe more than it is configured to.
pub(super) fn payment(paid: &Paid, pays: &Pays) -> [Pair; 3] {
    [
        Pair::new(What::AnnouncedTotal, paid.announced_total, pays.announced_total),
        Pair::new(What::LocalSum, paid.local_sum, pays.local_sum),
        Pair::new(What::SenderPayment, paid.sender_payment, pays.sender_payment),
    ]
}

/// Sums over ends of links.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Flows {
    pub(super) announced_total: i128,
    pub(super) sender_payment: i128,
    pub(super) sponsored: i128,
    pub(super) receivers: u64,
}

impl Flows {
    pub(super) fn add_paid(&mut self, paid: &Paid) {
        self.announced_total += i128::from(paid.announced_total);
        self.sender_payment += i128::from(paid.sender_payment);
        self.sponsored += i128::from(paid.sponsored);
        self.receivers += u64::from(paid.receivers);
    }

    pub(super) fn add_pays(&mut self, pays: &Pays) {
        self.announced_total += i128::from(pays.announced_total);
        self.sender_payment += i128::from(pays.sender_payment);
        self.sponsored += i128::from(pays.sponsored);
        self.receivers += u64::from(pays.receivers);
    }

    /// SP + S: what of the sender's comes in at the top, or what it is used for below.
    pub(super) fn covered(&self) -> i128 {
        self.sender_payment + self.sponsored
    }

    /// Units by which sums may be off: a hop may carry one for rounding for each next hop, and
    /// there are hardly more of them than receivers (charging.md T4).
    pub(super) fn tolerance(&self) -> i128 {
        self.receivers.max(1).into()
    }
}

/// What a node's own story does not add up to: it says on one side what the other makes impossible.
pub(super) fn inside(about: &SenderNote) -> Vec<Pair> {
    let Some(pays) = about.pays.as_ref().filter(|_| !about.here) else { return Vec::new() };
    let mut sums = Flows::default();
    about.paid.iter().for_each(|paid| sums.add_paid(paid));
    let sum = |of: fn(&Paid) -> u64| about.paid.iter().map(|p| i128::from(of(p))).sum::<i128>();
    let locals = sum(|p| p.local_sum) + sum(|p| p.local_price);
    let carried = sum(|p| p.total) - sum(|p| p.local_price) + i128::from(pays.stands_in);
    let tolerance = sums.tolerance();
    let mut pairs = vec![
        Pair::new(What::LocalSum, pays.local_sum, locals).within(tolerance),
        Pair::new(
            What::SenderPayment,
            pays.sender_payment,
            sums.covered() - i128::from(pays.sponsored),
        )
        .within(tolerance),
        Pair::new(What::Charge, pays.total, carried).within(tolerance),
        Pair::new(What::Payment, pays.total.saturating_sub(pays.sponsored), pays.debited),
    ];
    // Below somebody who contradicts itself a hop passes on only what it can vouch for.
    if !about.paid.iter().any(|paid| contradiction(paid).is_some()) {
        let total = sums.announced_total + i128::from(pays.stands_in);
        pairs.push(Pair::new(What::AnnouncedTotal, pays.announced_total, total).within(tolerance));
    }
    pairs.retain(Pair::differs);
    pairs
}

/// What a next hop reports and was told, where that does not fit: A − B = C (the audit).
pub(super) fn contradiction(paid: &Paid) -> Option<Pair> {
    let left = i128::from(paid.announced_total) - i128::from(paid.local_sum);
    let pair = Pair::new(What::AnnouncedLessLocal, paid.total, left).within(paid.receivers.into());
    (!paid.ends && pair.differs()).then_some(pair)
}

/// Why what a note says may not last, if it says so itself.
pub(super) fn motion(note: &Note, about: &SenderNote) -> Option<String> {
    let who = note.who();
    if let Some(paid) = about.paid.iter().find(|paid| paid.status != "ACTIVE") {
        return Some(format!(
            "{who}: the reservation of {} is {}, so nothing is billed on it yet or any more",
            paid.by, paid.status
        ));
    }
    let pays = about.pays.as_ref()?;
    if pays.unsaid {
        return Some(format!("{who}: a change below is not passed on upstream yet"));
    }
    let heard = about.heard.as_ref()?;
    let approved = (pays.total, pays.sponsored) == (heard.total, heard.sponsored);
    (!approved).then(|| {
        format!(
            "{who}: charge {} of which {} are covered was announced, {} and {} are approved so far",
            heard.total, heard.sponsored, pays.total, pays.sponsored
        )
    })
}

/// The newest number in a note: epochs and sequences begin with the second in which they were given
/// (charging.md T17), so it tells when anything changed last. What runs ahead of the clock counts
/// as now.
pub(super) fn newest(note: &Note, about: &SenderNote) -> u32 {
    let announced = about.heard.iter().chain(&about.announced).map(|told| told.epoch);
    let paid = about.paid.iter().map(|paid| paid.sequence);
    let pays = about.pays.iter().filter(|_| !about.here).map(|pays| pays.sequence);
    let numbers = announced.chain(paid).chain(pays);
    numbers.map(|number| number.min(note.taken)).max().unwrap_or(0)
}
