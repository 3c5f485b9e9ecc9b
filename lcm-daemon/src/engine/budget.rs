//! A receiver on this node reserves as much as its budget allows, by what the hops above say that other
//! rates cost.
//!
//! What does not fit any more is given up at once. More is asked for when what stands has stood for a
//! while, and each time that something had to be given up again soon, the next wait is twice as long:
//! prices that rise because of what is reserved, here or by others with a budget, do not make a
//! receiver go up and down with them.

use rsvp_wire::object::{Filter, Float, FlowSpec, Style};

use charging_model::Curve;

use super::Core;
use super::charging;
use super::local::{LocalReceiver, Notice, NoticeEvent};
use super::outbox::Output;
use super::rsb::LOCAL;
use super::session::SessionState;
use super::time::{Instant, Now, Span};

/// How long more must have fitted before it is asked for, in milliseconds: at first, and at most.
const WAIT_MS: u64 = 60_000;
const WAIT_MS_MAX: u64 = 3_600_000;
/// Within this time one change of prices may come in several steps, in milliseconds.
const STEPS_MS: u64 = 10_000;

/// What a receiver reserves of a sender to keep within its budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fitted {
    sender: Filter,
    /// Token rate.
    pub(super) rate: Float,
    /// What that costs at most.
    pub(super) payment: u64,
    /// When it was another rate last.
    changed: Instant,
    /// For how long that is not less than what could be had.
    wait: Span,
    /// It was more than before.
    grew: bool,
}

impl LocalReceiver {
    /// What it reserves of a sender to keep within its budget.
    pub(super) fn fits(&self, sender: Filter) -> Option<Fitted> {
        self.fitted.iter().find(|fitted| fitted.sender == sender).copied()
    }

    /// The most that it pays for a sender.
    pub(super) fn most(&self) -> u64 {
        let most = [self.request.max_payment, self.request.budget];
        most.into_iter().flatten().min().unwrap_or(u64::MAX)
    }
}

impl SessionState {
    /// Chooses anew what the receiver on this node reserves of a sender, and has the claim of the
    /// previous hop be for that.
    pub(super) fn fit_budget(&mut self, core: &mut Core, now: Now, index: usize) {
        let standing = self.senders.get(index).map(|psb| psb.sender).is_some_and(|sender| {
            self.reservation_of(LOCAL, self.session.destination, sender).is_some()
        });
        let (Some(psb), Some(receiver)) = (self.senders.get_mut(index), &mut self.receiver) else {
            if let Some(psb) = self.senders.get_mut(index) {
                charging::wish(now, psb, 0, false);
            }
            return;
        };
        let (sender, tspec) = (psb.sender, psb.facts.tspec);
        let concerned = receiver.request.sender.is_none_or(|only| only == sender);
        let whole = receiver.request.flowspec.unwrap_or(FlowSpec::ControlledLoad(tspec));
        let FlowSpec::ControlledLoad(whole) = whole else { return };
        if !concerned || psb.phop.is_none() || receiver.request.style != Style::FixedFilter {
            return;
        }
        let most = whole.rate.min(tspec.rate).to_integer();
        let mut waits = false;
        let budget = receiver.request.budget;
        if let (Some(budget), Some(due)) = (budget, charging::due_at(psb, self.session.destination))
        {
            let due = |bytes: u64| due(bytes.saturating_mul(8));
            let old = receiver.fits(sender).filter(|_| standing);
            let next = choose(now, sender, most, receiver.most(), old, due);
            let further = next.and_then(|next| Float::from_bits(next.rate.to_bits() + 1));
            let further = further.map(Float::to_integer).filter(|bytes| *bytes <= most);
            waits = further.and_then(&due).is_some_and(|due| due <= receiver.most());
            receiver.fitted.retain(|fitted| fitted.sender != sender);
            receiver.fitted.extend(next);
            if let Some(next) = next.filter(|next| old.is_none_or(|old| old.rate != next.rate)) {
                let (bytes_per_s, payment) = (next.rate.to_integer(), next.payment);
                let event = NoticeEvent::Fitted { bytes_per_s, payment, budget };
                core.outbox.push(Output::Notice(Notice { handle: receiver.handle, sender, event }));
            }
        }
        if let FlowSpec::ControlledLoad(wanted) = receiver.wanted(sender, tspec) {
            let rate = wanted.rate.min(tspec.rate).to_integer();
            charging::wish(now, psb, rate.saturating_mul(8), waits);
        }
    }
}

/// What is to be reserved at these prices, `most` bytes a second being all that there is; nothing new
/// where not even a byte fits.
fn choose(
    now: Now,
    sender: Filter,
    most: u64,
    budget: u64,
    old: Option<Fitted>,
    due: impl Fn(u64) -> Option<u64>,
) -> Option<Fitted> {
    let fits = |bytes: u64| due(bytes).is_some_and(|due| due <= budget);
    let best = Curve::greatest(1, most, fits).map(at_most);
    let first = Span::from_millis(WAIT_MS);
    let Some(old) = old else {
        let rate = best?;
        let payment = due(rate.to_integer())?;
        return Some(Fitted { sender, rate, payment, changed: now.at, wait: first, grew: false });
    };
    let payment = |rate: Float| due(rate.to_integer());
    match best {
        Some(rate) if !fits(old.rate.to_integer()) => {
            let steps = now.at < old.changed + Span::from_millis(STEPS_MS);
            let soon = now.at < old.changed + old.wait + old.wait;
            let longest = Span::from_millis(WAIT_MS_MAX);
            let longer = Span::from_micros(old.wait.as_micros().saturating_mul(2)).min(longest);
            let wait = match (soon, steps && !old.grew) {
                (true, true) => old.wait,
                (true, false) => longer,
                (false, _) => first,
            };
            Some(Fitted {
                rate,
                payment: payment(rate)?,
                changed: now.at,
                wait,
                grew: false,
                ..old
            })
        }
        Some(rate) if rate > old.rate && now.at >= old.changed + old.wait => {
            Some(Fitted { rate, payment: payment(rate)?, changed: now.at, grew: true, ..old })
        }
        // It stands, at what it costs now.
        _ => Some(Fitted { payment: payment(old.rate).unwrap_or(old.payment), ..old }),
    }
}

/// The greatest rate that can be said and is not above this many bytes a second.
fn at_most(bytes: u64) -> Float {
    let near = Float::from_integer(bytes);
    if near.to_integer() <= bytes {
        return near;
    }
    Float::from_bits(near.to_bits().saturating_sub(1)).unwrap_or(near)
}
