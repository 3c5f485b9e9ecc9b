//! What most flows have none of most of the time: kept in one box, so that the others stay small.

use super::FlowConfig;
use super::asked::Asked;
use super::audit::Suspicion;
use super::branch::{Group, Offered};
use super::charge::Charge;
use super::messages::Finding;
use super::quality::{Broken, Outage, Qualities, Quality};
use super::refund::Refunds;
use super::turns::Turn;
use crate::ledger::Posting;
use crate::money::Rate;
use crate::split::{BranchKey, Flowspec};
use crate::time::{Millis, Span, serial_newer};

/// How many removed instances a flow remembers; the oldest goes first.
const REMOVED_MAX: usize = 64;
/// How many replaced quotes a flow remembers where quotes are honoured.
const QUOTES_MAX: usize = 64;

/// A replaced quote that may still be honoured (T6).
#[derive(Clone, Copy, Debug)]
struct OldQuote {
    group: u32,
    epoch: u32,
    charge: Charge,
    until: Millis,
}

#[derive(Clone, Debug, Default)]
struct Content {
    postings: Vec<Posting>,
    /// Last turns of branches that are gone.
    ended: Vec<Turn>,
    /// The last instance of every branch that was removed (T17).
    removed: Vec<(BranchKey, u32)>,
    quotes: Vec<OldQuote>,
    /// Payment and epoch of the offer of ours that was refused last: said again at once it would
    /// be refused again, so it waits for a refresh (T18).
    refused: Option<(Rate, u32)>,
    /// What does not fit in the reports of branches.
    suspicions: Vec<Suspicion>,
    /// Alarms that nobody has been told of yet.
    findings: Vec<Finding>,
    /// When the node last woke up: no gap is billed from before.
    woke: Millis,
    /// What was asked for and not paid for.
    asked: Vec<Asked>,
    /// What the sender sends, where the split goes by what is reserved.
    sends: Option<Flowspec>,
    /// What branches reserve, where the split goes by it.
    flowspecs: Vec<(BranchKey, Flowspec)>,
    /// The part of the approved claim that is carried for members who are not there yet.
    stands_in: Rate,
    /// Outages of branches.
    qualities: Option<Box<Qualities>>,
    /// What is granted for outages.
    refunds: Option<Box<Refunds>>,
}

