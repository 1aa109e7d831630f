//! Bytes in JSON, the way manifests write them: a string where they are
//! UTF-8, else `{"base64": "..."}`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::Error;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ViewPath;

/// For `#[serde(serialize_with)]` on paths and names.
pub(crate) fn serialize<S: Serializer>(
    bytes: &(impl AsRef<OsStr> + ?Sized),
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let bytes = bytes.as_ref();
    match bytes.to_str() {
        Some(text) => serializer.serialize_str(text),
        None => {
            let mut map = serializer.serialize_map(Some(1))?;
            map.serialize_entry("base64", &BASE64.encode(bytes.as_bytes()))?;
            map.end()
        }
    }
}

/// The inverse, for `#[serde(with)]`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: From<OsString>>(
    deserializer: D,
) -> Result<T, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Encoded { base64: String },
    }
    let bytes = match Written::deserialize(deserializer)? {
        Written::Text(text) => text.into(),
        Written::Encoded { base64 } => {
            OsString::from_vec(BASE64.decode(base64).map_err(D::Error::custom)?)
        }
    };
    Ok(T::from(bytes))
}

/// Bytes that JSON shows like those of a manifest.
#[derive(Debug, Clone, Copy)]
pub struct JsonBytes<'a>(pub &'a OsStr);

impl Serialize for JsonBytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(self.0, serializer)
    }
}

impl Serialize for ViewPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(self.as_os_str(), serializer)
    }
}

impl<'de> Deserialize<'de> for ViewPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes: OsString = deserialize(deserializer)?;
        Self::parse(bytes.as_bytes()).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes() {
        let json = |bytes| serde_json::to_string(&ViewPath::parse(bytes).unwrap()).unwrap();
        assert_eq!(json(b"a/b"), r#""a/b""#);
        assert_eq!(json(b"\xff"), r#"{"base64":"/w=="}"#);
    }
}
