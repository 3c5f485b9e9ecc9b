//! Hosts without RSVP, and routers that speak for them (RFC 5945, RFC 5946): S 0 - A 1 - B 2 - R 3.

use std::net::IpAddr;

use lcm_daemon::config::{Accounts, Config, Preemption, ReceiverProxy, Unknown};
use lcm_daemon::engine::{
    Behind, Handle, NoticeEvent, Priority, ReceiverRequest, SenderRequest, SenderShare,
    SpendingNews,
};
use lcm_daemon::ledger::record::Actor;
use lcm_daemon::purse::Terms;
use lcm_tests::sim::{
    Family, Kind, LinkId, Net, NodeConfig, NodeId, Options, TSPEC, Topology, group, reserve_up_to,
};
use rsvp_wire::object::{Filter, Session, Tspec};
use rsvp_wire::{Message, MessageType};

const S: NodeId = 0;
const A: NodeId = 1;
const B: NodeId = 2;
const R: NodeId = 3;
const TO_B: LinkId = 1;
const TO_R: LinkId = 2;

/// (K + ½) · 1.5 R.
const LIFETIME: u64 = 157_500;
/// What each node gets per second when all is reserved, and nobody sponsors.
const ALL: [i128; 4] = [0, 100, 60, -160];
const NOBODY: [i128; 4] = [0; 4];
/// 1 Mbit/s is less than what [`TSPEC`] needs.
const TOO_LITTLE: u64 = 900_000;

/// The price of a whole way, as a maximum.
fn up_to(max_price: u64) -> ReceiverProxy {
    ReceiverProxy {
        receiver: "0.0.0.0/0".parse().unwrap(),
        interface: Some("to-R".to_owned()),
        protocol: None,
        ports: None,
        max_price_pico_per_s: max_price,
        account: None,
        bucket: None,
        discover: true,
        retry_s: 60,
    }
}

struct Play {
    net: Net,
    session: Session,
}

impl Play {
    /// R is a host of this kind; B reserves for it.
    fn new(options: Options, kinds: [Kind; 2], proxy: Option<ReceiverProxy>) -> Self {
        Self::limited(options, kinds, proxy, None)
    }

    fn limited(
        options: Options,
        [sender, receiver]: [Kind; 2],
        proxy: Option<ReceiverProxy>,
        limit: Option<(LinkId, NodeId)>,
    ) -> Self {
        let mut t = Topology::default();
        let nodes = [("S", sender), ("A", Kind::Router), ("B", Kind::Router), ("R", receiver)];
        let [s, a, b, r] = nodes.map(|(name, kind)| t.node(name, kind));
        t.link(s, a, (0, 0));
        t.link(a, b, (100, 200));
        t.link(b, r, (60, 80));
        if let Some((link, from)) = limit {
            t.limit(link, from, TOO_LITTLE);
        }
        let mut net = Net::new(t, options);
        if let Some(proxy) = proxy {
            let any = match net.family() {
                Family::V4 => "0.0.0.0/0",
                Family::V6 => "::/0",
            };
            let proxy = ReceiverProxy { receiver: any.parse().unwrap(), ..proxy };
            net.configure(B, |config: &mut Config| config.receiver_proxies.push(proxy));
        }
        let session = net.session_to(r);
        Self { net, session }
    }

    fn send(&mut self, tspec: Tspec, share: Option<SenderShare>) -> Handle {
        let handle = self.net.send_traffic(S, self.session, tspec, share);
        self.net.run_ms(10_000);
        handle
    }

    /// Errors that the sender was told of: code, value, what would be required.
    fn told(&self, at: NodeId) -> Vec<(u8, u16, Option<u64>)> {
        let told = self.net.node(at).notices().iter();
        told.filter_map(|notice| match notice.event {
            NoticeEvent::Error { code, value, required, .. } => Some((code, value, required)),
            _ => None,
        })
        .collect()
    }

