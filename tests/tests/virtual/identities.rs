//! Who reserves (RFC 3182): S 0 - A 1 - B 2 - R 3, and a second receiver Q 4 on a link of its own.

use std::net::{IpAddr, Ipv4Addr};

use lcm_daemon::config::{
    Account, AccountKind, Accounts, Admitted, Config, Credential, Demand, IdentityKey,
    IdentityKind, IdentityRule, Secret, Unknown,
};
use lcm_daemon::engine::{Handle, NoticeEvent, ReceiverRequest, SenderShare};
use lcm_daemon::ledger::record::Actor;
use lcm_daemon::packet::PacketMeta;
use lcm_daemon::purse::{Holder, Terms};
use lcm_tests::sim::{
    Family, Kind, LinkId, Net, NodeConfig, NodeId, Options, Topology, group, reserve_up_to,
};
use rsvp_wire::iana::ptype;
use rsvp_wire::object::{Hop, Session};
use rsvp_wire::policy::{AuthAttribute, AuthData, CredentialType, write_auth_data};
use rsvp_wire::{Message, MessageType, MessageWriter, PolicyOptions, rewrite_checksum};

const S: NodeId = 0;
const A: NodeId = 1;
const B: NodeId = 2;
const R: NodeId = 3;
const Q: NodeId = 4;

/// (K + ½) · 1.5 R.
const LIFETIME: u64 = 157_500;
/// What each node gets per second when R has reserved.
const ONE: [i128; 5] = [0, 100, 60, -160, 0];
const NOBODY: [i128; 5] = [0; 5];

fn key(secret: &str) -> Option<IdentityKey> {
    Some(IdentityKey { file: "/k".into(), secret: Some(Secret::new(secret.as_bytes())) })
}

fn user(name: &str, secret: &str) -> Credential {
    Credential { kind: IdentityKind::User, name: name.to_owned(), key: key(secret) }
}

/// An interface that lets Alice in, who may have to pay from one account.
fn rule(interface: &str, account: Option<&str>) -> IdentityRule {
    let account = account.map(|id| Account::new(AccountKind::Opaque, id).unwrap());
    let alice = Admitted { key: key("alice's secret"), account };
    IdentityRule {
        interface: Some(interface.to_owned()),
        neighbour: None,
        demand: Demand::Resv,
        admit: [((IdentityKind::User, "alice".to_owned()), alice)].into(),
        present: None,
    }
}

struct Play {
    net: Net,
    session: Session,
    receiver: Option<Handle>,
}

impl Play {
    /// A network in which nodes have rules.
    fn new(options: Options, rules: &[(NodeId, IdentityRule)]) -> Self {
        let mut t = Topology::default();
        let nodes = [
            ("S", Kind::Host),
            ("A", Kind::Router),
            ("B", Kind::Router),
            ("R", Kind::Host),
            ("Q", Kind::Host),
        ];
        let [s, a, b, r, q] = nodes.map(|(name, kind)| t.node(name, kind));
        t.link(s, a, (0, 0));
        t.link(a, b, (100, 100));
        t.link(b, r, (60, 60));
        t.link(b, q, (30, 30));
        let mut net = Net::new(t, options);
        for (node, rule) in rules {
            net.configure(*node, |config: &mut Config| config.identities.push(rule.clone()));
        }
        let session = group(net.family(), 1);
        net.fix_members(session, [r, q]);
        net.send(s, session, None);
        Self { net, session, receiver: None }
    }

    fn receive(&mut self, at: NodeId, identity: Option<Credential>) {
        let request = ReceiverRequest { identity, ..reserve_up_to(self.session, None) };
        self.receiver = Some(self.net.receive_as(at, request));
        self.net.run_ms(10_000);
    }

    fn refusals(&self, at: NodeId) -> Vec<String> {
        let told = self.net.node(at).notices().iter();
        told.filter_map(|notice| match &notice.event {
            NoticeEvent::Error { code: 2, detail, .. } => detail.clone(),
            _ => None,
        })
        .collect()
    }

    /// AUTH_USER elements in messages of a type from a node.
    fn said(&self, from: NodeId, kind: MessageType) -> usize {
        let crossings = self.net.log.crossings().iter();
        let ours = crossings.filter(|c| c.from == from && c.message_type == kind);
        ours.map(|crossing| {
            let message = Message::parse(self.net.log.bytes(crossing)).unwrap();
            let objects = message.packet().policy_data();
            let found = objects.filter_map(|object| object.element(ptype::AUTH_USER));
            found.inspect(|element| assert!(AuthData::parse(element).is_ok())).count()
        })
        .sum()
    }
}

