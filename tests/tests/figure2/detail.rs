//! Where charges arise, told on the real kernel to the receivers that ask.

use lcm_daemon::demo::stage::{Extra, Setup};
use lcm_tests::harness::TestResult;
use serde_json::{Value, json};

use crate::support::golden::{self, A};
use crate::support::play::{self, Play};
use crate::support::programs::{self, lcmctl, succeed, text};

/// IS2 tells of itself only, and the others all that they know.
pub(crate) fn told_to_receivers() -> TestResult {
    let folder = tempfile::tempdir()?;
    let tells = |policy: &str| Extra {
        charging: format!("hop_record = \"{policy}\"\n"),
        ..Extra::default()
    };
    let extra = [("IS1", "all"), ("IS2", "own"), ("IS3", "all")];
    let extra = extra.map(|(name, policy)| (name.to_owned(), tells(policy))).into();
    let books = Some(folder.path().to_owned());
    let mut play = Play::start(Setup { books, extra, ..play::figure() })?;
    play.send()?;
    let session = play.stage.session()?.destination.to_string();
    for receiver in ["R1", "R2"] {
        succeed(&play, receiver, &["receive", &session, "--detail", "hops", "--detach"])?;
    }
    golden::wait_case(&mut play, A)?;
    for (receiver, rates) in [("R1", json!([50, 40])), ("R2", json!([50, 60, 50]))] {
        let parts = play.wait("records of all hops", |play| {
            let shown = programs::json(play, receiver, &["show", "sessions"]);
            let shown = shown.map_err(|error| error.to_string())?;
            let parts = shown[0]["senders"][0]["charging"]["arises"].clone();
            let all = parts.as_array().into_iter().flatten();
            let seen: Vec<Value> = all.map(|part| part["rate"].clone()).collect();
            if Value::from(seen) == rates { Ok(parts) } else { Err(parts.to_string()) }
        })?;
        assert_eq!(parts[0]["hop"], Value::Null, "what IS1 asks is not told: {parts}");
        assert!(parts[1]["hop"].is_string(), "{parts}");
        let table = succeed(&play, receiver, &["show", "sessions"])?;
        assert!(table.contains("not told") && table.contains("ARISES AT"), "{table}");
    }
    drop(play);
    let books = folder.path().join("IS3/ledger");
    let output = lcmctl(&["ledger", "export", "--what", "records", "--format", "jsonl"])
        .arg(&books)
        .output()?;
    let told: Vec<&str> =
        text(&output.stdout).lines().filter(|line| line.contains("\"arises\"")).collect();
    let last: Value = serde_json::from_str(told.last().ok_or("nothing is written down")?)?;
    let parts = last["parts"].as_str().ok_or("no parts")?;
    assert!(parts.starts_with("-=50 10.") && parts.ends_with("=50"), "{parts}");
    let sound = lcmctl(&["ledger", "verify"]).arg(&books).output()?;
    assert!(sound.status.success(), "{}", text(&sound.stderr));
    Ok(())
}
