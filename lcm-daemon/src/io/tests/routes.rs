//! The kernel's tables as `Kernel` reads them.

use std::net::Ipv4Addr;

use super::netns::{add_address, index, isolated, set_up, sysctl};
use super::{Line, To, add_route, eventually, ip};
use crate::io::netlink::Kernel;
use crate::io::{MulticastRouter, MulticastRouter6};
use crate::kernel::{Route, RouteKey, Transport};

fn unicast(destination: &str) -> RouteKey {
    RouteKey { destination: ip(destination), source: None, incoming: 0, transport: None }
}

fn flow(source: &str, group: &str) -> RouteKey {
    RouteKey { destination: ip(group), source: Some(ip(source)), incoming: 0, transport: None }
}

#[test]
fn unicast_routes_over_ipv4() {
    isolated(|| {
        let line = Line::new();
        line.router.enter(|| {
            add_route("198.51.100.0/24", &To::Via("10.2.0.2"));
            add_route("203.0.113.0/28", &To::Kind(libc::RTN_BLACKHOLE));
            add_route("203.0.113.16/28", &To::Kind(libc::RTN_PROHIBIT));
            add_route("203.0.113.32/28", &To::Kind(libc::RTN_UNREACHABLE));
            add_route("203.0.113.48/28", &To::Kind(libc::RTN_THROW));
            add_route("239.7.0.0/16", &To::Dev("r1"));
            let mut kernel = Kernel::open().unwrap();
            let mut route = |destination| kernel.route(&unicast(destination)).unwrap();
            let east = |gateway: Option<&str>| Route::Unicast {
                interface: line.east,
                gateway: gateway.map(ip),
            };
            assert_eq!(route("10.2.0.2"), east(None));
            assert_eq!(route("198.51.100.9"), east(Some("10.2.0.2")));
            assert_eq!(route("239.7.1.1"), east(None));
            for local in ["10.1.0.1", "10.2.0.1", "127.0.0.1"] {
                assert_eq!(route(local), Route::Local, "{local}");
            }
            for none in [
                "192.0.2.1",
                "203.0.113.1",
                "203.0.113.17",
                "203.0.113.33",
                "203.0.113.49",
                "10.2.0.255",
                "239.8.1.1",
            ] {
                assert_eq!(route(none), Route::Unreachable, "{none}");
            }
            // A source does not make a unicast flow a multicast one.
            assert_eq!(kernel.route(&flow("10.1.0.2", "10.2.0.2")).unwrap(), east(None));
        });
    });
}

/// Where the kernel sends a flow of many paths is tested in `tests/tests/router/ecmp.rs`, by what it
/// does with packets.
#[test]
fn several_equal_routes_are_told_by_flow() {
    isolated(|| {
        let line = Line::new();
        line.router.enter(|| {
            add_route("198.51.100.0/24", &To::AnyOf(["10.1.0.2", "10.2.0.2"]));
            add_address("r1", "2001:db8:2::1/64");
            add_route("2001:db8:9::/48", &To::AnyOf(["2001:db8:2::2", "2001:db8:2::3"]));
            sysctl("ipv4/fib_multipath_hash_policy", "1");
            let mut kernel = Kernel::open().unwrap();
            assert_eq!(kernel.route(&unicast("198.51.100.9")).unwrap(), Route::PerFlow);
            assert_eq!(kernel.route(&unicast("2001:db8:9::9")).unwrap(), Route::PerFlow);
            let mut over = |source_port: u16, incoming, source| {
                let protocol = u8::try_from(libc::IPPROTO_UDP).unwrap();
                let transport = Transport { protocol, source_port, destination_port: 5000 };
                let key = RouteKey {
                    source: Some(ip(source)),
                    incoming,
                    transport: Some(transport),
                    ..unicast("198.51.100.9")
                };
                match kernel.route(&key).unwrap() {
                    Route::Unicast { interface, gateway } => {
                        let east = interface == line.east;
                        let gateway_is = if east { "10.2.0.2" } else { "10.1.0.2" };
                        assert_eq!(gateway, Some(ip(gateway_is)));
                        interface
                    }
                    other => panic!("{other:?}"),
                }
            };
            // A source address of one of the two interfaces would settle it: kernels since 6.15
            // prefer the path that has it.
            for (incoming, source) in [(line.west, "10.1.0.7"), (0, "10.9.0.1")] {
                let mut first: Vec<u32> =
                    (0..64).map(|port| over(port, incoming, source)).collect();
                let again: Vec<u32> = (0..64).map(|port| over(port, incoming, source)).collect();
                assert_eq!(first, again, "a flow keeps its path");
                first.sort_unstable();
                first.dedup();
                assert_eq!(first.len(), 2, "64 flows from {source} take both paths");
            }
        });
    });
}

#[test]
fn unicast_routes_over_ipv6() {
    isolated(|| {
        let line = Line::new();
        line.router.enter(|| {
            add_address("r1", "2001:db8:2::1/64");
            add_route("2001:db8:9::/48", &To::Via("2001:db8:2::2"));
            add_route("2001:db8:a::/48", &To::Kind(libc::RTN_BLACKHOLE));
            add_route("2001:db8:b::/48", &To::Kind(libc::RTN_UNREACHABLE));
            let mut kernel = Kernel::open().unwrap();
            let mut route = |destination| kernel.route(&unicast(destination)).unwrap();
            let east = |gateway: Option<&str>| Route::Unicast {
                interface: line.east,
                gateway: gateway.map(ip),
            };
            // The kernel completes a new IPv6 address in the background.
            let mut local = || Some(route("2001:db8:2::1")).filter(|found| *found == Route::Local);
            eventually("the address to be local", &mut local);
            assert_eq!(route("2001:db8:2::2"), east(None));
            assert_eq!(route("2001:db8:9::9"), east(Some("2001:db8:2::2")));
            assert_eq!(route("::1"), Route::Local);
            for none in ["2001:db8:a::1", "2001:db8:b::1", "2001:db8:c::1"] {
                assert_eq!(route(none), Route::Unreachable, "{none}");
            }
        });
    });
}

