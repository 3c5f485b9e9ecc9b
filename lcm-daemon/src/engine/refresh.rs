//! What happens by the clock: refreshes with jitter, and the end of state that nobody refreshed
//! (RFC 2205 section 3.7).

use std::net::IpAddr;

use rsvp_wire::object::{AdspecHop, Filter, Float, update_adspec};
use rsvp_wire::{BufferTooSmall, MessageWriter};

use smallvec::SmallVec;

use super::Core;
use super::counters::bump;
use super::rsb::{Rsb, Selection};
use super::session::SessionState;
use super::time::{Instant, Now, Span};

impl SessionState {
    /// Does whatever is due.
    pub(crate) fn handle_due(&mut self, core: &mut Core, now: Now) {
        self.expire(core, now);
        for index in 0..self.senders.len() {
            self.charging_due(core, now, index);
        }
        self.choices_due(core, now);
        self.proxies_due(core, now);
        if self.path_refresh <= now.at {
            for index in 0..self.senders.len() {
                self.refresh_path(core, now, index);
            }
            self.path_refresh = next_refresh(core, now);
        }
        if self.resv_refresh <= now.at {
            self.renew_local_consent(core, now);
            for phop in self.previous_hops() {
                self.refresh_resv(core, now, phop);
            }
            self.resv_refresh = next_refresh(core, now);
        }
        self.arm_refresh(core, now);
    }

    /// Ends state that was not refreshed in time.
    fn expire(&mut self, core: &mut Core, now: Now) {
        while let Some((at, only)) = self.first_expired(now) {
            bump(&mut core.counters.expired, "reservation");
            self.end_reservation(core, now, at, &only);
            self.after_all_charging(core, now);
        }
        self.expire_payers(core, now);
        self.expire_heard(core, now);
        for psb in &mut self.senders {
            psb.blockade.take_if(|blockade| blockade.until <= now.at);
        }
        let senders: Vec<Filter> =
            self.senders.iter().filter(|psb| psb.expires <= now.at).map(|psb| psb.sender).collect();
        for sender in senders {
            bump(&mut core.counters.expired, "sender");
            self.drop_sender(core, now, sender);
            self.fall_back(core, now, sender);
        }
    }

    /// A reservation block that is over, and the senders whose part of it is; none for all.
    fn first_expired(&self, now: Now) -> Option<(usize, Vec<Filter>)> {
        let over = |rsb: &Rsb| rsb.state_deadline() <= now.at;
        let at = self.reservations.iter().position(over)?;
        let only = match &self.reservations.get(at)?.selection {
            Selection::Explicit(list) => {
                list.iter().filter(|(_, at)| *at <= now.at).map(|(filter, _)| *filter).collect()
            }
            _ => Vec::new(),
        };
        Some((at, only))
    }

    /// Starts refreshes that have something to refresh, stops the others.
    pub(crate) fn arm_refresh(&mut self, core: &mut Core, now: Now) {
        if self.senders.is_empty() {
            self.path_refresh = Instant::NEVER;
        } else if self.path_refresh == Instant::NEVER {
            self.path_refresh = next_refresh(core, now);
        }
        if self.reservations.is_empty() {
            self.resv_refresh = Instant::NEVER;
        } else if self.resv_refresh == Instant::NEVER {
            self.resv_refresh = next_refresh(core, now);
        }
    }

    /// Looks after refreshes again after R became shorter: none comes later than by the new R.
    pub(crate) fn refresh_sooner(&mut self, core: &mut Core, now: Now) {
        for timer in [&mut self.path_refresh, &mut self.resv_refresh] {
            if *timer != Instant::NEVER {
                *timer = next_refresh(core, now).min(*timer);
            }
        }
    }

    /// Has everything refreshed at once, as far as that is no burst, because a neighbour did not take
    /// it before.
    pub(crate) fn refresh_soon(&mut self, core: &mut Core, now: Now) {
        for timer in [&mut self.path_refresh, &mut self.resv_refresh] {
            if *timer != Instant::NEVER {
                let soon = if core.steady { 50_000 } else { core.rng.u64(20_000..100_000) };
                *timer = (now.at + Span::from_micros(soon)).min(*timer);
            }
        }
    }

    /// The distinct previous hops of all senders.
    fn previous_hops(&self) -> Vec<IpAddr> {
        let mut hops: Vec<IpAddr> =
            self.senders.iter().filter_map(|psb| psb.phop_address()).collect();
        hops.sort_unstable();
        hops.dedup();
        hops
    }
}

/// The next refresh: R, randomised over 0.5 R to 1.5 R so that routers do not fall into step
/// (RFC 2205 section 3.7).
fn next_refresh(core: &mut Core, now: Now) -> Instant {
    let refresh_ms = core.interfaces.refresh_ms(core.config.rsvp.refresh_ms, now.at);
    let r = u64::from(refresh_ms).saturating_mul(1000);
    // What waits for others to be refreshed with must not come later for it (RFC 2961 section 5.3).
    let reduce = &mut core.outbox.reduce;
    let wait = if reduce.active { reduce.set_period(refresh_ms).as_micros() } else { 0 };
    if core.steady {
        return now.at + Span::from_micros(r - wait);
    }
    now.at + Span::from_micros(core.rng.u64(r / 2..=r / 2 + r - wait))
}

/// Writes an ADSPEC as this hop must change it (RFC 2210 section 3.3.1).
pub(crate) fn write_adspec(
    writer: &mut MessageWriter<'_>,
    adspec: &[u8],
    non_rsvp_hop: bool,
    mtu: u32,
) -> Result<(), BufferTooSmall> {
    let mut copy: SmallVec<[u8; 128]> = SmallVec::from_slice(adspec);
    let hop = AdspecHop {
        bandwidth: Float::INFINITY,
        latency_us: u32::MAX,
        mtu,
        non_rsvp_hop_passed: non_rsvp_hop,
        guaranteed: None,
        controlled_load: true,
    };
    update_adspec(&mut copy, &hop);
    writer.raw(&copy)
}
