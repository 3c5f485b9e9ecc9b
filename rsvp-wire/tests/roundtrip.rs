//! Generated messages of every type: what is written is read, and written again the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "common/strategies.rs"]
mod strategies;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use rsvp_wire::charging::*;
use rsvp_wire::object::*;
use rsvp_wire::{
    BufferTooSmall, EncodeObject, Message, MessageType, MessageWriter, PolicyOptions, Sink,
};
use strategies::*;

/// Writes a message into a buffer that grows by what each error asks for.
fn write(
    kind: MessageType,
    ttl: u8,
    body: impl Fn(&mut MessageWriter<'_>) -> Result<(), BufferTooSmall>,
) -> Vec<u8> {
    let mut buffer = Vec::new();
    loop {
        let available = buffer.len();
        let mut writer = MessageWriter::new(&mut buffer, kind, ttl);
        let written = body(&mut writer);
        match written.and_then(|()| writer.finish()) {
            Ok(length) => {
                assert_eq!(length, available, "asked for more than was needed");
                return buffer;
            }
            Err(error) => {
                assert_eq!(error.available, available);
                assert!(error.needed > available);
                buffer.resize(error.needed, 0xee);
            }
        }
    }
}

fn forward(
    writer: &mut MessageWriter<'_>,
    objects: &[(u8, u8, Vec<[u8; 4]>)],
) -> Result<(), BufferTooSmall> {
    objects.iter().try_for_each(|(class, ctype, body)| {
        writer.object(&Raw { class: *class, ctype: *ctype, body: body.as_flattened() })
    })
}

/// What all messages about a session have: the session and what fits it.
fn subject() -> impl Strategy<Value = Subject> {
    let session = (any::<bool>(), prop::bool::weighted(0.2))
        .prop_flat_map(|(v6, generalized)| session(v6, generalized));
    session.prop_flat_map(|session| {
        let v6 = session.destination.is_ipv6();
        let hops = (hop(v6), of(hop(v6)));
        let others = (error_spec(v6), address(v6), vec(address(v6), 0..4));
        (hops, others, vec(filter(session), 1..4)).prop_map(move |(hops, others, senders)| {
            let (error, receiver, mut scope) = others;
            scope.sort();
            Subject {
                session,
                hop: hops.0,
                hop2: hops.1,
                error,
                confirm: ResvConfirm { receiver },
                scope,
                senders,
            }
        })
    })
}

#[derive(Debug, Clone)]
struct Subject {
    session: Session,
    hop: Hop,
    hop2: Option<Hop>,
    error: ErrorSpec,
    confirm: ResvConfirm,
    scope: Vec<std::net::IpAddr>,
    senders: Vec<Filter>,
}

impl Subject {
    fn filters(&self) -> Vec<FilterSpec> {
        self.senders.iter().copied().map(FilterSpec).collect()
    }

    fn options<'a>(&'a self, filters: &'a [FilterSpec]) -> PolicyOptions<'a> {
        PolicyOptions { filters, destination: self.hop2, ..PolicyOptions::from_hop(self.hop) }
    }
}

fn ids() -> impl Strategy<Value = (Option<MessageId>, Vec<MessageIdAck>)> {
    let id = (any::<u8>(), 0..1_u32 << 24, any::<u32>())
        .prop_map(|(flags, epoch, identifier)| MessageId { flags, epoch, identifier });
    let ack = (any::<bool>(), 0..1_u32 << 24, any::<u32>())
        .prop_map(|(nack, epoch, identifier)| MessageIdAck { nack, epoch, identifier });
    (of(id), vec(ack, 0..3))
}

fn style() -> impl Strategy<Value = Style> {
    prop_oneof![Just(Style::WildcardFilter), Just(Style::FixedFilter), Just(Style::SharedExplicit)]
}

/// The flow descriptors that a list stands for, and the objects that it is written with.
fn descriptors(
    style: Style,
    filters: &[FilterSpec],
    flowspecs: &[FlowSpec],
) -> Vec<(FlowSpec, Option<FilterSpec>)> {
    match style {
        Style::WildcardFilter => vec![(flowspecs[0], None)],
        Style::FixedFilter => {
            let cycle = flowspecs.iter().cycle();
            filters.iter().zip(cycle).map(|(filter, spec)| (*spec, Some(*filter))).collect()
        }
        _ => filters.iter().map(|filter| (flowspecs[0], Some(*filter))).collect(),
    }
}

fn write_descriptors(
    writer: &mut MessageWriter<'_>,
    list: &[(FlowSpec, Option<FilterSpec>)],
) -> Result<(), BufferTooSmall> {
    let mut last = None;
    for (flowspec, filter) in list {
        if last != Some(flowspec) {
            writer.object(flowspec)?;
            last = Some(flowspec);
        }
        if let Some(filter) = filter {
            writer.object(filter)?;
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..Default::default() })]

    #[test]
    fn path_and_its_errors_and_tears(
        subject in subject(), ttl: u8, refresh_ms: u32, tspec in tspec(), adspec in of(adspec()),
        dcpe in dcpe(), error in chg_err(), ids in ids(), unknown in forwarded(),
    ) {
        let template = SenderTemplate(subject.senders[0]);
        let filters = subject.filters();
        let options = subject.options(&filters);
        let bytes = write(MessageType::Path, ttl, |w| {
            ids.1.iter().try_for_each(|ack| w.object(ack))?;
            ids.0.iter().try_for_each(|id| w.object(id))?;
            w.object(&subject.session)?;
            w.object(&subject.hop)?;
            w.object(&TimeValues { refresh_ms })?;
            w.policy_data(&options, |sink| dcpe.write(DCPE_PTYPE, sink))?;
            w.object(&template)?;
            w.object(&SenderTspec(tspec))?;
            adspec.iter().try_for_each(|adspec| w.object(adspec))?;
            forward(w, &unknown)
        });
        let Ok(Message::Path(path)) = Message::parse(&bytes) else {
            panic!("{:?}", Message::parse(&bytes));
        };
        prop_assert_eq!((path.session, path.hop), (subject.session, subject.hop));
        prop_assert_eq!(path.time_values.refresh_ms, refresh_ms);
        prop_assert_eq!(path.packet.send_ttl(), ttl);
        prop_assert_eq!((path.sender.template, path.sender.tspec), (template, tspec));
        prop_assert_eq!(path.sender.adspec.map(|view| view.bytes().len()), adspec.map(|a| a.encoded_len()));
        if let (Some(view), Some(adspec)) = (path.sender.adspec, adspec) {
            let general = (view.hop_count(), view.path_bandwidth(), view.min_latency(), view.mtu());
            let Adspec { hop_count, path_bandwidth, min_latency, mtu, .. } = adspec;
            prop_assert_eq!(general, (hop_count, path_bandwidth, min_latency, mtu));
            prop_assert_eq!(view.global_break(), adspec.global_break);
            prop_assert_eq!(view.guaranteed(), adspec.guaranteed.and_then(|(_, terms)| terms));
        }
        prop_assert_eq!(path.message_id(), ids.0);
        prop_assert!(path.message_id_acks().eq(ids.1.iter().copied()));
        let policy: Vec<_> = path.policy_data().collect();
        prop_assert_eq!(policy.len(), 1);
        prop_assert_eq!(policy[0].originating_hop(), Some(subject.hop));
        prop_assert_eq!(policy[0].destination_hop(), subject.hop2);
        prop_assert!(policy[0].filter_specs().eq(filters.iter().copied()));
        prop_assert_eq!(Dcpe::parse(policy[0].element(DCPE_PTYPE).unwrap().bytes), Ok(dcpe));
        let back: Vec<_> = path.unknown().map(|raw| (raw.class, raw.ctype, raw.body)).collect();
        let sent: Vec<_> = unknown.iter().map(|(c, t, b)| (*c, *t, b.as_flattened())).collect();
        prop_assert_eq!(back, sent);

        let bytes = write(MessageType::PathErr, ttl, |w| {
            w.object(&subject.session)?;
            w.object(&subject.error)?;
            w.policy_data(&options, |sink| error.write(CHG_ERR_PTYPE, sink))?;
            w.object(&template)?;
            w.object(&SenderTspec(tspec))
        });
        let Ok(Message::PathErr(read)) = Message::parse(&bytes) else { panic!("no PathErr") };
        prop_assert_eq!((read.session, read.error), (subject.session, subject.error));
        prop_assert_eq!((read.template, read.tspec), (Some(template), Some(tspec)));
        let policy = read.policy_data().next().unwrap();
        prop_assert_eq!(ChgErr::parse(policy.element(CHG_ERR_PTYPE).unwrap().bytes), Ok(error));

        let bytes = write(MessageType::PathTear, ttl, |w| {
            w.object(&template)?;
            w.object(&subject.hop)?;
            w.object(&subject.session)
        });
        let Ok(Message::PathTear(read)) = Message::parse(&bytes) else { panic!("no PathTear") };
        prop_assert_eq!((read.session, read.hop, read.template), (subject.session, subject.hop, template));
    }

    #[test]
    fn resv_and_its_errors_tears_and_confirmations(
        subject in subject(), ttl: u8, refresh_ms: u32, style in style(),
        flowspecs in vec(flowspec(), 1..3), with: (bool, bool), ucpe in ucpe(), ids in ids(),
        unknown in forwarded(),
    ) {
        let filters = subject.filters();
        let list = descriptors(style, &filters, &flowspecs);
        let confirm = with.0.then_some(subject.confirm);
        let scope = with.1.then_some(Scope(&subject.scope)).filter(|scope| !scope.0.is_empty());
        let bytes = write(MessageType::Resv, ttl, |w| {
            w.object(&subject.session)?;
            w.object(&subject.hop)?;
            w.object(&TimeValues { refresh_ms })?;
            confirm.iter().try_for_each(|confirm| w.object(confirm))?;
            scope.iter().try_for_each(|scope| w.object(scope))?;
            ids.0.iter().try_for_each(|id| w.object(id))?;
            w.policy_data(&subject.options(&[]), |sink| ucpe.write(UCPE_PTYPE, sink))?;
            forward(w, &unknown)?;
            w.object(&style)?;
            write_descriptors(w, &list)
        });
        let Ok(Message::Resv(resv)) = Message::parse(&bytes) else {
            panic!("{:?}", Message::parse(&bytes));
        };
        prop_assert_eq!((resv.session, resv.hop, resv.style), (subject.session, subject.hop, style));
        prop_assert_eq!((resv.confirm, resv.has_scope()), (confirm, scope.is_some()));
        prop_assert!(resv.scope().eq(scope.iter().flat_map(|scope| scope.0.iter().copied())));
        let flows: Vec<_> = resv.flows().map(|flow| (flow.flowspec, flow.filter)).collect();
        prop_assert_eq!(&flows, &list);
        for flow in resv.flows() {
            prop_assert_eq!(flow.flowspec_bytes.len(), flow.flowspec.encoded_len());
        }
        prop_assert_eq!(resv.message_id(), ids.0);
        prop_assert_eq!(resv.unknown().count(), unknown.len());
        let policy = resv.policy_data().next().unwrap();
        prop_assert_eq!(Ucpe::parse(policy.element(UCPE_PTYPE).unwrap().bytes), Ok(ucpe));

        let bytes = write(MessageType::ResvErr, ttl, |w| {
            w.object(&subject.session)?;
            w.object(&subject.hop)?;
            w.object(&subject.error)?;
            w.object(&style)?;
            write_descriptors(w, &list[..1])
        });
        let Ok(Message::ResvErr(read)) = Message::parse(&bytes) else { panic!("no ResvErr") };
        prop_assert_eq!((read.error, read.style), (subject.error, style));
        prop_assert_eq!(read.flowspec, Some(list[0].0));
        prop_assert!(read.filters().eq(list[0].1));

        let torn = if style == Style::WildcardFilter { &[][..] } else { &filters };
        let bytes = write(MessageType::ResvTear, ttl, |w| {
            w.object(&subject.session)?;
            w.object(&subject.hop)?;
            w.object(&style)?;
            torn.iter().try_for_each(|filter| w.object(filter))
        });
        let Ok(Message::ResvTear(read)) = Message::parse(&bytes) else { panic!("no ResvTear") };
        prop_assert_eq!((read.session, read.hop), (subject.session, subject.hop));
        prop_assert!(read.filters().eq(torn.iter().copied()));

        let bytes = write(MessageType::ResvConf, ttl, |w| {
            w.object(&subject.session)?;
            w.object(&subject.error)?;
            w.object(&subject.confirm)?;
            w.object(&style)?;
            write_descriptors(w, &list)
        });
        let Ok(Message::ResvConf(read)) = Message::parse(&bytes) else { panic!("no ResvConf") };
        prop_assert_eq!((read.error, read.confirm), (subject.error, subject.confirm));
        prop_assert!(read.flows().map(|flow| (flow.flowspec, flow.filter)).eq(list));
    }

    #[test]
    fn refresh_reduction(
        epoch in 0..1_u32 << 24, kind in 0..5_usize, ids in ids(), v6: bool,
        numbers in vec(any::<u32>(), 1..120),
        addresses in (unicast(false), address(false), unicast(true), address(true)),
    ) {
        let kind = [
            ListKind::Plain, ListKind::SourceV4, ListKind::SourceV6, ListKind::MulticastV4,
            ListKind::MulticastV6,
        ][kind];
        let (source, destination) = match kind {
            ListKind::Plain => (None, None),
            ListKind::SourceV4 => (Some(addresses.0), None),
            ListKind::SourceV6 => (Some(addresses.2), None),
            ListKind::MulticastV4 => (Some(addresses.0), Some(addresses.1)),
            ListKind::MulticastV6 => (Some(addresses.2), Some(addresses.3)),
        };
        let entry = |identifier: &u32| ListEntry { identifier: *identifier, source, destination };
        let entries: Vec<_> = numbers.iter().map(entry).collect();
        let refresh = write(MessageType::Srefresh, 1, |w| {
            ids.1.iter().try_for_each(|ack| w.object(ack))?;
            ids.0.iter().try_for_each(|id| w.object(id))?;
            w.object(&MessageIds { kind, epoch, entries: &entries })
        });
        let Ok(Message::Srefresh(read)) = Message::parse(&refresh) else { panic!("no Srefresh") };
        let list = read.lists().next().unwrap();
        prop_assert_eq!((list.kind, list.epoch, list.len()), (kind, epoch, entries.len()));
        prop_assert!(list.entries().eq(entries));
        prop_assert_eq!(read.message_id, ids.0);
        prop_assert!(read.message_id_acks().eq(ids.1.iter().copied()));

        let acks = write(MessageType::Ack, 1, |w| {
            w.object(&MessageIdAck { nack: v6, epoch, identifier: numbers[0] })
        });
        let bundle = write(MessageType::Bundle, 1, |w| {
            w.raw(&refresh)?;
            w.raw(&acks)
        });
        let Ok(Message::Bundle(read)) = Message::parse(&bundle) else { panic!("no Bundle") };
        prop_assert!(read.parts().eq([&refresh[..], &acks[..]]));
        let Ok(Message::Ack(read)) = Message::parse(&acks) else { panic!("no Ack") };
        let ack = MessageIdAck { nack: v6, epoch, identifier: numbers[0] };
        prop_assert!(read.acks().eq([ack]));
        // A Bundle in a Bundle is refused.
        let nested = write(MessageType::Bundle, 1, |w| w.raw(&bundle));
        prop_assert!(Message::parse(&nested).is_err());
    }

    #[test]
    fn neighbours_and_diagnosis(
        subject in subject(), words: [u32; 4], longs: [u64; 2], bits: [bool; 2], small: [u8; 4],
        selected in vec((1..=u8::MAX, any::<u8>()).prop_map(|(class, ctype)| [class, ctype]), 0..9),
    ) {
        let hello = Hello { ack: bits[0], source_instance: words[0], destination_instance: words[1] };
        let bytes = write(MessageType::Hello, 1, |w| w.object(&hello));
        let Ok(Message::Hello(read)) = Message::parse(&bytes) else { panic!("no Hello") };
        prop_assert_eq!(read.hello, hello);

        let challenge = Challenge { key_id: longs[0] >> 16, cookie: longs[1] };
        let digest = [small[0]; 16];
        let integrity =
            Integrity { flags: small[1], key_id: longs[0] >> 16, sequence: longs[1], digest: &digest };
        let bytes = write(MessageType::IntegrityChallenge, 1, |w| w.object(&challenge));
        let Ok(Message::IntegrityChallenge(read)) = Message::parse(&bytes) else { panic!() };
        prop_assert_eq!(read.challenge, challenge);
        let bytes = write(MessageType::IntegrityResponse, 1, |w| {
            w.object(&integrity)?;
            w.object(&challenge)
        });
        let Ok(Message::IntegrityResponse(read)) = Message::parse(&bytes) else { panic!() };
        prop_assert_eq!((read.integrity, read.challenge), (integrity, challenge));

        let sender = subject.senders[0];
        let diagnostic = Diagnostic {
            max_hops: small[0],
            hop_count: small[1],
            more_fragments: bits[1],
            request_id: words[2],
            path_mtu: words[3] as u16,
            fragment_offset: (words[3] >> 16) as u16,
            last_hop: subject.hop.address,
            sender: SenderTemplate(sender),
            requester: FilterSpec(sender),
        };
        let mut inside = [0; 64];
        let length = Style::FixedFilter.encode(&mut inside).unwrap();
        let address = subject.hop.address;
        let mut response = DiagResponse::new(address, address, address).with_objects(&inside[..length]);
        response.error = small[2] & 7;
        response.refresh_multiple = small[3] & 15;
        response.merged = bits[0];
        for kind in [MessageType::Dreq, MessageType::Drep] {
            let bytes = write(kind, 9, |w| {
                w.object(&subject.session)?;
                w.object(&subject.hop)?;
                w.object(&diagnostic)?;
                w.object(&DiagSelect::new(&selected))?;
                w.object(&response)?;
                w.object(&response)
            });
            let read = match Message::parse(&bytes) {
                Ok(Message::Dreq(read) | Message::Drep(read)) => read,
                other => panic!("{other:?}"),
            };
            prop_assert_eq!((read.session, read.hop), (subject.session, subject.hop));
            prop_assert_eq!(read.diagnostic, diagnostic);
            prop_assert_eq!(read.select.unwrap().pairs(), &selected[..]);
            prop_assert_eq!(read.responses().count(), 2);
            let first = read.responses().next().unwrap();
            prop_assert_eq!(
                (first.error, first.refresh_multiple, first.merged, first.incoming),
                (response.error, response.refresh_multiple, response.merged, address)
            );
            prop_assert!(first.objects().map(|raw| raw.bytes).eq([&inside[..length]]));
        }
    }

    #[test]
    fn charging_elements(dcpe in dcpe(), ucpe in ucpe(), error in chg_err()) {
        let mut bytes = vec![0; 4096];
        let length = dcpe.encode(DCPE_PTYPE, &mut bytes).unwrap();
        prop_assert_eq!(length, dcpe.encoded_len());
        prop_assert_eq!(Dcpe::parse(&bytes[..length]), Ok(dcpe));
        let length = ucpe.encode(UCPE_PTYPE, &mut bytes).unwrap();
        prop_assert_eq!(Ucpe::parse(&bytes[..length]), Ok(ucpe));
        let length = error.encode(CHG_ERR_PTYPE, &mut bytes).unwrap();
        prop_assert_eq!(ChgErr::parse(&bytes[..length]), Ok(error));
    }

    /// Composition along a path is what RFC 2210 and RFC 2215 say, whatever came in.
    #[test]
    fn adspec_is_composed(
        before in adspec(), bandwidth in float(), latency_us: u32, mtu: u32, passed: bool,
        guaranteed: Option<(u32, u32)>, controlled_load: bool,
    ) {
        let mut bytes = vec![0; before.encoded_len()];
        before.encode(&mut bytes).unwrap();
        let hop = AdspecHop {
            bandwidth, latency_us, mtu, non_rsvp_hop_passed: passed, guaranteed, controlled_load,
        };
        update_adspec(&mut bytes, &hop);
        let (c, d) = guaranteed.unwrap_or_default();
        let offered = guaranteed.is_some();
        let composed = |terms: GuaranteedTerms| GuaranteedTerms {
            c_tot: terms.c_tot.saturating_add(c),
            d_tot: terms.d_tot.saturating_add(d),
            c_sum: terms.c_sum.saturating_add(c),
            d_sum: terms.d_sum.saturating_add(d),
        };
        let after = Adspec {
            global_break: before.global_break || passed,
            hop_count: before.hop_count.saturating_add(1),
            path_bandwidth: before.path_bandwidth.min(bandwidth),
            min_latency: before.min_latency.saturating_add(latency_us),
            mtu: before.mtu.min(mtu),
            guaranteed: before.guaranteed.map(|(broken, terms)| {
                (broken || !offered || terms.is_none(), terms.map(composed))
            }),
            controlled_load: before.controlled_load.map(|broken| broken || !controlled_load),
        };
        let mut expected = vec![0; after.encoded_len()];
        after.encode(&mut expected).unwrap();
        prop_assert_eq!(bytes, expected);
    }

    #[test]
    fn sink_counts_what_it_cannot_hold(chunks in vec(vec(any::<u8>(), 0..9), 0..9), room in 0..64_usize) {
        let mut buffer = vec![0; room];
        let mut sink = Sink::new(&mut buffer);
        chunks.iter().for_each(|chunk| sink.put(chunk));
        let whole: Vec<u8> = chunks.concat();
        prop_assert_eq!(sink.position(), whole.len());
        prop_assert_eq!(sink.check().is_ok(), whole.len() <= room);
        if whole.len() <= room {
            prop_assert_eq!(&buffer[..whole.len()], &whole[..]);
        }
    }
}
