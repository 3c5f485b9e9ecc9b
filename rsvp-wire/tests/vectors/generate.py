#!/usr/bin/env python3
"""Writes objects.txt, messages.txt and digests.txt: byte vectors that owe nothing to the Rust code.

Each line holds a name, the source and the bytes in hex. Where scapy knows the layer (header,
length, checksum, RSVP_HOP, TIME_VALUES, the frame of SENDER_TSPEC), scapy packs it; everything else
is packed by hand, field by field, along the figure of the RFC that the line names. The checksums of
all messages are scapy's.

    pip install scapy && python3 generate.py
"""

import hmac
import ipaddress
import pathlib
import struct

from scapy.contrib.rsvp import RSVP, RSVP_HOP, RSVP_Object, RSVP_SenderTSPEC, RSVP_Time
from scapy.utils import checksum as inet_checksum

HERE = pathlib.Path(__file__).parent
lines = []


def ip(text):
    return ipaddress.ip_address(text).packed


def obj(class_num, ctype, body):
    assert len(body) % 4 == 0
    return struct.pack("!HBB", 4 + len(body), class_num, ctype) + body


def add(name, source, data):
    assert len(data) % 4 == 0, name
    lines.append(f"{name} | {source} | {data.hex()}")
    return data


def single(value):
    return struct.pack("!f", value)


def pad(data):
    return data + bytes(-len(data) % 4)


V4, V6 = "192.0.2.9", "2001:db8::9"
S4, S6 = "192.0.2.7", "2001:db8::7"
H4, H6 = "192.0.2.1", "2001:db8::1"

# --- RFC 2205 appendix A ---------------------------------------------------------------------
session4 = add("session_v4", "RFC 2205 A.1, by hand", obj(1, 1, ip(V4) + struct.pack("!BBH", 17, 1, 5004)))
session6 = add("session_v6", "RFC 2205 A.1, by hand", obj(1, 2, ip(V6) + struct.pack("!BBH", 17, 0, 5004)))
session4g = add("session_v4_gpi", "RFC 2207 3.1, by hand", obj(1, 3, ip(V4) + struct.pack("!BBH", 50, 0, 1)))
add("session_v6_gpi", "RFC 2207 3.1, by hand", obj(1, 4, ip(V6) + struct.pack("!BBH", 51, 0, 2)))
hop4 = add("hop_v4", "scapy RSVP_HOP", bytes(RSVP_Object(Length=12) / RSVP_HOP(neighbor=H4, inface=7)))
hop6 = add("hop_v6", "RFC 2205 A.2, by hand", obj(3, 2, ip(H6) + struct.pack("!I", 0xDEADBEEF)))
time = add("time_values", "scapy RSVP_Time", bytes(RSVP_Object(Length=8) / RSVP_Time(refresh=30000)))
error4 = add("error_spec_v4", "RFC 2205 A.5, by hand", obj(6, 1, ip(H4) + struct.pack("!BBH", 1, 1, 2)))
error6 = add("error_spec_v6", "RFC 2205 A.5, by hand", obj(6, 2, ip(H6) + struct.pack("!BBH", 2, 21, 4)))
partial = add("error_spec_partial_preemption", "RFC 4495 5.1, by hand", obj(6, 1, ip(H4) + struct.pack("!BBH", 0, 2, 102)))
confirmed = obj(6, 1, ip(H4) + struct.pack("!BBH", 0, 0, 0))
scope4 = add("scope_v4", "RFC 2205 A.6, by hand", obj(7, 1, ip("192.0.2.7") + ip("192.0.2.8")))
add("scope_v6", "RFC 2205 A.6, by hand", obj(7, 2, ip(S6) + ip("2001:db8::8")))
wf = add("style_wf", "RFC 2205 A.7, by hand", obj(8, 1, bytes([0, 0, 0, 0b10001])))
ff = add("style_ff", "RFC 2205 A.7, by hand", obj(8, 1, bytes([0, 0, 0, 0b01010])))
se = add("style_se", "RFC 2205 A.7, by hand", obj(8, 1, bytes([0, 0, 0, 0b10010])))
filter4 = add("filter_spec_v4", "RFC 2205 A.9, by hand", obj(10, 1, ip(S4) + struct.pack("!HH", 0, 4000)))
filter6 = add("filter_spec_v6", "RFC 2205 A.9, by hand", obj(10, 2, ip(S6) + struct.pack("!HH", 0, 4000)))
add("filter_spec_flow_label", "RFC 2205 A.9, by hand", obj(10, 3, ip(S6) + struct.pack("!I", 0x000ABCDE)))
add("filter_spec_v4_gpi", "RFC 2207 3.2, by hand", obj(10, 4, ip(S4) + struct.pack("!I", 0x01020304)))
add("filter_spec_v6_gpi", "RFC 2207 3.2, by hand", obj(10, 5, ip(S6) + struct.pack("!I", 0xFFFFFFFF)))
template4 = add("sender_template_v4", "RFC 2205 A.10, by hand", obj(11, 1, ip(S4) + struct.pack("!HH", 0, 4000)))
template6 = add("sender_template_v6", "RFC 2205 A.10, by hand", obj(11, 2, ip(S6) + struct.pack("!HH", 0, 4000)))
add("sender_template_flow_label", "RFC 2205 A.10, by hand", obj(11, 3, ip(S6) + struct.pack("!I", 0x00FFFFFF)))
template4g = add("sender_template_v4_gpi", "RFC 2207 3.3, by hand", obj(11, 4, ip(S4) + struct.pack("!I", 9)))
add("sender_template_v6_gpi", "RFC 2207 3.3, by hand", obj(11, 5, ip(S6) + struct.pack("!I", 9)))
confirm4 = add("resv_confirm_v4", "RFC 2205 A.14, by hand", obj(15, 1, ip(V4)))
confirm6 = add("resv_confirm_v6", "RFC 2205 A.14, by hand", obj(15, 2, ip(V6)))

