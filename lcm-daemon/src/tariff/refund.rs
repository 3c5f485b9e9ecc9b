//! What next hops are granted for outages, for each service class (charging.md T11).

use std::fmt;

use charging_model::{Grant, Span};

use super::Service;

/// Grants of an interface, for both service classes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refunds {
    /// For controlled load, and for guaranteed service that has none of its own.
    pub controlled_load: Option<Grant>,
    /// For guaranteed service.
    pub guaranteed: Option<Grant>,
}

impl Refunds {
    /// The grant of a service class.
    #[must_use]
    pub fn of(&self, service: Service) -> Grant {
        let own = self.guaranteed.filter(|_| service == Service::Guaranteed);
        own.or(self.controlled_load).unwrap_or_default()
    }
}

impl fmt::Display for Refunds {
    /// As keys of a table of the configuration, each on a line of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grants = [("refund", self.controlled_load), ("guaranteed_refund", self.guaranteed)];
        for (key, grant) in grants {
            match grant {
                None => {}
                Some(Grant::None) => write!(f, "\n{key} = {{ policy = \"none\" }}")?,
                Some(Grant::ProRata) => write!(f, "\n{key} = {{ policy = \"pro_rata\" }}")?,
                Some(Grant::FreeIfShort(Span(ms))) => {
                    write!(f, "\n{key} = {{ policy = \"free_if_short\", threshold_ms = {ms} }}")?
                }
            }
        }
        Ok(())
    }
}
