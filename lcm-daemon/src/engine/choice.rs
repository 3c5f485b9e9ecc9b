//! A receiver on this node that hears one sender over several interfaces takes the cheapest way
//! (paper section 3.1: users look for the lowest price, and choose their provider).
//!
//! ```text
//! first PATH ──wait──▶ all quotes compared ──▶ one way taken, the others kept in `heard`
//!                            ▲                       │ refused, above the maximum, or dearer
//!                            └───────────────────────┘ than another by the margin
//! ```
//!
//! The way that is taken is the block's: its previous hop is the only one that is asked for a
//! reservation, and a hand-over ends the old one before it asks for the new one. So both are never
//! reserved together.
//!
//! Where two ways share hops, what is reserved over one makes the other look cheaper than it would
//! be. So quotes are gathered before anything is reserved, and what a quote falls by after a
//! hand-over counts as our own doing: it is added to that quote when ways are compared. An estimate
//! that was wrong is corrected by what the way then really costs, so it misleads once at most.

use rsvp_wire::object::Filter;

use super::charging;
use super::counters::bump;
use super::heard::Heard;
use super::local::{NoticeEvent, OtherWay};
use super::path::Arrived;
use super::session::SessionState;
use super::show::interface_name;
use super::time::{Instant, Now, Span};
use super::{Core, Engine};
use crate::config::Choice;
use crate::kernel::Route;

/// Doublings of the time for which a way that refuses is left alone.
const REFUSALS_MAX: u32 = 7;

/// Where a receiver stands with one sender.
#[derive(Debug, Clone)]
pub(crate) struct Choosing {
    pub(crate) sender: Filter,
    /// When the ways are looked at next, whatever is heard; never while nothing is pending.
    pub(crate) due: Instant,
    /// When enough was waited for quotes.
    gathered: Instant,
    /// The way that was taken; none while quotes are gathered.
    chosen: Option<u32>,
    /// Since when.
    since: Instant,
    /// The way that is to be taken now, and why.
    next: Option<(u32, &'static str)>,
    ways: Vec<Way>,
    /// The last PATH over the way of the block, for when that is only one of the others.
    counted: Option<Arrived>,
}

/// One of the interfaces on which the sender is heard.
#[derive(Debug, Clone)]
struct Way {
    interface: u32,
    /// What would be due there, as announced.
    asked: u64,
    /// What it cost when nothing of ours was reserved elsewhere.
    apart: u64,
    /// How much of that our own reservation elsewhere hides.
    hidden: u64,
    /// It refused us, and is not asked again before this.
    refused: Option<Instant>,
    /// How often it did so in a row.
    refusals: u32,
}

impl Way {
    /// It refused us: each time it is left alone for twice as long, since asking it again ends what
    /// stands elsewhere.
    fn refuse(&mut self, now: Instant, rules: Choice) -> Instant {
        let times = 1_u64 << self.refusals.min(REFUSALS_MAX);
        self.refusals = self.refusals.saturating_add(1);
        let until = now + Span::from_millis(u64::from(rules.hold_ms).saturating_mul(times));
        self.refused = Some(until);
        until
    }

    fn expected(&self) -> u64 {
        self.asked.saturating_add(self.hidden)
    }

    fn suits(&self, most: u64, now: Instant) -> bool {
        self.expected() <= most && self.refused.is_none_or(|until| until <= now)
    }
}

/// What is to be done about a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// More quotes may come.
    Wait,
    Stay,
    Take(u32, &'static str),
}

impl Choosing {
    fn new(sender: Filter, gathered: Instant) -> Self {
        Self {
            sender,
            due: Instant::NEVER,
            gathered,
            chosen: None,
            since: Instant::default(),
            next: None,
            ways: Vec::new(),
            counted: None,
        }
    }

    fn way(&self, interface: u32) -> Option<&Way> {
        self.ways.iter().find(|way| way.interface == interface)
    }

    /// Takes the quotes of all ways; who is not among them is heard no more.
    fn hear(&mut self, now: Instant, rules: Choice, quotes: &[(u32, u64)]) {
        self.ways.retain(|way| quotes.iter().any(|(interface, _)| *interface == way.interface));
        let settling = self.chosen.is_some() && now < self.since + hold(rules);
        for (interface, asked) in quotes {
            let known = self.ways.iter_mut().find(|way| way.interface == *interface);
            let Some(way) = known else {
                let (interface, asked) = (*interface, *asked);
                let way =
                    Way { interface, asked, apart: asked, hidden: 0, refused: None, refusals: 0 };
                self.ways.push(way);
                continue;
            };
            way.asked = *asked;
            if self.chosen == Some(*interface) {
                way.hidden = 0;
                if !settling {
                    way.refusals = 0;
                }
            } else if settling {
                way.hidden = way.apart.saturating_sub(*asked);
            }
        }
    }

    /// A way was taken.
    fn take(&mut self, interface: u32, now: Instant) {
        for way in &mut self.ways {
            way.apart = way.expected();
            if way.interface == interface {
                way.hidden = 0;
            }
        }
        self.chosen = Some(interface);
        self.since = now;
        self.next = None;
    }

