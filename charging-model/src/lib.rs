//! Who owes whom what for an RSVP reservation.
//!
//! The charging model of *An Embedded Charging Approach for RSVP*, in exact integers: no floating
//! point, no clock, no IO, and no knowledge of how the numbers travel.
//!
//! - [`money`], [`time`]: rates (10⁻¹² currency units per second), amounts (10⁻¹⁵ currency units),
//!   fractions in parts per million; instants in milliseconds, always parameters.
//! - [`split`]: how a charge is divided among branches; the mechanism (largest remainder) apart
//!   from the strategy ([`SplitPolicy`]).
//! - [`shared`]: how a shared link's price falls to its senders.
//! - [`equations`]: one function per equation of the model.
//! - [`tree`]: a whole distribution tree computed at once, the independent expectation that a
//!   network of flows must agree with in equilibrium.
//! - [`flow`]: the charging state of one (session, sender) at one node, driven by announcements
//!   (DCPE), payments (UCPE) and time.
//! - [`curve`]: what a charge comes to by how much is reserved, never understated.
//! - [`parts`]: where a charge arises, as far as hops tell.
//! - [`meter`], [`ledger`]: rate × time, and the accounts of neighbours.

pub mod curve;
pub mod equations;
pub mod flow;
pub mod ledger;
pub mod meter;
pub mod money;
pub mod parts;
pub mod refund;
pub mod shared;
pub mod split;
pub mod time;
pub mod tree;

pub use curve::{CURVE_POINTS_MAX, Curve};
pub use flow::{
    Account, Announcement, BranchView, Cause, Changes, Closed, Flow, FlowConfig, Happening,
    OwnPayment, Payment, Price, Quote, Reason, Refusal, Turn, Turned, Verdict,
};
pub use ledger::{Entry, Ledger, Posting};
pub use money::{Amount, FractionAboveOne, Overflow, Ppm, Rate};
pub use parts::{PARTS_MAX, Part, Parts};
pub use refund::{Grant, Refunded};
pub use shared::shared_local_prices;
pub use split::{BranchFacts, BranchKey, EqualNextHop, Flowspec, LOCAL_GROUP, SplitPolicy};
pub use time::{Clock, Millis, Span};
