//! What is left on accounts in memory is what the journal comes to, at every moment: whatever is
//! given back by hand, by grants, or both; whoever opens, closes and credits accounts meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use charging_model::tree::Tree;
use charging_model::{Grant, Ppm, Span};
use lcm_daemon::config::Accounts;
use lcm_daemon::engine::{AccountError, Handle};
use lcm_daemon::ledger::record::{Body, Contra, Payment};
use lcm_daemon::purse::{Backend, Holder, Terms, amount_text};
use lcm_daemon::tariff::Refunds;
use lcm_tests::sim::{Net, NodeId, Options, TreeNet, Weather, reserve_up_to};
use rsvp_wire::object::Session;

use crate::accounts::{EUR, actor};
use crate::support::{link, seeds};

/// S 0 - A 1 - B 2, with receivers 3 behind A, 4 and 5 behind B.
const S: NodeId = 0;
const A: NodeId = 1;
const B: NodeId = 2;
const R_MS: u64 = 30_000;
const H_MS: u64 = R_MS * 3 / 2 + 2_000;

fn net(grant: Grant, fraction: u32) -> TreeNet {
    let mut options = Options::default();
    options.config.refunds = Refunds { controlled_load: Some(grant), guaranteed: None };
    options.config.accounts = Some(Accounts::default());
    let links = vec![
        link(0, 0, 0, false),
        link(1, 100, 200, false),
        link(1, 40, 200, true),
        link(2, 60, 200, true),
        link(2, 30, 200, true),
    ];
    let fraction = Ppm::new(fraction).unwrap();
    TreeNet::new(&Tree { links, fraction, ..Tree::default() }, options, true)
}

/// What is left on every account of a node, by its journal alone.
fn booked(net: &Net, id: NodeId) -> BTreeMap<String, String> {
    let (replay, now) = (net.node(id).replay(), net.clock(id).at.as_millis());
    let mut left: BTreeMap<Holder, i128> = replay
        .standings()
        .map(|(holder, known)| {
            let in_all = (known.kept.paid_in + known.kept.over).cast_signed();
            (holder.clone(), in_all - known.kept.charged.cast_signed())
        })
        .collect();
    for open in replay.open() {
        let payer = replay.account(open.debit).and_then(|by| replay.payer(by, open.number));
        let Some(left) = payer.and_then(|holder| left.get_mut(holder)) else { continue };
        *left -= i128::from(open.rate) * i128::from(now.saturating_sub(open.from.at_ms));
    }
    left.into_iter().map(|(holder, left)| (holder.to_string(), amount_text(left))).collect()
}

/// The same as the node shows it.
fn shown(net: &mut Net, id: NodeId) -> BTreeMap<String, String> {
    let views = net.input(id, |engine, now| engine.show_purses(now));
    views.into_iter().map(|view| (view.account, view.balance)).collect()
}

fn agrees(net: &mut Net, what: &str) {
    for id in [A, B] {
        let shown = shown(net, id);
        assert_eq!(shown, booked(net, id), "at node {id} after {what}");
    }
    // Panics where neighbours' balances differ.
    net.metered();
}

/// Whoever has paid a node so far.
fn payers(net: &Net, id: NodeId) -> Vec<Holder> {
    let mut seen = BTreeSet::new();
    for body in net.node(id).journal() {
        match body {
            Body::Consent(consent) => {
                seen.insert(Holder::Customer(consent.account.clone()));
                seen.insert(Holder::Neighbour(consent.payer.address));
            }
            Body::Runs(runs) if runs.meter.payment == Payment::SenderIn => {
                seen.insert(Holder::Neighbour(runs.meter.neighbour.address));
            }
            _ => {}
        }
    }
    seen.into_iter().collect()
}

fn give_back(net: &mut Net, id: NodeId, of: u64, amount: u128) {
    let known = net.node(id).given_back(of);
    let (by, reason) = ("root".to_owned(), "noise".to_owned());
    let contra = Contra { of, amount, by, reason, wall_ms: 1 };
    net.input(id, |engine, now| engine.give_back(now, contra, &known));
}

fn open_account(net: &mut Net, id: NodeId, holder: Holder, paid: u128) {
    let terms = Terms { backend: Backend::Account { limit: 1 << 60 }, ..Terms::prepaid(EUR) };
    let new = (holder, terms);
    let opened = net.input(id, |engine, now| match paid {
        0 => engine.create_account(now, &actor(), 0, new),
        _ => engine.create_account_with(now, &actor(), 0, new, (paid, String::new())),
    });
    opened.unwrap();
}

