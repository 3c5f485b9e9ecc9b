//! By which numbers a reservation is refreshed: of one message, or where a list of senders came in
//! several, of each.

use std::fmt;

use rsvp_wire::object::Filter;

use super::older;

/// What tells the message that state was made of from others of its neighbour: the number that it
/// came with (RFC 2961), or a digest of its octets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name(u64);

/// Set in names that are digests.
const OF_OCTETS: u64 = 1 << 63;

impl Name {
    /// Of a message with a MESSAGE_ID.
    pub(crate) fn number(number: u32) -> Self {
        Self(number.into())
    }

    /// Of a message without.
    pub(crate) fn octets(digest: u64) -> Self {
        Self(digest | OF_OCTETS)
    }

    /// The number, of a message that came with one.
    pub(crate) fn as_number(self) -> Option<u32> {
        u32::try_from(self.0).ok()
    }
}

/// Nothing is decided by the digest itself, so nodes that differ in it alone print alike.
impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_number() {
            Some(number) => write!(f, "{number}"),
            None => f.write_str("octets"),
        }
    }
}

/// The names of the messages of which a reservation block was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Numbers {
    #[default]
    None,
    /// One message named all of it.
    One(Name),
    /// Several did: the name by sender.
    Several(Box<[(Filter, Name)]>),
}

impl Numbers {
    /// A message with this name was taken that named `named` of the senders of the block, `all`
    /// of which there are none for a block that is not a list.
    pub(crate) fn note(&mut self, number: Name, named: &[Filter], all: &[Filter]) {
        if all.iter().all(|filter| named.contains(filter)) {
            *self = Self::One(number);
            return;
        }
        let of = |filter: &Filter| {
            if named.contains(filter) { Some(number) } else { self.of(*filter) }
        };
        let list = all.iter().filter_map(|filter| Some((*filter, of(filter)?))).collect();
        *self = Self::Several(list);
    }

    /// A message without a name, or one that was refused in part, named these senders; none for
    /// all.
    pub(crate) fn forget(&mut self, named: &[Filter]) {
        *self = match std::mem::take(self) {
            Self::Several(list) if !named.is_empty() => {
                Self::Several(list.iter().filter(|(f, _)| !named.contains(f)).copied().collect())
            }
            _ => Self::None,
        };
    }

    /// The name by which one sender's part is refreshed.
    fn of(&self, filter: Filter) -> Option<Name> {
        match self {
            Self::None => None,
            Self::One(number) => Some(*number),
            Self::Several(list) => {
                list.iter().find(|(other, _)| *other == filter).map(|(_, number)| *number)
            }
        }
    }

    /// All names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Name> + '_ {
        let (one, several): (_, &[_]) = match self {
            Self::None => (None, &[]),
            Self::One(number) => (Some(*number), &[]),
            Self::Several(list) => (None, list),
        };
        one.into_iter().chain(several.iter().map(|(_, number)| *number))
    }

    /// True if a message with this name names this sender.
    pub(crate) fn names(&self, number: Name, filter: Filter) -> bool {
        self.of(filter) == Some(number)
    }

    /// True if what stands for any of these senders came with a newer number; of none, for all.
    pub(crate) fn outdates(
        &self,
        number: u32,
        named: &[Filter],
        current: impl Fn(u32) -> bool,
    ) -> bool {
        let newer = |known: Name| {
            known.as_number().is_some_and(|known| older(number, known) && current(known))
        };
        match self {
            Self::Several(list) if !named.is_empty() => {
                list.iter().any(|(filter, known)| named.contains(filter) && newer(*known))
            }
            _ => self.iter().any(newer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsvp_wire::object::FlowId;

    fn filter(last: u8) -> Filter {
        Filter { source: [10, 0, 0, last].into(), id: FlowId::Port(1) }
    }

    fn name(number: u32) -> Name {
        Name::number(number)
    }

    #[test]
    fn digests_are_no_numbers() {
        assert_eq!(name(7).as_number(), Some(7));
        assert_eq!(Name::octets(7).as_number(), None);
        assert_ne!(Name::octets(7), name(7));
        let numbers = Numbers::One(Name::octets(9));
        assert!(!numbers.outdates(8, &[], |_| true));
    }

    #[test]
    fn a_list_that_comes_in_parts_has_a_number_for_each() {
        let all: Vec<Filter> = (1..=4).map(filter).collect();
        let mut numbers = Numbers::default();
        numbers.note(name(10), &all[..2], &all);
        numbers.note(name(11), &all[2..], &all);
        assert!(numbers.names(name(10), all[0]) && numbers.names(name(11), all[3]));
        assert!(!numbers.names(name(11), all[0]));
        // The first part, sent again with its number, is no older than the second.
        assert!(!numbers.outdates(10, &all[..2], |_| true));
        assert!(numbers.outdates(9, &all[..2], |_| true));
        assert!(!numbers.outdates(9, &all[..2], |_| false), "of another epoch");
        numbers.forget(&all[..1]);
        assert!(!numbers.names(name(10), all[0]) && numbers.names(name(10), all[1]));
        numbers.note(name(12), &all, &all);
        assert_eq!(numbers, Numbers::One(name(12)));
        numbers.forget(&all[..1]);
        assert_eq!(numbers, Numbers::None);
    }
}
