//! Unicast routes that change under a session (RFC 2205 section 3.6).

use lcm_daemon::engine::SenderShare;
use lcm_tests::sim::{Kind, Net, Options, Topology, Weather};

/// Refreshes are 15 s apart at least.
const SOON_MS: u64 = 2_000;

/// Two ways from A to D, of which the one over B is taken as long as it is there.
///
/// ```text
///        ┌─ B ─┐
/// S ── A ┤     ├ D ── R
///        └─ C ─┘
/// ```
#[test]
fn both_ways_are_told_when_a_route_changes() {
    for route_per_flow in [false, true] {
        // A kernel that answers late leaves the old way in force meanwhile.
        for route_us in [(0, 0), (10, 300_000)] {
            // A PATHTEAR may be the last to arrive.
            for delay_us in [1_000, 200_000] {
                follows(Options { route_per_flow, route_us, ..Options::default() }, delay_us);
            }
        }
    }
}

fn follows(options: Options, delay_us: u64) {
    let mut t = Topology::default();
    let s = t.node("S", Kind::Host);
    let [a, b, c, d] = ["A", "B", "C", "D"].map(|name| t.node(name, Kind::Router));
    let r = t.node("R", Kind::Host);
    t.link(s, a, (0, 0));
    let upper = t.link(a, b, (100, 100));
    let lower = t.link(a, c, (70, 70));
    t.link(b, d, (20, 20));
    t.link(c, d, (10, 10));
    t.link(d, r, (40, 40));
    let mut net = Net::new(t, options);
    net.set_weather_of(lower, Weather::steady(delay_us));
    let session = net.session_to(r);
    net.send(s, session, Some(SenderShare::default()));
    net.run_ms(SOON_MS);
    net.receive(r, session);
    net.run_ms(SOON_MS);
    let told = |net: &Net, taken: usize, left: usize| {
        assert_eq!(net.node(taken).engine().sizes(), (1, 1, 1), "{}", net.story());
        assert_eq!(net.node(left).engine().sizes(), (0, 0, 0), "{}", net.story());
    };
    told(&net, b, c);
    net.set_link(upper, false);
    net.run_ms(SOON_MS);
    assert_eq!(net.node(c).engine().sizes(), (1, 1, 1), "{}", net.story());
    let rates = net.rates_over(1_000);
    assert_eq!((rates[a], rates[b], rates[c], rates[d]), (70, 0, 10, 40));
    net.set_link(upper, true);
    net.run_ms(SOON_MS);
    // C is told by a PATHTEAR to R that goes by C's address, since the route to R leads to B.
    told(&net, b, c);
    let rates = net.rates_over(1_000);
    assert_eq!((rates[a], rates[b], rates[c], rates[d]), (100, 20, 0, 40));
    net.assert_promise();
}
