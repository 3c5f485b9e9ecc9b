//! A second Unix user at the control socket: who may read, credit and change prices, by the groups
//! that the kernel knows of it.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;

use lcm_daemon::demo::stage::Setup;
use lcm_tests::harness::TestResult;

use crate::support::play::{self, Play};
use crate::support::programs::{at_node, succeed, text};

const NODE: &str = "IS2";
const R1: &str = "nai:R1@figure2.example";
/// Nobody, who has no rights of its own.
const NOBODY: u32 = 65_534;
/// The group `root`, to which the socket belongs, and the group `daemon`.
const ROOT_GROUP: u32 = 0;
const DAEMON_GROUP: u32 = 1;

/// Whether other users than root are known here: not in a user namespace of one user.
pub(crate) fn has_users() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let fits = |line: &str| {
        let fields: Vec<u64> = line.split_whitespace().flat_map(str::parse).collect();
        matches!(fields[..], [0, _, count] if count > NOBODY.into())
    };
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    map.lines().any(fits) && groups.lines().any(|line| line.starts_with("daemon:x:1:"))
}

/// What `lcmctl` says to nobody with this primary group: what it printed, or why not.
pub(crate) fn as_nobody(
    play: &Play,
    group: u32,
    words: &[&str],
) -> Result<Result<String, String>, Box<dyn Error>> {
    let mut command = at_node(play, NODE, words)?;
    let output = command.uid(NOBODY).gid(group).output()?;
    let (out, err) = (text(&output.stdout).to_owned(), text(&output.stderr).to_owned());
    Ok(if output.status.success() { Ok(out) } else { Err(err) })
}

pub(crate) fn rights() -> TestResult {
    if !has_users() {
        eprintln!("skipped: there are no other users in this namespace; run it as root");
        return Ok(());
    }
    let books = tempfile::tempdir()?;
    let more = "\n[accounts]\n[billing]\n[control]\nread_groups = [\"root\", \"daemon\"]\n\
                credit_groups = [\"daemon\"]\nprice_groups = []\n";
    let more = BTreeMap::from([(NODE.to_owned(), more.to_owned())]);
    let setup = Setup { books: Some(books.path().to_owned()), more, ..play::figure() };
    let mut play = Play::start(setup)?;
    play.wait("the past to be read", |play| {
        succeed(play, NODE, &["account", "create", R1]).map_err(|e| e.to_string())
    })?;
    let ledger = books.path().join(NODE).join("ledger");
    let ledger = ledger.to_str().ok_or("a path")?;
    // Of the socket's group, it may open it, and read; nothing else.
    let listed = as_nobody(&play, ROOT_GROUP, &["account", "list"])??;
    assert!(listed.contains(R1), "{listed}");
    let why = |right: &str, setting: &str| {
        format!(
            "user nobody (uid 65534) may not {right}: that needs one of the groups daemon ({setting})"
        )
    };
    let credit = why(
        "open, credit, limit and close accounts, or correct and bill what was charged",
        "control.credit_groups",
    );
    let reason = ["--reason", "x", "--ledger", ledger];
    for words in [
        &["account", "create", "nai:x@example.net"][..],
        &["account", "credit", R1, "1"],
        &["account", "limit", R1, "--credit-limit", "5"],
        &["account", "close", R1],
        &[&["refund", "1", "all"][..], &reason].concat(),
        &[&["dispute", "open", "1"][..], &reason].concat(),
        &["bill", "issue", "--ledger", ledger],
    ] {
        let refused = as_nobody(&play, ROOT_GROUP, words)?.unwrap_err();
        assert!(refused.contains(&credit), "{words:?}: {refused}");
    }
    // Prices are root's alone, also to who may credit.
    set_permissions(play.stage.socket(NODE)?, Permissions::from_mode(0o666))?;
    for group in [ROOT_GROUP, DAEMON_GROUP] {
        for words in [
            &["price", "to-R1", "5"][..],
            &["refresh", "to-R1", "5000"],
            &["drain", "--detach"],
            &["ledger", "close-period", ledger],
        ] {
            let refused = as_nobody(&play, group, words)?.unwrap_err();
            let only = "only root may (control.price_groups)";
            assert!(refused.contains(only), "{words:?}: {refused}");
        }
    }
    as_nobody(&play, DAEMON_GROUP, &["account", "credit", R1, "0.5", "--reason", "cash"])??;
    let none = as_nobody(&play, DAEMON_GROUP, &["bill", "issue", "--ledger", ledger])??;
    assert!(none.contains("close a period first"), "{none}");
    let shown = as_nobody(&play, DAEMON_GROUP, &["account", "show", R1])??;
    assert!(shown.contains("balance    0.50 EUR"), "{shown}");
    // What it ordered is in the books under its name.
    let records = succeed(
        &play,
        NODE,
        &["ledger", "export", "--format", "jsonl", "--what", "records", ledger],
    )?;
    assert!(records.contains("\"uid\":65534,\"action\":\"credited account"), "{records}");
    // A socket that it may not open, and books that it may not read.
    set_permissions(play.stage.socket(NODE)?, Permissions::from_mode(0o600))?;
    let closed = as_nobody(&play, ROOT_GROUP, &["account", "list"])?.unwrap_err();
    assert!(closed.contains("may you open it?"), "{closed}");
    set_permissions(books.path(), Permissions::from_mode(0o700))?;
    let unread = as_nobody(&play, ROOT_GROUP, &["statement", R1, "--ledger", ledger])?;
    assert!(unread.clone().unwrap_err().contains("as a user who may read the books"), "{unread:?}");
    Ok(())
}
