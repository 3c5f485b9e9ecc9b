//! Floods of each limit: what is new is refused by the proper code and counted under the limit's
//! name, what is established goes on, and the room comes back when the flood has worn off.

use std::collections::BTreeMap;
use std::net::IpAddr;

use lcm_daemon::config::Limits;
use lcm_daemon::engine::{LocalError, SenderRequest};
use lcm_daemon::packet::PacketMeta;
use lcm_tests::sim::{Kind, Net, NodeConfig, NodeId, Options, TSPEC, Topology};
use rsvp_wire::iana::{error_code, policy};
use rsvp_wire::object::{
    Filter, FilterSpec, FlowSpec, Hop, SenderTemplate, SenderTspec, Session, Style, TimeValues,
    Tspec, write_element,
};
use rsvp_wire::{BufferTooSmall, Message, MessageType, MessageWriter, PolicyOptions};

/// S 0 - A 1 - B 2 - R 3: link n leads from node n to node n + 1. B is flooded.
const A: NodeId = 1;
const B: NodeId = 2;
const R: NodeId = 3;
/// B's interface towards A and towards R.
const ABOVE: u32 = 2;
const BELOW: u32 = 3;

/// Code and value of an answer.
type Code = (u8, u16);
const POLICY: Code = (error_code::POLICY, policy::NO_RESOURCES);

struct Flood {
    net: Net,
    session: Session,
}

impl Flood {
    /// An established unicast reservation over routers without charges.
    fn start(limits: Limits) -> Self {
        let mut topology = Topology::default();
        let kinds = [Kind::Host, Kind::Ignorant, Kind::Ignorant, Kind::Host];
        for (name, kind) in ["S", "A", "B", "R"].into_iter().zip(kinds) {
            topology.node(name, kind);
        }
        for node in 0..3 {
            topology.link(node, node + 1, (0, 0));
        }
        let config = NodeConfig { limits, ..NodeConfig::default() };
        let mut net = Net::new(topology, Options { config, ..Options::default() });
        let session = net.session_to(R);
        net.send(0, session, None);
        net.receive(R, session);
        net.run_ms(5_000);
        let flood = Self { net, session };
        flood.assert_established();
        flood
    }

    /// A's and B's reservation for R stands.
    fn assert_established(&self) {
        for (id, next) in [(A, B), (B, R)] {
            let node = self.net.node(id);
            let reserved = node.engine().show_reservations(self.net.clock(id));
            let next = self.net.topology.address_on(self.net.family(), next, id);
            let found = reserved.iter().any(|view| {
                view.next_hop == next && view.session.destination == self.session.destination
            });
            let dropped = &node.engine().counters().dropped;
            assert!(found, "node {id} has lost its reservation: {reserved:#?}, {dropped:?}");
        }
    }

    fn counted(&self, reason: &str) -> u64 {
        let counters = self.net.node(B).engine().counters();
        counters.dropped.get(reason).copied().unwrap_or_default()
    }

    /// Gives B a message; returns the errors that it answers with.
    fn inject(&mut self, meta: PacketMeta, bytes: &[u8]) -> Vec<Code> {
        assert!(Message::parse(bytes).is_ok(), "{:?}", Message::parse(bytes));
        // To forged addresses no kernel sends anything, so the answers are counted where they arise.
        let before = self.answers();
        self.net.inject(B, meta, bytes);
        let mut codes = Vec::new();
        for (code, count) in self.answers() {
            let new = count - before.get(&code).copied().unwrap_or_default();
            codes.extend((0..new).map(|_| code));
        }
        codes
    }

    /// The errors that B has sent.
    fn answers(&self) -> BTreeMap<Code, u64> {
        let counters = self.net.node(B).engine().counters();
        let mut answers = counters.path_errors_sent.clone();
        for (code, count) in &counters.resv_errors_sent {
            *answers.entry(*code).or_default() += count;
        }
        answers
    }

