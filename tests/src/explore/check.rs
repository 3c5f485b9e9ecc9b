//! What must hold in each state, and where the network has come to rest.

use std::collections::BTreeSet;

use lcm_daemon::engine::{Engine, Instant, Now};
use rsvp_wire::object::{Filter, FlowId};

use super::expect::{expected, owes_line, path_line, resv_line};
use super::kernel::{K, R_MS};
use super::scenario::{Budget, Scenario, Step};
use super::world::{UNIX_START, World};

/// More messages than this on their way at once are a storm.
const STORM: usize = 40;

/// Longest time for which changes that move no payment are collected (T19), with a margin.
const COALESCED_US: u64 = 600_000;

/// How long after the last disturbance the network must be as its topology says, in microseconds:
/// depth · 1.5 R + (K + ½) · 1.5 R. Where messages keep their order and nothing goes wrong, the
/// messages of the moment do it, but for the half second for which changes are collected (T19).
pub fn rest_bound_us(scenario: &Scenario) -> u64 {
    let Budget { faults, crash, in_order, .. } = scenario.budget;
    let mut steps = scenario.scripts.iter().flatten();
    let repriced = steps.any(|(_, step)| matches!(step, Step::Price(..)));
    // What is not covered by a new price may stand until its deadline (T8).
    if in_order && faults == 0 && crash.is_none() && !repriced {
        return COALESCED_US;
    }
    let depth = scenario.topology.nodes.len() as u64 - 1;
    let r = u64::from(R_MS) * 1_000;
    depth * r * 3 / 2 + (2 * u64::from(K) + 1) * r * 3 / 4
}

/// What must hold in every state, at rest or not.
pub(super) fn always(world: &World<'_>) -> Result<(), String> {
    if world.flying.len() > STORM {
        return Err(format!("{} messages are on their way at once", world.flying.len()));
    }
    for (node, seat) in world.seats.iter().enumerate() {
        let Some(seat) = seat else { continue };
        if !seat.engine.alarms_stand() {
            return Err(format!("no alarm stands for what is due at node {node}"));
        }
        covered(world, node, &seat.engine)?;
    }
    Ok(())
}

/// Nobody is charged more than what its RESVs that have arrived approve at this time.
fn covered(world: &World<'_>, node: usize, engine: &Engine) -> Result<(), String> {
    for view in engine.show_reservations(clock(world)) {
        let Some(charge) = view.charging else { continue };
        let running = charge.status == "ACTIVE" && charge.approved_for_ms > 0;
        if !running || charge.debited == 0 || view.interface == "local" {
            continue;
        }
        let approved = world.approvals.iter().filter(|((payee, hop, session, sender), _)| {
            (*payee, *hop) == (node, view.next_hop)
                && session.destination == view.session.destination
                && session.destination_port == view.session.port
                && is(sender, &view.sender)
        });
        let ceilings = approved.flat_map(|(_, approvals)| approvals.iter());
        let most = ceilings.map(|(ceiling, _)| *ceiling).max().unwrap_or(0);
        if charge.debited > most {
            let name = &world.scenario.topology.nodes[node].name;
            return Err(format!(
                "{name} charges {} {} per second where {most} is approved",
                view.next_hop, charge.debited
            ));
        }
    }
    Ok(())
}

fn is(filter: &Filter, view: &lcm_daemon::engine::show::SenderId) -> bool {
    let id = match filter.id {
        FlowId::Port(port) => u32::from(port),
        FlowId::FlowLabel(label) => label,
        FlowId::Gpi(spi) => spi,
    };
    (filter.source, id) == (view.source, view.id)
}

/// The engines look at the clocks of the world for nothing but what is left of a time here.
fn clock(world: &World<'_>) -> Now {
    Now::new(Instant::from_micros(world.now_us), UNIX_START)
}

/// Where an idle network differs from what its topology says; nothing is well.
pub(super) fn unrest(world: &World<'_>) -> Option<String> {
    let (observed, expected) = (observed(world), expected(world));
    let missing = expected.difference(&observed).map(|line| format!("  missing  {line}\n"));
    let extra = observed.difference(&expected).map(|line| format!("  too much {line}\n"));
    let all: String = missing.chain(extra).chain(sizes(world, &expected)).collect();
    (!all.is_empty()).then_some(all)
}

/// Where nothing is expected, nothing at all may be left, whatever is shown of it.
fn sizes(world: &World<'_>, expected: &BTreeSet<String>) -> Option<String> {
    let receives = world.scenario.scripts.iter().zip(&world.steps).any(|(script, done)| {
        // An application that waits for a sender is state of its own.
        *done > 0 && *done < script.len()
    });
    if !expected.is_empty() || receives {
        return None;
    }
    let sizes = world.seats.iter().flatten().map(|seat| seat.engine.sizes());
    let left: Vec<_> = sizes.filter(|sizes| *sizes != (0, 0, 0)).collect();
    (!left.is_empty()).then(|| format!("  left     {left:?} sessions, senders, reservations\n"))
}

/// All state of all nodes, one line each.
pub(super) fn observed(world: &World<'_>) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for (node, seat) in world.seats.iter().enumerate() {
        let Some(seat) = seat else { continue };
        let name = &world.scenario.topology.nodes[node].name;
        for session in seat.engine.show_sessions(clock(world)) {
            for psb in session.senders {
                let (to, from) = (session.session.destination, psb.sender.source);
                lines.insert(path_line(name, to, from, psb.phop, &psb.outgoing));
                let payment = psb.charging.and_then(|charging| charging.payment);
                if let Some(payment) = payment.filter(|_| psb.phop.is_some()) {
                    lines.insert(owes_line(name, to, from, payment.debited));
                }
            }
        }
        for view in seat.engine.show_reservations(clock(world)) {
            let charged = view.charging.as_ref().map(|c| (c.status.as_str(), c.debited));
            lines.insert(resv_line(
                name,
                view.session.destination,
                view.sender.source,
                &view.interface,
                view.next_hop,
                &view.style,
                view.traffic.rate,
                charged,
            ));
        }
    }
    lines
}

/// What can be seen of a state, for comparing explorations.
pub(super) fn outcome(world: &World<'_>) -> String {
    let lines: Vec<String> = observed(world).into_iter().collect();
    let kinds = world.flying.iter().map(|flying| (flying.to, flying.packet.bytes[1]));
    let mut kinds: Vec<_> = kinds.collect();
    kinds.sort_unstable();
    format!("{:?} {kinds:?}\n{}", world.steps, lines.join("\n"))
}
