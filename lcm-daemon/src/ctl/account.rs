//! `lcmctl account`: who may spend how much.

use clap::{Args, Subcommand, ValueEnum};

use super::Daemon;
use super::table::{Table, or_dash};
use crate::control::Request;
use crate::control::client::{Client, ClientError};
use crate::control::protocol::{AccountOrder, Reply, TermsOrder};
use crate::engine::show::PurseView;
use crate::purse::Holder;

/// What to do with accounts.
#[derive(Debug, Subcommand)]
pub(crate) enum Account {
    /// Open an account, or one anew that was closed.
    Create {
        #[command(flatten)]
        daemon: Daemon,
        #[command(flatten)]
        terms: TermsArgs,
        /// Its currency, which must be that of the daemon's prices.
        #[arg(long, value_name = "ISO4217")]
        currency: Option<String>,
        /// What its holder pays in at once, in currency units: who pays already goes on.
        #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
        credit: Option<String>,
        /// Why, or by which payment: stands in the audit record of the credit.
        #[arg(long, default_value = "", value_name = "TEXT", requires = "credit")]
        reason: String,
        /// Whose: KIND:ID as customers name it (kinds: opaque, nai, ipv4, ipv6, key_hash, uri), or
        /// neighbour:ADDRESS.
        account: String,
    },
    /// List all accounts.
    List {
        #[command(flatten)]
        daemon: Daemon,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show one account with its terms.
    Show {
        #[command(flatten)]
        daemon: Daemon,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// Whose.
        account: String,
    },
    /// Credit an account with what its holder paid in.
    Credit {
        #[command(flatten)]
        daemon: Daemon,
        /// The currency of the amount; that of the account must be the same.
        #[arg(long, value_name = "ISO4217")]
        currency: Option<String>,
        /// Why, or by which payment: stands in the audit record.
        #[arg(long, default_value = "", value_name = "TEXT")]
        reason: String,
        /// Whose.
        account: String,
        /// Currency units, as 12.50.
        #[arg(allow_hyphen_values = true)]
        amount: String,
    },
    /// Change the terms of an account.
    Limit {
        #[command(flatten)]
        daemon: Daemon,
        #[command(flatten)]
        terms: TermsArgs,
        /// Whose.
        account: String,
    },
    /// Close an account that nobody uses.
    Close {
        #[command(flatten)]
        daemon: Daemon,
        /// Why: stands in the audit record.
        #[arg(long, default_value = "", value_name = "TEXT")]
        reason: String,
        /// Whose.
        account: String,
    },
}

/// Terms; what is left out is as the configuration says, or stays as it was.
#[derive(Debug, Args)]
pub(crate) struct TermsArgs {
    /// Postpaid: what the account may owe, in currency units; 0 makes it prepaid.
    #[arg(long, value_name = "AMOUNT", conflicts_with = "tokens", allow_hyphen_values = true)]
    credit_limit: Option<String>,
    /// Settled with virtual money: tokens of this value, in currency units.
    #[arg(long, value_name = "VALUE")]
    tokens: Option<String>,
    /// The most that a session may spend; `none` lifts the cap.
    #[arg(long, value_name = "AMOUNT")]
    session_cap: Option<String>,
    /// The most that may be spent in a day (UTC); `none` lifts the cap.
    #[arg(long, value_name = "AMOUNT")]
    day_cap: Option<String>,
    /// The most that may be spent in a month (UTC); `none` lifts the cap.
    #[arg(long, value_name = "AMOUNT")]
    month_cap: Option<String>,
    /// Whether several sessions may use it at once.
    #[arg(long, value_enum)]
    simultaneous: Option<Together>,
    /// How many seconds before nothing is left it is warned of; 0 does not warn.
    #[arg(long, value_name = "SECONDS")]
    warn: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Together {
    Share,
    Deny,
}

impl TermsArgs {
    fn order(&self) -> TermsOrder {
        TermsOrder {
            credit_limit: self.credit_limit.clone(),
            tokens: self.tokens.clone(),
            session_cap: self.session_cap.clone(),
            day_cap: self.day_cap.clone(),
            month_cap: self.month_cap.clone(),
            alone: self.simultaneous.map(|together| together == Together::Deny),
            warn_s: self.warn,
        }
    }
}

pub(crate) fn run(what: &Account) -> Result<(), ClientError> {
    let (daemon, order) = match what {
        Account::List { daemon, json } => return list(daemon, *json, None),
        Account::Show { daemon, json, account } => return list(daemon, *json, Some(account)),
        Account::Create { daemon, terms, currency, credit, reason, account } => {
            let (account, currency) = (account.clone(), currency.clone());
            let (credit, reason) = (credit.clone(), reason.clone());
            let terms = terms.order();
            (daemon, AccountOrder::Create { account, currency, terms, credit, reason })
        }
        Account::Credit { daemon, currency, reason, account, amount } => {
            let (account, currency) = (account.clone(), currency.clone());
            let (amount, reason) = (amount.clone(), reason.clone());
            (daemon, AccountOrder::Credit { account, currency, amount, reason })
        }
        Account::Limit { daemon, terms, account } => {
            (daemon, AccountOrder::Limit { account: account.clone(), terms: terms.order() })
        }
        Account::Close { daemon, reason, account } => {
            let (account, reason) = (account.clone(), reason.clone());
            (daemon, AccountOrder::Close { account, reason })
        }
    };
    Client::connect(&daemon.socket)?.ask(&Request::Account(order))?;
    Ok(())
}

/// The account of these words as the daemon names it: an address can be written in several ways.
fn canonical(account: &str) -> Result<String, ClientError> {
    let holder: Holder = account.parse().map_err(ClientError::Refused)?;
    Ok(holder.to_string())
}

fn list(daemon: &Daemon, json: bool, only: Option<&String>) -> Result<(), ClientError> {
    let reply = Client::connect(&daemon.socket)?.ask(&Request::ListAccounts)?;
    let Reply::Purses(mut views) = reply else {
        let nonsense = format!("{reply:?}");
        return Err(ClientError::Nonsense(daemon.socket.clone(), nonsense));
    };
    if let Some(only) = only {
        let only = canonical(only)?;
        views.retain(|view| view.account == only);
        if views.is_empty() {
            return Err(ClientError::Refused(format!(
                "there is no account {only}: `lcmctl account list` shows those there are"
            )));
        }
    }
    if json {
        let text = serde_json::to_string_pretty(&views).unwrap_or_default();
        println!("{text}");
    } else if only.is_some() {
        views.iter().for_each(show);
    } else {
        let heading = ["ACCOUNT", "", "BALANCE", "AVAILABLE", "RATE", "SESSIONS", "LASTS", "STATE"];
        let mut table = Table::new(heading);
        for view in &views {
            table.row([
                view.account.clone(),
                view.currency.clone(),
                view.balance.clone(),
                if view.closed { "-".to_owned() } else { view.available.clone() },
                view.rate.to_string(),
                view.sessions.to_string(),
                or_dash(view.ends_in_ms.map(lasts)),
                state(view).to_owned(),
            ]);
        }
        print!("{table}");
    }
    Ok(())
}

fn state(view: &PurseView) -> &'static str {
    match (view.closed, view.rate) {
        (true, _) => "closed",
        (false, 0) => "open",
        (false, _) => "spending",
    }
}

fn lasts(ms: u64) -> String {
    let s = ms / 1_000;
    match s {
        0..=119 => format!("{}.{} s", s, ms % 1_000 / 100),
        120..=7_199 => format!("{} min", s / 60),
        7_200..=172_799 => format!("{} h", s / 3_600),
        _ => format!("{} d", s / 86_400),
    }
}

fn show(view: &PurseView) {
    println!("account    {}", view.account);
    println!("state      {}", state(view));
    println!("terms      {}", view.terms.words());
    println!("balance    {} {}", view.balance, view.currency);
    println!("available  {} {}", view.available, view.currency);
    println!("spent      {} today, {} this month", view.spent_today, view.spent_this_month);
    println!("rate       {} x 10^-12 {}/s", view.rate, view.currency);
    println!("sessions   {}", view.sessions);
    if let (Some(ms), Some(why)) = (view.ends_in_ms, &view.ends_by) {
        println!("lasts      {}, then {}", lasts(ms), why.replace('_', " "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_any_words_that_name_it() {
        for words in ["neighbour:2001:DB8::1", "neighbour:2001:db8:0:0::0001"] {
            assert_eq!(canonical(words).unwrap(), "neighbour:2001:db8::1", "{words}");
        }
        assert!(matches!(canonical("alice"), Err(ClientError::Refused(_))));
    }
}
