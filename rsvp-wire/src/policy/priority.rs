//! PREEMPTION_PRI (RFC 3181), ADMISSION_PRI and APP_RESOURCE_PRI (RFC 6401).

use crate::iana::{open_enum, ptype};
use crate::object::{PolicyElement, write_element};
use crate::policy::PolicyError;
use crate::writer::Sink;

open_enum! {
    /// How priorities of merged reservations are combined (RFC 3181 section 4).
    pub enum MergeStrategy(u8) {
        /// Take the priority of the highest QoS.
        HighestQos = 1 => "highest QoS",
        /// Take the highest priority.
        HighestPriority = 2 => "highest priority",
        /// Refuse a heterogeneous merge.
        ForceError = 3 => "force error",
    }
}

open_enum! {
    /// The Error Code octet of a priority element (RFC 3181 section 4).
    pub enum PriorityError(u8) {
        /// A regular element.
        NoError = 0 => "no error",
        /// The flow was preempted after it had been admitted.
        Preemption = 1 => "preempted",
        /// The element met a heterogeneous merge.
        Heterogeneous = 2 => "heterogeneous merge",
    }
}

/// PREEMPTION_PRI: which flow may push out which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PreemptionPri {
    /// How to merge.
    pub merge_strategy: MergeStrategy,
    /// In an error message, what happened.
    pub error: PriorityError,
    /// Priority of the flow while it is new.
    pub preemption: u16,
    /// Priority of the flow once it is admitted; by the RFC not below `preemption`.
    pub defending: u16,
}

/// The data of an element that always has 12 bytes.
fn eight<'a>(element: &PolicyElement<'a>) -> Result<&'a [u8; 8], PolicyError> {
    let wrong = |_| element.fault(0, "length", element.bytes.len() as u64);
    element.data.try_into().map_err(wrong)
}

impl PreemptionPri {
    /// Reads the element. The order of the two priorities is left to the policy module to judge.
    ///
    /// # Errors
    /// A length other than 12.
    pub fn parse(element: &PolicyElement<'_>) -> Result<Self, PolicyError> {
        let &[_, strategy, error, _, p1, p0, d1, d0] = eight(element)?;
        Ok(Self {
            merge_strategy: strategy.into(),
            error: error.into(),
            preemption: u16::from_be_bytes([p1, p0]),
            defending: u16::from_be_bytes([d1, d0]),
        })
    }

    /// Appends the element.
    pub fn write(&self, sink: &mut Sink<'_>) {
        write_element(sink, ptype::PREEMPTION_PRI, |sink| {
            sink.put(&[0, self.merge_strategy.into(), self.error.into(), 0]);
            sink.put_u16(self.preemption);
            sink.put_u16(self.defending);
        });
    }
}

/// ADMISSION_PRI: access to bandwidth set aside for prioritized sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AdmissionPri {
    /// How to merge.
    pub merge_strategy: MergeStrategy,
    /// In an error message, what happened.
    pub error: PriorityError,
    /// Higher values are of higher priority.
    pub priority: u8,
}

impl AdmissionPri {
    /// Reads the element.
    ///
    /// # Errors
    /// A length other than 12.
    pub fn parse(element: &PolicyElement<'_>) -> Result<Self, PolicyError> {
        let &[_, strategy, error, _, _, _, _, priority] = eight(element)?;
        Ok(Self { merge_strategy: strategy.into(), error: error.into(), priority })
    }

    /// Appends the element.
    pub fn write(&self, sink: &mut Sink<'_>) {
        write_element(sink, ptype::ADMISSION_PRI, |sink| {
            sink.put(&[0, self.merge_strategy.into(), self.error.into(), 0]);
            sink.put(&[0, 0, 0, self.priority]);
        });
    }
}

/// An application-level resource priority (RFC 6401 section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Alrp {
    /// Number of the namespace (registry "Resource Priority Namespaces").
    pub namespace: u16,
    /// Number of the priority within it.
    pub value: u8,
}

/// APP_RESOURCE_PRI: the priorities that the application was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppResourcePri<'a> {
    list: &'a [[u8; 4]],
}

impl<'a> AppResourcePri<'a> {
    /// Reads the element.
    ///
    /// # Errors
    /// A length that is no multiple of 4, which a POLICY_DATA object excludes already.
    pub fn parse(element: &PolicyElement<'a>) -> Result<Self, PolicyError> {
        let (list, rest) = element.data.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(element.fault(0, "length", element.bytes.len() as u64));
        }
        Ok(Self { list })
    }

    /// The priorities in order.
    pub fn priorities(&self) -> impl ExactSizeIterator<Item = Alrp> + Clone + use<'a> {
        self.list
            .iter()
            .map(|&[n1, n0, _, value]| Alrp { namespace: u16::from_be_bytes([n1, n0]), value })
    }
}

/// Appends an APP_RESOURCE_PRI element.
pub fn write_app_resource_pri(sink: &mut Sink<'_>, priorities: &[Alrp]) {
    write_element(sink, ptype::APP_RESOURCE_PRI, |sink| {
        for alrp in priorities {
            sink.put_u16(alrp.namespace);
            sink.put(&[0, alrp.value]);
        }
    });
}