#[test]
fn r088_whoever_proves_to_be_alice_reserves_and_goes_on_for_hours() {
    for family in [Family::V4, Family::V6] {
        for reducing in [None, Some(0)] {
            let config = NodeConfig { reducing, ..NodeConfig::default() };
            let options = Options { family, config, ..Options::default() };
            let mut play = Play::new(options, &[(B, rule("to-R", None))]);
            play.receive(R, Some(user("alice", "alice's secret")));
            play.net.assert_metered(10_000, &ONE);
            let shown = play.net.node(B).engine().show_reservations(play.net.clock(B));
            assert_eq!(shown[0].identity.as_deref(), Some("alice"));
            // What is signed runs out several times on the way.
            play.net.run_ms(2 * 3_600_000);
            play.net.assert_metered(10_000, &ONE);
            assert!(play.refusals(R).is_empty(), "{family:?} {reducing:?}");
            assert!(play.said(R, MessageType::Resv) > 10, "signed anew as it runs out");
            assert_eq!(play.said(B, MessageType::Resv), 0, "it ends where it is checked");
            play.net.assert_promise();
        }
    }
}

#[test]
fn r021_r088_nobody_reserves_in_the_name_of_another() {
    let wrong = Some(user("alice", "guessed wrong"));
    let plain = Some(Credential { key: None, ..user("alice", "") });
    let stranger = Some(user("mallory", "alice's secret"));
    for identity in [None, wrong, plain, stranger] {
        let mut play = Play::new(Options::default(), &[(B, rule("to-R", None))]);
        play.receive(R, identity);
        play.net.run_ms(LIFETIME);
        assert_eq!(play.refusals(R)[0], "identity: INSUFFICIENT_PRIVILEGES");
        play.net.assert_metered(10_000, &NOBODY);
        // Nobody is asked on the other link.
        play.receive(Q, None);
        play.net.run_ms(60_000);
        play.net.assert_metered(10_000, &[0, 100, 30, 0, -130]);
        play.net.assert_promise();
    }
}

/// Who is let in may pay from its own account only: hosts of the simulation pay from that which
/// has their name.
#[test]
fn r022_r088_an_identity_goes_with_its_account() {
    for (account, rates) in [("R", ONE), ("Q", NOBODY)] {
        let mut play = Play::new(Options::default(), &[(B, rule("to-R", Some(account)))]);
        play.receive(R, Some(user("alice", "alice's secret")));
        play.net.assert_metered(10_000, &rates);
        assert_eq!(play.refusals(R).is_empty(), rates == ONE);
    }
}

/// B does not ask: what R says goes on to A, which does, of its neighbour B.
#[test]
fn r088_an_identity_crosses_a_router_that_does_not_ask() {
    let mut play = Play::new(Options::default(), &[(A, rule("to-B", None))]);
    play.receive(R, Some(user("alice", "alice's secret")));
    play.net.assert_metered(10_000, &ONE);
    play.net.run_ms(3_600_000);
    play.net.assert_metered(10_000, &ONE);
    assert!(play.said(B, MessageType::Resv) > 10 && play.said(A, MessageType::Resv) == 0);
}

/// Section 5: the credentials are those of the current node. R is known to B, B to A.
#[test]
fn r088_a_router_that_asks_says_upstream_who_it_is_itself() {
    let customers = rule("to-R", None);
    let up = |name: &str| IdentityRule {
        demand: Demand::None,
        admit: [].into(),
        present: Some(user(name, "alice's secret")),
        ..rule("to-A", None)
    };
    for (name, rates) in [("alice", ONE), ("mallory", NOBODY)] {
        let rules = [(A, rule("to-B", None)), (B, customers.clone()), (B, up(name))];
        let mut play = Play::new(Options::default(), &rules);
        play.receive(R, Some(user("alice", "alice's secret")));
        play.net.run_ms(LIFETIME);
        play.net.assert_metered(10_000, &rates);
    }
}

