//! RSVP messages and objects as they travel: checked, borrowed reading and exact writing.
//!
//! The layers, from the wire upwards:
//!
//! * [`Packet`]: the common header, the checksum and the framing of the objects (RFC 2205
//!   section 3.1). Its objects come out as [`RawObject`], byte for byte.
//! * [`object`]: one value type or checked view per object class.
//! * [`Message`]: a packet whose objects are those that its type asks for, in an order that RFC
//!   2205 permits. All checking happens in [`Message::parse`]; what it returns cannot fail.
//! * [`policy`]: the policy elements of the RFCs.
//! * `charging`: the policy elements DCPE, UCPE and CHG_ERR (feature `alloc`, on by default).
//! * `digest`: the keyed digests of INTEGRITY objects (feature `digest`, on by default).
//! * [`MessageWriter`]: objects into a caller's buffer, or how large that buffer has to be.
//!
//! Reading borrows from the packet and does not allocate. Nothing here knows of clocks, sockets
//! or state, and no input makes it panic.
//!
//! ```
//! use rsvp_wire::{Message, MessageType, MessageWriter, object::*};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let session = Session::new("192.0.2.9".parse()?, 17, 5004);
//! let hop = Hop { address: "192.0.2.1".parse()?, lih: 3 };
//! let sender = SenderTemplate(Filter::port("192.0.2.7".parse()?, 4000));
//! let tspec = Tspec::new(125_000, 16_000, 64, 1500);
//!
//! let mut buffer = [0; 512];
//! let mut writer = MessageWriter::new(&mut buffer, MessageType::Path, 63);
//! writer.object(&session)?;
//! writer.object(&hop)?;
//! writer.object(&TimeValues { refresh_ms: 30_000 })?;
//! writer.object(&sender)?;
//! writer.object(&SenderTspec(tspec))?;
//! let length = writer.finish()?;
//!
//! let Message::Path(path) = Message::parse(&buffer[..length])? else { panic!("not a PATH") };
//! assert_eq!((path.session, path.hop, path.sender.tspec), (session, hop, tspec));
//! # Ok(()) }
//! ```
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

#[cfg(feature = "alloc")]
pub mod charging;
pub mod checksum;
mod context;
#[cfg(feature = "digest")]
pub mod digest;
mod display;
mod error;
pub mod iana;
pub mod message;
pub mod object;
mod packet;
pub mod policy;
mod writer;

pub use context::{ErrorContext, count_objects, leading_session};
pub use display::{Lines, Summary};
pub use error::{DecodeError, ErrorKind, Reaction};
pub use iana::MessageType;
pub use message::Message;
pub use packet::{HEADER_LEN, OBJECT_HEADER_LEN, Objects, Packet, RawObject};
pub use writer::{
    BufferTooSmall, EncodeObject, MAX_MESSAGE_LEN, MessageWriter, PolicyOptions, Sink,
    rewrite_checksum, rewrite_send_ttl, write_policy_data,
};
