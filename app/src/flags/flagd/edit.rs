//! Reading flagd's JSON with the place of every value, and changing values in place.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// A file's flags, in its order.
#[derive(Debug)]
pub struct Document<'a> {
    /// The flags.
    pub flags: Vec<Flag<'a>>,
    /// Right behind the brace that opens `flags`.
    inside: usize,
}

/// One flag, with the places of its values in the text.
#[derive(Debug)]
pub struct Flag<'a> {
    /// Its name.
    pub name: String,
    /// Its definition as it is written.
    text: &'a str,
    /// Where that is.
    at: Range<usize>,
    /// `ENABLED` or `DISABLED`.
    state: (String, Range<usize>),
    /// The variant that counts when no rule says otherwise.
    default_variant: Option<(Value, Range<usize>)>,
    variants: BTreeMap<String, Value>,
    /// Whether rules decide before the default variant does.
    has_rules: bool,
}

/// What of a flag is kept so that it can be put back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Kept {
    state: String,
    /// None where the flag has no default variant, which is not the same as `null`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some")]
    default_variant: Option<Value>,
}

/// A value that is there, also where it is `null`.
fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// A JSON object with its values as they are written, in order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members<'a>, D::Error> {
        struct All<'a>(std::marker::PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for All<'a> {
            type Value = Members<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'a>, A::Error> {
                let mut members: Vec<(String, &'a RawValue)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if members.iter().any(|(known, _)| *known == name) {
                        return Err(serde::de::Error::custom(format!("`{name}` stands there twice")));
                    }
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(All(std::marker::PhantomData))
    }
}

impl<'a> Members<'a> {
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }
}

/// Where a part of a text is in it: both are slices of one string.
fn place(part: &str, whole: &str) -> Range<usize> {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    start..start + part.len()
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

impl<'a> Document<'a> {
    /// Reads a file's text. What is wrong with it is said with its line.
    pub fn read(text: &'a str) -> Result<Document<'a>, String> {
        let top: Members<'_> = read(text)?;
        let flags = top.get("flags").ok_or("it has no `flags`")?.get();
        let members: Members<'_> = read(flags).map_err(|_| "`flags` is not an object")?;
        let inside = place(flags, text).start + 1;
        let flags = members.0.into_iter().map(|(name, value)| Flag::read(name, value.get(), text));
        Ok(Document { flags: flags.collect::<Result<_, _>>()?, inside })
    }

    /// Whether a flag of that name is here and says the same, however it is written.
    pub fn defines_alike(&self, flag: &Flag<'_>) -> bool {
        let value = |flag: &Flag<'_>| serde_json::from_str::<Value>(flag.text).ok();
        let found = self.flags.iter().find(|known| known.name == flag.name);
        found.is_some_and(|known| value(known) == value(flag))
    }

    /// The text of this document with a flag as another defines it.
    pub fn with_flag(&self, text: &str, flag: &Flag<'_>) -> String {
        match self.flags.iter().find(|known| known.name == flag.name) {
            Some(known) => put(text, &known.at, flag.text),
            None => {
                let name = Value::String(flag.name.clone());
                let comma = if self.flags.is_empty() { "" } else { "," };
                put(text, &(self.inside..self.inside), &format!("\n    {name}: {}{comma}", flag.text))
            }
        }
    }
}

impl<'a> Flag<'a> {
    fn read(name: String, text: &'a str, whole: &'a str) -> Result<Flag<'a>, String> {
        let wrong = |why: String| format!("flag `{name}`: {why}");
        let members: Members<'_> = read(text).map_err(wrong)?;
        let state = members.get("state").ok_or_else(|| wrong("it has no `state`".into()))?.get();
        let at = place(state, whole);
        let state: String = read(state).map_err(wrong)?;
        if !matches!(state.as_str(), "ENABLED" | "DISABLED") {
            return Err(wrong(format!("its state is `{state}`")));
        }
        let default_variant = match members.get("defaultVariant") {
            Some(value) => Some((read(value.get()).map_err(wrong)?, place(value.get(), whole))),
            None => None,
        };
        let variants = members.get("variants").map_or(Ok(BTreeMap::new()), |it| read(it.get()));
        let variants = variants.map_err(wrong)?;
        let rules = members.get("targeting").map_or(Ok(Value::Null), |it| read(it.get()));
        let rules: Value = rules.map_err(wrong)?;
        let has_rules = !matches!(&rules, Value::Null) && rules.as_object().is_none_or(|it| !it.is_empty());
        Ok(Flag {
            text,
            at: place(text, whole),
            state: (state, at),
            default_variant,
            variants,
            has_rules,
            name,
        })
    }

    fn default_name(&self) -> Option<&str> {
        self.default_variant.as_ref().and_then(|(value, _)| value.as_str())
    }

    /// Whether it does anything for anybody: it is enabled, and it is not a boolean that is false for all.
    pub fn is_on(&self) -> bool {
        let value = self.default_name().and_then(|variant| self.variants.get(variant));
        self.state.0 == "ENABLED" && (self.has_rules || value != Some(&Value::Bool(false)))
    }

    /// What has to be kept to put it back.
    pub fn raw(&self) -> String {
        let default_variant = self.default_variant.as_ref().map(|(value, _)| value.clone());
        let kept = Kept { state: self.state.0.clone(), default_variant };
        // A struct of texts cannot fail.
        serde_json::to_string(&kept).unwrap_or_default()
    }

    /// The text with this flag off. A boolean without rules gets its false variant; any other is disabled, so that
    /// the code's own default counts.
    pub fn turned_off(&self, text: &str) -> String {
        let off = self.variants.iter().find(|(_, value)| **value == Value::Bool(false));
        match (&self.default_variant, off) {
            (Some((_, at)), Some((variant, _))) if !self.has_rules => {
                put(text, at, &Value::String(variant.clone()).to_string())
            }
            _ => put(text, &self.state.1, "\"DISABLED\""),
        }
    }

    /// The text with this flag on.
    pub fn turned_on(&self, text: &str) -> Result<String, String> {
        if self.is_on() {
            return Ok(text.to_owned());
        }
        let on = self.variants.iter().find(|(_, value)| **value == Value::Bool(true));
        let default_variant = match on {
            Some((variant, _)) if !self.has_rules => Some(Value::String(variant.clone())),
            _ => self.default_variant.as_ref().map(|(value, _)| value.clone()),
        };
        self.with(text, &Kept { state: "ENABLED".into(), default_variant })
    }

    /// The text with this flag as it was kept.
    pub fn with_raw(&self, text: &str, raw: &str) -> Result<String, String> {
        self.with(text, &read(raw)?)
    }

    fn with(&self, text: &str, kept: &Kept) -> Result<String, String> {
        let state = (self.state.1.clone(), Value::String(kept.state.clone()).to_string());
        let mut changes = vec![state];
        match (&self.default_variant, &kept.default_variant) {
            (Some((_, at)), Some(value)) => changes.push((at.clone(), value.to_string())),
            (None, None) => {}
            (Some(_), None) | (None, Some(_)) => {
                return Err("its definition has changed since: put it back by hand".into());
            }
        }
        // From the end, so that the places before stay where they are.
        changes.sort_by_key(|(at, _)| std::cmp::Reverse(at.start));
        Ok(changes.iter().fold(text.to_owned(), |text, (at, value)| put(&text, at, value)))
    }
}

fn put(text: &str, at: &Range<usize>, value: &str) -> String {
    let mut changed = text.to_owned();
    changed.replace_range(at.clone(), value);
    changed
}
