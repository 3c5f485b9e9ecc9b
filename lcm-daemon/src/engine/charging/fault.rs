//! Why something is refused, and how the neighbour is told (RFC 2205 appendix B, RFC 2750
//! section 4.3, charging.md section 6).

use std::net::IpAddr;

use charging_model::BranchKey;
use charging_model::flow::{Reason, Refusal};
use rsvp_wire::charging::{ChargingError, ChgErr, Dcpe, EXPONENT, Terms, Ucpe};
use rsvp_wire::iana::{admission, error_code, policy, traffic_control};
use rsvp_wire::object::{Filter, FilterSpec, Hop, Integrity, PolicyData};
use rsvp_wire::policy::{AuthAttribute, IdentityError, write_auth_data};
use rsvp_wire::{BufferTooSmall, MessageWriter, PolicyOptions};

use super::super::Core;
use super::super::psb::Psb;
use super::downstream::dcpe_of;
use super::purses::Denied;
use crate::purse::End;

/// CHG_ERR: what we announced has expired, and nothing newer came from the previous hop. In the
/// site range, beside the EXPIRED of a payment that names an instance of the past: whoever took one
/// for the other would go through all instances there are.
const ANNOUNCEMENT_EXPIRED: u16 = 0x8001;

/// CHG_ERR in a PATHERR: the account of the DCPE is refused, and with it all sender payments. In
/// the site range, so that no other refusal of a PATH is taken for it.
pub(super) const SENDER_ACCOUNT_REFUSED: u16 = 0x8002;

/// CHG_ERR: there is no account for who pays.
const ACCOUNT_UNKNOWN: u16 = 0x8003;
/// CHG_ERR: the account is closed.
const ACCOUNT_CLOSED: u16 = 0x8004;
/// CHG_ERR: another session has the account to itself.
const ACCOUNT_IN_USE: u16 = 0x8005;
/// CHG_ERR: nothing is left on the account that would pay for what is required.
const ACCOUNT_EXHAUSTED: u16 = 0x8006;
/// CHG_ERR: as much was spent of the account as may be in a session, a day or a month.
const ACCOUNT_CAPPED: u16 = 0x8007;

/// A refusal, with what the neighbour needs to do better.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    /// Error code of RFC 2205 appendix B.
    pub(crate) code: u8,
    pub(crate) value: u16,
    /// Short name for counters.
    pub(crate) reason: &'static str,
    /// The old reservation stays in place.
    pub(crate) in_place: bool,
    /// P-Type and reason, where it is about an identity (RFC 3182 section 3.3.4).
    identity: Option<(u16, IdentityError)>,
    detail: Option<Box<Detail>>,
}

/// The charging elements that go with a policy error.
#[derive(Debug, Clone)]
struct Detail {
    error: ChgErr,
    /// Whose payment it is about.
    payer: Option<IpAddr>,
    /// What is quoted now.
    quote: Option<Dcpe>,
}

impl Fault {
    pub(crate) const NO_PATH: Self = Self::new(error_code::NO_PATH, 0, "no_path_state");
    pub(crate) const NO_SENDER: Self = Self::new(error_code::NO_SENDER, 0, "no_sender_state");
    pub(crate) const DEST_PORTS: Self =
        Self::new(error_code::DEST_PORT_CONFLICT, 0, "conflicting_destination_ports");
    pub(crate) const SENDER_PORTS: Self =
        Self::new(error_code::SENDER_PORT_CONFLICT, 0, "conflicting_sender_ports");
    pub(crate) const UNKNOWN_STYLE: Self =
        Self::new(error_code::UNKNOWN_STYLE, 0, "unsupported_style");
    pub(crate) const STYLE_CONFLICT: Self =
        Self::new(error_code::STYLE_CONFLICT, 0, "style_conflict");
    pub(crate) const SERVICE_CONFLICT: Self = Self::new(
        error_code::TRAFFIC_CONTROL,
        traffic_control::SERVICE_CONFLICT,
        "service_conflict",
    );
    pub(crate) const LONG_ADSPEC: Self =
        Self::new(error_code::TRAFFIC_CONTROL, traffic_control::BAD_ADSPEC, "long_adspec");
    /// The node goes out of service.
    pub(crate) const DRAINING: Self =
        Self::new(error_code::ADMISSION, admission::BANDWIDTH_UNAVAILABLE, "draining");
    pub(crate) const MISSING_PAYMENT: Self =
        Self::new(error_code::POLICY, policy::PD_MISSING, "missing_payment");
    /// The payment, or the price, was there and was not believed (RFC 2750 appendix A).
    pub(crate) const POLICY_INTEGRITY: Self =
        Self::new(error_code::POLICY, policy::PD_INTEGRITY, "policy_integrity");
    /// What could not be proved later is not agreed to.
    pub(crate) const BOOKS_CLOSED: Self =
        Self::new(error_code::POLICY, policy::SERVER, "books_closed");
    pub(crate) const FOREIGN_CURRENCY: Self =
        Self::new(error_code::POLICY, policy::MERGE, "foreign_currency");
    pub(crate) const BAD_ELEMENT: Self =
        Self::new(error_code::POLICY, policy::PE_BAD, "bad_charging_element");
    pub(crate) const CHARGE_OVERFLOW: Self =
        Self::new(error_code::POLICY, policy::PE_BAD, "charge_overflow");

