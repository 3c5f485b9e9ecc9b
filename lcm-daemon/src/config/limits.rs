//! `[limits]`: how much others may make this node keep and do. One line a limit, from which its
//! field, default, check and rendering are made.

use std::fmt::{self, Write as _};

use serde::Deserialize;

use super::check::number;
use super::problem::Problems;
use super::raw::Given;

/// RSVP messages are shorter than 2^16 bytes (RFC 2205 section 3.1.1), and so is their policy data.
const POLICY_BYTES_MAX: u32 = 65_535;
/// Each next hop of a sender on an interface has a DCPE of its own in the PATH there, of up to 430
/// bytes (a long account, all limits, IPv6); so many always fit into one message.
const NEXT_HOPS_MAX: u32 = 128;

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident = $default:literal, at most $most:expr;)*) => {
        /// How much others may make this node keep and do. Every limit is at least 1.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct Limits {
            $($(#[$doc])* pub $name: u32,)*
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        /// `[limits]` as it stands in the file.
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct Raw {
            $($name: Given<u64>,)*
        }

        pub(super) fn check(raw: &Raw, problems: &mut Problems<'_>) -> Limits {
            Limits {
                $($name: number(raw.$name.as_ref(), $default, 1..=$most, "", problems),)*
            }
        }

        pub(super) fn render(out: &mut String, limits: &Limits) -> fmt::Result {
            $(writeln!(out, concat!(stringify!($name), " = {}"), limits.$name)?;)*
            Ok(())
        }

        /// Name, default and greatest value of each limit.
        #[cfg(test)]
        pub(super) const EACH: &[(&str, u32, u32)] = &[$((stringify!($name), $default, $most),)*];

        /// Limits with the given values, in the order of [`EACH`].
        #[cfg(test)]
        pub(super) fn from_values(mut values: impl Iterator<Item = u32>) -> Limits {
            Limits { $($name: values.next().unwrap(),)* }
        }
    };
}

limits! {
    /// Sessions in all.
    max_sessions = 100_000, at most u32::MAX;
    /// Senders (PSBs) in all.
    max_senders = 200_000, at most u32::MAX;
    /// Senders (PSBs) that one previous hop may announce; as many sessions at most are its.
    max_senders_per_neighbour = 50_000, at most u32::MAX;
    /// Senders (PSBs) in one session.
    max_senders_per_session = 256, at most u32::MAX;
    /// Reservations (RSBs) in all.
    max_reservations = 200_000, at most u32::MAX;
    /// Reservations (RSBs) that one next hop may make.
    max_reservations_per_neighbour = 50_000, at most u32::MAX;
    /// Reservations (RSBs) in one session.
    max_reservations_per_session = 1_024, at most u32::MAX;
    /// Senders that all shared reservations of one session name, in filters and scopes.
    max_filters_per_session = 4_096, at most u32::MAX;
    /// Flow descriptors of one RESV that are looked at.
    max_flows_per_message = 128, at most u32::MAX;
    /// Next hops behind one interface that may reserve the data of one sender.
    max_next_hops = 64, at most NEXT_HOPS_MAX;
    /// Receivers that one next hop is believed to have below it, where a price is shared by them.
    max_receivers_below = 1_000_000, at most u32::MAX;
    /// Neighbours that are told apart on one interface.
    max_neighbours_per_interface = 1_024, at most u32::MAX;
    /// Messages a second that one neighbour may send for long; five times as many at once.
    max_messages_per_s = 20_000, at most 1_000_000_000;
    /// Errors a second with which one neighbour is answered.
    max_errors_per_s = 1_000, at most 1_000_000_000;
    /// Bytes of POLICY_DATA and unknown objects in one message: enough for a WF RESV that pays for
    /// as many senders as a session may have.
    max_policy_bytes = 49_152, at most POLICY_BYTES_MAX;
    /// Bytes of POLICY_DATA and unknown objects that are kept for one session.
    max_policy_bytes_per_session = 262_144, at most u32::MAX;
    /// Bytes of POLICY_DATA and unknown objects that are kept in all.
    max_policy_bytes_in_all = 67_108_864, at most u32::MAX;
    /// Registrations of applications on this node.
    max_local_handles = 10_000, at most u32::MAX;
    /// Neighbours whose settled payments are kept apart in memory.
    max_accounts = 65_536, at most u32::MAX;
}
