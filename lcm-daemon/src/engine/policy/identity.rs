//! AUTH_USER and AUTH_APP (RFC 3182): where `[[identity]]` has a rule for a neighbour, what it says
//! of identities is judged and ends here; everywhere else it goes on as it came. What this node says
//! is its own identity, or that of the receiver on it (section 5: credentials are for the current
//! network node).

use std::net::IpAddr;

use rsvp_wire::PolicyOptions;
use rsvp_wire::iana::{error_code, policy, ptype};
use rsvp_wire::object::{Filter, Hop, PolicyData, PolicyElement, Session};
use rsvp_wire::policy::AuthData;

use super::super::charging::{Admission, Fault, wire_account};
use super::super::path::Arrived;
use super::super::psb::Psb;
use super::super::resv::Request;
use super::super::rsb::{LOCAL, Rsb};
use super::super::time::Now;
use super::super::{Core, Engine};
use super::credential::{self, Doubt, ELEMENT_BYTES_MAX};
use super::{Addressee, Elements, Handler, Object, Out, ResvOut};
use crate::config::{Admitted, Credential, IdentityRule};

const P_TYPES: [u16; 2] = [ptype::AUTH_USER, ptype::AUTH_APP];

/// Room for one object: an element, and the originating hop of IPv6.
const OBJECT_BYTES_MAX: usize = ELEMENT_BYTES_MAX + 64;

/// The handler of AUTH_USER and AUTH_APP.
#[derive(Debug)]
pub(crate) struct Identities;

impl Handler for Identities {
    fn takes(&self, element: &PolicyElement<'_>) -> bool {
        P_TYPES.contains(&element.ptype)
    }

    fn takes_from(&self, core: &Core, object: &Object<'_>) -> bool {
        let rule = object.from.and_then(|(interface, hop)| core.identity_rule(interface, hop));
        rule.is_some() && object.addressee != Addressee::Another
    }

    /// Several may stand side by side (RFC 3182 section 6.1), one with each type of credential.
    fn part(&self, element: &PolicyElement<'_>) -> u8 {
        let data = AuthData::parse(element).ok();
        let credential = data.and_then(|data| data.credential());
        credential.map_or(0, |(kind, _)| kind.into())
    }

    fn path_may_move(
        &self,
        core: &mut Core,
        _now: Now,
        _psb: &Psb,
        arrived: &Arrived,
    ) -> Result<(), Fault> {
        let Some(rule) = core.identity_rule(arrived.incoming, arrived.hop.address) else {
            return Ok(());
        };
        let about = (&arrived.session, arrived.sender);
        judge(core, rule, &arrived.policy.elements, about, rule.demand.of_path()).map(|_| ())
    }

    fn path_in(
        &self,
        core: &mut Core,
        now: Now,
        psb: &mut Psb,
        arrived: &Arrived,
    ) -> Result<bool, Fault> {
        self.path_may_move(core, now, psb, arrived).map(|()| true)
    }

    fn resv_in(
        &self,
        core: &mut Core,
        _now: Now,
        session: Session,
        psb: &mut Psb,
        request: &Request,
    ) -> Result<Admission, Vec<Fault>> {
        if request.outgoing == LOCAL || request.proxied {
            return Ok(Admission::Taken);
        }
        let Some(rule) = core.identity_rule(request.outgoing, request.next_hop) else {
            return Ok(Admission::Taken);
        };
        let about = (&session, psb.sender);
        let found = judge(core, rule, &request.policy.elements, about, rule.demand.of_resv());
        let admitted = found.map_err(|fault| vec![fault])?;
        let Some(own) = admitted.and_then(|(_, admitted)| admitted.account.as_ref()) else {
            return Ok(Admission::Taken);
        };
        let own = wire_account(own);
        let payments = &request.policy.payments;
        let mut named = payments.accounts(psb.sender, request.next_hop);
        match named.all(|account| *account == own) {
            true => Ok(Admission::Taken),
            false => Err(vec![refusal(Doubt::Unknown(ptype::AUTH_USER), "identity_account")]),
        }
    }

    fn path_out(
        &self,
        core: &mut Core,
        _now: Now,
        _psb: &mut Psb,
        session: Session,
        own: Hop,
        out: &mut Out,
    ) -> Result<(), &'static str> {
        // PATH is for whoever routing says: it goes by the interface.
        let rule = core.identity_rule_of_interface(own.lih);
        if let Some(ours) = rule.and_then(|rule| rule.present.as_ref()) {
            present(core, ours, &session, own, out);
        }
        Ok(())
    }

    fn resv_out(&self, core: &Core, about: &ResvOut<'_>, out: &mut Out) {
        if !about.first {
            return;
        }
        let configured = || {
            let rule = core.identity_rule(about.interface, about.phop)?;
            rule.present.as_ref()
        };
        if let Some(ours) = about.identity.or_else(configured) {
            present(core, ours, &about.session, about.own, out);
        }
    }
}

