//! What a node decides by, as text: for comparing and for looking at.
//!
//! The image of a node holds everything on which its answers to later inputs rest, and nothing
//! else: no counters, no books, no random numbers, no spare memory, and nothing of how much of its
//! limits is used, which makes no difference as long as none is reached. The order of tables by hash is
//! not in it. Instants and serial numbers stand in it as they are (`Instant(…)` in microseconds,
//! `Millis(…)`, epochs near the wall clock), so whoever compares images of different times makes
//! them relative first.
//!
//! The tables of the engine are taken apart without `..`, and all below them is printed whole by
//! `Debug`: a new field is either in the image or does not compile.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use super::interfaces::Interfaces;
use super::psb::Psb;
use super::session::SessionState;
use super::time::Instant;
use super::{Core, Engine};

impl Engine {
    /// This node's image. Two nodes of one configuration with equal images behave alike.
    pub fn image(&self) -> String {
        let mut out = String::new();
        // A String takes whatever is written to it.
        let _ = self.write_image(&mut out);
        out
    }

    /// When the next thing is due, or the alarm that leads to it rings, whichever is later:
    /// [`poll_timeout`](Self::poll_timeout) without the alarms that have nothing to do any more.
    pub fn next_due(&self) -> Option<Instant> {
        let sessions = self.sessions.iter().map(SessionState::deadline).min();
        let due = sessions.into_iter().chain(self.core.outbox.reduce.next_due()).min()?;
        Some(due.max(self.poll_timeout()?)).filter(|at| *at != Instant::NEVER)
    }

    /// True if each session has an alarm no later than what is due there.
    pub fn alarms_stand(&self) -> bool {
        let stands = |s: &SessionState| s.armed <= s.deadline().max(self.core.soonest);
        self.sessions.iter().all(stands)
    }

    fn write_image(&self, out: &mut String) -> fmt::Result {
        let Self { core, sessions } = self;
        write_core(core, out)?;
        let sorted: BTreeMap<_, _> = sessions.iter().map(|s| (s.session.key(), s)).collect();
        sorted.values().try_for_each(|session| write_session(session, out))
    }
}

fn write_core(core: &Core, out: &mut String) -> fmt::Result {
    let Core {
        config: _,
        charging: _,
        // They have no state of their own.
        handlers: _,
        // Empty between inputs.
        policy_out: _,
        interfaces,
        routes,
        // What is used of the limits.
        neighbours: _,
        // The plays that are explored have no keys.
        integrity: _,
        // Empty between inputs.
        disbelieved: _,
        // It changes nothing that is kept of sessions.
        diagnose: _,
        outbox,
        // Alarms follow from what is due; one too many finds nothing.
        timers: _,
        counters: _,
        books: _,
        unwritten,
        // Evidence, told and counted: nothing is decided by it.
        audit: _,
        // Copies to share, no state.
        accounts: _,
        // The plays that are explored have no accounts.
        purses: _,
        // Books, too.
        returns: _,
        in_hand: _,
        rng: _,
        steady: _,
        repriced,
        // The few sessions of the plays that are explored are quoted at once.
        requotes: _,
        // In the plays that are explored prices stand.
        prices_move: _,
        torn_with,
        // That of the last input.
        at: _,
        unix_s: _,
        // In the past whenever the next input comes.
        soonest: _,
        unused_serial,
        // Handles in use stand with their sessions.
        next_handle: _,
        // A name and no more.
        named_flows: _,
        // Empty between inputs.
        message: _,
        closing: _,
        draining,
        drain_percent,
        // The plays that are explored have no proxies of senders.
        unopened: _,
    } = core;
    write_interfaces(interfaces, out)?;
    writeln!(out, "routes {:?}", routes.image())?;
    writeln!(out, "outbox {:?} {unwritten:?}", outbox.image())?;
    writeln!(out, "repriced {repriced:?} torn with {torn_with:?} unused {unused_serial:?}")?;
    writeln!(out, "draining {draining} {drain_percent:?}")
}

fn write_interfaces(interfaces: &Interfaces, out: &mut String) -> fmt::Result {
    for port in interfaces.iter() {
        writeln!(out, "{port:?}")?;
    }
    Ok(())
}

fn write_session(state: &SessionState, out: &mut String) -> fmt::Result {
    let SessionState {
        session,
        slot,
        senders,
        reservations,
        heard,
        traffic,
        traffic_stale,
        receiver,
        proxied,
        local_senders,
        path_refresh,
        resv_refresh,
        armed: _,
    } = state;
    writeln!(out, "{session:?} {slot} {path_refresh:?} {resv_refresh:?}")?;
    senders.iter().try_for_each(|psb| write_psb(psb, out))?;
    writeln!(out, "{heard:?} {traffic:?} {traffic_stale}")?;
    writeln!(out, "{reservations:?} {receiver:?} {proxied:?} {local_senders:?}")
}

fn write_psb(psb: &Psb, out: &mut String) -> fmt::Result {
    let Psb {
        sender,
        phop,
        incoming,
        facts,
        refresh_ms,
        expires,
        route,
        pinned,
        left,
        flow,
        blockade,
        reserved_upstream,
        outdated,
        announcer,
        veiled,
        outgoing,
        elements,
        policy_until,
        held_back,
        traded,
        detail,
        curve,
        number: _,
        // As far as it is not durable, a message waits for it in the outbox.
        needs: _,
        former,
        sent,
        sent_resv,
        heard_by,
        seat: _,
    } = psb;
    writeln!(out, "{sender:?} {phop:?} {incoming} {refresh_ms} {expires:?} {route:?}")?;
    writeln!(out, "{facts:?}")?;
    writeln!(out, "{pinned:?} {outgoing:?} {left:?} {blockade:?} {reserved_upstream} {outdated}")?;
    writeln!(out, "{elements:?} {policy_until:?} {held_back:?} {announcer:?} {veiled} {traded:?}")?;
    writeln!(out, "{former:?} {sent:?} {sent_resv:?} {heard_by:?} {detail:?} {curve:?}")?;
    match flow {
        Some(flow) => writeln!(out, "{:?}", flow.image()),
        None => writeln!(out, "uncharged"),
    }
}