    /// The error messages of a type that a node sent: (InPlace flag, node that found it).
    fn errors(&self, from: NodeId, kind: MessageType) -> Vec<(u8, IpAddr)> {
        let sent = self.net.log.crossings().iter();
        let sent = sent.filter(|c| c.from == from && c.message_type == kind);
        sent.map(|crossing| match Message::parse(self.net.log.bytes(crossing)).unwrap() {
            Message::PathErr(error) => (error.error.flags.0, error.error.node),
            Message::ResvErr(error) => (error.error.flags.0, error.error.node),
            other => panic!("{other:?}"),
        })
        .collect()
    }

    fn crossed(&self, link: LinkId, kind: MessageType) -> usize {
        let all = self.net.log.crossings().iter();
        all.filter(|c| c.link == link && c.message_type == kind).count()
    }

    fn counted(&self, event: &str) -> u64 {
        self.net.node(B).engine().counters().receiver_proxy.get(event).copied().unwrap_or(0)
    }
}

const PLAIN: [Kind; 2] = [Kind::Host, Kind::Plain];

#[test]
fn a_path_makes_the_router_reserve_for_a_receiver_without_rsvp() {
    for family in [Family::V4, Family::V6] {
        for (reducing, discover) in [(None, true), (Some(0), false)] {
            let config = NodeConfig { reducing, ..NodeConfig::default() };
            let options = Options { family, config, ..Options::default() };
            let proxy = ReceiverProxy { discover, ..up_to(160) };
            let mut play = Play::new(options, PLAIN, Some(proxy));
            let handle = play.send(TSPEC, None);
            play.net.assert_metered(10_000, &ALL);
            let shown = play.net.node(B).engine().show_reservations(play.net.clock(B));
            assert!(shown.len() == 1 && shown[0].proxied, "{shown:?}");
            assert_eq!(play.crossed(TO_R, MessageType::Path) > 0, discover);
            // It is refreshed for as long as PATH comes, and ends with it.
            play.net.run_ms(3_600_000);
            play.net.assert_metered(10_000, &ALL);
            assert!(play.told(S).is_empty() && play.counted("asked") == 1);
            play.net.close(S, handle);
            play.net.run_ms(1_000);
            assert_eq!(play.net.sizes(), (0, 0, 0), "{family:?}");
            assert_eq!(play.crossed(TO_R, MessageType::PathTear) > 0, discover);
        }
    }
}

/// The sender pays its share, and the proxy the rest, as a receiver would.
#[test]
fn a_proxy_pays_what_the_sender_leaves() {
    let mut play = Play::new(Options::default(), PLAIN, Some(up_to(112)));
    let share = SenderShare {
        fraction_ppm: 300_000,
        limit_per_receiver: Some(1_000),
        ..SenderShare::default()
    };
    play.send(TSPEC, Some(share));
    play.net.assert_metered(10_000, &[-48, 100, 60, -112]);
}

/// What the operator allows is the limit: not a unit more, whoever asks for it.
#[test]
fn r110_a_proxy_agrees_to_no_more_than_its_maximum() {
    let mut play = Play::new(Options::default(), PLAIN, Some(up_to(159)));
    play.send(TSPEC, None);
    play.net.assert_metered(10_000, &NOBODY);
    assert_eq!(play.told(S), [(2, 4, Some(160))], "policy, and what would be required");
    assert_eq!(play.crossed(TO_B, MessageType::Resv), 0, "nothing was asked for");
    // Told again each minute, since errors get lost; not with each PATH.
    play.net.run_ms(300_000);
    assert!((4..=6).contains(&play.told(S).len()), "{:?}", play.told(S));
    // The price falls, and rises: what was agreed to goes on for a while, then ends.
    play.net.set_price(A, TO_B, 99, false);
    play.net.run_ms(5_000);
    play.net.assert_metered(10_000, &[0, 99, 60, -159]);
    let before = play.told(S).len();
    play.net.set_price(A, TO_B, 150, false);
    play.net.run_ms(5_000);
    assert_eq!(play.told(S)[before..], [(2, 4, Some(210))]);
    play.net.run_ms(LIFETIME);
    play.net.assert_metered(10_000, &NOBODY);
    assert_eq!(play.net.node(A).engine().sizes().2, 0, "and RESVTEAR went up");
    play.net.set_price(A, TO_B, 90, false);
    play.net.run_ms(10_000);
    play.net.assert_metered(10_000, &[0, 90, 60, -150]);
}

