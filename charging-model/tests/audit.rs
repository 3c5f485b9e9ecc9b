//! The audit of next hops: what they report, beside what they were told.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

#[path = "common/one.rs"]
mod one;

use charging_model::flow::{Doubt, Finding, Heard, Inconsistency, Limits, Mismatch};
use charging_model::*;
use one::*;

const TOTALS: Doubt = Doubt::Totals;

fn audited(refuse_inconsistent: bool) -> FlowConfig {
    FlowConfig { audit: true, refuse_inconsistent, ..FlowConfig::default() }
}

/// C_k = 160; the next hop says A and B.
fn report(sequence: u32, a: u64, b: u64) -> Payment {
    Payment { announced_total: Rate(a), local_sum: Rate(b), ..ucpe(160, sequence, 1) }
}

fn refreshed(flow: &mut Flow, said: &Announcement, report: &Payment, from: u64, to: u64) {
    for t in (from..=to).step_by(15_000) {
        let _ = (flow.on_dcpe(at(t), said).unwrap(), flow.on_ucpe(at(t), key(1), report));
        assert_eq!(flow.tick(at(t)), [], "at {t}");
    }
}

#[test]
fn r105_a_mismatch_that_lasts_raises_an_alarm_about_its_branch_once() {
    let said = dcpe(100, 0, UNIX);
    let mut flow = flow_with(audited(false), &said, &[(1, 60)]);
    let lie = report(1, 300, 100);
    assert_eq!(flow.on_ucpe(at(0), key(1), &lie), new());
    refreshed(&mut flow, &said, &lie, 1, 2 * H - 1);
    assert_eq!(flow.take_findings(), [], "it may be hold-outs below");
    assert_eq!(flow.tick(at(2 * H)), []);
    let told = Rate(160);
    let mismatch = Mismatch::Totals { told, announced_total: Rate(300), local_sum: Rate(100) };
    let raised = Finding { key: key(1), about: TOTALS, raised: true, mismatch: Some(mismatch) };
    assert_eq!(flow.take_findings(), [raised]);
    assert_eq!(flow.mismatches(key(1)).collect::<Vec<_>>(), [(mismatch, true)]);
    refreshed(&mut flow, &said, &lie, 2 * H + 1, 5 * H);
    assert_eq!(flow.take_findings(), [], "once");
    assert_eq!(flow.on_ucpe(at(5 * H), key(1), &report(2, 260, 100)), again());
    let over = Finding { key: key(1), about: TOTALS, raised: false, mismatch: None };
    assert_eq!(flow.take_findings(), [over]);
    assert_eq!(flow.mismatches(key(1)).count(), 0);
}

#[test]
fn r105_an_alarm_ends_with_its_branch() {
    let said = dcpe(100, 0, UNIX);
    let mut flow = flow_with(audited(false), &said, &[(1, 60)]);
    let lie = report(1, 300, 100);
    assert_eq!(flow.on_ucpe(at(0), key(1), &lie), new());
    refreshed(&mut flow, &said, &lie, 1, 2 * H + 15_000);
    assert!(flow.take_findings()[0].raised);
    let _ = flow.remove_branch(at(3 * H), key(1), Cause::Tear);
    assert_eq!(
        flow.take_findings(),
        [Finding { key: key(1), about: TOTALS, raised: false, mismatch: None }]
    );
}

#[test]
fn r105_a_mismatch_that_passes_or_changes_raises_no_alarm_too_soon() {
    let said = dcpe(100, 0, UNIX);
    let mut flow = flow_with(audited(false), &said, &[(1, 60)]);
    // Hold-outs below leave one after the other: U is another one each time.
    let mut t = 0;
    for (sequence, missing) in [(1, 30), (2, 60), (3, 20)] {
        let short = report(sequence, 260 - missing, 100);
        let _ = flow.on_ucpe(at(t), key(1), &short);
        refreshed(&mut flow, &said, &short, t + 1, t + H);
        t += H + 2_000;
    }
    let _ = flow.on_ucpe(at(t), key(1), &report(4, 260, 100));
    assert_eq!(flow.tick(at(t)), []);
    assert_eq!(flow.take_findings(), []);
    // A lie that changes all the time is told from them after 8H.
    let mut sequence = 5;
    while flow.take_findings().is_empty() {
        let _ = flow.on_dcpe(at(t), &said);
        let lie = report(sequence, 300 + u64::from(sequence), 100);
        let _ = flow.on_ucpe(at(t), key(1), &lie);
        let _ = flow.tick(at(t));
        (t, sequence) = (t + 15_000, sequence + 1);
        assert!(sequence < 100, "never noticed");
    }
    assert!(sequence > 5 + u32::try_from(8 * H / 15_000).unwrap());
}