# --- RFC 2210 ----------------------------------------------------------------------------------
bucket = struct.pack("!BBH", 127, 0, 5) + single(125000.0) + single(16000.0) + single(float("inf"))
bucket += struct.pack("!II", 64, 1500)
tspec = add(
    "sender_tspec",
    "scapy RSVP_SenderTSPEC, token bucket along RFC 2210 3.1",
    bytes(RSVP_Object(Length=36, C_Type=2) / RSVP_SenderTSPEC(Data_Length=7, Srv_Length=6, Tokens=bucket)),
)
cl = add("flowspec_controlled_load", "RFC 2210 3.2.1, by hand", obj(9, 2, struct.pack("!BBH", 0, 0, 7) + struct.pack("!BBH", 5, 0, 6) + bucket))
rspec = struct.pack("!BBH", 130, 0, 2) + single(250000.5) + struct.pack("!I", 300)
gs = add("flowspec_guaranteed", "RFC 2210 3.2.2, by hand", obj(9, 2, struct.pack("!BBH", 0, 0, 10) + struct.pack("!BBH", 2, 0, 9) + bucket + rspec))


def word(number, data):
    return struct.pack("!BBH", number, 0, 1) + data


def u32(value):
    return struct.pack("!I", value)


general = word(4, u32(3)) + word(6, single(12500000.0)) + word(8, u32(40)) + word(10, u32(1500))
adspec = add(
    "adspec_controlled_load",
    "RFC 2210 3.3, by hand",
    obj(13, 2, struct.pack("!BBH", 0, 0, 10) + struct.pack("!BBH", 1, 0, 8) + general + struct.pack("!BBH", 5, 0, 0)),
)
terms = word(133, u32(1)) + word(134, u32(2)) + word(135, u32(3)) + word(136, u32(4))
add(
    "adspec_both_services",
    "RFC 2210 3.3, by hand; global and controlled-load break bits set",
    obj(13, 2, struct.pack("!BBH", 0, 0, 19) + struct.pack("!BBH", 1, 0x80, 8) + general
        + struct.pack("!BBH", 2, 0, 8) + terms + struct.pack("!BBH", 5, 0x80, 0)),
)
add(
    "adspec_empty_guaranteed",
    "RFC 2210 3.3.3, by hand",
    obj(13, 2, struct.pack("!BBH", 0, 0, 10) + struct.pack("!BBH", 1, 0, 8) + general + struct.pack("!BBH", 2, 0x80, 0)),
)
add(
    "adspec_override",
    "RFC 2210 3.3.5, by hand: controlled-load overrides the path bandwidth",
    obj(13, 2, struct.pack("!BBH", 0, 0, 12) + struct.pack("!BBH", 1, 0, 8) + general
        + struct.pack("!BBH", 5, 0, 2) + word(6, single(1000.0))),
)

