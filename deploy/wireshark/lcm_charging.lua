-- Charging elements in RSVP, for Wireshark and tshark (3.0 and later; Lua 5.2 to 5.4).
--
-- Wireshark shows POLICY_DATA objects (RFC 2750) as bytes. This script lets its own RSVP dissector
-- do its work, then goes over the POLICY_DATA objects of the message (and of the messages in a
-- Bundle) and shows their options and elements; DCPE, UCPE and CHG_ERR with every field and TLV.
-- README.md says how to install it and lists the fields to filter by.

local lcm = Proto("lcm", "RSVP charging elements")

local RSVP = 46
local BUNDLE = 12
local CLASS_HOP, CLASS_FILTER, CLASS_POLICY = 3, 10, 14
local EXPONENT = -12
local MAX_FRACTION = 1000000
-- A limit against messages made of nothing but the smallest objects.
local OBJECTS_MAX = 16384

lcm.prefs.dcpe = Pref.uint("P-Type of DCPE", 0xD001, "Number of the downstream charging element")
lcm.prefs.ucpe = Pref.uint("P-Type of UCPE", 0xD002, "Number of the upstream charging element")
lcm.prefs.chg_err = Pref.uint("P-Type of CHG_ERR", 0xD003, "Number of the charging error element")

-- Names ------------------------------------------------------------------------------------------

local CURRENCIES = {
    [36] = "AUD", [124] = "CAD", [156] = "CNY", [203] = "CZK", [208] = "DKK", [344] = "HKD",
    [348] = "HUF", [356] = "INR", [376] = "ILS", [392] = "JPY", [410] = "KRW", [484] = "MXN",
    [554] = "NZD", [578] = "NOK", [643] = "RUB", [702] = "SGD", [710] = "ZAR", [752] = "SEK",
    [756] = "CHF", [764] = "THB", [826] = "GBP", [840] = "USD", [901] = "TWD", [946] = "RON",
    [949] = "TRY", [978] = "EUR", [985] = "PLN", [986] = "BRL",
}
local SERVICES = { [1] = "general", [2] = "guaranteed", [5] = "controlled-load" }
local CLASSES = {
    [0] = "NULL", [3] = "RSVP_HOP", [4] = "INTEGRITY", [5] = "TIME_VALUES", [7] = "SCOPE",
    [10] = "FILTER_SPEC",
}
local ELEMENTS = {
    [1] = "PREEMPTION_PRI", [2] = "AUTH_USER", [3] = "AUTH_APP", [4] = "AUTH_SESSION",
    [5] = "ADMISSION_PRI", [6] = "APP_RESOURCE_PRI",
}
local ID_TYPES = {
    [1] = "opaque", [2] = "NAI", [3] = "IPv4", [4] = "IPv6", [5] = "key hash", [6] = "URI",
}
local REFUNDS = { [0] = "none", [1] = "pro rata", [2] = "free if short" }
-- RFC 2750 appendix A.
local REASONS = {
    [0] = "information", [1] = "warning", [2] = "reason unknown", [3] = "rejected",
    [4] = "quota or accounting violation", [5] = "preempted", [6] = "expired", [7] = "replaced",
    [8] = "cannot be merged", [9] = "PDP down", [10] = "server unavailable",
    [11] = "bad POLICY_DATA syntax", [12] = "POLICY_DATA integrity", [13] = "bad policy element",
    [14] = "policy element missing", [15] = "out of resources", [16] = "bad RSVP objects",
    [17] = "service rejected", [18] = "style rejected", [19] = "flowspec too large",
}
local TLV_NAMES = {
    [1] = "SENDER_FRACTION", [2] = "ACCOUNT", [3] = "LIMIT_PER_RECEIVER", [4] = "LIMIT_PER_HOP",
    [5] = "MAX_HOPS", [6] = "SPONSORED", [7] = "QUANTITY", [8] = "REFUND",
    [9] = "RECEIVERS_BELOW", [10] = "HOP_RECORD", [11] = "PRICE_CURVE", [12] = "ESTABLISHED",
}

-- Fields -----------------------------------------------------------------------------------------

