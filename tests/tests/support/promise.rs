//! What every network of daemons must show when it is taken down: nobody was debited more than it
//! approved while the path above stood, and whatever one node is owed another owes
//! (`docs/promise.md`). [`Play`] runs this when it is dropped, so no test can forget it.
//!
//! Books of daemons that are killed are gone, so [`Play::kill`] and [`Play::terminate`] read them
//! before.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lcm_daemon::engine::show::{AccountView, AccountsView};
use lcm_daemon::lab::wait::until;
use lcm_tests::promise::{Approval, Evidence, approval_ms};

use super::play::{Heard, PATIENCE, Play};
use super::wire::{DCPE, PATH, PATH_TEAR, RESV, RESV_TEAR, UCPE, Ucpe};

/// What a capture's clock and the payee's may differ by, with the time that a loaded machine takes
/// from one to the other.
const SLACK_MS: u64 = 200;

/// How much later than the payer the payee may learn of a change, or the other way round.
const LAG_MS: u64 = 300;

/// For how long meters are watched, in milliseconds.
const WATCHED_MS: u64 = 150;

/// Payee and payer.
type Pair = (String, String);

/// What two nodes' books say of one pair, in ledger units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sums {
    /// By the payee's meter.
    metered: u128,
    /// By the payer's shadow.
    believed: u128,
}

/// Receiver payments (upwards) and sender payments (downwards) by payee and payer.
#[derive(Debug, Clone, Default)]
struct Books {
    receivers: BTreeMap<Pair, Sums>,
    senders: BTreeMap<Pair, Sums>,
}

/// What is kept while a play runs.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// The books of daemons that have ended.
    buried: Books,
    /// The processes whose books can still be read.
    pids: BTreeMap<String, u32>,
    /// Daemons that ended: what they were owed and owed is known, but not what was said to them.
    ended: BTreeSet<String>,
    /// Messages were lost on purpose: meters and shadows of all time differ.
    lossy: bool,
}

/// How much the meter of a payee and the shadow of its payer may differ by, by what was said.
#[derive(Debug, Default)]
struct Steps {
    /// Payment and sender payment as they were said last, by payee, payer and flow.
    last: BTreeMap<(Pair, String), (u128, u128)>,
    /// How far they have moved in all, up and down.
    receivers: BTreeMap<Pair, u128>,
    senders: BTreeMap<Pair, u128>,
}

impl Steps {
    fn say(&mut self, payee: &str, payer: &str, flow: &str, said: &Ucpe) {
        let pair = (payee.to_owned(), payer.to_owned());
        let last = self.last.entry((pair.clone(), flow.to_owned())).or_default();
        let (payment, sender_payment) = (said.payment.into(), said.sender_payment.into());
        let moved = (last.0.abs_diff(payment), last.1.abs_diff(sender_payment));
        *last = (payment, sender_payment);
        *self.receivers.entry(pair).or_default() += moved.0;
        *self.senders.entry((payer.to_owned(), payee.to_owned())).or_default() += moved.1;
    }

    /// Whatever was paid is paid no more, or again.
    fn stop(&mut self, payee: &str, flow: &str) {
        for (((node, payer), other), (payment, sender_payment)) in &self.last {
            if node == payee && other == flow {
                let pair = (node.clone(), payer.clone());
                *self.receivers.entry(pair).or_default() += payment;
                *self.senders.entry((payer.clone(), node.clone())).or_default() += sender_payment;
            }
        }
    }
}

impl Play {
    /// Kills a daemon, whose books are read before.
    pub(crate) fn kill(&mut self, name: &str) -> Result<(), Box<dyn Error>> {
        self.bury(name)?;
        Ok(self.stage.daemon(name)?.kill()?)
    }

    /// Asks a daemon to end, whose books are read before.
    pub(crate) fn terminate(
        &mut self,
        name: &str,
        patience: Duration,
    ) -> Result<std::process::ExitStatus, Box<dyn Error>> {
        self.bury(name)?;
        Ok(self.stage.daemon(name)?.terminate(patience)?)
    }

