//! Tariffs: what a reservation on an interface costs (L of the charging model).
//!
//! Mechanism apart from strategy: the charging model takes prices as numbers and knows nothing of
//! where they come from; here each way to find one is a file of its own that implements [`Shape`],
//! chosen and given its numbers by the configuration. A [`Tariff`] has a shape for each service
//! class, and a version that consents record.

mod bucket;
mod congestion;
mod flat;
mod guaranteed;
mod rate;
mod refund;
mod schedule;
mod split;

use std::fmt;
use std::sync::Arc;

use charging_model::Curve;
use rsvp_wire::object::{FlowSpec, Tspec};
use sha2::{Digest, Sha256};

pub use bucket::Bucket;
pub use congestion::Congestion;
pub use flat::Flat;
pub use guaranteed::Guaranteed;
pub use rate::Rate;
pub use refund::Refunds;
pub use schedule::{DAY_MINUTES, DAYS, Schedule, Window};
pub use split::Split;

/// Bits per second in the unit that prices by rate are given for, a Mbit/s.
const MBIT: u128 = 1_000_000;
/// Bytes in the unit that prices by bucket depth are given for.
const KBYTE: u128 = 1_000;

/// A service class (RFC 2210).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// RFC 2211.
    ControlledLoad,
    /// RFC 2212.
    Guaranteed,
}

impl Service {
    /// The service number of RFC 2210.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Service::ControlledLoad => 5,
            Service::Guaranteed => 2,
        }
    }
}

/// What is reserved, as tariffs see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// The service class.
    pub service: Service,
    /// Token rate r, bit/s; not above what the sender says that it sends.
    pub rate: u64,
    /// Bucket depth b, bytes; not above what the sender says.
    pub bucket: u64,
    /// What traffic control sets aside, bit/s: R of guaranteed service, else the token rate.
    pub reserved: u64,
    /// Slack S of guaranteed service, microseconds.
    pub slack_us: u32,
}

impl Demand {
    /// What a flowspec takes of an interface, where the sender sends `tspec`: traffic control
    /// reserves no more for it than the sender uses (RFC 2205 section 2.2, TC_Flowspec).
    #[must_use]
    pub fn of(flowspec: &FlowSpec, tspec: &Tspec) -> Self {
        let asked = flowspec.tspec();
        let rate = asked.rate.min(tspec.rate).to_integer().saturating_mul(8);
        let bucket = asked.bucket.min(tspec.bucket).to_integer();
        match flowspec {
            FlowSpec::ControlledLoad(_) => {
                Self { service: Service::ControlledLoad, rate, bucket, reserved: rate, slack_us: 0 }
            }
            FlowSpec::Guaranteed { rate: reserved, slack, .. } => Self {
                service: Service::Guaranteed,
                rate,
                bucket,
                reserved: reserved.to_integer().saturating_mul(8).max(rate),
                slack_us: *slack,
            },
        }
    }

    /// What is quoted before anybody reserves: controlled load for all that the sender sends.
    #[must_use]
    pub fn quoted(tspec: &Tspec) -> Self {
        Self::of(&FlowSpec::ControlledLoad(*tspec), tspec)
    }

    /// The most that is likely to be asked for: guaranteed service at the peak rate, without
    /// slack. More than that is quoted when it is asked for.
    #[must_use]
    pub fn most(tspec: &Tspec) -> Self {
        let rate = if tspec.peak.is_finite() { tspec.peak.max(tspec.rate) } else { tspec.rate };
        Self::of(&FlowSpec::Guaranteed { tspec: *tspec, rate, slack: 0 }, tspec)
    }
}

/// A way to find a price: pure, and never less for more of the same.
pub trait Shape: fmt::Debug + Send + Sync {
    /// The word for it in the configuration.
    fn kind(&self) -> &'static str;

    /// L in 10⁻¹² currency units per second; what does not fit is the greatest number.
    fn price(&self, demand: &Demand) -> u64;

    /// Whether the price goes by what is reserved.
    fn by_demand(&self) -> bool {
        true
    }

    /// Whether each bit/s of a whole Mbit/s costs as much as any other, but for what is rounded off.
    /// Otherwise a price curve is drawn by steps.
    fn is_linear(&self) -> bool {
        false
    }

    /// Its settings by name, as the configuration has them.
    fn settings(&self) -> Vec<(&'static str, u64)>;
}

/// A price for one service class, and the most that it may become.
#[derive(Debug, Clone)]
pub struct Class {
    shape: Arc<dyn Shape>,
    most: Most,
}

/// The most that a price may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Most {
    /// So much, whatever is reserved, in 10⁻¹² currency units per second.
    Price(u64),
    /// So many percent of the price.
    Percent(u32),
}

