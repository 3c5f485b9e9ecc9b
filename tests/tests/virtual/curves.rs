//! Price curves: what other rates would cost, added up hop by hop, and receivers that reserve as much as
//! their budget allows.

use charging_model::{Curve, Rate};
use lcm_daemon::engine::{NoticeEvent, ReceiverRequest, SenderShare};
use lcm_daemon::tariff::{Class, Congestion, Most, Tariff};
use lcm_tests::sim::{
    Kind, Net, NodeConfig, NodeId, Options, Topology, Weather, group, reserve_up_to,
};
use rsvp_wire::charging::Dcpe;
use rsvp_wire::object::{FlowSpec, Session, Tspec};

use crate::support::{random_tree, seeds};

/// What the sender sends: 1 Mbit/s.
const SENT: Tspec = Tspec::new(125_000, 10_000, 64, 1_500);
const SENT_BYTES: u64 = 125_000;

const S: NodeId = 0;
const IS1: NodeId = 1;
const IS2: NodeId = 2;
const IS3: NodeId = 3;
const R1: NodeId = 4;
const R2: NodeId = 5;

/// For each link but the sender's: who charges, the base price, and the price of a Mbit/s.
const PRICES: [(NodeId, usize, u64, u64); 4] = [
    (IS1, 1, 1_000_000, 40_000_000),
    (IS2, 2, 200_000, 11_000_000),
    (IS2, 3, 5_000_000, 0),
    (IS3, 4, 0, 9_000_000),
];

/// The figure: S ─ IS1 ─ IS2 ─ IS3 ─ R2, and R1 at IS2.
struct Figure {
    net: Net,
    session: Session,
    /// The sender's part.
    ppm: u32,
    /// As in [`PRICES`].
    prices: [(u64, u64); 4],
}

impl Figure {
    fn new(ppm: u32) -> Self {
        Self::with(ppm, NodeConfig { price_curves: true, ..NodeConfig::default() })
    }

    fn with(ppm: u32, config: NodeConfig) -> Self {
        Self::of(ppm, config, None)
    }

    /// The same with one hop that knows nothing of charging.
    fn ignorant(config: NodeConfig, hop: NodeId) -> Self {
        Self::of(0, config, Some(hop))
    }

    fn of(ppm: u32, config: NodeConfig, ignorant: Option<NodeId>) -> Self {
        let mut topology = Topology::default();
        for (name, kind) in [
            ("S", Kind::Host),
            ("IS1", Kind::Router),
            ("IS2", Kind::Router),
            ("IS3", Kind::Router),
            ("R1", Kind::Host),
            ("R2", Kind::Host),
        ] {
            let next = topology.nodes.len();
            topology.node(name, if ignorant == Some(next) { Kind::Ignorant } else { kind });
        }
        for (from, to) in [(S, IS1), (IS1, IS2), (IS2, IS3), (IS2, R1), (IS3, R2)] {
            let link = topology.link(from, to, (0, 0));
            topology.links[link].reservable[0] = Some(1_000_000);
        }
        let mut net = Net::new(topology, Options { config, ..Options::default() });
        let session = group(net.family(), 1);
        net.fix_members(session, [R1, R2]);
        let mut figure = Self { net, session, ppm, prices: [(0, 0); 4] };
        for (at, (node, _, base, per_mbit)) in PRICES.into_iter().enumerate() {
            if ignorant != Some(node) {
                figure.price(at, base, per_mbit);
            }
        }
        let share = SenderShare { fraction_ppm: ppm, ..SenderShare::default() };
        figure.net.send_traffic(S, session, SENT, Some(share));
        figure
    }

    fn price(&mut self, at: usize, base: u64, per_mbit: u64) {
        let (node, link, ..) = PRICES[at];
        self.net.set_tariff(node, link, (base, base), (per_mbit, 0));
        self.prices[at] = (base, per_mbit);
    }

    fn budget(&mut self, node: NodeId, budget: u64) {
        let request = ReceiverRequest { budget: Some(budget), ..reserve_up_to(self.session, None) };
        self.net.receive_as(node, request);
    }

