//! Code points: message types, object classes, C-Types, error codes and values, P-Types.
//!
//! This is the only place where such numbers stand; each names the RFC that assigned it.

/// Declares an open enumeration: the known values by name, any other kept in `Unknown`.
macro_rules! open_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident($int:ty) {
            $( $(#[$vmeta:meta])* $variant:ident = $value:literal => $text:literal, )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $( $(#[$vmeta])* $variant, )+
            /// A value that this crate knows no name for.
            Unknown($int),
        }

        impl $name {
            /// Every value that has a name, in ascending order.
            pub const KNOWN: &'static [$name] = &[$( $name::$variant ),+];

            /// The name as the RFCs spell it, or `"unknown"`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $( Self::$variant => $text, )+
                    Self::Unknown(_) => "unknown",
                }
            }
        }

        impl From<$int> for $name {
            fn from(value: $int) -> Self {
                match value {
                    $( $value => Self::$variant, )+
                    other => Self::Unknown(other),
                }
            }
        }

        impl From<$name> for $int {
            fn from(value: $name) -> Self {
                match value {
                    $( $name::$variant => $value, )+
                    $name::Unknown(other) => other,
                }
            }
        }
    };
}
pub(crate) use open_enum;

open_enum! {
    /// The Msg Type field of the common header (RFC 2205 section 3.1.1).
    pub enum MessageType(u8) {
        /// RFC 2205 section 3.1.3.
        Path = 1 => "Path",
        /// RFC 2205 section 3.1.4.
        Resv = 2 => "Resv",
        /// RFC 2205 section 3.1.7.
        PathErr = 3 => "PathErr",
        /// RFC 2205 section 3.1.8.
        ResvErr = 4 => "ResvErr",
        /// RFC 2205 section 3.1.5.
        PathTear = 5 => "PathTear",
        /// RFC 2205 section 3.1.6.
        ResvTear = 6 => "ResvTear",
        /// RFC 2205 section 3.1.9.
        ResvConf = 7 => "ResvConf",
        /// Diagnostic request, RFC 2745.
        Dreq = 8 => "DREQ",
        /// Diagnostic reply, RFC 2745.
        Drep = 9 => "DREP",
        /// RFC 2961 section 3.
        Bundle = 12 => "Bundle",
        /// RFC 2961 section 4.
        Ack = 13 => "Ack",
        /// Summary refresh, RFC 2961 section 5.
        Srefresh = 15 => "Srefresh",
        /// RFC 3209 section 5.
        Hello = 20 => "Hello",
        /// RFC 2747 with the value of RFC 3097.
        IntegrityChallenge = 25 => "Integrity Challenge",
        /// RFC 2747 with the value of RFC 3097.
        IntegrityResponse = 26 => "Integrity Response",
    }
}

/// Object classes (the Class-Num octet).
pub mod class {
    /// RFC 2205 section 3.1.2: may stand anywhere, contents ignored.
    pub const NULL: u8 = 0;
    /// RFC 2205 A.1.
    pub const SESSION: u8 = 1;
    /// RFC 2205 A.2.
    pub const RSVP_HOP: u8 = 3;
    /// RFC 2205 A.3, RFC 2747.
    pub const INTEGRITY: u8 = 4;
    /// RFC 2205 A.4.
    pub const TIME_VALUES: u8 = 5;
    /// RFC 2205 A.5.
    pub const ERROR_SPEC: u8 = 6;
    /// RFC 2205 A.6.
    pub const SCOPE: u8 = 7;
    /// RFC 2205 A.7.
    pub const STYLE: u8 = 8;
    /// RFC 2205 A.8, RFC 2210 section 3.2.
    pub const FLOWSPEC: u8 = 9;
    /// RFC 2205 A.9.
    pub const FILTER_SPEC: u8 = 10;
    /// RFC 2205 A.10.
    pub const SENDER_TEMPLATE: u8 = 11;
    /// RFC 2205 A.11, RFC 2210 section 3.1.
    pub const SENDER_TSPEC: u8 = 12;
    /// RFC 2205 A.12, RFC 2210 section 3.3.
    pub const ADSPEC: u8 = 13;
    /// RFC 2205 A.13, RFC 2750.
    pub const POLICY_DATA: u8 = 14;
    /// RFC 2205 A.14.
    pub const RESV_CONFIRM: u8 = 15;
    /// RFC 3209 section 5.2.
    pub const HELLO: u8 = 22;
    /// RFC 2961 section 4.1.
    pub const MESSAGE_ID: u8 = 23;
    /// RFC 2961 section 4.2.
    pub const MESSAGE_ID_ACK: u8 = 24;
    /// RFC 2961 section 5.1.
    pub const MESSAGE_ID_LIST: u8 = 25;
    /// RFC 2745 section 3.1.
    pub const DIAGNOSTIC: u8 = 30;
    /// RFC 2745 section 3.3.
    pub const ROUTE: u8 = 31;
    /// RFC 2745 section 3.4.
    pub const DIAG_RESPONSE: u8 = 32;
    /// RFC 2745 section 3.2.
    pub const DIAG_SELECT: u8 = 33;
    /// RFC 2747 section 4.3.
    pub const CHALLENGE: u8 = 64;
    /// RFC 2746 section 4.
    pub const NODE_CHAR: u8 = 128;
    /// RFC 2746 section 5.
    pub const SESSION_ASSOC: u8 = 192;
}

