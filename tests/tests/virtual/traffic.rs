//! Traffic control: what is reserved where, what finds no room, and whom that may not hurt
//! (RFC 2205 sections 2.2, 3.5, 3.8 and 3.11.2).

use lcm_daemon::engine::{NoticeEvent, Police, ReceiverRequest, TrafficSetting};
use lcm_tests::sim::{Kind, Net, NodeId, Options, TSPEC, Topology, group, reserve_up_to};
use rsvp_wire::iana::{admission, error_code};
use rsvp_wire::object::{FlowSpec, Session, Style, Tspec};

const REST_MS: u64 = 200_000;

/// Two senders, two routers, two receivers; what A may reserve towards B is limited.
///
/// ```text
/// S1 ─┐              ┌─ R1
///     A ──── B ──────┤
/// S2 ─┘              └─ R2
/// ```
struct Narrow {
    net: Net,
    session: Session,
    senders: [NodeId; 2],
    routers: [NodeId; 2],
    receivers: [NodeId; 2],
}

impl Narrow {
    fn new(bits_per_s: u64) -> Self {
        let mut topology = Topology::default();
        let senders = [topology.node("S1", Kind::Host), topology.node("S2", Kind::Host)];
        let routers = [topology.node("A", Kind::Ignorant), topology.node("B", Kind::Ignorant)];
        let receivers = [topology.node("R1", Kind::Host), topology.node("R2", Kind::Host)];
        for sender in senders {
            topology.link(sender, routers[0], (0, 0));
        }
        let middle = topology.link(routers[0], routers[1], (0, 0));
        topology.limit(middle, routers[0], bits_per_s);
        for receiver in receivers {
            topology.link(routers[1], receiver, (0, 0));
        }
        let mut net = Net::new(topology, Options::default());
        let session = group(net.family(), 1);
        net.fix_members(session, receivers);
        for sender in senders {
            net.send(sender, session, None);
        }
        net.run_ms(1_000);
        Self { net, session, senders, routers, receivers }
    }

    fn receive(&mut self, index: usize, style: Style, bytes_per_s: u64) {
        let request = ReceiverRequest {
            style,
            flowspec: Some(load(bytes_per_s)),
            ..reserve_up_to(self.session, None)
        };
        self.net.receive_as(self.receivers[index], request);
    }

    /// What stands at a router towards another node.
    fn standing(&self, at: NodeId, to: NodeId) -> Vec<TrafficSetting> {
        let topology = &self.net.topology;
        let interface = topology.interface(at, topology.between(at, to));
        let all = self.net.node(at).traffic().iter();
        all.filter(|((_, on, _), _)| *on == interface).map(|(_, set)| set.clone()).collect()
    }

    /// The errors that a receiver was told of.
    fn errors(&self, index: usize) -> Vec<(u8, u16)> {
        let notices = self.net.node(self.receivers[index]).notices().iter();
        let mut errors: Vec<_> = notices
            .filter_map(|notice| match notice.event {
                NoticeEvent::Error { code, value, .. } => Some((code, value)),
                _ => None,
            })
            .collect();
        errors.dedup();
        errors
    }
}

fn load(bytes_per_s: u64) -> FlowSpec {
    FlowSpec::ControlledLoad(Tspec::new(bytes_per_s, 10_000, 64, 1_500))
}

#[test]
fn a_shared_reservation_is_one_for_all_senders_and_is_policed_where_they_merge() {
    let mut narrow = Narrow::new(u64::MAX);
    narrow.receive(0, Style::WildcardFilter, 50_000);
    narrow.receive(1, Style::WildcardFilter, 80_000);
    narrow.net.run_ms(REST_MS);
    let [a, b] = narrow.routers;
    let at_a = narrow.standing(a, b);
    let [shared] = at_a.as_slice() else { panic!("{at_a:?}") };
    assert_eq!(shared.flowspec, load(80_000), "the least upper bound of both receivers");
    assert_eq!(shared.path_te.rate.to_integer(), 2 * TSPEC.rate.to_integer());
    assert_eq!(shared.police, Police { entry: true, merge: true, branch: false });
    // At B the branch with less is policed, and the entry was A.
    let small = &narrow.standing(b, narrow.receivers[0])[0];
    assert_eq!(small.police, Police { entry: false, merge: true, branch: true });
    let large = &narrow.standing(b, narrow.receivers[1])[0];
    assert_eq!(large.police, Police { entry: false, merge: true, branch: false });
}