    pub(crate) const fn new(code: u8, value: u16, reason: &'static str) -> Self {
        Self { code, value, reason, in_place: false, identity: None, detail: None }
    }

    /// The same, about an identity.
    pub(crate) fn about_identity(mut self, ptype: u16, error: IdentityError) -> Self {
        self.identity = Some((ptype, error));
        self
    }

    /// What an element that cannot be used leads to; `Ok` where it is merely not for us.
    pub(super) fn of_element(error: &ChargingError) -> Result<(), Self> {
        match error {
            ChargingError::HigherVersion(_) | ChargingError::Empty => Ok(()),
            _ => Err(Self::BAD_ELEMENT),
        }
    }

    /// A payment was refused.
    pub(super) fn refused(
        core: &Core,
        psb: &Psb,
        key: BranchKey,
        refusal: &Refusal,
        ucpe: &Ucpe,
    ) -> Self {
        let (value, reason) = match refusal.reason {
            Reason::PaymentTooLow => (policy::EXCEED, "payment_too_low"),
            Reason::NoAnnouncement => (policy::REJECT, "no_announcement"),
            Reason::AnnouncementExpired => (policy::EXPIRED, "announcement_expired"),
            Reason::NoSuchGroup => (policy::REJECT, "not_announced_here"),
            Reason::InstanceRemoved => (policy::EXPIRED, "instance_removed"),
            Reason::Overflow(_) => (policy::PE_BAD, "payment_overflow"),
        };
        let mut fault = Self::new(error_code::POLICY, value, reason);
        fault.explain(core, psb, key, refusal.required.0, ucpe);
        if let (Reason::AnnouncementExpired, Some(detail)) = (&refusal.reason, &mut fault.detail) {
            detail.error.reason = ANNOUNCEMENT_EXPIRED;
        }
        fault
    }

    /// A payment that does not cover the new price keeps the old rate for a while (T5).
    pub(super) fn kept(core: &Core, psb: &Psb, key: BranchKey, required: u64, ucpe: &Ucpe) -> Self {
        let mut fault = Self::new(error_code::POLICY, policy::EXCEED, "price_not_covered_yet");
        fault.in_place = true;
        fault.explain(core, psb, key, required, ucpe);
        fault
    }

    /// A branch did not cover a higher price by its deadline (T5).
    pub(super) fn uncovered(core: &Core, psb: &Psb, key: BranchKey) -> Self {
        let fault = Self::new(error_code::POLICY, policy::EXPIRED, "price_never_covered");
        fault.about_branch(core, psb, key)
    }

    /// What a next hop reports has not fitted what it was told for too long.
    pub(super) fn inconsistent_totals(core: &Core, psb: &Psb, key: BranchKey) -> Self {
        let fault = Self::new(error_code::POLICY, policy::REJECT, "inconsistent_totals");
        fault.about_branch(core, psb, key)
    }

    /// The account cannot pay: what would be required goes along.
    pub(super) fn denied(
        core: &Core,
        psb: &Psb,
        key: BranchKey,
        denied: Denied,
        ucpe: &Ucpe,
    ) -> Self {
        let (value, reason, detail) = denied_as(denied);
        let required = psb.flow.as_ref().and_then(|flow| flow.due_of(key)).map(|due| due.0);
        let mut fault = Self::new(error_code::POLICY, value, reason);
        fault.explain(core, psb, key, required.unwrap_or_default(), ucpe);
        if let (Some(explained), Some(detail)) = (&mut fault.detail, detail) {
            explained.error.reason = detail;
        }
        fault
    }

    /// The money of who pays for a branch is used up.
    pub(crate) fn used_up(core: &Core, psb: &Psb, key: BranchKey, end: End) -> Self {
        let (value, reason, detail) = denied_as(Denied::Ended(end));
        let mut fault = Self::new(error_code::POLICY, value, reason).about_branch(core, psb, key);
        if let (Some(explained), Some(detail)) = (&mut fault.detail, detail) {
            explained.error.reason = detail;
        }
        fault
    }