/// An identity that is let in no more: what stands by it ends with its next refresh that is due,
/// though that would have been a number.
#[test]
fn r088_whom_the_operator_strikes_out_loses_the_reservation() {
    for reducing in [None, Some(0)] {
        let config = NodeConfig { reducing, ..NodeConfig::default() };
        let mut play =
            Play::new(Options { config, ..Options::default() }, &[(B, rule("to-R", None))]);
        play.receive(R, Some(user("alice", "alice's secret")));
        play.net.run_ms(200_000);
        play.net.assert_metered(10_000, &ONE);
        let mut without = rule("to-R", None);
        without.admit = [((IdentityKind::User, "bob".to_owned()), Admitted::default())].into();
        play.net.input(B, |engine, _| engine.set_identities(vec![without]));
        play.net.run_ms(2 * LIFETIME);
        play.net.assert_metered(10_000, &NOBODY);
        assert!(!play.refusals(R).is_empty(), "{reducing:?}");
        play.net.input(B, |engine, _| engine.set_identities(vec![rule("to-R", None)]));
        play.net.run_ms(2 * LIFETIME);
        play.net.assert_metered(10_000, &ONE);
        play.net.assert_promise();
    }
}

/// A sender is asked as well: where it says nothing, no path state is made and it hears why.
#[test]
fn r088_a_sender_that_says_nothing_is_not_forwarded() {
    let ask = IdentityRule { demand: Demand::Path, ..rule("to-S", None) };
    let say = IdentityRule {
        demand: Demand::None,
        admit: [].into(),
        present: Some(user("alice", "alice's secret")),
        ..rule("to-A", None)
    };
    let mut play = Play::new(Options::default(), &[(A, ask.clone())]);
    play.receive(R, None);
    play.net.run_ms(60_000);
    play.net.assert_metered(10_000, &NOBODY);
    assert_eq!(play.refusals(S)[0], "identity: INSUFFICIENT_PRIVILEGES");
    let mut play = Play::new(Options::default(), &[(A, ask), (S, say)]);
    play.receive(R, None);
    play.net.run_ms(3_600_000);
    play.net.assert_metered(10_000, &ONE);
    assert!(play.said(S, MessageType::Path) > 10 && play.said(A, MessageType::Path) == 0);
}

const TO_A: LinkId = 0;
const TO_R: LinkId = 2;

/// The last message of a type that a node sent over a link, to be given to the node at the other
/// end once more.
fn overheard(net: &Net, link: LinkId, from: NodeId, kind: MessageType) -> (PacketMeta, Vec<u8>) {
    let crossings = net.log.crossings().iter().rev();
    let mut ours = crossings.filter(|c| (c.link, c.from, c.message_type) == (link, from, kind));
    let last = ours.next().unwrap();
    let destination = match Message::parse(net.log.bytes(last)).unwrap() {
        Message::Path(path) => path.session.destination,
        _ => net.topology.address_on(net.family(), last.to, link),
    };
    let interface = net.topology.interface(last.to, link);
    let path = kind == MessageType::Path;
    let meta =
        PacketMeta { interface, source: last.source, destination, ttl: 63, router_alert: path };
    (meta, net.log.bytes(last).to_vec())
}

/// What is overheard is good for as long as it was signed for, however often it is repeated: nobody
/// keeps the state, and the bill, of somebody who is gone.
#[test]
fn r022_r088_an_overheard_identity_runs_out() {
    let say = IdentityRule {
        demand: Demand::None,
        admit: [].into(),
        present: Some(user("alice", "alice's secret")),
        ..rule("to-A", None)
    };
    let ask = IdentityRule { demand: Demand::Path, ..rule("to-S", None) };
    for (rules, link, gone, at, kind) in [
        (vec![(B, rule("to-R", None))], TO_R, R, B, MessageType::Resv),
        (vec![(A, ask), (S, say)], TO_A, S, A, MessageType::Path),
    ] {
        let mut play = Play::new(Options::default(), &rules);
        play.receive(R, Some(user("alice", "alice's secret")));
        play.net.run_ms(300_000);
        let (meta, bytes) = overheard(&play.net, link, gone, kind);
        play.net.kill(gone);
        let stands = |play: &Play| play.net.node(at).engine().sizes().2;
        for half_minute in 0..120 {
            play.net.inject(at, meta, &bytes);
            play.net.run_ms(30_000);
            assert!(half_minute > 10 || stands(&play) == 1, "{kind:?} is good for a while");
        }
        assert_eq!(stands(&play), 0, "{kind:?}");
        assert_eq!(play.net.rates_over(10_000), NOBODY);
    }
}