    /// What so many bytes a second cost R2 when it is alone: its part, and the whole.
    fn alone(&self, bytes: u64) -> (u64, u64) {
        let total: u64 = [0, 1, 3]
            .map(|at| self.prices[at].0 + self.prices[at].1 * 8 * bytes / 1_000_000)
            .into_iter()
            .sum();
        let share = u128::from(total) * u128::from(self.ppm);
        (total - share.div_ceil(1_000_000) as u64, total)
    }

    /// The greatest rate that a budget allows R2 when it is alone, by trying all.
    fn greatest(&self, budget: u64) -> u64 {
        (1..=SENT_BYTES).rev().find(|bytes| self.alone(*bytes).0 <= budget).unwrap()
    }

    /// What is reserved for a receiver at the last hop, in bytes a second.
    fn reserved(&self, router: NodeId, link: usize) -> Option<u64> {
        let interface = self.net.topology.interface_name(router, link);
        let view = self.net.node(router).engine().show_reservations(self.net.clock(router));
        let here = view.iter().find(|of| of.interface == interface)?;
        Some(here.traffic.rate)
    }

    fn dcpe(&self, from: NodeId, link: usize) -> Dcpe {
        self.net.log.last_dcpe(link, from, self.net.sender(S)).unwrap()
    }

    fn curve(&self, from: NodeId, link: usize) -> Option<Curve> {
        let dcpe = self.dcpe(from, link);
        let points = dcpe.terms.price_curve().iter();
        Curve::new(points.map(|point| (point.bits_per_s, Rate(point.rate))))
    }

    /// Over so much time a receiver has paid no more than its budget.
    fn keeps(&mut self, ms: u64, budgets: &[(NodeId, u64)]) {
        let before = self.net.balances();
        self.net.run_ms(ms);
        let after = self.net.balances();
        for (node, budget) in budgets {
            let paid = before[*node] - after[*node];
            assert!(paid <= i128::from(*budget) * i128::from(ms), "{node}: {paid} in {ms} ms");
        }
    }

    /// What a node pays a second, or earns.
    fn rates(&mut self) -> Vec<i128> {
        self.net.rates_over(1_000)
    }
}

#[test]
fn r114_curves_are_added_hop_by_hop_and_say_what_each_rate_costs() {
    let mut figure = Figure::new(300_000);
    figure.net.receive_as(R2, reserve_up_to(figure.session, None));
    figure.net.run_ms(120_000);
    let curve = figure.curve(IS3, 4).unwrap();
    assert_eq!(curve.points(), [(0, Rate(1_200_000)), (1_000_000, Rate(61_200_000))]);
    for bytes in [1, 77, 62_500, SENT_BYTES] {
        assert_eq!(curve.at(8 * bytes), Some(Rate(figure.alone(bytes).1)), "{bytes}");
    }
    assert_eq!(figure.dcpe(IS3, 4).total, 61_200_000);
    // R1 would share what comes from IS1 with R2, which reserves all of it.
    let join = figure.curve(IS2, 3).unwrap();
    assert_eq!(join.at(8), Some(Rate(41_000_000 / 2 + 5_000_000)));
    assert_eq!(join.at(1_000_000), Some(Rate(41_000_000 / 2 + 5_000_000)));
}

#[test]
fn r114_nothing_is_said_where_nothing_is_set() {
    let mut figure = Figure::with(300_000, NodeConfig::default());
    figure.net.receive_as(R2, reserve_up_to(figure.session, None));
    figure.net.run_ms(120_000);
    assert_eq!((figure.curve(IS1, 1), figure.curve(IS3, 4)), (None, None));
}

#[test]
fn r114_a_budget_buys_the_greatest_rate_that_fits_to_the_unit() {
    for (ppm, budget) in [
        (0, 30_000_000),
        (0, 30_000_479),
        (300_000, 30_000_000),
        (333_333, 1_234_567),
        (0, 61_199_999),
    ] {
        let mut figure = Figure::new(ppm);
        figure.budget(R2, budget);
        figure.net.run_ms(120_000);
        let greatest = figure.greatest(budget);
        assert_eq!(figure.reserved(IS3, 4), Some(greatest), "{budget} at {ppm} ppm");
        let (due, total) = figure.alone(greatest);
        let rates = figure.rates();
        assert_eq!(-rates[R2], i128::from(due), "{budget} at {ppm} ppm");
        assert_eq!(-rates[S], i128::from(total - due));
        let fitted = NoticeEvent::Fitted { bytes_per_s: greatest, payment: due, budget };
        assert!(figure.net.node(R2).notices().iter().any(|notice| notice.event == fitted));
        figure.net.assert_promise();
    }
}