/// RFC 5946 section 3.1: a RESVERR that comes down goes up as PATHERR, and what was reserved on the
/// way is given back.
#[test]
fn what_is_refused_above_is_told_to_the_sender() {
    for reducing in [None, Some(0)] {
        let config = NodeConfig { reducing, ..NodeConfig::default() };
        let options = Options { config, ..Options::default() };
        let limit = Some((TO_B, A));
        let mut play = Play::limited(options, PLAIN, Some(up_to(500)), limit);
        let handle = play.send(TSPEC, None);
        assert_eq!(play.told(S), [(1, 2, None)], "admission control, bandwidth");
        let node = play.net.topology.address_on(Family::V4, B, TO_B);
        if reducing.is_none() {
            // With numbers it goes in a Bundle.
            assert_eq!(play.errors(B, MessageType::PathErr), [(0, node)], "found by the proxy");
        }
        assert_eq!(play.net.sizes().2, 0, "nothing is held");
        play.net.run_ms(3 * 60_000);
        let again = play.told(S).len();
        assert!((3..=5).contains(&again), "tried again each minute: {again}");
        // Less would do.
        play.net.close(S, handle);
        play.send(Tspec::new(100_000, 10_000, 64, 1_500), None);
        play.net.assert_metered(10_000, &ALL);
        assert_eq!(play.told(S).len(), again);
    }
}

/// No room on the last link: as if a router there had answered (section 3.1).
#[test]
fn what_is_refused_by_the_proxy_itself_is_told_to_the_sender() {
    let mut play = Play::limited(Options::default(), PLAIN, Some(up_to(500)), Some((TO_R, B)));
    play.send(TSPEC, None);
    assert_eq!(play.told(S), [(1, 2, None)]);
    assert_eq!((play.net.sizes().2, play.crossed(TO_B, MessageType::Resv)), (0, 0));
    assert_eq!(play.counted("refused_here"), 1);
}

/// Section 3.1.2: a code that the sender can do nothing about becomes 36, with what it was.
#[test]
fn other_errors_become_those_of_the_proxy() {
    let mut play = Play::new(Options::default(), PLAIN, Some(up_to(500)));
    play.send(TSPEC, None);
    play.net.assert_metered(10_000, &ALL);
    // A hop above says that it knows of no such sender.
    let refuse = |play: &mut Play, code: u8, value: u16, flags: u8| {
        let resv = play.net.log.crossings().iter().rev();
        let mut resv = resv.filter(|c| c.link == TO_B && c.message_type == MessageType::Resv);
        let resv = play.net.log.bytes(resv.next().unwrap()).to_vec();
        let Message::Resv(resv) = Message::parse(&resv).unwrap() else { panic!() };
        let [a, b] = [A, B].map(|node| play.net.topology.address_on(Family::V4, node, TO_B));
        let flow = resv.flows().next().unwrap();
        let mut buffer = [0; 400];
        let mut w = rsvp_wire::MessageWriter::new(&mut buffer, MessageType::ResvErr, 255);
        let interface = play.net.topology.interface(B, TO_B);
        w.object(&resv.session).unwrap();
        w.object(&rsvp_wire::object::Hop { address: a, lih: interface }).unwrap();
        let flags = rsvp_wire::object::ErrorFlags(flags);
        w.object(&rsvp_wire::object::ErrorSpec { node: a, flags, code, value }).unwrap();
        w.object(&resv.style).unwrap();
        w.object(&flow.flowspec).unwrap();
        w.object(&flow.filter.unwrap()).unwrap();
        let length = w.finish().unwrap();
        let meta = lcm_daemon::packet::PacketMeta {
            interface,
            source: a,
            destination: b,
            ttl: 255,
            router_alert: false,
        };
        play.net.inject(B, meta, &buffer[..length]);
        play.net.run_ms(100);
    };
    // What stays in place above stays here, and the sender hears so.
    refuse(&mut play, 1, 2, 1);
    assert_eq!(play.errors(B, MessageType::PathErr)[0].0, 1, "InPlace");
    play.net.assert_metered(10_000, &ALL);
    refuse(&mut play, 4, 0, 0);
    assert_eq!(play.told(S), [(1, 2, None), (36, 0x0104, None)]);
    assert_eq!(play.net.node(B).engine().sizes().2, 0);
    play.net.run_ms(70_000);
    play.net.assert_metered(10_000, &ALL);
}

