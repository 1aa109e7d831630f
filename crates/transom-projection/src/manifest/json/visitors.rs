//! How serde_json hands over the parts of a value.
//!
//! Both visitors go on to the end of the object or array after a complaint,
//! because serde_json wants it read to its end; and they return the complaint
//! as a value, because an error of serde's own could not carry it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Json;
use crate::manifest::error::ManifestError;

/// Calls `visit` with every field of the object `json`.
pub(super) struct FieldVisitor<'a, F> {
    pub(super) json: Json<'a>,
    pub(super) visit: F,
}

impl<'a, F> Visitor<'a> for FieldVisitor<'a, F>
where
    F: FnMut(Cow<'a, str>, Json<'a>) -> Result<(), ManifestError>,
{
    type Value = Result<(), ManifestError>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut result = Ok(());
        while let Some(key) = map.next_key_seed(Text)? {
            let value: &'a RawValue = map.next_value()?;
            if result.is_ok() {
                let value = self.json.child(value.get(), self.json.place.item());
                result = (self.visit)(key, value);
            }
        }
        Ok(result)
    }
}

/// Calls `visit` with every value of the array `json`.
pub(super) struct ItemVisitor<'a, F> {
    pub(super) json: Json<'a>,
    pub(super) visit: F,
}

impl<'a, F> Visitor<'a> for ItemVisitor<'a, F>
where
    F: FnMut(Json<'a>) -> Result<(), ManifestError>,
{
    type Value = Result<(), ManifestError>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut values: A) -> Result<Self::Value, A::Error> {
        while let Some(value) = values.next_element::<&'a RawValue>()? {
            let value = self.json.child(value.get(), self.json.place.item());
            if let Err(error) = (self.visit)(value) {
                while values.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }
}

/// Decodes a string, borrowed from the document unless it holds escapes.
pub(super) struct Text;

impl<'a> DeserializeSeed<'a> for Text {
    type Value = Cow<'a, str>;

    fn deserialize<D: serde::Deserializer<'a>>(
        self,
        deserializer: D,
    ) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Text {
    type Value = Cow<'a, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}