    /// Compares the ways; `here` is the block's.
    fn decide(&mut self, now: Instant, rules: Choice, here: u32, most: u64) -> Verdict {
        if self.chosen.is_none() && now < self.gathered {
            self.due = self.gathered;
            return Verdict::Wait;
        }
        self.due = Instant::NEVER;
        let Some(present) = self.way(here) else { return Verdict::Stay };
        let others = self.ways.iter().filter(|way| way.interface != here);
        let best = others
            .filter(|way| way.suits(most, now))
            .min_by_key(|way| (way.expected(), way.interface));
        let Some(best) = best else { return Verdict::Stay };
        if !present.suits(most, now) {
            let refused = present.refused.is_some_and(|until| now < until);
            return Verdict::Take(best.interface, if refused { "refused" } else { "price" });
        }
        if self.chosen.is_none() {
            let cheaper = best.expected() < present.asked;
            return if cheaper { Verdict::Take(best.interface, "first") } else { Verdict::Stay };
        }
        let kept = u128::from(100 - rules.margin_percent.min(100));
        let worth = u128::from(best.expected()) * 100 < u128::from(present.asked) * kept;
        if !worth {
            return Verdict::Stay;
        }
        let held = self.since + hold(rules);
        if now < held {
            self.due = held;
            return Verdict::Stay;
        }
        Verdict::Take(best.interface, "price")
    }
}

fn hold(rules: Choice) -> Span {
    Span::from_millis(u64::from(rules.hold_ms))
}

impl Engine {
    /// Whether receivers that do not say choose the cheapest way.
    pub fn receivers_choose(&self) -> bool {
        self.core.config.choice.enabled
    }
}

impl SessionState {
    /// True if a receiver here chooses among the interfaces of this session's senders.
    pub(crate) fn chooses(&self) -> bool {
        let wants = self.receiver.as_ref().is_some_and(|receiver| receiver.request.cheapest);
        wants && self.session.destination.is_multicast()
    }

    fn choosing(&mut self, sender: Filter) -> Option<&mut Choosing> {
        let receiver = self.receiver.as_mut()?;
        receiver.choosing.iter_mut().find(|choosing| choosing.sender == sender)
    }

    /// The interface on which the data of a sender is wanted, where that was chosen.
    pub(crate) fn chosen_way(&self, sender: Filter) -> Option<u32> {
        let choosing = &self.receiver.as_ref()?.choosing;
        choosing.iter().find(|choosing| choosing.sender == sender)?.chosen
    }

    /// Keeps the PATH that counts, for when another one does.
    pub(crate) fn keep_counted(&mut self, core: &Core, now: Now, arrived: Arrived) {
        if let Some(choosing) = self.start_choosing(core, now, arrived.sender) {
            choosing.counted = Some(arrived);
        }
    }

    fn start_choosing(&mut self, core: &Core, now: Now, sender: Filter) -> Option<&mut Choosing> {
        let receiver = self.receiver.as_mut()?;
        let known = receiver.choosing.iter().position(|choosing| choosing.sender == sender);
        let at = known.unwrap_or_else(|| {
            let wait = Span::from_millis(u64::from(core.config.choice.wait_ms));
            receiver.choosing.push(Choosing::new(sender, now.at + wait));
            receiver.choosing.len() - 1
        });
        receiver.choosing.get_mut(at)
    }

    /// Whether the receiver here is to answer the price `due` of a sender's block now. If not, more
    /// quotes are waited for, or another way is about to be taken.
    pub(crate) fn settled_on(
        &mut self,
        core: &mut Core,
        now: Now,
        index: usize,
        due: u64,
        most: u64,
    ) -> bool {
        let Some(psb) = self.senders.get(index).filter(|_| self.chooses()) else { return true };
        if matches!(core.routes.get(&psb.route), Some(Route::Multicast { .. })) {
            // A router takes the data from where multicast routing has it come in.
            return true;
        }
        let (sender, here) = (psb.sender, psb.incoming);
        let elsewhere = self.heard.iter().filter(|heard| heard.arrived.sender == sender);
        let mut quotes: Vec<(u32, u64)> = elsewhere
            .filter_map(|heard| {
                let asked = charging::asked(&heard.arrived.policy.announced)?;
                Some((heard.arrived.incoming, asked))
            })
            .collect();
        quotes.push((here, due));
        let rules = core.config.choice;
        let Some(choosing) = self.start_choosing(core, now, sender) else { return true };
        choosing.hear(now.at, rules, &quotes);
        let lost = choosing.chosen.is_some_and(|chosen| chosen != here);
        if lost {
            // Its previous hop fell silent, or tore it down.
            choosing.take(here, now.at);
            bump(&mut core.counters.ways_taken, "lost");
        }
        let verdict = choosing.decide(now.at, rules, here, most);
        match verdict {
            Verdict::Wait => return false,
            Verdict::Take(to, why) => {
                choosing.next = Some((to, why));
                choosing.due = now.at;
                return false;
            }
            Verdict::Stay => {}
        }
        let first = choosing.chosen.is_none();
        if first {
            choosing.take(here, now.at);
            bump(&mut core.counters.ways_taken, "first");
        }
        if first || lost {
            self.tell_way(core, index);
        }
        true
    }

