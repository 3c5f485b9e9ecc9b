//! One account: what it has, at which rate it is spent, and when nothing will be left.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::settlement::{NotWhole, Settlement};
use super::terms::Terms;

/// Seconds of a day.
const DAY_S: u64 = 86_400;

/// Why nothing more may be spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Nothing is left of the money, or of the credit.
    Exhausted,
    /// The session spent all that one may.
    SessionCap,
    /// All is spent that may be in a day.
    DayCap,
    /// All is spent that may be in a month.
    MonthCap,
}

impl End {
    /// Its name in logs and counters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exhausted => "account_exhausted",
            Self::SessionCap => "account_session_cap",
            Self::DayCap => "account_day_cap",
            Self::MonthCap => "account_month_cap",
        }
    }
}

/// What has come due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// All spending, or that of one session, ends at an instant that is not later than now.
    End {
        /// Why.
        why: End,
        /// When: what is left then does not pay for another millisecond.
        at_ms: u64,
        /// The session whose share is spent; all if none is named.
        session: Option<usize>,
    },
    /// Spending will end soon.
    Warn {
        /// Why.
        why: End,
        /// When, if nothing changes.
        at_ms: u64,
    },
}

/// What is known of an account from before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What was paid in.
    pub paid_in: u128,
    /// What was charged.
    pub charged: u128,
    /// What of that was charged on the day of this number since 1970, UTC.
    pub day: (u64, u128),
    /// And in the month of this number.
    pub month: (u64, u128),
    /// What was given back beyond what was charged: of what an earlier account of the same holder
    /// was charged. Summaries of books have it behind all else, since older ones had none.
    #[serde(skip)]
    pub over: u128,
}

impl Kept {
    /// What is left by these sums, in 10⁻¹⁵ currency units.
    #[must_use]
    pub fn balance(&self) -> i128 {
        let signed = |sum| i128::try_from(sum).unwrap_or(i128::MAX);
        let in_all = signed(self.paid_in.saturating_add(self.over));
        in_all.saturating_sub(signed(self.charged))
    }

    /// Gives back a part of what its holder was charged, if not since this account was opened.
    pub fn give_back(&mut self, amount: u128) {
        let part = amount.min(self.charged);
        self.charged -= part;
        self.over = self.over.saturating_add(amount - part);
    }

    /// Adds what a rate came to between two instants of the wall clock, in milliseconds.
    pub fn charge(&mut self, rate: u64, amount: u128, (from_ms, to_ms): (u64, u64)) {
        self.charged = self.charged.saturating_add(amount);
        let to_s = to_ms / 1_000;
        let (day, month) = (day_of(to_s), month_of(to_s));
        let since = |begin_s: u64| {
            let from_ms = from_ms.max(begin_s.saturating_mul(1_000));
            u128::from(rate).saturating_mul(to_ms.saturating_sub(from_ms).into()).min(amount)
        };
        let today = since(day * DAY_S);
        let this_month = since(month_begin(to_s));
        for (window, number, part) in
            [(&mut self.day, day, today), (&mut self.month, month, this_month)]
        {
            if window.0 < number {
                *window = (number, 0);
            }
            if window.0 == number {
                window.1 = window.1.saturating_add(part);
            }
        }
    }
}

/// What was spent since a day or a month began.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    number: u64,
    spent: u128,
}

/// A session's part.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    /// Payments of it that are approved on this account.
    users: u32,
    rate: u128,
    spent: u128,
    as_of: u64,
    /// When its cap is reached, as it stands among the ends.
    end: Option<u64>,
}

impl Part {
    /// Brings what it spent to an instant, if that is a later one.
    fn advance(&mut self, at_ms: u64) {
        let ms = at_ms.saturating_sub(self.as_of);
        self.spent = self.spent.saturating_add(self.rate.saturating_mul(ms.into()));
        self.as_of = self.as_of.max(at_ms);
    }
}

