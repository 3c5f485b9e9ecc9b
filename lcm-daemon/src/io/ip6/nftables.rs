//! Rules of netfilter, for as long as their owner lives: a PATH that is not for this node, and its
//! kin, is dropped before it is routed, since the daemon has a copy and sends its own. What one RSVP
//! node sends to another one by address passes.
//!
//! In the words of nft(8):
//!
//! ```text
//! table ip6 lcm { flags owner; chain transit { type filter hook prerouting priority raw;
//!     meta l4proto 46 @th,8,8 TYPE fib daddr type != local counter drop } }
//! ```
//!
//! with a rule for each type of message that goes to the session's address or to whom a router
//! has to serve on its way. Of a fragmented message the first fragment is dropped, so that the others
//! come to nothing.
//!
//! Attribute numbers are those of linux/netfilter/nf_tables.h; all integers of nfnetlink are
//! big-endian, but what a rule compares is as the packet or the kernel has it.

use std::io;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use rsvp_wire::MessageType;

use super::super::rtnetlink::{Request, messages};
use super::INTERCEPTED;
use crate::io::ipv4::PROTOCOL_RSVP;

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const NEW_CHAIN: u16 = (SUBSYSTEM << 8) | 3;
const NEW_RULE: u16 = (SUBSYSTEM << 8) | 6;

const TABLE: &str = "lcm";
const CHAIN: &str = "transit";
/// `NFT_TABLE_F_OWNER`: goes when the socket that made it is closed.
const OWNER: u32 = 2;
/// `NF_IP6_PRI_RAW`: before connections are tracked.
const PRIORITY: i32 = -300;
const PREROUTING: u32 = 0;
const NESTED: u16 = 1 << 15;
const ANSWER_BYTES: usize = 8 << 10;

/// The rules; they stand until this is dropped.
#[derive(Debug)]
pub(super) struct Rules {
    _owner: Socket,
}

impl Rules {
    /// Puts the rules up in the network namespace of the calling thread.
    ///
    /// # Errors
    /// What the kernel said: without nf_tables, without `CAP_NET_ADMIN`, or while another daemon
    /// has its rules there.
    pub(super) fn put_up() -> io::Result<Rules> {
        put_up().map_err(|error| {
            let advice = match error.raw_os_error() {
                Some(libc::EEXIST | libc::EBUSY) => {
                    "; another lcm-daemon runs in this network namespace"
                }
                Some(libc::EPERM) => {
                    "; give the daemon CAP_NET_ADMIN, and look whether another one has it"
                }
                _ => "; the kernel needs nf_tables and its fib expression (CONFIG_NFT_FIB_IPV6)",
            };
            let what = "cannot make the netfilter table ip6 lcm, which holds PATHs in transit back";
            io::Error::new(error.kind(), format!("{what}: {error}{advice}"))
        })
    }
}

fn put_up() -> io::Result<Rules> {
    let mut owner = Socket::new(NETLINK_NETFILTER)?;
    owner.bind_auto()?;
    owner.set_non_blocking(true)?;
    let mut batch = Vec::new();
    let mut numbers = 1_u32..;
    let mut number = || numbers.next().unwrap_or_default();
    batch.extend(Request::new(BATCH_BEGIN, 0, number(), &header(0, SUBSYSTEM)).finish());
    let mut orders = 0;
    let rules = INTERCEPTED.map(|kind| rule(number(), kind));
    for order in [table(number()), chain(number())].into_iter().chain(rules) {
        batch.extend(order.finish());
        orders += 1;
    }
    batch.extend(Request::new(BATCH_END, 0, number(), &header(0, SUBSYSTEM)).finish());
    owner.send_to(&batch, &SocketAddr::new(0, 0), 0)?;
    // The kernel has answered when the call above returns, an acknowledgement for each order.
    let mut answer = Vec::with_capacity(ANSWER_BYTES);
    let mut acknowledged = 0;
    while acknowledged < orders {
        answer.clear();
        owner.recv(&mut answer, 0)?;
        for message in messages(&answer) {
            if i32::from(message.kind) != libc::NLMSG_ERROR {
                continue;
            }
            match message.error() {
                0 => acknowledged += 1,
                error => return Err(io::Error::from_raw_os_error(error)),
            }
        }
    }
    Ok(Rules { _owner: owner })
}

/// `struct nfgenmsg`.
fn header(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

fn order(kind: u16, number: u32) -> Request {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL | libc::NLM_F_ACK;
    Request::new(kind, flags, number, &header(libc::AF_INET6 as u8, 0))
}

fn table(number: u32) -> Request {
    let mut table = order(NEW_TABLE, number);
    table.attribute(1, &text(TABLE));
    table.attribute(2, &OWNER.to_be_bytes());
    table
}

fn chain(number: u32) -> Request {
    let mut chain = order(NEW_CHAIN, number);
    chain.attribute(1, &text(TABLE));
    chain.attribute(3, &text(CHAIN));
    let hook = [attribute(1, &PREROUTING.to_be_bytes()), attribute(2, &PRIORITY.to_be_bytes())];
    chain.attribute(4 | NESTED, &hook.concat());
    chain.attribute(7, &text("filter"));
    chain
}

/// Drops messages of one type that are for somebody else.
fn rule(number: u32, kind: MessageType) -> Request {
    /// `NFT_META_L4PROTO`, and the register that everything goes through.
    const L4_PROTOCOL: u32 = 16;
    const REGISTER: u32 = 1;
    const FIB_ADDRESS_TYPE: u32 = 3;
    const FIB_DESTINATION: u32 = 2;
    const TRANSPORT_HEADER: u32 = 2;
    const EQUAL: u32 = 0;
    const NOT_EQUAL: u32 = 1;
    let word = |kind, value: u32| attribute(kind, &value.to_be_bytes());
    let compare = |how, with: &[u8]| {
        let data = attribute(3 | NESTED, &attribute(1, with));
        expression("cmp", &[word(1, REGISTER), word(2, how), data].concat())
    };
    let verdict = attribute(2 | NESTED, &word(1, libc::NF_DROP.cast_unsigned()));
    let expressions = [
        expression("meta", &[word(1, REGISTER), word(2, L4_PROTOCOL)].concat()),
        compare(EQUAL, &[PROTOCOL_RSVP]),
        // One octet, the second one of the common header.
        expression(
            "payload",
            &[word(1, REGISTER), word(2, TRANSPORT_HEADER), word(3, 1), word(4, 1)].concat(),
        ),
        compare(EQUAL, &[u8::from(kind)]),
        expression(
            "fib",
            &[word(1, REGISTER), word(2, FIB_ADDRESS_TYPE), word(3, FIB_DESTINATION)].concat(),
        ),
        compare(NOT_EQUAL, &u32::from(libc::RTN_LOCAL).to_ne_bytes()),
        expression("counter", &[]),
        expression("immediate", &[word(1, 0), attribute(2 | NESTED, &verdict)].concat()),
    ];
    let mut rule = order(NEW_RULE, number);
    rule.attribute(1, &text(TABLE));
    rule.attribute(2, &text(CHAIN));
    rule.attribute(4 | NESTED, &expressions.concat());
    rule
}

/// An element of a list of expressions.
fn expression(name: &str, data: &[u8]) -> Vec<u8> {
    attribute(1 | NESTED, &[attribute(1, &text(name)), attribute(2 | NESTED, data)].concat())
}

fn attribute(kind: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + data.len()).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}
