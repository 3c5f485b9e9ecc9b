//! Where stories meet: a link with a note at both ends, and nodes without a note between notes.

use std::net::IpAddr;

use super::compare::{Finding, Options, Place, SenderReport, finding};
use super::facts::{self, Flows, Pair, What};
use super::{Note, SenderNote};

/// What goes into nodes without a note, and what comes out of them.
pub(super) struct Hidden {
    pub(super) upper: Flows,
    pub(super) lower: Flows,
    pub(super) place: Place,
}

impl Hidden {
    pub(super) fn compare(
        &self,
        options: &Options,
        found: &mut Vec<Finding>,
        report: &mut SenderReport,
    ) {
        let Self { upper, lower, place } = self;
        let tolerance = upper.tolerance().max(lower.tolerance());
        let missing = upper.receivers.saturating_sub(lower.receivers);
        let total = Pair::new(What::AnnouncedTotal, upper.announced_total, lower.announced_total);
        let covered = Pair::new(What::SenderPayment, upper.covered(), lower.covered());
        let mut push = |pair: Pair| {
            let names = ("upstream of them".to_owned(), "downstream of them".to_owned());
            found.push(finding(place.clone(), pair, names, false));
        };
        let (less, more) =
            (|pair: Pair| pair.upper < pair.lower, |pair: Pair| pair.upper > pair.lower);
        let (total, covered) = (total.within(tolerance), covered.within(tolerance));
        if upper.receivers < lower.receivers {
            // A reservation that ends leaves no trace of when it did.
            if covered.differs() && more(covered) {
                push(covered);
            }
            report.unclear.push(format!(
                "{} receivers pay, and above the nodes that gave no note {} are known: a \
                 reservation may just have ended. Take all notes again in some minutes: if they \
                 still say so, a hop between hides receivers from the sender's side",
                lower.receivers, upper.receivers
            ));
            return;
        }
        // What some receivers were told cannot be more than what all were.
        if total.differs() && less(total) {
            push(total);
        }
        if missing > 0 && !options.complete {
            if covered.differs() && less(covered) {
                push(covered);
            }
            report.unclear.push(format!(
                "{} receivers are said to be below the nodes that gave no note, and the notes here \
                 account for {}: ask the others for their notes; if there are no others, say \
                 --complete, and whoever says so is caught",
                upper.receivers, lower.receivers
            ));
            return;
        }
        if missing > 0 {
            push(Pair::new(What::Receivers, upper.receivers, lower.receivers));
        }
        if covered.differs() {
            push(covered);
        }
        if missing == 0 && total.differs() && more(total) {
            report.remarks.push(format!(
                "the sender's side is told of {} more than the receivers are charged: a hop that \
                 expects members who are not there stands in for them and pays it itself. Nobody \
                 whose note is here pays for that",
                total.upper - total.lower
            ));
        }
    }
}

/// A link of which both ends gave a note.
pub(super) struct Link<'a> {
    pub(super) upper: (&'a Note, &'a SenderNote),
    pub(super) lower: (&'a Note, &'a SenderNote),
}

impl Link<'_> {
    pub(super) fn compare(&self, found: &mut Vec<Finding>, report: &mut SenderReport) {
        let (upper, lower) = (self.upper.0.who(), self.lower.0.who());
        if self.lower.1.abroad || self.upper.0.currency != self.lower.0.currency {
            return report.unclear.push(format!(
                "{upper} and {lower} reckon in different currencies: their link is not compared; \
                 `lcmctl show accounts` on {lower} has what it pays in theirs"
            ));
        }
        let place = Place::Link(upper.clone(), lower.clone());
        let is_lower = |hop: IpAddr| self.lower.0.addresses.contains(&hop);
        let heard = self.lower.1.heard.as_ref();
        let said = self.upper.1.announced.iter().find(|said| is_lower(said.hop));
        if let (Some(said), Some(heard)) = (said, heard) {
            let names = (format!("{upper} announced"), format!("{lower} heard"));
            for pair in facts::announcement(said, heard).iter().filter(|pair| pair.differs()) {
                let same = said.epoch == heard.epoch;
                found.push(finding(place.clone(), *pair, names.clone(), same));
            }
        }
        let paid = self.upper.1.paid.iter().find(|paid| is_lower(paid.by));
        match (paid, self.lower.1.pays.as_ref()) {
            (Some(paid), Some(pays)) => {
                let names = (format!("{upper} heard"), format!("{lower} said"));
                let same = paid.sequence == pays.sequence && !pays.unsaid;
                for pair in facts::payment(paid, pays).iter().filter(|pair| pair.differs()) {
                    found.push(finding(place.clone(), *pair, names.clone(), same));
                }
                let money = Pair::new(What::Payment, paid.debited, pays.debited).within(1);
                if money.differs() {
                    let names = (format!("{upper} debits"), format!("{lower} pays"));
                    found.push(finding(place, money, names, false));
                }
            }
            // A reservation that ends leaves no trace of when it did.
            (Some(paid), None) => report.unclear.push(format!(
                "{upper} is paid {} a second by {lower}, and {lower} pays nothing: {LATER}",
                paid.debited
            )),
            (None, Some(pays)) => report.unclear.push(format!(
                "{lower} pays {upper} {} a second, and {upper} is paid nothing: {LATER}",
                pays.debited
            )),
            (None, None) => {}
        }
    }
}

const LATER: &str = "it may just have begun or ended. Take the notes again in some minutes; if they \
                     still say so, hold the journals of both against each other (`lcmctl settle`)";