/// Whatever happens, the receiver pays no more than its budget, and once all is quiet as much of it as
/// buys a rate.
fn settles(figure: &mut Figure, budget: u64) -> u64 {
    for _ in 0..150 {
        figure.keeps(2_000, &[(R2, budget)]);
    }
    let greatest = figure.greatest(budget);
    assert_eq!(figure.reserved(IS3, 4), Some(greatest));
    assert_eq!(-figure.rates()[R2], i128::from(figure.alone(greatest).0));
    greatest
}

#[test]
fn r114_at_a_price_rise_a_receiver_steps_down_and_back_up_when_it_is_over() {
    let budget = 20_000_000;
    let mut figure = Figure::new(300_000);
    figure.budget(R2, budget);
    let first = settles(&mut figure, budget);
    // Wherever the price rises: at its own provider, or above.
    for (at, base, per_mbit) in [(3, 4_000_000, 9_000_000), (1, 200_000, 60_000_000)] {
        let (old_base, old_per_mbit) = figure.prices[at];
        figure.price(at, base, per_mbit);
        figure.net.run_ms(5_000);
        let greatest = figure.greatest(budget);
        assert_eq!(figure.reserved(IS3, 4), Some(greatest), "at once");
        assert!(settles(&mut figure, budget) < first);
        figure.price(at, old_base, old_per_mbit);
        figure.net.run_ms(5_000);
        assert_eq!(settles(&mut figure, budget), first);
    }
    // Not even a byte fits any more: what stands is given up in time, and nothing above it is paid.
    figure.price(0, 90_000_000, 0);
    for _ in 0..100 {
        figure.keeps(2_000, &[(R2, budget)]);
    }
    assert_eq!(figure.reserved(IS3, 4), None);
    figure.net.assert_promise();
    figure.price(0, 1_000_000, 40_000_000);
    assert_eq!(settles(&mut figure, budget), first);
    figure.net.assert_promise();
}

/// Two receivers share what is above IS2: each keeps within its budget whatever the other one does.
#[test]
fn r114_two_receivers_keep_within_their_budgets() {
    let mut figure = Figure::new(0);
    let budgets = [(R1, 16_000_000), (R2, 21_000_000)];
    for (node, budget) in budgets {
        figure.budget(node, budget);
    }
    let fitted = |figure: &Figure, node| {
        let notices = figure.net.node(node).notices().iter();
        notices.filter(|notice| matches!(notice.event, NoticeEvent::Fitted { .. })).count()
    };
    let mut by_hour = Vec::new();
    for _ in 0..4 {
        let before = fitted(&figure, R1) + fitted(&figure, R2);
        for _ in 0..180 {
            figure.keeps(20_000, &budgets);
        }
        by_hour.push(fitted(&figure, R1) + fitted(&figure, R2) - before);
    }
    // Each grows into what the other one leaves, less and less often.
    assert!(by_hour[2..].iter().sum::<usize>() <= 16, "{by_hour:?}");
    // Who asks for the most decides what IS1 charges, and each pays half of it.
    let (r1, r2) = (figure.reserved(IS2, 3).unwrap(), figure.reserved(IS3, 4).unwrap());
    let half = (1_000_000 + 40 * 8 * r1.max(r2)) / 2;
    let due = (half + 5_000_000, half + 200_000 + 20 * 8 * r2);
    let rates = figure.rates();
    assert_eq!((-rates[R1], -rates[R2]), (due.0.into(), due.1.into()));
    assert!(due.0 > 15_000_000 && due.1 > 20_000_000, "{due:?}");
    figure.net.assert_promise();
}

