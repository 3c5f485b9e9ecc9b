//! Several charging hops behind one interface of the hop that they pay: behind a hop that merges
//! what they reserve and does not charge, or on one network. Each has its own share, is told of it
//! alone, and comes and goes by itself (charging.md section 6, D10).

use std::net::IpAddr;

use lcm_daemon::engine::show::UpstreamView;
use lcm_daemon::engine::{Handle, ReceiverRequest, SenderShare};
use lcm_tests::sim::{Family, Kind, Net, NodeId, Options, Topology, Weather, group, reserve_up_to};
use rsvp_wire::object::{Session, Style};

/// 1.5 R: the longest gap between two refreshes.
const GAP_MS: u64 = 45_000;
/// (K + ½) · 1.5 R.
const LIFETIME_MS: u64 = 157_500;

/// ```text
///                     ┌─ B ─ 60 ─ R1
/// S ──── A ─ 100 ─ X ─┤
///                     └─ C ─ 40 ─ R2
/// ```
pub(crate) struct Fork {
    pub(crate) net: Net,
    pub(crate) session: Session,
    pub(crate) a: NodeId,
    pub(crate) x: NodeId,
    pub(crate) hops: [NodeId; 2],
    receivers: [NodeId; 2],
    handles: [Handle; 2],
}

pub(crate) const STYLES: [Style; 3] =
    [Style::FixedFilter, Style::SharedExplicit, Style::WildcardFilter];
/// A hop that merges, and one that only forwards, so that all behind it share a network.
pub(crate) const BETWEEN: [Kind; 2] = [Kind::Ignorant, Kind::Plain];

impl Fork {
    /// Both receive; R1 approves at most what is given.
    pub(crate) fn new(between: Kind, family: Family, style: Style, most: Option<u64>) -> Self {
        Self::with(between, family, style, most, |_| {})
    }

    /// The same, after something was done to the network.
    pub(crate) fn with(
        between: Kind,
        family: Family,
        style: Style,
        most: Option<u64>,
        prepare: impl FnOnce(&mut Net),
    ) -> Self {
        let mut topology = Topology::default();
        let [s, a, x, b, c, r1, r2] = [
            ("S", Kind::Host),
            ("A", Kind::Router),
            ("X", between),
            ("B", Kind::Router),
            ("C", Kind::Router),
            ("R1", Kind::Host),
            ("R2", Kind::Host),
        ]
        .map(|(name, kind)| topology.node(name, kind));
        topology.link(s, a, (0, 0));
        topology.link(a, x, (100, 400));
        topology.link(x, b, (0, 0));
        topology.link(x, c, (0, 0));
        topology.link(b, r1, (60, 60));
        topology.link(c, r2, (40, 40));
        let mut net = Net::new(topology, Options { family, ..Options::default() });
        prepare(&mut net);
        let session = group(family, 1);
        net.fix_members(session, [r1, r2]);
        let share = SenderShare { fraction_ppm: 300_000, ..SenderShare::default() };
        net.send(s, session, Some(share));
        net.run_ms(1_000);
        let receivers = [r1, r2];
        let mut receive = |node, most| {
            let request = ReceiverRequest { style, ..reserve_up_to(session, most) };
            let handle = net.receive_as(node, request);
            net.run_ms(2 * GAP_MS);
            handle
        };
        let handles = [receive(r1, most), receive(r2, None)];
        Self { net, session, a, x, hops: [b, c], receivers, handles }
    }

    /// What A, X, B, C, R1 and R2 move per second; the sender pays the rest.
    pub(crate) fn rates(&mut self) -> [i128; 6] {
        let rates = self.net.rates_over(10_000);
        assert_eq!(rates.iter().sum::<i128>(), 0);
        let [b, c] = self.hops;
        let [r1, r2] = self.receivers;
        [self.a, self.x, b, c, r1, r2].map(|node| rates[node])
    }

    fn assert_rates(&mut self, expected: [i128; 6]) {
        let rates = self.rates();
        assert_eq!(rates, expected, "{}", self.net.story());
        self.net.assert_promise();
    }

    /// Those who pay A, and what each is debited.
    pub(crate) fn payers(&self) -> Vec<(NodeId, u64)> {
        let held = self.net.node(self.a).engine().show_reservations(self.net.clock(self.a));
        let states = held.iter().flat_map(|held| held.charging.iter().chain(&held.more_payers));
        let owner = |state: &UpstreamView| self.net.topology.owner(state.payer).unwrap();
        let mut payers: Vec<_> = states.map(|state| (owner(state), state.debited)).collect();
        payers.sort_unstable();
        payers
    }

    fn everywhere(test: impl Fn(Kind, Family, Style)) {
        for between in BETWEEN {
            for style in STYLES {
                test(between, Family::V4, style);
            }
            test(between, Family::V6, Style::FixedFilter);
        }
    }
}

/// While both reserve: C(R1) = 50 + 60 and C(R2) = 50 + 40, of which the sender covers 0.3.
pub(crate) const BOTH: [i128; 6] = [100, 0, 60, 40, -77, -63];

