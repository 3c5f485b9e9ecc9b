//! A receiver that two providers serve takes the cheaper one (paper section 3.1).
//!
//! ```text
//!              ┌─ P ─┐
//! S ──── I ────┤     ├── R
//!              └─ Q ─┘
//! ```

use lcm_daemon::engine::{NoticeEvent, ReceiverRequest};
use lcm_tests::sim::{Crossing, Fate, Kind, LinkId, Net, NodeId, Options, Topology};
use lcm_tests::sim::{group, reserve_up_to};
use rsvp_wire::MessageType;
use rsvp_wire::object::Session;

/// How long quotes are gathered, and how long a way is kept: the defaults.
const WAIT_MS: u64 = 1_000;
const HOLD_MS: u64 = 30_000;
/// What S–I and the links of I cost in all.
const SHARED: u64 = 60;

struct Market {
    net: Net,
    session: Session,
    receiver: NodeId,
    providers: [NodeId; 2],
    /// From the providers to the receiver.
    offers: [LinkId; 2],
}

impl Market {
    /// The prices of both providers, and the bit/s that the first one can carry.
    fn new(prices: [u64; 2], room: Option<u64>) -> Self {
        let mut topology = Topology::default();
        let [s, r] = ["S", "R"].map(|name| topology.node(name, Kind::Host));
        let [first, p, q] = ["I", "P", "Q"].map(|name| topology.node(name, Kind::Router));
        let base = topology.node("O", Kind::Router);
        topology.link(s, base, (0, 0));
        topology.link(base, first, (SHARED, SHARED));
        let inner = [p, q].map(|provider| topology.link(first, provider, (0, 0)));
        let offers = [0, 1].map(|n| topology.link([p, q][n], r, (prices[n], 1_000)));
        if let Some(room) = room {
            topology.limit(offers[0], p, room);
        }
        let mut net = Net::new(topology, Options::default());
        let session = group(net.family(), 1);
        net.fix_members(session, [r]);
        for (at, link) in inner.into_iter().chain(offers).zip([first, first, p, q]) {
            net.copy_to(link, at);
        }
        net.send(s, session, None);
        Self { net, session, receiver: r, providers: [p, q], offers }
    }

    fn receive(&mut self, most: Option<u64>) {
        let request = ReceiverRequest { cheapest: true, ..reserve_up_to(self.session, most) };
        self.net.receive_as(self.receiver, request);
        // Members are fixed, so PATH may have come before there was anybody to hear it.
        self.net.run_ms(45_000 + WAIT_MS);
    }

    fn price(&mut self, provider: usize, price: u64) {
        let (node, link) = (self.providers[provider], self.offers[provider]);
        self.net.set_price(node, link, price, false);
    }

    /// Which provider has a reservation to the receiver, and what it debits.
    fn taken(&self) -> Vec<(usize, u64)> {
        let mut taken = Vec::new();
        for (number, provider) in self.providers.into_iter().enumerate() {
            let shown =
                self.net.node(provider).engine().show_reservations(self.net.clock(provider));
            let debited = shown.into_iter().map(|view| view.charging.unwrap().debited);
            taken.extend(debited.map(|debited| (number, debited)));
        }
        taken
    }

    /// The ways that the application was told of: interface, and the others with what they ask.
    fn told(&self) -> Vec<String> {
        let notices = self.net.node(self.receiver).notices().iter();
        let chosen = notices.filter_map(|notice| match &notice.event {
            NoticeEvent::Chosen { interface, .. } => Some(interface.clone()),
            _ => None,
        });
        chosen.collect()
    }

    /// RESV and RESVTEAR that the receiver sent to either provider: when, which, to whom.
    fn said(&self) -> Vec<(u64, MessageType, usize)> {
        let sent = |c: &&Crossing| c.from == self.receiver && c.fate != Fate::Lost;
        let crossings = self.net.log.crossings().iter().filter(sent);
        let kinds = [MessageType::Resv, MessageType::ResvTear];
        let said = crossings.filter(|c| kinds.contains(&c.message_type));
        let provider = |link: LinkId| usize::from(link == self.offers[1]);
        said.map(|c| (c.at, c.message_type, provider(c.link))).collect()
    }
}

#[test]
fn r048_the_cheaper_of_two_providers_is_taken_whichever_is_heard_first() {
    for (prices, cheaper) in [([100, 90], 1), ([90, 100], 0), ([100, 100], 0)] {
        let mut market = Market::new(prices, None);
        market.receive(None);
        assert_eq!(market.taken(), [(cheaper, SHARED + prices[cheaper])], "{prices:?}");
        let said = market.said();
        assert!(said.iter().all(|(_, _, to)| *to == cheaper), "{prices:?}: {said:?}");
        assert_eq!(market.told(), [["to-P", "to-Q"][cheaper]], "{prices:?}");
    }
}

