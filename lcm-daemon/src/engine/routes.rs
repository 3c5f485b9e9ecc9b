//! The kernel's answers about routes, cached and shared by the sessions that follow them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use ahash::RandomState;

use crate::kernel::{Route, RouteKey};

#[derive(Debug, Clone, Default)]
struct Entry {
    /// `None` while the kernel has not answered yet.
    route: Option<Route>,
    users: BTreeSet<usize>,
}

/// Routes in use.
#[derive(Debug, Clone)]
pub(crate) struct Routes {
    entries: HashMap<RouteKey, Entry, RandomState>,
    /// Keys to ask the kernel about.
    questions: BTreeSet<RouteKey>,
}

impl Routes {
    /// No routes yet; `hasher` is keyed, so that strangers cannot aim at one bucket.
    pub(crate) fn new(hasher: RandomState) -> Self {
        Self { entries: HashMap::with_hasher(hasher), questions: BTreeSet::new() }
    }

    /// The route as last answered; asks the kernel if nobody did, and remembers that session
    /// `slot` wants to hear of changes.
    pub(crate) fn follow(&mut self, key: RouteKey, slot: usize) -> Option<&Route> {
        let entry = self.entries.entry(key).or_insert_with(|| {
            self.questions.insert(key);
            Entry::default()
        });
        entry.users.insert(slot);
        entry.route.as_ref()
    }

    /// All of it in a fixed order, to be printed.
    pub(crate) fn image(&self) -> impl std::fmt::Debug + '_ {
        let Self { entries, questions } = self;
        (entries.iter().collect::<BTreeMap<_, _>>(), questions)
    }

    /// The route as last answered.
    pub(crate) fn get(&self, key: &RouteKey) -> Option<&Route> {
        self.entries.get(key)?.route.as_ref()
    }

    /// Session `slot` no longer follows `key`.
    pub(crate) fn leave(&mut self, key: &RouteKey, slot: usize) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.users.remove(&slot);
            if entry.users.is_empty() {
                self.entries.remove(key);
                self.questions.remove(key);
            }
        }
    }

    /// Takes an answer; returns the sessions to look at if it differs from the last one, and that.
    pub(crate) fn answer(&mut self, key: &RouteKey, route: Route) -> (Vec<usize>, Option<Route>) {
        match self.entries.get_mut(key) {
            Some(entry) if entry.route.as_ref() != Some(&route) => {
                let old = entry.route.replace(route);
                (entry.users.iter().copied().collect(), old)
            }
            _ => (Vec::new(), None),
        }
    }

    /// Asks again for the unicast keys within `prefix`, or for all of them. A destination is asked
    /// about before its flows, and forgets them if it has one path now.
    pub(crate) fn unicast_changed(&mut self, prefix: Option<(IpAddr, u8)>) {
        let stale = self.entries.keys().filter(|key| {
            let unicast = key.source.is_none() || key.transport.is_some();
            unicast && prefix.is_none_or(|p| contains(p, key.destination))
        });
        self.questions.extend(stale);
    }

    /// Asks again for one multicast flow.
    pub(crate) fn multicast_changed(&mut self, source: IpAddr, group: IpAddr) {
        let stale = self
            .entries
            .keys()
            .filter(|key| key.destination == group && key.source == Some(source));
        self.questions.extend(stale);
    }

    /// Asks again for everything.
    pub(crate) fn all_changed(&mut self) {
        self.questions.extend(self.entries.keys());
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
        assert_eq!(routes.answer(&key, Route::Local), (vec![1, 2], None));
        assert_eq!(routes.answer(&key, Route::Local), (vec![], None));
        let moved = routes.answer(&key, Route::Unreachable);
        assert_eq!(moved, (vec![1, 2], Some(Route::Local)));
        routes.unicast_changed(Some((ip("10.0.0.0"), 8)));
        assert_eq!(routes.next_question(), Some(key));
        routes.leave(&key, 1);
        routes.leave(&key, 2);
        assert!(routes.get(&key).is_none());
    }
}
