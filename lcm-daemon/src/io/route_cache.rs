//! Unicast routes as the kernel last answered, asked once for all destinations that no route tells
//! apart.
//!
//! A look-up by destination alone goes through rules and tables that hold prefixes and nothing else
//! that such a look-up could differ by. Two destinations with the same longest prefix around them,
//! over all tables and rules, lie within the same other prefixes too, since these contain that one;
//! so the kernel answers both alike. Known are therefore the prefixes of all tables, and one answer
//! for each of those that was asked about: not what the routes say, which stays the kernel's to
//! find out.
//!
//! A prefix more than there is makes the classes finer and no answer wrong, so prefixes that go are
//! kept until everything is read anew.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ahash::{AHashSet, RandomState};

use super::netlink::{Kernel, Outcome};
use crate::kernel::{KernelNews, Route, RouteKey};

/// How often the tables are read again because they changed meanwhile. Each time may take a second
/// where they hold a million routes.
const READS: usize = 2;

/// How long after that every destination is asked about before another attempt.
const PAUSE: Duration = Duration::from_secs(60);

/// The kernel's routes, asked about as seldom as possible.
///
/// It must be told all news of a [`super::Monitor`] that was opened before it.
#[derive(Debug)]
pub struct RouteCache {
    kernel: Kernel,
    v4: Classes<u32>,
    v6: Classes<u128>,
    read: Read,
}

/// What is known of the kernel's prefixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Read {
    /// Nothing that could be relied on.
    Nothing,
    /// Those of the routes, but rules may have changed.
    Routes,
    /// All of them.
    All,
    /// They could not be read at this time.
    Failed(Instant),
}

impl RouteCache {
    /// A cache that knows nothing yet, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// What the kernel said when a netlink socket was opened.
    pub fn open() -> io::Result<RouteCache> {
        Ok(RouteCache {
            kernel: Kernel::open()?,
            v4: Classes::default(),
            v6: Classes::default(),
            read: Read::Nothing,
        })
    }

    /// What [`Kernel::route`] would answer.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn route(&mut self, key: &RouteKey) -> io::Result<Route> {
        if !shared(key) || !self.prefixes_are_known() {
            return self.kernel.route(key);
        }
        let kernel = &mut self.kernel;
        let ask = || kernel.route(key);
        match key.destination {
            IpAddr::V4(address) => self.v4.answer(address.to_bits(), ask),
            IpAddr::V6(address) => self.v6.answer(address.to_bits(), ask),
        }
    }

    /// Forgets what this news may have changed.
    pub fn news(&mut self, news: &KernelNews) {
        match news {
            KernelNews::UnicastRoutes { prefix: Some((network, length)) } => {
                add(&mut self.v4, &mut self.v6, *network, *length);
                match network {
                    IpAddr::V4(network) => self.v4.forget(network.to_bits(), *length),
                    IpAddr::V6(network) => self.v6.forget(network.to_bits(), *length),
                }
            }
            KernelNews::UnicastRoutes { prefix: None } => {
                self.v4.answers.clear();
                self.v6.answers.clear();
                if self.read == Read::All {
                    self.read = Read::Routes;
                }
            }
            KernelNews::Resync => {
                self.v4 = Classes::default();
                self.v6 = Classes::default();
                self.read = Read::Nothing;
            }
            KernelNews::Interface(_)
            | KernelNews::InterfaceGone { .. }
            | KernelNews::MulticastRoute { .. } => {}
        }
    }

    /// Whether the prefixes of all routes and rules are there; reads what is missing.
    fn prefixes_are_known(&mut self) -> bool {
        let read = match self.read {
            Read::All => return true,
            Read::Failed(when) if when.elapsed() < PAUSE => return false,
            Read::Routes => self.read_prefixes(Kernel::rule_prefixes),
            Read::Nothing | Read::Failed(_) => self
                .read_prefixes(Kernel::route_prefixes)
                .and_then(|()| self.read_prefixes(Kernel::rule_prefixes)),
        };
        self.read = match read {
            Ok(()) => Read::All,
            Err(error) => {
                tracing::warn!(%error, "cannot read the routes; each destination is asked about");
                Read::Failed(Instant::now())
            }
        };
        self.read == Read::All
    }

    fn read_prefixes(
        &mut self,
        read: impl Fn(&mut Kernel, &mut dyn FnMut(IpAddr, u8)) -> io::Result<Outcome>,
    ) -> io::Result<()> {
        let Self { kernel, v4, v6, .. } = self;
        for _ in 0..READS {
            let outcome = read(kernel, &mut |network, length| add(v4, v6, network, length))?;
            if outcome == Outcome::Whole {
                return Ok(());
            }
        }
        Err(io::Error::other("they change faster than they can be read"))
    }
}

fn add(v4: &mut Classes<u32>, v6: &mut Classes<u128>, network: IpAddr, length: u8) {
    match network {
        IpAddr::V4(network) => v4.add(network.to_bits(), length),
        IpAddr::V6(network) => v6.add(network.to_bits(), length),
    }
}

/// Whether the answer depends on nothing but the prefixes around the destination. Flows have more,
/// groups are other tables', and some addresses the kernel knows by heart.
fn shared(key: &RouteKey) -> bool {
    let plain = match key.destination {
        IpAddr::V4(address) => !address.is_broadcast() && !address.is_unspecified(),
        IpAddr::V6(address) => !address.is_unspecified() && !address.is_unicast_link_local(),
    };
    plain && key.source.is_none() && key.transport.is_none() && !key.destination.is_multicast()
}

