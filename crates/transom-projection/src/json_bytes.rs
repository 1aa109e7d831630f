//! Bytes in JSON, the way manifests write them: a string where they are
//! UTF-8, else `{"base64": "..."}`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

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