/// An account.
///
/// Sums stand as of an instant and a rate runs since, so a change costs no walk over the sessions:
/// only the one that changes is looked up.
#[derive(Debug)]
pub struct Purse {
    terms: Terms,
    money: Box<dyn Settlement>,
    rate: u128,
    as_of: u64,
    day: Window,
    month: Window,
    sessions: BTreeMap<usize, Part>,
    /// When sessions reach their cap.
    ends: BTreeSet<(u64, usize)>,
    warned: bool,
}

impl Clone for Purse {
    fn clone(&self) -> Self {
        Self {
            terms: self.terms.clone(),
            money: self.money.boxed(),
            sessions: self.sessions.clone(),
            ends: self.ends.clone(),
            ..*self
        }
    }
}

impl Purse {
    /// An empty account; it is `now_ms`, and `unix_s` by the wall clock.
    #[must_use]
    pub fn new(terms: Terms, now_ms: u64, unix_s: u64) -> Self {
        let window = |number| Window { number, spent: 0 };
        Self {
            money: terms.backend.open(),
            terms,
            rate: 0,
            as_of: now_ms,
            day: window(unix_s / DAY_S),
            month: window(month_of(unix_s)),
            sessions: BTreeMap::new(),
            ends: BTreeSet::new(),
            warned: false,
        }
    }

    /// The terms.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// What it is spent at.
    #[must_use]
    pub fn rate(&self) -> u128 {
        self.rate
    }

