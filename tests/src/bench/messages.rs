//! The PATH that the generator sends, the RESV that the sink answers, and what both check.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{SystemTime, UNIX_EPOCH};

use rsvp_wire::charging::{Account, AccountKind, DCPE_PTYPE, Dcpe, UCPE_PTYPE, Ucpe};
use rsvp_wire::message::Path;
use rsvp_wire::object::{
    Adspec, Filter, FilterSpec, Float, FlowSpec, Hop, MessageId, PolicyData, SenderTemplate,
    SenderTspec, Session, Style, TimeValues, Tspec,
};
use rsvp_wire::{BufferTooSmall, Message, MessageType, MessageWriter, PolicyOptions};

/// Bytes that the longest message of the benchmark needs, with room to spare.
pub(crate) const MESSAGE_BYTES: usize = 1024;
/// IP TTL of what the generator and the sink send.
pub(crate) const TTL: u8 = 64;
/// Refresh period in all messages: long enough that no refresh falls into a measurement.
pub(crate) const REFRESH_MS: u32 = 120_000;
/// How long a quote holds.
pub(crate) const VALIDITY_MS: u32 = 300_000;
/// ISO 4217 number of the euro.
const CURRENCY: u16 = 978;
/// Part of the price that the sender takes over: 30 %.
const SENDER_FRACTION_PPM: u32 = 300_000;
/// The first session's destination; session number N has this address plus N.
pub(crate) const FIRST_DESTINATION: Ipv4Addr = Ipv4Addr::new(10, 128, 0, 0);
/// Prefix length of all destinations: some eight million.
pub(crate) const DESTINATION_PREFIX: u8 = 9;
/// Flag of the common header: refresh reduction capable (RFC 2961 section 2).
pub(crate) const CAPABLE: u8 = 0x01;
/// Epoch of the numbers of our messages.
pub(crate) const NUMBERS_EPOCH: u32 = 0x42;
const PORT: u16 = 5004;
const UDP: u8 = 17;
/// Bytes that a sender sends at once.
const BUCKET: u64 = 16_000;

/// Session number `number`.
pub(crate) fn session(number: u32) -> Session {
    let destination = Ipv4Addr::from_bits(FIRST_DESTINATION.to_bits() + number);
    Session::new(destination.into(), UDP, PORT)
}

/// The number of a session, if it is one of ours.
pub(crate) fn number_of(session: &Session) -> Option<u32> {
    let IpAddr::V4(destination) = session.destination else { return None };
    destination.to_bits().checked_sub(FIRST_DESTINATION.to_bits())
}

/// Where a PATH of ours goes, by its SESSION, which stands first.
pub(crate) fn destination_of(path: &[u8]) -> Option<IpAddr> {
    let (_, rest) = path.split_at_checked(12)?;
    rest.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets).into())
}

/// What goes into all messages of one end, made once.
#[derive(Debug)]
pub(crate) struct Templates {
    hop: Hop,
    filter: Filter,
    tspec: Tspec,
    adspec: Adspec,
    quote: Dcpe,
    payment: Ucpe,
}

impl Templates {
    /// Messages of the node at `own`, of flows from `sender`.
    pub(crate) fn new(own: Ipv4Addr, sender: Ipv4Addr) -> Templates {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Templates::at(u32::try_from(seconds).unwrap_or(u32::MAX / 2), own, sender)
    }

    /// The same at an instant of the wall clock, in Unix seconds: epochs and sequences count from
    /// them (charging.md T17).
    pub(crate) fn at(now: u32, own: Ipv4Addr, sender: Ipv4Addr) -> Templates {
        let tspec = Tspec::new(125_000, BUCKET, 64, 1500);
        let service = FlowSpec::ControlledLoad(tspec).service();
        let account = Account::new(AccountKind::from(1), b"bench-customer-1");
        let mut quote = Dcpe::new(CURRENCY, service);
        quote.validity_ms = VALIDITY_MS;
        quote.epoch = now;
        quote.terms.sender_fraction = Some(SENDER_FRACTION_PPM);
        quote.terms.limit_per_receiver = Some(1_000_000_000);
        quote.terms.account = Some(account.clone());
        let mut payment = Ucpe::new(CURRENCY, service, account);
        payment.sequence = now;
        payment.instance = now;
        // A next hop repeats the limits that it was told; one that does not is suspected.
        payment.terms.limit_per_receiver = quote.terms.limit_per_receiver;
        Templates {
            hop: Hop { address: own.into(), lih: 0 },
            filter: Filter::port(sender.into(), PORT),
            tspec,
            adspec: Adspec::controlled_load(Float::from_integer(1_250_000), 1500),
            quote,
            payment,
        }
    }

    /// Has PATHs say that the payment with this sequence is in place end to end; each time that it
    /// changes they are of a new epoch (charging.md T12, T14).
    pub(crate) fn set_established(&mut self, sequence: Option<u32>) {
        if self.quote.terms.established != sequence && sequence.is_some() {
            self.quote.epoch = self.quote.epoch.wrapping_add(1);
        }
        self.quote.terms.established = sequence;
    }

