//! Orders about accounts, from the words of an operator to what the engine takes.

use super::protocol::{AccountOrder, CorrectOrder, TermsOrder};
use crate::config::{Accounts, Currency};
use crate::engine::{Engine, Now, RecordId};
use crate::ledger::amend::{Correction, Share};
use crate::ledger::record::Actor;
use crate::purse::{Backend, Caps, Holder, Simultaneous, Terms, parse_amount};

/// Has the engine do it; the record that must be durable before it counts as done.
pub(crate) fn account(
    engine: &mut Engine,
    now: Now,
    (by, wall_ms): (&Actor, u64),
    order: AccountOrder,
    (agreed, own): (Option<&Accounts>, u16),
) -> Result<RecordId, String> {
    match order {
        AccountOrder::Create { account, currency, terms, credit, reason } => {
            let currency = currency_of(currency.as_deref(), own)?;
            let plain = agreed.copied().unwrap_or_default().terms(currency);
            let terms = change(plain, &terms)?;
            let new = (holder(&account)?, terms);
            let created = match credit {
                None => engine.create_account(now, by, wall_ms, new),
                Some(paid) => {
                    engine.create_account_with(now, by, wall_ms, new, (cash(&paid)?, reason))
                }
            };
            created.map_err(|error| error.to_string())
        }
        AccountOrder::Credit { account, currency, amount, reason } => {
            let paid = (holder(&account)?, currency_of(currency.as_deref(), own)?, cash(&amount)?);
            engine.credit_account(now, by, wall_ms, paid, reason).map_err(|error| error.to_string())
        }
        AccountOrder::Limit { account, terms } => {
            // What is wrong with the words is told before anything is changed.
            change(Terms::prepaid(own), &terms)?;
            let new = |old: Terms| change(old.clone(), &terms).unwrap_or(old);
            let holder = holder(&account)?;
            engine.limit_account(now, by, wall_ms, holder, new).map_err(|error| error.to_string())
        }
        AccountOrder::Close { account, reason } => {
            let holder = holder(&account)?;
            let closed = engine.close_account(now, by, wall_ms, holder, reason);
            closed.map_err(|error| error.to_string())
        }
    }
}

/// What an order about a posting says.
pub(crate) fn correction(order: &CorrectOrder) -> Result<Correction, String> {
    Ok(match order {
        CorrectOrder::Dispute => Correction::Dispute,
        CorrectOrder::Resolve { give_back } => {
            Correction::Resolve(give_back.as_deref().map(share).transpose()?)
        }
        CorrectOrder::GiveBack { amount } => Correction::GiveBack(share(amount)?),
    })
}

/// Reads `all`, or currency units.
fn share(text: &str) -> Result<Share, String> {
    match text {
        "all" => Ok(Share::All),
        text => match parse_amount(text)? {
            0 => Err("nothing to give back: name an amount above 0, or all".to_owned()),
            amount => Ok(Share::Part(amount)),
        },
    }
}

fn holder(text: &str) -> Result<Holder, String> {
    text.parse()
}

fn cash(text: &str) -> Result<u128, String> {
    if text.starts_with('-') {
        return Err(format!(
            "a credit of {text} would take money: give back what was charged with `lcmctl \
             refund`, or name an amount above 0"
        ));
    }
    parse_amount(text)
}

fn currency_of(text: Option<&str>, own: u16) -> Result<u16, String> {
    let Some(text) = text else { return Ok(own) };
    Currency::from_alphabetic(text)
        .or_else(|| text.parse().ok().and_then(Currency::from_numeric))
        .map(Currency::numeric)
        .ok_or_else(|| format!("{text:?} is no currency of ISO 4217: write letters, as in EUR"))
}

/// Other terms, where the order says anything.
fn change(terms: Terms, order: &TermsOrder) -> Result<Terms, String> {
    let backend = match (&order.credit_limit, &order.tokens) {
        (Some(_), Some(_)) => {
            return Err("an account has a credit limit or tokens: name one of the two".to_owned());
        }
        (Some(limit), None) => Backend::Account { limit: parse_amount(limit)? },
        (None, Some(value)) => Backend::Tokens { value: parse_amount(value)? },
        (None, None) => terms.backend,
    };
    let caps = Caps {
        session: cap(terms.caps.session, order.session_cap.as_deref())?,
        day: cap(terms.caps.day, order.day_cap.as_deref())?,
        month: cap(terms.caps.month, order.month_cap.as_deref())?,
    };
    let simultaneous = match order.alone {
        None => terms.simultaneous,
        Some(true) => Simultaneous::Deny,
        Some(false) => Simultaneous::Share,
    };
    let warn_ms = order.warn_s.map_or(terms.warn_ms, |s| u64::from(s) * 1_000);
    Ok(Terms { backend, caps, simultaneous, warn_ms, ..terms })
}

fn cap(old: Option<u128>, order: Option<&str>) -> Result<Option<u128>, String> {
    match order {
        None => Ok(old),
        Some("none") => Ok(None),
        Some(text) => parse_amount(text).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_change_as_an_operator_says_and_stay_otherwise() {
        let some = |text: &str| Some(text.to_owned());
        let order =
            TermsOrder { credit_limit: some("2"), day_cap: some("0.5"), ..TermsOrder::default() };
        let terms = change(Terms::prepaid(978), &order).unwrap();
        assert_eq!(terms.words(), "postpaid up to 2.00, 0.50 a day at most, warned 0 s before");
        let order = TermsOrder {
            day_cap: some("none"),
            alone: Some(true),
            warn_s: Some(5),
            ..TermsOrder::default()
        };
        let terms = change(terms, &order).unwrap();
        assert_eq!(terms.words(), "postpaid up to 2.00, one session at once, warned 5 s before");
        let both =
            TermsOrder { credit_limit: some("1"), tokens: some("1"), ..TermsOrder::default() };
        assert!(change(Terms::prepaid(978), &both).is_err());
        assert!(cash("-3").unwrap_err().contains("refund"));
        assert!(currency_of(Some("EURO"), 978).is_err());
        assert_eq!(currency_of(Some("USD"), 978), Ok(840));
    }
}
