//! Notes by hand: what is damaged, missing, old or of something else.

use super::*;

/// S - H - R: H adds 40, of which the sender covers a quarter.
fn three() -> Vec<Note> {
    let told = |hop: &str, total, sponsored| Announced {
        hop: hop.parse().unwrap(),
        total,
        sponsored,
        fraction_ppm: 250_000,
        epoch: 1_000,
    };
    let paid = |by: &str, status: &str| Paid {
        by: by.parse().unwrap(),
        ends: false,
        status: status.to_owned(),
        local_price: 0,
        total: 0,
        sponsored: 0,
        debited: 0,
        announced_total: 40,
        local_sum: 40,
        sender_payment: 10,
        receivers: 1,
        sequence: 1_000,
    };
    let by_hop = Paid {
        local_price: 40,
        total: 40,
        sponsored: 10,
        debited: 30,
        local_sum: 0,
        sender_payment: 0,
        ..paid("10.0.2.2", "ACTIVE")
    };
    let pays = |total, sponsored, local_sum, sender_payment| Pays {
        total,
        sponsored,
        debited: total - sponsored,
        announced_total: 40,
        local_sum,
        sender_payment,
        receivers: 1,
        stands_in: 0,
        sequence: 1_000,
        unsaid: false,
    };
    let at_receiver =
        Paid { ends: true, by: "10.0.2.2".parse().unwrap(), local_price: 0, ..by_hop.clone() };
    vec![
        node(
            "S",
            &["10.0.1.1"],
            None,
            vec![told("10.0.1.2", 0, 0)],
            None,
            paid("10.0.1.2", "ACTIVE"),
        ),
        node(
            "H",
            &["10.0.1.2", "10.0.2.1"],
            Some(told("10.0.1.1", 0, 0)),
            vec![told("10.0.2.2", 40, 10)],
            Some(pays(0, 0, 40, 10)),
            by_hop,
        ),
        node(
            "R",
            &["10.0.2.2"],
            Some(told("10.0.2.1", 40, 10)),
            vec![],
            Some(pays(40, 10, 0, 0)),
            at_receiver,
        ),
    ]
}

fn node(
    name: &str,
    addresses: &[&str],
    heard: Option<Announced>,
    announced: Vec<Announced>,
    pays: Option<Pays>,
    paid: Paid,
) -> Note {
    Note {
        note: VERSION,
        name: name.to_owned(),
        taken: 10_000,
        refresh_ms: 30_000,
        currency: "EUR".to_owned(),
        session: session(5_000),
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        senders: vec![SenderNote {
            sender: SenderId { source: "10.0.1.1".parse().unwrap(), id: 4_000 },
            here: heard.is_none(),
            abroad: false,
            heard,
            announced,
            pays,
            paid: vec![paid],
        }],
    }
}

fn session(port: u16) -> SessionId {
    SessionId { destination: "239.1.2.3".parse().unwrap(), protocol: 17, port }
}

fn verdict(notes: &[Note]) -> Verdict {
    compare(notes, &Options::default()).verdict
}

/// The notes after a change of one of them.
fn with(index: usize, change: impl FnOnce(&mut Note)) -> Vec<Note> {
    let mut notes = three();
    change(&mut notes[index]);
    notes
}

#[test]
fn honest_notes_agree_in_every_order_with_and_without_the_hop_between() {
    let notes = three();
    assert_eq!(verdict(&notes), Verdict::Agree, "{}", compare(&notes, &Options::default()));
    let mut turned = notes.clone();
    turned.reverse();
    assert_eq!(verdict(&turned), Verdict::Agree);
    turned.remove(1);
    assert_eq!(verdict(&turned), Verdict::Agree, "without the hop");
}

