use serde::{Deserialize, Serialize};

/// The errors of `org.varlink.service`, which any call may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "error", content = "parameters")]
pub enum ServiceError {
    /// The server does not have that interface.
    #[serde(rename = "org.varlink.service.InterfaceNotFound")]
    #[error("the server has no interface {interface:?}")]
    InterfaceNotFound {
        /// Its name.
        interface: String,
    },
    /// The interface does not have that method.
    #[serde(rename = "org.varlink.service.MethodNotFound")]
    #[error("the interface has no method {method:?}")]
    MethodNotFound {
        /// Its name.
        method: String,
    },
    /// The interface has the method, and this server does not do it.
    #[serde(rename = "org.varlink.service.MethodNotImplemented")]
    #[error("the server does not do {method:?}")]
    MethodNotImplemented {
        /// Its name.
        method: String,
    },
    /// A parameter is missing, unknown, or not of its type.
    #[serde(rename = "org.varlink.service.InvalidParameter")]
    #[error("wrong parameters: {parameter}")]
    InvalidParameter {
        /// What is wrong with which.
        parameter: String,
    },
    /// The method has to be called with `more`.
    #[serde(rename = "org.varlink.service.ExpectedMore")]
    #[error("the method has to be called with `more`")]
    ExpectedMore {},
}