/// What a node does with an object whose class it does not know (RFC 2205 section 3.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnknownClassAction {
    /// Class-Num 0bbbbbbb: refuse the whole message.
    Reject,
    /// Class-Num 10bbbbbb: ignore the object and do not forward it.
    Ignore,
    /// Class-Num 11bbbbbb: ignore the object and forward it unexamined and unmodified.
    Forward,
}

/// The rule of RFC 2205 section 3.10 for a class that is not known.
#[must_use]
pub const fn unknown_class_action(class: u8) -> UnknownClassAction {
    match class >> 6 {
        0b10 => UnknownClassAction::Ignore,
        0b11 => UnknownClassAction::Forward,
        _ => UnknownClassAction::Reject,
    }
}

/// The name of an object class, also of extensions that this crate carries without decoding.
#[must_use]
pub const fn class_name(class: u8) -> Option<&'static str> {
    Some(match class {
        class::NULL => "NULL",
        class::SESSION => "SESSION",
        class::RSVP_HOP => "RSVP_HOP",
        class::INTEGRITY => "INTEGRITY",
        class::TIME_VALUES => "TIME_VALUES",
        class::ERROR_SPEC => "ERROR_SPEC",
        class::SCOPE => "SCOPE",
        class::STYLE => "STYLE",
        class::FLOWSPEC => "FLOWSPEC",
        class::FILTER_SPEC => "FILTER_SPEC",
        class::SENDER_TEMPLATE => "SENDER_TEMPLATE",
        class::SENDER_TSPEC => "SENDER_TSPEC",
        class::ADSPEC => "ADSPEC",
        class::POLICY_DATA => "POLICY_DATA",
        class::RESV_CONFIRM => "RESV_CONFIRM",
        // RFC 3209 section 4.
        16 => "LABEL",
        19 => "LABEL_REQUEST",
        20 => "EXPLICIT_ROUTE",
        21 => "RECORD_ROUTE",
        class::HELLO => "HELLO",
        class::MESSAGE_ID => "MESSAGE_ID",
        class::MESSAGE_ID_ACK => "MESSAGE_ID_ACK",
        class::MESSAGE_ID_LIST => "MESSAGE_ID_LIST",
        class::DIAGNOSTIC => "DIAGNOSTIC",
        class::ROUTE => "ROUTE",
        class::DIAG_RESPONSE => "DIAG_RESPONSE",
        class::DIAG_SELECT => "DIAG_SELECT",
        // RFC 3473 section 2 and following.
        34 => "RECOVERY_LABEL",
        35 => "UPSTREAM_LABEL",
        36 => "LABEL_SET",
        37 => "PROTECTION",
        // RFC 4090.
        63 => "DETOUR",
        class::CHALLENGE => "CHALLENGE",
        class::NODE_CHAR => "NODE_CHAR",
        // RFC 3473.
        129 => "SUGGESTED_LABEL",
        130 => "ACCEPTABLE_LABEL_SET",
        131 => "RESTART_CAP",
        class::SESSION_ASSOC => "SESSION_ASSOC",
        // RFC 3473 and RFC 3209.
        195 => "NOTIFY_REQUEST",
        196 => "ADMIN_STATUS",
        // RFC 4090.
        205 => "FAST_REROUTE",
        207 => "SESSION_ATTRIBUTE",
        // RFC 2997.
        227 => "DCLASS",
        // RFC 3474.
        229 => "GENERALIZED_UNI",
        230 => "CALL_ID",
        _ => return None,
    })
}