    /// Writes the sender's PATH of a session; returns its length.
    pub(crate) fn path(
        &self,
        number: u32,
        interface: u32,
        buffer: &mut [u8],
    ) -> Result<usize, BufferTooSmall> {
        self.path_saying(number, interface, &Saying::default(), buffer)
    }

    /// The same with what is particular to the session.
    pub(crate) fn path_saying(
        &self,
        number: u32,
        interface: u32,
        saying: &Saying,
        buffer: &mut [u8],
    ) -> Result<usize, BufferTooSmall> {
        let hop = Hop { lih: interface, ..self.hop };
        let mut tspec = self.tspec;
        if saying.more_bucket > 0 {
            tspec.bucket = Float::from_integer(BUCKET + u64::from(saying.more_bucket));
        }
        let mut writer = saying.begin(buffer, MessageType::Path)?;
        writer.object(&session(number))?;
        writer.object(&hop)?;
        writer.object(&TimeValues { refresh_ms: REFRESH_MS })?;
        writer.policy_data(&PolicyOptions::from_hop(hop), |sink| {
            if saying.changes == 0 && saying.established.is_none() {
                return self.quote.write(DCPE_PTYPE, sink);
            }
            let mut quote = self.quote.clone();
            quote.epoch = quote.epoch.wrapping_add(saying.changes);
            quote.terms.established = saying.established;
            quote.write(DCPE_PTYPE, sink);
        })?;
        writer.object(&SenderTemplate(self.filter))?;
        writer.object(&SenderTspec(tspec))?;
        writer.object(&self.adspec)?;
        writer.finish()
    }

    /// Writes the receiver's RESV that pays a quote; returns its length.
    pub(crate) fn resv(
        &mut self,
        quote: &Quote,
        buffer: &mut [u8],
    ) -> Result<usize, BufferTooSmall> {
        self.resv_saying(quote, &Saying::default(), buffer)
    }

    /// The same with what is particular to the session.
    pub(crate) fn resv_saying(
        &mut self,
        quote: &Quote,
        saying: &Saying,
        buffer: &mut [u8],
    ) -> Result<usize, BufferTooSmall> {
        let hop = Hop { lih: quote.phop.lih, ..self.hop };
        let sequence = self.payment.instance.wrapping_add(saying.changes);
        let payment = &mut self.payment;
        payment.sequence = sequence;
        payment.payment = quote.total - quote.sponsored;
        payment.announced_total = quote.total;
        payment.epoch_echo = quote.epoch;
        let mut writer = saying.begin(buffer, MessageType::Resv)?;
        writer.object(&session(quote.session))?;
        writer.object(&hop)?;
        writer.object(&TimeValues { refresh_ms: REFRESH_MS })?;
        writer
            .policy_data(&PolicyOptions::from_hop(hop), |sink| payment.write(UCPE_PTYPE, sink))?;
        writer.object(&Style::FixedFilter)?;
        writer.object(&FlowSpec::ControlledLoad(self.tspec))?;
        writer.object(&FilterSpec(self.filter))?;
        writer.finish()
    }

    /// Writes the receiver's RESVTEAR; returns its length.
    pub(crate) fn resv_tear(
        &self,
        quote: &Quote,
        saying: &Saying,
        buffer: &mut [u8],
    ) -> Result<usize, BufferTooSmall> {
        let mut writer = saying.begin(buffer, MessageType::ResvTear)?;
        writer.object(&session(quote.session))?;
        writer.object(&Hop { lih: quote.phop.lih, ..self.hop })?;
        writer.object(&Style::FixedFilter)?;
        writer.object(&FilterSpec(self.filter))?;
        writer.finish()
    }
}

/// What a message of one session says beyond the templates.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Saying {
    /// How often its price or its payment has changed: epochs and sequences count on by that.
    pub changes: u32,
    /// The sequence of the payment that is in place end to end (charging.md T12).
    pub established: Option<u32>,
    /// Bytes that the sender sends at once, beyond those of the template.
    pub more_bucket: u32,
    /// The number of the message, if refreshes are reduced (RFC 2961).
    pub number: Option<u32>,
}

impl Saying {
    /// A message up to what names its session.
    fn begin<'b>(
        &self,
        buffer: &'b mut [u8],
        kind: MessageType,
    ) -> Result<MessageWriter<'b>, BufferTooSmall> {
        let Some(identifier) = self.number else {
            return Ok(MessageWriter::new(buffer, kind, TTL));
        };
        let mut writer = MessageWriter::with_flags(buffer, kind, TTL, CAPABLE);
        let flags = MessageId::ACK_DESIRED;
        writer.object(&MessageId { flags, epoch: NUMBERS_EPOCH, identifier })?;
        Ok(writer)
    }
}

