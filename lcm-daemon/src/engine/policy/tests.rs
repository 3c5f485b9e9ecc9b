//! One node in the middle: previous hops on interface 2, next hops on interfaces 3 and 4.

use std::net::IpAddr;

use rsvp_wire::iana::{class, error_code, policy, ptype};
use rsvp_wire::message::ResvErr;
use rsvp_wire::object::{
    ErrorFlags, ErrorSpec, Integrity, SenderTemplate, SenderTspec, Style, TimeValues, Tspec,
    write_element,
};
use rsvp_wire::policy::{MergeStrategy, PreemptionPri, PriorityError};
use rsvp_wire::{Message, MessageType};

use super::super::Engine;
use super::super::time::Instant;
use super::*;
use crate::config::Config;
use crate::kernel::{Interface, KernelNews, Route};
use crate::packet::PacketMeta;

/// A P-Type that nobody takes, and one of a handler of the tests.
const STRANGE: u16 = 0xC0DE;
const STAMP: u16 = 0xC0FE;
const R: u32 = 30_000;
const TSPEC: Tspec = Tspec::new(1_000, 1_000, 64, 1_500);

/// Adds one to the first byte of its element on each hop downstream, and takes the least of all
/// next hops upstream; refuses 0xFF.
#[derive(Debug)]
struct Stamp;

impl Stamp {
    fn check(elements: &Elements) -> Result<(), Fault> {
        let bad = elements.of_type(STAMP).any(|element| element.data[0] == 0xFF);
        let fault = Fault::new(error_code::POLICY, policy::REJECT, "stamp");
        if bad { Err(fault) } else { Ok(()) }
    }

    fn write(own: Hop, sender: Option<FilterSpec>, value: u8, out: &mut Out) {
        let filters = sender.as_slice();
        let options = PolicyOptions { filters, ..PolicyOptions::from_hop(own) };
        out.object(&options, 100, |sink| write_element(sink, STAMP, |s| s.put(&[value, 0, 0, 0])));
    }
}

impl Handler for Stamp {
    fn takes(&self, element: &PolicyElement<'_>) -> bool {
        element.ptype == STAMP
    }

    fn path_in(&self, _: &mut Core, _: Now, _: &mut Psb, arrived: &Arrived) -> Result<bool, Fault> {
        Self::check(&arrived.policy.elements).map(|()| true)
    }

    fn path_out(
        &self,
        _: &mut Core,
        _: Now,
        psb: &mut Psb,
        _: Session,
        own: Hop,
        out: &mut Out,
    ) -> Result<(), &'static str> {
        let stamps = psb.elements.get(STAMP, psb.sender);
        stamps.for_each(|element| Self::write(own, None, element.data[0] + 1, out));
        Ok(())
    }

    fn resv_in(
        &self,
        _: &mut Core,
        _: Now,
        _: Session,
        _: &mut Psb,
        request: &Request,
    ) -> Result<Admission, Vec<Fault>> {
        let checked = Self::check(&request.policy.elements).map(|()| Admission::Taken);
        checked.map_err(|fault| vec![fault])
    }

    fn resv_out(&self, _: &Core, about: &ResvOut<'_>, out: &mut Out) {
        let below = about.below.iter().filter(|rsb| rsb.selects(about.sender));
        let stamps = below.flat_map(|rsb| rsb.elements.get(STAMP, about.sender));
        if let Some(least) = stamps.map(|element| element.data[0]).min() {
            Self::write(about.own, about.named.then_some(FilterSpec(about.sender)), least, out);
        }
    }
}

