//! Neighbours that contradict themselves or us: counted, told as evidence, and as configured
//! refused (charging.md section 1, Audit; sections 2 and 4 of the paper).
//!
//! The model finds out (`charging_model::flow`); here it is said who it was. Strangers must not
//! fill memory or the log: so many neighbours are told apart, and of each kind of evidence about
//! one of them a line is written every ten seconds at most, which says how many were not.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use charging_model::flow::{Doubt, Finding, Limits, Mismatch};
use charging_model::{BranchKey, Rate};
use rsvp_wire::object::{Filter, Session};

use super::super::Core;
use super::super::outbox::Output;
use super::super::psb::Psb;
use super::super::show::interface_name;
use super::super::time::{Instant, Now, Span};

/// Neighbours that are told apart; all others are counted as one.
const NEIGHBOURS_MOST: usize = 256;
/// Time between two lines about the same kind of evidence and the same neighbour.
const QUIET: Span = Span::from_millis(10_000);

/// How a neighbour contradicts itself or us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlarmKind {
    /// A next hop's A − B is not the C that it was told, for longer than hold-outs explain.
    Totals,
    /// The limits of the sender that a next hop echoes are not those that it was told.
    Limits,
    /// A previous hop's price rose above the maximum that it announced, inside its validity.
    PriceAboveMaximum,
    /// A previous hop's announcement changed under an epoch that it had used.
    EpochReused,
    /// An announcement with an epoch older than one that was heard.
    OldEpoch,
    /// A payment with a sequence older than one that was heard.
    OldSequence,
    /// A payment of a reservation instance that was removed.
    RemovedInstance,
}

impl AlarmKind {
    const COUNT: usize = 7;

    /// Every kind.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Totals,
        Self::Limits,
        Self::PriceAboveMaximum,
        Self::EpochReused,
        Self::OldEpoch,
        Self::OldSequence,
        Self::RemovedInstance,
    ];

    /// The kind's name in metrics and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Totals => "totals",
            Self::Limits => "limits",
            Self::PriceAboveMaximum => "price_above_maximum",
            Self::EpochReused => "epoch_reused",
            Self::OldEpoch => "old_epoch",
            Self::OldSequence => "old_sequence",
            Self::RemovedInstance => "removed_instance",
        }
    }

    fn place(self) -> usize {
        Self::ALL.iter().position(|kind| *kind == self).unwrap_or_default()
    }
}

/// Evidence about a neighbour, or the end of an alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// What it is about; `None` where all alarms about this neighbour are over.
    pub kind: Option<AlarmKind>,
    /// Interface on which the neighbour is.
    pub interface: String,
    /// The neighbour.
    pub neighbour: IpAddr,
    /// The session.
    pub session: Session,
    /// The sender.
    pub sender: Filter,
    /// What was to be expected.
    pub expected: String,
    /// What the neighbour said instead.
    pub reported: String,
    /// The neighbour was refused for it.
    pub refused: bool,
    /// Evidence of this kind about this neighbour that was counted, and not told, since the last.
    pub untold: u64,
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { interface, neighbour, expected, reported, .. } = self;
        let Some(kind) = self.kind else {
            return write!(f, "what {neighbour} on {interface} reports fits again");
        };
        let what = match kind {
            AlarmKind::Totals => "reports totals that do not fit what it was told",
            AlarmKind::Limits => "heard other limits of the sender than it was told",
            AlarmKind::PriceAboveMaximum => "raised its price above its own maximum",
            AlarmKind::EpochReused => "changed its price under an old epoch",
            AlarmKind::OldEpoch => "repeats an old price",
            AlarmKind::OldSequence => "repeats an old payment",
            AlarmKind::RemovedInstance => "pays for a reservation that was removed",
        };
        write!(f, "{neighbour} on {interface} {what}: {reported}, expected {expected}")?;
        if self.refused {
            write!(f, "; refused")?;
        }
        match self.untold {
            0 => Ok(()),
            untold => write!(f, "; {untold} more like it"),
        }
    }
}

/// Who said something, and about what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) interface: u32,
    pub(super) neighbour: IpAddr,
    pub(super) session: Session,
    pub(super) sender: Filter,
}

/// What there is against one neighbour.
#[derive(Debug, Clone, Copy, Default)]
struct Record {
    counts: [u64; AlarmKind::COUNT],
    untold: [u64; AlarmKind::COUNT],
    quiet_until: [Instant; AlarmKind::COUNT],
    /// Alarms that stand.
    open: u64,
}

/// What there is against a neighbour, as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditView {
    /// Interface name and neighbour; `None` for all neighbours beyond those told apart.
    pub link: Option<(String, IpAddr)>,
    /// Alarms that stand.
    pub open: u64,
    /// What was counted, by kind.
    pub counts: [(AlarmKind, u64); AlarmKind::ALL.len()],
}