impl Class {
    /// A price found in this way.
    #[must_use]
    pub fn new(shape: impl Shape + 'static, most: Most) -> Self {
        Self { shape: Arc::new(shape), most }
    }

    /// L.
    #[must_use]
    pub fn price(&self, demand: &Demand) -> u64 {
        self.shape.price(demand)
    }

    /// Lmax; never below the price.
    #[must_use]
    pub fn most(&self, demand: &Demand) -> u64 {
        let price = self.price(demand);
        match self.most {
            Most::Price(most) => most.max(price),
            Most::Percent(percent) => percent_of(price, percent).max(price),
        }
    }

    /// How the price is found.
    #[must_use]
    pub fn shape(&self) -> &dyn Shape {
        &*self.shape
    }
}

impl PartialEq for Class {
    fn eq(&self, other: &Self) -> bool {
        let Self { shape, most } = self;
        (shape.kind(), shape.settings(), *most)
            == (other.shape.kind(), other.shape.settings(), other.most)
    }
}

impl Eq for Class {}

impl fmt::Display for Class {
    /// As a table of the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{ kind = \"{}\"", self.shape.kind())?;
        for (name, value) in self.shape.settings() {
            write!(f, ", {name} = {value}")?;
        }
        match self.most {
            Most::Price(most) => write!(f, ", max_price_pico_per_s = {most} }}"),
            Most::Percent(percent) => write!(f, ", max_percent = {percent} }}"),
        }
    }
}

/// How the local price of an interface is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tariff {
    /// For controlled load, and for what is quoted before anybody reserves.
    pub controlled_load: Class,
    /// For guaranteed service; `None` is as for controlled load.
    pub guaranteed: Option<Class>,
    /// When both are dearer or cheaper.
    pub schedule: Option<Schedule>,
    /// How both follow what is reserved on the interface.
    pub congestion: Option<Congestion>,
    /// How what the previous hops behind the interface charge is shared by the next hops.
    pub split: Split,
    /// What next hops are granted for outages.
    pub refunds: Refunds,
    /// Whether next hops are told what other rates would cost (PRICE_CURVE).
    pub curve: bool,
}

/// What prices are multiplied by for the time being, in percent each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Factors {
    /// By the time of day and the day of the week.
    pub schedule: u32,
    /// By how full the interface is.
    pub congestion: u32,
}

impl Factors {
    /// Prices as they are.
    pub const ONE: Factors = Factors { schedule: 100, congestion: 100 };

    fn of(self, price: u64) -> u64 {
        u64::try_from(self.product(price) / 10_000).unwrap_or(u64::MAX)
    }

    /// As [`of`](Self::of), rounded up; `None` if it does not fit.
    fn at_most(self, price: u64) -> Option<u64> {
        u64::try_from(self.product(price).div_ceil(10_000)).ok()
    }

    fn product(self, price: u64) -> u128 {
        u128::from(price) * u128::from(self.schedule) * u128::from(self.congestion)
    }
}

/// Into how many parts a price curve is drawn that is not known to be linear.
const CURVE_STEPS: u64 = 12;

impl Tariff {
    /// So much per second, whatever is reserved, and at most that much.
    #[must_use]
    pub fn flat(price_pico_per_s: u64, max_price_pico_per_s: u64) -> Self {
        Self::new(Class::new(Flat { price_pico_per_s }, Most::Price(max_price_pico_per_s)), None)
    }

    /// Prices for both service classes that are the same at all times.
    #[must_use]
    pub fn new(controlled_load: Class, guaranteed: Option<Class>) -> Self {
        Self {
            controlled_load,
            guaranteed,
            schedule: None,
            congestion: None,
            split: Split::Equal,
            refunds: Refunds::default(),
            curve: false,
        }
    }

    /// The tariff that charges nothing.
    #[must_use]
    pub fn free() -> Self {
        Self::flat(0, 0)
    }

    fn class(&self, service: Service) -> &Class {
        match (service, &self.guaranteed) {
            (Service::Guaranteed, Some(class)) => class,
            _ => &self.controlled_load,
        }
    }

    /// L, in 10⁻¹² currency units per second.
    #[must_use]
    pub fn price(&self, demand: &Demand, factors: Factors) -> u64 {
        factors.of(self.class(demand.service).price(demand))
    }

    /// Lmax, the most that L may become for this demand while the tariff stands: at any time of the
    /// week, however full the interface is.
    #[must_use]
    pub fn most(&self, demand: &Demand) -> u64 {
        self.most_factors().of(self.class(demand.service).most(demand))
    }