pub(super) struct Node {
    pub(super) engine: Engine,
    pub(super) ms: u64,
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn hop(last: u8, interface: u8) -> Hop {
    Hop { address: IpAddr::from([10, 0, interface, last]), lih: u32::from(interface) }
}

pub(super) fn filter(last: u8) -> Filter {
    Filter::port(IpAddr::from([10, 9, 9, last]), 4_000)
}

pub(super) fn session() -> Session {
    Session::new(ip("239.1.1.1"), 17, 5_000)
}

impl Node {
    /// A node with these handlers instead of its own; with none it is policy-ignorant.
    pub(super) fn new(handlers: Vec<Box<dyn Handler>>) -> Self {
        let mut engine = Engine::new(Config::parse("", "test").unwrap(), 1);
        engine.core.handlers = handlers.into();
        Self::around(engine)
    }

    /// A node with this engine.
    pub(super) fn around(engine: Engine) -> Self {
        let mut node = Self { engine, ms: 1_000 };
        for index in 2..=4_u8 {
            let interface = Interface {
                index: u32::from(index),
                name: format!("eth{index}"),
                up: true,
                mtu: 1_500,
                loopback: false,
                addresses: vec![(IpAddr::from([10, 0, index, 1]), 24)],
            };
            node.engine.handle_news(node.now(), KernelNews::Interface(interface));
        }
        node
    }

    pub(super) fn now(&self) -> Now {
        Now::new(Instant::from_millis(self.ms), 1_750_000_000)
    }

    fn drain(&mut self) -> Vec<Vec<u8>> {
        let route = Route::Multicast { incoming: 2, outgoing: vec![3, 4] };
        while let Some(output) = self.engine.poll_output() {
            if let super::super::Output::Route(key) = output {
                self.engine.handle_route(self.now(), key, route.clone());
            }
        }
        let sent = self.engine.transmits();
        let messages = sent.iter().map(|(_, bytes)| bytes.to_vec()).collect();
        sent.clear();
        messages
    }

    /// Runs to an instant, with all alarms on the way.
    pub(super) fn run_to(&mut self, ms: u64) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        while let Some(at) = self.engine.poll_timeout().filter(|at| at.as_millis() < ms) {
            self.ms = self.ms.max(at.as_millis() + 1);
            self.engine.handle_timeout(self.now());
            sent.extend(self.drain());
        }
        self.ms = ms;
        sent
    }

    pub(super) fn take(&mut self, interface: u32, to: IpAddr, bytes: &[u8]) -> Vec<Vec<u8>> {
        let source = ip("10.0.0.9");
        let meta = PacketMeta { interface, source, destination: to, ttl: 60, router_alert: true };
        assert!(Message::parse(bytes).is_ok(), "{:?}", Message::parse(bytes));
        self.engine.handle_packet(self.now(), meta, bytes);
        self.drain()
    }

    /// A PATH of sender 1 or 2 from previous hop 11 or 12 with these POLICY_DATA objects.
    pub(super) fn path(&mut self, sender: u8, objects: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let bytes = message(MessageType::Path, 60, |w| {
            w.object(&session())?;
            w.object(&Hop { address: hop(10 + sender, 2).address, lih: 7 })?;
            w.object(&TimeValues { refresh_ms: R })?;
            objects.iter().try_for_each(|object| w.raw(object))?;
            w.object(&SenderTemplate(filter(sender)))?;
            w.object(&SenderTspec(TSPEC))
        });
        self.take(2, session().destination, &bytes)
    }

    /// A RESV from a next hop for fixed filters.
    pub(super) fn resv(
        &mut self,
        from: Hop,
        rate: u64,
        senders: &[u8],
        objects: &[Vec<u8>],
    ) -> Vec<Vec<u8>> {
        let flowspec =
            rsvp_wire::object::FlowSpec::ControlledLoad(Tspec::new(rate, 1_000, 64, 1_500));
        let bytes = message(MessageType::Resv, 255, |w| {
            w.object(&session())?;
            w.object(&from)?;
            w.object(&TimeValues { refresh_ms: R })?;
            objects.iter().try_for_each(|object| w.raw(object))?;
            w.object(&Style::FixedFilter)?;
            for sender in senders {
                w.object(&flowspec)?;
                w.object(&FilterSpec(filter(*sender)))?;
            }
            Ok(())
        });
        let own = IpAddr::from([10, 0, u8::try_from(from.lih).unwrap(), 1]);
        self.take(from.lih, own, &bytes)
    }
}

