//! Policy elements as JSON: `ptype`, `length`, `name`, then the fields.

use rsvp_wire::charging::{
    Account, ChargingError, ChargingFlags, ChgErr, Dcpe, HopRecord, PricePoint, Refunded, Terms,
    Ucpe,
};
use rsvp_wire::iana::{self, ptype};
use rsvp_wire::object::PolicyElement;
use rsvp_wire::policy::{
    AddressSpec, Attribute, AuthAttribute, AuthData, AuthSession, Element, PolicyError, PortList,
    Resources, SessionAttribute,
};

use super::money;
use super::object::service_name;
use super::record::{Record, hex};

/// Why an element's fields cannot be shown.
enum Fault {
    /// It is of a kind or version that is only carried.
    Unknown,
    /// It is malformed; why.
    Malformed(String),
}

impl From<ChargingError> for Fault {
    fn from(error: ChargingError) -> Self {
        match error {
            ChargingError::HigherVersion(_) => Self::Unknown,
            other => Self::Malformed(other.to_string()),
        }
    }
}

impl From<PolicyError> for Fault {
    fn from(error: PolicyError) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// An element with its fields. One that cannot be read has its bytes in `data`, and `error` if that
/// is because it is malformed.
pub(super) fn record(element: &PolicyElement<'_>) -> Record {
    let mut record = Record::new();
    record.put("ptype", element.ptype);
    record.put("length", element.bytes.len() as u64);
    record.put("name", iana::ptype_name(element.ptype).unwrap_or("unknown"));
    if element.is_empty() {
        record.put("empty", true);
        return record;
    }
    match fields(element) {
        Ok(fields) => record.extend(fields),
        Err(fault) => {
            record.put("data", hex(element.data));
            if let Fault::Malformed(error) = fault {
                record.put("error", error);
            }
        }
    }
    record
}

fn fields(element: &PolicyElement<'_>) -> Result<Record, Fault> {
    Ok(match element.ptype {
        ptype::DCPE => dcpe(&Dcpe::parse(element.bytes)?),
        ptype::UCPE => ucpe(&Ucpe::parse(element.bytes)?),
        ptype::CHG_ERR => chg_err(&ChgErr::parse(element.bytes)?),
        _ => match Element::parse(element)? {
            Element::PreemptionPri(priority) => Record::new()
                .with("merge_strategy", u8::from(priority.merge_strategy))
                .with("merge_strategy_name", priority.merge_strategy.name())
                .with("error_code", u8::from(priority.error))
                .with("preemption_priority", priority.preemption)
                .with("defending_priority", priority.defending),
            Element::AdmissionPri(priority) => Record::new()
                .with("merge_strategy", u8::from(priority.merge_strategy))
                .with("merge_strategy_name", priority.merge_strategy.name())
                .with("error_code", u8::from(priority.error))
                .with("admission_priority", priority.priority),
            Element::AppResourcePri(list) => {
                let alrp = |alrp: rsvp_wire::policy::Alrp| {
                    Record::new().with("namespace", alrp.namespace).with("value", alrp.value)
                };
                Record::new().with("priorities", list.priorities().map(alrp).collect::<Vec<_>>())
            }
            Element::AuthUser(data) | Element::AuthApp(data) => auth_data(&data),
            Element::AuthSession(session) => auth_session(&session),
            _ => return Err(Fault::Unknown),
        },
    })
}

fn flags(flags: ChargingFlags) -> bool {
    flags.contains(ChargingFlags::NON_CHARGING_HOP)
}

fn currency(record: &mut Record, number: u16) {
    record.put("currency", number);
    record.put_some("currency_code", money::letters(number));
}

fn dcpe(dcpe: &Dcpe) -> Record {
    let mut record = Record::new();
    record.put("flags", dcpe.flags.bits());
    record.put("non_charging_hop", flags(dcpe.flags));
    currency(&mut record, dcpe.currency);
    record.put("exponent", dcpe.exponent);
    record.put("time_unit", dcpe.time_unit);
    record.put("service", dcpe.service);
    record.put("service_name", service_name(dcpe.service));
    record.put("total", dcpe.total);
    record.put("max_total", dcpe.max_total);
    record.put("validity_ms", dcpe.validity_ms);
    record.put("epoch", dcpe.epoch);
    terms(&mut record, &dcpe.terms);
    record
}

fn ucpe(ucpe: &Ucpe) -> Record {
    let mut record = Record::new();
    record.put("flags", ucpe.flags.bits());
    record.put("non_charging_hop", flags(ucpe.flags));
    currency(&mut record, ucpe.currency);
    record.put("exponent", ucpe.exponent);
    record.put("time_unit", ucpe.time_unit);
    record.put("service", ucpe.service);
    record.put("service_name", service_name(ucpe.service));
    record.put("payment", ucpe.payment);
    record.put("announced_total", ucpe.announced_total);
    record.put("sender_payment", ucpe.sender_payment);
    record.put("local_sum", ucpe.local_sum);
    record.put("epoch_echo", ucpe.epoch_echo);
    record.put("sequence", ucpe.sequence);
    record.put("instance", ucpe.instance);
    record.put("account", account(&ucpe.account));
    terms(&mut record, &ucpe.terms);
    record
}

fn chg_err(error: &ChgErr) -> Record {
    let mut record = Record::new();
    record.put("reason", error.reason);
    currency(&mut record, error.currency);
    record.put("exponent", error.exponent);
    record.put("required", error.required);
    record.put("offered", error.offered);
    record.put("epoch", error.epoch);
    record.put("sequence", error.sequence);
    terms(&mut record, &error.terms);
    record
}

fn account(account: &Account) -> Record {
    Record::new()
        .with("kind", u8::from(account.kind))
        .with("kind_name", account.kind.name())
        .with_text("id", account)
}

/// The TLVs that are there.
fn terms(record: &mut Record, terms: &Terms) {
    record.put_some("sender_fraction_ppm", terms.sender_fraction);
    record.put_some("account", terms.account.as_ref().map(account));
    record.put_some("limit_per_receiver", terms.limit_per_receiver);
    record.put_some("limit_per_hop", terms.limit_per_hop);
    record.put_some("max_hops", terms.max_hops);
    record.put_some("sponsored", terms.sponsored);
    record.put_some("quantity_bits_per_s", terms.quantity);
    record.put_some(
        "refund",
        terms.refund.map(|refund| {
            Record::new()
                .with("policy", u8::from(refund.policy))
                .with("policy_name", refund.policy.name())
                .with("threshold_ms", u32::from(refund.threshold) * 100)
        }),
    );
    record.put_some("receivers_below", terms.receivers_below);
    record.put_some("established", terms.established);
    let hop = |hop: &HopRecord| {
        Record::new()
            .with("detail", hop.detail)
            .with_text("address", hop.address)
            .with("local_price", hop.local_price)
    };
    let point = |point: &PricePoint| {
        Record::new().with("bits_per_s", point.bits_per_s).with("rate", point.rate)
    };
    put_list(record, "hop_records", terms.hop_records().iter().map(hop).collect());
    put_list(record, "price_curve", terms.price_curve().iter().map(point).collect());
    let refunded = |it: &Refunded| {
        Record::new()
            .with("instance", it.instance)
            .with("since", it.since)
            .with("payer", it.payer)
            .with("time_ms", it.time_ms)
            .with("ago_ms", it.ago_ms)
            .with_text("amount", it.amount)
    };
    put_list(record, "refunded", terms.refunded().iter().map(refunded).collect());
    let unknown = terms.unknown_tlvs().map(|tlv| {
        Record::new().with("type", tlv.kind).with("flags", tlv.flags).with("data", hex(tlv.value))
    });
    put_list(record, "unknown_tlvs", unknown.collect());
}

fn put_list(record: &mut Record, name: &'static str, list: Vec<Record>) {
    if !list.is_empty() {
        record.put(name, list);
    }
}

/// Text where the bytes are printable ASCII, escaped where not.
fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn other(attribute: &Attribute<'_>) -> Record {
    Record::new()
        .with("type", attribute.kind)
        .with("subtype", attribute.subtype)
        .with("data", hex(attribute.value))
}

fn auth_data(data: &AuthData<'_>) -> Record {
    let attribute = |attribute| match attribute {
        AuthAttribute::PolicyLocator(kind, value) => Record::new()
            .with("name", "POLICY_LOCATOR")
            .with("subtype", u8::from(kind))
            .with("subtype_name", kind.name())
            .with("value", text(value)),
        AuthAttribute::Credential(kind, value) => Record::new()
            .with("name", "CREDENTIAL")
            .with("subtype", u8::from(kind))
            .with("subtype_name", kind.name())
            .with("value", text(value)),
        AuthAttribute::DigitalSignature(value) => {
            Record::new().with("name", "DIGITAL_SIGNATURE").with("data", hex(value))
        }
        AuthAttribute::PolicyError(error, value) => Record::new()
            .with("name", "POLICY_ERROR_OBJECT")
            .with("error_value", u16::from(error))
            .with("error_name", error.name())
            .with("value", text(value)),
        AuthAttribute::Other(attribute) => other(&attribute),
    };
    Record::new().with("attributes", data.attributes().map(attribute).collect::<Vec<_>>())
}

fn auth_session(session: &AuthSession<'_>) -> Record {
    let attribute = |attribute| match attribute {
        SessionAttribute::Entity(kind, value) => Record::new()
            .with("name", "AUTH_ENT_ID")
            .with("subtype", u8::from(kind))
            .with("subtype_name", kind.name())
            .with("value", text(value)),
        SessionAttribute::SessionId(value) => {
            Record::new().with("name", "SESSION_ID").with("data", hex(value))
        }
        SessionAttribute::Source(spec) => address_spec("SOURCE_ADDR", &spec),
        SessionAttribute::Destination(spec) => address_spec("DEST_ADDR", &spec),
        SessionAttribute::StartTime(ntp) => {
            Record::new().with("name", "START_TIME").with("ntp", ntp)
        }
        SessionAttribute::EndTime(ntp) => Record::new().with("name", "END_TIME").with("ntp", ntp),
        SessionAttribute::Resources(resources) => self::resources(&resources),
        SessionAttribute::AuthenticationData(value) => {
            Record::new().with("name", "AUTHENTICATION_DATA").with("data", hex(value))
        }
        SessionAttribute::Other(attribute) => other(&attribute),
    };
    Record::new().with("attributes", session.attributes().map(attribute).collect::<Vec<_>>())
}

fn address_spec(name: &'static str, spec: &AddressSpec<'_>) -> Record {
    let record = Record::new().with("name", name);
    let ports = |list: &PortList<'_>| list.ports().collect::<Vec<_>>();
    match spec {
        AddressSpec::V4(address) => record.with_text("address", address),
        AddressSpec::V6(address) => record.with_text("address", address),
        AddressSpec::UdpPorts(list) => record.with("udp_ports", ports(list)),
        AddressSpec::TcpPorts(list) => record.with("tcp_ports", ports(list)),
        AddressSpec::Other(subtype, value) => {
            record.with("subtype", *subtype).with("data", hex(value))
        }
    }
}

fn resources(resources: &Resources<'_>) -> Record {
    let record = Record::new().with("name", "RESOURCES");
    match *resources {
        Resources::Bandwidth(kbps) => record.with("bandwidth_kbit_per_s", kbps),
        Resources::FlowSpec(value) => record.with("flowspec", hex(value)),
        Resources::Sdp(value) => record.with("sdp", text(value)),
        Resources::Dscp(value) => record.with("dscp", hex(value)),
        Resources::Other(subtype, value) => {
            record.with("subtype", subtype).with("data", hex(value))
        }
    }
}
