//! The suite is worth what it finds: cases that do not hold must fail, where they do not hold.

use std::path::Path;

use libtest_mimic::{Failed, Trial};

use super::case::Case;
use super::{root, run};

/// A case of which all is true.
const TRUE: &str = "rule: RFC 2205 section 0: true
include router
1 recv on eth0 $PATH
2 expect send on eth1 PATH $S hop 10.1.0.1/2 $A
3 expect path 10.8.0.1:4000 phop 10.0.0.2 in eth0 out eth1 expires-in 157.5s
4 recv on eth1 $RESV
5 expect send to 10.0.0.2 RESV $S hop 10.0.0.1/7 style FF flowspec 1000/500 filter 10.8.0.1:4000
6 expect reservation for 10.8.0.1:4000 on eth1 from 10.1.0.2 style FF rate 1000
7 advance to 50s ignoring messages
8 expect nothing
9 expect path 10.8.0.1:4000
10 recv on eth0 $PATH but checksum bad
11 expect counted malformed bad_checksum
";

/// Changes to one line of it, each of which makes it false, with the step that must say so.
const FALSE: &[(&str, &str, usize)] = &[
    ("2 expect send on eth1", "2 expect send on eth2", 2),
    ("hop 10.1.0.1/2", "hop 10.1.0.1/3", 2),
    ("hop 10.1.0.1/2 $A", "hop 10.1.0.1/2 $B", 2),
    ("2 expect send on eth1 PATH $S hop 10.1.0.1/2 $A", "2 expect nothing", 2),
    ("2 expect send on eth1 PATH", "2 expect send on eth1 PATH no tspec", 2),
    ("2 expect send on eth1 PATH", "2 expect send on eth1 PATH only", 2),
    ("2 expect send on eth1 PATH", "2 expect send on eth1 PATH ttl 64", 2),
    ("2 expect send on eth1 PATH", "2 expect send when 1s..2s on eth1 PATH", 2),
    ("phop 10.0.0.2", "phop 10.0.0.3", 3),
    ("expires-in 157.5s", "expires-in 157s", 3),
    ("3 expect path 10.8.0.1:4000 phop", "3 expect path 10.8.0.1:4001 phop", 3),
    ("3 expect path", "3 expect no path 10.8.0.1:4000 # ", 3),
    ("flowspec 1000/500", "flowspec 1000/501", 5),
    ("5 expect send", "5 expect path 10.8.0.1:4000 in eth0 # ", 7),
    ("rate 1000", "rate 1001", 6),
    ("ignoring messages", "ignoring PATH", 8),
    ("but checksum bad", "but checksum none", 11),
    ("7 advance to 50s", "7 advance to 160s", 9),
    ("11 expect counted malformed bad_checksum", "11 expect no state", 11),
];

pub(crate) fn trials() -> Vec<Trial> {
    vec![Trial::test("what_is_not_so_fails", || what_is_not_so_fails().map_err(Failed::from))]
}

fn what_is_not_so_fails() -> Result<(), String> {
    let setups = root().join("setups");
    play(TRUE, &setups).map_err(|(step, what)| format!("{step}: {what}"))?;
    for (from, to, step) in FALSE {
        let text = TRUE.replacen(from, to, 1);
        if text == TRUE {
            return Err(format!("`{from}` is not in the case"));
        }
        match play(&text, &setups) {
            Err((failed, _)) if failed == *step => {}
            other => return Err(format!("`{to}` must fail at step {step}, and does: {other:?}")),
        }
    }
    Ok(())
}

fn play(text: &str, setups: &Path) -> Result<(), (usize, String)> {
    let case = Case::parse(text, setups).map_err(|what| (0, what))?;
    run::play(&case).map_err(|failure| (failure.step, failure.what))
}