    /// Starts a daemon that has ended again, as soon as it can be believed: its epochs and sequences
    /// start from the clock (charging.md T17), ahead of which they are after several changes within
    /// a second.
    pub(crate) fn restart(&mut self, name: &str) -> Result<(), Box<dyn Error>> {
        let of_it = self.heard().iter().filter(|heard| heard.from == name);
        let newest = of_it.flat_map(|heard| {
            let epochs = heard.message.dcpes().into_iter().map(|dcpe| dcpe.epoch);
            epochs.chain(heard.message.ucpe().map(|ucpe| ucpe.sequence))
        });
        let newest = u64::from(newest.max().unwrap_or_default());
        self.wait("the clock to pass what was said", |_| {
            let now = std::time::UNIX_EPOCH.elapsed().map_err(|e| e.to_string())?.as_secs();
            if now > newest { Ok(()) } else { Err(format!("{newest} at {now}")) }
        })?;
        self.stage.daemon(name)?.restart()?;
        let pid = self.stage.daemon(name)?.process().pid();
        self.watch.pids.insert(name.to_owned(), pid);
        Ok(())
    }

    /// From now on messages are lost that no node knows of, as on a link that is cut.
    pub(crate) fn loses_messages(&mut self) {
        self.watch.lossy = true;
    }

    /// Notes the daemons that were started.
    pub(super) fn watch_daemons(&mut self) -> Result<(), Box<dyn Error>> {
        for name in self.daemons() {
            let pid = self.stage.daemon(&name)?.process().pid();
            self.watch.pids.insert(name, pid);
        }
        Ok(())
    }

    fn daemons(&self) -> Vec<String> {
        let nodes = &self.stage.setup().topology.nodes;
        let daemons = nodes.iter().filter(|node| node.role != lcm_daemon::lab::Role::Plain);
        daemons.map(|node| node.name.clone()).collect()
    }

    fn bury(&mut self, name: &str) -> Result<(), Box<dyn Error>> {
        let view = self.stage.accounts(name)?;
        let owners = self.owners();
        note(&mut self.watch.buried, &owners, name, &view)?;
        self.watch.pids.remove(name);
        self.watch.ended.insert(name.to_owned());
        Ok(())
    }

    /// The node of each address.
    fn owners(&self) -> BTreeMap<IpAddr, String> {
        let mut owners = BTreeMap::new();
        for link in self.stage.network().links() {
            for end in &link.ends {
                let address = link.address(&end.node);
                owners.extend(address.map(|own| (IpAddr::V4(own), end.node.clone())));
            }
        }
        owners
    }

    /// The payments and announcements so far.
    pub(crate) fn evidence(&mut self) -> Evidence {
        self.read_links().0
    }

    fn read_links(&mut self) -> (Evidence, Steps) {
        let owners = self.owners();
        let mut reader = Reader {
            owners,
            evidence: Evidence::new(SLACK_MS),
            steps: Steps::default(),
            senders: BTreeMap::new(),
            // The first router speaks for a sender without RSVP, and nothing stands above it.
            proxied: !self.daemons().contains(&self.stage.setup().topology.sender),
            told: BTreeSet::new(),
        };
        for heard in self.heard() {
            // What cannot be read this far says nothing about money.
            let _ = reader.read(heard);
        }
        (reader.evidence, reader.steps)
    }

    /// Compares what payees debited with what payers approved, and with what payers believe.
    /// Returns how many accounts moved.
    pub(crate) fn check_promise(&mut self) -> Result<usize, Box<dyn Error>> {
        let mut books = self.watch.buried.clone();
        let owners = self.owners();
        for name in self.watch.pids.keys() {
            note(&mut books, &owners, name, &self.stage.accounts(name)?)?;
        }
        // A host without RSVP says nothing: for it a router approves, by what its operator allows.
        let daemons = self.daemons();
        books.receivers.retain(|(_, payer), _| daemons.contains(payer));
        let now_ms = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
        let (evidence, steps) = self.read_links();
        let mut broken = Vec::new();
        let mut by_payer: BTreeMap<&String, u128> = BTreeMap::new();
        for ((payee, payer), sums) in &books.receivers {
            *by_payer.entry(payer).or_default() += sums.metered;
            let most = evidence.most(payee, payer, now_ms);
            if sums.metered > most {
                let debited = sums.metered;
                broken.push(format!("{payee} debited {payer} {debited}, who approved {most}"));
            }
        }
        for (payer, debited) in by_payer {
            let most = evidence.most_of(payer, now_ms);
            if debited > most {
                broken.push(format!("all debited {payer} {debited}, who approved {most} in all"));
            }
        }
        // On both sides of a node that does not charge, books may name it or each other.
        if !self.watch.lossy && self.stage.setup().ignorant.is_empty() {
            self.compare_shadows("receiver", &books.receivers, &steps.receivers, &mut broken);
            self.compare_shadows("sender", &books.senders, &steps.senders, &mut broken);
        }
        if !broken.is_empty() {
            return Err(format!("{}\n{}", broken.join("\n"), self.story()).into());
        }
        Ok(books.receivers.values().filter(|sums| sums.metered > 0).count())
    }

