//! `lcmctl notes` beside the daemons of the figure: their notes agree, and one that was altered
//! does not.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use lcm_tests::harness::TestResult;

use crate::support::golden::{self, A};
use crate::support::play::{self, Play};
use crate::support::programs::{lcmctl, run, succeed, text};

/// Status and output of a comparison of these nodes' notes.
fn compare(folder: &Path, names: &[&str]) -> Result<(Option<i32>, String), Box<dyn Error>> {
    let files: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
    let output = lcmctl(&["notes", "compare"]).args(files).output()?;
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    Ok((output.status.code(), said))
}

pub(crate) fn compared() -> TestResult {
    let mut play = Play::start(play::figure())?;
    play.send()?;
    play.stage.receive("R1", None)?;
    play.stage.receive("R2", None)?;
    golden::wait_case(&mut play, A)?;
    let session = play.stage.session()?.destination.to_string();
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let names = ["S", "IS1", "IS2", "IS3", "R1", "R2"];
    let take = |play: &Play| -> Result<(), Box<dyn Error>> {
        for name in names {
            let note = succeed(play, name, &["notes", "take", "--name", name, &session])?;
            fs::write(folder.join(name), note)?;
        }
        Ok(())
    };
    // What crosses the links is right; all nodes come to say so.
    play.wait("notes that agree", |play| {
        take(play).map_err(|error| error.to_string())?;
        match compare(folder, &names).map_err(|error| error.to_string())? {
            (Some(0), _) => Ok(()),
            (_, said) => Err(said),
        }
    })?;
    let (status, said) = compare(folder, &["S", "R1", "R2"])?;
    assert_eq!(status, Some(0), "{said}");
    for row in ["receivers                       2              2", "250            250"] {
        assert!(said.contains(row), "{row:?} is not in\n{said}");
    }
    let (status, said) = compare(folder, &["S", "R1"])?;
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("ask the others for their notes"), "{said}");

    // R1 says that it heard more than IS2 announced.
    let honest = fs::read_to_string(folder.join("R1"))?;
    let mut note: serde_json::Value = serde_json::from_str(&honest)?;
    assert_eq!(note["senders"][0]["heard"]["total"], 90, "{note}");
    note["senders"][0]["heard"]["total"] = 120.into();
    fs::write(folder.join("R1"), note.to_string())?;
    let (status, said) = compare(folder, &names)?;
    assert_eq!(status, Some(1), "{said}");
    let told =
        "on the link IS2 - R1: the charge announced (C) is 90 as IS2 announced and 120 as R1 heard";
    assert!(said.contains(told), "{said}");
    let json = lcmctl(&["notes", "compare", "--json"])
        .args([folder.join("R1"), folder.join("IS2")])
        .output()?;
    let report: serde_json::Value = serde_json::from_slice(&json.stdout)?;
    assert_eq!(json.status.code(), Some(1), "{report}");
    assert_eq!(report["verdict"], "differ");
    assert_eq!(report["senders"][0]["findings"][0]["difference"], -30, "{report}");

    fs::write(folder.join("R1"), &honest[..honest.len() / 2])?;
    let (status, said) = compare(folder, &names)?;
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("R1: not a note"), "{said}");
    let (status, said) = compare(folder, &["S", "nobody"])?;
    assert_eq!(status, Some(2), "{said}");
    let unknown = run(&play, "R1", &["notes", "take", "239.9.9.9:9"])?;
    assert_eq!(unknown.status.code(), Some(1));
    let said = text(&unknown.stderr);
    assert!(said.contains("nothing is charged for 239.9.9.9:9 here"), "{said}");
    Ok(())
}