/// Values of the Error Code octet in ERROR_SPEC (RFC 2205 appendix B).
pub mod error_code {
    /// Confirmation, in a ResvConf message only.
    pub const CONFIRMATION: u8 = 0;
    /// Admission Control failure; values in [`super::admission`].
    pub const ADMISSION: u8 = 1;
    /// Policy Control failure; values in [`super::policy`] (RFC 2750 appendix A).
    pub const POLICY: u8 = 2;
    /// No path information for this Resv message.
    pub const NO_PATH: u8 = 3;
    /// No sender information for this Resv message.
    pub const NO_SENDER: u8 = 4;
    /// Conflicting reservation style.
    pub const STYLE_CONFLICT: u8 = 5;
    /// Unknown reservation style.
    pub const UNKNOWN_STYLE: u8 = 6;
    /// Conflicting dest ports.
    pub const DEST_PORT_CONFLICT: u8 = 7;
    /// Conflicting sender ports.
    pub const SENDER_PORT_CONFLICT: u8 = 8;
    /// Service preempted.
    pub const PREEMPTED: u8 = 12;
    /// Unknown object class; the value is (Class-Num, C-Type).
    pub const UNKNOWN_CLASS: u8 = 13;
    /// Unknown object C-Type; the value is (Class-Num, C-Type).
    pub const UNKNOWN_CTYPE: u8 = 14;
    /// Reserved for API.
    pub const API: u8 = 20;
    /// Traffic Control Error; values in [`super::traffic_control`].
    pub const TRAFFIC_CONTROL: u8 = 21;
    /// Traffic Control System error.
    pub const TRAFFIC_CONTROL_SYSTEM: u8 = 22;
    /// RSVP System error.
    pub const RSVP_SYSTEM: u8 = 23;
    /// Unrecoverable Receiver Proxy Error (RFC 5946 section 3.1.2).
    pub const RECEIVER_PROXY: u8 = 36;
}

/// Error values of code 1, Admission Control failure (RFC 2205 appendix B).
pub mod admission {
    /// Delay bound cannot be met.
    pub const DELAY_BOUND: u16 = 1;
    /// Requested bandwidth unavailable.
    pub const BANDWIDTH_UNAVAILABLE: u16 = 2;
    /// MTU in flowspec larger than interface MTU.
    pub const MTU_TOO_LARGE: u16 = 3;
}

/// Error values of code 2, Policy Control failure (RFC 2750 appendix A).
pub mod policy {
    /// Information reporting.
    pub const INFO: u16 = 0;
    /// Warning.
    pub const WARN: u16 = 1;
    /// Reason unknown.
    pub const UNKNOWN: u16 = 2;
    /// Generic policy rejection.
    pub const REJECT: u16 = 3;
    /// Quota or accounting violation.
    pub const EXCEED: u16 = 4;
    /// Flow was preempted.
    pub const PREEMPT: u16 = 5;
    /// Previously installed policy expired.
    pub const EXPIRED: u16 = 6;
    /// Previous policy data was replaced and caused rejection.
    pub const REPLACED: u16 = 7;
    /// Policies could not be merged.
    pub const MERGE: u16 = 8;
    /// PDP down or not functioning.
    pub const PDP: u16 = 9;
    /// Third party server unavailable.
    pub const SERVER: u16 = 10;
    /// POLICY_DATA object has bad syntax.
    pub const PD_SYNTAX: u16 = 11;
    /// POLICY_DATA object failed its integrity check.
    pub const PD_INTEGRITY: u16 = 12;
    /// Policy element has bad syntax.
    pub const PE_BAD: u16 = 13;
    /// Mandatory policy element missing.
    pub const PD_MISSING: u16 = 14;
    /// PEP out of resources.
    pub const NO_RESOURCES: u16 = 15;
    /// PDP encountered bad RSVP objects or syntax.
    pub const RSVP: u16 = 16;
    /// Service type was rejected.
    pub const SERVICE: u16 = 17;
    /// Reservation style was rejected.
    pub const STYLE: u16 = 18;
    /// Flowspec was rejected (too large).
    pub const FLOWSPEC: u16 = 19;
    /// Flow was preempted in part; the flowspec says what is left (RFC 4495 section 5.1).
    pub const PARTIAL_PREEMPT: u16 = 102;
}

/// Error values of code 21, Traffic Control Error (RFC 2205 appendix B).
pub mod traffic_control {
    /// Trying to merge two incompatible service requests.
    pub const SERVICE_CONFLICT: u16 = 1;
    /// Neither the requested service nor a replacement can be provided.
    pub const SERVICE_UNSUPPORTED: u16 = 2;
    /// Malformed or unreasonable flowspec.
    pub const BAD_FLOWSPEC: u16 = 3;
    /// Malformed or unreasonable tspec.
    pub const BAD_TSPEC: u16 = 4;
    /// Malformed or unreasonable adspec.
    pub const BAD_ADSPEC: u16 = 5;
}

