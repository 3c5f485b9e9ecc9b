//! What the daemons have, as their operators read it, against the reference.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use lcm_daemon::control::protocol::TrafficSpec;
use lcm_daemon::engine::show::{ReservationView, SenderView, SessionId, SessionView, UpstreamView};
use lcm_daemon::notes::{self, Verdict};

use super::money::{self, Due};
use super::reference::{Asked, At, Branch, Expected, PathState, Reservations};
use super::world::World;
use crate::sim::{Kind, NodeId};

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub node: String,
    /// What it is about.
    pub what: String,
    /// What the reference says.
    pub expected: String,
    /// What the node has.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, what, expected, found } = self;
        write!(f, "node {node}, {what}\n    expected {expected}\n    found    {found}")
    }
}

/// What one node has.
#[derive(Debug)]
struct Held {
    node: NodeId,
    sessions: Vec<SessionView>,
    reservations: Vec<ReservationView>,
}

impl Held {
    fn read(world: &World, node: NodeId) -> Self {
        let (engine, now) = (world.net.node(node).engine(), world.net.clock(node));
        Self {
            node,
            sessions: engine.show_sessions(now),
            reservations: engine.show_reservations(now),
        }
    }

    fn sender(&self, world: &World, at: &At) -> Option<&SenderView> {
        let session =
            self.sessions.iter().find(|view| topic(world, &view.session) == Some(at.1))?;
        let owner = |view: &&SenderView| world.net.topology.owner(view.sender.source) == Some(at.2);
        session.senders.iter().find(owner)
    }

    /// What is agreed with whoever pays behind an interface.
    fn agreed(&self, world: &World, at: &At, branch: &Branch) -> Option<&UpstreamView> {
        let here = self.reservations.iter().filter(|view| {
            topic(world, &view.session) == Some(at.1)
                && world.net.topology.owner(view.sender.source) == Some(at.2)
                && view.interface == branch.0
        });
        let mut payers = here.flat_map(|view| view.charging.iter().chain(&view.more_payers));
        payers.find(|state| state.payer == branch.1)
    }
}

fn topic(world: &World, session: &SessionId) -> Option<usize> {
    world.topics.iter().position(|topic| {
        topic.session.destination == session.destination
            && topic.session.destination_port == session.port
    })
}

fn asked(spec: &TrafficSpec) -> Asked {
    Asked {
        rate: spec.rate,
        bucket: spec.bucket,
        min_policed: spec.min_policed,
        max_packet: spec.max_packet,
    }
}

/// Everything that differs, and how many things were compared.
pub(super) fn compare(world: &World, expected: &Expected) -> (Vec<Difference>, u64) {
    let mut comparison = Comparison { world, expected, found: Vec::new(), compared: 0 };
    let nodes = (0..world.net.topology.nodes.len()).filter(|id| world.runs(*id));
    let held: Vec<Held> = nodes.map(|id| Held::read(world, id)).collect();
    for held in &held {
        comparison.paths(held);
        comparison.reservations(held);
    }
    if world.charging {
        for (topic, sender) in world.senders.keys() {
            for due in money::due(world, expected, *topic, *sender) {
                comparison.money(&held, &due);
            }
        }
    }
    (comparison.found, comparison.compared)
}

/// What the notes of all daemons accuse anybody of, and of the hosts alone: all of them are honest.
pub(super) fn accused(world: &World) -> Vec<Difference> {
    let net = &world.net;
    let all = || (0..net.topology.nodes.len()).filter(|id| world.runs(*id));
    let hosts = || all().filter(|id| net.topology.nodes[*id].kind == Kind::Host);
    let mut found = Vec::new();
    for topic in &world.topics {
        let note = |id: NodeId| {
            let mut note = net.node(id).engine().note(net.clock(id), &topic.session)?;
            world.name(id).clone_into(&mut note.name);
            Some(note)
        };
        for notes in
            [all().filter_map(note).collect::<Vec<_>>(), hosts().filter_map(note).collect()]
        {
            let compared = notes::compare(&notes, &notes::Options::default());
            if compared.verdict == Verdict::Differ {
                found.push(Difference {
                    node: compared.nodes.join(", "),
                    what: format!("notes of {:?}", topic.session),
                    expected: "no accusation".to_owned(),
                    found: compared.to_string(),
                });
            }
        }
    }
    found
}

struct Comparison<'a> {
    world: &'a World,
    expected: &'a Expected,
    found: Vec<Difference>,
    compared: u64,
}

