//! What a policy-ignorant node does (RFC 2750 section 4.2): objects go on as they came, to all
//! branches downstream, and upstream one after the other.

use std::net::IpAddr;
use std::sync::Arc;

use rsvp_wire::object::{Filter, Hop, PolicyData};

use super::super::Core;
use super::super::limits::{Seat, Tally};
use super::super::time::{Instant, Now};

/// The senders that a POLICY_DATA object is about (RFC 2750 section 3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Concerns {
    /// No option says anything: all flows of the session.
    All,
    /// FILTER_SPEC options.
    Filters(Box<[Filter]>),
    /// A SCOPE option.
    Sources(Box<[IpAddr]>),
}

impl Concerns {
    pub(crate) fn of(data: &PolicyData<'_>) -> Self {
        if let Some(scope) = data.scope() {
            return Self::Sources(scope.collect());
        }
        let filters: Box<[Filter]> = data.filter_specs().map(|filter| filter.0).collect();
        if filters.is_empty() { Self::All } else { Self::Filters(filters) }
    }

    pub(crate) fn includes(&self, sender: Filter) -> bool {
        match self {
            Self::All => true,
            Self::Filters(filters) => filters.contains(&sender),
            Self::Sources(sources) => sources.contains(&sender.source),
        }
    }
}

/// By which an object is known again in a later message: a newer one from the same node about the
/// same senders with the same types replaces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    concerns: Concerns,
    origin: Option<Hop>,
    ptype: Option<u16>,
}

impl Identity {
    /// Of an object that is no POLICY_DATA.
    pub(super) const NONE: Self = Self { concerns: Concerns::All, origin: None, ptype: None };

    pub(super) fn of(data: &PolicyData<'_>, concerns: Concerns) -> Self {
        let ptype = data.elements().next().map(|element| element.ptype);
        Self { concerns, origin: data.originating_hop(), ptype }
    }
}

#[derive(Debug)]
struct Part {
    /// Where its bytes end.
    end: usize,
    identity: Identity,
    /// A policy refresh period longer than R keeps it until then, though refreshes leave it out.
    until: Option<Instant>,
}

#[derive(Debug)]
struct Kept {
    bytes: Box<[u8]>,
    parts: Box<[Part]>,
    _seat: Seat,
}

/// Objects that go on byte for byte: kept by reference, counted while they are.
#[derive(Debug, Clone)]
pub(crate) struct Carried(Arc<Kept>);

impl PartialEq for Carried {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Carried {}

impl Carried {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// Objects that name senders, none of them one of these.
    pub(crate) fn only_others(concerns: &Concerns, senders: &[Filter]) -> bool {
        matches!(concerns, Concerns::Filters(_)) && !senders.iter().any(|s| concerns.includes(*s))
    }

    /// True if some of it outlasts refreshes that leave it out.
    pub(crate) fn is_slow(&self) -> bool {
        self.0.parts.iter().any(|part| part.until.is_some())
    }

    /// The objects that concern at least one of these senders.
    pub(crate) fn about(&self, senders: &[Filter]) -> impl Iterator<Item = &[u8]> {
        self.parts().filter_map(move |(part, bytes)| {
            let concerns = &part.identity.concerns;
            senders.iter().any(|sender| concerns.includes(*sender)).then_some(bytes)
        })
    }

    fn parts(&self) -> impl Iterator<Item = (&Part, &[u8])> {
        let mut start = 0;
        self.0.parts.iter().map(move |part| {
            let bytes = self.0.bytes.get(start..part.end).unwrap_or_default();
            start = part.end;
            (part, bytes)
        })
    }

    /// What is carried after a refresh: `new`, and those of `old` that nothing new replaces and
    /// whose policy refresh period has not run out or which concern `others`, of whom the refresh
    /// does not speak. At most so many bytes as a message may have; the new ones go first.
    pub(crate) fn renewed(
        core: &Core,
        now: Now,
        old: Option<&Carried>,
        new: Option<Carried>,
        others: impl Fn(&Concerns) -> bool,
    ) -> Option<Carried> {
        let most = core.config.limits.max_policy_bytes as usize;
        let Some(old) = old else { return new };
        let replaced = |identity: &Identity| {
            new.iter().flat_map(|new| &new.0.parts).any(|part| part.identity == *identity)
        };
        let alive = |part: &Part| {
            part.until.is_some_and(|until| until > now.at) || others(&part.identity.concerns)
        };
        let left = || old.parts().filter(|(part, _)| alive(part) && !replaced(&part.identity));
        if left().next().is_none() {
            return new;
        }
        let mut both = Collected::default();
        for (part, bytes) in new.iter().flat_map(Carried::parts).chain(left()) {
            if both.bytes.len() + bytes.len() <= most {
                both.push(bytes, part.identity.clone(), part.until);
            }
        }
        both.finish(&core.neighbours.carried)
    }
}

/// Objects as they are found.
#[derive(Debug, Default)]
pub(super) struct Collected {
    bytes: Vec<u8>,
    parts: Vec<Part>,
}

impl Collected {
    pub(super) fn push(&mut self, bytes: &[u8], identity: Identity, until: Option<Instant>) {
        self.bytes.extend_from_slice(bytes);
        self.parts.push(Part { end: self.bytes.len(), identity, until });
    }

    pub(super) fn finish(self, in_all: &Arc<Tally>) -> Option<Carried> {
        let Self { bytes, parts } = self;
        if bytes.is_empty() {
            return None;
        }
        let seat = Seat::take(in_all, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        let (bytes, parts) = (bytes.into_boxed_slice(), parts.into_boxed_slice());
        Some(Carried(Arc::new(Kept { bytes, parts, _seat: seat })))
    }
}