    /// Books are read one after the other, and changes are known to one before the other.
    fn compare_shadows(
        &self,
        what: &str,
        all: &BTreeMap<Pair, Sums>,
        steps: &BTreeMap<Pair, u128>,
        broken: &mut Vec<String>,
    ) {
        for (pair, sums) in all {
            let (payee, payer) = pair;
            if self.watch.ended.contains(payee) || self.watch.ended.contains(payer) {
                continue;
            }
            let moved = steps.get(pair).copied().unwrap_or_default();
            if sums.metered.abs_diff(sums.believed) > moved * u128::from(LAG_MS) {
                broken.push(format!(
                    "{payee} metered {what} payments of {} from {payer}, who believes {}; the rate \
                     moved by {moved} in all",
                    sums.metered, sums.believed
                ));
            }
        }
    }

    /// Waits until the books of all daemons fit each other and meters run as they say.
    fn check_rest(&mut self) -> Result<(), Box<dyn Error>> {
        let daemons = self.daemons();
        let receivers = &self.stage.setup().topology.receivers;
        // A receiver without RSVP keeps no account of what it owes.
        let everybody = self.watch.pids.len() == daemons.len()
            && receivers.iter().all(|receiver| daemons.contains(receiver));
        // On both sides of a node that does not charge, books may name it or each other.
        let pairs = self.stage.setup().ignorant.is_empty();
        let owners = self.owners();
        let mut start: Option<BTreeMap<String, AccountsView>> = None;
        let mut seen = "nothing was compared".to_owned();
        until(PATIENCE, "accounts that fit each other", || {
            let mut now = BTreeMap::new();
            for name in self.watch.pids.keys() {
                let view = self.stage.accounts(name).map_err(|e| e.to_string())?;
                now.insert(name.clone(), view);
            }
            let Some(before) = start.take() else {
                start = Some(now);
                return Err(seen.clone());
            };
            let past = |(name, view): (&String, &AccountsView)| {
                let before = before.get(name).map_or(0, |view| view.as_of_ms);
                view.as_of_ms.saturating_sub(before)
            };
            // A daemon that does not charge has no clock to show.
            let charging = now.iter().filter(|(_, view)| !view.accounts.is_empty());
            if charging.map(past).min().is_some_and(|past| past < WATCHED_MS) {
                start = Some(before);
                return Err(seen.clone());
            }
            let compared = metered(&before, &now).and_then(|()| {
                let fit = if pairs { fit(&owners, &now) } else { Ok(()) };
                let sum: i64 = now.values().map(|view| view.rate).sum();
                // Of two currencies there is no sum.
                let mut accounts = now.values().flat_map(|view| &view.accounts);
                let border = accounts.any(|account| account.foreign.is_some());
                let nothing = !everybody || border || sum == 0;
                fit.and(if nothing { Ok(()) } else { Err(format!("all earn {sum} together")) })
            });
            if let Err(differ) = &compared {
                seen.clone_from(differ);
                start = Some(now);
            }
            compared
        })
        .map_err(|late| format!("{late}\n{}", self.story()))?;
        Ok(())
    }

    /// All that must hold when a play is over.
    pub(super) fn check_end(&mut self) -> Result<(), Box<dyn Error>> {
        for (name, pid) in self.watch.pids.clone() {
            let process = self.stage.daemon(&name)?.process_mut();
            if process.pid() != pid || process.status()?.is_some() {
                return Err(format!("{name} ended otherwise than by Play::kill").into());
            }
        }
        self.check_rest()?;
        self.check_promise()?;
        Ok(())
    }
}