/// Section 4.1: PATH goes on, and a receiver that answers it takes the reservation over for good.
#[test]
fn a_receiver_that_speaks_rsvp_takes_over() {
    for family in [Family::V4, Family::V6] {
        let kinds = [Kind::Host, Kind::Host];
        let options = Options { family, ..Options::default() };
        let mut play = Play::new(options, kinds, Some(up_to(500)));
        play.send(TSPEC, None);
        play.net.run_ms(60_000);
        let shown = |play: &Play| play.net.node(B).engine().show_reservations(play.net.clock(B));
        assert!(shown(&play)[0].proxied);
        let paths = play.crossed(TO_B, MessageType::ResvTear);
        let session = play.session;
        let handle = play.net.receive(R, session);
        play.net.run_ms(60_000);
        let now = shown(&play);
        assert!(now.len() == 1 && !now[0].proxied, "{now:?}");
        assert_eq!(play.crossed(TO_B, MessageType::ResvTear), paths, "A noticed nothing");
        play.net.assert_metered(10_000, &ALL);
        assert_eq!(play.counted("gave_way"), 1);
        // It is a router like any other from then on.
        play.net.close(R, handle);
        play.net.run_ms(LIFETIME);
        assert!(shown(&play).is_empty());
        play.net.assert_metered(10_000, &NOBODY);
    }
}

#[test]
fn a_proxy_s_reservation_ends_with_its_sender_and_with_its_way() {
    let mut play = Play::new(Options::default(), PLAIN, Some(up_to(500)));
    play.send(TSPEC, None);
    play.net.set_link(TO_R, false);
    play.net.run_ms(1_000);
    assert_eq!(play.net.sizes().2, 0, "no way, no reservation");
    play.net.assert_metered(5_000, &NOBODY);
    play.net.set_link(TO_R, true);
    play.net.run_ms(60_000);
    play.net.assert_metered(10_000, &ALL);
    play.net.kill(S);
    play.net.run_ms(2 * LIFETIME);
    assert_eq!(play.net.sizes(), (0, 0, 0));
}

/// A router that dies and comes back reserves anew, as PATH comes.
#[test]
fn a_proxy_that_restarts_reserves_anew() {
    let mut play = Play::new(Options::default(), PLAIN, Some(up_to(500)));
    play.send(TSPEC, None);
    play.net.kill(B);
    play.net.run_ms(5_000);
    play.net.start(B);
    play.net.run_ms(90_000);
    play.net.assert_metered(10_000, &ALL);
}

/// A flowspec that the operator gives, whatever the sender says.
#[test]
fn a_proxy_reserves_what_is_configured() {
    let proxy = ReceiverProxy { bucket: Some((50_000, 4_000)), ..up_to(500) };
    let mut play = Play::new(Options::default(), PLAIN, Some(proxy));
    play.send(TSPEC, None);
    play.net.assert_metered(10_000, &ALL);
    let shown = play.net.node(A).engine().show_reservations(play.net.clock(A));
    assert_eq!((shown[0].traffic.rate, shown[0].traffic.bucket), (50_000, 4_000));
}

/// What is reserved is paid for, and not all that the sender sends; and it is priced when it grows.
#[test]
fn what_a_proxy_reserves_costs_what_that_costs() {
    let proxy = ReceiverProxy { bucket: Some((50_000, 4_000)), ..up_to(5_000) };
    let mut play = Play::new(Options::default(), PLAIN, Some(proxy));
    play.net.set_tariff(A, TO_B, (0, 0), (1_000, 0));
    play.net.set_tariff(B, TO_R, (0, 0), (500, 0));
    play.send(TSPEC, None);
    play.net.run_ms(LIFETIME);
    play.net.assert_metered(10_000, &[0, 400, 200, -600]);
}

