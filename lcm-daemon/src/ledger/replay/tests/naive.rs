//! The same books once more, by going through every millisecond of every meter.

use std::collections::BTreeMap;

use super::story::Story;
use super::*;

/// Balances of our own accounts and of neighbours' by name.
type Sums = BTreeMap<Account, i128>;

/// What the records of one run come to.
fn reckon_run(records: &[Body], sums: &mut Sums) {
    let proved = records.iter().rev().find_map(|body| match body {
        Body::Alive(stamp) | Body::Stopped(stamp) => Some(stamp.at_ms),
        Body::Started(started) => Some(started.stamp.at_ms),
        _ => None,
    });
    let proved = proved.unwrap();
    for (place, body) in records.iter().enumerate() {
        let (meter, from, to, rate) = match body {
            Body::Runs(turned) => {
                let next = records[place + 1..].iter().find_map(|body| match body {
                    Body::Runs(next) if next.meter == turned.meter => Some(next.at_ms),
                    _ => None,
                });
                // A consent that had ended or was lowered bounds what a crash left running.
                let bound = records[place + 1..].iter().find_map(|body| match body {
                    Body::Closed(c) if whose(turned, c.flow, c.payer) => Some(c.at_ms),
                    Body::Consent(c) if whose(turned, c.flow, c.payer) => {
                        (c.ceiling < turned.rate).then_some(c.at_ms)
                    }
                    _ => None,
                });
                let to = next.unwrap_or(bound.map_or(proved, |bound| bound.min(proved)));
                (turned.meter, turned.at_ms, to, turned.rate)
            }
            Body::Gap(gap) => (gap.meter, gap.from_ms, gap.to_ms, gap.rate),
            _ => continue,
        };
        let account = records[..place].iter().rev().find_map(|body| match body {
            Body::Consent(c)
                if meter.payment == Payment::ReceiverIn
                    && (c.flow, c.payer) == (meter.flow, meter.neighbour) =>
            {
                Some(c.account.clone())
            }
            _ => None,
        });
        for _ in from..to {
            let received = matches!(meter.payment, Payment::ReceiverIn | Payment::SenderIn);
            let ours = if received { i128::from(rate) } else { -i128::from(rate) };
            *sums.entry(Account::Own(meter.payment)).or_default() += ours;
            let theirs = Account::Neighbour(meter.neighbour, account.clone());
            *sums.entry(theirs).or_default() -= ours;
        }
    }
}

fn whose(turned: &Runs, flow: u64, payer: Neighbour) -> bool {
    turned.meter == (Meter { flow, payment: Payment::ReceiverIn, neighbour: payer })
}

fn reckon(records: &[Body]) -> Sums {
    let mut sums = Sums::new();
    let starts: Vec<usize> =
        (0..records.len()).filter(|place| matches!(records[*place], Body::Started(_))).collect();
    for (number, start) in starts.iter().enumerate() {
        let end = starts.get(number + 1).copied().unwrap_or(records.len());
        reckon_run(&records[*start..end], &mut sums);
    }
    sums.retain(|_, sum| *sum != 0);
    sums
}

fn books(replay: &Replay) -> Sums {
    let all = replay.accounts().map(|(account, balance)| (account.clone(), balance));
    all.filter(|(_, balance)| *balance != 0).collect()
}

/// Records of some runs, ended by a start, so that nothing is open.
fn story(seed: u64) -> Vec<Body> {
    let mut story = Story::new(seed);
    for _ in 0..3 {
        story.go_on(60);
        story.restart();
    }
    story.records
}

#[test]
fn books_are_what_going_through_every_millisecond_comes_to() {
    let mut total = 0;
    for seed in 0..400 {
        let records = story(seed);
        let (replay, postings) = play(&records).unwrap_or_else(|fault| {
            panic!("seed {seed}: {fault}: {:?}", &records[..fault.number as usize])
        });
        assert_eq!(books(&replay), reckon(&records), "seed {seed}");
        let sum: u128 = postings.iter().map(|posting| posting.amount).sum();
        let own: i128 = books(&replay)
            .iter()
            .filter(|(account, _)| matches!(account, Account::Own(_)))
            .map(|(_, balance)| balance.abs())
            .sum();
        assert_eq!(i128::try_from(sum).unwrap(), own, "seed {seed}: postings make the balances");
        assert_eq!(replay.open().count(), 0);
        total += postings.len();
    }
    assert!(total > 8_000, "{total} postings show little");
}

#[test]
fn after_a_cut_anywhere_and_a_start_nothing_is_billed_twice_or_beyond_what_is_proved() {
    for seed in 0..60 {
        let records = story(seed);
        for cut in 1..=records.len() {
            let mut cut_off = records[..cut].to_vec();
            cut_off.push(started(99, 0));
            let (replay, postings) = play(&cut_off).unwrap();
            assert_eq!(books(&replay), reckon(&cut_off), "seed {seed}, cut at {cut}");
            let mut numbers: Vec<u64> = postings.iter().map(|posting| posting.number).collect();
            numbers.sort_unstable();
            assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "one posting a record");
            no_time_twice(&postings, &cut_off);
        }
    }
}

/// No meter is billed for a millisecond twice, nor beyond an instant that the records of its run
/// name: the last proof, or the turn that ended it.
fn no_time_twice(postings: &[Posting], records: &[Body]) {
    let run_of = |number: u64| {
        let before = &records[..number as usize];
        before.iter().rposition(|body| matches!(body, Body::Started(_))).unwrap()
    };
    let mut billed: BTreeMap<(usize, Meter), Vec<(u64, u64)>> = BTreeMap::new();
    for posting in postings {
        let run = run_of(posting.number);
        let spans = billed.entry((run, posting.meter)).or_default();
        spans.push((posting.from.at_ms, posting.to.at_ms));
        let end = records[run + 1..].iter().position(|body| matches!(body, Body::Started(_)));
        let of_run = &records[run..end.map_or(records.len(), |end| run + 1 + end)];
        let proved = of_run.iter().map(|body| match body {
            Body::Started(started) => started.stamp.at_ms,
            Body::Alive(stamp) | Body::Stopped(stamp) => stamp.at_ms,
            Body::Runs(runs) if runs.meter == posting.meter => runs.at_ms,
            Body::Gap(gap) if gap.meter == posting.meter => gap.to_ms,
            _ => 0,
        });
        assert!(posting.to.at_ms <= proved.max().unwrap(), "{posting:?} is not proved");
    }
    for spans in billed.values_mut() {
        spans.sort_unstable();
        assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{spans:?} overlap");
    }
}
