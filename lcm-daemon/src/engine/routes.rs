//! The kernel's answers about routes, cached and shared by the sessions that follow them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ahash::RandomState;
use slab::Slab;

use super::Few;
use super::index::Index;
use crate::kernel::{Route, RouteKey};

#[derive(Debug, Clone)]
struct Entry {
    key: RouteKey,
    /// `None` while the kernel has not answered yet.
    route: Option<Route>,
    users: Users,
}

/// Slots of the sessions that follow a route: nearly always one.
#[derive(Debug, Clone, Default)]
enum Users {
    #[default]
    None,
    One(usize),
    #[expect(clippy::box_collection, reason = "one word less in each of a million entries")]
    Several(Box<BTreeSet<usize>>),
}

impl Users {
    fn add(&mut self, slot: usize) {
        match self {
            Self::None => *self = Self::One(slot),
            Self::One(only) if *only == slot => {}
            Self::One(only) => *self = Self::Several(Box::new(BTreeSet::from([*only, slot]))),
            Self::Several(slots) => {
                slots.insert(slot);
            }
        }
    }

    /// True if that was the last one.
    fn remove(&mut self, slot: usize) -> bool {
        match self {
            Self::One(only) if *only == slot => *self = Self::None,
            Self::Several(slots) => {
                slots.remove(&slot);
                if let (1, Some(only)) = (slots.len(), slots.first()) {
                    *self = Self::One(*only);
                }
            }
            Self::None | Self::One(_) => {}
        }
        matches!(self, Self::None)
    }

    fn all(&self) -> Few<usize> {
        match self {
            Self::None => Few::new(),
            Self::One(only) => Few::from_iter([*only]),
            Self::Several(slots) => slots.iter().copied().collect(),
        }
    }
}

/// Routes in use.
#[derive(Debug, Clone)]
pub(crate) struct Routes {
    entries: Slab<Entry>,
    index: Index,
    /// Keys to ask the kernel about.
    questions: BTreeSet<RouteKey>,
}

impl Routes {
    /// No routes yet; `hasher` is keyed, so that strangers cannot aim at one bucket.
    pub(crate) fn new(hasher: RandomState) -> Self {
        Self { entries: Slab::new(), index: Index::new(hasher), questions: BTreeSet::new() }
    }

    /// The route as last answered; asks the kernel if nobody did, and remembers that session
    /// `slot` wants to hear of changes.
    pub(crate) fn follow(&mut self, key: RouteKey, slot: usize) -> Option<&Route> {
        let place = self.place(&key).unwrap_or_else(|| {
            self.questions.insert(key);
            let place = self.entries.insert(Entry { key, route: None, users: Users::None });
            let Self { entries, index, .. } = self;
            index.insert(place, |place| entries.get(place).map(|entry| entry.key));
            place
        });
        let entry = self.entries.get_mut(place)?;
        entry.users.add(slot);
        entry.route.as_ref()
    }

    fn place(&self, key: &RouteKey) -> Option<usize> {
        self.index.find(key, |place| self.entries.get(place).map(|entry| entry.key))
    }

