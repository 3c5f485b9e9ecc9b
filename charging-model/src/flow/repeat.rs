//! What was said last, said again: the refreshes of RFC 2961, which name a message instead of
//! repeating it (T14).

use super::Flow;
use super::branch::{Branch, Status};
use super::downstream::Downstream;
use super::messages::Payment;
use crate::split::BranchKey;
use crate::time::{Clock, Span};

impl Flow {
    /// The last UCPE that was accepted of a branch, to be handed to [`Flow::on_ucpe`] again: it
    /// re-approves if and only if it covers what is due now.
    pub fn last_payment(&self, key: BranchKey) -> Option<Payment> {
        Some(Payment { flowspec: self.extra.flowspec(key), ..self.find(key)?.last_payment() })
    }

    /// The next hop pays again what it paid last, and that is all there is to say: its approval
    /// runs anew, and nothing else changes. False, and nothing changes at all, where the payment is
    /// to be looked at by [`Flow::on_ucpe`].
    pub fn on_repeated_payment(&mut self, clock: Clock, key: BranchKey) -> bool {
        // Whoever is suspected is counted with every message.
        if self.is_suspected(key) {
            return false;
        }
        let plain = self.find(key).is_some_and(|b| {
            b.status == Status::Active
                && b.receiver_payment() <= b.ceiling
                && b.covers(&b.offered.charge)
                && clock.now < self.branch_ends(b).0
        });
        if let Some(b) = self.find_mut(key).filter(|_| plain) {
            b.approved_at = clock.now;
        }
        plain
    }

    /// The previous hop repeats what it announced last, and the price is valid for as long again as
    /// it was then. False, and nothing changes, where nothing was announced, or where what has
    /// happened since needs the whole announcement to be settled.
    pub fn on_repeated(&mut self, clock: Clock) -> bool {
        let in_time = clock.now < self.upstream_ends().1;
        let usual = in_time && !self.up.lost;
        let Some(down) = self.down.as_mut().filter(|down| usual && !down.lapsed) else {
            return false;
        };
        down.repeat(clock);
        true
    }
}

impl Branch {
    fn last_payment(&self) -> Payment {
        let (announced_total, local_sum) = self.reports();
        Payment {
            payment: self.ceiling,
            announced_total,
            sender_payment: self.sender_payment,
            local_sum,
            epoch_echo: self.epoch_echo,
            sequence: self.sequence,
            instance: self.instance,
            account: self.account.clone(),
            refresh: self.refresh(),
            quantity: self.quantity,
            receivers_below: self.receivers_below,
            flowspec: None,
            limits: self.echo(),
        }
    }
}

impl Downstream {
    /// As [`Downstream::new`] of the same announcement now.
    fn repeat(&mut self, clock: Clock) {
        if self.epoch.is_some() {
            let validity = self.expires.0.saturating_sub(self.heard.0);
            self.expires = clock.now.after(Span(validity));
        }
        self.heard = clock.now;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Announcement, FlowConfig, Price, Verdict};
    use super::*;
    use crate::flow::Account;
    use crate::money::Rate;
    use crate::time::Millis;
    use std::net::IpAddr;
    use std::sync::Arc;

    fn at(ms: u64) -> Clock {
        Clock { now: Millis(ms), unix_s: 1_000 }
    }

    fn key() -> BranchKey {
        BranchKey { group: 2, hop: IpAddr::from([10, 0, 0, 1]) }
    }

    fn payment(rate: u64) -> Payment {
        Payment {
            payment: Rate(rate),
            announced_total: Rate(150),
            sender_payment: Rate(0),
            local_sum: Rate(0),
            epoch_echo: 7,
            sequence: 5,
            instance: 5,
            account: Account::new(1, *b"k"),
            refresh: Span(30_000),
            quantity: 800,
            receivers_below: 3,
            flowspec: None,
            limits: Default::default(),
        }
    }

    fn flow() -> Flow {
        let mut flow = Flow::new(Arc::new(FlowConfig::default()));
        let said = Announcement {
            total: Rate(100),
            max_total: Rate(100),
            epoch: 7,
            validity: Span(60_000),
            refresh: Span(30_000),
            ..Announcement::default()
        };
        flow.set_group(at(0), 2, Price { local: Rate(50), ..Price::default() }).unwrap();
        let _ = flow.on_dcpe(at(0), &said).unwrap();
        flow
    }

    #[test]
    fn the_last_payment_is_what_was_accepted() {
        let mut flow = flow();
        assert_eq!(flow.last_payment(key()), None);
        let said = payment(150);
        assert_eq!(flow.on_ucpe(at(0), key(), &said), Verdict::Accepted { new: true });
        assert_eq!(flow.last_payment(key()), Some(said.clone()));
        let before = flow.branch(key()).unwrap().approved_until;
        let again = flow.last_payment(key()).unwrap();
        assert_eq!(flow.on_ucpe(at(20_000), key(), &again), Verdict::Accepted { new: false });
        let after = flow.branch(key()).unwrap().approved_until;
        assert_eq!(after.0, before.0 + 20_000);
    }

    #[test]
    fn a_repetition_does_what_the_payment_itself_does_or_nothing() {
        let mut flow = flow();
        assert!(!flow.on_repeated_payment(at(0), key()), "there is none");
        let _ = flow.on_ucpe(at(0), key(), &payment(150));
        for ms in [1_000, 30_000, 60_000] {
            let mut other = flow.clone();
            let _ = other.on_ucpe(at(ms), key(), &payment(150));
            assert!(flow.on_repeated_payment(at(ms), key()));
            assert_eq!(flow.branches().collect::<Vec<_>>(), other.branches().collect::<Vec<_>>());
        }
        // H is over: the gap is to be billed.
        assert!(!flow.on_repeated_payment(at(200_000), key()));
        let price = Price { local: Rate(60), max_local: Rate(60), ..Price::default() };
        flow.set_group(at(61_000), 2, price).unwrap();
        assert!(!flow.on_repeated_payment(at(61_000), key()), "the price has risen");
    }

    #[test]
    fn a_repeated_payment_approves_no_more_than_it_covers() {
        let mut flow = flow();
        let _ = flow.on_ucpe(at(0), key(), &payment(150));
        let price = Price { local: Rate(60), max_local: Rate(60), ..Price::default() };
        flow.set_group(at(1_000), 2, price).unwrap();
        let again = flow.last_payment(key()).unwrap();
        let verdict = flow.on_ucpe(at(2_000), key(), &again);
        assert!(matches!(verdict, Verdict::Kept { required: Rate(160), .. }), "{verdict:?}");
    }

    #[test]
    fn a_repeated_announcement_is_valid_as_long_again() {
        let mut flow = flow();
        assert!(flow.on_repeated(at(40_000)));
        let down = flow.downstream().unwrap();
        assert_eq!((down.heard, down.expires), (Millis(40_000), Millis(100_000)));
        // After a gap the whole announcement is settled.
        assert!(!flow.on_repeated(at(400_000)));
        assert!(!Flow::new(Arc::new(FlowConfig::default())).on_repeated(at(0)));
    }
}