# --- RFC 2747 ----------------------------------------------------------------------------------
key_id = struct.pack("!Q", 0x0000A1A2A3A4A5A6)[2:]
integrity = add("integrity", "RFC 2747 2.1, by hand", obj(4, 1, bytes([0x80, 0]) + key_id + struct.pack("!Q", 77) + bytes(range(16))))
challenge = add("challenge", "RFC 2747 4.3, by hand", obj(64, 1, bytes(2) + key_id + struct.pack("!Q", 0x1122334455667788)))

# --- RFC 2961 ----------------------------------------------------------------------------------
message_id = add("message_id", "RFC 2961 4.2, by hand", obj(23, 1, struct.pack("!II", 0x01ABCDEF, 7)))
ack = add("message_id_ack", "RFC 2961 4.3, by hand", obj(24, 1, struct.pack("!II", 0x00ABCDEF, 7)))
nack = add("message_id_nack", "RFC 2961 4.3, by hand", obj(24, 2, struct.pack("!II", 0x00ABCDEF, 8)))
plain_list = add("message_id_list", "RFC 2961 5.1, by hand", obj(25, 1, struct.pack("!III", 0x00ABCDEF, 1, 2)))
source_list = add("message_id_src_list_v4", "RFC 2961 5.1, by hand", obj(25, 2, u32(0xABCDEF) + u32(1) + ip(S4)))
add("message_id_src_list_v6", "RFC 2961 5.1, by hand", obj(25, 3, u32(0xABCDEF) + u32(1) + ip(S6)))
multicast_list = add("message_id_mcast_list_v4", "RFC 2961 5.1, by hand", obj(25, 4, u32(0xABCDEF) + u32(1) + ip(S4) + ip("224.1.1.1")))
add("message_id_mcast_list_v6", "RFC 2961 5.1, by hand", obj(25, 5, u32(0xABCDEF) + u32(1) + ip(S6) + ip("ff05::1")))

# --- RFC 3209 section 5 ------------------------------------------------------------------------
hello = add("hello_request", "RFC 3209 5.2.1, by hand", obj(22, 1, struct.pack("!II", 0x4A44672B, 0)))
hello_ack = add("hello_ack", "RFC 3209 5.2.2, by hand", obj(22, 2, struct.pack("!II", 1, 0x4A44672B)))

# --- RFC 2745 ----------------------------------------------------------------------------------
diagnostic4 = add(
    "diagnostic_v4",
    "RFC 2745 3.3, by hand",
    obj(30, 1, bytes([10, 2, 0, 1]) + u32(0xCAFE0001) + struct.pack("!HH", 1500, 400) + ip(H4) + template4 + filter4),
)
diagnostic6 = add(
    "diagnostic_v6",
    "RFC 2745 3.3, by hand",
    obj(30, 2, bytes([0, 0, 0, 0]) + u32(1) + struct.pack("!HH", 1280, 0) + ip(H6) + template6 + filter6),
)
select = add("diag_select", "RFC 2745 3.4, by hand; an odd number of pairs", obj(33, 1, bytes([14, 0, 9, 2, 8, 1, 0, 0])))
route4 = add("route_v4", "RFC 2745 3.5, by hand", obj(31, 1, bytes([0, 0, 0, 2]) + ip(H4) + ip("192.0.2.2")))
add("route_v6", "RFC 2745 3.5, by hand", obj(31, 2, bytes([0, 0, 0, 1]) + ip(H6)))
response4 = add(
    "diag_response_v4",
    "RFC 2745 3.6, by hand",
    obj(32, 1, u32(0x12345678) + ip(H4) + ip("192.0.2.2") + ip("0.0.0.0")
        + bytes([3, 0x80 | (2 << 4) | 3]) + struct.pack("!H", 30) + tspec + ff),
)
add(
    "diag_response_v6",
    "RFC 2745 3.6, by hand",
    obj(32, 2, u32(0) + ip(H6) + ip("::") + ip("::") + bytes([0, 1 << 4]) + struct.pack("!H", 0)),
)

# --- RFC 2746 ----------------------------------------------------------------------------------
assoc = add("session_assoc", "RFC 2746 2.3.1, by hand", obj(192, 0, session4 + filter4))
node_char = add("node_char", "RFC 2746 2.3.2, by hand", obj(128, 0, u32(1)))

# --- RFC 2750 and policy elements ----------------------------------------------------------------


def pe(ptype, data):
    data = pad(data)
    return struct.pack("!HH", 4 + len(data), ptype) + data


def attribute(kind, subtype, value):
    return pad(struct.pack("!HBB", 4 + len(value), kind, subtype) + value)


def policy(options, elements):
    return obj(14, 1, struct.pack("!HH", 8 + len(options), 0) + options + elements)