fn message(
    message_type: MessageType,
    ttl: u8,
    build: impl FnOnce(&mut MessageWriter<'_>) -> Result<(), BufferTooSmall>,
) -> Vec<u8> {
    let mut buffer = vec![0; 4_000];
    let mut writer = MessageWriter::new(&mut buffer, message_type, ttl);
    build(&mut writer).unwrap();
    let length = writer.finish().unwrap();
    buffer.truncate(length);
    buffer
}

/// A POLICY_DATA object with elements of one word each.
fn object(options: &PolicyOptions<'_>, elements: &[(u16, u8)]) -> Vec<u8> {
    let mut out = Out::default();
    out.object(options, 500, |sink| {
        for (ptype, value) in elements {
            write_element(sink, *ptype, |sink| sink.put(&[*value, 0, 0, 0]));
        }
    });
    out.0
}

fn plain(ptype: u16, value: u8) -> Vec<u8> {
    object(&PolicyOptions::from_hop(hop(99, 9)), &[(ptype, value)])
}

/// The POLICY_DATA objects of the messages of a type; the RESV of a sender goes to its hop.
pub(super) fn policy_of(messages: &[Vec<u8>], wanted: MessageType) -> Vec<Vec<Vec<u8>>> {
    let of_type = messages.iter().filter(|bytes| bytes[1] == u8::from(wanted));
    of_type
        .map(|bytes| {
            let message = Message::parse(bytes).unwrap();
            message.packet().policy_data().map(|data| data.bytes().to_vec()).collect()
        })
        .collect()
}

pub(super) fn paths(messages: &[Vec<u8>]) -> Vec<Vec<Vec<u8>>> {
    policy_of(messages, MessageType::Path)
}

pub(super) fn resvs(messages: &[Vec<u8>]) -> Vec<Vec<Vec<u8>>> {
    policy_of(messages, MessageType::Resv)
}

/// RFC 2750 section 4.2: as is, copied to all branches.
#[test]
fn r033_unknown_policy_data_goes_to_all_branches_as_it_came() {
    let own = PolicyOptions { destination: Some(hop(1, 2)), ..PolicyOptions::from_hop(hop(99, 9)) };
    let other = PolicyOptions { destination: Some(hop(77, 7)), ..own };
    let sealed = PolicyOptions { integrity: Some(integrity()), ..other };
    let objects = vec![
        object(&own, &[(STRANGE, 1)]),
        object(&other, &[(STRANGE, 2)]),
        object(&sealed, &[(STRANGE, 3)]),
    ];
    for handlers in [vec![], vec![Box::new(Stamp) as Box<dyn Handler>]] {
        let sent = Node::new(handlers).path(1, &objects);
        assert_eq!(paths(&sent), [objects.clone(), objects.clone()]);
    }
}

fn integrity() -> Integrity<'static> {
    Integrity { flags: 0, key_id: 1, sequence: 7, digest: &[9; 16] }
}

/// A message without its POLICY_DATA.
fn bare(bytes: &[u8]) -> Vec<Vec<u8>> {
    let message = Message::parse(bytes).unwrap();
    let objects = message.packet().objects().filter(|object| object.class != class::POLICY_DATA);
    objects.map(|object| object.bytes.to_vec()).collect()
}

/// What RSVP itself says and keeps does not depend on a byte of the elements.
#[test]
fn r033_reservations_are_the_same_whatever_policy_data_says() {
    let play = |objects: &[Vec<u8>]| {
        let mut node = Node::new(vec![]);
        let mut sent = node.path(1, objects);
        sent.extend(node.resv(hop(21, 3), 10, &[1], objects));
        sent.extend(node.resv(hop(31, 4), 20, &[1], objects));
        let sent: Vec<_> = sent.iter().map(|bytes| bare(bytes)).collect();
        (sent, node.engine.sizes())
    };
    let without = play(&[]);
    assert_eq!(without.1, (1, 1, 2));
    for value in [0, 1, 0x7F, 0xFF] {
        let several = [plain(STRANGE, value), plain(STAMP, value), plain(0xD001, value)];
        assert_eq!(play(&several), without);
    }
}

