use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A path or a name: a string on the wire where it is UTF-8, and
/// `{"base64": "..."}` where it is not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(OsString);

/// What stands for bytes that are no text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Encoded {
    base64: String,
}

impl Bytes {
    /// The path or name itself.
    #[must_use]
    pub fn into_inner(self) -> OsString {
        self.0
    }

    /// As a path.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// For JSON that is put together by hand.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match self.0.to_str() {
            Some(text) => text.into(),
            None => serde_json::json!({ "base64": BASE64.encode(self.0.as_bytes()) }),
        }
    }
}

impl<T: AsRef<OsStr> + ?Sized> From<&T> for Bytes {
    fn from(bytes: &T) -> Self {
        Self(bytes.as_ref().to_owned())
    }
}

impl AsRef<OsStr> for Bytes {
    fn as_ref(&self) -> &OsStr {
        &self.0
    }
}

impl AsRef<Path> for Bytes {
    fn as_ref(&self) -> &Path {
        self.as_path()
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let neither = |given: &Value| {
            let message = format!("{given} is neither a string nor {{\"base64\": ...}}");
            D::Error::custom(message)
        };
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(text.into())),
            value => {
                let Encoded { base64 } =
                    Encoded::deserialize(&value).map_err(|_| neither(&value))?;
                let bytes = BASE64.decode(base64).map_err(D::Error::custom)?;
                Ok(Self(OsString::from_vec(bytes)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bytes_survive_json() {
        for bytes in [&b"src/main.c"[..], b"\xff\xfe", b""] {
            let bytes = Bytes::from(OsStr::from_bytes(bytes));
            assert_eq!(Bytes::deserialize(bytes.to_value()).unwrap(), bytes);
        }
        assert_eq!(Bytes::from("a").to_value(), json!("a"));
        assert_eq!(
            Bytes::from(OsStr::from_bytes(b"\xff")).to_value(),
            json!({ "base64": "/w==" })
        );
        for wrong in [
            json!(7),
            json!({ "base64": "?" }),
            json!({ "base64": "", "more": 1 }),
        ] {
            assert!(Bytes::deserialize(&wrong).is_err(), "{wrong}");
        }
    }
}
