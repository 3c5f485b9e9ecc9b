//! Messages: a packet whose objects are those that its type asks for.
//!
//! [`Message::parse`] does all the checking: required objects, duplicates, objects that may not
//! stand in this type of message, the order of the flow descriptors, one address family
//! throughout, every field of every object. What it returns holds the decoded values; its
//! accessors cannot fail.

mod diagnosis;
mod flows;
mod neighbour;
mod reduction;
mod scan;

pub use diagnosis::Diagnosis;
pub use flows::{FilterSpecs, FlowDescriptor, Flows};
pub use neighbour::{HelloMessage, IntegrityChallenge, IntegrityResponse};
pub use reduction::{Ack, Bundle, BundleParts, Srefresh};

use crate::error::{DecodeError, ErrorKind};
use crate::iana::{MessageType, UnknownClassAction, class, unknown_class_action};
use crate::object::{
    AdspecView, ErrorSpec, FlowSpec, Hop, Integrity, MessageId, MessageIdAck, NodeChar, PolicyData,
    ResvConfirm, ScopeIter, SenderTemplate, Session, SessionAssoc, Style, TimeValues, Tspec,
};
use crate::packet::{Packet, RawObject};
use scan::{Rules, Scan};

/// A received message.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Message<'a> {
    /// RFC 2205 section 3.1.3.
    Path(Path<'a>),
    /// RFC 2205 section 3.1.4.
    Resv(Resv<'a>),
    /// RFC 2205 section 3.1.7.
    PathErr(PathErr<'a>),
    /// RFC 2205 section 3.1.8.
    ResvErr(ResvErr<'a>),
    /// RFC 2205 section 3.1.5.
    PathTear(PathTear<'a>),
    /// RFC 2205 section 3.1.6.
    ResvTear(ResvTear<'a>),
    /// RFC 2205 section 3.1.9.
    ResvConf(ResvConf<'a>),
    /// Diagnostic request, RFC 2745.
    Dreq(Diagnosis<'a>),
    /// Diagnostic reply, RFC 2745.
    Drep(Diagnosis<'a>),
    /// RFC 2961 section 3.
    Bundle(Bundle<'a>),
    /// RFC 2961 section 4.4.
    Ack(Ack<'a>),
    /// RFC 2961 section 5.2.
    Srefresh(Srefresh<'a>),
    /// RFC 3209 section 5.
    Hello(HelloMessage<'a>),
    /// RFC 2747 section 4.3.
    IntegrityChallenge(IntegrityChallenge<'a>),
    /// RFC 2747 section 4.3.
    IntegrityResponse(IntegrityResponse<'a>),
    /// Any other type: header, checksum and framing are checked, the objects are not.
    Other(Packet<'a>),
}

impl<'a> Message<'a> {
    /// Checks the message that fills `bytes`.
    ///
    /// # Errors
    /// The faults of [`Packet::parse`], then the first object at fault in the order of the
    /// message, then missing objects, mixed address families and ports.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let packet = Packet::parse_unframed(bytes)?;
        let mut message = Self::from_packet(packet);
        // The objects are gone over once: that their framing is right comes out on the way, and
        // only if something is wrong, a second pass tells which fault is named.
        if let Err(error) = &mut message
            && let Err(framing) = packet.check_framing()
        {
            *error = framing;
        }
        message
    }

    /// Checks the objects of a packet.
    ///
    /// # Errors
    /// As [`Message::parse`], from the objects on.
    #[inline(always)]
    pub fn from_packet(packet: Packet<'a>) -> Result<Self, DecodeError> {
        let mut message = Self::read(packet);
        if let Err(error) = &mut message {
            error.message_type = Some(packet.message_type().into());
        }
        message
    }

    /// Written so that each message comes into being where the caller wants it: a PATH is large
    /// enough for its moves to show in the cost of decoding.
    #[inline(always)]
    fn read(packet: Packet<'a>) -> Result<Self, DecodeError> {
        match packet.message_type() {
            MessageType::Path => Path::new(packet).map(Self::Path),
            MessageType::Resv => Resv::new(packet).map(Self::Resv),
            MessageType::PathErr => PathErr::new(packet).map(Self::PathErr),
            MessageType::ResvErr => ResvErr::new(packet).map(Self::ResvErr),
            MessageType::PathTear => PathTear::new(packet).map(Self::PathTear),
            MessageType::ResvTear => ResvTear::new(packet).map(Self::ResvTear),
            MessageType::ResvConf => ResvConf::new(packet).map(Self::ResvConf),
            MessageType::Dreq => Diagnosis::new(packet).map(Self::Dreq),
            MessageType::Drep => Diagnosis::new(packet).map(Self::Drep),
            MessageType::Bundle => Bundle::new(packet).map(Self::Bundle),
            MessageType::Ack => Ack::new(packet).map(Self::Ack),
            MessageType::Srefresh => Srefresh::new(packet).map(Self::Srefresh),
            MessageType::Hello => HelloMessage::new(packet).map(Self::Hello),
            MessageType::IntegrityChallenge => {
                IntegrityChallenge::new(packet).map(Self::IntegrityChallenge)
            }
            MessageType::IntegrityResponse => {
                IntegrityResponse::new(packet).map(Self::IntegrityResponse)
            }
            MessageType::Unknown(_) => packet.check_framing().map(|()| Self::Other(packet)),
        }
    }

    /// The packet that was parsed.
    #[must_use]
    pub const fn packet(&self) -> &Packet<'a> {
        match self {
            Self::Path(m) => &m.packet,
            Self::Resv(m) => &m.packet,
            Self::PathErr(m) => &m.packet,
            Self::ResvErr(m) => &m.packet,
            Self::PathTear(m) => &m.packet,
            Self::ResvTear(m) => &m.packet,
            Self::ResvConf(m) => &m.packet,
            Self::Dreq(m) | Self::Drep(m) => &m.packet,
            Self::Bundle(m) => &m.packet,
            Self::Ack(m) => &m.packet,
            Self::Srefresh(m) => &m.packet,
            Self::Hello(m) => &m.packet,
            Self::IntegrityChallenge(m) => &m.packet,
            Self::IntegrityResponse(m) => &m.packet,
            Self::Other(packet) => packet,
        }
    }

    /// The session that the message speaks of.
    #[must_use]
    pub const fn session(&self) -> Option<Session> {
        Some(match self {
            Self::Path(m) => m.session,
            Self::Resv(m) => m.session,
            Self::PathErr(m) => m.session,
            Self::ResvErr(m) => m.session,
            Self::PathTear(m) => m.session,
            Self::ResvTear(m) => m.session,
            Self::ResvConf(m) => m.session,
            Self::Dreq(m) | Self::Drep(m) => m.session,
            _ => return None,
        })
    }
}

/// Accessors over the packet that all messages have in common.
impl<'a> Packet<'a> {
    /// The POLICY_DATA objects, in order; malformed ones are left out.
    pub fn policy_data(&self) -> impl Iterator<Item = PolicyData<'a>> + Clone + use<'a> {
        self.objects_of(class::POLICY_DATA).filter_map(|raw| PolicyData::checked(&raw))
    }

    /// Objects of unknown classes that have to be forwarded as they are (11bbbbbb, RFC 2205
    /// section 3.10), in order.
    pub fn unknown(&self) -> impl Iterator<Item = RawObject<'a>> + Clone + use<'a> {
        self.objects().filter(|raw| unknown_class_action(raw.class) == UnknownClassAction::Forward)
    }

    /// The MESSAGE_ID, if there is one.
    #[must_use]
    pub fn message_id(&self) -> Option<MessageId> {
        MessageId::decode(&self.objects_of(class::MESSAGE_ID).next()?).ok()
    }

    /// Acknowledgements of earlier messages, in order.
    pub fn message_id_acks(&self) -> impl Iterator<Item = MessageIdAck> + Clone + use<'a> {
        let of_class = self.objects_of(class::MESSAGE_ID_ACK);
        of_class.filter_map(|raw| MessageIdAck::decode(&raw).ok())
    }

    /// The tunnel session that carries this session, if the message tells (RFC 2746). Also among
    /// [`Packet::unknown`], since a node that takes no part in it forwards the object.
    #[must_use]
    pub fn session_assoc(&self) -> Option<SessionAssoc> {
        SessionAssoc::decode(&self.objects_of(class::SESSION_ASSOC).next()?).ok()
    }

    /// What the node that sent the message can do, if it tells (RFC 2746).
    #[must_use]
    pub fn node_char(&self) -> Option<NodeChar> {
        NodeChar::decode(&self.objects_of(class::NODE_CHAR).next()?).ok()
    }

    /// The INTEGRITY object, which stands first if it is there.
    #[must_use]
    pub fn integrity(&self) -> Option<Integrity<'a>> {
        let first = self.objects().next().filter(|raw| raw.class == class::INTEGRITY)?;
        Integrity::decode(&first).ok()
    }
}

macro_rules! packet_accessors {
    ($name:ident, $($more:ident)*) => {
        impl<'a> $name<'a> {
            /// Objects of unknown classes that have to be forwarded as they are (11bbbbbb, RFC
            /// 2205 section 3.10), in order.
            pub fn unknown(&self) -> impl Iterator<Item = RawObject<'a>> + Clone + use<'a> {
                self.packet.unknown()
            }

            /// The number of this message (RFC 2961), if it has one.
            #[must_use]
            pub fn message_id(&self) -> Option<MessageId> {
                self.packet.message_id()
            }

            /// Acknowledgements that go along (RFC 2961).
            pub fn message_id_acks(&self) -> impl Iterator<Item = MessageIdAck> + Clone + use<'a> {
                self.packet.message_id_acks()
            }
        }
        $( packet_accessors!(@$more $name); )*
    };
    (@policy $name:ident) => {
        impl<'a> $name<'a> {
            /// The POLICY_DATA objects, in order.
            pub fn policy_data(&self) -> impl Iterator<Item = PolicyData<'a>> + Clone + use<'a> {
                self.packet.policy_data()
            }
        }
    };
}

/// A sender descriptor (RFC 2205 section 3.1.3).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sender<'a> {
    /// The sender.
    pub template: SenderTemplate,
    /// Its traffic.
    pub tspec: Tspec,
    /// What the path offers.
    pub adspec: Option<AdspecView<'a>>,
    /// The SENDER_TSPEC object as it came, header included.
    pub tspec_bytes: &'a [u8],
}

/// A Path message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Path<'a> {
    /// The packet.
    pub packet: Packet<'a>,
    /// Where the data goes.
    pub session: Session,
    /// PHOP: the RSVP node that sent this message.
    pub hop: Hop,
    /// Its refresh period.
    pub time_values: TimeValues,
    /// The sender of the data. RFC 2205 has the descriptor in brackets, but says of its objects
    /// that a Path requires them (section 3.1.2), and no path state can be made without.
    pub sender: Sender<'a>,
}

packet_accessors!(Path, policy);

impl<'a> Path<'a> {
    #[inline(always)]
    fn new(packet: Packet<'a>) -> Result<Self, DecodeError> {
        let scan = Scan::new(&packet, &Rules::PATH)?;
        let (tspec, tspec_bytes) = scan.tspec.ok_or_else(|| missing(class::SENDER_TSPEC))?;
        Ok(Self {
            packet,
            session: scan.session()?,
            hop: scan.hop.ok_or_else(|| missing(class::RSVP_HOP))?,
            time_values: scan.time_values.ok_or_else(|| missing(class::TIME_VALUES))?,
            sender: Sender {
                template: scan.template.ok_or_else(|| missing(class::SENDER_TEMPLATE))?,
                tspec,
                adspec: scan.adspec,
                tspec_bytes,
            },
        })
    }
}

/// A Resv message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resv<'a> {
    /// The packet.
    pub packet: Packet<'a>,
    /// Where the data goes.
    pub session: Session,
    /// NHOP: the RSVP node that sent this message, with the LIH of the Path.
    pub hop: Hop,
    /// Its refresh period.
    pub time_values: TimeValues,
    /// The receiver that wants a confirmation.
    pub confirm: Option<ResvConfirm>,
    /// WF, FF or SE; an unknown style is refused.
    pub style: Style,
    scope: Option<ScopeIter<'a>>,
    flows: Flows<'a>,
}

packet_accessors!(Resv, policy);

impl<'a> Resv<'a> {
    #[inline(always)]
    fn new(packet: Packet<'a>) -> Result<Self, DecodeError> {
        let scan = Scan::new(&packet, &Rules::RESV)?;
        let (style, objects) = scan.style.ok_or_else(|| missing(class::STYLE))?;
        Ok(Self {
            packet,
            session: scan.session()?,
            hop: scan.hop.ok_or_else(|| missing(class::RSVP_HOP))?,
            time_values: scan.time_values.ok_or_else(|| missing(class::TIME_VALUES))?,
            confirm: scan.confirm,
            style,
            scope: scan.scope,
            flows: Flows::checked(style, objects)?,
        })
    }

    /// The flows asked for, each with the flowspec that holds for it; at least one.
    #[must_use]
    pub const fn flows(&self) -> Flows<'a> {
        self.flows
    }

    /// The senders of the SCOPE object; none without one.
    #[must_use]
    pub fn scope(&self) -> ScopeIter<'a> {
        self.scope.unwrap_or(ScopeIter::EMPTY)
    }

    /// Whether there is a SCOPE object.
    #[must_use]
    pub const fn has_scope(&self) -> bool {
        self.scope.is_some()
    }
}

/// A PathErr message. The sender descriptor is a copy from the message in error, so it may be
/// what the error is about: what cannot be read of it is left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PathErr<'a> {
    /// The packet.
    pub packet: Packet<'a>,
    /// Where the data goes.
    pub session: Session,
    /// The error.
    pub error: ErrorSpec,
    /// The sender whose Path is at fault.
    pub template: Option<SenderTemplate>,
    /// Its traffic, if that can be read.
    pub tspec: Option<Tspec>,
}

packet_accessors!(PathErr, policy);

impl<'a> PathErr<'a> {
    #[inline(always)]
    fn new(packet: Packet<'a>) -> Result<Self, DecodeError> {
        let scan = Scan::new(&packet, &Rules::PATH_ERR)?;
        Ok(Self {
            packet,
            session: scan.session()?,
            error: scan.error.ok_or_else(|| missing(class::ERROR_SPEC))?,
            template: scan.template,
            tspec: scan.tspec.map(|(tspec, _)| tspec),
        })
    }

    /// The objects of the sender descriptor as they came (classes 11, 12 and 13), in order.
    pub fn sender_objects(&self) -> impl Iterator<Item = RawObject<'a>> + Clone + use<'a> {
        self.packet.objects().filter(|raw| {
            matches!(raw.class, class::SENDER_TEMPLATE | class::SENDER_TSPEC | class::ADSPEC)
        })
    }
}

/// A ResvErr message. The flow descriptor is a copy from the message in error, so it may be what
/// the error is about: a flowspec that cannot be read is left out, and any style is accepted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ResvErr<'a> {
    /// The packet.
    pub packet: Packet<'a>,
    /// Where the data goes.
    pub session: Session,
    /// The previous hop's address.
    pub hop: Hop,
    /// The error.
    pub error: ErrorSpec,
    /// The style of the Resv in error.
    pub style: Style,
    /// What was asked for, if that can be read.
    pub flowspec: Option<FlowSpec>,
    scope: Option<ScopeIter<'a>>,
    filters: FilterSpecs<'a>,
}

packet_accessors!(ResvErr, policy);

impl<'a> ResvErr<'a> {
    #[inline(always)]
    fn new(packet: Packet<'a>) -> Result<Self, DecodeError> {
        let scan = Scan::new(&packet, &Rules::RESV_ERR)?;
        let (style, objects) = scan.style.ok_or_else(|| missing(class::STYLE))?;
        let flowspec = flows::check_error_descriptor(style, objects)?;
        Ok(Self {
            packet,
            session: scan.session()?,
            hop: scan.hop.ok_or_else(|| missing(class::RSVP_HOP))?,
            error: scan.error.ok_or_else(|| missing(class::ERROR_SPEC))?,
            style,
            flowspec,
            scope: scan.scope,
            filters: FilterSpecs::new(objects),
        })
    }

    /// The senders of the flow descriptor in error.
    #[must_use]
    pub const fn filters(&self) -> FilterSpecs<'a> {
        self.filters
    }

    /// The FLOWSPEC object as it came, header included.
    #[must_use]
    pub fn flowspec_bytes(&self) -> Option<&'a [u8]> {
        self.packet.objects_of(class::FLOWSPEC).next().map(|raw| raw.bytes)
    }

    /// The senders of the SCOPE object; none without one.
    #[must_use]
    pub fn scope(&self) -> ScopeIter<'a> {
        self.scope.unwrap_or(ScopeIter::EMPTY)
    }

    /// Whether there is a SCOPE object.
    #[must_use]
    pub const fn has_scope(&self) -> bool {
        self.scope.is_some()
    }
}

