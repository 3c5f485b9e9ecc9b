//! Notes held against each other.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use serde::Serialize;

use super::facts::{self, Flows, Pair, What};
use super::meet::{Hidden, Link};
use super::{Note, Paid, Pays, SenderNote};
use crate::engine::show::{SenderId, SessionId};

/// Half refresh periods after which state that nobody refreshed is gone, with K = 3:
/// (K + ½) · 1.5 R (RFC 2205 section 3.7). What two hops still tell differently after that is
/// not for want of messages.
const LIFETIME: (u64, u64) = (21, 4);

/// How notes are compared.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What has not changed for so many seconds is settled; absent takes the lifetime of state at
    /// the longest refresh period of the notes.
    pub settled_s: Option<u32>,
    /// There are no receivers but those whose notes are given.
    pub complete: bool,
    /// Compare what is said about this sender only.
    pub sender: Option<SenderId>,
}

/// What comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All that is told twice is told alike, and all is told that is needed.
    Agree,
    /// Something is missing, or still moving.
    Unclear,
    /// Two stories exclude each other.
    Differ,
}

/// Where stories differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// On the link between two nodes, the upper one first.
    Link(String, String),
    /// In one node, whose own story does not add up.
    Inside(String),
    /// Among the nodes without a note: below these, and above those.
    Hidden {
        /// Nodes whose next hops gave no note, each with the address of that hop.
        below: Vec<String>,
        /// Nodes whose previous hops gave no note, each with the address of that hop.
        above: Vec<String>,
    },
}

/// What somebody says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Said {
    /// Who.
    pub who: String,
    /// How much: a rate in wire units, or a number.
    pub amount: i128,
}

/// Two stories that differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Where.
    pub place: Place,
    /// About what.
    pub what: What,
    /// What is told nearer to the sender.
    pub upper: Said,
    /// What is told nearer to the receivers.
    pub lower: Said,
    /// The first less the second.
    pub difference: i128,
    /// Both are about the same message, so no time explains it.
    pub same_message: bool,
}

/// What the two ends say, in sums.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// Receivers that there are, as the sender's side was told.
    pub receivers_told: u64,
    /// Receivers whose notes are here.
    pub receivers: u64,
    /// A: what the sender's side was told that all receivers were.
    pub told: i128,
    /// ΣC of the receivers.
    pub charged: i128,
    /// SP: what is taken from the sender.
    pub taken: i128,
    /// ΣS of the receivers.
    pub covered: i128,
    /// What the receivers pay, by the sender's side: A − SP.
    pub paid_told: i128,
    /// ΣRP of the receivers.
    pub paid: i128,
}

/// What the notes say about one sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SenderReport {
    /// The sender.
    pub sender: SenderId,
    /// What comes of it.
    pub verdict: Verdict,
    /// Where stories differ, from the sender down.
    pub findings: Vec<Finding>,
    /// Why it cannot be told, and what to do.
    pub unclear: Vec<String>,
    /// What is odd and harms nobody.
    pub remarks: Vec<String>,
    /// Links of which both ends gave a note.
    pub links: usize,
    /// What both ends say; absent without a note of the sender's side.
    pub sums: Option<Sums>,
    /// For how long nothing had changed when the first of the notes was taken, in seconds.
    pub settled_s: u32,
}

/// Notes that were compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// What comes of it: the worst of all senders.
    pub verdict: Verdict,
    /// The session; absent where the notes are not of one.
    pub session: Option<SessionId>,
    /// The currency of the rates, or several.
    pub currency: String,
    /// Whose notes were compared.
    pub nodes: Vec<String>,
    /// What is said about all of them.
    pub unclear: Vec<String>,
    /// One for each sender that was compared.
    pub senders: Vec<SenderReport>,
}

