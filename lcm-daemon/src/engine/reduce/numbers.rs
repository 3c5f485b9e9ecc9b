//! By which numbers a reservation is refreshed: of one message, or where a list of senders came in
//! several, of each.

use rsvp_wire::object::Filter;

use super::older;

/// The numbers of the messages of which a reservation block was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Numbers {
    #[default]
    None,
    /// One message named all of it.
    One(u32),
    /// Several did: the number by sender.
    Several(Box<[(Filter, u32)]>),
}

impl Numbers {
    /// A message with this number was taken that named `named` of the senders of the block, `all`
    /// of which there are none for a block that is not a list.
    pub(crate) fn note(&mut self, number: u32, named: &[Filter], all: &[Filter]) {
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

    /// A message without a number, or one that was refused in part, named these senders; none for
    /// all.
    pub(crate) fn forget(&mut self, named: &[Filter]) {
        *self = match std::mem::take(self) {
            Self::Several(list) if !named.is_empty() => {
                Self::Several(list.iter().filter(|(f, _)| !named.contains(f)).copied().collect())
            }
            _ => Self::None,
        };
    }

    /// The number by which one sender's part is refreshed.
    fn of(&self, filter: Filter) -> Option<u32> {
        match self {
            Self::None => None,
            Self::One(number) => Some(*number),
            Self::Several(list) => {
                list.iter().find(|(other, _)| *other == filter).map(|(_, number)| *number)
            }
        }
    }

    /// All numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let (one, several): (_, &[_]) = match self {
            Self::None => (None, &[]),
            Self::One(number) => (Some(*number), &[]),
            Self::Several(list) => (None, list),
        };
        one.into_iter().chain(several.iter().map(|(_, number)| *number))
    }

    /// True if a message with this number names this sender.
    pub(crate) fn names(&self, number: u32, filter: Filter) -> bool {
        self.of(filter) == Some(number)
    }

    /// True if what stands for any of these senders came with a newer number; of none, for all.
    pub(crate) fn outdates(
        &self,
        number: u32,
        named: &[Filter],
        current: impl Fn(u32) -> bool,
    ) -> bool {
        let newer = |known: u32| older(number, known) && current(known);
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

    #[test]
    fn a_list_that_comes_in_parts_has_a_number_for_each() {
        let all: Vec<Filter> = (1..=4).map(filter).collect();
        let mut numbers = Numbers::default();
        numbers.note(10, &all[..2], &all);
        numbers.note(11, &all[2..], &all);
        assert!(numbers.names(10, all[0]) && numbers.names(11, all[3]));
        assert!(!numbers.names(11, all[0]));
        // The first part, sent again with its number, is no older than the second.
        assert!(!numbers.outdates(10, &all[..2], |_| true));
        assert!(numbers.outdates(9, &all[..2], |_| true));
        assert!(!numbers.outdates(9, &all[..2], |_| false), "of another epoch");
        numbers.forget(&all[..1]);
        assert!(!numbers.names(10, all[0]) && numbers.names(10, all[1]));
        numbers.note(12, &all, &all);
        assert_eq!(numbers, Numbers::One(12));
        numbers.forget(&all[..1]);
        assert_eq!(numbers, Numbers::None);
    }
}
