//! The TOML reader's and serde's messages, put into the operator's words.

/// Splits a message of the TOML reader or of serde into what is wrong and what to do about it.
pub(super) fn reword(message: &str) -> (String, String) {
    if let Some(rest) = message.strip_prefix("unknown field ") {
        return unknown_name(rest, "there is no such setting here", "remove it");
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        return unknown_name(rest, "not one of the words allowed here", "change it");
    }
    if let Some(expected) = message.rsplit_once(", expected ").map(|(_, expected)| expected)
        && message.starts_with("invalid ")
    {
        return expectation(expected);
    }
    if message.starts_with("duplicate key") {
        return (message.to_owned(), "remove one of the two".to_owned());
    }
    let what = if message.is_empty() { "this is not TOML" } else { message };
    (what.to_owned(), "correct the line; lcm.toml(5) shows the form of every setting".to_owned())
}

/// `rest` is serde's "`name`, expected one of `a`, `b`" (or "`a` or `b`", or "there are no fields").
fn unknown_name(rest: &str, what: &str, otherwise: &str) -> (String, String) {
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let name = quoted.next().unwrap_or_default();
    let known: Vec<&str> = quoted.collect();
    (what.to_owned(), suggestion(name, &known, otherwise))
}

/// What to write instead of the unknown `name`.
pub(super) fn suggestion(name: &str, known: &[&str], otherwise: &str) -> String {
    let nearest = known
        .iter()
        .map(|word| (distance(name, word), *word))
        .min()
        .filter(|(distance, word)| *distance * 3 <= word.chars().count());
    match nearest {
        Some((_, word)) => format!("did you mean {word}?"),
        None => format!("{otherwise}, or use one of: {}", known.join(", ")),
    }
}

/// `expected` is what serde names: a type of Rust, or words of our own.
fn expectation(expected: &str) -> (String, String) {
    let (form, how) = match expected {
        "u64" => ("a whole number from 0 up", ", without quotes"),
        "a boolean" => ("true or false", ", without quotes"),
        "a string" => ("text", " in double quotes"),
        other => (other, ""),
    };
    (format!("not {form}"), format!("write {form}{how}"))
}

/// Edits (insertions, deletions, substitutions) that turn one word into the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut next = vec![index + 1];
        for ((candidate, above_left), above) in other.iter().zip(&row).zip(row.iter().skip(1)) {
            let substituted = above_left + usize::from(letter != *candidate);
            let left = next.last().copied().unwrap_or_default();
            next.push(substituted.min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        for (one, other, edits) in
            [("", "", 0), ("", "abc", 3), ("refesh", "refresh", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(one, other), edits, "{one} {other}");
            assert_eq!(distance(other, one), edits, "{other} {one}");
        }
    }

    #[test]
    fn only_near_words_are_suggested() {
        assert_eq!(suggestion("rol", &["role", "refresh_ms"], "x"), "did you mean role?");
        assert_eq!(
            suggestion("colour", &["role", "refresh_ms"], "remove it"),
            "remove it, or use one of: role, refresh_ms"
        );
    }
}
