//! What charging costs beyond plain RSVP: instructions and allocations of one message.

use std::fmt::Write;

use crate::cost::script::Part;
use crate::cost::{Count, count};

/// Sessions of one measurement.
const SESSIONS: u32 = 1_000;

/// Counts, and draws a table.
///
/// # Errors
/// If valgrind is missing or fails.
pub(crate) fn measure() -> Result<String, String> {
    let mut table = String::new();
    let head =
        "one message                 instructions             allocations    bytes allocated";
    let both =
        "                        charging ignorant  ratio  charging ignorant  charging ignorant";
    let _ = writeln!(table, "{head}\n{both}");
    for (name, part) in [
        ("PATH, new session", Part::Paths),
        ("PATH and RESV, new", Part::SetUps),
        ("PATH, refresh", Part::PathRefreshes),
        ("RESV, refresh", Part::ResvRefreshes),
    ] {
        let (charging, ignorant) = (count(part, false, SESSIONS)?, count(part, true, SESSIONS)?);
        row(&mut table, name, charging, ignorant);
    }
    Ok(table)
}

fn row(table: &mut String, name: &str, charging: Count, ignorant: Count) {
    let ratio = charging.instructions / ignorant.instructions.max(1.0);
    let _ = writeln!(
        table,
        "{name:<22} {:>9.0} {:>8.0} {ratio:>6.3} {:>9.2} {:>8.2} {:>9.0} {:>8.0}",
        charging.instructions,
        ignorant.instructions,
        charging.blocks,
        ignorant.blocks,
        charging.bytes,
        ignorant.bytes,
    );
}