#[test]
fn multicast_entries_over_ipv4_without_the_register_interface() {
    isolated(|| {
        let line = Line::new();
        line.router.enter(|| {
            let (source, group) = (Ipv4Addr::new(10, 1, 0, 2), Ipv4Addr::new(239, 1, 2, 3));
            let key = flow("10.1.0.2", "239.1.2.3");
            let pad = index("pad");
            let mut kernel = Kernel::open().unwrap();
            assert_eq!(kernel.route(&key).unwrap(), Route::Unreachable);
            let mut router = MulticastRouter::open().unwrap();
            assert_eq!(kernel.route(&key).unwrap(), Route::Unreachable);

            let entry = |outgoing: &[u32]| Route::Multicast {
                incoming: line.west,
                outgoing: outgoing.to_vec(),
            };
            // The kernel lists them in the order in which they were added to multicast routing.
            let pad2 = index("pad2");
            let mut all = vec![line.east, pad.min(pad2), pad.max(pad2)];
            router.add_route(source, group, line.west, &all).unwrap();
            assert!(!all.is_sorted() && !all.iter().rev().is_sorted());
            all.sort_unstable();
            assert_eq!(kernel.route(&key).unwrap(), entry(&all));
            router.add_route(source, group, line.west, &[line.east]).unwrap();
            assert_eq!(kernel.route(&key).unwrap(), entry(&[line.east]));
            assert_eq!(kernel.route(&flow("10.1.0.3", "239.1.2.3")).unwrap(), Route::Unreachable);
            assert_eq!(kernel.route(&flow("10.1.0.2", "239.1.2.4")).unwrap(), Route::Unreachable);
            router.add_route(source, group, line.west, &[]).unwrap();
            assert_eq!(kernel.route(&key).unwrap(), entry(&[]));

            let register = router.add_pim_register().unwrap();
            router.add_route(source, group, line.west, &[register, line.east]).unwrap();
            assert_eq!(kernel.route(&key).unwrap(), entry(&[line.east]));
            assert_eq!(Kernel::open().unwrap().route(&key).unwrap(), entry(&[line.east]));
            let names = kernel.interfaces().unwrap().into_iter().map(|interface| interface.name);
            assert_eq!(names.filter(|name| name.starts_with("pim")).count(), 0);

            router.delete_route(source, group).unwrap();
            assert_eq!(kernel.route(&key).unwrap(), Route::Unreachable);
            let error = router.delete_route(source, group).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        });
    });
}

#[test]
fn multicast_entries_over_ipv6() {
    isolated(|| {
        let line = Line::new();
        line.router.enter(|| {
            let key = flow("2001:db8:1::2", "ff0e::1234");
            let mut kernel = Kernel::open().unwrap();
            assert_eq!(kernel.route(&key).unwrap(), Route::Unreachable);
            let mut router = MulticastRouter6::open().unwrap();
            assert_eq!(kernel.route(&key).unwrap(), Route::Unreachable);
            let (source, group) = ("2001:db8:1::2".parse().unwrap(), "ff0e::1234".parse().unwrap());
            router.add_route(source, group, line.west, &[line.east]).unwrap();
            let entry = Route::Multicast { incoming: line.west, outgoing: vec![line.east] };
            assert_eq!(kernel.route(&key).unwrap(), entry);
            router.delete_route(source, group).unwrap();
            assert_eq!(kernel.route(&key).unwrap(), Route::Unreachable);
            let error = router.delete_route(source, group).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        });
    });
}

#[test]
fn interfaces_show_names_states_and_addresses_in_order() {
    isolated(|| {
        let line = Line::new();
        line.router.enter(|| {
            sysctl("ipv6/conf/all/disable_ipv6", "1");
            sysctl("ipv6/conf/r1/disable_ipv6", "0");
            add_address("r1", "10.2.0.9/24");
            add_address("r1", "10.3.0.1/30");
            add_address("r1", "2001:db8:2::1/64");
            set_up("pad2", false);
            // Administratively down, and without carrier since the other end is down.
            let mut kernel = Kernel::open().unwrap();
            let interfaces = eventually("both ends to be down", || {
                let interfaces = kernel.interfaces().unwrap();
                let down = |name: &str| {
                    interfaces.iter().any(|interface| interface.name == name && !interface.up)
                };
                (down("pad") && down("pad2")).then_some(interfaces)
            });
            assert!(interfaces.is_sorted_by_key(|interface| interface.index));
            let find = |name: &str| {
                interfaces.iter().find(|interface| interface.name == name).unwrap().clone()
            };
            let east = find("r1");
            assert_eq!(
                (east.index, east.up, east.mtu, east.loopback),
                (line.east, true, 1500, false)
            );
            let ipv4: Vec<_> = east.addresses.iter().filter(|(ip, _)| ip.is_ipv4()).collect();
            // 10.2.0.9 is secondary to 10.2.0.1.
            let expected = [(ip("10.2.0.1"), 24), (ip("10.3.0.1"), 30), (ip("10.2.0.9"), 24)];
            assert!(ipv4.into_iter().eq(&expected), "{:?}", east.addresses);
            assert!(east.addresses.contains(&(ip("2001:db8:2::1"), 64)));
            assert!(find("lo").loopback && find("lo").up);
        });
    });
}
