//! What the monitor says when something changes.

use std::net::Ipv4Addr;

use nix::poll::PollFlags;

use super::netns::{
    add_address, delete_address, delete_link, delete_route, isolated, set_mtu, set_up,
};
use super::{Line, To, add_route, await_ready, eventually, ip};
use crate::io::{Kernel, Monitor, MulticastRouter};
use crate::kernel::{Interface, KernelNews, Route, RouteKey};

/// Reads until some news has been seen, and returns all that was read.
fn read_until(monitor: &mut Monitor, seen: impl Fn(&[KernelNews]) -> bool) -> Vec<KernelNews> {
    let mut news = Vec::new();
    while !seen(&news) {
        await_ready(monitor, PollFlags::POLLIN);
        monitor.read_news(&mut news).unwrap();
    }
    news
}

/// The last that was said of an interface.
fn last(news: &[KernelNews], wanted: u32) -> Option<&Interface> {
    news.iter().rev().find_map(|item| match item {
        KernelNews::Interface(interface) if interface.index == wanted => Some(interface),
        _ => None,
    })
}

fn says_routes(news: &[KernelNews], prefix: &str, bits: u8) -> bool {
    news.contains(&KernelNews::UnicastRoutes { prefix: Some((ip(prefix), bits)) })
}

fn says_all_routes(news: &[KernelNews]) -> bool {
    news.contains(&KernelNews::UnicastRoutes { prefix: None })
}

/// A monitor of the router that has nothing left to say about the set-up.
fn quiet_monitor(line: &Line) -> Monitor {
    let mut monitor = line.router.enter(|| Monitor::open().unwrap());
    eventually("links of the set-up to be up", || {
        monitor.read_news(&mut Vec::new()).unwrap();
        let up = |index| monitor.interfaces().any(|known| known.index == index && known.up);
        (up(line.west) && up(line.east)).then_some(())
    });
    monitor
}

#[test]
fn a_link_that_goes_down_is_told_with_its_routes() {
    isolated(|| {
        let line = Line::new();
        let mut monitor = quiet_monitor(&line);
        let mut kernel = line.router.enter(|| Kernel::open().unwrap());
        let key =
            RouteKey { destination: ip("10.2.0.2"), source: None, incoming: 0, transport: None };
        assert!(matches!(kernel.route(&key).unwrap(), Route::Unicast { .. }));

        line.router.enter(|| set_up("r1", false));
        let news = read_until(&mut monitor, |news| {
            last(news, line.east).is_some_and(|interface| !interface.up) && says_all_routes(news)
        });
        let interface = last(&news, line.east).unwrap();
        assert_eq!(interface.name, "r1");
        assert!(interface.addresses.contains(&(ip("10.2.0.1"), 24)), "{interface:?}");
        assert_eq!(kernel.route(&key).unwrap(), Route::Unreachable);

        line.router.enter(|| set_up("r1", true));
        read_until(&mut monitor, |news| {
            last(news, line.east).is_some_and(|interface| interface.up) && says_all_routes(news)
        });
        assert!(monitor.interfaces().any(|known| known.index == line.east && known.up));
    });
}

#[test]
fn a_link_whose_other_end_goes_down_loses_its_carrier() {
    isolated(|| {
        let line = Line::new();
        let mut monitor = quiet_monitor(&line);
        line.destination.enter(|| set_up("d0", false));
        read_until(&mut monitor, |news| {
            last(news, line.east).is_some_and(|interface| !interface.up) && says_all_routes(news)
        });
    });
}

#[test]
fn a_link_that_vanishes_is_told() {
    isolated(|| {
        let line = Line::new();
        let mut monitor = quiet_monitor(&line);
        line.router.enter(|| delete_link("r1"));
        let gone = KernelNews::InterfaceGone { index: line.east };
        let news = read_until(&mut monitor, |news| news.contains(&gone) && says_all_routes(news));
        let place = news.iter().position(|item| *item == gone).unwrap();
        assert!(last(&news[place..], line.east).is_none(), "{news:?}");
        assert!(monitor.interfaces().all(|known| known.index != line.east));
    });
}