    /// Takes ways that are to be taken, and looks again at those whose time has come.
    pub(crate) fn choices_due(&mut self, core: &mut Core, now: Now) {
        let Some(receiver) = self.receiver.as_mut() else { return };
        let mut due = Vec::new();
        for choosing in receiver.choosing.iter_mut().filter(|choosing| choosing.due <= now.at) {
            choosing.due = Instant::NEVER;
            due.push((choosing.sender, choosing.next.take()));
        }
        for (sender, next) in due {
            if let Some((to, why)) = next {
                self.hand_over_to(core, now, sender, to, why);
            }
            if let Some(index) = self.sender(sender) {
                self.after_charging(core, now, index);
            } else {
                self.forget_choice(sender);
            }
        }
    }

    /// Lets what is heard on another interface take the place of a sender's block.
    fn hand_over_to(
        &mut self,
        core: &mut Core,
        now: Now,
        sender: Filter,
        to: u32,
        why: &'static str,
    ) {
        let Some(at) = self.heard.iter().position(|heard| heard.is(sender, to)) else { return };
        let Some(psb) = self.sender(sender).and_then(|index| self.senders.get_mut(index)) else {
            return;
        };
        let (from, expires) = (psb.incoming, psb.expires);
        // It is the old hop's refusal (RFC 2209 section 1: a blockade has a PHOP).
        let blockade = psb.blockade.take();
        let Heard { arrived, expires: fresh } = self.heard.swap_remove(at);
        let Some(choosing) = self.choosing(sender) else { return };
        let before = (choosing.chosen, choosing.since);
        choosing.take(to, now.at);
        let counted = choosing.counted.take().filter(|counted| counted.incoming == from);
        if let Some(counted) = &counted {
            self.heard.push(Heard { arrived: counted.clone(), expires });
        }
        match self.take_path(core, now, arrived) {
            Ok(()) => {
                bump(&mut core.counters.ways_taken, why);
                let Some(index) = self.sender(sender) else { return };
                if let Some(psb) = self.senders.get_mut(index) {
                    // It is no fresher for having been kept.
                    psb.expires = psb.expires.min(fresh);
                }
                self.tell_way(core, index);
            }
            Err(fault) => {
                core.counters.drop(fault.reason);
                self.heard.retain(|heard| !heard.is(sender, from));
                if let Some(psb) = self.sender(sender).and_then(|at| self.senders.get_mut(at)) {
                    psb.blockade = blockade;
                }
                let rules = core.config.choice;
                let Some(choosing) = self.choosing(sender) else { return };
                choosing.counted = counted;
                (choosing.chosen, choosing.since) = before;
                if let Some(way) = choosing.ways.iter_mut().find(|way| way.interface == to) {
                    way.refuse(now.at, rules);
                }
            }
        }
    }

    /// The previous hops of these senders refused our reservation, of which nothing stands.
    pub(crate) fn ways_refused(&mut self, core: &Core, now: Now, senders: &[Filter]) {
        let rules = core.config.choice;
        let Some(receiver) = self.receiver.as_mut() else { return };
        for choosing in receiver.choosing.iter_mut().filter(|c| senders.contains(&c.sender)) {
            let chosen = choosing.chosen;
            let way = choosing.ways.iter_mut().find(|way| Some(way.interface) == chosen);
            if let Some(way) = way {
                // If there is no other way it is asked again then.
                choosing.due = way.refuse(now.at, rules);
            }
        }
    }

    /// What was heard elsewhere of a sender changed: the receiver here may want it.
    pub(crate) fn look_elsewhere(&mut self, core: &mut Core, now: Now, index: usize) {
        if self.chooses() {
            self.after_charging(core, now, index);
        }
    }

    /// A sender is gone from everywhere.
    pub(crate) fn forget_choice(&mut self, sender: Filter) {
        if self.heard.iter().any(|heard| heard.arrived.sender == sender) {
            return;
        }
        if let Some(receiver) = &mut self.receiver {
            receiver.choosing.retain(|choosing| choosing.sender != sender);
        }
    }

    /// Tells the application by which way it receives.
    fn tell_way(&mut self, core: &mut Core, index: usize) {
        let Some(psb) = self.senders.get(index) else { return };
        let (sender, here) = (psb.sender, psb.incoming);
        let Some(previous_hop) = psb.phop_address() else { return };
        let Some(choosing) = self.choosing(sender) else { return };
        let others = choosing.ways.iter().filter(|way| way.interface != here);
        let others: Vec<OtherWay> = others
            .map(|way| OtherWay {
                interface: interface_name(core, way.interface),
                payment: way.asked,
            })
            .collect();
        let interface = interface_name(core, here);
        let event = NoticeEvent::Chosen { interface, previous_hop, others };
        self.notify_receiver(core, sender, event);
    }
}