    /// All of it in a fixed order, to be printed.
    pub(crate) fn image(&self) -> impl std::fmt::Debug + '_ {
        let entries = self.entries.iter().map(|(_, entry)| (entry.key, entry));
        (entries.collect::<BTreeMap<_, _>>(), &self.questions)
    }

    /// The route as last answered.
    pub(crate) fn get(&self, key: &RouteKey) -> Option<&Route> {
        self.entries.get(self.place(key)?)?.route.as_ref()
    }

    /// Session `slot` no longer follows `key`.
    pub(crate) fn leave(&mut self, key: &RouteKey, slot: usize) {
        let Some(place) = self.place(key) else { return };
        if self.entries.get_mut(place).is_some_and(|entry| entry.users.remove(slot)) {
            let Self { entries, index, questions } = self;
            index.remove(place, |place| entries.get(place).map(|entry| entry.key));
            entries.remove(place);
            questions.remove(key);
        }
    }

    /// Takes an answer; returns the sessions to look at if it differs from the last one, and that.
    pub(crate) fn answer(&mut self, key: &RouteKey, route: Route) -> (Few<usize>, Option<Route>) {
        match self.place(key).and_then(|place| self.entries.get_mut(place)) {
            Some(entry) if entry.route.as_ref() != Some(&route) => {
                let old = entry.route.replace(route);
                (entry.users.all(), old)
            }
            _ => (Few::new(), None),
        }
    }

    /// Asks again for the unicast keys within `prefix`, or for all of them. A destination is asked
    /// about before its flows, and forgets them if it has one path now.
    pub(crate) fn unicast_changed(&mut self, prefix: Option<(IpAddr, u8)>) {
        let stale = self.entries.iter().map(|(_, entry)| entry.key).filter(|key| {
            let unicast = key.source.is_none() || key.transport.is_some();
            unicast && prefix.is_none_or(|p| contains(p, key.destination))
        });
        self.questions.extend(stale);
    }

    /// Asks again for one multicast flow.
    pub(crate) fn multicast_changed(&mut self, source: IpAddr, group: IpAddr) {
        let stale = self
            .entries
            .iter()
            .map(|(_, entry)| entry.key)
            .filter(|key| key.destination == group && key.source == Some(source));
        self.questions.extend(stale);
    }

    /// Asks again for everything.
    pub(crate) fn all_changed(&mut self) {
        self.questions.extend(self.entries.iter().map(|(_, entry)| entry.key));
    }

    /// The next key to ask the kernel about.
    pub(crate) fn next_question(&mut self) -> Option<RouteKey> {
        self.questions.pop_first()
    }
}

/// True if `address` lies within `prefix`.
fn contains((network, length): (IpAddr, u8), address: IpAddr) -> bool {
    let bits = |a: IpAddr| match a {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, true),
        IpAddr::V6(v6) => (v6.to_bits(), false),
    };
    let ((network, network_v4), (address, address_v4)) = (bits(network), bits(address));
    let mask = u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0);
    network_v4 == address_v4 && (network ^ address) & mask == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn prefixes_contain_what_they_should() {
        assert!(contains((ip("10.1.0.0"), 16), ip("10.1.200.3")));
        assert!(!contains((ip("10.1.0.0"), 16), ip("10.2.0.1")));
        assert!(contains((ip("0.0.0.0"), 0), ip("10.2.0.1")));
        assert!(!contains((ip("::"), 0), ip("10.2.0.1")));
        assert!(contains((ip("2001:db8::"), 32), ip("2001:db8::1")));
        assert!(contains((ip("10.1.2.3"), 32), ip("10.1.2.3")));
        assert!(!contains((ip("10.1.2.3"), 32), ip("10.1.2.2")));
    }

    #[test]
    fn a_key_is_asked_once_and_forgotten_with_its_last_user() {
        let key =
            RouteKey { destination: ip("10.1.2.3"), source: None, incoming: 0, transport: None };
        let mut routes = Routes::new(RandomState::with_seed(1));
        assert_eq!(routes.follow(key, 1), None);
        assert_eq!(routes.follow(key, 2), None);
        assert_eq!(routes.next_question(), Some(key));
        assert_eq!(routes.next_question(), None);
        assert_eq!(routes.answer(&key, Route::Local), (Few::from_slice(&[1, 2]), None));
        assert_eq!(routes.answer(&key, Route::Local), (Few::new(), None));
        let moved = routes.answer(&key, Route::Unreachable);
        assert_eq!(moved, (Few::from_slice(&[1, 2]), Some(Route::Local)));
        routes.unicast_changed(Some((ip("10.0.0.0"), 8)));
        assert_eq!(routes.next_question(), Some(key));
        routes.leave(&key, 1);
        routes.leave(&key, 2);
        assert!(routes.get(&key).is_none());
    }
}