/// Upstream they are put one after the other (section 4.2).
#[test]
fn unknown_policy_data_is_concatenated_upstream() {
    let mut node = Node::new(vec![]);
    node.path(1, &[]);
    let (a, b) = (plain(STRANGE, 1), plain(STRANGE, 2));
    assert_eq!(
        resvs(&node.resv(hop(21, 3), 10, &[1], std::slice::from_ref(&a))),
        [vec![a.clone()]]
    );
    // The flowspec merges into what stands; the policy data is new, and goes on at once.
    node.resv(hop(31, 4), 5, &[1], std::slice::from_ref(&b));
    let sent = node.run_to(60_000);
    assert_eq!(resvs(&sent).last(), Some(&vec![a.clone(), b]));
    let c = plain(STRANGE, 3);
    let sent = node.resv(hop(31, 4), 5, &[1], std::slice::from_ref(&c));
    assert_eq!(resvs(&sent), [vec![a, c]], "a change goes on at once");
}

/// FILTER_SPEC associates flows of a packed message with policy data (section 3.2).
#[test]
fn filter_spec_and_scope_tell_which_flow_an_object_is_for() {
    let filters = [FilterSpec(filter(1))];
    let scope = [filter(2).source];
    let first = object(&PolicyOptions { filters: &filters, ..Default::default() }, &[(STRANGE, 1)]);
    let second = object(&PolicyOptions { scope: &scope, ..Default::default() }, &[(STRANGE, 2)]);
    let both = plain(STRANGE, 3);
    let mut node = Node::new(vec![]);
    node.path(1, &[]);
    node.path(2, &[]);
    let objects = [first.clone(), second.clone(), both.clone()];
    let sent = node.resv(hop(21, 3), 10, &[1, 2], &objects);
    assert_eq!(resvs(&sent), [vec![first, both.clone()], vec![second, both]]);
}

#[test]
fn a_handler_s_filter_spec_goes_before_an_object_for_all_flows() {
    let filters = [FilterSpec(filter(2))];
    let named = object(&PolicyOptions { filters: &filters, ..Default::default() }, &[(STAMP, 9)]);
    let mut node = Node::new(vec![Box::new(Stamp)]);
    node.path(1, &[]);
    node.path(2, &[]);
    let sent = node.resv(hop(21, 3), 10, &[1, 2], &[plain(STAMP, 5), named]);
    assert_eq!(stamps(&resvs(&sent)), [[5], [9]]);
}

/// The first byte of each STAMP element.
fn stamps(messages: &[Vec<Vec<u8>>]) -> Vec<Vec<u8>> {
    let of = |object: &Vec<u8>| {
        let place = object.windows(2).position(|pair| pair == STAMP.to_be_bytes())?;
        Some(object[place + 2])
    };
    messages.iter().map(|objects| objects.iter().filter_map(of).collect()).collect()
}

/// A second handler beside charging's place: its own elements are its to change and merge.
#[test]
fn r042_a_handler_changes_what_goes_down_and_merges_what_goes_up() {
    let mut node = Node::new(vec![Box::new(Stamp)]);
    let mixed = object(&PolicyOptions::from_hop(hop(99, 9)), &[(STAMP, 1), (STRANGE, 8)]);
    let sent = paths(&node.path(1, &[mixed]));
    assert_eq!(stamps(&sent), [[2], [2]]);
    // The strange one goes on alone, under the options that it came with.
    assert_eq!(sent[0][1], plain(STRANGE, 8));
    assert_eq!(stamps(&resvs(&node.resv(hop(21, 3), 10, &[1], &[plain(STAMP, 6)]))), [[6]]);
    node.resv(hop(31, 4), 5, &[1], &[plain(STAMP, 4)]);
    let sent = node.run_to(60_000);
    assert_eq!(stamps(&resvs(&sent)).last(), Some(&vec![4]));
}

