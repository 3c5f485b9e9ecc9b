//! What came of a comparison, for people.

use std::fmt::{self, Display, Formatter};

use super::compare::{Compared, Finding, Place, SenderReport, Verdict};

impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Agree => "the notes agree",
            Self::Unclear => "it cannot be told",
            Self::Differ => "the notes differ",
        })
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(upper, lower) => write!(f, "on the link {upper} - {lower}"),
            Self::Inside(who) => write!(f, "in {who}, by its own note"),
            Self::Hidden { below, above } => {
                f.write_str("among the nodes that gave no note")?;
                let mut word = ": ";
                for (ends, relation) in [(below, "below"), (above, "above")] {
                    if !ends.is_empty() {
                        write!(f, "{word}{relation} {}", ends.join(", "))?;
                        word = "; ";
                    }
                }
                Ok(())
            }
        }
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { place, what, upper, lower, difference, .. } = self;
        write!(
            f,
            "{place}: {} is {} as {} and {} as {}: {} {}{}",
            what.words(),
            upper.amount,
            upper.who,
            lower.amount,
            lower.who,
            difference.unsigned_abs(),
            if *difference < 0 { "more below" } else { "more above" },
            if what.is_rate() { ", each second" } else { "" },
        )
    }
}

/// Whom to ask next, and what the place of a difference proves.
fn advice(place: &Place) -> String {
    match place {
        Place::Link(upper, lower) => format!(
            "{upper}, {lower} or whoever sits between them does not tell the truth: compare the \
             journals of both (`lcmctl settle`), and see `lcmctl show authentication` whether \
             messages between them are signed"
        ),
        Place::Inside(who) => format!(
            "what {who} takes is not what it passes on: ask {who} for its journal of the session"
        ),
        Place::Hidden { below, above } => {
            let asked = below.first().or(above.first());
            format!(
                "one of them at least does not tell the truth: ask them for notes, first {}, and \
                 compare again with these",
                asked.map_or("the nearest to the sender", String::as_str)
            )
        }
    }
}

impl Display for SenderReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "sender {}:{}: {}", self.sender.source, self.sender.id, self.verdict)?;
        if let Some(sums) = &self.sums {
            writeln!(f, "                      at the sender   by receivers")?;
            let mut line = |name: &str, upper: i128, lower: i128| {
                writeln!(f, "  {name:<18} {upper:>14} {lower:>14}")
            };
            line("receivers", sums.receivers_told.into(), sums.receivers.into())?;
            line("charged (C)", sums.told, sums.charged)?;
            line("sender covers (S)", sums.taken, sums.covered)?;
            line("receivers pay", sums.paid_told, sums.paid)?;
        }
        writeln!(
            f,
            "  {} links with a note at both ends; unchanged for {} s when noted",
            self.links, self.settled_s
        )?;
        for (index, finding) in self.findings.iter().enumerate() {
            writeln!(f, "  DIFFERS {finding}")?;
            let next = self.findings.get(index + 1).map(|next| &next.place);
            if next != Some(&finding.place) {
                writeln!(f, "    {}", advice(&finding.place))?;
            }
        }
        self.unclear.iter().try_for_each(|why| writeln!(f, "  UNCLEAR {why}"))?;
        self.remarks.iter().try_for_each(|remark| writeln!(f, "  REMARK {remark}"))
    }
}

impl Display for Compared {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let session =
            self.session.as_ref().map_or("several sessions".to_owned(), ToString::to_string);
        writeln!(f, "{session}: {}", self.verdict)?;
        writeln!(
            f,
            "notes of {}; rates in 10^-12 {} a second",
            self.nodes.join(", "),
            self.currency
        )?;
        self.unclear.iter().try_for_each(|why| writeln!(f, "UNCLEAR {why}"))?;
        self.senders.iter().try_for_each(|sender| write!(f, "{sender}"))
    }
}