preemption = add("pe_preemption_pri", "RFC 3181 4, by hand", pe(1, bytes([0, 2, 1, 0]) + struct.pack("!HH", 100, 200)))
dn = b"APP=SAP, VER=1.1, SAPP=Print"
user = add("pe_auth_user", "RFC 3182 4.1, by hand", pe(2, attribute(1, 1, b"CN=Alice") + attribute(2, 1, b"alice")))
app = add("pe_auth_app", "RFC 2872 2, by hand", pe(3, attribute(1, 1, dn) + attribute(2, 1, b"SAP.EXE")))
add(
    "pe_auth_user_signed_error",
    "RFC 3182 3.3.3 and 3.3.4, by hand",
    pe(2, attribute(1, 2, b"CN=B\xc3\xb6b") + attribute(2, 4, b"cert") + attribute(4, 0, struct.pack("!HH", 0, 4) + b"too old")
       + attribute(3, 0, b"signature")),
)
session_auth = add(
    "pe_auth_session",
    "RFC 3520 3.3, by hand",
    pe(4, attribute(1, 3, b"pdp.example") + attribute(2, 0, b"\x01\x02\x03\x04") + attribute(3, 1, ip(S4))
       + attribute(3, 3, struct.pack("!HH", 4000, 4002)) + attribute(4, 2, ip(V6)) + attribute(4, 4, struct.pack("!H", 80))
       + attribute(5, 1, struct.pack("!Q", 1 << 32)) + attribute(6, 1, struct.pack("!Q", 2 << 32))
       + attribute(7, 1, u32(64)) + attribute(7, 4, bytes([0xB8])) + attribute(8, 0, u32(9) + bytes(16))),
)
add("pe_admission_pri", "RFC 6401 5.1 figure 1, by hand", pe(5, bytes([0, 1, 0, 0]) + bytes([0, 0, 0, 5])))
add("pe_app_resource_pri", "RFC 6401 5.2 figures 2 and 3, by hand", pe(6, struct.pack("!HBB", 3, 0, 1) + struct.pack("!HBB", 0x1234, 0, 4)))


def tlv(kind, value, flags=0):
    return pad(struct.pack("!HBB", 4 + len(value), kind, flags) + value)


def charging(flags=0):
    return struct.pack("!BBHbBH", 1, flags, 978, -12, 1, 5)


u64 = lambda value: struct.pack("!Q", value)
dcpe_core = charging(2) + u64(100) + u64(120) + u32(60000) + u32(9)
dcpe = add("pe_dcpe_core", "charging model 5.1, by hand", pe(0xD001, dcpe_core))
full_terms = (
    tlv(1, u32(300000)) + tlv(2, bytes([2, 0, 0, 5]) + b"a@b.c") + tlv(3, u64(1000)) + tlv(4, u64(500)) + tlv(5, u32(8))
    + tlv(6, u64(33)) + tlv(7, u64(1000000)) + tlv(8, bytes([1, 0]) + struct.pack("!H", 50)) + tlv(9, u32(2))
    + tlv(10, bytes([4, 1, 0, 0]) + ip(H4) + u64(40)) + tlv(10, bytes([6, 1, 0, 0]) + ip(H6) + u64(60))
    + tlv(11, struct.pack("!HH", 2, 0) + u64(64000) + u64(10) + u64(128000) + u64(15)) + tlv(12, u32(17))
    + tlv(200, b"abc", 0x01)
)
add("pe_dcpe_full", "charging model 5.1, by hand: every TLV and an unknown one", pe(0xD001, dcpe_core + full_terms))
ucpe_core = charging() + u64(70) + u64(250) + u64(45) + u64(150) + u32(9) + u32(3) + u32(1)
ucpe = add("pe_ucpe", "charging model 5.1, by hand", pe(0xD002, ucpe_core + tlv(2, bytes([1, 0, 0, 16]) + bytes(range(16)))))
chg_err = add("pe_chg_err", "charging model 5.1, by hand", pe(0xD003, struct.pack("!HHb3x", 4, 978, -12) + u64(77) + u64(63) + u32(9) + u32(3)))

policy4 = add("policy_data", "RFC 2750 3.1 to 3.3, by hand", policy(filter4 + hop4 + hop4 + integrity + time, dcpe + preemption))
add("policy_data_scope", "RFC 2750 3.2, by hand", policy(scope4 + hop4, pe(0xD002, b"")))

(HERE / "objects.txt").write_text("\n".join(lines) + "\n")
lines.clear()