/// Destination RSVP_HOP (section 3.2), and one element of a type at a time (section 3.4).
#[test]
fn an_element_for_us_goes_before_others_and_one_for_another_node_goes_on() {
    let to =
        |hop| PolicyOptions { destination: Some(hop), ..PolicyOptions::from_hop(self::hop(99, 9)) };
    let ours = object(&to(hop(1, 2)), &[(STAMP, 10)]);
    let theirs = object(&to(hop(77, 7)), &[(STAMP, 20)]);
    for objects in [
        vec![plain(STAMP, 1), ours.clone(), theirs.clone()],
        vec![theirs.clone(), ours.clone(), plain(STAMP, 1)],
    ] {
        let sent = paths(&Node::new(vec![Box::new(Stamp)]).path(1, &objects));
        assert_eq!(stamps(&sent)[0], [11, 20]);
        assert_eq!(sent[0].last(), Some(&theirs));
    }
    let mut node = Node::new(vec![Box::new(Stamp)]);
    let sent = paths(&node.path(1, &[plain(STAMP, 1), plain(STAMP, 5)]));
    assert_eq!(stamps(&sent)[0], [6], "the newer one replaces");
    let mut empty = Out::default();
    empty.object(&PolicyOptions::from_hop(hop(99, 9)), 100, |s| write_element(s, STAMP, |_| {}));
    let sent = paths(&node.path(1, &[plain(STAMP, 5), empty.0]));
    assert!(stamps(&sent)[0].is_empty(), "an empty one deletes");
}

/// Policy refresh period: N = ⌊PRT / R⌋ (section 3.2).
#[test]
fn slow_policy_data_outlasts_refreshes_that_leave_it_out() {
    let lifetime_ms = |n: u64| n * u64::from(R) * 21 / 4;
    for (ptype, prt, n) in
        [(STRANGE, 3 * R + 5, 3), (STAMP, 2 * R, 2), (STAMP, R / 2, 0), (STRANGE, R, 0)]
    {
        let refresh = Some(TimeValues { refresh_ms: prt });
        let options = PolicyOptions { refresh, ..PolicyOptions::from_hop(hop(99, 9)) };
        let slow = object(&options, &[(ptype, 1)]);
        let mut node = Node::new(vec![Box::new(Stamp)]);
        node.path(1, std::slice::from_ref(&slow));
        node.resv(hop(21, 3), 10, &[1], &[slow]);
        let start = node.ms;
        let mut last = [0, 0];
        while node.ms < start + 1_000_000 {
            node.path(1, &[]);
            node.resv(hop(21, 3), 10, &[1], &[]);
            let sent = node.run_to(node.ms + 10_000);
            let has = |messages: Vec<Vec<Vec<u8>>>| messages.last().is_some_and(|m| !m.is_empty());
            for (last, seen) in last.iter_mut().zip([has(paths(&sent)), has(resvs(&sent))]) {
                *last = if seen { node.ms - start } else { *last };
            }
        }
        let until = lifetime_ms(n);
        let expected = if n == 0 { 0..=0 } else { until - 45_000..=until + 20_000 };
        let right = last.iter().all(|last| expected.contains(last));
        assert!(right, "PRT {prt}: {last:?} ms, not {expected:?}");
    }
}

pub(super) fn errors(messages: &[Vec<u8>], wanted: MessageType) -> Vec<(u8, u16, usize)> {
    let of_type = messages.iter().filter(|bytes| bytes[1] == u8::from(wanted));
    of_type
        .map(|bytes| match Message::parse(bytes).unwrap() {
            Message::PathErr(e) => (e.error.code, e.error.value, e.policy_data().count()),
            Message::ResvErr(e) => (e.error.code, e.error.value, e.policy_data().count()),
            other => panic!("{other:?}"),
        })
        .collect()
}