impl Content {
    fn is_empty(&self) -> bool {
        self.postings.is_empty()
            && self.ended.is_empty()
            && self.removed.is_empty()
            && self.quotes.is_empty()
            && self.refused.is_none()
            && self.suspicions.is_empty()
            && self.findings.is_empty()
            && self.woke == Millis(0)
            && self.asked.is_empty()
            && self.sends.is_none()
            && self.flowspecs.is_empty()
            && self.stands_in == Rate::ZERO
            && self.qualities.as_ref().is_none_or(|qualities| qualities.is_empty())
            && self.refunds.as_ref().is_none_or(|refunds| refunds.is_empty())
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Extra(Option<Box<Content>>);

impl Extra {
    /// Whether there is nothing out of the ordinary.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn content(&mut self) -> &mut Content {
        self.0.get_or_insert_default()
    }

    /// Keeps a posting; it may be given back for so long, if anything may.
    pub(super) fn push(&mut self, posting: Posting, kept: Span) {
        let content = self.content();
        if let Some(refunds) = &mut content.refunds {
            refunds.note(posting.entry, posting.account.as_ref(), posting.segment, kept);
        }
        content.postings.push(posting);
    }

    pub(super) fn quality(&self, key: BranchKey) -> Option<Quality> {
        self.0.as_deref()?.qualities.as_ref()?.of(key)
    }

    pub(super) fn quality_mut<T>(
        &mut self,
        key: BranchKey,
        change: impl FnOnce(&mut Quality) -> Option<T>,
    ) -> Option<T> {
        self.0.as_deref_mut()?.qualities.as_mut()?.change(key, change)
    }

    /// A branch is out; true if it was not already.
    pub(super) fn breaks(&mut self, key: BranchKey, from: Millis, why: Broken) -> bool {
        self.content().qualities.get_or_insert_default().breaks(key, from, why)
    }

    pub(super) fn forget_quality(&mut self, key: BranchKey) {
        if let Some(qualities) = self.0.as_deref_mut().and_then(|c| c.qualities.as_mut()) {
            qualities.forget(key);
            self.tidy();
        }
    }

    pub(super) fn tell_outage(&mut self, outage: Outage) {
        self.content().qualities.get_or_insert_default().tell(outage);
    }

    pub(super) fn take_outages(&mut self) -> Vec<Outage> {
        let all = self.0.as_deref_mut().and_then(|content| content.qualities.as_mut());
        let news = all.map(|qualities| qualities.take_news()).unwrap_or_default();
        if !news.is_empty() {
            self.tidy();
        }
        news
    }

    /// All but how branches have fared, by which nothing is decided.
    pub(super) fn without_qualities(&self) -> Self {
        let mut other = self.clone();
        if let Some(content) = &mut other.0 {
            content.qualities = None;
        }
        other.tidy();
        other
    }

    pub(super) fn has_refunds(&self) -> bool {
        self.refunds().is_some()
    }

    pub(super) fn refunds(&self) -> Option<&Refunds> {
        self.0.as_deref()?.refunds.as_deref()
    }

    pub(super) fn refunds_mut(&mut self) -> Option<&mut Refunds> {
        Some(self.content().refunds.get_or_insert_default())
    }

    pub(super) fn refunds_mut_if_any(&mut self) -> Option<&mut Refunds> {
        self.0.as_deref_mut()?.refunds.as_deref_mut()
    }

    pub(super) fn take_postings(&mut self) -> Vec<Posting> {
        let Some(content) = &mut self.0 else { return Vec::new() };
        let postings = std::mem::take(&mut content.postings);
        self.tidy();
        postings
    }

    pub(super) fn postings(&self) -> &[Posting] {
        self.0.as_deref().map(|content| content.postings.as_slice()).unwrap_or_default()
    }

    /// Keeps the last turn of a branch that goes.
    pub(super) fn end(&mut self, turn: Turn) {
        self.content().ended.push(turn);
    }

    pub(super) fn take_ended(&mut self) -> Vec<Turn> {
        let Some(content) = &mut self.0 else { return Vec::new() };
        let ended = std::mem::take(&mut content.ended);
        self.tidy();
        ended
    }

    /// Gives back what is no longer needed.
    fn tidy(&mut self) {
        if self.0.as_deref().is_some_and(Content::is_empty) {
            self.0 = None;
        }
    }

    pub(super) fn suspicions(&self) -> &[Suspicion] {
        self.0.as_deref().map(|content| content.suspicions.as_slice()).unwrap_or_default()
    }

    pub(super) fn suspicions_mut(&mut self) -> &mut [Suspicion] {
        self.0.as_deref_mut().map(|c| c.suspicions.as_mut_slice()).unwrap_or_default()
    }

    pub(super) fn take_suspicions(&mut self) -> Vec<Suspicion> {
        self.0.as_mut().map(|c| std::mem::take(&mut c.suspicions)).unwrap_or_default()
    }

    pub(super) fn keep_suspicions(&mut self, suspicions: Vec<Suspicion>) {
        if !suspicions.is_empty() || self.0.is_some() {
            self.content().suspicions = suspicions;
            self.tidy();
        }
    }

    /// Keeps an alarm, or its end, until it is asked for.
    pub(super) fn find(&mut self, finding: Finding) {
        self.content().findings.push(finding);
    }

    pub(super) fn take_findings(&mut self) -> Vec<Finding> {
        let Some(content) = &mut self.0 else { return Vec::new() };
        let findings = std::mem::take(&mut content.findings);
        self.tidy();
        findings
    }

    pub(super) fn wake(&mut self, at: Millis) {
        self.content().woke = at;
    }

    /// When the node last woke up.
    pub(super) fn woke(&self) -> Millis {
        self.0.as_deref().map(|content| content.woke).unwrap_or_default()
    }

    pub(super) fn asked(&self) -> &[Asked] {
        self.0.as_deref().map(|content| content.asked.as_slice()).unwrap_or_default()
    }

    /// What this branch asked for beyond what stands.
    pub(super) fn asked_by(&self, key: BranchKey) -> Option<&Asked> {
        self.asked().iter().find(|asked| asked.key == key)
    }

    /// Keeps what a branch asked for, instead of what it asked for before.
    pub(super) fn ask(&mut self, asked: Asked) {
        let all = &mut self.content().asked;
        match all.iter_mut().find(|old| old.key == asked.key) {
            Some(old) => *old = asked,
            None => all.push(asked),
        }
    }

    /// What the branch is quoted for what stands, beside what it asked for.
    pub(super) fn set_stands(&mut self, key: BranchKey, charge: Charge) {
        let all = self.0.as_deref_mut().map(|c| c.asked.as_mut_slice()).unwrap_or_default();
        if let Some(asked) = all.iter_mut().find(|asked| asked.key == key) {
            asked.stands = Some(charge);
        }
    }

    /// Forgets what is not to be kept; true if there was any.
    pub(super) fn retain_asked(&mut self, keep: impl Fn(&Asked) -> bool) -> bool {
        let Some(content) = &mut self.0 else { return false };
        let before = content.asked.len();
        content.asked.retain(keep);
        let fewer = content.asked.len() < before;
        self.tidy();
        fewer
    }

    pub(super) fn sends(&self) -> Option<Flowspec> {
        self.0.as_deref().and_then(|content| content.sends)
    }

    pub(super) fn set_sends(&mut self, sends: Option<Flowspec>) {
        if sends != self.sends() {
            self.content().sends = sends;
            self.tidy();
        }
    }

    /// What a branch reserves, where that was told.
    pub(super) fn flowspec(&self, key: BranchKey) -> Option<Flowspec> {
        let all = self.0.as_deref().map(|c| c.flowspecs.as_slice()).unwrap_or_default();
        all.iter().find(|(of, _)| *of == key).map(|(_, flowspec)| *flowspec)
    }

    pub(super) fn set_flowspec(&mut self, key: BranchKey, flowspec: Option<Flowspec>) {
        if flowspec == self.flowspec(key) {
            return;
        }
        let all = &mut self.content().flowspecs;
        all.retain(|(of, _)| *of != key);
        all.extend(flowspec.map(|flowspec| (key, flowspec)));
        self.tidy();
    }

    /// What is carried for members who are not there yet.
    pub(super) fn stands_in(&self) -> Rate {
        self.0.as_deref().map(|content| content.stands_in).unwrap_or_default()
    }

    pub(super) fn stand_in(&mut self, part: Rate) {
        if part != self.stands_in() {
            self.content().stands_in = part;
            self.tidy();
        }
    }

    /// Remembers that the previous hop refused this offer.
    pub(super) fn refuse(&mut self, payment: Rate, epoch_echo: u32) {
        self.content().refused = Some((payment, epoch_echo));
    }

    /// Whether this offer is the one that was refused last.
    pub(super) fn is_refused(&self, payment: Rate, epoch_echo: u32) -> bool {
        self.0.as_deref().is_some_and(|content| content.refused == Some((payment, epoch_echo)))
    }

    /// Remembers that `instance` of the branch is gone for good.
    pub(super) fn bury(&mut self, key: BranchKey, instance: u32) {
        let removed = &mut self.content().removed;
        removed.retain(|(old, _)| *old != key);
        if removed.len() >= REMOVED_MAX {
            removed.remove(0);
        }
        removed.push((key, instance));
    }

    /// The newest instance of the branch that was removed.
    pub(super) fn last_removed(&self, key: BranchKey) -> Option<u32> {
        let removed = self.0.as_deref().map(|c| c.removed.as_slice()).unwrap_or_default();
        removed.iter().find(|(old, _)| *old == key).map(|(_, last)| *last)
    }

    /// Whether `instance` of the branch was removed.
    pub(super) fn is_buried(&self, key: BranchKey, instance: u32) -> bool {
        self.last_removed(key).is_some_and(|last| !serial_newer(instance, last))
    }

    /// Remembers the quote that `group` made until `now`, where the configuration honours it.
    pub(super) fn remember_quote(
        &mut self,
        config: &FlowConfig,
        now: Millis,
        group: &Group,
        old: Offered,
    ) {
        let (true, Some(epoch)) = (config.honour_quote, old.epoch) else { return };
        let until = now.after(group.price.validity);
        let quotes = &mut self.content().quotes;
        quotes.retain(|q| q.until >= now);
        if quotes.len() >= QUOTES_MAX {
            quotes.remove(0);
        }
        quotes.push(OldQuote { group: group.id, epoch, charge: old.charge, until });
    }

    /// The charge that `group` quoted under `epoch`, if it may still be paid.
    pub(super) fn honoured(&self, group: u32, epoch: u32, now: Millis) -> Option<Charge> {
        let quotes = self.0.as_deref().map(|c| c.quotes.as_slice()).unwrap_or_default();
        let found = quotes.iter().find(|q| (q.group, q.epoch) == (group, epoch) && now <= q.until);
        found.map(|q| q.charge)
    }
}
