//! Statements of the figure's network, from journals on disk: each format as it was kept, and what
//! customers owe is what providers earn.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use charging_model::Ppm;
use charging_model::tree::Tree;
use lcm_daemon::billing::{
    Query, Refused, Statement, Tax, Total, believe, bills, claim, csv, gather, html, issue, issued,
    json, reconcile, sign, text, total,
};
use lcm_daemon::config::{Billing, Config, HopRecords};
use lcm_daemon::ledger::amend::{AmendError, Correction, Ordered, Share, amend, evidence};
use lcm_daemon::ledger::journal::{Journal, Options as JournalOptions};
use lcm_daemon::ledger::record::{Body, Contra, Dispute, Payment, Period, Runs, Stamp, Started};
use lcm_daemon::ledger::replay::{Account, Open};
use lcm_daemon::ledger::verify::{Expected, verify};
use lcm_daemon::purse::Holder;
use lcm_tests::sim::{
    Kind, Net, NodeConfig, NodeId, Options, Topology, TreeNet, UNIX_START, reserve_up_to,
};
use rsvp_wire::object::Session;

use crate::support::link;

const NAMES: [&str; 6] = ["S", "IS1", "IS2", "IS3", "R1", "R2"];
const PROVIDERS: [NodeId; 3] = [1, 2, 3];
const R1: NodeId = 4;
const R2: NodeId = 5;
/// The price is that of the figure, but per second in 10⁻⁶ currency units, so that there is
/// something to round.
const SCALE: u64 = 1_000_000;

fn played() -> TreeNet {
    played_by(Options::default(), TreeNet::join)
}

/// The same where receivers join so.
fn played_by(options: Options, join: fn(&mut TreeNet, NodeId)) -> TreeNet {
    let price = |parent, local: u64, most: u64, receives| {
        link(parent, local * SCALE, most * SCALE, receives)
    };
    let tree = Tree {
        links: vec![
            link(0, 0, 0, false),
            price(1, 100, 120, false),
            price(2, 60, 70, false),
            price(2, 40, 80, true),
            price(3, 50, 60, true),
        ],
        fraction: Ppm::new(300_000).unwrap(),
        ..Tree::default()
    };
    let mut play = TreeNet::named(&tree, &NAMES, options, false);
    join(&mut play, R2);
    play.net.run_ms(20_000);
    join(&mut play, R1);
    play.net.run_ms(20_000);
    play.leave(R1);
    play.net.run_ms(20_000);
    play.leave(R2);
    play.net.run_ms(1_000);
    play
}

/// What a node wrote, as a journal on disk; its wall clock starts with the play.
fn write(play: &TreeNet, node: NodeId, dir: &Path, more: &[Body]) {
    write_changed(&play.net, (node, NAMES[node]), dir, Clone::clone, more);
}

pub(crate) fn write_changed(
    net: &Net,
    (node, name): (NodeId, &str),
    dir: &Path,
    change: impl Fn(&Body) -> Body,
    more: &[Body],
) {
    let begin = net.clock(node).at.as_millis() - net.now_us() / 1_000;
    let stamp =
        |at_ms: u64| Stamp { at_ms, wall_ms: u64::from(UNIX_START) * 1_000 + (at_ms - begin) };
    let mut journal = Journal::open(dir, JournalOptions::default()).unwrap();
    let started = Started {
        node: name.to_owned(),
        program: "test".to_owned(),
        boot: [1; 16],
        currency: 978,
        hold_ms: 0,
        stamp: stamp(begin),
    };
    journal.append(&Body::Started(started)).unwrap();
    for (_, body) in net.node(node).records() {
        journal.append(&change(body)).unwrap();
    }
    let end = stamp(net.clock(node).at.as_millis());
    journal.append(&Body::Alive(end)).unwrap();
    for body in more {
        journal.append(body).unwrap();
    }
    journal.append(&Body::Period(Period { number: 1, stamp: end })).unwrap();
    journal.sync().unwrap();
}

pub(crate) fn query(holder: Holder) -> Query {
    Query { holder, from_ms: None, to_ms: None, period: None, provisional: false, detail: 2 }
}