/// Section 4.3: a policy error includes POLICY_DATA; section 3.4: nothing of what was refused is
/// there.
#[test]
fn r076_a_handler_s_refusal_is_a_policy_error_with_policy_data() {
    let refusal = (error_code::POLICY, policy::REJECT, 1);
    let mut node = Node::new(vec![Box::new(Stamp)]);
    let sent = node.path(1, &[plain(STAMP, 0xFF)]);
    assert_eq!(errors(&sent, MessageType::PathErr), [refusal]);
    assert_eq!(node.engine.sizes(), (0, 0, 0));
    node.path(1, &[]);
    let sent = node.resv(hop(21, 3), 10, &[1], &[plain(STAMP, 0xFF)]);
    assert_eq!(errors(&sent, MessageType::ResvErr), [refusal]);
    assert_eq!(node.engine.sizes(), (1, 1, 0));
    // What stands goes on when a change of it is refused.
    node.resv(hop(21, 3), 10, &[1], &[plain(STAMP, 3)]);
    let sent = node.resv(hop(21, 3), 10, &[1], &[plain(STAMP, 0xFF)]);
    assert_eq!(errors(&sent, MessageType::ResvErr), [refusal]);
    assert_eq!(node.engine.sizes(), (1, 1, 1));
}

fn resv_err(objects: &[Vec<u8>]) -> Vec<u8> {
    let flowspec = rsvp_wire::object::FlowSpec::ControlledLoad(Tspec::new(10, 1_000, 64, 1_500));
    message(MessageType::ResvErr, 255, |w| {
        w.object(&session())?;
        w.object(&Hop { address: hop(11, 2).address, lih: 2 })?;
        let (code, value) = (error_code::POLICY, policy::PREEMPT);
        w.object(&ErrorSpec { node: ip("10.8.8.8"), flags: ErrorFlags::NONE, code, value })?;
        objects.iter().try_for_each(|object| w.raw(object))?;
        w.object(&Style::FixedFilter)?;
        w.object(&flowspec)?;
        w.object(&FilterSpec(filter(1)))
    })
}

/// Section 4.3: to all downstream hops, without blockade state, with what concerns the PDPs there.
#[test]
fn a_policy_error_reaches_all_next_hops_with_its_policy_data() {
    let mut node = Node::new(vec![Box::new(Stamp)]);
    node.path(1, &[]);
    node.resv(hop(21, 3), 10, &[1], &[]);
    node.resv(hop(31, 4), 5, &[1], &[]);
    let strange = plain(STRANGE, 1);
    let sent = node.take(2, ip("10.0.2.1"), &resv_err(&[strange.clone(), plain(STAMP, 1)]));
    assert_eq!(policy_of(&sent, MessageType::ResvErr), [[strange.clone()], [strange]]);
    // Ours was taken here: what is left names its maker only.
    let sent = node.take(2, ip("10.0.2.1"), &resv_err(&[plain(STAMP, 1)]));
    let told: Vec<ResvErr<'_>> = sent
        .iter()
        .filter_map(|bytes| match Message::parse(bytes).unwrap() {
            Message::ResvErr(error) => Some(error),
            _ => None,
        })
        .collect();
    assert_eq!(told.len(), 2);
    for error in told {
        let bare = error.policy_data().next().unwrap();
        assert_eq!((bare.originating_hop(), bare.elements().count()), (Some(error.hop), 0));
    }
    // The larger reservation is asked for again by the next refresh: no blockade.
    let sent = node.run_to(60_000);
    let rate = sent.iter().rev().find_map(|bytes| match Message::parse(bytes).unwrap() {
        Message::Resv(resv) => resv.flows().next().map(|flow| flow.flowspec.tspec().rate),
        _ => None,
    });
    assert_eq!(rate.unwrap().to_integer(), 10);
}

