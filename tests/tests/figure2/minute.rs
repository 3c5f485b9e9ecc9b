//! A minute of the demo, and the statements of all customers and neighbours that it ends in.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};

use lcm_daemon::ledger::record::Payment;
use lcm_daemon::ledger::replay::Account;
use lcm_daemon::ledger::verify::{Expected, verify};
use lcm_daemon::purse::Holder;
use lcm_tests::harness::TestResult;
use serde_json::Value;

use crate::demo::{findings, scratch};
use crate::support::golden::{A, B, C};
use crate::support::programs::{lcmctl, text};

const PROVIDERS: [&str; 3] = ["IS1", "IS2", "IS3"];
/// For how long each phase is metered, and how much longer all three may take to come about.
const PHASE_S: i128 = 20;
const BETWEEN_MS: i128 = 20_000;
/// The figure's prices, but in 10⁻³ currency units per second, so that a minute costs some money.
const SCALE: i128 = 1_000_000_000;
const PRICES: [&str; 5] = [
    "--price=IS1-IS2=100000000000",
    "--price=IS2-IS3=60000000000",
    "--price=IS2-R1=40000000000",
    "--price=IS3-R2=50000000000",
    "--raised=60000000000",
];
/// Whose statements are kept, and who draws them.
const KEPT: [(&str, &str, &str); 4] = [
    ("customer", "IS3", "nai:R2@figure2.example"),
    ("sender", "IS1", "neighbour:10.0.1.1"),
    ("provider", "IS1", "nai:IS2@figure2.example"),
    ("owed", "IS1", "neighbour:10.0.2.2"),
];

/// The books of the demo.
struct Books(PathBuf);

impl Books {
    fn of(&self, node: &str) -> PathBuf {
        self.0.join(node).join("ledger")
    }

    fn lcmctl(&self, node: &str, words: &[&str]) -> Result<String, Box<dyn Error>> {
        let output = lcmctl(words).arg(self.of(node)).output()?;
        let said = text(&output.stderr);
        assert!(output.status.success(), "{node}: {words:?}: {said}");
        Ok(text(&output.stdout).to_owned())
    }

    /// The statement of the period for somebody.
    fn statement(
        &self,
        node: &str,
        who: &str,
        format: &str,
        detail: &str,
    ) -> Result<String, Box<dyn Error>> {
        let words = ["statement", who, "--period", "1", "--format", format, "--detail", detail];
        self.lcmctl(node, &[&words[..], &["--ledger"]].concat())
    }

    /// The same in all detail, whose sums are found to be those of their parts.
    fn summed(&self, node: &str, who: &str) -> Result<Sums, Box<dyn Error>> {
        let drawn: Value = serde_json::from_str(&self.statement(node, who, "json", "2")?)?;
        let mut sums = Sums::default();
        for session in list(&drawn["statement"]["sessions"]) {
            let mut of_flows = Sums::default();
            for flow in list(&session["flows"]) {
                let own = Sums::of(flow)?;
                let mut segments = 0;
                for segment in list(&flow["segments"]) {
                    let ms = i128::from(segment["ms"].as_i64().ok_or("no time")?);
                    let rate = i128::from(segment["rate"].as_u64().ok_or("no rate")?);
                    let due = amount(&segment["amount"])?;
                    assert_eq!(due.abs(), rate * ms, "{node}, {who}: {segment}");
                    segments += due;
                }
                assert_eq!(segments, own.total, "{node}, {who}: {flow}");
                of_flows = of_flows.plus(own);
            }
            assert_eq!(of_flows, Sums::of(session)?, "{node}, {who}");
            sums = sums.plus(of_flows);
        }
        let total = &drawn["total"];
        let exact = amount(&total["exact"])?;
        assert_eq!(exact, sums.total, "{node}, {who}");
        // Cents.
        let net = amount(&total["net"])? * 10_000_000_000_000;
        assert_eq!(net + amount(&total["carried_out"])?, exact, "{node}, {who}: {total}");
        Ok(sums)
    }

    /// All who paid a node or were paid, by its books, and what it earned.
    fn earned(&self, node: &str) -> Result<(BTreeSet<Holder>, i128), Box<dyn Error>> {
        let replay = verify(&self.of(node), Expected::default())?.replay;
        let (mut holders, mut own) = (BTreeSet::new(), 0);
        for (account, balance) in replay.accounts() {
            match account {
                Account::Own(_) => own += balance,
                Account::Neighbour(neighbour, None) => {
                    holders.insert(Holder::Neighbour(neighbour.address));
                }
                Account::Neighbour(_, Some(named)) => {
                    holders.insert(Holder::Customer(named.clone()));
                }
            }
        }
        Ok((holders, own))
    }
}

/// What a statement, or a part of it, comes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sums {
    receiver: i128,
    sender: i128,
    ours: i128,
    total: i128,
}

impl Sums {
    fn of(line: &Value) -> Result<Sums, Box<dyn Error>> {
        // A session has the sender's share, a flow what of it was shared.
        let sender = if line["shared"].is_null() { &line["sender"] } else { &line["shared"] };
        let [receiver, sender, ours] = [&line["receiver"], sender, &line["ours"]].map(amount);
        Ok(Sums {
            receiver: receiver?,
            sender: sender?,
            ours: ours?,
            total: amount(&line["total"])?,
        })
    }

