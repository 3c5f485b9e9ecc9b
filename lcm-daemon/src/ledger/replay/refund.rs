//! Outages, and what is given back for them by grants.

use super::fault::Wrong;
use super::{Applied, Replay};
use crate::ledger::record::Refund;

impl Replay {
    /// A record about a flow that moves no money.
    pub(super) fn noted(&mut self, flow: u64, at_ms: u64) -> Result<(), Wrong> {
        self.running()?.names(at_ms);
        self.flows.get(flow).ok_or(Wrong::UnknownFlow)?;
        Ok(())
    }

    /// A part of what a meter came to is given back by a grant.
    pub(super) fn refund(&mut self, refund: &Refund) -> Result<Applied, Wrong> {
        let Refund { at_ms, meter, amount, .. } = *refund;
        self.noted(meter.flow, at_ms)?;
        let parts = self.postings.refund(&mut self.accounts, &meter, amount)?;
        for (of, part, payer) in &parts {
            if let Some(payer) = self.accounts.get(*payer) {
                self.purses.give_back(payer, *of, *part);
            }
        }
        let returned = parts.into_iter().map(|(of, part, _)| (of, part)).collect();
        Ok(Applied { returned, ..Applied::default() })
    }
}