fn close_account(net: &mut Net, id: NodeId, holder: Holder) -> Result<(), AccountError> {
    let why = String::new();
    net.input(id, |engine, now| engine.close_account(now, &actor(), 0, holder, why)).map(|_| ())
}

/// The account of the first customer of a node, and all postings that it was charged.
fn customer(net: &Net, id: NodeId) -> Holder {
    payers(net, id).into_iter().find(|holder| matches!(holder, Holder::Customer(_))).unwrap()
}

fn charged_to(net: &Net, id: NodeId, holder: &Holder) -> Vec<u64> {
    let mut postings = net.node(id).postings();
    postings.retain(|of| net.node(id).given_back(*of).holder.as_ref() == Some(holder));
    postings
}

#[test]
fn r009_what_was_given_back_by_hand_is_not_given_back_again_by_an_outage() {
    let mut play = net(Grant::ProRata, 250_000);
    play.join(3);
    play.rest();
    let net = &mut play.net;
    let holder = customer(net, A);
    open_account(net, A, holder.clone(), 0);
    // S is gone, which A does not know for a while; meanwhile its price moves, so that what ran
    // since the last word of S is a posting, and an operator gives that back.
    net.run_ms(R_MS / 2);
    net.mute(S, true);
    net.run_ms(H_MS);
    let before = shown(net, A);
    net.set_price(A, net.topology.between(A, 3), 35, false);
    net.run_ms(1_000);
    let of = *charged_to(net, A, &holder).last().unwrap();
    let left = net.node(A).given_back(of).left;
    give_back(net, A, of, left);
    agrees(net, "a refund by hand");
    net.run_ms(H_MS + 1_000);
    let refunded =
        |body: &&Body| matches!(body, Body::Refund(it) if it.meter.payment == Payment::ReceiverIn);
    assert_eq!(
        net.node(A).journal().iter().filter(refunded).count(),
        1,
        "the outage is given back"
    );
    agrees(net, "an outage of the same time");
    let after = shown(net, A);
    assert_eq!(after[&holder.to_string()], "0.00", "from {before:?}");
}

#[test]
fn what_is_given_back_to_a_holder_whose_account_was_opened_anew_is_there_to_spend() {
    let mut play = net(Grant::None, 0);
    play.join(3);
    play.rest();
    let holder = customer(&play.net, A);
    open_account(&mut play.net, A, holder.clone(), 1_000_000);
    play.net.run_ms(R_MS);
    play.leave(3);
    play.rest();
    let net = &mut play.net;
    let of = *charged_to(net, A, &holder).last().unwrap();
    let left = net.node(A).given_back(of).left;
    close_account(net, A, holder.clone()).unwrap();
    // While it is closed, that is on it.
    let stood = net.node(A).replay().standings().next().unwrap().1.kept.balance();
    give_back(net, A, of, 1_000);
    agrees(net, "a refund to a closed account");
    let name = holder.to_string();
    assert_eq!(shown(net, A)[&name], amount_text(stood + 1_000));
    // What is opened anew begins at nothing, and gets all that is given back from then on.
    open_account(net, A, holder.clone(), 0);
    assert_eq!(shown(net, A)[&name], "0.00");
    give_back(net, A, of, left - 1_000);
    agrees(net, "a refund to an account that was opened anew");
    assert_eq!(shown(net, A)[&name], amount_text((left - 1_000).cast_signed()));
    // Also under other terms, and after a start.
    let terms = |terms: Terms| Terms { backend: Backend::Account { limit: 5 }, ..terms };
    let limited = net.input(A, |engine, now| engine.limit_account(now, &actor(), 0, holder, terms));
    limited.unwrap();
    agrees(net, "other terms");
    restart(net, A);
    assert_eq!(shown(net, A)[&name], amount_text((left - 1_000).cast_signed()));
    agrees(net, "a start");
}

fn restart(net: &mut Net, id: NodeId) {
    net.kill(id);
    net.start(id);
    let standings: Vec<_> = net
        .node(id)
        .replay()
        .standings()
        .map(|(holder, known)| ((holder.clone(), known.terms.clone(), known.closed), known.kept))
        .collect();
    net.input(id, |engine, now| engine.restore_accounts(now, standings));
}

/// Receivers, operators and fate.
struct Play {
    net: Net,
    rng: fastrand::Rng,
    session: Session,
    receivers: BTreeMap<NodeId, Handle>,
    by_hand: u32,
}

