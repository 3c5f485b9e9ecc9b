//! Policy state as RFC 2750 section 3.4 has it: one element of a P-Type is active at a time, a
//! newer one replaces it, an empty one deletes it.

use rsvp_wire::object::{Filter, PolicyElement};

use super::super::Core;
use super::super::time::{Instant, Now, lifetime};
use super::{Addressee, Concerns, Handler, Object};

/// The elements that handlers keep with a block of path or reservation state, and that end with
/// it: a refresh replaces them all, but for those with a longer period of their own (PRT).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Elements(Vec<Kept>);

#[derive(Debug, Clone)]
struct Kept {
    ptype: u16,
    /// Elements of the type that its handler tells apart.
    part: u8,
    concerns: Concerns,
    /// Came in an object that was addressed to us, which goes before others.
    addressed: bool,
    /// A policy refresh period longer than R keeps it until then.
    until: Option<Instant>,
    /// The whole element; only a header where it deletes.
    bytes: Box<[u8]>,
}

/// Times move with each refresh; they are no change of what is said.
impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.is_instead_of(other) && self.bytes == other.bytes
    }
}

impl Eq for Kept {}

impl Kept {
    fn is_instead_of(&self, other: &Kept) -> bool {
        (self.ptype, self.part) == (other.ptype, other.part) && self.concerns == other.concerns
    }

    fn element(&self) -> Option<PolicyElement<'_>> {
        let data = self.bytes.get(4..).filter(|data| !data.is_empty())?;
        Some(PolicyElement { ptype: self.ptype, bytes: &self.bytes, data })
    }
}

impl Elements {
    /// Takes the elements of a message that are a handler's.
    pub(super) fn take(
        &mut self,
        core: &Core,
        handler: &(impl Handler + ?Sized),
        objects: &mut dyn Iterator<Item = Object<'_>>,
    ) {
        let ours = |object: &Object<'_>| {
            object.addressee != Addressee::Another && handler.takes_from(core, object)
        };
        let k = u32::from(core.config.rsvp.lifetime_multiplier);
        for object in objects.filter(ours) {
            let until = object.slow.then(|| core.at + lifetime(object.refresh_ms, k));
            for element in object.data.elements().filter(|element| handler.takes(element)) {
                self.put(Kept {
                    ptype: element.ptype,
                    part: handler.part(&element),
                    concerns: Concerns::of(&object.data),
                    addressed: object.addressee == Addressee::Us,
                    until,
                    bytes: element.bytes.into(),
                });
            }
        }
    }

    /// Adds an element of an application on this node.
    pub(crate) fn add_local(&mut self, ptype: u16, part: u8, bytes: &[u8]) {
        let bytes = bytes.into();
        let concerns = Concerns::All;
        self.put(Kept { ptype, part, concerns, addressed: true, until: None, bytes });
    }

    fn put(&mut self, new: Kept) {
        // An empty element deletes all of its type, whatever part it would have been.
        let replaced = |old: &Kept| {
            new.is_instead_of(old)
                || (new.element().is_none()
                    && new.ptype == old.ptype
                    && new.concerns == old.concerns)
        };
        if self.0.iter().any(|old| replaced(old) && old.addressed && !new.addressed) {
            return;
        }
        self.0.retain(|old| !replaced(old));
        self.0.push(new);
    }

    /// Adds what was kept before and is not over, unless something new is there instead of it.
    pub(crate) fn renew(&mut self, old: &Elements, now: Now) {
        for kept in old.0.iter().filter(|kept| kept.until.is_some_and(|until| until > now.at)) {
            let instead = |new: &Kept| {
                new.is_instead_of(kept)
                    || (new.element().is_none()
                        && new.ptype == kept.ptype
                        && new.concerns == kept.concerns)
            };
            if !self.0.iter().any(instead) {
                self.0.push(kept.clone());
            }
        }
    }

    /// True if some of them outlast refreshes that leave them out.
    pub(crate) fn is_slow(&self) -> bool {
        self.0.iter().any(|kept| kept.until.is_some())
    }

    /// All elements of a P-Type.
    pub(super) fn of_type(&self, ptype: u16) -> impl Iterator<Item = PolicyElement<'_>> {
        self.0.iter().filter(move |kept| kept.ptype == ptype).filter_map(Kept::element)
    }

    /// The elements of a P-Type for one sender, at most one a part: one that names the sender goes
    /// before one for all.
    pub(super) fn get(
        &self,
        ptype: u16,
        sender: Filter,
    ) -> impl Iterator<Item = PolicyElement<'_>> {
        let concerned = move |kept: &&Kept| kept.ptype == ptype && kept.concerns.includes(sender);
        let general = |kept: &Kept| kept.concerns == Concerns::All;
        self.0.iter().filter(concerned).filter_map(move |kept| {
            let named =
                |other: &Kept| concerned(&other) && !general(other) && other.part == kept.part;
            if general(kept) && self.0.iter().any(named) { None } else { kept.element() }
        })
    }
}