# --- Messages ------------------------------------------------------------------------------------


def message(name, source, kind, *objects, flags=0, ttl=63):
    data = bytes(RSVP(Flags=flags, Class=kind, TTL=ttl) / b"".join(objects))
    assert inet_checksum(data) == 0, name
    return add(name, source, data)


unknown = obj(225, 1, b"keep") + obj(160, 9, b"drop")
base = "scapy header, length and checksum; objects as RFC 2205 3.1"
path = message("path_v4", base + ".3", 1, session4, hop4, time, policy4, template4, tspec, adspec, unknown)
message("path_v6", base + ".3", 1, message_id, session6, hop6, time, template6, tspec, ttl=1, flags=1)
message("path_gpi", base + ".3, RFC 2207", 1, session4g, hop4, time, template4g, tspec)
message("path_integrity", base + ".3, RFC 2747, RFC 2746", 1, integrity, session4, hop4, time, template4, tspec, assoc)
resv = message("resv_ff", base + ".4", 2, ack, nack, message_id, session4, hop4, time, confirm4, policy(hop4, ucpe), node_char, ff, cl,
               filter4, obj(10, 1, ip("192.0.2.8") + u32(1)), gs, obj(10, 1, ip("192.0.2.6") + u32(2)))
message("resv_se", base + ".4", 2, session6, hop6, time, se, gs, filter6, obj(10, 2, ip("2001:db8::8") + u32(4000)))
message("resv_wf", base + ".4", 2, session4, hop4, time, scope4, wf, cl)
message("path_err", base + ".7", 3, session4, error4, policy(hop4, chg_err + dcpe), template4, tspec)
message("resv_err", base + ".8, RFC 4495", 4, session4, hop4, partial, policy(hop4, preemption), ff, cl, filter4)
message("path_tear", base + ".5", 5, session4, hop4, template4)
message("resv_tear", base + ".6", 6, session4, hop4, se, filter4)
message("resv_conf", base + ".9", 7, session4, confirmed, confirm4, ff, cl, filter4)
dreq = message("dreq", "scapy header; RFC 2745 3", 8, session4, hop4, diagnostic4, select, route4)
message("drep", "scapy header; RFC 2745 3", 9, session4, hop4, diagnostic4, response4, response4)
acks = message("ack", "scapy header; RFC 2961 4.4", 13, ack, nack)
message("srefresh", "scapy header; RFC 2961 5.2", 15, ack, message_id, plain_list, multicast_list, flags=1)
message("srefresh_source", "scapy header; RFC 2961 5.2", 15, source_list, flags=1)
message("bundle", "scapy header; RFC 2961 3.2", 12, path, acks, flags=1)
message("hello", "scapy header; RFC 3209 5.1", 20, hello)
message("integrity_challenge", "scapy header; RFC 2747 4.3, RFC 3097", 25, challenge)
message("integrity_response", "scapy header; RFC 2747 4.3, RFC 3097", 26, integrity, challenge)

# --- Keyed digests, by Python's hmac ---------------------------------------------------------------
digests = []
for algorithm, size in (("md5", 16), ("sha1", 20), ("sha256", 32)):
    secret = b"a secret of some length"
    header = bytes([0, 0]) + key_id + struct.pack("!Q", 78)
    blank = obj(4, 1, header + bytes(size))
    # RFC 2747 4.1: checksum and digest are zero while the digest is computed.
    rest = session4 + hop4 + template4
    zeroed = struct.pack("!BBHBBH", 0x10, 5, 0, 63, 0, 8 + len(blank + rest)) + blank + rest
    digest = hmac.new(secret, zeroed, algorithm).digest()
    signed = bytes(RSVP(Flags=0, Class=5, TTL=63) / (obj(4, 1, header + digest) + rest))
    digests.append(f"message | {algorithm} | {secret.hex()} | {signed.hex()}")
    # RFC 2750 appendix B: the SESSION object, flags zero, stands behind the object.
    bare_session = obj(1, 1, ip(V4) + struct.pack("!BBH", 17, 0, 5004))
    digest = hmac.new(secret, policy(hop4 + blank, dcpe) + bare_session, algorithm).digest()
    signed = policy(hop4 + obj(4, 1, header + digest), dcpe)
    digests.append(f"policy | {algorithm} | {secret.hex()} | {signed.hex()}")
(HERE / "digests.txt").write_text("\n".join(digests) + "\n")

(HERE / "messages.txt").write_text("\n".join(lines) + "\n")