/// A hop on the way tells no curve: nobody behind it is told one, and a budget is a maximum.
#[test]
fn r114_a_hop_that_tells_nothing_ends_the_curve() {
    for silent in [IS1, IS2] {
        let mut figure = Figure::new(0);
        let at = PRICES.iter().position(|(node, ..)| *node == silent).unwrap();
        let (node, link, price_pico_per_s, per_mbit_pico_per_s) = PRICES[at];
        let shape = lcm_daemon::tariff::Rate { price_pico_per_s, per_mbit_pico_per_s };
        let tariff = Tariff::new(Class::new(shape, Most::Percent(100)), None);
        let name = figure.net.topology.interface_name(node, link);
        figure.net.input(node, |engine, now| engine.set_tariff(now, &name, tariff)).unwrap();
        figure.budget(R2, 30_000_000);
        figure.net.run_ms(120_000);
        assert_eq!(figure.curve(IS3, 4), None);
        assert_eq!(figure.reserved(IS3, 4), None);
        let declined = |event: &NoticeEvent| matches!(event, NoticeEvent::Declined { .. });
        assert!(figure.net.node(R2).notices().iter().any(|notice| declined(&notice.event)));
    }
}

/// What a node counted of the curves that it was told.
fn counted(net: &Net, node: NodeId, event: &str) -> u64 {
    net.node(node).engine().counters().curves.get(event).copied().unwrap_or_default()
}

/// A hop that adds nothing, since it charges nothing or knows nothing of charging, passes on what it
/// heard point by point, and what it says costs exactly that.
#[test]
fn r114_a_hop_that_adds_nothing_passes_a_curve_on_unchanged() {
    let free = || {
        let mut figure = Figure::new(0);
        figure.price(1, 0, 0);
        figure.price(2, 0, 0);
        figure
    };
    let ignorant = || {
        let config = NodeConfig { price_curves: true, ..NodeConfig::default() };
        Figure::ignorant(config, IS2)
    };
    for mut figure in [free(), ignorant()] {
        figure.budget(R2, 30_000_000);
        figure.net.run_ms(60_000);
        let heard = figure.dcpe(IS1, 1).terms.price_curve().to_vec();
        assert_eq!(figure.dcpe(IS2, 2).terms.price_curve(), heard, "point by point");
        assert!(heard.len() >= 2, "{heard:?}");
        assert!(counted(&figure.net, IS3, "taken") > 0);
        assert_eq!(counted(&figure.net, IS3, "ignored"), 0);
        // 1,000,000 and 49 a bit/s: 29,000,000 of the budget are for the rate.
        let bytes = 29_000_000 * 1_000 / 49_000 * 1_000 / 8_000;
        assert_eq!(figure.reserved(IS3, 4), Some(bytes));
        let rates = figure.rates();
        let is1 = 1_000_000 + 40 * 8 * i128::from(bytes);
        let is3 = 9 * 8 * i128::from(bytes);
        assert_eq!((rates[IS1], rates[IS3], rates[R2]), (is1, is3, -is1 - is3));
    }
}

/// Who charges and passes a curve on as it came says less by it than the total beside it: nobody behind
/// it believes the curve, and the budget is a maximum.
#[test]
fn r114_a_curve_that_leaves_out_who_passes_it_on_is_found_out() {
    let mut figure = Figure::new(0);
    // The points of IS1: 1,000,000 at nothing, and 41,000,000 at a Mbit/s.
    let unchanged = |message: &mut [u8]| {
        let header = [0, 40, 11, 0, 0, 2, 0, 0];
        let Some(at) = message.windows(8).position(|bytes| bytes == header) else { return };
        for (point, rate) in [1_000_000_u64, 41_000_000].into_iter().enumerate() {
            let field = at + 8 + 16 * point + 8;
            message[field..field + 8].copy_from_slice(&rate.to_be_bytes());
        }
    };
    figure.net.set_lie(IS2, Some(unchanged));
    figure.budget(R2, 30_000_000);
    figure.net.run_ms(120_000);
    assert_eq!(figure.curve(IS2, 2).unwrap().at(1_000_000), Some(Rate(41_000_000)), "as it came");
    assert!(counted(&figure.net, IS3, "ignored") > 0 && counted(&figure.net, IS3, "taken") == 0);
    assert_eq!((figure.curve(IS3, 4), figure.reserved(IS3, 4)), (None, None));
}