    /// An announcement contradicts an earlier one of the same hop, whose total was `valid`.
    pub(super) fn inconsistent_price(dcpe: &Dcpe, reason: &'static str, valid: u64) -> Self {
        let mut fault = Self::new(error_code::POLICY, policy::REJECT, reason);
        fault.about_dcpe(dcpe, policy::REJECT, valid);
        fault
    }

    /// The account that sender payments would debit is not welcome here.
    pub(super) fn sender_account(dcpe: &Dcpe) -> Self {
        let mut fault = Self::new(error_code::POLICY, policy::REJECT, "sender_account_refused");
        fault.about_dcpe(dcpe, SENDER_ACCOUNT_REFUSED, 0);
        fault
    }

    /// The account of the previous hop cannot pay for the sender. While nobody knows what is left
    /// on it that is no refusal of the account: there the share would be cut for good.
    pub(super) fn sender_denied(denied: Denied, dcpe: &Dcpe) -> Self {
        match denied {
            Denied::Unread => {
                let (value, reason, _) = denied_as(denied);
                Self::new(error_code::POLICY, value, reason)
            }
            _ => Self::sender_account(dcpe),
        }
    }

    /// What the sender's side pays from is used up.
    pub(crate) fn sender_used_up(core: &Core, psb: &Psb) -> Option<Self> {
        let (context, down) = (core.charging.as_ref()?, psb.flow.as_ref()?.downstream()?);
        let mut dcpe = Dcpe::new(context.currency, super::upstream::SERVICE);
        dcpe.total = down.total.0;
        dcpe.epoch = down.epoch.unwrap_or_default();
        Some(Self::sender_account(&dcpe))
    }

    /// What this node may agree to for a receiver is less than what is due.
    pub(crate) fn above_maximum(
        core: &Core,
        psb: &Psb,
        key: BranchKey,
        required: u64,
        most: u64,
    ) -> Self {
        let mut fault = Self::new(error_code::POLICY, policy::EXCEED, "price_above_maximum");
        if let Some(context) = &core.charging {
            let account = context.general.account.clone();
            let mut offer = Ucpe::new(context.currency, super::upstream::SERVICE, account);
            offer.payment = most;
            fault.explain(core, psb, key, required, &offer);
        }
        if let Some(detail) = &mut fault.detail {
            detail.payer = None;
            detail.quote = None;
        }
        fault
    }

    fn about_dcpe(&mut self, dcpe: &Dcpe, reason: u16, required: u64) {
        self.detail = Some(Box::new(Detail {
            error: ChgErr {
                reason,
                currency: dcpe.currency,
                exponent: EXPONENT,
                required,
                offered: dcpe.total,
                epoch: dcpe.epoch,
                sequence: 0,
                terms: Terms::default(),
            },
            payer: None,
            quote: None,
        }));
    }

    /// Explains a fault by the last payment of a branch.
    fn about_branch(mut self, core: &Core, psb: &Psb, key: BranchKey) -> Self {
        let branch = psb.flow.as_ref().and_then(|flow| flow.branch(key));
        if let (Some(branch), Some(context)) = (branch, &core.charging) {
            let account = context.contract(Some(key.hop)).account.clone();
            let mut last = Ucpe::new(context.currency, super::upstream::SERVICE, account);
            last.payment = branch.ceiling.0;
            last.sequence = branch.sequence;
            self.explain(core, psb, key, branch.required.0, &last);
        }
        self
    }

    fn explain(&mut self, core: &Core, psb: &Psb, key: BranchKey, required: u64, ucpe: &Ucpe) {
        let (Some(context), Some(flow)) = (&core.charging, &psb.flow) else { return };
        let quote = flow.quote_for(key).or_else(|| flow.quote(key.group));
        self.detail = Some(Box::new(Detail {
            error: ChgErr {
                reason: self.value,
                currency: context.currency,
                exponent: EXPONENT,
                required,
                offered: ucpe.payment,
                epoch: quote.map_or(0, |quote| quote.epoch),
                sequence: ucpe.sequence,
                terms: Terms::default(),
            },
            payer: Some(key.hop),
            quote: quote.map(|quote| dcpe_of(context, psb, Some(key.hop), &quote)),
        }));
    }

    /// Code and value under which this is counted. What a neighbour sent is no part of it: the
    /// value of an unknown class or C-Type would make a counter for each of 65,536.
    pub(crate) fn counted(&self) -> (u8, u16) {
        match self.code {
            error_code::UNKNOWN_CLASS | error_code::UNKNOWN_CTYPE => (self.code, 0),
            code => (code, self.value),
        }
    }