/// Compares the notes of a session.
#[must_use]
pub fn compare(notes: &[Note], options: &Options) -> Compared {
    let mut unclear = Vec::new();
    let kept = newest_of_each(notes, &mut unclear);
    let session = kept.first().map(|note| note.session.clone());
    let currencies: BTreeSet<&str> = kept.iter().map(|note| note.currency.as_str()).collect();
    let mut compared = Compared {
        verdict: Verdict::Unclear,
        session: session.clone(),
        currency: currencies.iter().copied().collect::<Vec<_>>().join(", "),
        nodes: kept.iter().map(|note| note.who()).collect(),
        unclear: Vec::new(),
        senders: Vec::new(),
    };
    if !unclear.is_empty() {
        // Whose story is whose must be known first.
    } else if kept.len() < 2 {
        unclear.push("one story alone cannot differ: give the notes of two nodes or more".into());
    } else if kept.iter().any(|note| Some(&note.session) != session.as_ref()) {
        compared.session = None;
        unclear.push("the notes are of several sessions: give those of one".into());
    } else {
        compared.senders = senders(&kept, options, &mut unclear);
    }
    let worst = compared.senders.iter().map(|report| report.verdict).max();
    compared.verdict = match worst {
        Some(verdict) if unclear.is_empty() => verdict,
        worst => worst.unwrap_or(Verdict::Unclear).max(Verdict::Unclear),
    };
    compared.unclear = unclear;
    compared
}

/// Of several notes of a node, the newest. One that calls itself otherwise is not taken for it.
fn newest_of_each<'a>(notes: &'a [Note], unclear: &mut Vec<String>) -> Vec<&'a Note> {
    let mut kept: Vec<&Note> = Vec::new();
    for note in notes {
        let same = |other: &&mut &Note| is_same_node(other, note);
        match kept.iter_mut().find(same) {
            Some(other) if other.name != note.name => unclear.push(format!(
                "the notes of {} and {} have an address in common: leave out the one that is not \
                 that node's",
                other.who(),
                note.who()
            )),
            Some(other) if other.taken < note.taken => *other = note,
            Some(_) => {}
            None => kept.push(note),
        }
    }
    kept
}

/// Addresses that hold on one link only are those of many nodes.
fn is_own(address: &IpAddr) -> bool {
    let link_local =
        |v6: &Ipv6Addr| (v6.segments().first().copied().unwrap_or(0) & 0xffc0) == 0xfe80;
    match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_loopback() && !link_local(v6),
    }
}

fn is_same_node(a: &Note, b: &Note) -> bool {
    a.addresses.iter().any(|address| is_own(address) && b.addresses.contains(address))
}

fn senders(notes: &[&Note], options: &Options, unclear: &mut Vec<String>) -> Vec<SenderReport> {
    let told = notes.iter().flat_map(|note| &note.senders).map(|about| &about.sender);
    let wanted = |sender: &&SenderId| options.sender.as_ref().is_none_or(|only| only == *sender);
    let all: Vec<&SenderId> = told.filter(wanted).fold(Vec::new(), |mut all, sender| {
        if !all.contains(&sender) {
            all.push(sender);
        }
        all
    });
    if all.is_empty() {
        unclear.push(
            "no note tells of charges of that sender: see `lcmctl show sessions` on their nodes"
                .into(),
        );
    }
    let stories = |sender: &SenderId| {
        let of = |note: &&Note| note.senders.iter().any(|about| about.sender == *sender);
        notes.iter().copied().filter(of).collect::<Vec<_>>()
    };
    let tree = |sender: &&SenderId| Tree::new(stories(sender), sender);
    let mut trees: Vec<Tree<'_>> = all.iter().map(tree).collect();
    // Whose side gave no note is not asked about, unless nobody's did.
    if trees.iter().any(|tree| tree.tops().next().is_some()) {
        trees.retain(|tree| tree.tops().next().is_some());
    }
    trees.iter().map(|tree| tree.report(options)).collect()
}

/// The notes about one sender, and who is whose neighbour.
struct Tree<'a> {
    sender: SenderId,
    nodes: Vec<(&'a Note, &'a SenderNote)>,
}

/// A link's lower end as the upper one knows it, or its upper end as the lower one does.
type End<'a, T> = (&'a Note, &'a T);

impl<'a> Tree<'a> {
    fn new(notes: Vec<&'a Note>, sender: &SenderId) -> Self {
        let about = |note: &'a Note| note.senders.iter().find(|about| about.sender == *sender);
        let nodes = notes.into_iter().filter_map(|note| Some((note, about(note)?))).collect();
        Self { sender: sender.clone(), nodes }
    }

    /// The node that has this address, if one only has.
    fn owner(&self, address: IpAddr) -> Option<(&'a Note, &'a SenderNote)> {
        let mut owners = self.nodes.iter().filter(|(note, _)| note.addresses.contains(&address));
        let owner = owners.next().copied();
        owner.filter(|_| owners.next().is_none())
    }