/// PATH for a sender without RSVP, by its first router, which covers its share.
#[test]
fn a_router_sends_path_for_a_sender_without_rsvp() {
    let share = |ppm| SenderShare {
        fraction_ppm: ppm,
        limit_per_receiver: Some(1_000),
        ..SenderShare::default()
    };
    for family in [Family::V4, Family::V6] {
        for (receiver, proxy) in [(Kind::Host, None), (Kind::Plain, Some(up_to(500)))] {
            let options = Options { family, ..Options::default() };
            let kinds = [Kind::Plain, receiver];
            let mut play = Play::new(options, kinds, proxy);
            let session = play.session;
            if receiver == Kind::Host {
                play.net.receive(R, session);
            }
            let sender = Filter::port(play.net.address(S), 4_000);
            let request = SenderRequest {
                session,
                sender,
                tspec: TSPEC,
                ttl: 63,
                interface: None,
                share: Some(share(500_000)),
                behind: Some(Behind::Anywhere),
            };
            let opened = request.clone();
            let handle = play.net.input(A, |engine, now| engine.open_sender(now, opened)).unwrap();
            play.net.run_ms(60_000);
            // A takes 50 of B, and pays it 30 on the sender's behalf.
            play.net.assert_metered(10_000, &[0, 20, 60, -80]);
            let path = play.net.log.crossings().iter();
            let path = path.filter(|c| c.link == TO_B && c.message_type == MessageType::Path);
            assert!(path.clone().all(|c| c.source == sender.source), "PATH goes as the data does");
            play.net.close(A, handle);
            play.net.run_ms(1_000);
            assert_eq!(play.net.sizes().1, 0);
            // Without being asked to, nobody speaks for others.
            let alone = SenderRequest { behind: None, ..request };
            let refused = play.net.input(A, |engine, now| engine.open_sender(now, alone));
            assert!(refused.unwrap_err().to_string().contains("not an address of this node"));
        }
    }
}

/// A group: routed by the interface that the sender is behind.
#[test]
fn proxies_at_both_ends_of_a_group() {
    let mut play = Play::new(Options::default(), [Kind::Plain, Kind::Plain], Some(up_to(160)));
    let session = group(Family::V4, 7);
    play.net.fix_members(session, [R]);
    let sender = Filter::port(play.net.address(S), 4_000);
    let interface = play.net.topology.interface(A, 0);
    let request = |behind| SenderRequest {
        session,
        sender,
        tspec: TSPEC,
        ttl: 63,
        interface: None,
        share: Some(SenderShare::default()),
        behind: Some(behind),
    };
    let behind = request(Behind::Interface(interface));
    play.net.input(A, |engine, now| engine.open_sender(now, behind)).unwrap();
    play.net.run_ms(60_000);
    let shown = play.net.node(B).engine().show_reservations(play.net.clock(B));
    assert!(shown.len() == 1 && shown[0].proxied, "{shown:?}");
    let paid = shown[0].charging.as_ref().unwrap();
    assert_eq!((paid.debited, paid.status.as_str()), (160, "ACTIVE"));
    let above = play.net.node(A).engine().show_reservations(play.net.clock(A));
    assert_eq!(above[0].charging.as_ref().unwrap().debited, 100);
}

/// Senders of the configuration are opened when their interface is there.
#[test]
fn senders_of_the_configuration_are_opened_with_their_interface() {
    let mut play = Play::new(Options::default(), [Kind::Plain, Kind::Host], None);
    let [s, r] = [S, R].map(|node| play.net.address(node));
    let table = |interface: &str| {
        format!(
            "[[sender_proxy]]\nsession = \"{r}:5000\"\nsource = \"{s}:4000\"\nrate = 125000\n\
             interface = \"{interface}\"\n"
        )
    };
    for (interface, opens) in [("to-S", true), ("eth7", false)] {
        let proxies = Config::parse(&table(interface), "test").unwrap().sender_proxies;
        play.net.configure(A, |config| config.sender_proxies = proxies);
        let failed = play.net.input(A, |engine, now| engine.open_proxies(now));
        assert_eq!(failed.is_empty(), opens);
        play.net.run_ms(5_000);
        assert_eq!(play.net.node(A).engine().sizes().1, usize::from(opens));
        let again = play.net.input(A, |engine, now| engine.open_proxies(now));
        assert!(again.is_empty(), "the operator is told once");
    }
}

