//! Words to bytes: the messages that a case sends to the node.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use rsvp_wire::charging::{Account, AccountKind, ChgErr, Dcpe, EXPONENT, Terms, Ucpe};
use rsvp_wire::iana::{MessageType, ptype};
use rsvp_wire::object::{
    Adspec, ErrorFlags, ErrorSpec, Filter, FilterSpec, Float, FlowId, FlowSpec, Hop, Raw,
    ResvConfirm, Scope, SenderTemplate, SenderTspec, Session, Style, TimeValues, Tspec,
    write_element,
};
use rsvp_wire::{Sink, rewrite_checksum};

use super::words::{Named, Written, time};

/// ISO 4217 number of the euro, in which charging cases are written.
const EUR: u16 = 978;
/// Service number of controlled load, which is what prices are for.
const SERVICE: u16 = 5;
/// Largest message of a case.
const ROOM: usize = 65_535;

type Fault = String;

/// The bytes of a message.
pub(crate) fn message(written: &Written) -> Result<Vec<u8>, Fault> {
    let mut buffer = vec![0; ROOM];
    let mut sink = Sink::new(&mut buffer);
    let number = |key, default: u8| written.header(key).map_or(Ok(default), parse::<u8>);
    let send_ttl = number("send-ttl", number("ttl", 64)?)?;
    let first = number("version", 1)? << 4 | number("flags", 0)? & 0x0f;
    sink.put(&[first, kind(&written.kind)?, 0, 0, send_ttl, 0, 0, 0]);
    for object in &written.objects {
        put(&mut sink, object)?;
    }
    sink.check().map_err(|error| error.to_string())?;
    let length = sink.position();
    // A length that is not what the objects add up to is the point of some cases.
    let claimed = match written.header("length") {
        Some(more) => length.saturating_add_signed(parse(more)?),
        None => length,
    };
    sink.set_u16(6, claimed);
    buffer.truncate(length);
    match written.header("checksum") {
        Some("none") => {}
        Some("bad") => {
            rewrite_checksum(&mut buffer);
            buffer[2] ^= 0x5a;
        }
        Some(other) => return Err(format!("checksum {other}: want none or bad")),
        None => rewrite_checksum(&mut buffer),
    }
    Ok(buffer)
}

fn kind(word: &str) -> Result<u8, Fault> {
    let known = MessageType::KNOWN.iter().find(|kind| kind.name().eq_ignore_ascii_case(word));
    known.map_or_else(|| parse(word), |kind| Ok((*kind).into()))
}

pub(crate) fn parse<T: FromStr>(word: &str) -> Result<T, Fault> {
    word.parse().map_err(|_| format!("`{word}` is not what stands there in other cases"))
}

/// The parts of a value between slashes; missing ones are the default.
fn part<T: FromStr>(word: &str, index: usize, default: T) -> Result<T, Fault> {
    word.split('/').nth(index).map_or(Ok(default), parse)
}

fn need<T: FromStr>(word: &str, index: usize) -> Result<T, Fault> {
    parse(word.split('/').nth(index).ok_or_else(|| format!("`{word}`: a part is missing"))?)
}

/// Appends one object.
fn put(sink: &mut Sink<'_>, object: &Named) -> Result<(), Fault> {
    let word = |index: usize| {
        let value = object.values.get(index).map(String::as_str);
        value.ok_or_else(|| format!("{object}: a value is missing"))
    };
    match object.key.as_str() {
        "session" | "spi-session" => sink.put_object(&session(object)?),
        "hop" | "by" | "for" => sink.put_object(&hop(word(0)?)?),
        "refresh" => sink.put_object(&TimeValues { refresh_ms: millis(word(0)?)? }),
        "error" => sink.put_object(&error(object)?),
        "scope" => {
            let list: Result<Vec<IpAddr>, _> = object.values.iter().map(|w| parse(w)).collect();
            sink.put_object(&Scope(&list?));
        }
        "style" => sink.put_object(&style(word(0)?)?),
        "flowspec" => sink.put_object(&flowspec(object)?),
        "filter" => sink.put_object(&FilterSpec(filter(word(0)?)?)),
        "sender" => sink.put_object(&SenderTemplate(filter(word(0)?)?)),
        "tspec" => sink.put_object(&SenderTspec(tspec(word(0)?)?)),
        "adspec" => sink.put_object(&adspec(object)?),
        "confirm" => sink.put_object(&ResvConfirm { receiver: parse(word(0)?)? }),
        "object" => {
            let body = hex(object.values.get(1).map_or("", String::as_str))?;
            let (class, ctype) = (need(word(0)?, 0)?, need(word(0)?, 1)?);
            sink.put_object(&Raw { class, ctype, body: &body });
        }
        "policy" => policy(sink, object)?,
        other => return Err(format!("{other} cannot be built")),
    }
    Ok(())
}