/// What there is against all neighbours.
#[derive(Debug, Clone, Default)]
pub(crate) struct Audit {
    known: BTreeMap<(u32, IpAddr), Record>,
    others: Record,
}

impl Audit {
    fn record(&mut self, link: &Link) -> &mut Record {
        let key = (link.interface, link.neighbour);
        if self.known.len() >= NEIGHBOURS_MOST && !self.known.contains_key(&key) {
            return &mut self.others;
        }
        self.known.entry(key).or_default()
    }
}

/// Counts evidence, and tells it unless the like was told just now.
pub(super) fn note(
    core: &mut Core,
    now: Now,
    link: Link,
    kind: AlarmKind,
    refused: bool,
    (expected, reported): (impl fmt::Display, impl fmt::Display),
) {
    let record = core.audit.record(&link);
    let at = kind.place();
    let [Some(count), Some(untold)] = [record.counts.get_mut(at), record.untold.get_mut(at)] else {
        return;
    };
    *count += 1;
    let Some(quiet_until) = record.quiet_until.get_mut(at) else { return };
    if now.at < *quiet_until {
        *untold += 1;
        return;
    }
    *quiet_until = now.at + QUIET;
    let untold = std::mem::take(untold);
    let (expected, reported) = (expected.to_string(), reported.to_string());
    let Link { interface, neighbour, session, sender } = link;
    let interface = interface_name(core, interface);
    let kind = Some(kind);
    core.outbox.push(Output::Alarm(Box::new(Alarm {
        kind,
        interface,
        neighbour,
        session,
        sender,
        expected,
        reported,
        refused,
        untold,
    })));
}

/// Takes the alarms that a flow raised or ended.
pub(super) fn take(core: &mut Core, now: Now, session: Session, psb: &mut Psb) {
    let Some(flow) = psb.flow.as_mut() else { return };
    for Finding { key, about, raised, mismatch } in flow.take_findings() {
        let link = Link::to(key, session, psb.sender);
        match mismatch.filter(|_| raised) {
            Some(mismatch) => {
                core.audit.record(&link).open += 1;
                let kind = match about {
                    Doubt::Totals => AlarmKind::Totals,
                    Doubt::Limits => AlarmKind::Limits,
                };
                note(core, now, link, kind, false, evidence(&mismatch));
            }
            None => over(core, link),
        }
    }
}

/// One alarm less; the last one is told.
fn over(core: &mut Core, link: Link) {
    let record = core.audit.record(&link);
    record.open = record.open.saturating_sub(1);
    if record.open > 0 {
        return;
    }
    let Link { interface, neighbour, session, sender } = link;
    let interface = interface_name(core, interface);
    let (expected, reported) = Default::default();
    core.outbox.push(Output::Alarm(Box::new(Alarm {
        kind: None,
        interface,
        neighbour,
        session,
        sender,
        expected,
        reported,
        refused: false,
        untold: 0,
    })));
}

/// What was to be expected, and what was reported.
pub(super) fn evidence(mismatch: &Mismatch) -> (String, String) {
    match mismatch {
        Mismatch::Totals { told, announced_total, local_sum } => {
            let difference = i128::from(announced_total.0) - i128::from(local_sum.0);
            let reported = format!("A {announced_total} - B {local_sum} = {difference}");
            (format!("C {told}"), reported)
        }
        Mismatch::Limits { announced, echoed } => (limits(announced), limits(echoed)),
    }
}

fn limits(limits: &Limits) -> String {
    let text = |limit: Option<Rate>| limit.map_or("none".to_owned(), |rate| rate.to_string());
    format!("per receiver {}, per hop {}", text(limits.per_receiver), text(limits.per_hop))
}

impl Link {
    /// The link to a next hop.
    pub(super) fn to(key: BranchKey, session: Session, sender: Filter) -> Self {
        Self { interface: key.group, neighbour: key.hop, session, sender }
    }

    /// The link to the previous charging hop of a sender.
    pub(super) fn from(psb: &Psb, session: Session) -> Option<Self> {
        let neighbour = psb.payee()?;
        Some(Self { interface: psb.incoming, neighbour, session, sender: psb.sender })
    }
}

/// What there is against neighbours.
pub(crate) fn show(core: &Core) -> Vec<AuditView> {
    let view = |link, record: &Record| {
        let count = |kind: AlarmKind| record.counts.get(kind.place()).copied().unwrap_or_default();
        AuditView {
            link,
            open: record.open,
            counts: AlarmKind::ALL.map(|kind| (kind, count(kind))),
        }
    };
    let named = |(interface, neighbour): &(u32, IpAddr)| {
        Some((interface_name(core, *interface), *neighbour))
    };
    let mut views: Vec<_> =
        core.audit.known.iter().map(|(link, record)| view(named(link), record)).collect();
    if core.audit.others.counts.iter().any(|count| *count > 0) {
        views.push(view(None, &core.audit.others));
    }
    views
}
