//! Refresh periods that change while the network runs (RFC 2205 section 3.7).

use lcm_tests::sim::{Kind, Net, Options, Topology, reserve_up_to};
use rsvp_wire::Message;

/// S ── A ── R
#[test]
fn a_longer_refresh_period_is_approached_without_losing_state() {
    let mut topology = Topology::default();
    let [s, a, r] = [("S", Kind::Host), ("A", Kind::Router), ("R", Kind::Host)]
        .map(|(n, k)| topology.node(n, k));
    topology.link(s, a, (0, 0));
    let last = topology.link(a, r, (0, 0));
    let interface = topology.interface_name(a, last);
    let mut net = Net::new(topology, Options::default());
    net.set_refresh(a, &interface, 1_000).unwrap();
    let session = net.session_to(r);
    net.send(s, session, None);
    net.receive_as(r, reserve_up_to(session, None));
    net.run_ms(60_000);
    net.set_refresh(a, &interface, 40_000).unwrap();
    for _ in 0..600 {
        net.run_ms(1_000);
        assert_eq!(net.sizes().1, 3, "a PSB at each node, all the time");
    }
    // What was announced on the way never grew by more than 30 % from one PATH to the next.
    let periods: Vec<u32> = net
        .log
        .crossings()
        .iter()
        .filter(|crossing| crossing.from == a)
        .filter_map(|crossing| match Message::parse(net.log.bytes(crossing)) {
            Ok(Message::Path(path)) => Some(path.time_values.refresh_ms),
            _ => None,
        })
        .collect();
    assert_eq!(periods.last(), Some(&40_000));
    assert!(periods.contains(&1_000));
    let grows_slowly = |pair: &[u32]| u64::from(pair[1]) * 100 <= u64::from(pair[0]) * 130 + 100;
    let from = periods.iter().position(|period| *period == 1_000).unwrap();
    assert!(periods[from..].windows(2).all(grows_slowly), "{periods:?}");

    let refused = net.set_refresh(a, &interface, 40_001).unwrap_err().to_string();
    assert!(refused.contains("40001") && refused.contains("40000"), "{refused}");
}