    /// Sessions that use it.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.values().filter(|part| part.users > 0).count()
    }

    /// Whether another session than this uses it.
    #[must_use]
    pub fn used_by_other(&self, session: usize) -> bool {
        self.sessions.iter().any(|(other, part)| *other != session && part.users > 0)
    }

    /// What was spent today and in this month, by `now_ms`, which is `unix_s` by the wall clock.
    #[must_use]
    pub fn spent(&self, now_ms: u64, unix_s: u64) -> (u128, u128) {
        let spent = |window: Window, (number, begin_ms): (u64, u64)| {
            let (sum, since) = if window.number == number {
                (window.spent, self.as_of)
            } else {
                (0, self.as_of.max(begin_ms))
            };
            let ms = u128::from(now_ms.saturating_sub(since));
            sum.saturating_add(self.rate.saturating_mul(ms))
        };
        let (month, day) = windows(now_ms, unix_s);
        (spent(self.day, day), spent(self.month, month))
    }

    /// Takes what is known from before; the windows of another day or month count no more.
    ///
    /// # Errors
    /// If what was paid in cannot be held under these terms.
    pub fn restore(&mut self, kept: &Kept) -> Result<(), NotWhole> {
        self.money.pay_in(kept.paid_in)?;
        self.money.charge(kept.charged);
        self.money.give_back(kept.over);
        for (window, (number, spent)) in [(&mut self.day, kept.day), (&mut self.month, kept.month)]
        {
            if window.number == number {
                window.spent = window.spent.saturating_add(spent);
            }
        }
        Ok(())
    }

    /// Brings the sums to an instant.
    pub fn advance(&mut self, at_ms: u64) {
        let ms = at_ms.saturating_sub(self.as_of);
        if ms > 0 {
            self.charge(self.rate.saturating_mul(ms.into()));
            self.as_of = at_ms;
        }
    }

    fn charge(&mut self, amount: u128) {
        self.money.charge(amount);
        for window in [&mut self.day, &mut self.month] {
            window.spent = window.spent.saturating_add(amount);
        }
    }

    fn give_back(&mut self, amount: u128) {
        self.money.give_back(amount);
        for window in [&mut self.day, &mut self.month] {
            window.spent = window.spent.saturating_sub(amount);
        }
    }

    /// What was paid in less what is charged by `now_ms`.
    #[must_use]
    pub fn balance(&self, now_ms: u64) -> i128 {
        let running = self.rate.saturating_mul(now_ms.saturating_sub(self.as_of).into());
        self.money.balance().saturating_sub(i128::try_from(running).unwrap_or(i128::MAX))
    }

    /// One more payment of a session is approved on this account.
    pub fn join(&mut self, session: usize, at_ms: u64) {
        let part = self.sessions.entry(session).or_insert(Part { as_of: at_ms, ..Part::default() });
        part.users += 1;
    }

    /// One of them no more; it runs at nothing by now. True if what the session spent is to be
    /// remembered for its cap until it is [forgotten](Self::forget).
    pub fn leave(&mut self, session: usize) -> bool {
        let Some(part) = self.sessions.get_mut(&session) else { return false };
        part.users = part.users.saturating_sub(1);
        if part.users > 0 {
            return false;
        }
        let kept = self.terms.caps.session.is_some();
        if !kept {
            self.forget(session);
        }
        kept
    }

    /// A session that uses it no more is gone.
    pub fn forget(&mut self, session: usize) {
        let Some(part) = self.sessions.get(&session).filter(|part| part.users == 0) else { return };
        if let Some(end) = part.end {
            self.ends.remove(&(end, session));
        }
        self.sessions.remove(&session);
    }

    /// A payment of a session runs at `new` instead of `old` since `at_ms`, which may lie before
    /// what was turned last.
    pub fn turn(&mut self, session: usize, at_ms: u64, old: u64, new: u64) {
        let (old, new) = (u128::from(old), u128::from(new));
        self.advance(at_ms);
        let late = u128::from(self.as_of.saturating_sub(at_ms));
        self.give_back(old.saturating_mul(late));
        self.charge(new.saturating_mul(late));
        self.rate = self.rate.saturating_add(new).saturating_sub(old);
        let Some(part) = self.sessions.get_mut(&session) else { return };
        part.advance(at_ms);
        let late = u128::from(part.as_of.saturating_sub(at_ms));
        part.spent = part.spent.saturating_add(new.saturating_mul(late));
        part.spent = part.spent.saturating_sub(old.saturating_mul(late));
        part.rate = part.rate.saturating_add(new).saturating_sub(old);
        self.predict(session);
    }

    /// A gap in a payment of a session was billed.
    pub fn bill(&mut self, session: usize, amount: u128) {
        self.charge(amount);
        if let Some(part) = self.sessions.get_mut(&session) {
            part.spent = part.spent.saturating_add(amount);
            self.predict(session);
        }
    }

    /// A part of what was charged is given back. Caps stay as they are: they say how much may be
    /// spent, whatever comes back of it later.
    pub fn refund(&mut self, amount: u128) {
        self.money.give_back(amount);
        self.warned = false;
    }

    /// Takes what its holder pays in.
    ///
    /// # Errors
    /// If it cannot be held.
    pub fn pay_in(&mut self, amount: u128) -> Result<(), NotWhole> {
        self.money.pay_in(amount)?;
        self.warned = false;
        Ok(())
    }

    /// Goes on under other terms, from the instant on to which the sums were [brought](Self::advance):
    /// a cap that is exceeded already ends what runs then, and not before.
    ///
    /// # Errors
    /// If what was paid in cannot be held under them.
    pub fn agree(&mut self, terms: Terms) -> Result<(), NotWhole> {
        self.money = self.money.convert(terms.backend)?;
        self.terms = terms;
        self.warned = false;
        let sessions: Vec<usize> = self.sessions.keys().copied().collect();
        for session in sessions {
            if let Some(part) = self.sessions.get_mut(&session) {
                part.advance(self.as_of);
            }
            self.predict(session);
        }
        Ok(())
    }

    /// When a session's cap is reached, as rates are.
    fn predict(&mut self, session: usize) {
        let Some(part) = self.sessions.get_mut(&session) else { return };
        let end = self.terms.caps.session.and_then(|cap| {
            let left = cap.saturating_sub(part.spent);
            last_paid(left, part.rate, part.as_of)
        });
        if end != part.end {
            if let Some(old) = part.end {
                self.ends.remove(&(old, session));
            }
            if let Some(new) = end {
                self.ends.insert((new, session));
            }
            part.end = end;
        }
    }

    /// What may still be spent by all sessions together, and what ends it; as of the last turn.
    fn left(&self) -> (u128, End) {
        self.left_of(self.day.spent, self.month.spent)
    }

    fn left_of(&self, today: u128, this_month: u128) -> (u128, End) {
        let caps = self.terms.caps;
        let of =
            |cap: Option<u128>, spent: u128| cap.map_or(u128::MAX, |cap| cap.saturating_sub(spent));
        let ends = [
            (self.money.room(), End::Exhausted),
            (of(caps.day, today), End::DayCap),
            (of(caps.month, this_month), End::MonthCap),
        ];
        ends.into_iter().min().unwrap_or((0, End::Exhausted))
    }

    /// What may still be spent at `now_ms`, by a session if one is named, and what ends it.
    #[must_use]
    pub fn room(&self, now_ms: u64, unix_s: u64, session: Option<usize>) -> (u128, End) {
        let since = |window: Window, number| if window.number == number { window.spent } else { 0 };
        let today = since(self.day, day_of(unix_s));
        let (left, why) = self.left_of(today, since(self.month, month_of(unix_s)));
        let running = self.rate.saturating_mul(now_ms.saturating_sub(self.as_of).into());
        let all = (left.saturating_sub(running), why);
        let Some(cap) = self.terms.caps.session.filter(|_| session.is_some()) else { return all };
        let part = session.and_then(|session| self.sessions.get(&session));
        let spent = part.map_or(0, |part| {
            let ms = now_ms.saturating_sub(part.as_of);
            part.spent.saturating_add(part.rate.saturating_mul(ms.into()))
        });
        all.min((cap.saturating_sub(spent), End::SessionCap))
    }

    /// When nothing is left, as rates are, and why; none if nothing is spent.
    #[must_use]
    pub fn end(&self) -> Option<(u64, End)> {
        let (left, why) = self.left();
        Some((last_paid(left, self.rate, self.as_of)?, why))
    }

    /// When something is due; `now_ms` and `unix_s` are the same instant by both clocks.
    #[must_use]
    pub fn alarm(&self, now_ms: u64, unix_s: u64) -> Option<u64> {
        let end = self.end().map(|(at, _)| at);
        let warn = end.filter(|_| !self.warned && self.terms.warn_ms > 0);
        let warn = warn.map(|at| at.saturating_sub(self.terms.warn_ms));
        let session = self.ends.first().map(|(at, _)| *at);
        let boundary = |cap: Option<u128>, next_s: u64| {
            cap.filter(|_| self.rate > 0)
                .map(|_| now_ms.saturating_add(next_s.saturating_sub(unix_s).saturating_mul(1_000)))
        };
        let day = boundary(self.terms.caps.day, (unix_s / DAY_S + 1) * DAY_S);
        let month = boundary(self.terms.caps.month, next_month(unix_s));
        [end, warn, session, day, month].into_iter().flatten().min()
    }

    /// A new day, or a new month: what was spent before it began counts no more against its cap.
    /// To be called before the rate changes, so that one rate ran since the sums were last brought
    /// to an instant. An end that is due before the day began comes first: nothing changes then.
    pub fn roll(&mut self, now_ms: u64, unix_s: u64) {
        // A month begins with a day, and both roll together.
        if self.day.number == day_of(unix_s) {
            return;
        }
        let (month, day) = windows(now_ms, unix_s);
        if self.month.number != month.0 && !self.begin(Self::month_window, month) {
            return;
        }
        self.begin(Self::day_window, day);
    }

    /// Begins a day or a month at an instant; false if something is due before.
    fn begin(&mut self, of: fn(&mut Self) -> &mut Window, (number, at_ms): (u64, u64)) -> bool {
        if self.end().is_some_and(|(end, _)| end < at_ms) {
            return false;
        }
        self.advance(at_ms);
        *of(self) = Window { number, spent: 0 };
        self.warned = false;
        true
    }

    const fn day_window(&mut self) -> &mut Window {
        &mut self.day
    }

    const fn month_window(&mut self) -> &mut Window {
        &mut self.month
    }

    /// What is due by `now_ms`, one thing at a time, the earliest end first. An end stays due until
    /// what it ends was turned to nothing.
    pub fn due(&mut self, now_ms: u64) -> Option<Due> {
        let all = self.end().filter(|(at, _)| *at <= now_ms);
        let one = self.ends.first().copied().filter(|(at, _)| *at <= now_ms);
        match (all, one) {
            (Some((at_ms, why)), one) if one.is_none_or(|(earlier, _)| at_ms <= earlier) => {
                return Some(Due::End { why, at_ms, session: None });
            }
            (_, Some((at_ms, session))) => {
                let why = End::SessionCap;
                return Some(Due::End { why, at_ms, session: Some(session) });
            }
            _ => {}
        }
        let (at_ms, why) = self.end()?;
        let soon = now_ms.saturating_add(self.terms.warn_ms);
        if self.warned && at_ms > soon.saturating_add(self.terms.warn_ms) {
            // The rate has fallen: it will be told again.
            self.warned = false;
        }
        if self.warned || self.terms.warn_ms == 0 || at_ms > soon {
            return None;
        }
        self.warned = true;
        Some(Due::Warn { why, at_ms })
    }
}