/// A proxy that pays from an account of the router's books.
fn on_account() -> ReceiverProxy {
    ReceiverProxy { account: Some("opaque:guests".parse().unwrap()), ..up_to(500) }
}

impl Play {
    fn with_accounts(unknown: Unknown) -> Self {
        let mut play = Self::new(Options::default(), PLAIN, Some(on_account()));
        let accounts = Accounts { unknown, ..Accounts::default() };
        play.net.configure(B, |config| config.accounts = Some(accounts));
        play
    }

    fn open_account(&mut self) {
        let by = Actor { uid: 0, name: "root".to_owned() };
        let opened = ("opaque:guests".parse().unwrap(), Terms::prepaid(978));
        let opened = self.net.input(B, |engine, now| engine.create_account(now, &by, 0, opened));
        opened.unwrap();
    }

    /// Pays in, in 10⁻¹⁵ currency units: a rate of 160 takes 160 a millisecond.
    fn credit(&mut self, amount: u128) {
        let by = Actor { uid: 0, name: "root".to_owned() };
        let paid = ("opaque:guests".parse().unwrap(), 978, amount);
        let why = "cash".to_owned();
        let paid = self.net.input(B, |engine, now| engine.credit_account(now, &by, 0, paid, why));
        paid.unwrap();
    }

    /// How often an account was used up.
    fn ends(&self) -> usize {
        let news = self.net.node(B).spending().iter();
        news.filter(|news| matches!(news.news, SpendingNews::Ended { .. })).count()
    }
}

/// Its account is asked as any receiver's: unknown, closed, empty, it reserves nothing.
#[test]
fn r023_a_proxy_pays_from_an_account_that_can() {
    let mut play = Play::with_accounts(Unknown::Refuse);
    play.send(TSPEC, None);
    play.net.assert_metered(10_000, &NOBODY);
    assert_eq!(play.told(S), [(2, 3, None)], "rejected: no such account");
    assert_eq!(play.crossed(TO_B, MessageType::Resv), 0);
    // Without money it is as good as unknown; then it is tried again by the clock.
    play.open_account();
    play.net.run_ms(60_000);
    assert_eq!(play.told(S)[1..], [(2, 4, None)], "nothing is left on it");
    play.credit(1_000_000_000);
    play.net.run_ms(61_000);
    play.net.assert_metered(10_000, &ALL);
    assert_eq!(play.told(S).len(), 2);
}

/// What is used up ends once, and is not asked for anew before it is time.
#[test]
fn r023_a_used_up_account_ends_a_proxy_s_reservation_for_good() {
    for established in [true, false] {
        let mut play = Play::with_accounts(Unknown::Accept);
        play.net.configure(B, |config| {
            let charging = config.charging.as_mut().unwrap();
            charging.require_established = established;
        });
        play.open_account();
        play.credit(3_200_000);
        play.send(TSPEC, None);
        let before = play.net.events();
        play.net.run_ms(50_000);
        assert!(play.net.events() - before < 500, "{}", play.net.events() - before);
        assert_eq!(play.ends(), 1);
        play.net.assert_metered(10_000, &NOBODY);
        assert_eq!(play.told(S).iter().filter(|told| told.1 == 4).count(), play.told(S).len());
        // Money lets it in again when it is tried again.
        play.credit(1_000_000_000);
        play.net.run_ms(61_000);
        play.net.assert_metered(10_000, &ALL);
        assert_eq!(play.ends(), 1);
    }
}