/// A name without a proof beside one with it is not who reserved.
#[test]
fn r088_who_is_shown_is_who_was_proved() {
    let application = Credential {
        kind: IdentityKind::Application,
        ..user("mallory.example", "mallory's secret")
    };
    let mallory = Admitted { key: key("mallory's secret"), account: None };
    let mut both = rule("to-R", None);
    both.admit.insert((IdentityKind::Application, "mallory.example".to_owned()), mallory);
    let mut play = Play::new(Options::default(), &[(B, both)]);
    play.receive(R, Some(application));
    let (meta, mut bytes) = overheard(&play.net, TO_R, R, MessageType::Resv);
    let mut buffer = [0; 200];
    let mut w = MessageWriter::new(&mut buffer, MessageType::Resv, 255);
    let own = Hop { address: meta.source, lih: 0 };
    let alice = [AuthAttribute::Credential(CredentialType::AsciiId, b"alice")];
    let unsigned = |sink: &mut rsvp_wire::Sink<'_>| write_auth_data(sink, ptype::AUTH_USER, &alice);
    w.policy_data(&PolicyOptions::from_hop(own), unsigned).unwrap();
    let length = w.finish().unwrap();
    let at = {
        let Message::Resv(resv) = Message::parse(&bytes).unwrap() else { panic!() };
        resv.policy_data().next().unwrap().raw().offset
    };
    bytes.splice(at..at, buffer[8..length].iter().copied());
    let total = u16::try_from(bytes.len()).unwrap();
    bytes[6..8].copy_from_slice(&total.to_be_bytes());
    rewrite_checksum(&mut bytes);
    play.net.inject(B, meta, &bytes);
    let shown = play.net.node(B).engine().show_reservations(play.net.clock(B));
    assert_eq!(shown[0].identity.as_deref(), Some("mallory.example"));
}

/// A PATH from another previous hop that is refused moves nothing: neither who may not speak nor who
/// cannot pay takes a reservation away.
#[test]
fn r022_a_refused_path_leaves_the_reservation_where_it_is() {
    let stranger = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 9));
    for identity in [true, false] {
        let mut t = Topology::default();
        let nodes =
            [("S", Kind::Host), ("A", Kind::Router), ("B", Kind::Router), ("R", Kind::Host)];
        let [s, a, b, r] = nodes.map(|(name, kind)| t.node(name, kind));
        t.link(s, a, (0, 0));
        t.link(a, b, (100, 100));
        t.link(b, r, (60, 60));
        let mut net = Net::new(t, Options::default());
        net.configure(A, |config| match identity {
            true => {
                let demand = Demand::Path;
                let neighbour = Some(stranger);
                let rule = IdentityRule { demand, neighbour, interface: None, ..rule("", None) };
                config.identities.push(rule);
            }
            false => {
                config.accounts =
                    Some(Accounts { unknown: Unknown::Refuse, ..Accounts::default() });
            }
        });
        let source = net.address(S);
        if !identity {
            let by = Actor { uid: 0, name: "root".to_owned() };
            let behind = net.topology.address_on(Family::V4, B, 1);
            for holder in [Holder::Neighbour(source), Holder::Neighbour(behind)] {
                let opened = (holder.clone(), Terms::prepaid(978));
                net.input(A, |engine, now| engine.create_account(now, &by, 0, opened)).unwrap();
                let paid = (holder, 978, 1_000_000_000);
                let why = "cash".to_owned();
                net.input(A, |engine, now| engine.credit_account(now, &by, 0, paid, why)).unwrap();
            }
        }
        let session = net.session_to(r);
        let share = SenderShare {
            fraction_ppm: 500_000,
            limit_per_receiver: Some(1_000),
            ..SenderShare::default()
        };
        net.send(s, session, Some(share));
        net.receive_as(r, reserve_up_to(session, None));
        net.run_ms(20_000);
        let rates = [-80, 100, 60, -80];
        net.assert_metered(10_000, &rates);
        // The same PATH, as if another hop had sent it.
        let (meta, mut bytes) = overheard(&net, TO_A, S, MessageType::Path);
        let hop = |address: IpAddr| -> Vec<u8> {
            let IpAddr::V4(v4) = address else { panic!() };
            [[0, 12, 3, 1], v4.octets()].concat()
        };
        let (old, new) = (hop(source), hop(stranger));
        for at in 0..bytes.len() - 8 {
            if bytes[at..at + 8] == old {
                bytes[at..at + 8].copy_from_slice(&new);
            }
        }
        rewrite_checksum(&mut bytes);
        net.inject(A, meta, &bytes);
        net.run_ms(5_000);
        let refused: u64 = net.node(A).engine().counters().path_errors_sent.values().sum();
        assert_eq!(refused, 1, "identity {identity}");
        net.assert_metered(10_000, &rates);
        let torn = |c: &&lcm_tests::sim::Crossing| c.message_type == MessageType::ResvTear;
        assert_eq!(net.log.crossings().iter().filter(torn).count(), 0);
    }
}