/// The instant at which what is left does not pay for another millisecond.
fn last_paid(left: u128, rate: u128, as_of: u64) -> Option<u64> {
    let ms = left.checked_div(rate)?;
    Some(as_of.saturating_add(u64::try_from(ms).unwrap_or(u64::MAX)))
}

/// The number of the month since 1970 that an instant lies in, UTC.
fn month_of(unix_s: u64) -> u64 {
    let (year, month, _) = date(unix_s / DAY_S);
    (year - 1970) * 12 + month - 1
}

/// The number of the day since 1970 that an instant lies in, UTC.
fn day_of(unix_s: u64) -> u64 {
    unix_s / DAY_S
}

/// When the month of this instant began.
fn month_begin(unix_s: u64) -> u64 {
    let day = day_of(unix_s);
    let (_, _, of_month) = date(day);
    day.saturating_sub(of_month.saturating_sub(1)) * DAY_S
}

/// Number and beginning of the month and of the day of an instant, in milliseconds of the clock
/// that says `now_ms` when the wall clock says `unix_s`; a beginning before 0 is 0.
fn windows(now_ms: u64, unix_s: u64) -> ((u64, u64), (u64, u64)) {
    let at = |begin_s: u64| now_ms.saturating_sub(unix_s.saturating_sub(begin_s) * 1_000);
    let day = day_of(unix_s);
    ((month_of(unix_s), at(month_begin(unix_s))), (day, at(day * DAY_S)))
}