local f = {
    data_offset = ProtoField.uint16("lcm.policy.data_offset", "Data offset"),
    option = ProtoField.none("lcm.option", "Option"),
    option_length = ProtoField.uint16("lcm.option.length", "Length"),
    option_class = ProtoField.uint8("lcm.option.class", "Class", base.DEC, CLASSES),
    option_ctype = ProtoField.uint8("lcm.option.ctype", "C-Type"),
    option_ipv4 = ProtoField.ipv4("lcm.option.address", "Address"),
    option_ipv6 = ProtoField.ipv6("lcm.option.address6", "Address"),
    option_data = ProtoField.bytes("lcm.option.data", "Data"),
    ptype = ProtoField.uint16("lcm.element.ptype", "P-Type", base.HEX, ELEMENTS),
    length = ProtoField.uint16("lcm.element.length", "Length"),
    element = ProtoField.none("lcm.element", "Policy element"),
    element_data = ProtoField.bytes("lcm.element.data", "Data"),
    tlv = ProtoField.none("lcm.tlv", "TLV"),
    tlv_length = ProtoField.uint16("lcm.tlv.length", "Length"),
    tlv_type = ProtoField.uint8("lcm.tlv.type", "Type", base.DEC, TLV_NAMES),
    tlv_flags = ProtoField.uint8("lcm.tlv.flags", "Flags", base.HEX),
    tlv_must = ProtoField.bool("lcm.tlv.must_understand", "Must be understood", 8, nil, 0x80),
    tlv_data = ProtoField.bytes("lcm.tlv.data", "Value"),
    fraction = ProtoField.uint32("lcm.tlv.sender_fraction", "Sender fraction (ppm)"),
    id_type = ProtoField.uint8("lcm.tlv.account.type", "Account type", base.DEC, ID_TYPES),
    id_length = ProtoField.uint16("lcm.tlv.account.length", "Identifier length"),
    id = ProtoField.bytes("lcm.tlv.account.bytes", "Identifier"),
    id_text = ProtoField.string("lcm.tlv.account", "Account"),
    per_receiver = ProtoField.uint64("lcm.tlv.limit_per_receiver", "Limit per receiver"),
    per_hop = ProtoField.uint64("lcm.tlv.limit_per_hop", "Limit per hop"),
    max_hops = ProtoField.uint32("lcm.tlv.max_hops", "Charging hops still covered"),
    sponsored = ProtoField.uint64("lcm.tlv.sponsored", "Sponsored"),
    quantity = ProtoField.uint64("lcm.tlv.quantity", "Quantity (bit/s)"),
    refund = ProtoField.uint8("lcm.tlv.refund", "Refund", base.DEC, REFUNDS),
    threshold = ProtoField.uint16("lcm.tlv.refund.threshold", "Threshold (100 ms)"),
    below = ProtoField.uint32("lcm.tlv.receivers_below", "Receivers below"),
    established = ProtoField.uint32("lcm.tlv.established", "Established sequence"),
    hop_family = ProtoField.uint8("lcm.tlv.hop.family", "Address family"),
    hop_detail = ProtoField.uint8("lcm.tlv.hop.detail", "Detail"),
    hop_ipv4 = ProtoField.ipv4("lcm.tlv.hop.address", "Hop"),
    hop_ipv6 = ProtoField.ipv6("lcm.tlv.hop.address6", "Hop"),
    hop_price = ProtoField.uint64("lcm.tlv.hop.price", "Local price"),
    curve_count = ProtoField.uint16("lcm.tlv.curve.count", "Points"),
    curve_quantity = ProtoField.uint64("lcm.tlv.curve.quantity", "Quantity (bit/s)"),
    curve_rate = ProtoField.uint64("lcm.tlv.curve.rate", "Rate"),
}

-- The header of DCPE and UCPE, and fields of one element each.
for _, name in ipairs({ "dcpe", "ucpe" }) do
    local at = "lcm." .. name
    f[name] = ProtoField.none(at, name:upper())
    f[name .. "_version"] = ProtoField.uint8(at .. ".version", "Version")
    f[name .. "_flags"] = ProtoField.uint8(at .. ".flags", "Flags", base.HEX)
    f[name .. "_hop"] = ProtoField.bool(at .. ".non_charging_hop",
        "A hop that does not charge was passed", 8, nil, 0x02)
    f[name .. "_currency"] = ProtoField.uint16(at .. ".currency", "Currency", base.DEC, CURRENCIES)
    f[name .. "_exponent"] = ProtoField.int8(at .. ".exponent", "Exponent")
    f[name .. "_unit"] = ProtoField.uint8(at .. ".time_unit", "Time unit", base.DEC,
        { [1] = "second" })
    f[name .. "_service"] = ProtoField.uint16(at .. ".service", "Service", base.DEC, SERVICES)