#[test]
fn addresses_and_mtu_are_told() {
    isolated(|| {
        let line = Line::new();
        let mut monitor = quiet_monitor(&line);
        for address in ["10.77.0.1/24", "2001:db8:77::1/64"] {
            let (plain, bits) = address.split_once('/').unwrap();
            let pair = (ip(plain), bits.parse().unwrap());
            let has = |news: &[KernelNews]| {
                last(news, line.east).map(|interface| interface.addresses.contains(&pair))
            };
            line.router.enter(|| add_address("r1", address));
            read_until(&mut monitor, |news| has(news) == Some(true));
            line.router.enter(|| delete_address("r1", address));
            read_until(&mut monitor, |news| has(news) == Some(false));
        }
        line.router.enter(|| set_mtu("r1", 1400));
        read_until(&mut monitor, |news| {
            last(news, line.east).is_some_and(|interface| interface.mtu == 1400)
        });
    });
}

#[test]
fn routes_are_told_by_prefix() {
    isolated(|| {
        let line = Line::new();
        let mut monitor = quiet_monitor(&line);
        line.router.enter(|| add_address("r1", "2001:db8:2::1/64"));
        for (prefix, via) in [
            ("198.51.100.0/24", "10.2.0.2"),
            ("0.0.0.0/0", "10.2.0.2"),
            ("2001:db8:99::/48", "2001:db8:2::2"),
            ("::/0", "2001:db8:2::2"),
        ] {
            let (address, bits) = prefix.split_once('/').unwrap();
            let bits = bits.parse().unwrap();
            line.router.enter(|| add_route(prefix, &To::Via(via)));
            read_until(&mut monitor, |news| says_routes(news, address, bits));
            line.router.enter(|| delete_route(prefix, &To::Via(via)));
            read_until(&mut monitor, |news| says_routes(news, address, bits));
        }
    });
}

#[test]
fn multicast_entries_are_told() {
    isolated(|| {
        let line = Line::new();
        let mut monitor = quiet_monitor(&line);
        let (source, group) = (Ipv4Addr::new(10, 1, 0, 2), Ipv4Addr::new(239, 1, 2, 3));
        let told = KernelNews::MulticastRoute { source: source.into(), group: group.into() };
        let mut router = line.router.enter(|| MulticastRouter::open().unwrap());
        for outgoing in [vec![], vec![line.east]] {
            router.add_route(source, group, line.west, &outgoing).unwrap();
            read_until(&mut monitor, |news| news.contains(&told));
        }
        router.delete_route(source, group).unwrap();
        read_until(&mut monitor, |news| news.contains(&told));
        // The tree of a daemon that dies goes with it.
        router.add_route(source, group, line.west, &[line.east]).unwrap();
        read_until(&mut monitor, |news| news.contains(&told));
        drop(router);
        read_until(&mut monitor, |news| news.contains(&told));
    });
}

#[test]
fn lost_news_ends_in_a_resync_with_all_interfaces() {
    isolated(|| {
        let line = Line::new();
        let mut monitor = line.router.enter(|| Monitor::with_buffer(4096).unwrap());
        line.router.enter(|| {
            for octet in 0..100 {
                add_route(&format!("198.51.{octet}.0/24"), &To::Via("10.2.0.2"));
            }
            delete_link("r0");
            add_address("r1", "10.77.0.1/24");
        });
        let news = read_until(&mut monitor, |news| news.contains(&KernelNews::Resync));
        assert!(news.contains(&KernelNews::InterfaceGone { index: line.west }), "{news:?}");
        let place = news.iter().position(|item| *item == KernelNews::Resync).unwrap();
        let east = last(&news[place..], line.east).unwrap();
        assert!(east.addresses.contains(&(ip("10.77.0.1"), 24)));
        let kernel = line.router.enter(|| Kernel::open().unwrap().interfaces().unwrap());
        assert!(monitor.interfaces().eq(&kernel));
        // And then it goes on as usual.
        line.router.enter(|| delete_address("r1", "10.77.0.1/24"));
        read_until(&mut monitor, |news| last(news, line.east).is_some());
    });
}

#[test]
fn nothing_new_is_no_error_and_no_news() {
    isolated(|| {
        let line = Line::new();
        let mut monitor = quiet_monitor(&line);
        line.router.enter(|| {
            // Known already, so that it says nothing.
            set_up("r1", true);
        });
        let mut news = Vec::new();
        monitor.read_news(&mut news).unwrap();
        assert!(last(&news, line.east).is_none(), "{news:?}");
    });
}