/// When the month after the one of this instant begins. A month has 31 days at most.
fn next_month(unix_s: u64) -> u64 {
    let month = month_of(unix_s);
    let mut day = unix_s / DAY_S + 1;
    while month_of(day * DAY_S) == month {
        day += 1;
    }
    day * DAY_S
}

/// Year, month and day of the month of a day since 1970, in the Gregorian calendar: years are counted from March, so
/// that the leap day is the last of its year.
#[must_use]
pub fn date(day: u64) -> (u64, u64, u64) {
    let shifted = day + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let of_month = of_year - (153 * from_march + 2) / 5 + 1;
    (year_of_era + era * 400 + u64::from(month <= 2), month, of_month)
}

#[cfg(test)]
mod tests {
    use super::super::terms::{Backend, Caps};
    use super::*;

    fn purse(terms: Terms, paid_in: u128) -> Purse {
        let mut purse = Purse::new(terms, 0, 0);
        purse.pay_in(paid_in).unwrap();
        purse
    }

    fn plain() -> Terms {
        Terms::prepaid(978)
    }

    #[test]
    fn the_last_millisecond_that_is_paid_is_predicted_and_moves_with_rate_and_balance() {
        let mut purse = purse(plain(), 1_000);
        assert_eq!(purse.end(), None, "nothing is spent");
        purse.join(1, 0);
        purse.turn(1, 100, 0, 30);
        assert_eq!(purse.end(), Some((133, End::Exhausted)), "33 ms at 30");
        purse.turn(1, 110, 30, 7);
        assert_eq!(purse.end(), Some((210, End::Exhausted)), "700 left at 7");
        purse.pay_in(70).unwrap();
        assert_eq!(purse.end(), Some((220, End::Exhausted)));
        assert_eq!(purse.due(219), None);
        let end = Due::End { why: End::Exhausted, at_ms: 220, session: None };
        assert_eq!(purse.due(300), Some(end), "however late it is asked");
        purse.turn(1, 220, 7, 0);
        assert_eq!((purse.balance(400), purse.due(400)), (0, None));
    }