end
f.total = ProtoField.uint64("lcm.dcpe.total", "Total charge")
f.max_total = ProtoField.uint64("lcm.dcpe.max_total", "Highest total charge")
f.validity = ProtoField.uint32("lcm.dcpe.validity_ms", "Validity (ms)")
f.epoch = ProtoField.uint32("lcm.dcpe.epoch", "Epoch")
f.payment = ProtoField.uint64("lcm.ucpe.payment", "Payment")
f.announced = ProtoField.uint64("lcm.ucpe.announced_total", "Sum of announced totals (A)")
f.sender = ProtoField.uint64("lcm.ucpe.sender_payment", "Sender payment")
f.local_sum = ProtoField.uint64("lcm.ucpe.local_sum", "Sum of local prices (B)")
f.epoch_echo = ProtoField.uint32("lcm.ucpe.epoch_echo", "Epoch answered")
f.sequence = ProtoField.uint32("lcm.ucpe.sequence", "Sequence")
f.instance = ProtoField.uint32("lcm.ucpe.instance", "Instance")
f.chg_err = ProtoField.none("lcm.chg_err", "CHG_ERR")
f.reason = ProtoField.uint16("lcm.chg_err.reason", "Reason", base.HEX, REASONS)
f.err_currency = ProtoField.uint16("lcm.chg_err.currency", "Currency", base.DEC, CURRENCIES)
f.err_exponent = ProtoField.int8("lcm.chg_err.exponent", "Exponent")
f.required = ProtoField.uint64("lcm.chg_err.required", "Required")
f.offered = ProtoField.uint64("lcm.chg_err.offered", "Offered")
f.err_epoch = ProtoField.uint32("lcm.chg_err.epoch", "Epoch")
f.err_sequence = ProtoField.uint32("lcm.chg_err.sequence", "Refused sequence")

lcm.fields = f

local malformed = ProtoExpert.new("lcm.malformed", "Malformed", expert.group.MALFORMED,
    expert.severity.ERROR)
local unknown = ProtoExpert.new("lcm.unknown", "Not understood", expert.group.UNDECODED,
    expert.severity.WARN)
local empty = ProtoExpert.new("lcm.empty", "Empty element: deletes the state of its type",
    expert.group.PROTOCOL, expert.severity.NOTE)
lcm.experts = { malformed, unknown, empty }

-- Tools ------------------------------------------------------------------------------------------

local function complain(item, ...)
    item:add_proto_expert_info(malformed, string.format(...))
end