#[test]
fn damaged_notes_are_refused_with_what_to_do() {
    let good = serde_json::to_string(&three()[1]).unwrap();
    assert_eq!(Note::read(&good).as_ref(), Ok(&three()[1]));
    // Cut anywhere, it is not read.
    for end in 0..good.len() {
        let error = Note::read(&good[..end]).unwrap_err();
        assert!(error.contains("take it anew") || error.contains("sent again"), "{error}");
    }
    for (from, to, expected) in [
        (r#""note":1"#, r#""note":2"#, "version 2"),
        (r#""note":1"#, r#""note":"1""#, "not a note"),
        (r#""note":1,"#, "", "not a note"),
        (r#""epoch":1000"#, r#""epoch":-1"#, "damaged"),
        (r#""taken""#, r#""token""#, "damaged"),
        (r#""total":40"#, r#""total":18446744073709551616"#, "damaged"),
        (r#""receivers":1"#, r#""receivers":1,"receiver":1"#, "damaged"),
        // What would be printed is looked at: notes come from strangers.
        (r#""name":"H""#, r#""name":"\u001b[2J""#, "name"),
        (r#""EUR""#, r#""E\nR""#, "currency"),
        (r#""ACTIVE""#, r#""ACTING""#, "no state"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        let error = Note::read(&bad).unwrap_err();
        assert!(error.contains(expected), "{to}: {error}");
    }
    assert!(Note::read("[]").unwrap_err().contains("not a note"));
}

/// The first finding of a comparison, in words.
fn told(notes: &[Note], options: &Options) -> String {
    let compared = compare(notes, options);
    assert_eq!(compared.verdict, Verdict::Differ, "{compared}");
    compared.senders[0].findings[0].to_string()
}

#[test]
fn the_same_message_told_in_two_ways_convicts_at_once() {
    let mut notes = with(2, |note| note.senders[0].heard.as_mut().unwrap().total = 70);
    // Nothing has settled: they were taken right after.
    notes.iter_mut().for_each(|note| note.taken = 1_001);
    assert_eq!(
        told(&notes, &Options::default()),
        "on the link H - R: the charge announced (C) is 40 as H announced and 70 as R heard: 30 \
         more below, each second"
    );
    // Of two announcements that prove nothing.
    notes[2].senders[0].heard.as_mut().unwrap().epoch += 1;
    assert_eq!(verdict(&notes), Verdict::Unclear);
}

#[test]
fn what_differs_without_a_message_in_common_must_have_settled() {
    let greedy = |taken: u32| {
        let mut notes = with(0, |note| note.senders[0].paid[0].sender_payment = 25);
        notes.remove(1);
        notes.iter_mut().for_each(|note| note.taken = taken);
        notes
    };
    // 5.25 · 30 s is 157 s.
    assert_eq!(verdict(&greedy(1_156)), Verdict::Unclear);
    assert_eq!(verdict(&greedy(1_157)), Verdict::Differ);
    let hasty = Options { settled_s: Some(20), ..Options::default() };
    assert_eq!(compare(&greedy(1_020), &hasty).verdict, Verdict::Differ);
    assert_eq!(compare(&greedy(1_019), &hasty).verdict, Verdict::Unclear);
    let text = compare(&greedy(1_156), &Options::default()).to_string();
    assert!(text.contains("That is no accusation") && text.contains("156 s"), "{text}");
    assert_eq!(
        told(&greedy(5_000), &Options::default()),
        "among the nodes that gave no note: below S -> 10.0.1.2; above 10.0.2.1 -> R: what is \
         taken from the sender (SP) is 25 as upstream of them and 10 as downstream of them: 15 \
         more above, each second"
    );
    // A number that runs ahead of the clock is one of now.
    let mut ahead = greedy(5_000);
    ahead[1].senders[0].pays.as_mut().unwrap().sequence = 9_000;
    assert_eq!(verdict(&ahead), Verdict::Unclear);
}

#[test]
fn a_note_that_does_not_add_up_names_its_node() {
    let notes = with(1, |note| note.senders[0].pays.as_mut().unwrap().sender_payment = 25);
    let compared = compare(&notes, &Options::default());
    let places: Vec<&Place> = compared.senders[0].findings.iter().map(|f| &f.place).collect();
    // Its story differs from the sender's, too.
    assert!(places.contains(&&Place::Inside("H".to_owned())), "{compared}");
    assert!(places.contains(&&Place::Link("S".to_owned(), "H".to_owned())), "{compared}");
    assert!(compared.to_string().contains("ask H for its journal"), "{compared}");
    // A charge that is passed on dearer than it was heard and priced.
    let notes = with(1, |note| note.senders[0].paid[0].local_price = 10);
    let compared = compare(&notes, &Options::default());
    assert_eq!(compared.verdict, Verdict::Differ, "{compared}");
    assert!(compared.senders[0].findings.iter().all(|f| f.place == Place::Inside("H".to_owned())));
}

#[test]
fn a_reservation_that_waits_is_no_difference() {
    for status in ["PENDING", "LAPSED"] {
        let notes = with(1, |note| status.clone_into(&mut note.senders[0].paid[0].status));
        assert_eq!(verdict(&notes), Verdict::Unclear, "{status}");
    }
    assert_eq!(
        verdict(&with(1, |n| n.senders[0].pays.as_mut().unwrap().unsaid = true)),
        Verdict::Unclear
    );
    assert_eq!(verdict(&with(2, |note| note.senders[0].pays = None)), Verdict::Unclear);
    assert_eq!(verdict(&with(1, |note| note.senders[0].paid.clear())), Verdict::Unclear);
}

#[test]
fn notes_that_are_not_of_one_thing_are_not_compared() {
    let other = with(2, |note| note.session = session(5_001));
    let compared = compare(&other, &Options::default());
    assert_eq!((compared.verdict, compared.session.clone()), (Verdict::Unclear, None));
    assert!(compared.to_string().contains("several sessions"), "{compared}");
    let stranger = with(2, |note| note.senders[0].sender.id = 4_001);
    assert_eq!(verdict(&stranger), Verdict::Unclear);
    let nobody = Options {
        sender: Some(SenderId { source: "10.9.9.9".parse().unwrap(), id: 1 }),
        ..Options::default()
    };
    assert_eq!(compare(&three(), &nobody).verdict, Verdict::Unclear);
    // A border: each side reckons in its own currency.
    let abroad = with(2, |note| {
        "USD".clone_into(&mut note.currency);
        note.senders[0].abroad = true;
    });
    assert_eq!(verdict(&abroad), Verdict::Unclear);
    assert_eq!(verdict(&[abroad[0].clone(), abroad[2].clone()]), Verdict::Unclear);
}

#[test]
fn of_several_notes_of_a_node_the_newest_counts() {
    let mut notes = three();
    let mut old = notes[2].clone();
    old.taken -= 100;
    old.senders[0].heard.as_mut().unwrap().total = 70;
    notes.insert(0, old.clone());
    notes.push(old);
    let compared = compare(&notes, &Options::default());
    assert_eq!((compared.verdict, compared.nodes.len()), (Verdict::Agree, 3), "{compared}");
    notes[0].name = "Q".to_owned();
    assert_eq!(verdict(&notes), Verdict::Unclear, "somebody else has that address");
    assert_eq!(verdict(&vec![notes[1].clone(); 3]), Verdict::Unclear, "one node alone");
}

#[test]
fn who_stands_in_for_absent_members_is_remarked_and_not_accused() {
    let mut notes = with(0, |note| {
        note.senders[0].paid[0].announced_total = 55;
        note.senders[0].paid[0].local_sum = 55;
    });
    notes.remove(1);
    let compared = compare(&notes, &Options::default());
    assert_eq!(compared.verdict, Verdict::Agree, "{compared}");
    assert!(compared.to_string().contains("REMARK"), "{compared}");
}

#[test]
fn the_largest_amounts_do_not_wrap() {
    let notes = with(1, |note| {
        let about = &mut note.senders[0];
        let most = Paid {
            local_price: u64::MAX,
            total: u64::MAX,
            sponsored: u64::MAX,
            announced_total: u64::MAX,
            local_sum: u64::MAX,
            sender_payment: u64::MAX,
            receivers: u32::MAX,
            ..about.paid[0].clone()
        };
        about.paid.resize(100, most);
    });
    let compared = compare(&notes, &Options::default());
    assert_eq!(compared.verdict, Verdict::Differ);
    assert!(serde_json::to_string(&compared).is_ok());
}