    #[test]
    fn a_turn_of_the_past_gives_back_what_was_charged_since() {
        let mut purse = purse(plain(), 1_000);
        purse.join(1, 0);
        purse.join(2, 0);
        purse.turn(1, 0, 0, 10);
        purse.turn(2, 50, 0, 1);
        purse.turn(1, 40, 10, 0);
        assert_eq!(purse.balance(60), 1_000 - 400 - 10);
    }

    #[test]
    fn a_session_ends_at_its_cap_and_the_others_go_on() {
        let caps = Caps { session: Some(100), ..Caps::default() };
        let mut purse = purse(Terms { caps, ..plain() }, 10_000);
        for session in [1, 2] {
            purse.join(session, 0);
        }
        purse.turn(1, 0, 0, 10);
        purse.turn(2, 0, 0, 3);
        let end = Due::End { why: End::SessionCap, at_ms: 10, session: Some(1) };
        assert_eq!(purse.due(15), Some(end));
        purse.turn(1, 10, 10, 0);
        purse.leave(1);
        assert_eq!(purse.due(32), None);
        let end = Due::End { why: End::SessionCap, at_ms: 33, session: Some(2) };
        assert_eq!(purse.due(33), Some(end));
        assert_eq!(purse.room(33, 0, Some(2)), (1, End::SessionCap));
    }

    #[test]
    fn r023_a_session_s_cap_that_is_exceeded_when_it_is_agreed_on_ends_it_then_and_not_before() {
        let mut purse = purse(plain(), 10_000);
        purse.join(1, 0);
        purse.turn(1, 0, 0, 10);
        let caps = Caps { session: Some(100), ..Caps::default() };
        purse.advance(50);
        purse.agree(Terms { caps, ..plain() }).unwrap();
        let end = Due::End { why: End::SessionCap, at_ms: 50, session: Some(1) };
        assert_eq!(purse.due(60), Some(end), "500 were spent by then, and are due");
    }

    #[test]
    fn what_was_spent_on_another_day_counts_no_more() {
        let caps = Caps { day: Some(1_000), month: Some(2_500), session: None };
        let mut purse = purse(Terms { caps, ..plain() }, 1_000_000);
        purse.join(1, 0);
        purse.turn(1, 0, 0, 1);
        assert_eq!(purse.end(), Some((1_000, End::DayCap)));
        purse.turn(1, 1_000, 1, 0);
        purse.roll(2_000, DAY_S);
        purse.turn(1, 2_000, 0, 1);
        assert_eq!(purse.end(), Some((3_000, End::DayCap)));
        purse.turn(1, 3_000, 1, 0);
        purse.roll(3_001, 2 * DAY_S);
        purse.turn(1, 4_000, 0, 1);
        assert_eq!(purse.end(), Some((4_500, End::MonthCap)));
        assert_eq!(purse.alarm(4_000, 2 * DAY_S + 86_399), Some(4_500));
        purse.roll(4_400, 31 * DAY_S);
        assert_eq!(purse.end(), Some((5_400, End::DayCap)));
        assert_eq!(purse.spent(4_400, 31 * DAY_S), (0, 0));
        assert_eq!(purse.spent(4_500, 31 * DAY_S), (100, 100));
    }

