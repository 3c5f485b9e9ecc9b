//! Identities message by message: interface 3 asks who somebody is, interface 4 does not.

use rsvp_wire::digest::{self, Algorithm, Key};
use rsvp_wire::iana::{error_code, policy, ptype};
use rsvp_wire::object::{Integrity, PolicyElement, Session};
use rsvp_wire::policy::{
    AuthAttribute, AuthData, CredentialType, IdentityError, LocatorType, write_auth_data,
};
use rsvp_wire::{Message, MessageType, PolicyOptions, Sink};

use super::super::Engine;
use super::credential::{ELEMENT_BYTES_MAX, write};
use super::tests::{Node, errors, filter, hop, ip, paths, resvs, session};
use super::*;
use crate::config::{Config, Credential, IdentityKey, IdentityKind, Secret};

const UNIX_S: u32 = 1_750_000_000;

fn config(demand: &str) -> Config {
    let text = format!(
        "[[identity]]\ninterface = \"eth3\"\ndemand = \"{demand}\"\n\
         admit = [{{ user = \"alice@example.net\", key = \"/k\" }}, {{ application = \"vic.exe\" }}, \
         {{ user = \"Zoë\", key = \"/k\" }}, {{ user = \"bob\" }}]\n\
         [[identity]]\nneighbour = \"10.0.2.11\"\ndemand = \"{demand}\"\nadmit = [{{ user = \"bob\" }}]\n\
         present = {{ user = \"alice@example.net\", key = \"/k\" }}\n"
    );
    let mut config = Config::parse(&text, "test").unwrap();
    for rule in &mut config.identities {
        let keys = rule.admit.values_mut().filter_map(|admitted| admitted.key.as_mut());
        let own = rule.present.iter_mut().filter_map(|ours| ours.key.as_mut());
        keys.chain(own).for_each(|key| key.secret = Some(Secret::new(b"alice's secret")));
    }
    config
}

/// A node that has heard of sender 1.
fn node(demand: &str) -> Node {
    let mut node = Node::around(Engine::new(config(demand), 1));
    node.path(1, &[object_of(ptype::AUTH_USER, &[name("bob")])]);
    assert_eq!(node.engine.sizes().1, 1);
    node
}

fn name(text: &str) -> AuthAttribute<'_> {
    AuthAttribute::Credential(CredentialType::AsciiId, text.as_bytes())
}

