//! The interfaces of a configuration: what each one inherits, and whether it makes sense.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use toml::Spanned;

use super::check::number;
use super::problem::Problems;
use super::raw;
use super::{
    DEFAULT_INTERFACE_BUNDLE, DEFAULT_INTERFACE_CHARGING, DEFAULT_INTERFACE_HELLO_MS,
    DEFAULT_INTERFACE_NON_RSVP_HOP, DEFAULT_INTERFACE_PRICE_CURVE,
    DEFAULT_INTERFACE_REFRESH_REDUCTION, DEFAULT_INTERFACE_ROLE, DEFAULT_INTERFACE_RSVP, Interface,
    LinkRole, NO_LIMIT, REFRESH_MS_MAX, REFRESH_MS_MIN, VALIDITY_MS_MAX, moving, refund, split,
    tariff,
};
use crate::tariff::{Class, Congestion, Refunds, Schedule, Split, Tariff};

/// Longest interface name in bytes: `IFNAMSIZ` less its closing zero (netdevice(7)).
const NAME_BYTES_MAX: usize = 15;

/// Longest period of Hello messages: an hour.
const HELLO_MS_MAX: u32 = 3_600_000;

/// What the other tables lay down for every interface.
#[derive(Debug)]
pub(super) struct Inherited {
    /// Whether the node charges at all.
    pub(super) charges: bool,
    /// The `[charging]` table.
    pub(super) charging_place: Range<usize>,
    /// Whether an interface that charges must have a price: on a router that charges.
    pub(super) needs_price: bool,
    /// `rsvp.refresh_ms`.
    pub(super) refresh_ms: u32,
    /// `charging.validity_ms`.
    pub(super) validity_ms: u32,
    /// Where one of these two is given, if it is: the defaults go together.
    pub(super) timing_place: Option<Range<usize>>,
}

/// Settings of an interface before it is known whether a price is missing.
#[derive(Debug, Clone)]
struct Settings {
    rsvp: bool,
    non_rsvp_hop: bool,
    reservable_bits_per_s: u64,
    charging: bool,
    validity_ms: u32,
    refresh_ms: u32,
    refresh_reduction: bool,
    bundle: bool,
    hello_ms: u32,
    role: LinkRole,
    /// Where one of the first two periods was set last.
    timing_place: Option<Range<usize>>,
    tariff: Option<Class>,
    guaranteed_tariff: Option<Class>,
    refunds: Refunds,
    schedule: Option<Schedule>,
    congestion: Option<Congestion>,
    /// Where that was set last.
    congestion_place: Option<Range<usize>>,
    split: Split,
    price_curve: bool,
}

/// Checks `[default_interface]` and every `[[interface]]`.
pub(super) fn check(
    inherited: &Inherited,
    default: Option<Spanned<raw::Interface>>,
    named: Vec<Spanned<raw::Interface>>,
    problems: &mut Problems<'_>,
) -> (Interface, BTreeMap<String, Interface>) {
    let base = Settings {
        rsvp: DEFAULT_INTERFACE_RSVP,
        non_rsvp_hop: DEFAULT_INTERFACE_NON_RSVP_HOP,
        reservable_bits_per_s: NO_LIMIT,
        charging: DEFAULT_INTERFACE_CHARGING,
        validity_ms: inherited.validity_ms,
        refresh_ms: inherited.refresh_ms,
        refresh_reduction: DEFAULT_INTERFACE_REFRESH_REDUCTION,
        bundle: DEFAULT_INTERFACE_BUNDLE,
        hello_ms: DEFAULT_INTERFACE_HELLO_MS,
        role: DEFAULT_INTERFACE_ROLE,
        timing_place: inherited.timing_place.clone(),
        tariff: None,
        guaranteed_tariff: None,
        refunds: Refunds::default(),
        schedule: None,
        congestion: None,
        congestion_place: None,
        split: Split::Equal,
        price_curve: DEFAULT_INTERFACE_PRICE_CURVE,
    };
    let default_place = default.as_ref().map(Spanned::span);
    let raw_default = default.map(Spanned::into_inner).unwrap_or_default();
    if let Some(name) = &raw_default.name {
        problems.at(
            name.span(),
            "these settings are for interfaces without a name".to_owned(),
            "remove the name, or write [[interface]] above".to_owned(),
        );
    }
    let fallback = settings(&base, &raw_default, problems);

    let mut interfaces = BTreeMap::new();
    for table in named {
        let place = table.span();
        let raw = table.into_inner();
        let settings = settings(&fallback, &raw, problems);
        let Some(name) = name(raw.name, &place, problems) else { continue };
        let key = format!("interface[{}].tariff", name.get_ref());
        let interface = settings.finished(inherited, key, Some(place), problems);
        match interfaces.entry(name.get_ref().clone()) {
            Entry::Vacant(free) => drop(free.insert(interface)),
            Entry::Occupied(_) => problems.at(
                name.span(),
                "another [[interface]] has this name".to_owned(),
                "put the settings of an interface into one table".to_owned(),
            ),
        }
    }
    let key = "default_interface.tariff".to_owned();
    let default = fallback.finished(inherited, key, default_place, problems);
    (default, interfaces)
}