#[test]
fn r105_rounding_is_no_mismatch_and_a_negative_sum_is_one() {
    let said = dcpe(100, 0, UNIX);
    let mut flow = flow_with(audited(false), &said, &[(1, 60)]);
    let off = report(1, 259, 100);
    assert_eq!(flow.on_ucpe(at(0), key(1), &off), new());
    refreshed(&mut flow, &said, &off, 1, 4 * H);
    assert_eq!(flow.take_findings(), []);
    // A − B fits, but the sender would pay more than all receivers below were told.
    let negative = Payment { sender_payment: Rate(400), ..report(2, 260, 100) };
    assert_eq!(flow.on_ucpe(at(4 * H), key(1), &negative), again());
    refreshed(&mut flow, &said, &negative, 4 * H + 1, 6 * H + 15_000);
    assert_eq!(flow.take_findings().len(), 1);
}

/// Above the hop that hears the lie nobody has reason to suspect it.
#[test]
fn r105_after_h_a_hop_tells_upwards_only_what_it_vouches_for() {
    let said = dcpe(100, 0, UNIX);
    let mut flow = flow_with(audited(false), &said, &[(1, 60)]);
    let lie = report(1, 300, 100);
    assert_eq!(flow.on_ucpe(at(0), key(1), &lie), new());
    let own = flow.own_payment(at(0)).unwrap();
    assert_eq!((own.announced_total, own.local_sum), (Rate(300), Rate(160)));
    refreshed(&mut flow, &said, &lie, 1, H - 1);
    let _ = flow.take_changes();
    assert!(!flow.take_changes().coalescable);
    assert_eq!(flow.next_deadline(), Some(Millis(H)));
    assert_eq!(flow.tick(at(H)), []);
    assert!(flow.take_changes().coalescable);
    let own = flow.own_payment(at(H)).unwrap();
    assert_eq!((own.announced_total, own.local_sum), (Rate(260), Rate(160)), "A − B = C_j");
}

#[test]
fn r002_where_configured_a_next_hop_that_keeps_lying_is_named_for_removal() {
    for refuse in [false, true] {
        let said = dcpe(100, 0, UNIX);
        let mut flow = flow_with(audited(refuse), &said, &[(1, 60)]);
        let lie = report(1, 300, 100);
        assert_eq!(flow.on_ucpe(at(0), key(1), &lie), new());
        refreshed(&mut flow, &said, &lie, 1, 3 * H - 1);
        let named = if refuse { vec![Happening::Inconsistent(key(1))] } else { vec![] };
        assert_eq!(flow.tick(at(3 * H)), named);
        assert_eq!(flow.tick(at(3 * H + 1)), named, "until it is gone");
    }
}

#[test]
fn r002_a_price_above_its_own_maximum_is_told_and_refused_only_while_the_old_one_is_valid() {
    let said = dcpe(100, 0, UNIX);
    let raised = Announcement { total: Rate(121), ..dcpe(100, 0, UNIX + 1) };
    let lawful = Announcement { total: Rate(120), ..dcpe(100, 0, UNIX + 1) };
    for refuse in [false, true] {
        let mut flow = flow_with(audited(refuse), &said, &[(1, 60)]);
        assert_eq!(
            flow.on_dcpe(at(1_000), &raised),
            Ok(Heard::Inconsistent { how: Inconsistency::AboveMaximum, taken: !refuse })
        );
        let total = if refuse { 100 } else { 121 };
        assert_eq!(flow.downstream().unwrap().total, Rate(total));
        let mut flow = flow_with(audited(refuse), &said, &[(1, 60)]);
        assert_eq!(flow.on_dcpe(at(1_000), &lawful), Ok(Heard::Changed), "M = 120");
        let mut flow = flow_with(audited(refuse), &said, &[(1, 60)]);
        assert_eq!(flow.on_dcpe(at(600_001), &raised), Ok(Heard::Changed), "it was not valid");
        assert_eq!(flow.downstream().unwrap().total, Rate(121));
    }
}

#[test]
fn r002_another_content_under_an_old_epoch_is_told_and_as_configured_not_taken() {
    let said = dcpe(100, 0, UNIX);
    for (refuse, total) in [(false, 110), (true, 100)] {
        let mut flow = flow_with(audited(refuse), &said, &[(1, 60)]);
        assert_eq!(
            flow.on_dcpe(at(1), &dcpe(110, 0, UNIX)),
            Ok(Heard::Inconsistent { how: Inconsistency::EpochReused, taken: !refuse })
        );
        assert_eq!(flow.downstream().unwrap().total, Rate(total));
    }
    // Which way the PATH came is nothing that the neighbour said.
    let mut flow = flow_with(audited(true), &said, &[(1, 60)]);
    let past_another = Announcement { flags: 2, ..said };
    assert_eq!(flow.on_dcpe(at(1), &past_another), Ok(Heard::Changed));
}

fn limits(per_receiver: Option<u64>, per_hop: Option<u64>) -> Limits {
    let [per_receiver, per_hop] = [per_receiver, per_hop].map(|limit| limit.map(Rate));
    Limits { per_receiver, per_hop, max_hops: None }
}

