//! Flow descriptor lists (RFC 2205 section 3.1.4): the objects behind STYLE.

use crate::error::{DecodeError, ErrorKind};
use crate::iana::class;
use crate::object::{FilterSpec, FlowSpec, Style};
use crate::packet::{Objects, RawObject};

/// One flow of a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowDescriptor<'a> {
    /// What is asked for.
    pub flowspec: FlowSpec,
    /// For whom; none in style WF.
    pub filter: Option<FilterSpec>,
    /// The FLOWSPEC object that holds for this flow as it came, header included.
    pub flowspec_bytes: &'a [u8],
    /// The FILTER_SPEC object as it came, header included.
    pub filter_bytes: Option<&'a [u8]>,
}

/// The flows of a checked list, each with the flowspec that holds for it: in FF the last one
/// before the filter, in SE the only one, in WF the flowspec without a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flows<'a> {
    objects: Objects<'a>,
    wildcard: bool,
    flowspec: Option<(FlowSpec, &'a [u8])>,
}

fn wrong(raw: &RawObject<'_>, field: &'static str) -> DecodeError {
    raw.fault(ErrorKind::BadFlowDescriptor, 2, field, raw.class.into())
}

/// A list that ends too early for the style.
fn incomplete(style: Style, behind: Objects<'_>, field: &'static str) -> DecodeError {
    DecodeError {
        kind: ErrorKind::BadFlowDescriptor,
        message_type: None,
        object: Some((class::STYLE, 1)),
        // The option vector is the last word of STYLE, right before the list.
        offset: behind.offset().saturating_sub(4),
        field,
        value: style.vector().into(),
    }
}

fn unknown_style(style: Style, behind: Objects<'_>) -> DecodeError {
    DecodeError { kind: ErrorKind::BadStyle, ..incomplete(style, behind, "option vector") }
}

fn in_list(objects: Objects<'_>) -> impl Iterator<Item = RawObject<'_>> {
    objects.filter(|raw| matches!(raw.class, class::FLOWSPEC | class::FILTER_SPEC))
}

impl<'a> Flows<'a> {
    /// Checks that the list is complete and in the order of its style.
    pub(super) fn checked(style: Style, objects: Objects<'a>) -> Result<Self, DecodeError> {
        if let Style::Unknown(_) = style {
            return Err(unknown_style(style, objects));
        }
        let (mut flowspecs, mut filters) = (0_usize, 0_usize);
        // The last object was a flowspec that still waits for its filter.
        let mut open = false;
        for raw in in_list(objects) {
            if raw.class == class::FLOWSPEC {
                FlowSpec::decode(&raw)?;
                if open || (flowspecs > 0 && style != Style::FixedFilter) {
                    return Err(wrong(&raw, "second FLOWSPEC: class"));
                }
                (open, flowspecs) = (true, flowspecs + 1);
            } else {
                FilterSpec::decode(&raw)?;
                if style == Style::WildcardFilter {
                    return Err(wrong(&raw, "FILTER_SPEC in style WF: class"));
                }
                if flowspecs == 0 {
                    return Err(wrong(&raw, "FILTER_SPEC before any FLOWSPEC: class"));
                }
                (open, filters) = (false, filters + 1);
            }
        }
        let wildcard = style == Style::WildcardFilter;
        if flowspecs == 0 || (open && !wildcard) {
            return Err(incomplete(style, objects, "flow descriptor list ends too early: style"));
        }
        Ok(Self { objects, wildcard, flowspec: None })
    }
}

impl<'a> Iterator for Flows<'a> {
    type Item = FlowDescriptor<'a>;

    fn next(&mut self) -> Option<FlowDescriptor<'a>> {
        loop {
            let raw = self.objects.next()?;
            match raw.class {
                class::FLOWSPEC => {
                    let flowspec = FlowSpec::decode(&raw).ok()?;
                    self.flowspec = Some((flowspec, raw.bytes));
                    if self.wildcard {
                        let flowspec_bytes = raw.bytes;
                        return Some(FlowDescriptor {
                            flowspec,
                            filter: None,
                            flowspec_bytes,
                            filter_bytes: None,
                        });
                    }
                }
                class::FILTER_SPEC => {
                    let (flowspec, flowspec_bytes) = self.flowspec?;
                    return Some(FlowDescriptor {
                        flowspec,
                        filter: Some(FilterSpec::decode(&raw).ok()?),
                        flowspec_bytes,
                        filter_bytes: Some(raw.bytes),
                    });
                }
                _ => {}
            }
        }
    }
}

/// The senders named behind STYLE, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilterSpecs<'a> {
    objects: Objects<'a>,
}

impl<'a> FilterSpecs<'a> {
    pub(super) const fn new(objects: Objects<'a>) -> Self {
        Self { objects }
    }
}

impl Iterator for FilterSpecs<'_> {
    type Item = FilterSpec;

    fn next(&mut self) -> Option<FilterSpec> {
        self.objects.by_ref().find_map(|raw| {
            if raw.class == class::FILTER_SPEC { FilterSpec::decode(&raw).ok() } else { None }
        })
    }
}

/// Checks the list of a ResvTear: flowspecs are ignored, senders have to suit the style.
pub(super) fn check_tear_list(style: Style, objects: Objects<'_>) -> Result<(), DecodeError> {
    let mut filters = 0_usize;
    for raw in in_list(objects).filter(|raw| raw.class == class::FILTER_SPEC) {
        FilterSpec::decode(&raw)?;
        if style == Style::WildcardFilter {
            return Err(wrong(&raw, "FILTER_SPEC in style WF: class"));
        }
        filters += 1;
    }
    match style {
        Style::Unknown(_) => Err(unknown_style(style, objects)),
        Style::FixedFilter | Style::SharedExplicit if filters == 0 => {
            Err(incomplete(style, objects, "no FILTER_SPEC: style"))
        }
        _ => Ok(()),
    }
}

/// Checks the flow descriptor of a ResvErr, at most one, and reads its flowspec if possible.
pub(super) fn check_error_descriptor(
    style: Style,
    objects: Objects<'_>,
) -> Result<Option<FlowSpec>, DecodeError> {
    let mut flowspec = None;
    let (mut flowspecs, mut filters) = (0_usize, 0_usize);
    for raw in in_list(objects) {
        if raw.class == class::FLOWSPEC {
            if flowspecs > 0 || filters > 0 {
                return Err(wrong(&raw, "FLOWSPEC of a second descriptor: class"));
            }
            flowspecs += 1;
            flowspec = FlowSpec::decode(&raw).ok();
        } else {
            FilterSpec::decode(&raw)?;
            filters += 1;
            let fits = match style {
                Style::WildcardFilter => false,
                Style::FixedFilter => filters == 1,
                Style::SharedExplicit | Style::Unknown(_) => true,
            };
            if !fits {
                return Err(wrong(&raw, "FILTER_SPEC too many for the style: class"));
            }
        }
    }
    Ok(flowspec)
}