    #[test]
    fn a_day_begins_at_its_beginning_however_late_it_is_seen() {
        let day_ms = DAY_S * 1_000;
        let mut purse = purse(plain(), u128::MAX / 4);
        purse.join(1, 0);
        purse.turn(1, 0, 0, 3);
        // Three days without a pause, and nobody looked.
        let (now_ms, unix_s) = (2 * day_ms + 5_000, 2 * DAY_S + 5);
        let spent = (15_000, 3 * u128::from(now_ms));
        assert_eq!(purse.spent(now_ms, unix_s), spent, "5 s of today, and all of the month");
        purse.roll(now_ms, unix_s);
        assert_eq!(purse.spent(now_ms, unix_s), spent);
        let caps = Caps { day: Some(30_000), ..Caps::default() };
        purse.agree(Terms { caps, ..plain() }).unwrap();
        assert_eq!(purse.end(), Some((2 * day_ms + 10_000, End::DayCap)));
        // What is due before midnight comes before it, what is due behind it does not come.
        let (late_ms, late_s) = (3 * day_ms + 1, 3 * DAY_S);
        let mut early = purse.clone();
        early.roll(late_ms, late_s);
        assert_eq!(early.end(), Some((2 * day_ms + 10_000, End::DayCap)));
        let caps = Caps { day: Some(3 * u128::from(day_ms + 10)), ..Caps::default() };
        purse.agree(Terms { caps, ..plain() }).unwrap();
        purse.roll(late_ms, late_s);
        assert_eq!(purse.due(late_ms), None, "a new day, and nothing of it is spent");
        assert_eq!(purse.end().map(|(_, why)| why), Some(End::DayCap));
    }

    #[test]
    fn it_is_warned_of_once_until_something_is_paid_in() {
        let mut purse = purse(Terms { warn_ms: 20, ..plain() }, 100);
        purse.join(1, 0);
        purse.turn(1, 0, 0, 1);
        assert_eq!((purse.alarm(0, 0), purse.due(79)), (Some(80), None));
        let warning = Some(Due::Warn { why: End::Exhausted, at_ms: 100 });
        assert_eq!((purse.due(80), purse.due(81)), (warning, None));
        purse.pay_in(50).unwrap();
        assert_eq!((purse.due(81), purse.alarm(81, 0)), (None, Some(130)));
    }

    #[test]
    fn credit_is_part_of_what_may_be_spent_and_may_be_lowered() {
        let mut purse = purse(Terms { backend: Backend::Account { limit: 50 }, ..plain() }, 0);
        purse.join(1, 0);
        purse.turn(1, 0, 0, 1);
        assert_eq!(purse.end(), Some((50, End::Exhausted)));
        purse.advance(30);
        purse.agree(plain()).unwrap();
        assert_eq!(purse.end(), Some((30, End::Exhausted)), "nothing more, and at once");
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        for (unix_s, month, next) in [
            (0, 0, 31 * DAY_S),
            (31 * DAY_S - 1, 0, 31 * DAY_S),
            (951_782_400, 361, 951_868_800),     // 29 February 2000
            (1_763_769_600, 670, 1_764_547_200), // 22 November 2025
        ] {
            assert_eq!((month_of(unix_s), next_month(unix_s)), (month, next), "{unix_s}");
            let begin = month_begin(unix_s);
            assert!(begin <= unix_s && month_of(begin) == month, "{unix_s}");
            assert!(begin == 0 || month_of(begin - 1) == month - 1, "{unix_s}");
        }
    }
}