#[test]
fn r086_limits_are_echoed_at_their_worst_and_compared() {
    let told = limits(Some(50), Some(70));
    let said =
        Announcement { limits: Limits { max_hops: Some(9), ..told }, ..dcpe(100, 300_000, UNIX) };
    let worst = [
        (told, told),
        (limits(Some(90), Some(70)), limits(Some(90), Some(70))),
        (limits(None, Some(70)), limits(None, Some(70))),
        // Who heard of less harms itself, and nothing is to be told of it above.
        (limits(Some(50), Some(10)), told),
    ];
    for (echoed, own_echo) in worst {
        let mut flow = flow_with(audited(true), &said, &[(1, 60), (2, 40)]);
        let honest = Payment { limits: told, ..ucpe(160, 1, 1) };
        let fits = |payment: &Payment, c: u64| Payment {
            announced_total: Rate(c + 100),
            local_sum: Rate(100),
            ..payment.clone()
        };
        let _ = flow.on_ucpe(at(0), key(2), &fits(&honest, 140));
        let other = Payment { limits: echoed, ..ucpe(160, 1, 1) };
        let c = flow.quote(1).unwrap().total.0;
        let _ = flow.on_ucpe(at(0), key(1), &fits(&other, c));
        let c = flow.branch(key(2)).unwrap().total.0;
        let honest = Payment { sequence: 2, ..fits(&honest, c) };
        for t in (1..=4 * H).step_by(15_000) {
            let _ = flow.on_dcpe(at(t), &said);
            let epoch_echo = flow.quote_for(key(1)).unwrap().epoch;
            let _ = (
                flow.on_ucpe(at(t), key(1), &Payment { epoch_echo, ..fits(&other, 110) }),
                flow.on_ucpe(at(t), key(2), &honest),
            );
            assert_eq!(flow.tick(at(t)), [], "limits are never a reason to refuse a neighbour");
        }
        assert_eq!(flow.own_payment(at(4 * H)).unwrap().limits, own_echo);
        let findings = flow.take_findings();
        if echoed == told {
            assert_eq!(findings, []);
        } else {
            let mismatch = Some(Mismatch::Limits { announced: told, echoed });
            assert_eq!(
                findings,
                [Finding { key: key(1), about: Doubt::Limits, raised: true, mismatch }]
            );
        }
    }
}

#[test]
fn r086_an_echo_that_changes_is_told_upwards_and_none_is_sent_without_limits() {
    let told = limits(Some(50), None);
    let said = Announcement { limits: told, ..dcpe(100, 300_000, UNIX) };
    let mut flow = flow_with(audited(false), &said, &[(1, 60)]);
    let _ = flow.on_ucpe(at(0), key(1), &Payment { limits: told, ..ucpe(160, 1, 1) });
    assert_eq!(flow.own_payment(at(0)).unwrap().limits, told);
    assert!(!flow.take_changes().coalescable);
    let more = limits(Some(60), None);
    let _ = flow.on_ucpe(at(1), key(1), &Payment { limits: more, ..ucpe(160, 1, 1) });
    assert!(flow.take_changes().coalescable);
    assert_eq!(flow.own_payment(at(1)).unwrap().limits, more);
    let mut flow = flow_with(audited(false), &dcpe(100, 300_000, UNIX), &[(1, 60)]);
    let _ = flow.on_ucpe(at(0), key(1), &ucpe(160, 1, 1));
    assert_eq!(flow.own_payment(at(0)).unwrap().limits, Limits::default());
}

#[test]
fn r085_where_the_sender_is_refused_its_side_pays_nothing_more_below() {
    let said = dcpe(100, 300_000, UNIX);
    let mut flow = flow_with(audited(false), &said, &[(1, 60), (2, 40)]);
    let _ = (
        flow.on_ucpe(at(0), key(1), &ucpe(160, 1, 1)),
        flow.on_ucpe(at(0), key(2), &ucpe(160, 1, 1)),
    );
    let _ = flow.take_changes();
    assert!(flow.on_sender_refused(at(1), 1));
    assert!(!flow.on_sender_refused(at(2), 1), "it pays nothing there already");
    assert_eq!(flow.take_changes().groups[..], [1]);
    let (cut, whole) = (flow.quote(1).unwrap(), flow.quote(2).unwrap());
    // S_j = 30 of C_j = 100: half of it goes on with each half of C_j.
    assert_eq!((cut.fraction, cut.sponsored, cut.total), (Ppm::ZERO, Rate(15), Rate(110)));
    assert_eq!(cut.sponsored_tlv(), Some(Rate(15)));
    assert_eq!((whole.fraction.get(), whole.sponsored, whole.total), (300_000, Rate(27), Rate(90)));
    // The same account at other terms may be welcome.
    let _ = flow.on_dcpe(at(3), &dcpe(100, 200_000, UNIX + 1));
    assert_eq!(flow.quote(1).unwrap().fraction.get(), 200_000);
}
