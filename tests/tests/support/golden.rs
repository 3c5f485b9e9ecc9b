//! The worked numbers of the paper's section 3.6, and waiting for them hop by hop.

use std::collections::BTreeMap;
use std::error::Error;

use serde_json::Value;

use super::play::{FRACTION, Play};

/// The three cases that the demo plays.
pub(crate) const A: &str = "A_equilibrium";
pub(crate) const B: &str = "B_after_R1_price_rise_40_to_60";
pub(crate) const C: &str = "C_R2_only";

/// One case of the golden file.
pub(crate) fn case(name: &str) -> Result<Value, Box<dyn Error>> {
    let all: Value =
        serde_json::from_str(include_str!("../../../charging-model/tests/figure2.json"))?;
    Ok(all.get(name).cloned().ok_or("no such case")?)
}

fn number(row: &Value, key: &str) -> Result<u64, Box<dyn Error>> {
    Ok(row[key].as_u64().ok_or_else(|| format!("{row} has no number {key}"))?)
}

fn ends(row: &Value) -> Result<(&str, &str), Box<dyn Error>> {
    let link = row["link"].as_str().ok_or("a row without a link")?;
    Ok(link.split_once("->").ok_or("a link without an arrow")?)
}

/// Waits until the figure is in a golden case: its links, then all accounts by their books, then
/// what they really meter.
pub(crate) fn wait_case(play: &mut Play, name: &str) -> Result<(), Box<dyn Error>> {
    wait_links(play, name)?;
    Ok(play.wait_balances(&balances(&case(name)?)?).map_err(|e| in_case(name, &*e))?)
}

/// Waits until the links carry what they do in a golden case: the PATH of each link from the
/// sender down, then the RESV of each link from the receivers up, as captured.
pub(crate) fn wait_links(play: &mut Play, name: &str) -> Result<(), Box<dyn Error>> {
    let case = case(name)?;
    for row in case["DCPE"].as_array().ok_or("no DCPE rows")? {
        let (from, to) = ends(row)?;
        let (total, max) = (number(row, "total_charge")?, number(row, "max_total_charge")?);
        let dcpe = play.wait_announced(from, to, total, max).map_err(|e| in_case(name, &*e))?;
        assert_eq!(dcpe.fraction, FRACTION, "{name}: {from}->{to}");
        assert_eq!(u64::from(dcpe.validity_ms), 1000 * number(row, "validity_s")?, "{from}->{to}");
        assert_eq!(dcpe.flags, 0, "{name}: {from}->{to} passed a hop that does not charge");
    }
    for row in case["UCPE"].as_array().ok_or("no UCPE rows")? {
        let (from, to) = ends(row)?;
        let wanted = ["payment", "total_charge", "local_sum", "sender_payment"]
            .map(|key| number(row, key))
            .into_iter()
            .collect::<Result<Vec<u64>, _>>()?;
        play.wait(&format!("{name}: RESV {from}->{to} with {wanted:?}"), |play| {
            let ucpe = play.paid(from, to).ok_or("no RESV with a UCPE")?;
            let seen =
                vec![ucpe.payment, ucpe.announced_total, ucpe.local_sum, ucpe.sender_payment];
            if seen == wanted { Ok(()) } else { Err(format!("{seen:?}")) }
        })?;
    }
    Ok(())
}

/// The balances of a case.
pub(crate) fn balances(case: &Value) -> Result<BTreeMap<String, i64>, Box<dyn Error>> {
    let map = case["balances"].as_object().ok_or("no balances")?;
    let rate = |value: &Value| value.as_i64().ok_or("a balance that is no integer");
    Ok(map
        .iter()
        .map(|(name, value)| Ok((name.clone(), rate(value)?)))
        .collect::<Result<_, &str>>()?)
}

fn in_case(name: &str, error: &dyn Error) -> String {
    format!("{name}: {error}")
}