/// A price that follows what is reserved would rise whenever the receiver took more, and fall whenever
/// it took less: the receiver does not go up and down with it.
#[test]
fn r114_a_price_that_reacts_to_the_receiver_does_not_make_it_oscillate() {
    let mut figure = Figure::new(0);
    let (node, link, ..) = PRICES[3];
    let name = figure.net.topology.interface_name(node, link);
    let shape = lcm_daemon::tariff::Rate { price_pico_per_s: 0, per_mbit_pico_per_s: 9_000_000 };
    let class = Class::new(shape, Most::Percent(100));
    let congestion = Congestion {
        points: vec![(0, 100), (100, 1_000)],
        hold_ms: 1_000,
        least_change_percent: 0,
        approach_percent: 100,
    };
    let tariff = Tariff { congestion: Some(congestion), curve: true, ..Tariff::new(class, None) };
    figure.net.input(node, |engine, now| engine.set_tariff(now, &name, tariff)).unwrap();
    figure.budget(R2, 25_000_000);
    let mut changes = Vec::new();
    let mut before = None;
    for minute in 0..12 * 60 {
        figure.net.run_ms(60_000);
        let now = figure.reserved(IS3, 4);
        if now != before {
            changes.push(minute);
            before = now;
        }
        figure.keeps(1_000, &[(R2, 25_000_000)]);
    }
    // The waits double: twelve hours of a minute each would be hundreds of changes.
    assert!(before.is_some() && changes.len() <= 40, "{changes:?}");
    let last_hours = changes.iter().filter(|minute| **minute >= 6 * 60).count();
    assert!(last_hours <= 14, "{changes:?}");
    figure.net.assert_promise();
}

/// docs/curves.md, "Worked numbers".
#[test]
fn r114_the_worked_numbers_are_what_happens() {
    let text = include_str!("../../../docs/curves.md");
    let says = |number: u64| {
        let digits = number.to_string();
        let groups = digits.as_bytes().rchunks(3).rev().map(|part| str::from_utf8(part).unwrap());
        let grouped = groups.collect::<Vec<_>>().join(",");
        assert!(text.contains(&grouped), "{grouped}");
        number
    };
    for (.., base, per_mbit) in PRICES {
        says(base);
        says(per_mbit);
    }
    let mut figure = Figure::new(0);
    figure.budget(R2, says(30_000_000));
    figure.net.run_ms(60_000);
    let ends = [(0, Rate(says(1_200_000))), (1_000_000, Rate(says(61_200_000)))];
    assert_eq!(figure.curve(IS3, 4).unwrap().points(), ends);
    assert_eq!(figure.reserved(IS3, 4), Some(says(60_000)));
    figure.price(3, says(4_000_000), PRICES[3].3);
    figure.net.run_ms(5_000);
    assert_eq!(figure.reserved(IS3, 4), Some(says(51_666)));
    let mut figure = Figure::new(0);
    figure.net.receive_as(R2, reserve_up_to(figure.session, None));
    figure.net.run_ms(60_000);
    assert_eq!(figure.curve(IS2, 3).unwrap().at(8), Some(Rate(says(25_500_000))));
}

/// A random tree of routers that charge by rate, with a host for each place that receives: the
/// network, and each host with its router and link.
fn random_net(seed: u64, weather: Weather) -> (Net, Session, Vec<(NodeId, NodeId, usize)>) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let tree = random_tree(&mut rng);
    let mut topology = Topology::default();
    topology.node("S", Kind::Host);
    let mut hosts = Vec::new();
    for (at, link) in tree.links.iter().enumerate() {
        let kind = if link.receives { Kind::Host } else { Kind::Router };
        topology.node(&format!("N{}", at + 1), kind);
    }
    for (at, link) in tree.links.iter().enumerate() {
        let id = topology.link(link.parent, at + 1, (0, 0));
        if link.receives {
            hosts.push((at + 1, link.parent, id));
        }
    }
    let config = NodeConfig { price_curves: true, ..NodeConfig::default() };
    let mut net = Net::new(topology, Options { seed, config, weather, ..Options::default() });
    let session = group(net.family(), 1);
    net.fix_members(session, hosts.iter().map(|(host, ..)| *host));
    for (at, link) in tree.links.iter().enumerate().filter(|(_, link)| link.parent > 0) {
        random_price(&mut net, &mut rng, link.parent, at);
    }
    let share = SenderShare { fraction_ppm: rng.u32(0..=900_000), ..SenderShare::default() };
    net.send_traffic(S, session, SENT, Some(share));
    (net, session, hosts)
}