/// Quotes are waited for: the first one comes at once, and the RESV after the wait.
#[test]
fn r048_nothing_is_reserved_before_all_quotes_can_have_come() {
    let mut market = Market::new([100, 90], None);
    market.receive(None);
    let crossings = market.net.log.crossings().iter();
    let mut paths = crossings.filter(|c| c.message_type == MessageType::Path);
    let heard = |c: &&Crossing| c.to == market.receiver;
    let first = market.offers.map(|link| paths.clone().find(|c| heard(c) && c.link == link));
    let since = first.into_iter().flatten().map(|c| c.at).max().unwrap();
    assert!(paths.any(|c| heard(&c)), "{}", market.net.story());
    let (reserved, ..) = market.said()[0];
    assert!(reserved >= since, "{reserved} {since}");
}

/// Our own reservation over P halves what Q would carry of the shared hops: that is no bargain.
#[test]
fn r048_a_way_that_only_looks_cheaper_is_not_taken() {
    let mut market = Market::new([100, 110], None);
    market.receive(None);
    assert_eq!(market.taken(), [(0, 160)]);
    let quoted =
        market.net.log.last_dcpe(market.offers[1], market.providers[1], market.net.sender(0));
    assert_eq!(quoted.unwrap().total, 140, "30 of 60, and 110");
    market.net.run_ms(20 * HOLD_MS);
    assert_eq!(market.taken(), [(0, 160)]);
    assert_eq!(market.told(), ["to-P"]);
}

#[test]
fn r048_a_price_that_rises_above_the_other_by_the_margin_ends_in_a_hand_over() {
    let mut market = Market::new([100, 110], None);
    market.receive(None);
    market.net.run_ms(2 * HOLD_MS);
    // 60 + 120 is dearer than 60 + 110, but not by a tenth.
    market.price(0, 120);
    market.net.run_ms(2 * HOLD_MS);
    assert_eq!(market.taken(), [(0, 180)], "the margin keeps it");
    market.price(0, 140);
    market.net.run_ms(2_000);
    assert_eq!(market.taken(), [(1, 170)], "{:?}", market.told());
    // And it comes back when that is worth it, not sooner.
    market.net.run_ms(2 * HOLD_MS);
    market.price(0, 100);
    market.net.run_ms(2 * HOLD_MS);
    assert_eq!(market.taken(), [(1, 170)], "160 is not a tenth less");
    market.price(0, 50);
    market.net.run_ms(2 * HOLD_MS);
    assert_eq!(market.taken(), [(0, 110)]);
    assert_eq!(market.told(), ["to-P", "to-Q", "to-P"]);
    // Never both: each hand-over is a RESVTEAR before the RESV of the other way.
    let mut with: Option<usize> = None;
    for (at, kind, to) in market.said() {
        match kind {
            MessageType::ResvTear => with = with.filter(|with| *with != to),
            _ => {
                assert!(with.is_none_or(|with| with == to), "both at {at} µs");
                with = Some(to);
            }
        }
    }
    market.net.assert_promise();
}

/// Prices that take turns in being the lower one move nobody more often than once a hold time.
#[test]
fn r048_prices_that_swing_do_not_make_the_receiver_flap() {
    let mut market = Market::new([100, 100], None);
    market.receive(None);
    let before = market.told().len();
    for turn in 0..60 {
        market.price(0, if turn % 2 == 0 { 300 } else { 10 });
        market.net.run_ms(5_000);
    }
    let moves = market.told().len() - before;
    assert!((1..=10).contains(&moves), "{moves} hand-overs in 300 s");
    market.net.assert_promise();
}

#[test]
fn r048_a_provider_that_refuses_is_left_for_the_other() {
    // P is cheaper and full.
    let mut market = Market::new([100, 150], Some(1_000));
    market.receive(None);
    assert_eq!(market.taken(), [(1, 210)], "{}", market.net.story());
    assert_eq!(market.told()[..2], ["to-P", "to-Q"]);
    // It is asked again after a while, and after ever longer ones.
    market.net.run_ms(50 * HOLD_MS);
    assert_eq!(market.taken(), [(1, 210)]);
    let said = market.said();
    let left = |(_, kind, to): &&(_, _, usize)| (*kind, *to) == (MessageType::ResvTear, 0);
    let asked = said.iter().filter(left).count();
    assert!((3..=6).contains(&asked), "{asked} times in 1500 s: {said:?}");
    market.net.assert_promise();
}

#[test]
fn r048_a_price_above_the_maximum_leaves_the_other_one() {
    let mut market = Market::new([100, 150], None);
    market.receive(Some(250));
    assert_eq!(market.taken(), [(0, 160)]);
    market.price(0, 200);
    market.net.run_ms(2_000);
    assert_eq!(market.taken(), [(1, 210)], "at once, though nothing was held for long");
    market.price(1, 500);
    market.net.run_ms(90_000);
    assert_eq!(market.taken(), [], "nothing that suits");
    market.price(0, 10);
    market.net.run_ms(2_000);
    assert_eq!(market.taken(), [(0, 70)]);
    market.net.assert_promise();
}

#[test]
fn r048_a_provider_that_falls_silent_or_goes_is_left_for_the_other() {
    let mut market = Market::new([100, 150], None);
    market.receive(None);
    let link = market.offers[0];
    market.net.set_link(link, false);
    market.net.run_ms(200_000);
    assert_eq!(market.taken(), [(1, 210)]);
    market.net.set_link(link, true);
    market.net.run_ms(200_000);
    assert_eq!(market.taken(), [(0, 160)], "{:?}", market.told());
    market.net.assert_promise();
}