/// The name of an error code (RFC 2205 appendix B), or `"unknown error"`.
#[must_use]
pub const fn error_name(code: u8) -> &'static str {
    match code {
        error_code::CONFIRMATION => "confirmation",
        error_code::ADMISSION => "admission control failure",
        error_code::POLICY => "policy control failure",
        error_code::NO_PATH => "no path information",
        error_code::NO_SENDER => "no sender information",
        error_code::STYLE_CONFLICT => "conflicting reservation style",
        error_code::UNKNOWN_STYLE => "unknown reservation style",
        error_code::DEST_PORT_CONFLICT => "conflicting dest ports",
        error_code::SENDER_PORT_CONFLICT => "conflicting sender ports",
        error_code::PREEMPTED => "service preempted",
        error_code::UNKNOWN_CLASS => "unknown object class",
        error_code::UNKNOWN_CTYPE => "unknown object C-Type",
        error_code::API => "API error",
        error_code::TRAFFIC_CONTROL => "traffic control error",
        error_code::TRAFFIC_CONTROL_SYSTEM => "traffic control system error",
        error_code::RSVP_SYSTEM => "RSVP system error",
        error_code::RECEIVER_PROXY => "unrecoverable receiver proxy error",
        _ => "unknown error",
    }
}

/// IntServ service numbers (RFC 2210, RFC 2211, RFC 2212).
pub mod service {
    /// Default and global information.
    pub const GENERAL: u8 = 1;
    /// Guaranteed service.
    pub const GUARANTEED: u8 = 2;
    /// Controlled-load service.
    pub const CONTROLLED_LOAD: u8 = 5;
}

/// IntServ parameter numbers (RFC 2210, RFC 2212, RFC 2215).
pub mod parameter {
    /// Number of IS hops.
    pub const IS_HOPS: u8 = 4;
    /// Available path bandwidth.
    pub const PATH_BANDWIDTH: u8 = 6;
    /// Minimum path latency.
    pub const PATH_LATENCY: u8 = 8;
    /// Path MTU.
    pub const PATH_MTU: u8 = 10;
    /// Token bucket TSpec.
    pub const TOKEN_BUCKET: u8 = 127;
    /// Guaranteed service RSpec.
    pub const RSPEC: u8 = 130;
    /// Guaranteed service, end-to-end composed C.
    pub const C_TOT: u8 = 133;
    /// Guaranteed service, end-to-end composed D.
    pub const D_TOT: u8 = 134;
    /// Guaranteed service, C since the last reshaping point.
    pub const C_SUM: u8 = 135;
    /// Guaranteed service, D since the last reshaping point.
    pub const D_SUM: u8 = 136;
}

/// Policy element types (the P-Type field, RFC 2750 section 3.3).
pub mod ptype {
    /// Preemption priority, RFC 3181.
    pub const PREEMPTION_PRI: u16 = 1;
    /// User identity, RFC 3182.
    pub const AUTH_USER: u16 = 2;
    /// Application identity, RFC 3182 and RFC 2872.
    pub const AUTH_APP: u16 = 3;
    /// Session authorization, RFC 3520.
    pub const AUTH_SESSION: u16 = 4;
    /// Admission priority, RFC 6401.
    pub const ADMISSION_PRI: u16 = 5;
    /// Application resource priority, RFC 6401.
    pub const APP_RESOURCE_PRI: u16 = 6;
    /// First number for private use (RFC 2750 section 5).
    pub const PRIVATE_FIRST: u16 = 53248;
    /// Downstream charging policy element: default of a configurable value.
    pub const DCPE: u16 = 0xD001;
    /// Upstream charging policy element: default of a configurable value.
    pub const UCPE: u16 = 0xD002;
    /// Charging error element: default of a configurable value.
    pub const CHG_ERR: u16 = 0xD003;
}

/// The name of a policy element type, with the default numbers for the charging elements.
#[must_use]
pub const fn ptype_name(ptype: u16) -> Option<&'static str> {
    Some(match ptype {
        ptype::PREEMPTION_PRI => "PREEMPTION_PRI",
        ptype::AUTH_USER => "AUTH_USER",
        ptype::AUTH_APP => "AUTH_APP",
        ptype::AUTH_SESSION => "AUTH_SESSION",
        ptype::ADMISSION_PRI => "ADMISSION_PRI",
        ptype::APP_RESOURCE_PRI => "APP_RESOURCE_PRI",
        ptype::DCPE => "DCPE",
        ptype::UCPE => "UCPE",
        ptype::CHG_ERR => "CHG_ERR",
        _ => return None,
    })
}