    /// L for up to what `sends` is, by the token rate of controlled load that is reserved of it: nowhere
    /// below [`price`](Self::price). `None` where that does not fit.
    #[must_use]
    pub fn price_curve(&self, sends: &Demand, factors: Factors) -> Option<Curve> {
        let class = self.class(Service::ControlledLoad);
        let price = |rate| {
            let part = Demand { rate, reserved: rate, ..*sends };
            let price = Some(class.price(&part)).filter(|price| *price < u64::MAX)?;
            factors.at_most(price).map(charging_model::Rate)
        };
        if !class.shape.by_demand() {
            return Some(Curve::level(price(0)?));
        }
        let most = sends.rate.max(1);
        if class.shape.is_linear() {
            // At whole Mbit/s nothing is rounded off.
            let mbit = u64::try_from(MBIT).ok()?;
            let end = most.checked_next_multiple_of(mbit)?;
            return Curve::new([(0, price(0)?), (end, price(end)?)]);
        }
        // Whatever lies between two of them costs no more than the dearer one.
        let steps = most.div_ceil(CURVE_STEPS).max(1);
        let at = |step: u64| steps.checked_mul(step);
        let points = (0..=CURVE_STEPS).map(|step| Some((at(step)?, price(at(step + 1)?)?)));
        Curve::new(points.collect::<Option<Vec<_>>>()?)
    }

    /// The greatest factors that there will ever be.
    #[must_use]
    pub fn most_factors(&self) -> Factors {
        Factors {
            schedule: self.schedule.as_ref().map_or(100, Schedule::most_percent),
            congestion: self.congestion.as_ref().map_or(100, Congestion::most_percent),
        }
    }

    /// Whether prices move by themselves.
    #[must_use]
    pub fn moves(&self) -> bool {
        self.schedule.is_some() || self.congestion.is_some()
    }

    /// Whether the price goes by what is reserved.
    #[must_use]
    pub fn by_demand(&self) -> bool {
        let other = self.guaranteed.as_ref();
        // Where the classes have each a price of their own, what is reserved decides too.
        self.controlled_load.shape.by_demand() || other.is_some()
    }

    /// What identifies its prices in records: the same for the same settings, also after a restart,
    /// and almost surely another for others. The first 32 bits of the SHA-256 of their text. The
    /// split has a version of its own.
    #[must_use]
    pub fn version(&self) -> u32 {
        match Sha256::digest(Prices(self).to_string()).first_chunk() {
            Some(first) => u32::from_be_bytes(*first),
            None => 0,
        }
    }

    /// L of a demand that takes nothing: all of a flat price, the base of another one.
    #[must_use]
    pub fn price_pico_per_s(&self) -> u64 {
        self.base_price(Factors::ONE)
    }

    /// As [`price_pico_per_s`](Self::price_pico_per_s), multiplied.
    #[must_use]
    pub fn base_price(&self, factors: Factors) -> u64 {
        self.price(&NOTHING, factors)
    }

    /// Lmax of a demand that takes nothing.
    #[must_use]
    pub fn max_price_pico_per_s(&self) -> u64 {
        self.most(&NOTHING)
    }
}

const NOTHING: Demand =
    Demand { service: Service::ControlledLoad, rate: 0, bucket: 0, reserved: 0, slack_us: 0 };

/// All but the split, and what is told of them.
struct Prices<'a>(&'a Tariff);

impl fmt::Display for Prices<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tariff {
            controlled_load,
            guaranteed,
            schedule,
            congestion,
            refunds,
            split: _,
            curve: _,
        } = self.0;
        write!(f, "tariff = {controlled_load}")?;
        if let Some(class) = guaranteed {
            write!(f, "\nguaranteed_tariff = {class}")?;
        }
        if let Some(schedule) = schedule {
            write!(f, "\nschedule = {schedule}")?;
        }
        if let Some(congestion) = congestion {
            write!(f, "\ncongestion = {congestion}")?;
        }
        refunds.fmt(f)
    }
}

impl fmt::Display for Tariff {
    /// As keys of a table of the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Prices(self))?;
        if !self.split.is_equal() {
            write!(f, "\nsplit = {}", self.split)?;
        }
        if self.curve {
            f.write_str("\nprice_curve = true")?;
        }
        Ok(())
    }
}

/// A base, and so much for each Mbit/s that is set aside.
fn by_rate(demand: &Demand, price_pico_per_s: u64, per_mbit_pico_per_s: u64) -> u64 {
    price_pico_per_s.saturating_add(linear(demand.reserved, per_mbit_pico_per_s, MBIT))
}

/// `amount` units at `price` for `unit` of them: never more than the exact product.
fn linear(amount: u64, price: u64, unit: u128) -> u64 {
    let product = u128::from(amount).saturating_mul(price.into());
    u64::try_from(product.checked_div(unit).unwrap_or(0)).unwrap_or(u64::MAX)
}

fn percent_of(price: u64, percent: u32) -> u64 {
    linear(price, percent.into(), 100)
}

#[cfg(test)]
mod tests;