/// The holder that a node is to a neighbour.
fn neighbour(play: &TreeNet, who: NodeId, to: NodeId) -> Holder {
    let link = play.net.topology.between(who, to);
    Holder::Neighbour(play.net.topology.address_on(play.net.family(), who, link))
}

fn exact(statement: &Statement) -> i128 {
    total(statement, 0, &[]).exact
}

/// The statements of all who ever paid or were paid here.
fn drawn(dir: &Path) -> Vec<Statement> {
    let replay = verify(dir, Expected::default()).unwrap().replay;
    let holders: BTreeSet<Holder> = replay
        .accounts()
        .filter_map(|(account, _)| match account {
            Account::Own(_) => None,
            Account::Neighbour(neighbour, None) => Some(Holder::Neighbour(neighbour.address)),
            Account::Neighbour(_, Some(named)) => Some(Holder::Customer(named.clone())),
        })
        .collect();
    holders.into_iter().map(|holder| gather(dir, &query(holder)).unwrap()).collect()
}

/// What we earn by a segment that runs.
fn signed(open: &Open) -> i128 {
    match open.meter.payment {
        Payment::ReceiverIn | Payment::SenderIn => open.amount.cast_signed(),
        Payment::ReceiverOut | Payment::SenderOut => -open.amount.cast_signed(),
    }
}

fn paid_here(statement: &Statement) -> i128 {
    statement.sessions.iter().map(|line| line.receiver + line.sender).sum()
}

#[test]
fn r010_r011_what_customers_owe_is_what_providers_earn_to_the_unit() {
    let play = played();
    let dirs: Vec<tempfile::TempDir> = NAMES.iter().map(|_| tempfile::tempdir().unwrap()).collect();
    for node in PROVIDERS {
        write(&play, node, dirs[node].path(), &[]);
    }
    let own = |node: NodeId| drawn(dirs[node].path());
    // Each provider by its own journal: what it was paid, and what it passed on.
    let earned = PROVIDERS.map(|node| {
        let all = own(node);
        let lines = || all.iter().flat_map(|statement| &statement.sessions);
        let (received, ours): (i128, i128) = lines()
            .fold((0, 0), |(received, ours), l| (received + l.receiver + l.sender, ours + l.ours));
        // Whatever was posted is on one statement, and on one only.
        let arose = lines().flat_map(|line| &line.flows).find_map(|flow| flow.arose.clone());
        let arose = arose.unwrap();
        assert_eq!((received, -ours), (arose.received, arose.passed_on), "{}", NAMES[node]);
        let replay = verify(dirs[node].path(), Expected::default()).unwrap().replay;
        let balance = replay.accounts().filter(|(account, _)| matches!(account, Account::Own(_)));
        let running: i128 = replay.open().map(|open| signed(&open)).sum();
        let balance: i128 = balance.map(|(_, balance)| balance).sum();
        assert_eq!(received + ours, balance + running, "{}", NAMES[node]);
        received + ours
    });
    let owes = |who: NodeId, to: NodeId| {
        let address = neighbour(&play, who, to).to_string();
        let named = format!("opaque:{}", NAMES[who]);
        let all = own(to);
        let theirs = all.iter().filter(|drawn| drawn.account == address || drawn.account == named);
        theirs.map(paid_here).sum::<i128>()
    };
    let customers = owes(0, 1) + owes(R1, 2) + owes(R2, 3);
    assert!(customers > 0 && earned.iter().all(|earned| *earned > 0), "{earned:?}");
    // Who pays keeps a shadow of what who is paid meters: they differ by how long news take.
    let off = customers - earned.iter().sum::<i128>();
    assert!(off.abs() <= i128::from(SCALE) * 250 * 200, "{off}");
    // 60 s of R2 and IS1's and IS3's prices, 20 s of R1's: but for the time until they stand.
    let golden = 60 * 210 + 20 * 40;
    let off = customers - golden * i128::from(SCALE) * 1_000;
    assert!(off.abs() < i128::from(SCALE) * 250 * 2_000, "{customers}");
}

