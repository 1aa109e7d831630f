//! Messages: one JSON object, one NUL byte.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::method::or_default;

/// Largest message in bytes: a view of some hundred thousand names.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// A call, as it is on the wire.
#[derive(Debug, Deserialize)]
pub(crate) struct Call<'m> {
    #[serde(borrow)]
    pub(crate) method: Cow<'m, str>,
    #[serde(borrow)]
    parameters: Option<&'m RawValue>,
    /// The caller wants no reply.
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) oneway: bool,
    /// The caller takes several replies.
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) more: bool,
    /// The caller wants to speak another protocol afterwards.
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) upgrade: bool,
}

impl Call<'_> {
    pub(crate) fn parameters(&self) -> &str {
        self.parameters.map_or("{}", RawValue::get)
    }
}

/// The bytes of a message, with the NUL.
pub(crate) struct Message(pub(crate) Vec<u8>);

#[derive(Serialize)]
struct Reply<'r, T> {
    parameters: &'r T,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    continues: bool,
}

/// What is replied; `continues` if more follows.
pub(crate) fn reply(parameters: &impl Serialize, continues: bool) -> serde_json::Result<Message> {
    encode(&Reply {
        parameters,
        continues,
    })
}

/// Any message.
pub(crate) fn encode(message: &impl Serialize) -> serde_json::Result<Message> {
    let mut bytes = serde_json::to_vec(message)?;
    bytes.push(0);
    Ok(Message(bytes))
}