fn priority(strategy: MergeStrategy, preemption: u16, defending: u16) -> Vec<u8> {
    let mut out = Out::default();
    let priority = PreemptionPri {
        merge_strategy: strategy,
        error: PriorityError::NoError,
        preemption,
        defending,
    };
    out.object(&PolicyOptions::from_hop(hop(99, 9)), 100, |sink| priority.write(sink));
    out.0
}

fn priorities(objects: &[Vec<u8>]) -> Vec<(u8, u16, u16)> {
    let element = |object: &Vec<u8>| {
        let at = object.len() - 8;
        let word = |at: usize| u16::from_be_bytes([object[at], object[at + 1]]);
        (object[at + 1], word(at + 4), word(at + 6))
    };
    objects.iter().map(element).collect()
}

/// RFC 3181 section 5.1, and that strategies are merged each for itself (section 5.2).
#[test]
fn priorities_are_merged_by_their_strategies() {
    use MergeStrategy::{ForceError, HighestPriority, HighestQos};
    for (large, small, expected) in [
        ((HighestQos, 2, 3), (HighestQos, 7, 9), vec![(1, 2, 3)]),
        ((HighestPriority, 2, 9), (HighestPriority, 7, 8), vec![(2, 7, 9)]),
        ((ForceError, 2, 3), (ForceError, 7, 9), vec![]),
    ] {
        let mut node = Node::new(vec![Box::new(Preemption)]);
        node.path(1, &[]);
        let of =
            |(strategy, preemption, defending)| vec![priority(strategy, preemption, defending)];
        let sent = node.resv(hop(21, 3), 10, &[1], &of(large));
        assert_eq!(priorities(&resvs(&sent)[0]), [(u8::from(large.0), large.1, large.2)]);
        node.resv(hop(31, 4), 5, &[1], &of(small));
        let sent = node.run_to(60_000);
        assert_eq!(priorities(resvs(&sent).last().unwrap()), expected);
    }
    let mut node = Node::new(vec![Box::new(Preemption)]);
    let bad = plain(ptype::PREEMPTION_PRI, 0);
    let sent = node.path(1, &[bad]);
    assert_eq!(errors(&sent, MessageType::PathErr), [(error_code::POLICY, policy::PE_BAD, 1)]);
}

/// RFC 2746 section 2.3: a router that takes no part in a tunnel's reservations forwards what says
/// which session carries which, and ignores what says what a neighbour can do.
#[test]
fn tunnel_objects_go_on_or_end_here_as_their_classes_say() {
    use rsvp_wire::EncodeObject as _;
    use rsvp_wire::object::{NodeChar, SessionAssoc};
    let assoc = SessionAssoc {
        session: session(),
        tunnel: FilterSpec(Filter::port(ip("192.0.2.1"), 4_001)),
    };
    let mut buffer = [0; 100];
    let length = assoc.encode(&mut buffer).unwrap();
    let assoc = buffer[..length].to_vec();
    let mut capable = [0; 8];
    NodeChar { tunnel: true }.encode(&mut capable).unwrap();
    let has = |messages: &[Vec<u8>], kind: MessageType, object: &[u8]| {
        let mut of_type = messages.iter().filter(|bytes| bytes[1] == u8::from(kind));
        of_type.any(|bytes| bytes.windows(object.len()).any(|window| window == object))
    };
    let mut node = Node::new(vec![]);
    let sent = node.path(1, &[assoc.clone(), capable.to_vec()]);
    assert!(has(&sent, MessageType::Path, &assoc) && !has(&sent, MessageType::Path, &capable));
    let sent = node.resv(hop(21, 3), 10, &[1], &[assoc.clone(), capable.to_vec()]);
    assert!(has(&sent, MessageType::Resv, &assoc) && !has(&sent, MessageType::Resv, &capable));
}