#[test]
fn r037_each_payer_behind_one_interface_pays_its_share_into_its_own_account() {
    Fork::everywhere(|between, family, style| {
        let mut fork = Fork::new(between, family, style, None);
        fork.assert_rates(BOTH);
        let [b, c] = fork.hops;
        assert_eq!(fork.payers(), [(b, 35), (c, 35)]);
        let now = fork.net.clock(fork.a);
        let accounts = fork.net.input(fork.a, |engine, _| engine.show_accounts(now)).accounts;
        let named: Vec<IpAddr> = accounts.iter().map(|account| account.neighbour).collect();
        let owners: Vec<_> = named.iter().filter_map(|n| fork.net.topology.owner(*n)).collect();
        assert!(!owners.contains(&fork.x) && owners.contains(&b) && owners.contains(&c));
        let held = fork.net.node(fork.a).engine().sizes().2;
        assert_eq!(held, if between == Kind::Ignorant { 1 } else { 2 }, "what X merges is one");
    });
}

#[test]
fn r037_a_payer_that_leaves_is_missed_and_the_other_pays_all() {
    Fork::everywhere(|between, family, style| {
        let mut fork = Fork::new(between, family, style, None);
        fork.net.close(fork.receivers[0], fork.handles[0]);
        fork.net.run_ms(2 * GAP_MS + 10_000);
        fork.assert_rates([100, 0, 0, 40, 0, -98]);
        assert_eq!(fork.payers(), [(fork.hops[1], 70)]);
        // The first one comes back, as anew.
        let session = fork.session;
        let request = ReceiverRequest { style, ..reserve_up_to(session, None) };
        fork.net.receive_as(fork.receivers[0], request);
        fork.net.run_ms(3 * GAP_MS);
        fork.assert_rates(BOTH);
    });
}

#[test]
fn a_payer_that_dies_pays_no_longer_than_its_state_lives() {
    Fork::everywhere(|between, family, style| {
        let mut fork = Fork::new(between, family, style, None);
        fork.net.kill(fork.hops[0]);
        fork.net.kill(fork.receivers[0]);
        // X lives on, and refreshes what it merged for a lifetime; then A misses it.
        fork.net.run_ms(LIFETIME_MS + 4 * GAP_MS);
        fork.assert_rates([100, 0, 0, 40, 0, -98]);
        assert_eq!(fork.payers(), [(fork.hops[1], 70)]);
    });
}

#[test]
fn a_price_that_one_payer_refuses_is_the_other_s_alone() {
    Fork::everywhere(|between, family, style| {
        let mut fork = Fork::new(between, family, style, Some(115));
        fork.assert_rates(BOTH);
        let link = fork.net.topology.between(fork.a, fork.x);
        fork.net.set_price(fork.a, link, 300, false);
        fork.net.run_ms(LIFETIME_MS + 4 * GAP_MS);
        fork.assert_rates([300, 0, 0, 40, 0, -238]);
        assert_eq!(fork.payers(), [(fork.hops[1], 210)]);
        // What both together find cheap enough is for both again.
        fork.net.set_price(fork.a, link, 100, false);
        fork.net.run_ms(4 * GAP_MS);
        fork.assert_rates(BOTH);
    });
}

/// Who cannot afford the whole price hears what it comes to for two.
#[test]
fn a_payer_that_joins_behind_a_merging_hop_is_quoted_the_price_of_a_join() {
    for style in STYLES {
        let mut fork = Fork::new(Kind::Ignorant, Family::V4, style, Some(80));
        fork.assert_rates(BOTH);
    }
}

/// A sender that sponsored a share behind a hop that does not charge begins anew without charging,
/// before it heard of a reservation, and nobody heard that it had ended: what it owes stands under
/// one name. That the books say so is compared with the journal's wherever they are read.
#[test]
fn r037_who_announces_no_more_is_settled_with_by_its_own_name() {
    for family in [Family::V4, Family::V6] {
        let mut topology = Topology::default();
        let [s, x, b, r] =
            [("S", Kind::Host), ("X", Kind::Ignorant), ("B", Kind::Router), ("R", Kind::Host)]
                .map(|(name, kind)| topology.node(name, kind));
        let links = [topology.link(s, x, (0, 0)), topology.link(x, b, (0, 0))];
        topology.link(b, r, (100, 100));
        let mut net = Net::new(topology, Options { family, ..Options::default() });
        let session = group(family, 1);
        net.fix_members(session, [r]);
        let share = SenderShare { fraction_ppm: 400_000, ..SenderShare::default() };
        let handle = net.send(s, session, Some(share));
        net.receive_as(r, reserve_up_to(session, None));
        net.run_ms(3);
        for link in links {
            net.set_weather_of(link, Weather::storm(1_000));
        }
        net.run_ms(1_000);
        net.close(s, handle);
        net.run_ms(1_000);
        for link in links {
            net.set_weather_of(link, Weather::steady(1_000));
        }
        net.send(s, session, None);
        net.run_ms(2 * GAP_MS);
        net.assert_metered(10_000, &[0, 0, 100, -100]);
        net.assert_promise();
    }
}