/// Who is meant by these elements: one of them must be right, if there are any or one is demanded.
fn judge<'r>(
    core: &Core,
    rule: &'r IdentityRule,
    elements: &Elements,
    (session, sender): (&Session, Filter),
    demanded: bool,
) -> Result<Option<(&'r str, &'r Admitted)>, Fault> {
    let mut doubt = None;
    for element in P_TYPES.into_iter().flat_map(|ptype| elements.get(ptype, sender)) {
        match credential::judge(rule, &element, session, core.unix_s) {
            Ok(found) => return Ok(Some(found)),
            Err(why) => doubt = doubt.or(Some(why)),
        }
    }
    let doubt = match doubt {
        None if !demanded => return Ok(None),
        None => Doubt::Missing,
        Some(doubt) => doubt,
    };
    Err(refusal(doubt, reason(doubt)))
}

/// The name under which a refusal is counted.
fn reason(doubt: Doubt) -> &'static str {
    match doubt {
        Doubt::Missing => "identity_missing",
        Doubt::Malformed(_) => "identity_malformed",
        Doubt::Unsupported(_) => "identity_unsupported",
        Doubt::Unknown(_) => "identity_unknown",
        Doubt::Signature(_) => "identity_signature",
        Doubt::Expired(_) => "identity_expired",
    }
}

/// Code 02 with the values of RFC 2750 appendix A, and what RFC 3182 section 7 wants said.
fn refusal(doubt: Doubt, reason: &'static str) -> Fault {
    let value = match doubt {
        Doubt::Missing => policy::PD_MISSING,
        Doubt::Malformed(_) => policy::PE_BAD,
        Doubt::Expired(_) => policy::EXPIRED,
        Doubt::Unsupported(_) | Doubt::Unknown(_) | Doubt::Signature(_) => policy::REJECT,
    };
    let (kind, error) = doubt.error();
    Fault::new(error_code::POLICY, value, reason).about_identity(kind, error)
}

fn present(core: &Core, ours: &Credential, session: &Session, own: Hop, out: &mut Out) {
    let options = PolicyOptions::from_hop(own);
    out.object(&options, OBJECT_BYTES_MAX, |sink| {
        credential::write(sink, ours, session, core.unix_s);
    });
}

/// What a policy error says of an identity, for people.
pub(crate) fn explained<'a>(mut objects: impl Iterator<Item = PolicyData<'a>>) -> Option<String> {
    objects.find_map(|object| {
        let mut elements = object.elements().filter(|element| P_TYPES.contains(&element.ptype));
        elements.find_map(|element| {
            let (error, _) = AuthData::parse(&element).ok()?.policy_error()?;
            Some(format!("identity: {}", error.name()))
        })
    })
}

impl Core {
    /// What is agreed about identities with the neighbour `hop` behind an interface.
    pub(crate) fn identity_rule(&self, interface: u32, hop: IpAddr) -> Option<&IdentityRule> {
        let rules = &self.config.identities;
        if rules.is_empty() {
            return None;
        }
        let named = rules.iter().find(|rule| rule.neighbour == Some(hop));
        named.or_else(|| self.identity_rule_of_interface(interface))
    }

    fn identity_rule_of_interface(&self, interface: u32) -> Option<&IdentityRule> {
        let rules = &self.config.identities;
        let name = &self.interfaces.get(interface).filter(|_| !rules.is_empty())?.kernel.name;
        rules.iter().find(|rule| rule.interface.as_ref() == Some(name))
    }

    /// Who reserved, where it was asked: as whom the next hop proved itself. Whoever was named beside
    /// that without a proof is not meant.
    pub(crate) fn identity_of(&self, session: &Session, rsb: &Rsb, sender: Filter) -> Option<&str> {
        let rule = self.identity_rule(rsb.outgoing, rsb.next_hop)?;
        let found = judge(self, rule, &rsb.elements, (session, sender), false);
        found.ok().flatten().map(|(name, _)| name)
    }

    /// Whether the previous hop is still who it said that it was: a credential runs out, though the
    /// message that brought it is repeated for ever.
    pub(crate) fn is_still_identified(&self, session: &Session, psb: &Psb) -> bool {
        let hop = psb.phop_address();
        let rule = hop.and_then(|hop| self.identity_rule(psb.incoming, hop));
        let about = (session, psb.sender);
        let judged = |rule: &IdentityRule| {
            judge(self, rule, &psb.elements, about, rule.demand.of_path()).is_ok()
        };
        rule.is_none_or(judged)
    }

    /// The same of the next hop that reserved.
    pub(crate) fn still_identifies(&self, session: &Session, rsb: &Rsb, sender: Filter) -> bool {
        let rule = self.identity_rule(rsb.outgoing, rsb.next_hop);
        let about = (session, sender);
        let judged = |rule: &IdentityRule| {
            judge(self, rule, &rsb.elements, about, rule.demand.of_resv()).is_ok()
        };
        rule.is_none_or(judged)
    }
}

impl Engine {
    /// Takes other rules and keys than before. What stands by the old ones is judged anew when it is
    /// refreshed, and for that no number will do any more.
    pub fn set_identities(&mut self, rules: Vec<IdentityRule>) {
        if self.core.config.identities == rules {
            return;
        }
        self.core.config.identities = rules;
        self.forget_names();
    }
}