impl Settings {
    /// The effective settings, with a complaint under `key` if the interface needs a price.
    fn finished(
        self,
        inherited: &Inherited,
        key: String,
        place: Option<Range<usize>>,
        problems: &mut Problems<'_>,
    ) -> Interface {
        if inherited.needs_price && self.rsvp && self.charging && self.tariff.is_none() {
            problems.missing(
                place.unwrap_or_else(|| inherited.charging_place.clone()),
                key,
                "an interface that charges needs a price",
                "add tariff = { price_pico_per_s = N }, here or in [default_interface] (which \
                 also stands for interfaces that have no table), or charging = false",
            );
        }
        let charging = self.charging && inherited.charges;
        if charging && self.rsvp {
            self.check_validity(problems);
            self.check_congestion(problems);
        }
        Interface {
            rsvp: self.rsvp,
            non_rsvp_hop: self.non_rsvp_hop,
            reservable_bits_per_s: self.reservable_bits_per_s,
            charging,
            tariff: match self.tariff {
                Some(controlled_load) => Tariff {
                    schedule: self.schedule,
                    congestion: self.congestion,
                    split: self.split,
                    refunds: self.refunds,
                    curve: self.price_curve,
                    ..Tariff::new(controlled_load, self.guaranteed_tariff)
                },
                None => Tariff {
                    split: self.split,
                    refunds: self.refunds,
                    curve: self.price_curve,
                    ..Tariff::free()
                },
            },
            validity_ms: self.validity_ms,
            refresh_ms: self.refresh_ms,
            refresh_reduction: self.refresh_reduction,
            bundle: self.bundle,
            hello_ms: self.hello_ms,
            role: self.role,
        }
    }

    /// Prices that follow how full the interface is need to know when it is.
    fn check_congestion(&self, problems: &mut Problems<'_>) {
        if self.congestion.is_none() || self.reservable_bits_per_s != NO_LIMIT {
            return;
        }
        problems.at(
            self.congestion_place.clone().unwrap_or(0..0),
            "prices cannot follow how full an interface is that has no limit".to_owned(),
            "add reservable_bits_per_s = N, what may be reserved there in all, to this table or to \
             [default_interface]; or move congestion to the [[interface]] that has it"
                .to_owned(),
        );
    }

    /// A quote must outlive the longest wait for the next PATH, 1.5 · R (RFC 2205 section 3.7),
    /// or it lapses while nothing is lost.
    fn check_validity(&self, problems: &mut Problems<'_>) {
        let wait_ms = self.refresh_ms.saturating_add(self.refresh_ms / 2);
        if self.validity_ms >= wait_ms {
            return;
        }
        let what = format!(
            "prices valid for {} ms would lapse between refreshes, up to {wait_ms} ms apart",
            self.validity_ms
        );
        let remedy = format!("set validity_ms to {wait_ms} or more, or lower refresh_ms");
        problems.at(self.timing_place.clone().unwrap_or(0..0), what, remedy);
    }
}

