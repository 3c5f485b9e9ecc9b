//! Who reserves (RFC 3182): S 0 - A 1 - B 2 - R 3, and a second receiver Q 4 on a link of its own.

use lcm_daemon::config::{
    Account, AccountKind, Admitted, Config, Credential, Demand, IdentityKey, IdentityKind,
    IdentityRule, Secret,
};
use lcm_daemon::engine::{Handle, NoticeEvent, ReceiverRequest};
use lcm_tests::sim::{
    Family, Kind, Net, NodeConfig, NodeId, Options, Topology, group, reserve_up_to,
};
use rsvp_wire::iana::ptype;
use rsvp_wire::object::Session;
use rsvp_wire::policy::AuthData;
use rsvp_wire::{Message, MessageType};

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
