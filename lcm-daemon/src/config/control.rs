//! `[control]`: who may ask what over the control socket.

use std::fmt::{self, Write as _};

use serde::Deserialize;
use toml::Spanned;

use super::problem::Problems;
use super::raw::Given;

/// Longest name of a group in bytes.
const GROUP_BYTES_MAX: usize = 64;

/// Who may ask what over the control socket: Unix groups. Root and the daemon's own user may do
/// all; without a list, whoever may open the socket may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Control {
    /// Who may look at state and accounts.
    pub read_groups: Option<Vec<String>>,
    /// Who may open, credit, limit and close accounts.
    pub credit_groups: Option<Vec<String>>,
    /// Who may change prices and how the node works.
    pub price_groups: Option<Vec<String>>,
}

/// `[control]` as it stands in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    read_groups: Given<Vec<Spanned<String>>>,
    credit_groups: Given<Vec<Spanned<String>>>,
    price_groups: Given<Vec<Spanned<String>>>,
}

pub(super) fn check(raw: Raw, problems: &mut Problems<'_>) -> Control {
    let mut groups = |given: Given<Vec<Spanned<String>>>| {
        let names = given?.into_inner().into_iter();
        Some(names.filter_map(|name| group(name, problems)).collect())
    };
    Control {
        read_groups: groups(raw.read_groups),
        credit_groups: groups(raw.credit_groups),
        price_groups: groups(raw.price_groups),
    }
}

fn group(given: Spanned<String>, problems: &mut Problems<'_>) -> Option<String> {
    let name = given.get_ref();
    let sound = (1..=GROUP_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_graphic() && !b":,".contains(&byte));
    if sound {
        return Some(given.into_inner());
    }
    let remedy = "write the name of a Unix group, as in \"lcm-billing\"".to_owned();
    problems.at(given.span(), "not the name of a group".to_owned(), remedy);
    None
}

pub(super) fn render(
    out: &mut String,
    control: &Control,
    quoted: impl Fn(&str) -> String,
) -> fmt::Result {
    let lists = [
        ("read_groups", &control.read_groups),
        ("credit_groups", &control.credit_groups),
        ("price_groups", &control.price_groups),
    ];
    for (name, list) in lists {
        if let Some(list) = list {
            let list: Vec<String> = list.iter().map(|group| quoted(group)).collect();
            writeln!(out, "{name} = [{}]", list.join(", "))?;
        }
    }
    Ok(())
}