/// The settings given in one table, the others from `base`.
fn settings(base: &Settings, raw: &raw::Interface, problems: &mut Problems<'_>) -> Settings {
    let ms = " milliseconds";
    let validity = raw.validity_ms.as_ref();
    let refresh = raw.refresh_ms.as_ref();
    let refreshes = REFRESH_MS_MIN..=REFRESH_MS_MAX;
    Settings {
        rsvp: raw.rsvp.as_ref().map_or(base.rsvp, |given| *given.get_ref()),
        non_rsvp_hop: raw.non_rsvp_hop.as_ref().map_or(base.non_rsvp_hop, |given| *given.get_ref()),
        reservable_bits_per_s: raw
            .reservable_bits_per_s
            .as_ref()
            .map_or(base.reservable_bits_per_s, |given| *given.get_ref()),
        charging: raw.charging.as_ref().map_or(base.charging, |given| *given.get_ref()),
        validity_ms: number(validity, base.validity_ms, 1..=VALIDITY_MS_MAX, ms, problems),
        refresh_ms: number(refresh, base.refresh_ms, refreshes, ms, problems),
        refresh_reduction: raw
            .refresh_reduction
            .as_ref()
            .map_or(base.refresh_reduction, |given| *given.get_ref()),
        bundle: raw.bundle.as_ref().map_or(base.bundle, |given| *given.get_ref()),
        hello_ms: number(raw.hello_ms.as_ref(), base.hello_ms, 0..=HELLO_MS_MAX, ms, problems),
        role: raw.role.as_ref().map_or(base.role, |given| *given.get_ref()),
        timing_place: validity
            .or(refresh)
            .map_or_else(|| base.timing_place.clone(), |given| Some(given.span())),
        tariff: match &raw.tariff {
            Some(given) => Some(tariff::class(given, problems)),
            None => base.tariff.clone(),
        },
        // Whoever gives a price to one class gives it to both, unless the other has its own.
        guaranteed_tariff: match (&raw.guaranteed_tariff, &raw.tariff) {
            (Some(given), _) => Some(tariff::class(given, problems)),
            (None, Some(_)) => None,
            (None, None) => base.guaranteed_tariff.clone(),
        },
        refunds: Refunds {
            controlled_load: match &raw.refund {
                Some(given) => Some(refund::check(given, problems)),
                None => base.refunds.controlled_load,
            },
            // Whoever grants something to one class grants it to both, unless the other has its own.
            guaranteed: match (&raw.guaranteed_refund, &raw.refund) {
                (Some(given), _) => Some(refund::check(given, problems)),
                (None, Some(_)) => None,
                (None, None) => base.refunds.guaranteed,
            },
        },
        schedule: match &raw.schedule {
            Some(given) => moving::schedule(given, problems),
            None => base.schedule.clone(),
        },
        congestion: match &raw.congestion {
            Some(given) => moving::congestion(given, problems),
            None => base.congestion.clone(),
        },
        congestion_place: match &raw.congestion {
            Some(given) => Some(given.span()),
            None => base.congestion_place.clone(),
        },
        split: match &raw.split {
            Some(given) => split::check(given, problems),
            None => base.split.clone(),
        },
        price_curve: raw.price_curve.as_ref().map_or(base.price_curve, |given| *given.get_ref()),
    }
}

/// The interface's name, if it is one.
fn name(
    given: raw::Given<String>,
    place: &Range<usize>,
    problems: &mut Problems<'_>,
) -> Option<Spanned<String>> {
    let Some(name) = given else {
        problems.missing(
            place.clone(),
            "interface.name".to_owned(),
            "an [[interface]] needs a name",
            "add name = \"eth0\", as `ip link` shows it",
        );
        return None;
    };
    let text = name.get_ref();
    let sound = (1..=NAME_BYTES_MAX).contains(&text.len())
        && text != "."
        && text != ".."
        && !text.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control());
    if sound {
        return Some(name);
    }
    problems.at(
        name.span(),
        "not the name of an interface".to_owned(),
        format!("write 1 to {NAME_BYTES_MAX} bytes as `ip link` shows them, without / and :"),
    );
    None
}