    /// Where charges begin.
    fn tops(&self) -> impl Iterator<Item = &(&'a Note, &'a SenderNote)> {
        self.nodes.iter().filter(|(_, about)| about.heard.is_none())
    }

    /// Links between nodes that gave notes, from the sender down.
    fn links(&self) -> Vec<Link<'a>> {
        let mut order: Vec<&(&'a Note, &'a SenderNote)> = self.tops().collect();
        let rest = self.nodes.iter().filter(|(_, about)| about.heard.is_some());
        // Below a hidden hop, too, whoever is nearer to the sender comes first.
        let mut rest: Vec<_> = rest.collect();
        let depth = |node: &(&'a Note, &'a SenderNote)| self.depth(node);
        rest.sort_by_key(|node| depth(node));
        order.extend(rest);
        let up = |lower: &(&'a Note, &'a SenderNote)| {
            let from = lower.1.heard.as_ref()?.hop;
            let upper = self.owner(from)?;
            Some(Link { upper, lower: *lower })
        };
        order.into_iter().filter_map(up).collect()
    }

    /// Notes above this one, without a gap; a ring counts as far as it is long.
    fn depth(&self, node: &(&'a Note, &'a SenderNote)) -> usize {
        let (mut at, mut depth) = (*node, 0);
        while let Some(heard) = at.1.heard.as_ref().filter(|_| depth < self.nodes.len()) {
            let Some(upper) = self.owner(heard.hop) else { break };
            (at, depth) = (upper, depth + 1);
        }
        depth
    }

    /// Payments into nodes with a note from nodes without.
    fn hidden_below(&self) -> Vec<End<'a, Paid>> {
        let of = |(note, about): &(&'a Note, &'a SenderNote)| {
            let (note, about) = (*note, *about);
            about.paid.iter().map(move |paid| (note, paid))
        };
        let hidden = |(_, paid): &End<'a, Paid>| !paid.ends && self.owner(paid.by).is_none();
        self.nodes.iter().flat_map(of).filter(hidden).collect()
    }

    /// Payments of nodes with a note to nodes without.
    fn hidden_above(&self) -> Vec<(&'a Note, &'a Pays, IpAddr)> {
        let of = |(note, about): &(&'a Note, &'a SenderNote)| {
            let from = about.heard.as_ref()?.hop;
            Some((*note, about.pays.as_ref()?, from)).filter(|_| self.owner(from).is_none())
        };
        self.nodes.iter().filter_map(of).collect()
    }

    fn report(&self, options: &Options) -> SenderReport {
        let mut report = SenderReport {
            sender: self.sender.clone(),
            verdict: Verdict::Agree,
            findings: Vec::new(),
            unclear: Vec::new(),
            remarks: Vec::new(),
            links: 0,
            sums: None,
            settled_s: self.settled(),
        };
        let links = self.links();
        report.links = links.len();
        let mut found = Vec::new();
        for (note, about) in self.tops().chain(links.iter().map(|link| &link.lower)) {
            self.look_inside(note, about, &mut found);
        }
        let seen = |note: &Note| links.iter().any(|link| link.lower.0 == note);
        for (note, about) in &self.nodes {
            if about.heard.is_some() && !seen(note) {
                self.look_inside(note, about, &mut found);
            }
        }
        links.iter().for_each(|link| link.compare(&mut found, &mut report));
        self.look_between(options, &mut found, &mut report);
        report.sums = self.sums();
        let moves = self.nodes.iter().filter_map(|(note, about)| facts::motion(note, about));
        report.unclear.extend(moves.map(|why| format!("{why}: take the notes again when it is")));
        self.judge(found, options, &mut report);
        report
    }

    /// For how long nothing had changed when the first note was taken.
    fn settled(&self) -> u32 {
        let taken = self.nodes.iter().map(|(note, _)| note.taken).min().unwrap_or(0);
        let newest = self.nodes.iter().map(|(note, about)| facts::newest(note, about)).max();
        taken.saturating_sub(newest.unwrap_or(0))
    }

    /// What differs counts if it is about one message, or if nothing has moved for so long that no
    /// message explains it.
    fn judge(&self, found: Vec<Finding>, options: &Options, report: &mut SenderReport) {
        let refresh = self.nodes.iter().map(|(note, _)| note.refresh_ms).max().unwrap_or(0);
        let lifetime = u64::from(refresh) * LIFETIME.0 / LIFETIME.1 / 1000;
        let needed = options.settled_s.map_or(lifetime, u64::from);
        let settled = u64::from(report.settled_s) >= needed;
        let still = report.unclear.is_empty();
        let (sure, waits): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|finding| finding.same_message || (settled && still));
        if let Some(first) = waits.first() {
            let when = if settled {
                "what moves may explain it".to_owned()
            } else {
                format!(
                    "something changed {} s before the first of the notes was taken, or after, and \
                     hops may need {needed} s to agree",
                    report.settled_s
                )
            };
            report.unclear.push(format!(
                "in motion: {first}\n  That is no accusation: {when}. Take all notes again, within \
                 a few seconds of each other; if prices never rest for so long, say --settled SECONDS"
            ));
        }
        report.findings = sure;
        report.verdict = match (report.findings.is_empty(), report.unclear.is_empty()) {
            (false, _) => Verdict::Differ,
            (true, false) => Verdict::Unclear,
            (true, true) => Verdict::Agree,
        };
    }

    /// What a node tells that does not add up by itself.
    fn look_inside(&self, note: &Note, about: &SenderNote, found: &mut Vec<Finding>) {
        let who = note.who();
        for paid in &about.paid {
            if let Some(pair) = facts::contradiction(paid) {
                let by = self.owner(paid.by).map_or(paid.by.to_string(), |(note, _)| note.who());
                let place = Place::Link(who.clone(), by.clone());
                found.push(finding(
                    place,
                    pair,
                    (format!("{who} announced"), format!("{by} reports")),
                    false,
                ));
            }
        }
        for pair in facts::inside(about) {
            let names = (format!("{who} upstream"), format!("{who} downstream"));
            found.push(finding(Place::Inside(who.clone()), pair, names, false));
        }
    }

    /// What goes in among the nodes without a note, and what comes out.
    fn look_between(&self, options: &Options, found: &mut Vec<Finding>, report: &mut SenderReport) {
        if self.tops().next().is_none() {
            return report.unclear.push(
                "no note of the sender's side: take one where the data comes from, or at the \
                 first hop that charges"
                    .into(),
            );
        }
        let (below, above) = (self.hidden_below(), self.hidden_above());
        if below.is_empty() && above.is_empty() {
            return;
        }
        let border = self.nodes.iter().any(|(note, about)| {
            let other =
                self.nodes.first().is_some_and(|(first, _)| first.currency != note.currency);
            about.abroad || other
        });
        if border {
            return report.unclear.push(
                "nodes without a note lie between notes in several currencies: give the notes of \
                 the hops on both sides of the border, or compare each side alone"
                    .into(),
            );
        }
        let (mut upper, mut lower) = (Flows::default(), Flows::default());
        below.iter().for_each(|(_, paid)| upper.add_paid(paid));
        above.iter().for_each(|(_, pays, _)| lower.add_pays(pays));
        let place = Place::Hidden {
            below: below
                .iter()
                .map(|(note, paid)| format!("{} -> {}", note.who(), paid.by))
                .collect(),
            above: above
                .iter()
                .map(|(note, _, from)| format!("{from} -> {}", note.who()))
                .collect(),
        };
        Hidden { upper, lower, place }.compare(options, found, report);
    }

    fn sums(&self) -> Option<Sums> {
        self.tops().next()?;
        let mut sums = Sums::default();
        for paid in self.tops().flat_map(|(_, about)| &about.paid) {
            sums.receivers_told += u64::from(paid.receivers);
            sums.told += i128::from(paid.announced_total);
            sums.taken += i128::from(paid.sender_payment) + i128::from(paid.sponsored);
        }
        sums.paid_told = sums.told - sums.taken;
        let ends = self.nodes.iter().flat_map(|(_, about)| &about.paid).filter(|paid| paid.ends);
        for paid in ends {
            sums.receivers += 1;
            sums.charged += i128::from(paid.total);
            sums.covered += i128::from(paid.sponsored);
            sums.paid += i128::from(paid.debited);
        }
        Some(sums)
    }
}

pub(super) fn finding(
    place: Place,
    pair: Pair,
    (upper, lower): (String, String),
    same: bool,
) -> Finding {
    Finding {
        place,
        what: pair.what,
        upper: Said { who: upper, amount: pair.upper },
        lower: Said { who: lower, amount: pair.lower },
        difference: pair.upper - pair.lower,
        same_message: same,
    }
}
