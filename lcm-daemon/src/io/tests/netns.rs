//! Namespaces, links, addresses and routes for the tests, made by netlink.
//!
//! Everything a test makes hangs on file descriptors, so the kernel removes it with the last one.

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;

use nix::sched::{CloneFlags, setns, unshare};

use super::eventually;
use crate::io::netlink::Kernel;
use crate::io::rtnetlink::{Request, octets};

const RTM_SETLINK: u16 = 19;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;

/// Runs a test body on a thread of its own, whose namespace may change, and passes a panic on.
pub(super) fn isolated(body: impl FnOnce() + Send + 'static) {
    let result = std::thread::spawn(body).join();
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

/// A network namespace.
pub(super) struct Namespace {
    file: File,
}

impl Namespace {
    /// A fresh one with the loopback interface up; the calling thread is in it afterwards.
    pub(super) fn new() -> Namespace {
        unshare(CloneFlags::CLONE_NEWNET).unwrap_or_else(|error| {
            panic!(
                "cannot make a network namespace: {error}; run the tests as root or inside \
                 `unshare -Urn`"
            )
        });
        let namespace = Namespace { file: File::open("/proc/thread-self/ns/net").unwrap() };
        set_up("lo", true);
        for name in ["all", "default"] {
            sysctl(&format!("ipv4/conf/{name}/rp_filter"), "0");
        }
        namespace
    }

    /// Moves the calling thread into it and runs something there.
    pub(super) fn enter<T>(&self, body: impl FnOnce() -> T) -> T {
        setns(&self.file, CloneFlags::CLONE_NEWNET).unwrap();
        body()
    }

    /// Joins this namespace to another by a pair of interfaces, each with an address, both up.
    pub(super) fn link(&self, near: (&str, &str), other: &Namespace, far: (&str, &str)) {
        self.enter(|| {
            add_veth(near.0, far.0, &other.file).unwrap();
            set_up(near.0, true);
            add_address(near.0, near.1);
        });
        other.enter(|| {
            set_up(far.0, true);
            add_address(far.0, far.1);
        });
        for (namespace, name) in [(self, near.0), (other, far.0)] {
            namespace.enter(|| eventually("a new link to be up", || is_up(name).then_some(())));
        }
    }
}

/// Writes a file under `/proc/sys/net` of the calling thread's namespace.
pub(super) fn sysctl(name: &str, value: &str) {
    let path = format!("/proc/sys/net/{name}");
    std::fs::write(&path, value).unwrap_or_else(|error| panic!("cannot write {path}: {error}"));
}

/// The index of an interface.
pub(super) fn index(name: &str) -> u32 {
    let interfaces = Kernel::open().unwrap().interfaces().unwrap();
    let found = interfaces.iter().find(|interface| interface.name == name);
    found.unwrap_or_else(|| panic!("no interface {name} among {interfaces:?}")).index
}

fn is_up(name: &str) -> bool {
    let interfaces = Kernel::open().unwrap().interfaces().unwrap();
    interfaces.iter().any(|interface| interface.name == name && interface.up)
}

fn order(kind: u16, flags: i32, header: &[u8], attributes: &[(u16, Vec<u8>)]) -> io::Result<()> {
    let request = |sequence| {
        let mut request = Request::new(kind, flags | libc::NLM_F_ACK, sequence, header);
        for (kind, data) in attributes {
            request.attribute(*kind, data);
        }
        request
    };
    Kernel::open()?.ask(request, |_| {}).map(|_| ())
}

fn nest(attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, data) in attributes {
        bytes.extend_from_slice(&(u16::try_from(data.len()).unwrap() + 4).to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(data);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

fn zero_terminated(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}

fn link_header(index: u32, flags: u32, change: u32) -> Vec<u8> {
    let mut header = vec![0; 4];
    for field in [index, flags, change] {
        header.extend_from_slice(&field.to_ne_bytes());
    }
    header
}

fn add_veth(near: &str, far: &str, namespace: &File) -> io::Result<()> {
    let mut peer = link_header(0, 0, 0);
    peer.extend(nest(&[
        (IFLA_IFNAME, zero_terminated(far)),
        (IFLA_NET_NS_FD, namespace.as_raw_fd().to_ne_bytes().to_vec()),
    ]));
    let info = nest(&[
        (IFLA_INFO_KIND, b"veth".to_vec()),
        (IFLA_INFO_DATA, nest(&[(VETH_INFO_PEER, peer)])),
    ]);
    let attributes = [(IFLA_IFNAME, zero_terminated(near)), (IFLA_LINKINFO, info)];
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    order(libc::RTM_NEWLINK, flags, &link_header(0, 0, 0), &attributes)
}

/// Sets an interface up or down.
pub(super) fn set_up(name: &str, up: bool) {
    let bit = libc::IFF_UP.cast_unsigned();
    let header = link_header(0, if up { bit } else { 0 }, bit);
    order(RTM_SETLINK, 0, &header, &[(IFLA_IFNAME, zero_terminated(name))]).unwrap();
}

/// Sets an interface's MTU.
pub(super) fn set_mtu(name: &str, mtu: u32) {
    let attributes = [(IFLA_IFNAME, zero_terminated(name)), (IFLA_MTU, mtu.to_ne_bytes().to_vec())];
    order(RTM_SETLINK, 0, &link_header(0, 0, 0), &attributes).unwrap();
}

/// Deletes an interface, and with it its peer.
pub(super) fn delete_link(name: &str) {
    let attributes = [(IFLA_IFNAME, zero_terminated(name))];
    order(libc::RTM_DELLINK, 0, &link_header(0, 0, 0), &attributes).unwrap();
}

fn split(prefix: &str) -> (IpAddr, u8) {
    let (address, bits) = prefix.split_once('/').unwrap();
    (address.parse().unwrap(), bits.parse().unwrap())
}

fn family(address: &IpAddr) -> u8 {
    u8::try_from(if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }).unwrap()
}

fn address_order(kind: u16, flags: i32, name: &str, prefix: &str) {
    let (address, bits) = split(prefix);
    // An IPv6 address is to be usable at once, without duplicate address detection.
    let nodad = if address.is_ipv6() { u8::try_from(libc::IFA_F_NODAD).unwrap() } else { 0 };
    let mut header = vec![family(&address), bits, nodad, 0];
    header.extend_from_slice(&index(name).to_ne_bytes());
    let attributes = [(libc::IFA_LOCAL, octets(&address)), (libc::IFA_ADDRESS, octets(&address))];
    order(kind, flags, &header, &attributes).unwrap();
}

/// Gives an interface an address, such as `10.0.0.1/24`.
pub(super) fn add_address(name: &str, prefix: &str) {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    address_order(libc::RTM_NEWADDR, flags, name, prefix);
}

/// Takes an address away.
pub(super) fn delete_address(name: &str, prefix: &str) {
    address_order(libc::RTM_DELADDR, 0, name, prefix);
}

/// Where a route leads.
pub(super) enum To<'t> {
    /// A gateway.
    Via(&'t str),
    /// Several gateways of the same rank.
    AnyOf([&'t str; 2]),
    /// An interface.
    Dev(&'t str),
    /// Nowhere: `RTN_BLACKHOLE` and its kin.
    Kind(u8),
}

fn route_order(kind: u16, flags: i32, table: u8, prefix: &str, to: &To<'_>) {
    let (address, bits) = split(prefix);
    let (route_kind, attribute) = match to {
        To::Via(gateway) => {
            (libc::RTN_UNICAST, Some((libc::RTA_GATEWAY, octets(&gateway.parse().unwrap()))))
        }
        To::AnyOf(gateways) => {
            let hops = gateways.iter().flat_map(|gateway| next_hop(&gateway.parse().unwrap()));
            (libc::RTN_UNICAST, Some((libc::RTA_MULTIPATH, hops.collect())))
        }
        To::Dev(name) => {
            (libc::RTN_UNICAST, Some((libc::RTA_OIF, index(name).to_ne_bytes().to_vec())))
        }
        To::Kind(kind) => (*kind, None),
    };
    let protocol = libc::RTPROT_STATIC;
    let scope = if matches!(to, To::Dev(_)) { libc::RT_SCOPE_LINK } else { 0 };
    let header = [family(&address), bits, 0, 0, table, protocol, scope, route_kind, 0, 0, 0, 0];
    let mut attributes = vec![(libc::RTA_DST, octets(&address))];
    attributes.extend(attribute);
    order(kind, flags, &header, &attributes).unwrap();
}

/// A next hop of several: `struct rtnexthop` without an interface, and its gateway.
fn next_hop(gateway: &IpAddr) -> Vec<u8> {
    let gateway = octets(gateway);
    let attribute = u16::try_from(4 + gateway.len()).unwrap();
    let mut hop = Vec::new();
    hop.extend((8 + attribute).to_ne_bytes());
    hop.extend([0; 6]);
    hop.extend(attribute.to_ne_bytes());
    hop.extend(libc::RTA_GATEWAY.to_ne_bytes());
    hop.extend(gateway);
    hop
}

/// Adds a route.
pub(super) fn add_route(prefix: &str, to: &To<'_>) {
    add_route_to(libc::RT_TABLE_MAIN, prefix, to);
}

/// Adds a route to one of the tables.
pub(super) fn add_route_to(table: u8, prefix: &str, to: &To<'_>) {
    route_order(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_EXCL, table, prefix, to);
}

/// Makes a table the first to be asked about destinations within a prefix.
pub(super) fn add_rule(prefix: &str, table: u8) {
    rule_order(libc::RTM_NEWRULE, libc::NLM_F_CREATE | libc::NLM_F_EXCL, prefix, table);
}

/// Takes back what [`add_rule`] did.
pub(super) fn delete_rule(prefix: &str, table: u8) {
    rule_order(libc::RTM_DELRULE, 0, prefix, table);
}

/// `struct fib_rule_hdr` and `FRA_DST` of linux/fib_rules.h.
fn rule_order(kind: u16, flags: i32, prefix: &str, table: u8) {
    const FR_ACT_TO_TBL: u8 = 1;
    const FRA_DST: u16 = 1;
    let (address, bits) = split(prefix);
    let header = [family(&address), bits, 0, 0, table, 0, 0, FR_ACT_TO_TBL, 0, 0, 0, 0];
    order(kind, flags, &header, &[(FRA_DST, octets(&address))]).unwrap();
}

/// Deletes a route.
pub(super) fn delete_route(prefix: &str, to: &To<'_>) {
    route_order(libc::RTM_DELROUTE, 0, libc::RT_TABLE_MAIN, prefix, to);
}