    fn path(&mut self, forged: &ForgedPath) -> Vec<Code> {
        let meta = PacketMeta {
            interface: ABOVE,
            source: forged.sender.source,
            destination: forged.session.destination,
            ttl: 63,
            router_alert: true,
        };
        self.inject(meta, &forged.bytes())
    }

    fn resv(&mut self, forged: &ForgedResv) -> Vec<Code> {
        let destination = self.net.topology.address_on(self.net.family(), B, 2);
        let meta = PacketMeta {
            interface: BELOW,
            source: forged.hop,
            destination,
            ttl: 255,
            router_alert: false,
        };
        self.inject(meta, &forged.bytes())
    }

    /// Forged path state for so many senders of the session, with reservations to come.
    fn senders(&mut self, count: u16) -> Vec<Filter> {
        let senders: Vec<Filter> = (0..count).map(sender).collect();
        for sender in &senders {
            let forged = ForgedPath { session: self.session, sender: *sender, ..path() };
            assert_eq!(self.path(&forged), [], "{sender:?}");
        }
        senders
    }

    /// Ten minutes later what is established still is, and the forged state is gone.
    fn assert_wears_off(&mut self) {
        for _ in 0..60 {
            self.net.run_ms(10_000);
            self.assert_established();
        }
        let (sessions, senders, reservations) = self.net.node(B).engine().sizes();
        assert_eq!((sessions, senders, reservations), (1, 1, 1));
        let expired = &self.net.node(A).engine().counters().expired;
        assert_eq!(expired, &BTreeMap::new(), "at the neighbour");
    }
}

fn hop(number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    IpAddr::from([172, 16, high, low])
}

fn sender(number: u16) -> Filter {
    let [high, low] = number.to_be_bytes();
    Filter::port(IpAddr::from([192, 168, high, low]), 4_000)
}

fn policy_data(writer: &mut MessageWriter<'_>, length: usize) -> Result<(), BufferTooSmall> {
    // An element of nobody's: object header 8, element header 4.
    let Some(data) = length.checked_sub(12) else { return Ok(()) };
    writer.policy_data(&PolicyOptions::default(), |sink| {
        write_element(sink, 0xC0DE, |sink| sink.put(&vec![7; data]));
    })
}