#[test]
fn fixed_filters_reserve_for_each_sender_and_leave_nothing_behind() {
    let mut narrow = Narrow::new(u64::MAX);
    narrow.receive(0, Style::FixedFilter, 50_000);
    narrow.net.run_ms(REST_MS);
    let [a, b] = narrow.routers;
    let standing = narrow.standing(a, b);
    assert_eq!(standing.len(), 2);
    for setting in &standing {
        assert_eq!((setting.filters.len(), setting.path_te), (1, TSPEC));
        assert_eq!(setting.police, Police { entry: true, merge: false, branch: false });
    }
    narrow.net.kill(narrow.receivers[0]);
    narrow.net.run_ms(REST_MS);
    assert!(narrow.standing(a, b).is_empty() && narrow.standing(b, narrow.receivers[0]).is_empty());
    assert_eq!(narrow.net.node(a).engine().sizes().2, 0);
}

#[test]
fn what_finds_no_room_is_refused_and_what_stands_goes_on() {
    // Room for one reservation of 400 kbit/s, not for two.
    let mut narrow = Narrow::new(700_000);
    let senders = narrow.senders.map(|sender| narrow.net.sender(sender));
    let [a, b] = narrow.routers;
    let ask = |narrow: &mut Narrow, index: usize| {
        let request = ReceiverRequest {
            sender: Some(senders[index]),
            flowspec: Some(load(50_000)),
            ..reserve_up_to(narrow.session, None)
        };
        narrow.net.receive_as(narrow.receivers[index], request);
        narrow.net.run_ms(REST_MS);
    };
    ask(&mut narrow, 0);
    ask(&mut narrow, 1);
    let standing = narrow.standing(a, b);
    assert_eq!(standing.len(), 1, "{standing:?}");
    assert_eq!(*standing[0].filters, [senders[0]]);
    assert_eq!(narrow.errors(0), []);
    let refused = (error_code::ADMISSION, admission::BANDWIDTH_UNAVAILABLE);
    assert_eq!(narrow.errors(1), [refused]);
}

#[test]
fn a_killer_reservation_does_not_take_the_smaller_one_down() {
    let mut narrow = Narrow::new(700_000);
    let [a, b] = narrow.routers;
    narrow.receive(0, Style::WildcardFilter, 50_000);
    narrow.net.run_ms(REST_MS);
    // 1.6 Mbit/s find no room at A, now and with each refresh.
    narrow.receive(1, Style::WildcardFilter, 200_000);
    for _ in 0..10 {
        narrow.net.run_ms(60_000);
        let standing = narrow.standing(a, b);
        assert_eq!(standing.len(), 1, "{standing:?}");
        assert_eq!(standing[0].flowspec, load(50_000));
    }
    let refused = (error_code::ADMISSION, admission::BANDWIDTH_UNAVAILABLE);
    assert_eq!(narrow.errors(1), [refused]);
    assert_eq!(narrow.errors(0), [], "the small one is in place, and not told");
}

#[test]
fn packets_that_the_link_cannot_carry_are_refused() {
    let mut narrow = Narrow::new(u64::MAX);
    let request = ReceiverRequest {
        flowspec: Some(FlowSpec::ControlledLoad(Tspec::new(10_000, 10_000, 64, 1_501))),
        ..reserve_up_to(narrow.session, None)
    };
    narrow.net.receive_as(narrow.receivers[0], request);
    narrow.net.run_ms(REST_MS);
    assert_eq!(narrow.errors(0), [(error_code::ADMISSION, admission::MTU_TOO_LARGE)]);
    assert!(narrow.standing(narrow.routers[1], narrow.receivers[0]).is_empty());
}