/// What a PATH says to the sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quote {
    /// Number of the session.
    pub session: u32,
    /// Previous hop.
    pub phop: Hop,
    /// Total charge, in 10^-12 currency units a second.
    pub total: u64,
    /// The part of it that the sender covers.
    pub sponsored: u64,
    /// The quote's epoch.
    pub epoch: u32,
}

/// What a message turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A PATH with a quote.
    Path(Quote),
    /// A RESV that carries a payment.
    Resv {
        /// Number of the session.
        session: u32,
        /// The hop that sent it.
        nhop: Hop,
        /// The payment's sequence.
        sequence: u32,
        /// What the sender's account is to pay.
        sender_payment: u64,
    },
    /// A message of another type, such as an error.
    Other(MessageType),
}

/// The sequence of the payment in a RESV.
pub(crate) fn sequence_of(resv: &[u8]) -> Option<u32> {
    let message = Message::parse(resv).ok()?;
    let element = message.packet().policy_data().find_map(|data| element_of(data, UCPE_PTYPE))?;
    Ucpe::parse(element).ok().map(|ucpe| ucpe.sequence)
}

/// Reads a message that came to the generator or the sink.
///
/// # Errors
/// In words, why it is not what it should be.
pub(crate) fn read(bytes: &[u8]) -> Result<Seen, String> {
    Message::parse(bytes).map_err(|error| error.to_string()).and_then(|message| seen(&message))
}

/// Reads a message that was parsed already.
///
/// # Errors
/// In words, why it is not what it should be.
pub(crate) fn seen(message: &Message<'_>) -> Result<Seen, String> {
    match message {
        Message::Path(path) => read_path(path).map(Seen::Path),
        Message::Resv(resv) => {
            let element = resv.policy_data().find_map(|data| element_of(data, UCPE_PTYPE));
            let ucpe = element.ok_or("a RESV without UCPE")?;
            let ucpe = Ucpe::parse(ucpe).map_err(|error| error.to_string())?;
            let session = number_of(&resv.session).ok_or("a RESV of an unknown session")?;
            let Ucpe { sequence, sender_payment, .. } = ucpe;
            Ok(Seen::Resv { session, nhop: resv.hop, sequence, sender_payment })
        }
        other => Ok(Seen::Other(other.packet().message_type())),
    }
}

fn read_path(path: &Path<'_>) -> Result<Quote, String> {
    let element = path.policy_data().find_map(|data| element_of(data, DCPE_PTYPE));
    let dcpe = Dcpe::parse(element.ok_or("a PATH without DCPE")?).map_err(|e| e.to_string())?;
    let ppm = dcpe.terms.sender_fraction.unwrap_or(0);
    // charging.md section 2: S = ceil(r C), unless a SPONSORED says otherwise.
    let covered = (u128::from(dcpe.total) * u128::from(ppm)).div_ceil(1_000_000);
    let sponsored = match dcpe.terms.sponsored {
        Some(amount) => amount,
        None => u64::try_from(covered).map_err(|error| error.to_string())?,
    };
    if sponsored > dcpe.total {
        return Err(format!("a quote of {} with {sponsored} sponsored", dcpe.total));
    }
    Ok(Quote {
        session: number_of(&path.session).ok_or("a PATH of an unknown session")?,
        phop: path.hop,
        total: dcpe.total,
        sponsored,
        epoch: dcpe.epoch,
    })
}

fn element_of(data: PolicyData<'_>, ptype: u16) -> Option<&[u8]> {
    data.element(ptype).map(|element| element.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 1);

    #[test]
    fn a_path_reads_as_it_was_written() {
        let mut buffer = [0; MESSAGE_BYTES];
        let length = Templates::new(OWN, OWN).path(70_000, 9, &mut buffer).unwrap();
        let Seen::Path(quote) = read(&buffer[..length]).unwrap() else { panic!("a PATH") };
        assert_eq!((quote.session, quote.total, quote.sponsored), (70_000, 0, 0));
        assert_eq!(quote.phop, Hop { address: OWN.into(), lih: 9 });
    }

    #[test]
    fn a_resv_pays_what_the_sender_does_not() {
        let phop = Hop { address: OWN.into(), lih: 4 };
        let quote = Quote { session: 3, phop, total: 101, sponsored: 31, epoch: 7 };
        let mut buffer = [0; MESSAGE_BYTES];
        let length = Templates::new(OWN, OWN).resv(&quote, &mut buffer).unwrap();
        let message = Message::parse(&buffer[..length]).unwrap();
        let data = message.packet().policy_data().next().unwrap();
        let ucpe = Ucpe::parse(data.element(UCPE_PTYPE).unwrap().bytes).unwrap();
        assert_eq!((ucpe.payment, ucpe.announced_total, ucpe.epoch_echo), (70, 101, 7));
        let Seen::Resv { session, nhop, .. } = read(&buffer[..length]).unwrap() else {
            panic!("a RESV")
        };
        assert_eq!((session, nhop.lih), (3, 4));
    }
}