fn object_with(
    options: &PolicyOptions<'_>,
    ptype: u16,
    attributes: &[AuthAttribute<'_>],
) -> Vec<u8> {
    let mut out = Out::default();
    out.object(options, 900, |sink| write_auth_data(sink, ptype, attributes));
    out.0
}

fn object_of(ptype: u16, attributes: &[AuthAttribute<'_>]) -> Vec<u8> {
    object_with(&PolicyOptions::from_hop(hop(99, 9)), ptype, attributes)
}

fn signed_by(who: &str, secret: &[u8], session: &Session, unix_s: u32) -> Vec<u8> {
    let secret = Some(Secret::new(secret));
    let key = Some(IdentityKey { file: "/k".into(), secret });
    let ours = Credential { kind: IdentityKind::User, name: who.to_owned(), key };
    let mut out = Out::default();
    let options = PolicyOptions::from_hop(hop(99, 9));
    out.object(&options, 900, |sink| write(sink, &ours, session, unix_s));
    out.0
}

fn alice() -> Vec<u8> {
    signed_by("alice@example.net", b"alice's secret", &session(), UNIX_S)
}

/// What is said of identities in the errors of a type: P-Type and reason.
fn reasons(messages: &[Vec<u8>]) -> Vec<(u16, IdentityError)> {
    let of = |bytes: &Vec<u8>| {
        let message = Message::parse(bytes).unwrap();
        let objects = message.packet().policy_data();
        let found = objects.flat_map(|object| object.elements().collect::<Vec<_>>());
        found
            .filter_map(|element| {
                Some((element.ptype, AuthData::parse(&element).ok()?.policy_error()?.0))
            })
            .collect::<Vec<_>>()
    };
    messages.iter().filter(|bytes| [3, 4].contains(&bytes[1])).flat_map(of).collect()
}

/// Whether an element of an identity goes on.
fn goes_on(messages: &[Vec<Vec<u8>>]) -> bool {
    let pairs = [ptype::AUTH_USER, ptype::AUTH_APP].map(u16::to_be_bytes);
    messages.iter().flatten().any(|object| {
        let raw = rsvp_wire::RawObject::parse(object).unwrap();
        let data = PolicyData::decode(&raw).unwrap();
        data.elements().any(|element| pairs.contains(&element.ptype.to_be_bytes()))
    })
}

#[test]
fn r088_an_identity_that_is_demanded_is_checked_and_ends_here() {
    for (kind, object) in [
        ("signed", alice()),
        ("in Unicode", signed_by("Zoë", b"alice's secret", &session(), UNIX_S)),
        ("by name alone", object_of(ptype::AUTH_USER, &[name("bob")])),
        ("an application", object_of(ptype::AUTH_APP, &[name("vic.exe")])),
        (
            "with a locator",
            object_of(
                ptype::AUTH_USER,
                &[
                    AuthAttribute::PolicyLocator(LocatorType::AsciiDn, b"CN=Bob, C=DE"),
                    AuthAttribute::Credential(CredentialType::UnicodeId, b"\0b\0o\0b"),
                ],
            ),
        ),
    ] {
        let mut node = node("both");
        let sent = node.resv(hop(21, 3), 10, &[1], &[object]);
        assert_eq!(node.engine.sizes().2, 1, "{kind}");
        // What goes on upstream is this node's own.
        let onward = resvs(&sent);
        assert_eq!((onward.len(), onward[0].len()), (1, 1), "{kind}");
        let own = signed_by("alice@example.net", b"alice's secret", &session(), UNIX_S);
        // Behind the header and the originating hop.
        assert_eq!(onward[0][0][20..], own[20..], "{kind}");
    }
    let mut node = node("resv");
    node.resv(hop(21, 3), 10, &[1], &[alice()]);
    let shown = node.engine.show_reservations(node.now());
    assert_eq!(shown[0].identity.as_deref(), Some("alice@example.net"));
}

#[test]
fn r088_what_is_missing_wrong_or_unknown_is_refused_and_told_why() {
    let other = Session::new(ip("239.1.1.2"), 17, 5_000);
    let secret = b"alice's secret";
    let alices = |who: &str| vec![signed_by(who, secret, &session(), UNIX_S)];
    let mut forged = alice();
    *forged.last_mut().unwrap() ^= 1;
    let user = |attributes: &[AuthAttribute<'_>]| vec![object_of(ptype::AUTH_USER, attributes)];
    let credential = |kind| user(&[AuthAttribute::Credential(kind, b"ticket")]);
    let late = |by: u32| vec![signed_by("alice@example.net", secret, &session(), UNIX_S + by)];
    let early = vec![signed_by("alice@example.net", secret, &session(), UNIX_S - 1_600)];
    let (no, unsupported, expired) = (
        IdentityError::InsufficientPrivileges,
        IdentityError::UnsupportedCredential,
        IdentityError::ExpiredCredential,
    );
    for (kind, objects, value, reason) in [
        ("nothing", vec![], policy::PD_MISSING, no),
        ("a stranger", alices("mallory"), policy::REJECT, no),
        ("a forgery", vec![forged], policy::REJECT, no),
        ("not signed", user(&[name("alice@example.net")]), policy::REJECT, no),
        (
            "another key",
            vec![signed_by("alice@example.net", b"somebody else's", &session(), UNIX_S)],
            policy::REJECT,
            no,
        ),
        (
            "another session",
            vec![signed_by("alice@example.net", secret, &other, UNIX_S)],
            policy::REJECT,
            no,
        ),
        (
            "an application of that name",
            vec![object_of(ptype::AUTH_APP, &[name("bob")])],
            policy::REJECT,
            no,
        ),
        ("old", early, policy::EXPIRED, expired),
        ("of the future", late(2_400), policy::EXPIRED, expired),
        ("Kerberos", credential(CredentialType::KerberosTicket), policy::REJECT, unsupported),
        ("X.509", credential(CredentialType::X509V3Cert), policy::REJECT, unsupported),
        ("PGP", credential(CredentialType::PgpCert), policy::REJECT, unsupported),
        (
            "no credential",
            user(&[AuthAttribute::PolicyLocator(LocatorType::AsciiDn, b"CN=Bob")]),
            policy::REJECT,
            unsupported,
        ),
        ("an empty element", user(&[]), policy::PD_MISSING, no),
        (
            "behind the signature",
            user(&[AuthAttribute::DigitalSignature(&[0; 32]), name("bob")]),
            policy::PE_BAD,
            IdentityError::NoMoreInfo,
        ),
    ] {
        let mut node = node("resv");
        let sent = node.resv(hop(21, 3), 10, &[1], &objects);
        let (code, count) = (error_code::POLICY, 1);
        assert_eq!(errors(&sent, MessageType::ResvErr), [(code, value, count)], "{kind}");
        let about = if kind.starts_with("an app") { ptype::AUTH_APP } else { ptype::AUTH_USER };
        assert_eq!(reasons(&sent), [(about, reason)], "{kind}");
        assert_eq!(node.engine.sizes().2, 0, "{kind}");
        assert!(resvs(&sent).is_empty());
    }
}

/// Clocks may be five minutes apart.
#[test]
fn clocks_that_are_a_little_apart_do_no_harm() {
    for by in [-300, 0, 300] {
        let at = UNIX_S.checked_add_signed(by).unwrap();
        let object = signed_by("alice@example.net", b"alice's secret", &session(), at);
        let mut node = node("resv");
        node.resv(hop(21, 3), 10, &[1], &[object]);
        assert_eq!(node.engine.sizes().2, 1, "{by}");
    }
}

/// Several may stand side by side (section 6.1): one that is right will do.
#[test]
fn one_right_identity_beside_a_foreign_one_is_enough() {
    let ticket = AuthAttribute::Credential(CredentialType::KerberosTicket, b"ticket");
    let ticket = object_of(ptype::AUTH_USER, &[ticket]);
    for objects in [[ticket.clone(), alice()], [alice(), ticket]] {
        let mut node = node("resv");
        node.resv(hop(21, 3), 10, &[1], &objects);
        assert_eq!(node.engine.sizes().2, 1);
    }
}

#[test]
fn r088_where_nobody_asks_identities_go_on_as_they_came() {
    let sealed = Integrity { flags: 0, key_id: 1, sequence: 7, digest: &[9; 16] };
    let options = PolicyOptions { integrity: Some(sealed), ..PolicyOptions::from_hop(hop(99, 9)) };
    let objects = [
        alice(),
        object_with(&options, ptype::AUTH_USER, &[name("mallory")]),
        object_of(ptype::AUTH_APP, &[name("anything")]),
    ];
    let mut node = Node::around(Engine::new(config("both"), 1));
    // Previous hop 12 and interface 4 are asked nothing.
    let sent = node.path(2, &objects);
    assert_eq!(paths(&sent), [objects.to_vec(), objects.to_vec()]);
    let sent = node.resv(hop(31, 4), 10, &[2], &objects);
    assert_eq!(resvs(&sent), [objects.to_vec()]);
    // On a node without any rule no handler looks.
    let mut node = Node::new(vec![]);
    assert_eq!(paths(&node.path(1, &objects))[0], objects);
}

#[test]
fn r088_a_sender_must_say_who_it_is_where_that_is_demanded() {
    let mut node = Node::around(Engine::new(config("path"), 1));
    let sent = node.path(1, &[alice()]);
    let refused = [(error_code::POLICY, policy::REJECT, 1)];
    assert_eq!(errors(&sent, MessageType::PathErr), refused, "not one of those of this neighbour");
    let no = (ptype::AUTH_USER, IdentityError::InsufficientPrivileges);
    assert_eq!((reasons(&sent), node.engine.sizes()), (vec![no], (0, 0, 0)));
    let bob = object_of(ptype::AUTH_USER, &[name("bob")]);
    let sent = node.path(1, &[bob]);
    assert!(!goes_on(&paths(&sent)), "it ends here");
    assert_eq!(node.engine.sizes().1, 1);
    // RESVs are free here.
    node.resv(hop(21, 3), 10, &[1], &[]);
    assert_eq!(node.engine.sizes().2, 1);
    let wrong = object_of(ptype::AUTH_USER, &[name("mallory")]);
    let sent = node.resv(hop(22, 3), 10, &[1], &[wrong]);
    assert_eq!(errors(&sent, MessageType::ResvErr).len(), 1, "but what is said must be right");
}

/// A FILTER_SPEC option says for whose reservation an identity is.
#[test]
fn r088_an_identity_for_one_sender_is_none_for_another() {
    let mut node = Node::around(Engine::new(config("resv"), 1));
    for sender in [1, 2] {
        node.path(sender, &[object_of(ptype::AUTH_USER, &[name("bob")])]);
    }
    let filters = [FilterSpec(filter(2))];
    let options = PolicyOptions { filters: &filters, ..PolicyOptions::from_hop(hop(99, 9)) };
    let object = object_with(&options, ptype::AUTH_USER, &[name("bob")]);
    let sent = node.resv(hop(21, 3), 10, &[1, 2], &[object]);
    assert_eq!(node.engine.sizes().2, 1);
    assert_eq!(errors(&sent, MessageType::ResvErr).len(), 1);
}

/// Whoever is let in no more is refused with the next refresh, though it comes by number.
#[test]
fn r088_other_rules_hold_from_the_next_refresh() {
    let mut node = node("resv");
    node.resv(hop(21, 3), 10, &[1], &[alice()]);
    node.engine.set_identities(Vec::new());
    let refused = |sent: &[Vec<u8>]| errors(sent, MessageType::ResvErr).len();
    assert_eq!(refused(&node.resv(hop(21, 3), 10, &[1], &[])), 0);
    let text = "[[identity]]\ninterface = \"eth3\"\nadmit = [{ user = \"bob\" }]\n";
    node.engine.set_identities(Config::parse(text, "test").unwrap().identities);
    assert_eq!(refused(&node.resv(hop(21, 3), 10, &[1], &[alice()])), 1);
}

/// Names of any length and kind fit into what is written, and are read back.
#[test]
fn any_name_that_is_allowed_can_be_signed() {
    for who in ["a".repeat(253), "é".repeat(126), "😀".repeat(63)] {
        let session = Session::new(ip("ff0e::1"), 17, 5_000);
        let object = signed_by(&who, b"12345678", &session, UNIX_S);
        let raw = rsvp_wire::RawObject::parse(&object).unwrap();
        let data = PolicyData::decode(&raw).unwrap();
        let element: PolicyElement<'_> = data.elements().next().unwrap();
        assert!(element.bytes.len() <= ELEMENT_BYTES_MAX);
        let read = AuthData::parse(&element).unwrap();
        let key = Key { algorithm: Algorithm::HmacSha256, secret: b"12345678" };
        let (signed, signature) = (read.signed_bytes().unwrap(), read.signature().unwrap());
        digest::verify_bytes(signed, &key, signature).unwrap();
        assert!(digest::verify_bytes(&signed[1..], &key, signature).is_err());
    }
    let mut small = [0; 31];
    let key = Key { algorithm: Algorithm::HmacSha256, secret: b"k" };
    assert!(digest::sign_bytes(b"", &key, &mut small).is_err());
    let _ = Sink::new(&mut small);
}