    /// Whose payment it is about, where it is about one.
    pub(crate) fn payer(&self) -> Option<IpAddr> {
        self.detail.as_ref().and_then(|detail| detail.payer)
    }

    /// What would be enough, where that is known.
    pub(crate) fn required(&self) -> Option<u64> {
        self.detail.as_ref().map(|detail| detail.error.required)
    }
}

/// A refusal's error value, its name in counters, and what CHG_ERR says.
fn denied_as(denied: Denied) -> (u16, &'static str, Option<u16>) {
    match denied {
        Denied::Unread => (policy::SERVER, "accounts_unread", None),
        Denied::Unknown => (policy::REJECT, "account_unknown", Some(ACCOUNT_UNKNOWN)),
        Denied::Closed => (policy::REJECT, "account_closed", Some(ACCOUNT_CLOSED)),
        Denied::Currency => (policy::MERGE, "account_currency", None),
        Denied::InUse => (policy::REJECT, "account_in_use", Some(ACCOUNT_IN_USE)),
        Denied::Ended(end @ End::Exhausted) => {
            (policy::EXCEED, end.name(), Some(ACCOUNT_EXHAUSTED))
        }
        Denied::Ended(end) => (policy::EXCEED, end.name(), Some(ACCOUNT_CAPPED)),
    }
}

/// Writes the POLICY_DATA that goes with an error: CHG_ERR and the DCPE as it stands; `senders` are
/// those that it is about where the message itself does not say. It goes to the hop `to`, which may
/// only pass it on to whom it is about.
pub(crate) fn write_fault(
    writer: &mut MessageWriter<'_>,
    (context, integrity): (Option<&super::Context>, Option<Integrity<'static>>),
    own: Hop,
    to: IpAddr,
    senders: &[FilterSpec],
    fault: &Fault,
) -> Result<(), BufferTooSmall> {
    let (Some(detail), Some(context)) = (&fault.detail, context) else {
        return match fault.code {
            error_code::POLICY if let Some((ptype, error)) = fault.identity => {
                let why = AuthAttribute::PolicyError(error, fault.reason.as_bytes());
                let options = PolicyOptions::from_hop(own);
                writer.policy_data(&options, |sink| write_auth_data(sink, ptype, &[why]))
            }
            error_code::POLICY => super::super::policy::write_bare(writer, own),
            _ => Ok(()),
        };
    };
    let behind = detail.payer.filter(|payer| *payer != to);
    let destination = behind.map(|address| Hop { address, lih: 0 });
    let options =
        PolicyOptions { filters: senders, integrity, ..super::options(own, destination, &[]) };
    writer.policy_data(&options, |sink| {
        detail.error.write(context.ptypes.chg_err, sink);
        if let Some(quote) = &detail.quote {
            quote.write(context.ptypes.dcpe, sink);
        }
    })
}

/// A CHG_ERR, and the senders that it is about; none for all that the message names.
pub(crate) struct ChargingFault {
    pub(crate) error: ChgErr,
    senders: Vec<Filter>,
}

impl ChargingFault {
    /// A next hop refuses the account that sender payments would debit.
    pub(crate) fn refuses_sender(&self) -> bool {
        self.error.reason == SENDER_ACCOUNT_REFUSED
    }

    pub(crate) fn concerns(&self, sender: Filter) -> bool {
        self.senders.is_empty() || self.senders.contains(&sender)
    }
}

/// True if what these objects say is about the payment of another hop.
pub(crate) fn blames_others<'a>(
    core: &Core,
    mut objects: impl Iterator<Item = PolicyData<'a>>,
) -> bool {
    let Some(context) = &core.charging else { return false };
    let blames = |object: &PolicyData<'_>| {
        object.element(context.ptypes.chg_err).is_some() && core.disbelief(object).is_none()
    };
    objects.any(|object| blames(&object) && for_another(core, &object))
}

fn for_another(core: &Core, object: &PolicyData<'_>) -> bool {
    object.destination_hop().is_some_and(|hop| !core.interfaces.owns(hop.address))
}

/// The CHG_ERR among these objects that is meant for this node.
pub(crate) fn charging_error<'a>(
    core: &Core,
    mut objects: impl Iterator<Item = PolicyData<'a>>,
) -> Option<ChargingFault> {
    let ptype = core.charging.as_ref()?.ptypes.chg_err;
    objects.find_map(|object| {
        if for_another(core, &object) || core.disbelief(&object).is_some() {
            return None;
        }
        let error = ChgErr::parse(object.element(ptype)?.bytes).ok()?;
        let senders = object.filter_specs().map(|filter| filter.0).collect();
        Some(ChargingFault { error, senders })
    })
}