--- A rate of 10^-12 currency units a second, with every digit that counts.
local function rate(amount, currency)
    local digits = tostring(amount)
    digits = string.rep("0", 13 - #digits) .. digits
    local whole, fraction = digits:sub(1, -13), digits:sub(-12):gsub("0+$", "")
    if #fraction > 0 then whole = whole .. "." .. fraction end
    return string.format("%s %s/s", whole, CURRENCIES[currency] or ("currency " .. currency))
end

--- Adds an amount and says what it is in the currency; returns that text.
local function add_rate(item, field, range, currency)
    local text = rate(range:uint64(), currency)
    item:add(field, range):append_text(" = " .. text)
    return text
end

local function padded(length)
    return math.ceil(length / 4) * 4
end

--- The text of an account's identifier, as the router's own tools show it.
local function account_text(kind, range)
    if kind == 3 and range:len() == 4 then return tostring(range:ipv4()) end
    if kind == 4 and range:len() == 16 then return tostring(range:ipv6()) end
    if kind == 1 or kind == 2 or kind == 6 then
        return (range:raw():gsub("[^\32-\126]", function(c)
            return string.format("\\x%02x", c:byte())
        end))
    end
    return range:bytes():tohex(true)
end

-- TLVs -------------------------------------------------------------------------------------------
--
-- A reader takes the tree, the value and the currency; it returns what is wrong, if anything.

local function fixed(length, read)
    return function(item, value, currency)
        if value:len() ~= length then
            return string.format("the value has %d bytes instead of %d", value:len(), length)
        end
        return read(item, value, currency)
    end
end

local function number(field, length)
    return fixed(length, function(item, value) item:add(field, value) end)
end

local function amount(field)
    return fixed(8, function(item, value, currency) add_rate(item, field, value, currency) end)
end

local function read_fraction(item, value)
    item:add(f.fraction, value)
    if value:uint() > MAX_FRACTION then
        return "the sender fraction is above " .. MAX_FRACTION
    end
end

local function read_account(item, value)
    if value:len() < 4 then return "the value is too short for an account" end
    item:add(f.id_type, value(0, 1))
    item:add(f.id_length, value(2, 2))
    local length = value(2, 2):uint()
    if length == 0 or length > value:len() - 4 or value:len() - 4 > padded(length) then
        return string.format("an identifier of %d bytes in a value of %d", length, value:len())
    end
    local id = value(4, length)
    item:add(f.id, id)
    item:add(f.id_text, id, account_text(value(0, 1):uint(), id))
end

local function read_refund(item, value)
    item:add(f.refund, value(0, 1))
    item:add(f.threshold, value(2, 2))
end

local function read_hop(item, value, currency)
    local sizes = { [4] = 4, [6] = 16 }
    local size = value:len() >= 4 and sizes[value(0, 1):uint()]
    if not size then return "the address family is neither 4 nor 6" end
    if value:len() ~= 4 + size + 8 then
        return string.format("the value has %d bytes instead of %d", value:len(), 12 + size)
    end
    item:add(f.hop_family, value(0, 1))
    item:add(f.hop_detail, value(1, 1))
    item:add(size == 4 and f.hop_ipv4 or f.hop_ipv6, value(4, size))
    add_rate(item, f.hop_price, value(4 + size, 8), currency)
end

local function read_curve(item, value, currency)
    if value:len() < 4 then return "the value is too short for a curve" end
    local count = value(0, 2):uint()
    item:add(f.curve_count, value(0, 2))
    if count == 0 or value:len() ~= 4 + 16 * count then
        return string.format("%d points in a value of %d bytes", count, value:len())
    end
    local before
    for point = 0, count - 1 do
        local quantity = value(4 + 16 * point, 8)
        item:add(f.curve_quantity, quantity)
        add_rate(item, f.curve_rate, value(12 + 16 * point, 8), currency)
        if before and not (before < quantity:uint64()) then
            return "the quantities do not ascend"
        end
        before = quantity:uint64()
    end
end

local READERS = {
    [1] = fixed(4, read_fraction),
    [2] = read_account,
    [3] = amount(f.per_receiver),
    [4] = amount(f.per_hop),
    [5] = number(f.max_hops, 4),
    [6] = amount(f.sponsored),
    [7] = number(f.quantity, 8),
    [8] = fixed(4, read_refund),
    [9] = number(f.below, 4),
    [10] = read_hop,
    [11] = read_curve,
    [12] = number(f.established, 4),
}
local HOP_RECORD = 10

--- Shows the TLVs of an element; returns the types seen, as keys.
local function tlvs(tree, range, currency)
    local seen, at, left = {}, 0, range:len()
    while left > 0 do
        local length = left >= 4 and range(at, 2):uint() or 0
        if length < 4 or padded(length) > left then
            complain(tree, "TLV of %d bytes where %d are left", length, left)
            return seen
        end
        local kind, flags = range(at + 2, 1):uint(), range(at + 3, 1)
        local item = tree:add(f.tlv, range(at, padded(length)))
        item:set_text(TLV_NAMES[kind] or string.format("TLV of unknown type %d", kind))
        item:add(f.tlv_length, range(at, 2))
        item:add(f.tlv_type, range(at + 2, 1))
        item:add(f.tlv_flags, flags)
        item:add(f.tlv_must, flags)
        local reader, fault = READERS[kind], nil
        if reader and length > 4 then
            fault = reader(item, range(at + 4, length - 4), currency)
        elseif reader then
            fault = "no value"
        else
            if length > 4 then item:add(f.tlv_data, range(at + 4, length - 4)) end
            if flags:uint() >= 0x80 then fault = "must be understood, but is of an unknown type" end
        end
        if fault then complain(item, "%s: %s", TLV_NAMES[kind] or "TLV " .. kind, fault) end
        if seen[kind] and reader and kind ~= HOP_RECORD then
            complain(item, "%s stands twice", TLV_NAMES[kind])
        end
        seen[kind] = true
        at, left = at + padded(length), left - padded(length)
    end
    return seen
end

-- Elements ---------------------------------------------------------------------------------------
--
-- A reader takes the tree and the whole element, and returns a text for the Info column.

--- The first 12 bytes of DCPE and UCPE. Returns the currency, or nothing if the rest has an
--- unknown layout.
local function header(tree, range, name, core)
    local version = range(4, 1)
    tree:add(f[name .. "_version"], version)
    if version:uint() > 1 then
        tree:add_proto_expert_info(unknown, "version " .. version:uint() .. " is not known")
        if range:len() > 5 then tree:add(f.element_data, range(5)) end
        return nil
    end
    if version:uint() == 0 then complain(tree, "%s: version 0", name:upper()) end
    if range:len() < core then
        complain(tree, "%s of %d bytes, %d are needed", name:upper(), range:len(), core)
        return nil
    end
    tree:add(f[name .. "_flags"], range(5, 1))
    tree:add(f[name .. "_hop"], range(5, 1))
    tree:add(f[name .. "_currency"], range(6, 2))
    tree:add(f[name .. "_exponent"], range(8, 1))
    tree:add(f[name .. "_unit"], range(9, 1))
    tree:add(f[name .. "_service"], range(10, 2))
    if range(8, 1):int() ~= EXPONENT then
        complain(tree, "%s: the exponent is %d, not %d", name:upper(), range(8, 1):int(), EXPONENT)
    end
    if range(9, 1):uint() ~= 1 then
        complain(tree, "%s: the time unit is %d, not 1", name:upper(), range(9, 1):uint())
    end
    return range(6, 2):uint()
end

local function rest(range, core)
    return range:len() > core and range(core) or nil
end

local function dcpe(tree, range)
    local currency = header(tree, range, "dcpe", 36)
    if not currency then return "DCPE" end
    local total = add_rate(tree, f.total, range(12, 8), currency)
    add_rate(tree, f.max_total, range(20, 8), currency)
    tree:add(f.validity, range(28, 4))
    tree:add(f.epoch, range(32, 4))
    local more = rest(range, 36)
    if more then tlvs(tree, more, currency) end
    return "DCPE " .. total
end

local function ucpe(tree, range)
    local currency = header(tree, range, "ucpe", 56)
    if not currency then return "UCPE" end
    local payment = add_rate(tree, f.payment, range(12, 8), currency)
    add_rate(tree, f.announced, range(20, 8), currency)
    add_rate(tree, f.sender, range(28, 8), currency)
    add_rate(tree, f.local_sum, range(36, 8), currency)
    tree:add(f.epoch_echo, range(44, 4))
    tree:add(f.sequence, range(48, 4))
    tree:add(f.instance, range(52, 4))
    local more = rest(range, 56)
    local seen = more and tlvs(tree, more, currency) or {}
    if not seen[2] then complain(tree, "UCPE without ACCOUNT") end
    return "UCPE " .. payment
end

local function chg_err(tree, range)
    if range:len() < 36 then
        complain(tree, "CHG_ERR of %d bytes, 36 are needed", range:len())
        return "CHG_ERR"
    end
    local currency = range(6, 2):uint()
    tree:add(f.reason, range(4, 2))
    tree:add(f.err_currency, range(6, 2))
    tree:add(f.err_exponent, range(8, 1))
    if range(8, 1):int() ~= EXPONENT then
        complain(tree, "CHG_ERR: the exponent is %d, not %d", range(8, 1):int(), EXPONENT)
    end
    local required = add_rate(tree, f.required, range(12, 8), currency)
    add_rate(tree, f.offered, range(20, 8), currency)
    tree:add(f.err_epoch, range(28, 4))
    tree:add(f.err_sequence, range(32, 4))
    local more = rest(range, 36)
    if more then tlvs(tree, more, currency) end
    return "CHG_ERR " .. required .. " required"
end

--- The field, the name and the reader of a charging element.
local function charging(ptype)
    if ptype == lcm.prefs.dcpe then return f.dcpe, "DCPE", dcpe end
    if ptype == lcm.prefs.ucpe then return f.ucpe, "UCPE", ucpe end
    if ptype == lcm.prefs.chg_err then return f.chg_err, "CHG_ERR", chg_err end
end

--- Shows the elements in `range`; returns texts for the Info column.
local function elements(tree, range)
    local info, at, left = {}, 0, range:len()
    while left > 0 do
        local length = left >= 4 and range(at, 2):uint() or 0
        if length < 4 or length % 4 ~= 0 or length > left then
            complain(tree, "policy element of %d bytes where %d are left", length, left)
            return info
        end
        local whole, ptype = range(at, length), range(at + 2, 2):uint()
        local field, name, reader = charging(ptype)
        local item = tree:add(field or f.element, whole)
        item:set_text(name or string.format("Policy element %s", ELEMENTS[ptype] or ptype))
        item:add(f.length, whole(0, 2))
        item:add(f.ptype, whole(2, 2))
        if length == 4 then
            item:add_proto_expert_info(empty)
            if name then info[#info + 1] = name .. " empty" end
        elseif reader then
            info[#info + 1] = reader(item, whole)
            item:set_text(info[#info])
        else
            item:add(f.element_data, whole(4))
        end
        at, left = at + length, left - length
    end
    return info
end

-- POLICY_DATA ------------------------------------------------------------------------------------

local function options(tree, range)
    local at, left = 0, range:len()
    while left > 0 do
        local length = left >= 4 and range(at, 2):uint() or 0
        if length < 4 or length % 4 ~= 0 or length > left then
            complain(tree, "option of %d bytes where %d are left", length, left)
            return
        end
        local class = range(at + 2, 1):uint()
        local item = tree:add(f.option, range(at, length))
        item:set_text("Option " .. (CLASSES[class] or class))
        item:add(f.option_length, range(at, 2))
        item:add(f.option_class, range(at + 2, 1))
        item:add(f.option_ctype, range(at + 3, 1))
        if not CLASSES[class] then complain(item, "class %d is no option", class) end
        local addressed = class == CLASS_HOP or class == CLASS_FILTER
        if addressed and length == 12 then
            item:add(f.option_ipv4, range(at + 4, 4))
            item:add(f.option_data, range(at + 8, 4))
        elseif addressed and length == 24 then
            item:add(f.option_ipv6, range(at + 4, 16))
            item:add(f.option_data, range(at + 20, 4))
        elseif length > 4 then
            item:add(f.option_data, range(at + 4, length - 4))
        end
        at, left = at + length, left - length
    end
end

local function policy_data(tree, range, info)
    local item = tree:add(lcm, range, "POLICY_DATA: charging and other policy elements")
    if range:len() < 8 then
        complain(item, "POLICY_DATA of %d bytes, 8 are needed", range:len())
        return
    end
    local offset = range(4, 2):uint()
    item:add(f.data_offset, range(4, 2))
    if offset < 8 or offset > range:len() then
        complain(item, "the data offset %d is outside the object of %d bytes", offset, range:len())
        return
    end
    if offset > 8 then options(item, range(8, offset - 8)) end
    if offset < range:len() then
        for _, text in ipairs(elements(item, range(offset))) do info[#info + 1] = text end
    end
end

-- Messages ---------------------------------------------------------------------------------------

--- Goes over the objects of the message in `range` (header included); what is wrong with their
--- framing is told by Wireshark's own dissector.
local function message(tree, range, info, inside)
    local at, last = 8, math.min(range(6, 2):uint(), range:len())
    local count = 0
    if range(1, 1):uint() == BUNDLE then
        while not inside and at + 8 <= last do
            local length = range(at + 6, 2):uint()
            if length < 8 or at + length > last then return end
            message(tree, range(at, length), info, true)
            at = at + length
        end
        return
    end
    while at + 4 <= last and count < OBJECTS_MAX do
        local length = range(at, 2):uint()
        if length < 4 or at + length > last then return end
        if range(at + 2, 1):uint() == CLASS_POLICY then
            policy_data(tree, range(at, length), info)
        end
        at, count = at + length, count + 1
    end
end

local ip_protocols = DissectorTable.get("ip.proto")
local rsvp = ip_protocols:get_dissector(RSVP) or Dissector.get("rsvp")

function lcm.dissector(tvb, pinfo, tree)
    -- A malformed message ends Wireshark's dissector with an error that it has shown already.
    local fine, consumed = pcall(rsvp.call, rsvp, tvb, pinfo, tree)
    if tvb:len() >= 8 then
        local info = {}
        message(tree, tvb(), info, false)
        if #info > 0 then
            pinfo.cols.info:append(" [" .. table.concat(info, ", ") .. "]")
        end
    end
    return fine and consumed or tvb:len()
end

ip_protocols:add(RSVP, lcm)