/// Every meter must have moved by the rate that its account shows.
fn metered(
    before: &BTreeMap<String, AccountsView>,
    now: &BTreeMap<String, AccountsView>,
) -> Result<(), String> {
    for (name, view) in now {
        let earlier = before.get(name).ok_or("a new daemon")?;
        let ms = i128::from(view.as_of_ms - earlier.as_of_ms);
        for account in &view.accounts {
            let known = earlier.accounts.iter().find(|a| a.neighbour == account.neighbour);
            let (rate, amount) = known.map_or((0, 0), |a| (a.rate, read_signed(&a.amount)));
            let gained = read_signed(&account.amount) - amount;
            if rate != account.rate || gained != i128::from(rate) * ms {
                return Err(format!("{name} gained {gained} in {ms} ms: {account:?}"));
            }
        }
    }
    Ok(())
}

/// What one node earns from another by its books, that must pay it by its own.
fn fit(
    owners: &BTreeMap<IpAddr, String>,
    now: &BTreeMap<String, AccountsView>,
) -> Result<(), String> {
    let mut rates: BTreeMap<(&String, &String), i64> = BTreeMap::new();
    // Across a border between currencies the rates are those of two of them.
    let mut borders: BTreeSet<[&String; 2]> = BTreeSet::new();
    for (name, view) in now {
        for account in &view.accounts {
            if account.foreign.is_some()
                && let Some(owner) = owners.get(&account.neighbour)
            {
                borders.extend([[name, owner], [owner, name]]);
            }
            if let Some(owner) = owners.get(&account.neighbour).filter(|o| now.contains_key(*o)) {
                *rates.entry((name, owner)).or_default() += account.rate;
            }
        }
    }
    for ((name, other), rate) in &rates {
        if borders.contains(&[*name, *other]) {
            continue;
        }
        let back = rates.get(&(*other, *name)).copied().unwrap_or_default();
        if rate + back != 0 {
            return Err(format!("{name} earns {rate} from {other}, who earns {back} from it"));
        }
    }
    Ok(())
}

fn read_signed(text: &str) -> i128 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no amount"))
}

/// Adds what one node's books say.
fn note(
    books: &mut Books,
    owners: &BTreeMap<IpAddr, String>,
    name: &str,
    view: &AccountsView,
) -> Result<(), Box<dyn Error>> {
    for account in &view.accounts {
        let AccountView { neighbour, foreign, .. } = account;
        // What the other one meters is in its own currency.
        let (owed, due) = match foreign {
            Some(foreign) => (&foreign.receiver_payments_out, &foreign.sender_payments_in),
            None => (&account.receiver_payments_out, &account.sender_payments_in),
        };
        let owner = owners.get(neighbour).ok_or_else(|| format!("{name} charges {neighbour}"))?;
        let (to_us, to_them) = ((name.to_owned(), owner.clone()), (owner.clone(), name.to_owned()));
        let receivers = &mut books.receivers;
        receivers.entry(to_us.clone()).or_default().metered +=
            account.receiver_payments_in.parse::<u128>()?;
        receivers.entry(to_them.clone()).or_default().believed += owed.parse::<u128>()?;
        let senders = &mut books.senders;
        senders.entry(to_us).or_default().metered += due.parse::<u128>()?;
        senders.entry(to_them).or_default().believed +=
            account.sender_payments_out.parse::<u128>()?;
    }
    Ok(())
}

/// Reads captured messages into evidence.
struct Reader {
    owners: BTreeMap<IpAddr, String>,
    evidence: Evidence,
    steps: Steps,
    /// The senders of each session that were heard of.
    senders: BTreeMap<(Ipv4Addr, u16), BTreeSet<(Ipv4Addr, u16)>>,
    /// No daemon runs at the sender.
    proxied: bool,
    /// Nodes to which PATH came.
    told: BTreeSet<String>,
}