fn random_price(net: &mut Net, rng: &mut fastrand::Rng, node: NodeId, link: usize) {
    let base = rng.u64(0..2_000_000);
    let per_mbit = if rng.u8(0..4) == 0 { 0 } else { rng.u64(1..20_000_000) };
    net.set_tariff(node, link, (base, base), (per_mbit, rng.u64(0..1_000)));
}

/// What a curve says before somebody joins is no less than what is charged then.
#[test]
fn r114_whoever_reserves_by_a_curve_is_charged_no_more_than_it_says() {
    let mut checked = 0;
    for seed in seeds(120) {
        let (mut net, session, mut hosts) = random_net(seed, Weather::FAIR);
        let mut rng = fastrand::Rng::with_seed(seed ^ 77);
        rng.shuffle(&mut hosts);
        net.run_ms(60_000);
        let sender = net.sender(S);
        for (host, router, link) in hosts {
            let before = net.log.last_dcpe(link, router, sender).unwrap();
            let points = before.terms.price_curve().iter();
            let points = points.map(|point| (point.bits_per_s, Rate(point.rate)));
            let curve = Curve::new(points).unwrap_or_else(|| panic!("seed {seed}: no curve"));
            let bytes = rng.u64(1..=SENT_BYTES);
            let asked = FlowSpec::ControlledLoad(Tspec::new(bytes, 10_000, 64, 1_500));
            let request = ReceiverRequest { flowspec: Some(asked), ..reserve_up_to(session, None) };
            net.receive_as(host, request);
            net.run_ms(100_000);
            let after = net.log.last_dcpe(link, router, sender).unwrap();
            let most = curve.at(8 * bytes).unwrap();
            assert_eq!(after.terms.quantity, Some(8 * bytes), "seed {seed}, {host}");
            assert!(after.total <= most.0, "seed {seed}, {host}: {} > {most}", after.total);
            checked += 1;
        }
        net.assert_promise();
    }
    assert!(checked > 0);
}

/// In weather, while prices change: nobody pays beyond its budget.
#[test]
fn r114_in_weather_nobody_pays_beyond_its_budget() {
    let mut reserved = 0;
    for seed in seeds(60) {
        let weather = Weather::storm(50);
        let (mut net, session, hosts) = random_net(seed, weather);
        let mut rng = fastrand::Rng::with_seed(seed ^ 78);
        let links: Vec<(NodeId, usize)> = (1..net.topology.links.len())
            .map(|link| (net.topology.links[link].ends[0], link))
            .filter(|(node, _)| *node != S)
            .collect();
        let mut budgets = Vec::new();
        for (host, ..) in &hosts {
            let budget = rng.u64(100_000..60_000_000);
            let request = ReceiverRequest { budget: Some(budget), ..reserve_up_to(session, None) };
            net.receive_as(*host, request);
            budgets.push(budget);
        }
        let (start, begun) = (net.balances(), net.now_us());
        for _ in 0..40 {
            if rng.u8(0..3) == 0 && !links.is_empty() {
                let (node, link) = links[rng.usize(0..links.len())];
                random_price(&mut net, &mut rng, node, link);
            }
            let before = net.balances();
            let ms = rng.u64(1..20_000);
            net.run_ms(ms);
            let after = net.balances();
            for ((host, ..), budget) in hosts.iter().zip(&budgets) {
                let paid = before[*host] - after[*host];
                // What a lost refresh left open is billed when it comes, at most H later.
                let most = i128::from(*budget) * i128::from(ms + 47_000);
                assert!(paid <= most, "seed {seed}, {host}: {paid} in {ms} ms, at most {most}");
            }
        }
        let (end, ms) = (net.balances(), i128::from(net.now_us() - begun) / 1_000);
        for ((host, ..), budget) in hosts.iter().zip(&budgets) {
            let paid = start[*host] - end[*host];
            assert!(paid <= i128::from(*budget) * ms, "seed {seed}, {host}: {paid} in {ms} ms");
            reserved += usize::from(paid > 0);
        }
        net.assert_promise();
    }
    assert!(reserved > 0);
}
