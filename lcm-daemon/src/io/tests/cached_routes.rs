//! The cache of routes, beside the kernel that it spares.

use std::time::Instant;

use super::netns::{
    add_address, add_route_to, add_rule, delete_address, delete_route, delete_rule, isolated,
    set_up, sysctl,
};
use super::{Line, PATIENCE, To, add_route, ip};
use crate::io::{Kernel, Monitor, RouteCache};
use crate::kernel::{KernelNews, Route, RouteKey};

const OTHER_TABLE: u8 = 77;

/// At the edges of all prefixes that are used below, and within them.
const DESTINATIONS: [&str; 26] = [
    "10.1.0.1",
    "10.1.0.2",
    "10.1.0.255",
    "10.2.0.1",
    "10.2.0.2",
    "10.2.0.77",
    "10.3.0.1",
    "10.3.0.2",
    "10.3.0.255",
    "127.0.0.1",
    "192.0.2.1",
    "198.51.99.255",
    "198.51.100.0",
    "198.51.100.7",
    "198.51.100.127",
    "198.51.100.128",
    "198.51.100.200",
    "198.51.101.1",
    "203.0.113.9",
    "239.1.2.3",
    "255.255.255.255",
    "2001:db8:2::1",
    "2001:db8:2::2",
    "2001:db8:9::1",
    "2001:db8:9:8::1",
    "fe80::1",
];

/// What changes, and the change.
type Change = (&'static str, fn());

/// Each is made while the answers from before it are in the cache.
const CHANGES: [Change; 22] = [
    ("a route", || add_route("198.51.100.0/24", &To::Via("10.2.0.2"))),
    ("one within it", || add_route("198.51.100.128/25", &To::Via("10.1.0.2"))),
    ("one around both", || add_route("198.51.0.0/16", &To::Via("10.2.0.7"))),
    ("a host's", || add_route("198.51.100.7/32", &To::Kind(libc::RTN_BLACKHOLE))),
    ("a default", || add_route("0.0.0.0/0", &To::Via("10.1.0.2"))),
    ("a rule to an empty table", || add_rule("198.51.100.0/26", OTHER_TABLE)),
    ("a route in that table", || {
        add_route_to(OTHER_TABLE, "198.51.0.0/17", &To::Via("10.2.0.9"));
    }),
    ("one that gives up", || {
        add_route_to(OTHER_TABLE, "198.51.100.0/29", &To::Kind(libc::RTN_THROW));
    }),
    ("no rule", || delete_rule("198.51.100.0/26", OTHER_TABLE)),
    ("no host's route", || {
        delete_route("198.51.100.7/32", &To::Kind(libc::RTN_BLACKHOLE));
    }),
    ("an address", || add_address("r1", "10.3.0.1/24")),
    ("no address", || delete_address("r1", "10.3.0.1/24")),
    ("an IPv6 address", || add_address("r1", "2001:db8:2::1/64")),
    ("an IPv6 route", || add_route("2001:db8:9::/48", &To::Via("2001:db8:2::2"))),
    ("an IPv6 route within it", || {
        add_route("2001:db8:9:8::/64", &To::Kind(libc::RTN_UNREACHABLE));
    }),
    ("several paths", || {
        add_route("203.0.113.0/24", &To::AnyOf(["10.1.0.2", "10.2.0.2"]));
    }),
    ("no IPv6 route", || delete_route("2001:db8:9::/48", &To::Via("2001:db8:2::2"))),
    ("no default", || delete_route("0.0.0.0/0", &To::Via("10.1.0.2"))),
    ("a link down", || set_up("r1", false)),
    ("a route where the link's were", || add_route("198.51.100.0/24", &To::Via("10.1.0.2"))),
    ("the link up", || set_up("r1", true)),
    ("no route within", || delete_route("198.51.100.128/25", &To::Via("10.1.0.2"))),
];

fn unicast(destination: &str) -> RouteKey {
    RouteKey { destination: ip(destination), source: None, incoming: 0, transport: None }
}

#[test]
fn the_cache_answers_as_the_kernel_does_whatever_changes() {
    isolated(|| {
        let line = Line::new();
        line.router.enter(|| {
            sysctl("ipv6/conf/all/forwarding", "1");
            let mut monitor = Monitor::open().unwrap();
            let mut kernel = Kernel::open().unwrap();
            let mut cache = RouteCache::open().unwrap();
            let mut heard = Vec::new();
            let mut agree = |what: &str| {
                let start = Instant::now();
                loop {
                    let mut news = Vec::new();
                    monitor.read_news(&mut news).unwrap();
                    news.iter().for_each(|item| cache.news(item));
                    heard.extend(news);
                    let differing: Vec<_> = DESTINATIONS
                        .iter()
                        .map(|destination| {
                            let key = unicast(destination);
                            (destination, cache.route(&key).unwrap(), kernel.route(&key).unwrap())
                        })
                        .filter(|(_, cached, asked)| cached != asked)
                        .collect();
                    if differing.is_empty() {
                        break;
                    }
                    assert!(start.elapsed() < PATIENCE, "{what}: {differing:?} after {heard:?}");
                    std::thread::yield_now();
                }
            };
            agree("at the start");
            for (what, change) in CHANGES {
                change();
                agree(what);
            }
        });
    });
}

#[test]
fn the_kernel_is_asked_once_for_what_it_cannot_tell_apart() {
    isolated(|| {
        let line = Line::new();
        line.router.enter(|| {
            add_route("198.51.100.0/24", &To::Via("10.2.0.2"));
            let mut cache = RouteCache::open().unwrap();
            let first = cache.route(&unicast("198.51.100.1")).unwrap();
            assert!(matches!(first, Route::Unicast { .. }));
            // The news of this is kept from it, so that a question would show.
            delete_route("198.51.100.0/24", &To::Via("10.2.0.2"));
            assert_eq!(cache.route(&unicast("198.51.100.2")).unwrap(), first);
            cache.news(&KernelNews::UnicastRoutes { prefix: Some((ip("198.51.100.0"), 24)) });
            assert_eq!(cache.route(&unicast("198.51.100.2")).unwrap(), Route::Unreachable);
            assert_eq!(cache.route(&unicast("198.51.100.1")).unwrap(), Route::Unreachable);
        });
    });
}