impl Comparison<'_> {
    fn same<T: PartialEq + fmt::Debug>(&mut self, node: NodeId, what: &str, want: T, got: T) {
        self.compared += 1;
        if want != got {
            self.found.push(Difference {
                node: self.world.name(node).to_owned(),
                what: what.to_owned(),
                expected: format!("{want:?}"),
                found: format!("{got:?}"),
            });
        }
    }

    fn paths(&mut self, held: &Held) {
        let mut seen = BTreeSet::new();
        for session in &held.sessions {
            for sender in &session.senders {
                let of = self.world.net.topology.owner(sender.sender.source);
                let key = topic(self.world, &session.session).zip(of);
                let at = key.map(|(topic, of)| (held.node, topic, of));
                let want = at.and_then(|at| self.expected.paths.get(&at));
                let got = PathState {
                    phop: sender.phop,
                    incoming: sender.incoming.clone(),
                    outgoing: sender.outgoing.iter().cloned().collect(),
                    tspec: asked(&sender.tspec),
                };
                let what = format!("path state {key:?}");
                self.same(held.node, &what, want.cloned(), Some(got));
                seen.extend(at);
            }
        }
        let ours = self.expected.paths.iter().filter(|(at, _)| at.0 == held.node);
        for (at, state) in ours.filter(|(at, _)| !seen.contains(*at)) {
            let what = format!("path state {:?}", (at.1, at.2));
            self.same(held.node, &what, Some(state.clone()), None);
        }
    }

    fn reservations(&mut self, held: &Held) {
        let mut got = Reservations::new();
        for view in &held.reservations {
            let of = self.world.net.topology.owner(view.sender.source);
            let Some((topic, of)) = topic(self.world, &view.session).zip(of) else { continue };
            let at = (held.node, topic, of);
            let branch = (view.interface.clone(), view.next_hop);
            got.entry(at).or_default().insert(branch, asked(&view.traffic));
        }
        let want = self.expected.reservations.iter().filter(|(at, _)| at.0 == held.node);
        let want: Reservations = want.map(|(at, of)| (*at, of.clone())).collect();
        let all: BTreeSet<At> = want.keys().chain(got.keys()).copied().collect();
        for at in all {
            let what = format!("reservations {:?}", (at.1, at.2));
            self.same(held.node, &what, want.get(&at), got.get(&at));
        }
    }

    /// Announcements, agreements and payments on one link.
    fn money(&mut self, held: &[Held], due: &Due) {
        let c = &due.charges;
        let of = |at: &At| held.iter().find(|held| held.node == at.0);
        if let Some(payee) = due.payee {
            let view = of(&payee).and_then(|h| h.agreed(self.world, &payee, &due.branch));
            let want = Agreed {
                total: c.total.0,
                local: c.local.0,
                sponsored: c.sponsored.0,
                debited: c.receiver_payment.0,
                downstream: c.sender_payment.0,
            };
            let got = view.map(|view| Agreed {
                total: view.agreed_total,
                local: view.local_price,
                sponsored: view.agreed_sponsored,
                debited: view.debited,
                downstream: view.payment_downstream,
            });
            let what = format!("agreement {:?} with {:?}", (payee.1, payee.2), due.branch);
            self.same(payee.0, &what, Some(want), got);
        }
        let payer = due.payer;
        let view = of(&payer).and_then(|held| held.sender(self.world, &payer));
        let view = view.and_then(|view| view.charging.as_ref());
        let want = Paid {
            charged: c.total.0,
            at_most: c.max_total.0,
            fraction: c.fraction.get(),
            sponsored: c.sponsored.0,
            debited: c.receiver_payment.0,
            announced: c.announced_total.0,
            locals: c.local_sum.0,
            taken: c.sender_payment.0,
        };
        let got = view.and_then(|view| {
            let own = view.payment.as_ref()?;
            Some(Paid {
                charged: view.total_charge,
                at_most: view.max_total_charge,
                fraction: view.sender_fraction_ppm,
                sponsored: view.sponsored,
                debited: own.debited,
                announced: own.announced_total,
                locals: own.local_sum,
                taken: own.sender_payment,
            })
        });
        let got = got.map(|got| Paid { at_most: tolerated_maximum(&want, &got), ..got });
        let what = format!("charges {:?}", (payer.1, payer.2));
        self.same(payer.0, &what, Some(want), got);
    }
}

/// What a payee agreed on with a next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Agreed {
    total: u64,
    local: u64,
    sponsored: u64,
    debited: u64,
    downstream: u64,
}

/// What a payer was announced, and pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Paid {
    charged: u64,
    at_most: u64,
    fraction: u32,
    sponsored: u64,
    debited: u64,
    announced: u64,
    locals: u64,
    taken: u64,
}

/// A node keeps the highest M that it was announced, and so may announce more than what the way
/// comes to now: M is a promise of what is not exceeded.
fn tolerated_maximum(want: &Paid, got: &Paid) -> u64 {
    if got.at_most > want.at_most { want.at_most } else { got.at_most }
}

/// A reservation of a session that nobody receives, nor did lately: node, session and next hop.
pub(super) fn orphan(world: &World, allowed_us: u64) -> Option<Difference> {
    let now = world.net.now_us();
    for id in (0..world.net.topology.nodes.len()).filter(|id| world.runs(*id)) {
        for view in world.net.node(id).engine().show_reservations(world.net.clock(id)) {
            let topic = topic(world, &view.session);
            let wanted = topic.and_then(|topic| {
                let now_wanted = !world.members(topic).is_empty();
                if now_wanted { Some(now) } else { world.wanted[topic] }
            });
            if wanted.is_none_or(|at| now.saturating_sub(at) > allowed_us) {
                let next_hop: IpAddr = view.next_hop;
                return Some(Difference {
                    node: world.name(id).to_owned(),
                    what: format!("reservation of session {topic:?} for next hop {next_hop}"),
                    expected: "none: nobody receives, nor did lately".to_owned(),
                    found: format!("{view:?}"),
                });
            }
        }
    }
    None
}
