//! What ties the parameters of a call to its name, its reply and its errors.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

/// The parameters of a call: their type says which method is called.
pub trait Method: Serialize + DeserializeOwned {
    /// The name of the method with that of its interface before it.
    const NAME: &'static str;
    /// What is replied, once or, where the interface file says so, several
    /// times.
    type Reply: Serialize + DeserializeOwned;
    /// The errors of the interface.
    type Error: Serialize + DeserializeOwned;
}

/// Nothing but that it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Empty {}

/// Declares the methods of an interface: each has the name of the type that has
/// its parameters.
macro_rules! methods {
    ($interface:literal, $error:ty; $($method:ident => $reply:ty,)*) => {
        $(
            impl $crate::Method for $method {
                const NAME: &'static str = concat!($interface, ".", stringify!($method));
                type Reply = $reply;
                type Error = $error;
            }
        )*
    };
}

pub(crate) use methods;

/// For parameters that have a meaning when they are left out, or null.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