impl Play {
    fn step(&mut self) -> String {
        let id = if self.rng.bool() { A } else { B };
        let (net, rng) = (&mut self.net, &mut self.rng);
        match rng.u8(0..14) {
            0 | 1 => {
                let receiver = rng.usize(3..6);
                match self.receivers.remove(&receiver) {
                    Some(handle) => net.close(receiver, handle),
                    None => {
                        let request = reserve_up_to(self.session, None);
                        self.receivers.insert(receiver, net.receive_as(receiver, request));
                    }
                }
                format!("{receiver} comes or goes")
            }
            2 | 3 => {
                let below = if id == A { rng.usize(2..4) } else { rng.usize(4..6) };
                net.set_price(id, net.topology.between(id, below), rng.u64(0..200), false);
                format!("another price at {id}")
            }
            4 | 5 => {
                let silent = if rng.bool() { S } else { A };
                net.mute(silent, true);
                net.run_ms(rng.u64(0..2 * H_MS));
                format!("{silent} falls silent")
            }
            6 => {
                net.mute(S, false);
                net.mute(A, false);
                "all speak".to_owned()
            }
            7..=9 => self.refund(id),
            10..=12 => self.order(id),
            _ => {
                restart(net, id);
                format!("{id} starts anew")
            }
        }
    }

    /// Newest postings most of all: outages are of their time.
    fn refund(&mut self, id: NodeId) -> String {
        let postings = self.net.node(id).postings();
        let back = self.rng.usize(0..4);
        let at = if self.rng.bool() {
            postings.len().checked_sub(1 + back)
        } else {
            self.rng.choice(0..postings.len())
        };
        let Some(of) = at.and_then(|at| postings.get(at).copied()) else { return "no".into() };
        let left = self.net.node(id).given_back(of).left;
        if left == 0 {
            return "nothing is left".to_owned();
        }
        let amount = if self.rng.bool() { left } else { self.rng.u128(1..=left) };
        give_back(&mut self.net, id, of, amount);
        self.by_hand += 1;
        format!("{amount} of {left} of posting {of} at {id}")
    }

    fn order(&mut self, id: NodeId) -> String {
        let holders = payers(&self.net, id);
        let Some(holder) = self.rng.choice(holders) else { return "nobody paid".to_owned() };
        let known = self.net.node(id).replay().standings().find(|(known, _)| **known == holder);
        let open = known.is_some_and(|(_, known)| !known.closed);
        let amount = self.rng.u128(1..100_000_000);
        match (open, self.rng.bool()) {
            (false, with) => {
                open_account(&mut self.net, id, holder.clone(), if with { amount } else { 0 });
                format!("{holder} has an account at {id}")
            }
            (true, true) => {
                let closed = close_account(&mut self.net, id, holder.clone());
                format!("the account of {holder} at {id} is closed: {closed:?}")
            }
            (true, false) => {
                let paid = (holder.clone(), EUR, amount);
                let credited = self.net.input(id, |engine, now| {
                    engine.credit_account(now, &actor(), 0, paid, String::new())
                });
                credited.unwrap();
                format!("{holder} pays in at {id}")
            }
        }
    }
}

#[test]
fn r009_balances_in_memory_are_those_of_the_journal_at_every_step() {
    let (mut both, mut by_hand) = (0, 0);
    for seed in seeds(300) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let grant = match rng.bool() {
            true => Grant::ProRata,
            false => Grant::FreeIfShort(Span(rng.u64(1..3_000) * 100)),
        };
        let play = net(grant, rng.u32(1..600_000));
        let (session, net) = (play.session, play.net);
        let mut play = Play { net, rng, session, receivers: BTreeMap::new(), by_hand: 0 };
        if play.rng.u8(0..4) == 0 {
            play.net.set_weather(Weather { loss_permille: 100, ..Weather::FAIR });
        }
        for step in 0..60 {
            let what = play.step();
            let most = *play.rng.choice(&[10, 2_000, H_MS, 2 * H_MS]).unwrap();
            play.net.run_ms(play.rng.u64(0..most));
            agrees(&mut play.net, &format!("seed {seed}, step {step}: {what}"));
        }
        by_hand += play.by_hand;
        let bodies = [A, B].into_iter().flat_map(|id| play.net.node(id).journal());
        both += bodies.filter(|body| matches!(body, Body::Refund(_))).count();
    }
    assert!(both > 30 && by_hand > 30, "{both} by grants, {by_hand} by hand");
}
