//! How what a payer owes is settled: as an account in the books, or with virtual money that was
//! handed over before (paper section 3.2).

use std::fmt;

use super::terms::Backend;

/// Something that can be charged. What is charged was allowed before by [`room`](Self::room);
/// records that are read back may say otherwise, and are taken as they are.
pub trait Settlement: fmt::Debug + Send {
    /// How much more may be charged, in 10⁻¹⁵ currency units.
    fn room(&self) -> u128;

    /// What was paid in less what was charged, in 10⁻¹⁵ currency units.
    fn balance(&self) -> i128;

    /// Charges an amount.
    fn charge(&mut self, amount: u128);

    /// Gives back an amount that was charged, to this holder if not since this was opened.
    fn give_back(&mut self, amount: u128);

    /// Takes what the payer pays in.
    ///
    /// # Errors
    /// If it is nothing that can be held in this way.
    fn pay_in(&mut self, amount: u128) -> Result<(), NotWhole>;

    /// Goes on under other terms, with what was paid in and charged so far.
    ///
    /// # Errors
    /// If what was paid in cannot be held in that way.
    fn convert(&self, to: Backend) -> Result<Box<dyn Settlement>, NotWhole>;

    /// A copy.
    fn boxed(&self) -> Box<dyn Settlement>;
}

/// Virtual money comes in whole tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotWhole {
    /// What a token is worth, in 10⁻¹⁵ currency units.
    pub token: u128,
}

impl std::error::Error for NotWhole {}

impl fmt::Display for NotWhole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "not a whole number of tokens, of {} x 10^-15 currency units each: name a multiple of that",
            self.token
        )
    }
}

/// Sums of what was paid in and charged. Beyond 127 bits they are not of this world.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sums {
    paid_in: u128,
    charged: u128,
    /// What was given back beyond that: of what an earlier account of the same holder was charged.
    over: u128,
}

impl Sums {
    fn balance(self) -> i128 {
        let signed = |sum| i128::try_from(sum).unwrap_or(i128::MAX);
        let in_all = signed(self.paid_in.saturating_add(self.over));
        in_all.saturating_sub(signed(self.charged))
    }

    fn room(self, beyond: u128) -> u128 {
        let in_all = self.paid_in.saturating_add(self.over);
        in_all.saturating_add(beyond).saturating_sub(self.charged)
    }

    fn give_back(&mut self, amount: u128) {
        let part = amount.min(self.charged);
        self.charged -= part;
        self.over = self.over.saturating_add(amount - part);
    }
}

/// An account in the books: may go below zero by its credit limit, and is billed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BookAccount {
    sums: Sums,
    limit: u128,
}

impl BookAccount {
    /// An account that may owe `limit`; with 0 it is prepaid.
    #[must_use]
    pub fn new(limit: u128) -> Self {
        Self { sums: Sums::default(), limit }
    }
}

impl Settlement for BookAccount {
    fn room(&self) -> u128 {
        self.sums.room(self.limit)
    }

    fn balance(&self) -> i128 {
        self.sums.balance()
    }

    fn charge(&mut self, amount: u128) {
        self.sums.charged = self.sums.charged.saturating_add(amount);
    }

    fn give_back(&mut self, amount: u128) {
        self.sums.give_back(amount);
    }

    fn pay_in(&mut self, amount: u128) -> Result<(), NotWhole> {
        self.sums.paid_in = self.sums.paid_in.saturating_add(amount);
        Ok(())
    }

    fn convert(&self, to: Backend) -> Result<Box<dyn Settlement>, NotWhole> {
        convert(self.sums, to)
    }

    fn boxed(&self) -> Box<dyn Settlement> {
        Box::new(self.clone())
    }
}

/// Virtual money that is held for a payer: whole tokens, spent one after the other. There is no
/// credit: who has no token left pays nothing more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    sums: Sums,
    token: u128,
}

impl Tokens {
    /// No tokens yet; each will be worth `token`.
    #[must_use]
    pub fn new(token: u128) -> Self {
        Self { sums: Sums::default(), token: token.max(1) }
    }

    /// Tokens that are held and not touched yet.
    #[must_use]
    pub fn whole(&self) -> u128 {
        self.room() / self.token
    }

    /// Tokens that are used up, with the one that is being spent.
    #[must_use]
    pub fn redeemed(&self) -> u128 {
        self.sums.charged.div_ceil(self.token)
    }
}

impl Settlement for Tokens {
    fn room(&self) -> u128 {
        self.sums.room(0)
    }

    fn balance(&self) -> i128 {
        self.sums.balance()
    }

    fn charge(&mut self, amount: u128) {
        self.sums.charged = self.sums.charged.saturating_add(amount);
    }

    fn give_back(&mut self, amount: u128) {
        self.sums.give_back(amount);
    }

    fn pay_in(&mut self, amount: u128) -> Result<(), NotWhole> {
        if !amount.is_multiple_of(self.token) {
            return Err(NotWhole { token: self.token });
        }
        self.sums.paid_in = self.sums.paid_in.saturating_add(amount);
        Ok(())
    }

    fn convert(&self, to: Backend) -> Result<Box<dyn Settlement>, NotWhole> {
        convert(self.sums, to)
    }

    fn boxed(&self) -> Box<dyn Settlement> {
        Box::new(self.clone())
    }
}

fn convert(sums: Sums, to: Backend) -> Result<Box<dyn Settlement>, NotWhole> {
    let mut new = to.open();
    new.pay_in(sums.paid_in)?;
    new.charge(sums.charged);
    new.give_back(sums.over);
    Ok(new)
}

impl Backend {
    /// An empty purse of this kind.
    #[must_use]
    pub fn open(self) -> Box<dyn Settlement> {
        match self {
            Self::Account { limit } => Box::new(BookAccount::new(limit)),
            Self::Tokens { value } => Box::new(Tokens::new(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r058_an_account_owes_up_to_its_limit_and_tokens_are_spent_one_after_the_other() {
        let backends = [Backend::Account { limit: 40 }, Backend::Tokens { value: 25 }];
        for backend in backends {
            let mut money = backend.open();
            money.pay_in(100).unwrap();
            money.charge(60);
            assert_eq!(money.balance(), 40, "{backend:?}");
            money.give_back(10);
            let credit = if matches!(backend, Backend::Account { .. }) { 40 } else { 0 };
            assert_eq!(money.room(), 50 + credit, "{backend:?}");
        }
        let mut account = BookAccount::new(40);
        account.charge(40);
        assert_eq!((account.balance(), account.room()), (-40, 0));
    }

    #[test]
    fn r058_only_whole_tokens_are_taken_and_the_one_in_use_is_redeemed() {
        let mut tokens = Tokens::new(25);
        assert_eq!(tokens.pay_in(99), Err(NotWhole { token: 25 }));
        assert_eq!((tokens.pay_in(100), tokens.whole()), (Ok(()), 4));
        tokens.charge(26);
        assert_eq!((tokens.whole(), tokens.redeemed(), tokens.room()), (2, 2, 74));
        let book = tokens.convert(Backend::Account { limit: 6 }).unwrap();
        assert_eq!((book.balance(), book.room()), (74, 80));
        assert!(book.convert(Backend::Tokens { value: 3 }).is_err());
    }
}
