//! Shared reservation styles: several senders, one reservation, one price (charging.md section 1).

use lcm_daemon::engine::{Handle, ReceiverRequest, SenderShare};
use lcm_tests::sim::{Family, Kind, Net, NodeId, Options, Topology, group, reserve_up_to};
use rsvp_wire::object::{Session, Style};

/// Longer than any refresh and reaction: a host that joins hears the next PATH.
const REST_MS: u64 = 180_000;

/// Two senders, a chain of two routers, two receivers.
///
/// ```text
/// S1 ─┐                  ┌─ R1 (60)
///     A ──── 100 ──── B ─┤
/// S2 ─┘                  └─ R2 (40)
/// ```
struct Conference {
    net: Net,
    session: Session,
    senders: [NodeId; 2],
    routers: [NodeId; 2],
    receivers: [NodeId; 2],
}

impl Conference {
    fn new(family: Family) -> Self {
        let mut topology = Topology::default();
        let senders = [topology.node("S1", Kind::Host), topology.node("S2", Kind::Host)];
        let routers = [topology.node("A", Kind::Router), topology.node("B", Kind::Router)];
        let receivers = [topology.node("R1", Kind::Host), topology.node("R2", Kind::Host)];
        for sender in senders {
            topology.link(sender, routers[0], (0, 0));
        }
        topology.link(routers[0], routers[1], (100, 120));
        topology.link(routers[1], receivers[0], (60, 60));
        topology.link(routers[1], receivers[1], (40, 40));
        let mut net = Net::new(topology, Options { family, ..Options::default() });
        let session = group(family, 1);
        net.fix_members(session, receivers);
        for sender in senders {
            let share = SenderShare { fraction_ppm: 500_000, ..SenderShare::default() };
            net.send(sender, session, Some(share));
        }
        net.run_ms(1_000);
        Self { net, session, senders, routers, receivers }
    }

    fn receive(&mut self, index: usize, style: Style) -> Handle {
        let request = ReceiverRequest { style, ..reserve_up_to(self.session, None) };
        self.net.receive_as(self.receivers[index], request)
    }

    /// What every node moves per second, once all is at rest.
    fn rates(&mut self) -> Vec<i128> {
        self.net.run_ms(REST_MS);
        self.net.rates_over(10_000)
    }
}

#[test]
fn r060_shared_styles_charge_one_price_for_all_senders() {
    for style in [Style::SharedExplicit, Style::WildcardFilter] {
        for family in [Family::V4, Family::V6] {
            let mut conference = Conference::new(family);
            conference.receive(0, style);
            conference.receive(1, style);
            let rates = conference.rates();
            let [a, b] = conference.routers.map(|router| rates[router]);
            assert_eq!((a, b), (100, 100), "{style}: each hop earns its own prices, once");
            assert_eq!(rates.iter().sum::<i128>(), 0);
        }
    }
}

#[test]
fn r062_two_half_senders_cover_half_and_not_all() {
    let mut conference = Conference::new(Family::V4);
    conference.receive(0, Style::SharedExplicit);
    conference.receive(1, Style::SharedExplicit);
    let rates = conference.rates();
    let paid: i128 = conference.receivers.iter().map(|receiver| -rates[*receiver]).sum();
    let sponsored: i128 = conference.senders.iter().map(|sender| -rates[*sender]).sum();
    assert_eq!(paid + sponsored, 200);
    assert!((98..=100).contains(&paid), "receivers pay {paid} of 200");
}

#[test]
fn r061_fixed_filters_charge_each_sender_on_its_own() {
    let mut conference = Conference::new(Family::V4);
    conference.receive(0, Style::FixedFilter);
    conference.receive(1, Style::FixedFilter);
    let rates = conference.rates();
    let [a, b] = conference.routers.map(|router| rates[router]);
    assert_eq!((a, b), (200, 200), "two reservations on each link");
}

#[test]
fn nobody_pays_more_for_a_share_than_for_the_whole_that_was_announced() {
    let mut conference = Conference::new(Family::V4);
    let (b, r1) = (conference.routers[1], conference.receivers[0]);
    let link = conference.net.topology.between(b, r1);
    let announced =
        |net: &Net, sender: NodeId| net.log.last_dcpe(link, b, net.sender(sender)).unwrap().total;
    let quoted = conference.senders.map(|sender| announced(&conference.net, sender));
    conference.receive(0, Style::SharedExplicit);
    conference.rates();
    for (sender, quoted) in conference.senders.into_iter().zip(quoted) {
        let net = &conference.net;
        assert!(announced(net, sender) < quoted, "the price of two is shared");
        let ucpe = net.log.last_ucpe(link, r1, net.sender(sender)).unwrap();
        assert!(ucpe.payment < quoted);
    }
}

#[test]
fn a_shared_reservation_goes_on_when_one_receiver_leaves() {
    for style in [Style::SharedExplicit, Style::WildcardFilter, Style::FixedFilter] {
        let mut conference = Conference::new(Family::V4);
        let first = conference.receive(0, style);
        conference.receive(1, style);
        conference.rates();
        let receiver = conference.receivers[0];
        conference.net.close(receiver, first);
        let rates = conference.rates();
        let [a, b] = conference.routers.map(|router| rates[router]);
        let reservations = if style == Style::FixedFilter { 2 } else { 1 };
        assert_eq!((a, b), (100 * reservations, 40 * reservations), "{style}: R1 has left");
        assert_eq!(rates[receiver], 0);
    }
}

#[test]
fn one_payment_is_for_one_sender() {
    for style in [Style::WildcardFilter, Style::SharedExplicit] {
        let mut conference = Conference::new(Family::V4);
        // The quote of 160 is 80 with each sender's half; whoever is paid for second is cheaper.
        let request = ReceiverRequest {
            style,
            sender: Some(conference.net.sender(conference.senders[0])),
            ..reserve_up_to(conference.session, None)
        };
        conference.net.receive_as(conference.receivers[0], request);
        let rates = conference.rates();
        assert_eq!(rates[conference.senders[1]], 0, "{style}: S2 is not asked for");
        assert_eq!(rates[conference.receivers[0]], -80, "{style}");
        assert_eq!(conference.routers.map(|router| rates[router]), [100, 60], "{style}");
    }
}

#[test]
fn a_receiver_whose_maximum_is_passed_is_given_up_in_time() {
    let mut conference = Conference::new(Family::V4);
    let request = reserve_up_to(conference.session, Some(85));
    conference.net.receive_as(conference.receivers[0], request);
    let rates = conference.rates();
    assert_eq!(rates[conference.receivers[0]], -160, "80 for each of two senders");
    let [a, b] = conference.routers;
    let trunk = conference.net.topology.between(a, b);
    conference.net.set_price(a, trunk, 120, false);
    let rates = conference.rates();
    assert_eq!(rates[conference.receivers[0]], 0, "90 was never approved");
    assert_eq!(rates.iter().sum::<i128>(), 0);
}

#[test]
fn a_receiver_that_leaves_a_shared_reservation_is_billed_no_longer() {
    for style in [Style::SharedExplicit, Style::WildcardFilter, Style::FixedFilter] {
        let mut conference = Conference::new(Family::V4);
        let only = conference.receive(0, style);
        conference.rates();
        conference.net.close(conference.receivers[0], only);
        // A tear needs milliseconds; whoever waits for a timeout is billed for 47 seconds.
        conference.net.run_ms(100);
        let rates = conference.net.rates_over(1_000);
        assert!(rates.iter().all(|rate| *rate == 0), "{style}: {rates:?}");
    }
}