impl Reader {
    fn read(&mut self, heard: &Heard) -> Option<()> {
        let session = heard.message.session()?;
        let (hop, _) = heard.message.hop()?;
        let at_ms = heard.at_ns / 1_000_000;
        match heard.message.kind {
            PATH => {
                self.senders.entry(session).or_default().extend(heard.message.senders());
                self.path(heard, session, hop, at_ms)?;
            }
            PATH_TEAR => {
                for flow in self.flows(session, &heard.message.senders()) {
                    self.evidence.falls(&heard.to, &flow, &hop.to_string(), at_ms);
                    self.steps.stop(&heard.to, &flow);
                }
            }
            RESV => self.resv(heard, session, hop, at_ms)?,
            RESV_TEAR => {
                let payee = self.owners.get(&heard.destination)?.clone();
                for flow in self.flows(session, &heard.message.senders()) {
                    self.evidence.revokes(&payee, &flow, &hop.to_string(), at_ms);
                    self.steps.stop(&payee, &flow);
                }
            }
            _ => {}
        }
        Some(())
    }

    /// What the path above the node at the other end of the link is said to be.
    fn path(
        &mut self,
        heard: &Heard,
        session: (Ipv4Addr, u16),
        hop: Ipv4Addr,
        at_ms: u64,
    ) -> Option<()> {
        let refresh_ms = u64::from(heard.message.refresh_ms()?);
        let node = &heard.to;
        let own = |to: Ipv4Addr| self.owners.get(&IpAddr::V4(to)) == Some(node);
        let dcpes = heard.message.dcpes();
        let addressed = dcpes.iter().find(|dcpe| dcpe.destination.is_some_and(own));
        let dcpe = addressed.or_else(|| dcpes.iter().find(|dcpe| dcpe.destination.is_none()));
        self.told.insert(heard.to.clone());
        let first = self.proxied && !self.told.contains(&heard.from);
        for flow in self.flows(session, &heard.message.senders()) {
            if first {
                self.evidence.is_first(&heard.from, &flow);
            }
            let phop = hop.to_string();
            match dcpe {
                None if heard.message.elements(DCPE).is_empty() => {
                    self.evidence.is_first(node, &flow);
                }
                None => {}
                Some(dcpe) if dcpe.established.is_some() => {
                    self.evidence.stands(node, &flow, &phop, at_ms, refresh_ms);
                }
                Some(_) => {
                    self.evidence.falls(node, &flow, &phop, at_ms);
                    self.steps.stop(node, &flow);
                }
            }
        }
        Some(())
    }

    fn resv(
        &mut self,
        heard: &Heard,
        session: (Ipv4Addr, u16),
        hop: Ipv4Addr,
        at_ms: u64,
    ) -> Option<()> {
        let payee = self.owners.get(&heard.destination)?.clone();
        let refresh_ms = u64::from(heard.message.refresh_ms()?);
        for element in heard.message.elements(UCPE) {
            let ucpe = Ucpe::parse(element.bytes)?;
            // Whoever does not charge carries on what others pay: books may name either.
            let origin = element.origin.unwrap_or(hop);
            let payers = [origin, hop].map(IpAddr::V4);
            let payers: BTreeSet<&String> =
                payers.iter().filter_map(|address| self.owners.get(address)).collect();
            // Where nothing has to stand above, meters start with the RESV, by another clock.
            let rounded = 2 * u64::from(self.proxied);
            let said = Approval {
                at_ms: at_ms - rounded,
                until_ms: at_ms + approval_ms(refresh_ms),
                ceiling: ucpe.payment,
                instance: ucpe.instance,
            };
            let named = [&element.filters[..], &heard.message.senders()];
            let named = named.into_iter().find(|named| !named.is_empty()).unwrap_or_default();
            for flow in self.flows(session, named) {
                for payer in &payers {
                    self.evidence.approves(&payee, &flow, payer, &hop.to_string(), said);
                    self.steps.say(&payee, payer, &flow, &ucpe);
                }
            }
        }
        Some(())
    }

    /// The names of the flows of these senders; of all senders of the session if none is named.
    fn flows(&self, session: (Ipv4Addr, u16), named: &[(Ipv4Addr, u16)]) -> Vec<String> {
        let name = |(source, port): &(Ipv4Addr, u16)| {
            format!("{}:{} from {source}:{port}", session.0, session.1)
        };
        if named.is_empty() {
            self.senders.get(&session).into_iter().flatten().map(name).collect()
        } else {
            named.iter().map(name).collect()
        }
    }
}