fn built(
    message_type: MessageType,
    ttl: u8,
    build: impl FnOnce(&mut MessageWriter<'_>) -> Result<(), BufferTooSmall>,
) -> Vec<u8> {
    let mut buffer = vec![0; 65_000];
    let mut writer = MessageWriter::new(&mut buffer, message_type, ttl);
    build(&mut writer).unwrap();
    let length = writer.finish().unwrap();
    buffer.truncate(length);
    buffer
}

struct ForgedPath {
    session: Session,
    hop: IpAddr,
    sender: Filter,
    /// Bytes of POLICY_DATA.
    policy: usize,
}

fn path() -> ForgedPath {
    let session = Session::new(IpAddr::from([198, 51, 100, 1]), 17, 1);
    ForgedPath { session, hop: hop(0), sender: sender(0), policy: 0 }
}

impl ForgedPath {
    fn bytes(&self) -> Vec<u8> {
        built(MessageType::Path, 63, |w| {
            w.object(&self.session)?;
            w.object(&Hop { address: self.hop, lih: 7 })?;
            w.object(&TimeValues { refresh_ms: 30_000 })?;
            policy_data(w, self.policy)?;
            w.object(&SenderTemplate(self.sender))?;
            w.object(&SenderTspec(TSPEC))
        })
    }
}

struct ForgedResv {
    session: Session,
    hop: IpAddr,
    style: Style,
    filters: Vec<Filter>,
    policy: usize,
}

impl ForgedResv {
    fn new(session: Session, next: u16, style: Style, filters: &[Filter]) -> Self {
        Self { session, hop: hop(next), style, filters: filters.to_vec(), policy: 0 }
    }

    fn bytes(&self) -> Vec<u8> {
        let flowspec = FlowSpec::ControlledLoad(Tspec::new(1_000, 1_000, 64, 1_500));
        built(MessageType::Resv, 255, |w| {
            w.object(&self.session)?;
            w.object(&Hop { address: self.hop, lih: BELOW })?;
            w.object(&TimeValues { refresh_ms: 30_000 })?;
            policy_data(w, self.policy)?;
            w.object(&self.style)?;
            w.object(&flowspec)?;
            for (place, filter) in self.filters.iter().enumerate() {
                if self.style == Style::FixedFilter && place > 0 {
                    w.object(&flowspec)?;
                }
                w.object(&FilterSpec(*filter))?;
            }
            Ok(())
        })
    }
}

/// Sends so many, of which `taken` are taken, and the others each answered by `code`.
fn refused_after(
    flood: &mut Flood,
    reason: &str,
    (taken, sent): (u16, u16),
    code: Code,
    mut send: impl FnMut(&mut Flood, u16) -> Vec<Code>,
) {
    for number in 0..sent {
        let expected = if number < taken { vec![] } else { vec![code] };
        assert_eq!(send(flood, number), expected, "{reason}, number {number}");
    }
    assert_eq!(flood.counted(reason), u64::from(sent - taken), "{reason}");
}

#[test]
fn paths_beyond_a_limit_are_refused() {
    let limits = Limits { max_sessions: 5, ..Limits::default() };
    let mut flood = Flood::start(limits);
    refused_after(&mut flood, "max_sessions", (4, 12), POLICY, |flood, n| {
        let session = Session::new(IpAddr::from([198, 51, 100, 1]), 17, n + 1);
        flood.path(&ForgedPath { session, ..path() })
    });
    flood.assert_wears_off();
    let limits = Limits { max_senders_per_session: 4, ..Limits::default() };
    let mut flood = Flood::start(limits);
    refused_after(&mut flood, "max_senders_per_session", (3, 12), POLICY, |flood, n| {
        flood.path(&ForgedPath { session: flood.session, sender: sender(n), ..path() })
    });
    flood.assert_wears_off();
    let limits = Limits { max_senders_per_neighbour: 4, ..Limits::default() };
    let mut flood = Flood::start(limits);
    refused_after(&mut flood, "max_senders_per_neighbour", (4, 12), POLICY, |flood, n| {
        flood.path(&ForgedPath { sender: sender(n), ..path() })
    });
    let other = ForgedPath { hop: hop(1), sender: sender(99), ..path() };
    assert_eq!(flood.path(&other), [], "another neighbour");
    flood.assert_wears_off();
    let limits = Limits { max_senders: 5, ..Limits::default() };
    let mut flood = Flood::start(limits);
    refused_after(&mut flood, "max_senders", (4, 12), POLICY, |flood, n| {
        flood.path(&ForgedPath { hop: hop(n), sender: sender(n), ..path() })
    });
    flood.assert_wears_off();
    assert_eq!(flood.path(&path()), [], "there is room again");
}

#[test]
fn reservations_beyond_a_limit_are_refused() {
    let code = |place| (error_code::RSVP_SYSTEM, place);
    let per_session = Limits { max_reservations_per_session: 5, ..Limits::default() };
    let per_neighbour = Limits { max_reservations_per_neighbour: 4, ..Limits::default() };
    let in_all = Limits { max_reservations: 5, ..Limits::default() };
    for (limits, reason, code) in [
        (in_all, "max_reservations", code(5)),
        (per_neighbour, "max_reservations_per_neighbour", code(6)),
        (per_session, "max_reservations_per_session", code(7)),
    ] {
        let mut flood = Flood::start(limits);
        let senders = flood.senders(12);
        refused_after(&mut flood, reason, (4, 12), code, |flood, n| {
            let filter = senders[usize::from(n)];
            flood.resv(&ForgedResv::new(flood.session, 0, Style::FixedFilter, &[filter]))
        });
        // Refreshes of what was taken are no news.
        let again = ForgedResv::new(flood.session, 0, Style::FixedFilter, &senders[..4]);
        assert_eq!(flood.resv(&again), [], "{reason}");
        flood.assert_wears_off();
    }
}

#[test]
fn next_hops_of_one_sender_are_limited() {
    let mut flood = Flood::start(Limits { max_next_hops: 4, ..Limits::default() });
    let own = flood.net.sender(0);
    let code = (error_code::RSVP_SYSTEM, 10);
    refused_after(&mut flood, "max_next_hops", (3, 12), code, |flood, n| {
        flood.resv(&ForgedResv::new(flood.session, n, Style::FixedFilter, &[own]))
    });
    flood.assert_wears_off();
}

#[test]
fn filters_of_shared_reservations_are_limited() {
    let mut flood = Flood::start(Limits { max_filters_per_session: 10, ..Limits::default() });
    // Styles do not mix: a session of the flood's own.
    let session = Session::new(flood.net.address(R), 17, 6_000);
    let senders: Vec<Filter> = (0..6).map(sender).collect();
    for sender in &senders {
        assert_eq!(flood.path(&ForgedPath { session, sender: *sender, ..path() }), []);
    }
    let shared = |next| ForgedResv::new(session, next, Style::SharedExplicit, &senders);
    assert_eq!(flood.resv(&shared(0)), []);
    assert_eq!(flood.resv(&shared(1)), [(error_code::RSVP_SYSTEM, 8)]);
    assert_eq!(flood.resv(&shared(0)), [], "a refresh");
    assert_eq!(flood.counted("max_filters_per_session"), 1);
    flood.assert_wears_off();
}

/// Each descriptor costs a look at the whole session, and may be answered by an error.
#[test]
fn a_thousand_descriptors_are_looked_at_up_to_a_limit() {
    let mut flood = Flood::start(Limits::default());
    let unknown: Vec<Filter> = (0..1_000).map(sender).collect();
    let errors = flood.resv(&ForgedResv::new(flood.session, 0, Style::FixedFilter, &unknown));
    let surplus = (error_code::RSVP_SYSTEM, 9);
    assert_eq!(errors.iter().filter(|code| **code == surplus).count(), 1);
    assert_eq!(errors.len(), 1 + 128, "one for all that was left over");
    assert_eq!(flood.counted("max_flows_per_message"), 1);
    flood.assert_wears_off();
}

#[test]
fn one_neighbour_gets_so_many_errors_a_second() {
    let mut flood = Flood::start(Limits { max_errors_per_s: 10, ..Limits::default() });
    let unknown = [sender(1)];
    let errors = |flood: &mut Flood, next| {
        flood.resv(&ForgedResv::new(flood.session, next, Style::FixedFilter, &unknown)).len()
    };
    assert_eq!((0..100).map(|_| errors(&mut flood, 0)).sum::<usize>(), 10);
    assert_eq!(flood.counted("max_errors_per_s"), 90);
    assert_eq!(errors(&mut flood, 1), 1, "another neighbour");
    flood.net.run_ms(500);
    assert_eq!((0..100).map(|_| errors(&mut flood, 0)).sum::<usize>(), 5);
    flood.assert_wears_off();
}

/// An hour of 1,000 messages a second where 100 are allowed: neither the other neighbours nor the
/// flooding neighbour's own refreshes are lost by what is new.
#[test]
fn a_neighbour_beyond_its_rate_stops_nobody() {
    let limits =
        Limits { max_messages_per_s: 100, max_senders_per_neighbour: 50, ..Limits::default() };
    let mut flood = Flood::start(limits);
    // The flood bears A's own address: only what is new in it may be dropped.
    let address = flood.net.topology.address_on(flood.net.family(), A, 1);
    let dropped = |flood: &Flood| flood.counted("max_messages_per_s");
    for second in 0..600 {
        for n in 0..1_000 {
            flood.path(&ForgedPath { hop: address, sender: sender(n), ..path() });
        }
        flood.net.run_ms(1_000);
        flood.net.log.clear();
        if second % 10 == 0 {
            flood.assert_established();
        }
    }
    assert!(dropped(&flood) > 600 * 850, "{}", dropped(&flood));
    let expired = &flood.net.node(B).engine().counters().expired;
    assert_eq!(expired.get("reservation"), None, "{expired:?}");
    flood.assert_wears_off();
}

#[test]
fn forged_neighbours_fill_their_own_interface_only() {
    let limits = Limits { max_neighbours_per_interface: 10, ..Limits::default() };
    let mut flood = Flood::start(limits);
    for number in 0..100 {
        flood.path(&ForgedPath { hop: hop(number), sender: sender(number), ..path() });
    }
    // A is one of the ten.
    assert_eq!(flood.counted("max_neighbours_per_interface"), 100 - 9);
    let own = flood.net.sender(0);
    let below = ForgedResv::new(flood.session, 0, Style::FixedFilter, &[own]);
    assert_eq!(flood.resv(&below), [], "another interface");
    flood.assert_wears_off();
    let late = ForgedPath { hop: hop(500), ..path() };
    flood.path(&late);
    assert_eq!(flood.counted("max_neighbours_per_interface"), 100 - 9, "there is room again");
}

#[test]
fn policy_bytes_are_limited_by_message_session_and_in_all() {
    // Nobody receives here, so that nobody answers with policy data of its own.
    let session = |flood: &Flood| Session::new(flood.net.address(R), 17, 6_000);
    let with = |flood: &mut Flood, n, policy| {
        flood.path(&ForgedPath { session: session(flood), sender: sender(n), policy, ..path() })
    };
    let mut flood = Flood::start(Limits { max_policy_bytes: 100, ..Limits::default() });
    assert_eq!(with(&mut flood, 0, 100), []);
    assert_eq!(with(&mut flood, 1, 104), [POLICY]);
    assert_eq!(flood.counted("max_policy_bytes"), 1);
    flood.assert_wears_off();
    let limits = Limits { max_policy_bytes_per_session: 1_000, ..Limits::default() };
    let mut flood = Flood::start(limits);
    refused_after(&mut flood, "max_policy_bytes_per_session", (10, 20), POLICY, |flood, n| {
        with(flood, n, 100)
    });
    assert_eq!(with(&mut flood, 0, 100), [], "a refresh");
    // RESV counts with PATH.
    let forged = ForgedResv::new(session(&flood), 0, Style::FixedFilter, &[sender(0)]);
    assert_eq!(flood.resv(&ForgedResv { policy: 100, ..forged }), [POLICY]);
    flood.assert_wears_off();
    let limits = Limits { max_policy_bytes_in_all: 1_000, ..Limits::default() };
    let mut flood = Flood::start(limits);
    // R's own payment is carried too.
    refused_after(&mut flood, "max_policy_bytes_in_all", (9, 20), POLICY, |flood, n| {
        let session = Session::new(IpAddr::from([198, 51, 100, 1]), 17, n + 1);
        flood.path(&ForgedPath { session, policy: 100, ..path() })
    });
    let session = Session::new(IpAddr::from([198, 51, 100, 1]), 17, 1);
    let refresh = ForgedPath { session, policy: 100, ..path() };
    assert_eq!(flood.path(&refresh), [], "a refresh");
    flood.assert_wears_off();
    assert_eq!(flood.path(&refresh), [], "there is room again");
}

#[test]
fn registrations_of_applications_are_limited() {
    let limits = Limits { max_local_handles: 3, ..Limits::default() };
    let mut flood = Flood::start(limits);
    let source = flood.net.sender(0).source;
    let mut open = |port| {
        let request = SenderRequest {
            session: flood.session,
            sender: Filter::port(source, port),
            tspec: TSPEC,
            ttl: 64,
            interface: None,
            share: None,
            behind: None,
        };
        flood.net.input(0, |engine, now| engine.open_sender(now, request))
    };
    let first = open(1).unwrap();
    assert!(open(2).is_ok());
    assert_eq!(open(3), Err(LocalError::Limit("max_local_handles")));
    flood.net.close(0, first);
    flood.assert_established();
}
