//! Messages in words: a type, what the IP layer says, and objects by name in the order of the RFC.

/// An object, or a word about the IP header, with its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) key: String,
    pub(crate) values: Vec<String>,
    /// What a POLICY_DATA holds.
    pub(crate) inner: Vec<Named>,
}

/// A message as a step writes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Written {
    /// `PATH`, `RESV`, ... or a number.
    pub(crate) kind: String,
    pub(crate) header: Vec<Named>,
    pub(crate) objects: Vec<Named>,
    /// Objects that must not be there.
    pub(crate) absent: Vec<String>,
    /// No object may be there that is not named.
    pub(crate) only: bool,
}

/// Words about the IP header and the common header.
const HEADER: &[&str] = &[
    "on", "from", "to", "ttl", "send-ttl", "alert", "checksum", "version", "flags", "length",
    "when",
];
/// Objects by their names.
const OBJECTS: &[&str] = &[
    "session",
    "spi-session",
    "hop",
    "refresh",
    "error",
    "scope",
    "style",
    "flowspec",
    "filter",
    "sender",
    "tspec",
    "adspec",
    "policy",
    "confirm",
    "object",
];
/// What may stand in a POLICY_DATA.
const POLICY: &[&str] =
    &["by", "for", "filter", "scope", "refresh", "object", "element", "dcpe", "ucpe", "chg-err"];

impl Written {
    /// Reads a message: its type, then `but` and `without` as changes to what came before.
    pub(crate) fn read(words: &[String]) -> Result<Self, String> {
        let (kind, rest) = words.split_first().ok_or("a message has a type")?;
        let mut message = Self { kind: kind.clone(), ..Self::default() };
        let mut parts = rest.split(|word| word == "but");
        message.add(parts.next().unwrap_or_default(), false)?;
        for part in parts {
            message.add(part, true)?;
        }
        Ok(message)
    }

    fn add(&mut self, words: &[String], instead: bool) -> Result<(), String> {
        let mut rest = words;
        let mut fresh: Vec<Named> = Vec::new();
        while let Some((word, behind)) = rest.split_first() {
            rest = behind;
            match word.as_str() {
                "only" => self.only = true,
                "no" | "without" => {
                    let (key, behind) = rest.split_first().ok_or("no what?")?;
                    rest = behind;
                    self.objects.retain(|object| object.key != *key);
                    fresh.retain(|object| object.key != *key);
                    self.header.retain(|named| named.key != *key);
                    if word == "no" {
                        self.absent.push(key.clone());
                    }
                }
                key if HEADER.contains(&key) => {
                    let (value, behind) = rest.split_first().ok_or("a value is missing")?;
                    rest = behind;
                    self.header.retain(|named| named.key != key);
                    self.header.push(Named::new(key, vec![value.clone()]));
                }
                key if OBJECTS.contains(&key) => {
                    let object = Named::read(key, &mut rest)?;
                    fresh.push(object);
                }
                other => return Err(format!("`{other}` is no object and no word about headers")),
            }
        }
        match instead {
            true => self.replace(fresh),
            false => self.objects.extend(fresh),
        }
        Ok(())
    }

    /// Puts objects in the place of those of the same name, or at the end.
    fn replace(&mut self, fresh: Vec<Named>) {
        let mut done: Vec<String> = Vec::new();
        for object in fresh.clone() {
            if done.contains(&object.key) {
                continue;
            }
            let same = |named: &Named| named.key == object.key;
            let at = self.objects.iter().position(same).unwrap_or(self.objects.len());
            self.objects.retain(|named| !same(named));
            let new = fresh.iter().filter(|named| same(named)).cloned();
            self.objects.splice(at..at, new);
            done.push(object.key);
        }
    }

    /// The value of a word about headers.
    pub(crate) fn header(&self, key: &str) -> Option<&str> {
        let named = self.header.iter().find(|named| named.key == key)?;
        named.values.first().map(String::as_str)
    }

