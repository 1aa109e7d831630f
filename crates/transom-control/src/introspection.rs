//! `org.varlink.service`: what a server answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Interface;
use crate::method::methods;

const INTERFACE: &str = "org.varlink.service";

const INTERFACE_TEXT: &str = include_str!("org.varlink.service.varlink");

methods! {
    "org.varlink.service", ServiceError;
    GetInfo => GetInfoReply,
    GetInterfaceDescription => GetInterfaceDescriptionReply,
}

/// What a server answers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetInfo {}

/// To [`GetInfo`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetInfoReply {
    /// Who made the server.
    pub vendor: String,
    /// What it is.
    pub product: String,
    /// Its version.
    pub version: String,
    /// Where to read about it.
    pub url: String,
    /// Its interfaces.
    pub interfaces: Vec<String>,
}

/// The text of an interface.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GetInterfaceDescription {
    /// Its name.
    pub interface: String,
}

/// To [`GetInterfaceDescription`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetInterfaceDescriptionReply {
    /// The text.
    pub description: String,
}

/// The errors that any call may have.
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
    /// The server does not let this caller do that.
    #[serde(rename = "org.varlink.service.PermissionDenied")]
    #[error("the server does not let us do that")]
    PermissionDenied {},
    /// The method has to be called with `more`.
    #[serde(rename = "org.varlink.service.ExpectedMore")]
    #[error("the method has to be called with `more`")]
    ExpectedMore {},
}

/// The names and texts of all interfaces.
type Texts = BTreeMap<&'static str, &'static str>;

/// The interface that tells of these, and of itself.
pub(crate) fn interface<'i>(others: impl Iterator<Item = &'i Interface>) -> Interface {
    let mut texts: Texts = others
        .map(|interface| (interface.name(), interface.description()))
        .collect();
    texts.insert(INTERFACE, INTERFACE_TEXT);
    Interface::builder(INTERFACE, INTERFACE_TEXT, Arc::new(texts))
        .method(|texts, _, GetInfo {}| {
            Ok(GetInfoReply {
                vendor: "Transom".into(),
                product: "transom".into(),
                version: env!("CARGO_PKG_VERSION").into(),
                url: String::new(),
                interfaces: texts.keys().map(|&name| name.into()).collect(),
            })
        })
        .method(
            |texts, _, GetInterfaceDescription { interface }| match texts.get(&*interface) {
                Some(&text) => Ok(GetInterfaceDescriptionReply {
                    description: text.into(),
                }),
                None => Err(ServiceError::InterfaceNotFound { interface }),
            },
        )
        .build()
}
