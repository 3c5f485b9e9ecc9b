//! What a node's journal comes to: every record is replayed as it is written, and the books that
//! follow from records alone must be those that the daemon keeps in memory.

use std::collections::BTreeMap;
use std::net::IpAddr;

use lcm_daemon::engine::Now;
use lcm_daemon::engine::show::AccountsView;
use lcm_daemon::ledger::record::{Body, Meter, Stamp, Started};
use lcm_daemon::ledger::replay::{Account, GivenBack, Replay};

/// How often the journal proves that all meters run, in milliseconds.
const PROOF_MS: u64 = 1_000;

/// The journal of one life of a daemon; where accounts are kept, of all its lives.
#[derive(Debug, Default)]
pub(super) struct Journal {
    replay: Replay,
    proved_ms: u64,
    /// What neighbours owed when this life began.
    before: BTreeMap<IpAddr, i128>,
    /// All records, where accounts are kept.
    bodies: Option<Vec<Body>>,
    /// All postings, and which ones of this life they are; where accounts are kept.
    postings: BTreeMap<u64, Option<(Meter, u64)>>,
}

fn stamp(now: Now) -> Stamp {
    Stamp { at_ms: now.at.as_millis(), wall_ms: u64::from(now.unix_s) * 1_000 }
}

impl Journal {
    /// A daemon started.
    pub(super) fn start(now: Now) -> Self {
        let mut journal = Self { proved_ms: now.at.as_millis(), ..Self::default() };
        journal.begin(stamp(now));
        journal
    }

    /// A daemon that keeps accounts started, and finds what an earlier life wrote.
    pub(super) fn again(mut self, now: Now) -> Self {
        self.bodies.get_or_insert_default();
        self.proved_ms = now.at.as_millis();
        self.begin(stamp(now));
        self.before = self.owed();
        self
    }

    /// All records of all lives; none where no accounts are kept.
    pub(super) fn bodies(&self) -> &[Body] {
        self.bodies.as_deref().unwrap_or_default()
    }

    /// Its books begin anew: all that ran is proved and ends, and what stands is to be declared.
    pub(super) fn begin_anew(&mut self, now: Now) {
        self.take(&Body::Alive(stamp(now)));
        self.begin(stamp(now));
    }

    fn begin(&mut self, stamp: Stamp) {
        self.take(&Body::Started(Started {
            node: String::new(),
            program: String::new(),
            boot: [0; 16],
            currency: 978,
            hold_ms: 0,
            stamp,
        }));
        self.postings.values_mut().for_each(|piece| *piece = None);
    }

    pub(super) fn replay(&self) -> &Replay {
        &self.replay
    }

    /// Takes a record; panics if it cannot follow those before it.
    pub(super) fn take(&mut self, body: &Body) {
        let number = self.replay.last() + 1;
        let applied = self.replay.apply(number, body);
        let applied =
            applied.unwrap_or_else(|fault| panic!("the journal is not sound: {fault}: {body:?}"));
        if let Some(bodies) = &mut self.bodies {
            bodies.push(body.clone());
            for posting in applied.postings() {
                let piece = Some((posting.meter, posting.from.at_ms));
                self.postings.insert(posting.number, piece);
            }
        }
    }

    /// All postings by their numbers; none where no accounts are kept.
    pub(super) fn postings(&self) -> impl Iterator<Item = u64> + '_ {
        self.postings.keys().copied()
    }

    /// To whom what is given back of a posting goes.
    pub(super) fn given_back(&self, of: u64) -> GivenBack {
        let known = self.replay.clone().given_back(of).expect("a posting");
        GivenBack { piece: self.postings.get(&of).copied().flatten(), ..known }
    }

    /// Proves what runs, about every second.
    pub(super) fn prove(&mut self, now: Now) {
        let stamp = stamp(now);
        if stamp.at_ms >= self.proved_ms + PROOF_MS {
            self.proved_ms = stamp.at_ms;
            self.take(&Body::Alive(stamp));
        }
    }

    /// What neighbours owe, but for what runs.
    fn owed(&self) -> BTreeMap<IpAddr, i128> {
        let mut balances: BTreeMap<IpAddr, i128> = BTreeMap::new();
        for (account, balance) in self.replay.accounts() {
            if let Account::Neighbour(neighbour, _) = account {
                *balances.entry(neighbour.address).or_default() -= balance;
            }
        }
        balances
    }

    /// Panics if the daemon's own books say otherwise at `now`.
    pub(super) fn assert_agrees(&self, now: Now, view: &AccountsView) {
        if view.folded_accounts > 0 {
            return;
        }
        let mut balances = self.owed();
        for (neighbour, before) in &self.before {
            *balances.entry(*neighbour).or_default() -= before;
        }
        for open in self.replay.open() {
            let ms = now.at.as_millis().saturating_sub(open.from.at_ms);
            let amount = i128::from(open.rate) * i128::from(ms);
            let received = self.replay.account(open.credit);
            let ours = if matches!(received, Some(Account::Own(_))) { amount } else { -amount };
            *balances.entry(open.meter.neighbour.address).or_default() += ours;
        }
        balances.retain(|_, balance| *balance != 0);
        // What stays in the house is in no journal.
        let kept = view.accounts.iter().filter(|account| !account.internal).map(|account| {
            (account.neighbour, account.amount.parse::<i128>().expect("a whole number"))
        });
        let kept: BTreeMap<IpAddr, i128> = kept.filter(|(_, amount)| *amount != 0).collect();
        assert_eq!(balances, kept, "by the journal, and by the daemon's books");
    }
}