    /// The values of the first object of a name.
    pub(crate) fn object(&self, key: &str) -> Option<&[String]> {
        Some(self.objects.iter().find(|named| named.key == key)?.values.as_slice())
    }
}

impl Named {
    pub(crate) fn new(key: &str, values: Vec<String>) -> Self {
        Self { key: key.to_owned(), values, inner: Vec::new() }
    }

    /// Reads an object's values up to the next name.
    fn read(key: &str, rest: &mut &[String]) -> Result<Self, String> {
        let mut named = Self::new(key, Vec::new());
        while let Some((word, behind)) = rest.split_first() {
            if key == "policy" && word == "{" {
                let end = behind.iter().position(|word| word == "}").ok_or("`{` without `}`")?;
                let (inside, behind) = behind.split_at(end);
                named.inner = policy_parts(inside)?;
                *rest = behind.get(1..).unwrap_or_default();
                return Ok(named);
            }
            let next = [HEADER, OBJECTS, &["no", "only", "without", "but"]].concat();
            if next.contains(&word.as_str()) {
                break;
            }
            named.values.push(word.clone());
            *rest = behind;
        }
        Ok(named)
    }

    /// Whether `got` is what these words ask for: values may be left out from the end, `*` is any.
    pub(crate) fn covers(&self, got: &Named) -> bool {
        let enough = match self.key.as_str() {
            "scope" => self.values.len() == got.values.len(),
            _ => self.values.len() <= got.values.len(),
        };
        let values = self.values.iter().zip(&got.values).all(|(own, other)| alike(own, other));
        self.key == got.key && enough && values && same_objects(&self.inner, &got.inner, false)
    }
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.key)?;
        self.values.iter().try_for_each(|value| write!(f, " {value}"))?;
        if self.key != "policy" {
            return Ok(());
        }
        f.write_str(" {")?;
        self.inner.iter().try_for_each(|inner| write!(f, " {inner}"))?;
        f.write_str(" }")
    }
}

fn policy_parts(words: &[String]) -> Result<Vec<Named>, String> {
    let mut parts: Vec<Named> = Vec::new();
    for word in words {
        match parts.last_mut() {
            _ if POLICY.contains(&word.as_str()) => parts.push(Named::new(word, Vec::new())),
            Some(last) => last.values.push(word.clone()),
            None => return Err(format!("`{word}` is no part of POLICY_DATA")),
        }
    }
    Ok(parts)
}

/// Compares the parts of a value between slashes.
fn alike(wanted: &str, got: &str) -> bool {
    let mut got = got.split('/');
    wanted.split('/').all(|part| got.next().is_some_and(|other| part == "*" || part == other))
}

/// Whether the objects of every name in `wanted` are those in `got`, in the same order; with
/// `only`, there may be none of other names.
pub(crate) fn same_objects(wanted: &[Named], got: &[Named], only: bool) -> bool {
    let named = |key: &str| only || wanted.iter().any(|object| object.key == key);
    let got: Vec<&Named> = got.iter().filter(|object| named(&object.key)).collect();
    wanted.len() == got.len() && wanted.iter().zip(got).all(|(own, other)| own.covers(other))
}

/// Reads `1500ms`, `30s` or `157.5s` as microseconds.
pub(crate) fn time(word: &str) -> Result<u64, String> {
    let wrong = || format!("`{word}` is no time such as 157.5s or 500ms");
    let (number, unit) = match word.strip_suffix("ms") {
        Some(number) => (number, 1e3),
        None => (word.strip_suffix('s').ok_or_else(wrong)?, 1e6),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    Ok((number * unit).round() as u64)
}

/// Reads `15s..45s`, or one time.
pub(crate) fn times(word: &str) -> Result<(u64, u64), String> {
    let (first, last) = word.split_once("..").unwrap_or((word, word));
    Ok((time(first)?, time(last)?))
}

/// Writes milliseconds as [`time`] reads them.
pub(crate) fn duration(ms: u32) -> String {
    if ms.is_multiple_of(1000) { format!("{}s", ms / 1000) } else { format!("{ms}ms") }
}