/// An address as a number.
trait Bits: Copy + Ord + Hash {
    /// The first and the last address of the prefix of this length around it.
    fn span(self, length: u8) -> (Self, Self);
}

impl Bits for u32 {
    fn span(self, length: u8) -> (u32, u32) {
        let host = u32::MAX.checked_shr(u32::from(length)).unwrap_or(0);
        (self & !host, self | host)
    }
}

impl Bits for u128 {
    fn span(self, length: u8) -> (u128, u128) {
        let host = u128::MAX.checked_shr(u32::from(length)).unwrap_or(0);
        (self & !host, self | host)
    }
}

/// The prefixes of one family, and the answers for those that were asked about.
#[derive(Debug)]
struct Classes<A> {
    /// First addresses, by the lengths that there are, longest first.
    lengths: Vec<(u8, AHashSet<A>)>,
    /// By first address and length.
    answers: BTreeMap<(A, u8), Route>,
}

impl<A> Default for Classes<A> {
    fn default() -> Self {
        Classes { lengths: Vec::new(), answers: BTreeMap::new() }
    }
}

impl<A: Bits> Classes<A> {
    fn add(&mut self, network: A, length: u8) {
        let (first, _) = network.span(length);
        match self.lengths.binary_search_by(|(other, _)| length.cmp(other)) {
            Ok(place) => {
                if let Some((_, networks)) = self.lengths.get_mut(place) {
                    networks.insert(first);
                }
            }
            Err(place) => {
                let mut networks = AHashSet::with_hasher(RandomState::new());
                networks.insert(first);
                self.lengths.insert(place, (length, networks));
            }
        }
    }

    /// The longest prefix around an address; without any, that of all addresses.
    fn class(&self, address: A) -> (A, u8) {
        let around = self.lengths.iter().find_map(|(length, networks)| {
            let (first, _) = address.span(*length);
            networks.contains(&first).then_some((first, *length))
        });
        around.unwrap_or_else(|| (address.span(0).0, 0))
    }

    fn answer(&mut self, address: A, ask: impl FnOnce() -> io::Result<Route>) -> io::Result<Route> {
        let class = self.class(address);
        if let Some(known) = self.answers.get(&class) {
            return Ok(known.clone());
        }
        let answer = ask()?;
        self.answers.insert(class, answer.clone());
        Ok(answer)
    }

    /// Forgets the answers within a prefix, and those around it: the kernel is ahead of its news,
    /// and may have answered by this prefix what was asked for a larger one.
    fn forget(&mut self, network: A, length: u8) {
        let (first, last) = network.span(length);
        let within = (first, length)..=(last, u8::MAX);
        let gone: Vec<_> = self.answers.range(within).map(|(class, _)| *class).collect();
        for class in gone {
            self.answers.remove(&class);
        }
        let shorter = self.lengths.iter().map(|(other, _)| *other).filter(|other| *other < length);
        for around in shorter.chain([0]) {
            self.answers.remove(&(network.span(around).0, around));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A table: the longest prefix around an address decides.
    fn look_up(table: &[(u32, u8)], address: u32) -> Route {
        let around = table.iter().filter(|(network, length)| {
            let (first, last) = network.span(*length);
            (first..=last).contains(&address)
        });
        around.max_by_key(|(_, length)| *length).map_or(Route::Unreachable, |(network, length)| {
            let interface = network.span(*length).0 ^ u32::from(*length);
            Route::Unicast { interface, gateway: None }
        })
    }

    fn networks() -> impl Strategy<Value = Vec<(u32, u8)>> {
        // Few bits, so that prefixes nest and addresses meet them.
        let prefix = (0..64_u32, 0..=6_u8).prop_map(|(bits, length)| (bits << 26, length));
        proptest::collection::vec(prefix, 0..20)
    }

    proptest! {
        #[test]
        fn a_cache_that_hears_all_news_answers_as_the_table_does(
            start in networks(),
            changes in proptest::collection::vec((networks(), 0..64_u32), 0..8),
        ) {
            let mut table = start;
            let mut classes = Classes::default();
            for (network, length) in &table {
                classes.add(*network, *length);
            }
            for (toggled, address) in changes {
                for (network, length) in &toggled {
                    let same = |other: &(u32, u8)| {
                        other.1 == *length && other.0.span(*length) == network.span(*length)
                    };
                    if table.iter().any(same) {
                        table.retain(|other| !same(other));
                    } else {
                        table.push((*network, *length));
                    }
                }
                let addresses = [address << 26, 0, u32::MAX, 33 << 26, 7 << 26];
                // The kernel is asked when it knows already, and its news is not read yet.
                for address in addresses {
                    classes.answer(address, || Ok(look_up(&table, address))).unwrap();
                }
                for (network, length) in toggled {
                    classes.add(network, length);
                    classes.forget(network, length);
                }
                for address in (0..64).map(|bits| bits << 26).chain(addresses) {
                    let expected = look_up(&table, address);
                    let answer = classes.answer(address, || Ok(expected.clone())).unwrap();
                    prop_assert_eq!(answer, expected);
                }
            }
        }
    }

    #[test]
    fn destinations_that_no_prefix_tells_apart_are_asked_about_once() {
        let mut classes = Classes::<u128>::default();
        classes.add(0x2001_0db8 << 96, 32);
        classes.add(0x2001_0db8_0001 << 80, 48);
        let mut asked = 0;
        for host in [1_u128, 2, 3, 1 << 80 | 7, 1 << 80 | 9] {
            let address = 0x2001_0db8 << 96 | host;
            classes
                .answer(address, || {
                    asked += 1;
                    Ok(Route::Local)
                })
                .unwrap();
        }
        assert_eq!(asked, 2);
    }
}