/// A PathTear message. A SENDER_TSPEC or ADSPEC in it is ignored (RFC 2205 section 3.1.5).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PathTear<'a> {
    /// The packet.
    pub packet: Packet<'a>,
    /// Where the data went.
    pub session: Session,
    /// PHOP of the path state to delete.
    pub hop: Hop,
    /// The sender of the path state to delete; path state cannot be matched without.
    pub template: SenderTemplate,
}

packet_accessors!(PathTear,);

impl<'a> PathTear<'a> {
    #[inline(always)]
    fn new(packet: Packet<'a>) -> Result<Self, DecodeError> {
        let scan = Scan::new(&packet, &Rules::PATH_TEAR)?;
        Ok(Self {
            packet,
            session: scan.session()?,
            hop: scan.hop.ok_or_else(|| missing(class::RSVP_HOP))?,
            template: scan.template.ok_or_else(|| missing(class::SENDER_TEMPLATE))?,
        })
    }
}

/// A ResvTear message. Flowspecs and a SCOPE in it are ignored (RFC 2205 section 3.1.6).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ResvTear<'a> {
    /// The packet.
    pub packet: Packet<'a>,
    /// Where the data goes.
    pub session: Session,
    /// NHOP, with the LIH of the Path.
    pub hop: Hop,
    /// The style of the reservation to delete.
    pub style: Style,
    filters: FilterSpecs<'a>,
}