    fn plus(self, other: Sums) -> Sums {
        Sums {
            receiver: self.receiver + other.receiver,
            sender: self.sender + other.sender,
            ours: self.ours + other.ours,
            total: self.total + other.total,
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn amount(value: &Value) -> Result<i128, Box<dyn Error>> {
    Ok(value.as_str().ok_or_else(|| format!("{value} is no amount"))?.parse()?)
}

pub(crate) fn billed() -> TestResult {
    let dir = scratch("minute")?;
    let (keep, phase) = (dir.to_str().ok_or("a path that is not UTF-8")?, PHASE_S.to_string());
    let words = [&["--keep", keep, "--phase-s", &phase][..], &PRICES].concat();
    let findings = findings(&words)?;
    let books = Books(dir);
    for node in PROVIDERS {
        let closed = books.lcmctl(node, &["ledger", "close-period"])?;
        assert!(closed.contains('1'), "{node}: {closed}");
    }
    add_up(&books)?;
    // Each phase is metered at these rates by itself, and little more than all three is billed.
    let least: i128 = [A, C, B]
        .iter()
        .flat_map(|phase| PROVIDERS.map(|node| &findings[phase]["balances"][node]))
        .map(|rate| i128::from(rate.as_i64().unwrap_or(0)) * PHASE_S * 1_000)
        .sum();
    let customers = customers(&books)?;
    let most = least + 270 * SCALE * BETWEEN_MS;
    assert!(least > 0 && (least..most).contains(&customers), "{least}, {customers}, {most}");
    as_kept(&books)
}

/// What the customers owe: the sender, and both receivers.
fn customers(books: &Books) -> Result<i128, Box<dyn Error>> {
    let (all, _) = books.earned("IS1")?;
    let mut sender = 0;
    for holder in all {
        sender += books.summed("IS1", &holder.to_string())?.sender;
    }
    let r1 = books.summed("IS2", "nai:R1@figure2.example")?;
    let r2 = books.summed("IS3", "nai:R2@figure2.example")?;
    assert!(sender > 0 && r1.total > 0 && r2.total > r1.total);
    assert_eq!((r1.sender, r1.ours, r2.sender, r2.ours), (0, 0, 0, 0));
    Ok(sender + r1.total + r2.total)
}

/// Of each provider the statements of all its customers and neighbours come to what it earned; and where each payment
/// counts as the one metered it who is paid, all providers together earned what customers owe.
fn add_up(books: &Books) -> TestResult {
    let (mut received, mut passed_on) = (0, 0);
    for node in PROVIDERS {
        let (holders, own) = books.earned(node)?;
        let mut all = Sums::default();
        for holder in holders {
            all = all.plus(books.summed(node, &holder.to_string())?);
        }
        assert!(own > 0 && all.total == own, "{node}: statements of {all:?}, and {own} earned");
        received += all.receiver + all.sender;
    }
    // Providers that pay providers: receivers' shares upwards, the sender's downwards.
    for (node, who) in [("IS1", "nai:IS2@figure2.example"), ("IS2", "nai:IS3@figure2.example")] {
        passed_on += books.summed(node, who)?.receiver;
    }
    for node in ["IS2", "IS3"] {
        let replay = verify(&books.of(node), Expected::default())?.replay;
        let of_senders = |(account, balance): (&Account, i128)| {
            (*account == Account::Own(Payment::SenderIn)).then_some(balance)
        };
        passed_on += replay.accounts().find_map(of_senders).unwrap_or(0);
    }
    let owed = customers(books)?;
    assert_eq!(owed, received - passed_on, "what customers owe, and what providers earn");
    Ok(())
}

/// Each format is as it was kept, but for numbers, which no two minutes have in common.
fn as_kept(books: &Books) -> TestResult {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/figure2");
    for (name, node, who) in KEPT {
        for (format, ending) in
            [("text", "txt"), ("json", "json"), ("csv", "csv"), ("html", "html")]
        {
            let drawn = numberless(&books.statement(node, who, format, "0")?);
            let file = kept.join(format!("{name}.{ending}"));
            if std::env::var_os("KEEP_GOLDEN").is_some() {
                std::fs::create_dir_all(&kept)?;
                std::fs::write(&file, &drawn)?;
            }
            let golden = std::fs::read_to_string(&file).unwrap_or_default();
            assert_eq!(drawn, golden, "{name}.{ending}: look at it, then KEEP_GOLDEN=1");
        }
    }
    Ok(())
}

/// Numbers as `#` where they begin no word, without the sign of what is carried on or left over; columns
/// are one blank apart.
fn numberless(drawn: &str) -> String {
    let mut out = String::new();
    for line in drawn.lines() {
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        let indent = line.len() - line.trim_start().len();
        out.push_str(&" ".repeat(indent));
        let carried = ["carried", "left over", "Left over"].iter().any(|word| line.contains(word));
        let mut before = ' ';
        for character in words.join(" ").chars() {
            let sign = carried && character == '-';
            let counts = character.is_ascii_digit() && !before.is_ascii_alphanumeric();
            if counts && before != '#' {
                out.push('#');
            } else if !counts && !sign {
                out.push(character);
            }
            before = if counts { '#' } else { character };
        }
        out.push('\n');
    }
    out
}