pub(crate) fn session(object: &Named) -> Result<Session, Fault> {
    let word = object.values.first().ok_or("session: a value is missing")?;
    let session = Session::new(need(word, 0)?, need(word, 1)?, need(word, 2)?);
    let flags = match word.split('/').nth(3) {
        Some("e-police") => Session::E_POLICE,
        _ => 0,
    };
    Ok(Session { flags, generalized: object.key == "spi-session", ..session })
}

fn hop(word: &str) -> Result<Hop, Fault> {
    Ok(Hop { address: need(word, 0)?, lih: part(word, 1, 0)? })
}

fn millis(word: &str) -> Result<u32, Fault> {
    u32::try_from(time(word)? / 1000).map_err(|error| error.to_string())
}

fn error(object: &Named) -> Result<ErrorSpec, Fault> {
    let word = |index: usize| object.values.get(index).map_or("", String::as_str);
    let mut flags = ErrorFlags::NONE;
    for name in word(2).split('+').filter(|name| !name.is_empty()) {
        flags = flags.union(match name {
            "in-place" => ErrorFlags::IN_PLACE,
            "not-guilty" => ErrorFlags::NOT_GUILTY,
            _ => return Err(format!("{name} is no flag of ERROR_SPEC")),
        });
    }
    Ok(ErrorSpec {
        node: parse(word(0))?,
        flags,
        code: need(word(1), 0)?,
        value: part(word(1), 1, 0)?,
    })
}

pub(crate) fn style(word: &str) -> Result<Style, Fault> {
    Ok(match word {
        "WF" => Style::WildcardFilter,
        "FF" => Style::FixedFilter,
        "SE" => Style::SharedExplicit,
        other => Style::Unknown(parse(other)?),
    })
}

/// `r/b`, and after that `/p/m/M` if they matter.
pub(crate) fn tspec(word: &str) -> Result<Tspec, Fault> {
    let rate = need(word, 0)?;
    let tspec = Tspec::new(rate, part(word, 1, rate)?, part(word, 3, 64)?, part(word, 4, 1500)?);
    let peak = match word.split('/').nth(2) {
        Some("inf") | None => Float::INFINITY,
        Some(peak) => Float::from_integer(parse(peak)?),
    };
    Ok(Tspec { peak, ..tspec })
}

pub(crate) fn flowspec(object: &Named) -> Result<FlowSpec, Fault> {
    let word = |index: usize| object.values.get(index).map_or("", String::as_str);
    if word(0) != "guaranteed" {
        return Ok(FlowSpec::ControlledLoad(tspec(word(0))?));
    }
    Ok(FlowSpec::Guaranteed {
        tspec: tspec(word(1))?,
        rate: Float::from_integer(need(word(2), 0)?),
        slack: part(word(2), 1, 0)?,
    })
}

/// `address:port`, `address#spi` or `address~label`.
pub(crate) fn filter(word: &str) -> Result<Filter, Fault> {
    if let Some((source, spi)) = word.split_once('#') {
        return Ok(Filter { source: parse(source)?, id: FlowId::Gpi(parse(spi)?) });
    }
    if let Some((source, label)) = word.split_once('~') {
        return Ok(Filter { source: parse(source)?, id: FlowId::FlowLabel(parse(label)?) });
    }
    let address: SocketAddr = parse(word)?;
    Ok(Filter::port(address.ip(), address.port()))
}