packet_accessors!(ResvTear,);

impl<'a> ResvTear<'a> {
    #[inline(always)]
    fn new(packet: Packet<'a>) -> Result<Self, DecodeError> {
        let scan = Scan::new(&packet, &Rules::RESV_TEAR)?;
        let (style, objects) = scan.style.ok_or_else(|| missing(class::STYLE))?;
        flows::check_tear_list(style, objects)?;
        Ok(Self {
            packet,
            session: scan.session()?,
            hop: scan.hop.ok_or_else(|| missing(class::RSVP_HOP))?,
            style,
            filters: FilterSpecs::new(objects),
        })
    }

    /// The senders whose reservations are torn down; none for WF.
    #[must_use]
    pub const fn filters(&self) -> FilterSpecs<'a> {
        self.filters
    }
}

/// A ResvConf message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ResvConf<'a> {
    /// The packet.
    pub packet: Packet<'a>,
    /// Where the data goes.
    pub session: Session,
    /// The node that confirms; code and value are zero.
    pub error: ErrorSpec,
    /// The receiver that asked.
    pub confirm: ResvConfirm,
    /// The style of what is confirmed.
    pub style: Style,
    flows: Flows<'a>,
}

packet_accessors!(ResvConf,);

impl<'a> ResvConf<'a> {
    #[inline(always)]
    fn new(packet: Packet<'a>) -> Result<Self, DecodeError> {
        let scan = Scan::new(&packet, &Rules::RESV_CONF)?;
        let (style, objects) = scan.style.ok_or_else(|| missing(class::STYLE))?;
        Ok(Self {
            packet,
            session: scan.session()?,
            error: scan.error.ok_or_else(|| missing(class::ERROR_SPEC))?,
            confirm: scan.confirm.ok_or_else(|| missing(class::RESV_CONFIRM))?,
            style,
            flows: Flows::checked(style, objects)?,
        })
    }

    /// The flows confirmed; at least one.
    #[must_use]
    pub const fn flows(&self) -> Flows<'a> {
        self.flows
    }
}

/// The fault of a required object that is not there.
#[cold]
fn missing(class: u8) -> DecodeError {
    DecodeError {
        kind: ErrorKind::MissingObject,
        message_type: None,
        object: Some((class, 0)),
        offset: crate::packet::HEADER_LEN,
        field: "class",
        value: class.into(),
    }
}