#[test]
fn r012_r013_statements_in_each_format_are_those_that_were_kept() {
    let play = played();
    let dir = tempfile::tempdir().unwrap();
    write(&play, 3, dir.path(), &[]);
    let vat = [Tax { name: "VAT".to_owned(), ppm: 190_000 }];
    let statement = gather(dir.path(), &query("opaque:R2".parse().unwrap())).unwrap();
    let due = total(&statement, 123, &vat);
    as_kept("R2", &statement, &due);
    let page = html(&statement, &due);
    for outside in ["<script", "src=", "href=", "url(", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
    // Where charges arose is hidden to who does not ask for it, and so are flows.
    let less = |detail| {
        let query = Query { detail, ..query("opaque:R2".parse().unwrap()) };
        gather(dir.path(), &query).unwrap()
    };
    assert!(less(1).sessions[0].flows[0].arose.is_none());
    assert!(less(0).sessions[0].flows.is_empty());
    assert_eq!(exact(&less(0)), exact(&statement));
}

/// R2 asked where its charges arise: each hop's part is on the statement, and they come to what it paid.
#[test]
fn r012_a_statement_at_detail_2_says_at_which_hops_charges_arose() {
    let config = NodeConfig { hop_record: HopRecords::All, ..NodeConfig::default() };
    let play = played_by(Options { config, ..Options::default() }, TreeNet::join_asking);
    let dir = tempfile::tempdir().unwrap();
    write(&play, 3, dir.path(), &[]);
    let holder: Holder = "opaque:R2".parse().unwrap();
    let statement = gather(dir.path(), &query(holder.clone())).unwrap();
    as_kept("R2-hops", &statement, &total(&statement, 0, &[]));
    let flow = &statement.sessions[0].flows[0];
    let hops = &flow.arose.as_ref().unwrap().hops;
    assert_eq!(hops.iter().map(|sum| sum.amount).sum::<i128>(), flow.receiver);
    let at = |node: NodeId| -> i128 {
        let family = play.net.family();
        let own = |link| play.net.topology.address_on(family, node, link);
        let owns = |hop| play.net.topology.links_of(node).any(|link| Some(own(link)) == hop);
        hops.iter().filter(|sum| owns(sum.hop)).map(|sum| sum.amount).sum()
    };
    // IS1's price is shared while R1 is there; 30 % is the sender's of all.
    let second = i128::from(SCALE) * 1_000 * 7 / 10;
    for (node, seconds) in [(1, 40 * 100 + 20 * 50), (2, 60 * 60), (3, 60 * 50)] {
        let off = at(node) - seconds * second;
        assert!(off.abs() < second * 250, "{}: {} off by {off}", NAMES[node], at(node));
    }
    // What was not told in the first moments is nobody's.
    let untold = hops.iter().filter(|sum| sum.hop.is_none()).map(|sum| sum.amount).sum::<i128>();
    assert!((0..second * 250).contains(&untold), "{untold}");
    // The bill of all says the same.
    let wall_ms = u64::from(UNIX_START) * 1_000 + 3_600_000;
    let all = issue(dir.path(), &billing(), "root", wall_ms).unwrap();
    let bill = all.iter().find(|bill| bill.holder == holder).unwrap();
    let (billed, _) = issued(dir.path(), &bill.to_string(), 2).unwrap();
    assert_eq!(billed.sessions[0].flows[0].arose, flow.arose);
    let less = Query { detail: 1, ..query(holder) };
    assert!(!json(&gather(dir.path(), &less).unwrap(), &total(&statement, 0, &[])).contains("hop"));
}

/// Each format is as it was kept.
fn as_kept(name: &str, statement: &Statement, due: &Total) {
    let kept = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/statement");
    for (ending, drawn) in [
        ("txt", text(statement, due)),
        ("json", json(statement, due)),
        ("csv", csv(statement, due)),
        ("html", html(statement, due)),
    ] {
        let file = kept.join(format!("{name}.{ending}"));
        if std::env::var_os("KEEP_GOLDEN").is_some() {
            std::fs::create_dir_all(&kept).unwrap();
            std::fs::write(&file, &drawn).unwrap();
        }
        if ending == "csv" {
            assert!(drawn.lines().all(|line| line.split(',').count() == 16), "{drawn}");
        }
        let golden = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(drawn, golden, "{name}.{ending}: look at it, then KEEP_GOLDEN=1");
    }
}

fn billing() -> Billing {
    let settings = "[ledger]\ndirectory = \"/books\"\n[billing]\nprefix = \"IS3\"\n\
                    issuer = [\"IS3 <Networks>\", \"1 Main Street\"]\n\
                    taxes = [{ name = \"VAT\", percent = \"19\", from = \"2020-01-01\" }]\n";
    Config::parse(settings, "test").unwrap().billing.unwrap()
}

#[test]
fn r010_r029_a_bill_and_its_credit_note_are_issued_once_and_drawn_as_they_were_kept() {
    let play = played();
    let dir = tempfile::tempdir().unwrap();
    write(&play, 3, dir.path(), &[]);
    let billing = billing();
    let wall_ms = u64::from(UNIX_START) * 1_000 + 3_600_000;
    let holder: Holder = "opaque:R2".parse().unwrap();
    let all = issue(dir.path(), &billing, "root", wall_ms).unwrap();
    // R2 pays IS3, and IS2's sender payments come over IS2.
    let bill = all.iter().find(|bill| bill.holder == holder).unwrap().clone();
    assert!(issue(dir.path(), &billing, "root", wall_ms).unwrap().is_empty(), "once");
    let statement = gather(dir.path(), &query(holder.clone())).unwrap();
    assert_eq!(bill.exact, exact(&statement), "a bill of all is the statement of all");
    let (drawn, due) = issued(dir.path(), &bill.to_string(), 1).unwrap();
    as_kept("bill", &drawn, &due);
    // All of it is given back: a credit note names the bill.
    let ordered = Ordered { by: "root".into(), reason: "noise".into(), wall_ms };
    for segment in &statement.sessions[0].flows[0].segments {
        let all = Correction::GiveBack(Share::All);
        amend(dir.path(), segment.record, &all, &ordered).unwrap();
    }
    let all = issue(dir.path(), &billing, "root", wall_ms).unwrap();
    let [credit] = &all[..] else { panic!("{all:?}") };
    assert_eq!((credit.exact, credit.net), (-bill.exact, -bill.net));
    assert_eq!((credit.carried_in, credit.carried_out), (bill.carried_out, 0));
    let (drawn, due) = issued(dir.path(), &credit.to_string(), 1).unwrap();
    let corrects = drawn.document.as_ref().and_then(|document| document.corrects.clone());
    assert_eq!(corrects, Some(bill.to_string()));
    as_kept("credit", &drawn, &due);
    // The bill is drawn as it was, whatever came after it.
    let (again, _) = issued(dir.path(), &bill.to_string(), 1).unwrap();
    assert_eq!(exact(&again), bill.exact);
    let (book, _) = bills(dir.path()).unwrap();
    assert!(book.to_bill().is_empty() && book.to_credit().is_empty());
    let unknown = issued(dir.path(), "IS3-2026-000099", 1).unwrap_err();
    assert!(unknown.to_string().contains("`lcmctl bill list`"), "{unknown}");
}

#[test]
fn adjacent_spans_add_up_and_open_ones_are_refused() {
    let play = played();
    let dir = tempfile::tempdir().unwrap();
    write(&play, 2, dir.path(), &[]);
    let holder = || "opaque:IS3".parse::<Holder>().unwrap();
    let whole = gather(dir.path(), &query(holder())).unwrap();
    let mut sum = 0;
    for pair in [0, 7_001, 20_000, 33_333, 61_000].windows(2) {
        let at = |ms| Some(u64::from(UNIX_START) * 1_000 + ms);
        let part = Query { from_ms: at(pair[0]), to_ms: at(pair[1]), ..query(holder()) };
        sum += exact(&gather(dir.path(), &part).unwrap());
    }
    assert_eq!(sum, exact(&whole));
    let beyond = Query { to_ms: Some(whole.to_ms + 1), ..query(holder()) };
    let refused = gather(dir.path(), &beyond).unwrap_err();
    assert!(matches!(refused, Refused::Open { last: Some((1, _)) }), "{refused}");
    assert!(refused.to_string().contains("--provisional"), "{refused}");
    let provisional = gather(dir.path(), &Query { provisional: true, ..beyond }).unwrap();
    assert!(provisional.provisional && exact(&provisional) == exact(&whole));
    let second = Query { period: Some(2), ..query(holder()) };
    assert!(matches!(gather(dir.path(), &second), Err(Refused::NoSuchPeriod(2))));
    let first = Query { period: Some(1), ..query(holder()) };
    assert_eq!(exact(&gather(dir.path(), &first).unwrap()), exact(&whole));
    let nobody = query("nai:nobody@example.net".parse().unwrap());
    assert!(matches!(gather(dir.path(), &nobody), Err(Refused::Nobody(_))));
}

#[test]
fn what_is_disputed_is_in_no_sum_and_refunds_are_lines() {
    let play = played();
    let plain = tempfile::tempdir().unwrap();
    write(&play, 2, plain.path(), &[]);
    let holder: Holder = "opaque:R1".parse().unwrap();
    let before = gather(plain.path(), &query(holder.clone())).unwrap();
    let segment = before.sessions[0].flows[0].segments[0].clone();
    let wall_ms = before.to_ms - 1;
    let by = || "root".to_owned();
    let half = segment.amount.unsigned_abs() / 2;
    let contra = Contra { of: segment.record, amount: half, by: by(), reason: by(), wall_ms };
    let dir = tempfile::tempdir().unwrap();
    write(&play, 2, dir.path(), &[Body::Contra(contra)]);
    let after = gather(dir.path(), &query(holder.clone())).unwrap();
    assert_eq!(exact(&before) - exact(&after), half.cast_signed());
    assert_eq!(after.sessions[0].refunds, -half.cast_signed());
    let reason = "never heard a word".to_owned();
    let dispute =
        Dispute { of: segment.record, open: true, by: by(), reason: reason.clone(), wall_ms };
    let dir = tempfile::tempdir().unwrap();
    write(&play, 2, dir.path(), &[Body::Dispute(dispute)]);
    let after = gather(dir.path(), &query(holder)).unwrap();
    assert_eq!(exact(&before) - exact(&after), segment.amount);
    assert_eq!((after.disputed[0].record, &after.disputed[0].reason), (segment.record, &reason));
}

/// S - A - R, five sessions of R for 20 s; A is paid and meters, R keeps a shadow.
fn five_sessions() -> Net {
    let mut t = Topology::default();
    for (name, kind) in [("S", Kind::Host), ("A", Kind::Router), ("R", Kind::Host)] {
        t.node(name, kind);
    }
    t.link(0, 1, (0, 0));
    t.link(1, 2, (SCALE, SCALE));
    let mut net = Net::new(t, Options::default());
    for number in 0..5 {
        let session = Session::new(net.address(2), 17, 7_000 + number);
        net.send(0, session, None);
        net.receive_as(2, reserve_up_to(session, None));
        net.run_ms(1_000);
    }
    net.run_ms(20_000);
    net
}

#[test]
fn settlement_of_two_ledgers_finds_the_very_session_that_they_differ_on() {
    let net = five_sessions();
    let [a, honest, wrong] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    write_changed(&net, (1, "A"), a.path(), Clone::clone, &[]);
    write_changed(&net, (2, "R"), honest.path(), Clone::clone, &[]);
    // R says that the third flow of its journal began five seconds later.
    let late = |body: &Body| match body {
        Body::Runs(runs) if runs.meter.payment == Payment::ReceiverOut && runs.meter.flow == 3 => {
            Body::Runs(Runs { at_ms: runs.at_ms + 5_000, ..runs.clone() })
        }
        other => other.clone(),
    };
    write_changed(&net, (2, "R"), wrong.path(), late, &[]);
    let link = net.topology.between(1, 2);
    let of = |node| net.topology.address_on(net.family(), node, link);
    let any = query(Holder::Neighbour(of(2)));
    let ours = claim(a.path(), of(2), &any).unwrap();
    let theirs = |dir: &Path| {
        let signed = sign(dir, claim(dir, of(1), &any).unwrap()).unwrap();
        believe(&serde_json::to_string(&signed).unwrap(), None).unwrap()
    };
    let settled = reconcile(&ours, &theirs(honest.path()), 200).unwrap();
    assert_eq!((settled.agreed, settled.differences.len()), (5, 0), "{settled:?}");
    let bill = gather(a.path(), &query("opaque:R".parse().unwrap())).unwrap();
    let exact: i128 = bill.sessions.iter().map(|s| s.total).sum();
    assert!(settled.due == exact && exact > 0, "{settled:?}");
    let settled = reconcile(&ours, &theirs(wrong.path()), 200).unwrap();
    assert_eq!((settled.agreed, settled.due), (4, exact));
    let [difference] = &settled.differences[..] else { panic!("{settled:?}") };
    assert!(difference.session.ends_with(":7002"), "{difference:?}");
    let short = difference.ours.amount - difference.theirs.amount;
    let five_seconds = i128::from(SCALE) * 5_000;
    assert!((short - five_seconds).abs() <= i128::from(SCALE) * 200, "{difference:?}");
    assert!(!difference.ours.records.is_empty() && !difference.theirs.records.is_empty());
    // The provider that is paid sees the same from its side, the other way round.
    let mirrored = reconcile(&theirs(wrong.path()), &ours, 200).unwrap();
    assert_eq!((mirrored.due, mirrored.differences.len()), (-exact, 1));
}

#[test]
fn a_dispute_is_written_once_with_its_evidence_and_leaves_the_journal_sound() {
    let net = five_sessions();
    let dir = tempfile::tempdir().unwrap();
    write_changed(&net, (1, "A"), dir.path(), Clone::clone, &[]);
    let holder: Holder = "opaque:R".parse().unwrap();
    let before = gather(dir.path(), &query(holder.clone())).unwrap();
    // What runs is no posting yet: end it by a stop.
    let running = before.sessions[0].flows[0].segments[0].record;
    let words = |text: &str| text.to_owned();
    let ordered = Ordered { by: words("root"), reason: words("silence"), wall_ms: 1 };
    let order = |dir: &Path, of, correction: Correction| amend(dir, of, &correction, &ordered);
    let refused = order(dir.path(), running, Correction::Dispute).unwrap_err();
    assert!(matches!(refused, AmendError::Fault(_)), "{refused}");
    assert!(refused.to_string().contains("lcmctl ledger export"), "{refused}");

    let stopped = tempfile::tempdir().unwrap();
    let mut net = net;
    let begin = net.clock(1).at.as_millis() - net.now_us() / 1_000;
    net.kill(2);
    net.run_ms(200_000);
    write_changed(&net, (1, "A"), stopped.path(), Clone::clone, &[]);
    assert!(begin > 0);
    let before = gather(stopped.path(), &query(holder.clone())).unwrap();
    let segment = before.sessions[2].flows[0].segments[0].clone();
    order(stopped.path(), segment.record, Correction::Dispute).unwrap();
    assert!(order(stopped.path(), segment.record, Correction::Dispute).is_err(), "once");
    // What was told in a period that is closed stays so.
    let closed = || exact(&gather(stopped.path(), &query(holder.clone())).unwrap());
    assert_eq!(closed(), exact(&before));
    let found = evidence(stopped.path(), segment.record).unwrap();
    let posting = found.posting.unwrap();
    assert_eq!(posting.amount.cast_signed(), segment.amount);
    let kinds = |wanted: fn(&Body) -> bool| found.records.iter().filter(|(_, b)| wanted(b)).count();
    assert_eq!(kinds(|body| matches!(body, Body::Flow(_))), 1);
    assert!(kinds(|body| matches!(body, Body::Consent(_))) >= 1);
    assert_eq!(kinds(|body| matches!(body, Body::Runs(_))), 2, "its beginning and its end");
    assert_eq!(kinds(|body| matches!(body, Body::Dispute(_))), 1);
    order(stopped.path(), segment.record, Correction::Resolve(None)).unwrap();
    assert_eq!(closed(), exact(&before));
    // Another time in favour of who disputed it: all is given back, and no more than that.
    order(stopped.path(), segment.record, Correction::Dispute).unwrap();
    let favour = Correction::Resolve(Some(Share::All));
    let done = order(stopped.path(), segment.record, favour).unwrap();
    assert_eq!(done.contra.unwrap().0.amount.cast_signed(), segment.amount);
    assert_eq!(closed(), exact(&before));
    let later = Query { provisional: true, ..query(holder.clone()) };
    let given = gather(stopped.path(), &later).unwrap();
    assert_eq!(exact(&before) - exact(&given), segment.amount);
    let more = Correction::GiveBack(Share::All);
    let refused = order(stopped.path(), segment.record, more).unwrap_err();
    assert!(refused.to_string().contains("nothing is left"), "{refused}");
}