/// `hops/MTU whole` or `hops/MTU broken`.
fn adspec(object: &Named) -> Result<Adspec, Fault> {
    let word = object.values.first().ok_or("adspec: a value is missing")?;
    let broken = object.values.get(1).is_some_and(|word| word == "broken");
    let adspec = Adspec::controlled_load(Float::INFINITY, part(word, 1, 1500)?);
    Ok(Adspec { hop_count: need(word, 0)?, global_break: broken, ..adspec })
}

pub(crate) fn hex(word: &str) -> Result<Vec<u8>, Fault> {
    let digits: Vec<u8> = word.bytes().filter(|byte| *byte != b'-').collect();
    let octet = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).unwrap_or_default();
        u8::from_str_radix(text, 16).map_err(|_| format!("{word} is no hexadecimal string"))
    };
    digits.chunks(2).map(octet).collect()
}

/// POLICY_DATA: options that look like objects, then elements.
fn policy(sink: &mut Sink<'_>, object: &Named) -> Result<(), Fault> {
    let (mut options, mut elements) = (vec![0; ROOM], vec![0; ROOM]);
    let (mut before, mut behind) = (Sink::new(&mut options), Sink::new(&mut elements));
    for part in &object.inner {
        let first = part.values.first().map_or("", String::as_str);
        match part.key.as_str() {
            "element" => {
                let data = hex(part.values.get(1).map_or("", String::as_str))?;
                write_element(&mut behind, parse(first)?, |sink| sink.put(&data));
            }
            "dcpe" => dcpe(first)?.write(ptype::DCPE, &mut behind),
            "ucpe" => ucpe(first)?.write(ptype::UCPE, &mut behind),
            "chg-err" => chg_err(first)?.write(ptype::CHG_ERR, &mut behind),
            _ => put(&mut before, part)?,
        }
    }
    let (before, behind) = (before.position(), behind.position());
    let mut body = Vec::new();
    body.extend_from_slice(&u16::try_from(8 + before).unwrap_or(u16::MAX).to_be_bytes());
    body.extend_from_slice(&[0, 0]);
    body.extend_from_slice(&options[..before]);
    body.extend_from_slice(&elements[..behind]);
    sink.put_object(&Raw { class: 14, ctype: 1, body: &body });
    Ok(())
}

/// `C/M/epoch`.
fn dcpe(word: &str) -> Result<Dcpe, Fault> {
    let mut dcpe = Dcpe::new(EUR, SERVICE);
    dcpe.total = need(word, 0)?;
    dcpe.max_total = part(word, 1, dcpe.total)?;
    dcpe.epoch = part(word, 2, 1)?;
    dcpe.validity_ms = 60_000;
    Ok(dcpe)
}

/// `payment/epoch/sequence`.
fn ucpe(word: &str) -> Result<Ucpe, Fault> {
    let mut ucpe = Ucpe::new(EUR, SERVICE, Account::new(AccountKind::Opaque, b"neighbour"));
    ucpe.payment = need(word, 0)?;
    ucpe.announced_total = ucpe.payment;
    ucpe.epoch_echo = part(word, 1, 1)?;
    ucpe.sequence = part(word, 2, 1)?;
    ucpe.instance = 1;
    Ok(ucpe)
}

/// `reason/required/offered`.
fn chg_err(word: &str) -> Result<ChgErr, Fault> {
    Ok(ChgErr {
        reason: need(word, 0)?,
        currency: EUR,
        exponent: EXPONENT,
        required: part(word, 1, 0)?,
        offered: part(word, 2, 0)?,
        epoch: 1,
        sequence: 1,
        terms: Terms::default(),
    })
}

/// An object alone, to see that its words are right.
pub(crate) fn object(named: &Named) -> Result<Vec<u8>, Fault> {
    let mut buffer = vec![0; ROOM];
    let mut sink = Sink::new(&mut buffer);
    put(&mut sink, named)?;
    let length = sink.position();
    buffer.truncate(length);
    Ok(buffer)
}
