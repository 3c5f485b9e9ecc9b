//! Charging elements in diagnostics (RFC 2745): what this hop announces to the next one, and what
//! that pays, as far as the requester may see it. Accounts stay between those who agreed on them,
//! since all hops on the way read what one of them reports.

use std::net::IpAddr;

use charging_model::flow::{BranchView, Quote};
use rsvp_wire::charging::{Account, AccountKind, Dcpe, HopRecord, Terms, Ucpe};
use rsvp_wire::object::{FilterSpec, Hop, Session};

use super::super::Core;
use super::super::policy::Out;
use super::super::psb::Psb;
use super::super::rsb::LOCAL;
use super::downstream::dcpe_of;
use super::upstream::SERVICE;
use super::{Context, branch, options};
use crate::config::Charges;

/// Those who pay from behind one next hop and are reported.
const PAYERS_MOST: usize = 4;
/// Room for one object.
const OBJECT_BYTES_MAX: usize = 512;
/// Detail level of a HOP_RECORD that says what one hop asks for itself.
const DETAIL_LOCAL_PRICE: u8 = 1;

/// POLICY_DATA objects about one sender on an outgoing interface: one for each of `payers`, or one
/// for whoever would join. `visible` says what may be told of somebody's charges.
pub(crate) fn report(
    core: &Core,
    session: Session,
    psb: &Psb,
    outgoing: u32,
    payers: &[IpAddr],
    visible: impl Fn(Option<IpAddr>) -> Charges,
) -> Vec<u8> {
    let mut out = Out::default();
    let (Some(context), Some(flow)) = (&core.charging, &psb.flow) else { return Vec::new() };
    let Some(own) = core.interfaces.address(outgoing, session.destination) else {
        return Vec::new();
    };
    if outgoing == LOCAL {
        return Vec::new();
    }
    let paid = payers.iter().take(PAYERS_MOST).filter_map(|payer| {
        let key = branch(outgoing, *payer);
        Some((Some(*payer), flow.quote_for(key)?, flow.branch(key)))
    });
    let mut told: Vec<(Option<IpAddr>, Quote, Option<BranchView>)> = paid.collect();
    if told.is_empty() {
        told.extend(flow.quote(outgoing).map(|quote| (None, quote, None)));
    }
    for (payer, quote, branch) in told {
        let charges = visible(payer);
        let Some(dcpe) = announced(context, psb, payer, &quote, charges, own) else { continue };
        let ucpe = branch.filter(|_| charges == Charges::All).map(|it| paid_by(context, &it));
        let hop = payer.map(|address| Hop { address, lih: 0 });
        let filter = [FilterSpec(psb.sender)];
        let options = options(Hop { address: own, lih: outgoing }, hop, &filter);
        out.object(&options, OBJECT_BYTES_MAX, |sink| {
            dcpe.write(context.ptypes.dcpe, sink);
            if let Some(ucpe) = &ucpe {
                ucpe.write(context.ptypes.ucpe, sink);
            }
        });
    }
    out.bytes().to_vec()
}

/// A quote as far as it may be told; a HOP_RECORD says what of it is our own price.
fn announced(
    context: &Context,
    psb: &Psb,
    payer: Option<IpAddr>,
    quote: &Quote,
    charges: Charges,
    own: IpAddr,
) -> Option<Dcpe> {
    let whole = dcpe_of(context, psb, payer, quote);
    match charges {
        Charges::None => None,
        Charges::Totals | Charges::Own => Some(Dcpe { terms: Terms::default(), ..whole }),
        Charges::All => {
            // The fraction goes with an account in a PATH, but the account is not told here.
            let mut terms = Terms { account: None, ..whole.terms.clone() };
            terms.sponsored = Some(quote.sponsored.0);
            let (detail, local_price) = (DETAIL_LOCAL_PRICE, quote.local.0);
            terms.push_hop_record(HopRecord { detail, address: own, local_price });
            Some(Dcpe { terms, ..whole })
        }
    }
}

/// What was accepted last of those who pay.
fn paid_by(context: &Context, branch: &BranchView) -> Ucpe {
    let nobody = Account::new(AccountKind::Opaque, b"-");
    Ucpe {
        payment: branch.ceiling.0,
        announced_total: branch.announced_total.0,
        sender_payment: branch.sender_payment.0,
        local_sum: branch.local_sum.0,
        epoch_echo: branch.epoch_echo,
        sequence: branch.sequence,
        instance: branch.instance,
        ..Ucpe::new(context.currency, SERVICE, nobody)
    }
}