/// A price that was declined, and fell before it was time to look again, leaves nothing to look at.
#[test]
fn a_price_that_falls_in_time_leaves_no_alarm() {
    let mut play = Play::new(Options::default(), PLAIN, Some(up_to(170)));
    play.send(TSPEC, None);
    for price in [150, 100] {
        play.net.set_price(A, TO_B, price, false);
        play.net.run_ms(5_000);
    }
    play.net.assert_metered(10_000, &ALL);
    assert_eq!(play.told(S), [(2, 4, Some(210))]);
    play.net.run_ms(60_000);
    let before = play.net.events();
    play.net.run_ms(60_000);
    assert!(play.net.events() - before < 500, "{}", play.net.events() - before);
    assert_eq!(play.told(S).len(), 1);
}

/// A reservation for a receiver without RSVP gives way like any other, and does not take the room
/// back in the same breath.
#[test]
fn what_a_proxy_reserved_gives_way_to_a_higher_priority() {
    let whole = TSPEC.rate.to_integer();
    let most = 12 * whole;
    for (preemption, value, left) in
        [(Preemption::End, 5, None), (Preemption::Reduce, 102, Some(whole / 2))]
    {
        let config = NodeConfig { preemption, ..NodeConfig::default() };
        let options = Options { config, ..Options::default() };
        let mut t = Topology::default();
        let kinds =
            [("S", Kind::Host), ("A", Kind::Router), ("B", Kind::Router), ("R", Kind::Host)];
        for (name, kind) in kinds {
            t.node(name, kind);
        }
        t.link(S, A, (0, 0));
        t.link(A, B, (100, 200));
        t.link(B, R, (60, 80));
        t.limit(TO_R, B, most);
        let mut net = Net::new(t, options);
        let proxy = ReceiverProxy { ports: Some((5_000, 5_000)), ..up_to(500) };
        net.configure(B, |config| config.receiver_proxies.push(proxy));
        let session = net.session_to(R);
        let mut play = Play { net, session };
        play.send(TSPEC, None);
        assert_eq!(play.net.rates_over(10_000), ALL);
        let other = Session { destination_port: 5_001, ..session };
        play.net.send(S, other, None);
        play.net.run_ms(1_000);
        let priority = Some(Priority { preemption: 5, defending: 5 });
        let request = ReceiverRequest { priority, ..reserve_up_to(other, None) };
        let handle = play.net.receive_as(R, request);
        let standing = |play: &Play| -> [Option<u64>; 2] {
            let interface = play.net.topology.interface(B, TO_R);
            let all = play.net.node(B).traffic();
            let sum: u64 = all
                .iter()
                .filter(|((_, on, _), _)| *on == interface)
                .map(|(_, setting)| setting.flowspec.tspec().rate.to_integer() * 8)
                .sum();
            assert!(sum <= most, "{sum} of {most} are sold");
            [session, other].map(|of| {
                let mut found = all.iter().filter(|((s, on, _), _)| (*s, *on) == (of, interface));
                found.next().map(|(_, setting)| setting.flowspec.tspec().rate.to_integer())
            })
        };
        for _ in 0..40 {
            play.net.run_ms(500);
            assert_eq!(standing(&play), [left, Some(whole)], "{preemption:?}");
        }
        assert_eq!(play.told(S), [(2, value, None)], "{preemption:?}");
        assert_eq!(play.counted("preempted"), 1);
        // What is left is paid for at the price that it has.
        play.net.set_price(A, TO_B, 110, false);
        play.net.run_ms(10_000);
        let rates = if left.is_some() { [0, 220, 120, -340] } else { [0, 110, 60, -170] };
        assert_eq!(play.net.rates_over(5_000), rates);
        // It is asked for again by the clock; the sender is told that there is no room.
        play.net.run_ms(61_000);
        assert_eq!(standing(&play), [left, Some(whole)], "{preemption:?}");
        assert!(play.told(S)[1..].iter().all(|told| *told == (1, 2, None)), "{:?}", play.told(S));
        assert!((2..=3).contains(&play.told(S).len()), "{:?}", play.told(S));
        play.net.close(R, handle);
        play.net.run_ms(61_000);
        assert_eq!(standing(&play), [Some(whole), None], "{preemption:?}");
    }
}
