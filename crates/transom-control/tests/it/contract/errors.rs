//! One of each error, as it is on the wire.

use serde::Serialize;
use serde_json::{Value, json};
use transom_control::{ServiceError, host, view, views};

use super::description::{Description, Type};

/// The errors of the text are those of the type, and `samples`, one of each,
/// have the fields that the text says.
pub(super) fn check_errors(description: &Description, variants: &[String], samples: &[Value]) {
    let name = |short: &String| format!("{}.{short}", description.name);
    let described: Vec<_> = description.errors.keys().map(name).collect();
    let mut variants = variants.to_vec();
    variants.sort();
    assert_eq!(described, variants);
    for (short, fields) in &description.errors {
        let is_it = |sample: &&Value| sample["error"] == *name(short);
        let sample = samples.iter().find(is_it);
        let sample = sample.unwrap_or_else(|| panic!("there is no sample of {short}"));
        assert_eq!(&shape(&sample["parameters"]), fields, "{short}");
    }
}

fn shape(value: &Value) -> Type {
    match value {
        Value::Number(_) => Type::Int,
        Value::String(_) => Type::String,
        Value::Array(values) => Type::Array(shape(&values[0]).into()),
        Value::Object(fields) => Type::Struct(
            fields
                .iter()
                .map(|(name, value)| (name.clone(), shape(value)))
                .collect(),
        ),
        other => panic!("{other}"),
    }
}

fn values(samples: impl IntoIterator<Item = impl Serialize>) -> Vec<Value> {
    samples.into_iter().map(|sample| json!(sample)).collect()
}

fn text() -> String {
    "text".into()
}

pub(super) fn host() -> Vec<Value> {
    use host::Error;

    let message = text();
    let [name, rule] = [text(), text()];
    values([
        Error::Refused {
            errno: 22,
            name: text(),
            message: text(),
        },
        Error::Denied {
            rule,
            message: text(),
        },
        Error::NotFound {
            name,
            message: text(),
        },
        Error::Busy {
            holders: vec![text()],
            message: text(),
        },
        Error::Blocked {
            missing: vec![1],
            message: text(),
        },
        Error::Gap { first: 7, message },
    ])
}

pub(super) fn views() -> Vec<Value> {
    use views::Error;

    let message = text();
    let [name, rule] = [text(), text()];
    values([
        Error::Refused {
            errno: 22,
            name: text(),
            message: text(),
        },
        Error::Denied {
            rule,
            message: text(),
        },
        Error::NotFound {
            name,
            message: text(),
        },
        Error::Unavailable { message },
    ])
}

pub(super) fn view() -> Vec<Value> {
    use view::Error;

    let [message, other] = [text(), text()];
    values([
        Error::Refused { message },
        Error::Unavailable { message: other },
    ])
}

pub(super) fn service() -> Vec<Value> {
    values([
        ServiceError::InterfaceNotFound { interface: text() },
        ServiceError::MethodNotFound { method: text() },
        ServiceError::MethodNotImplemented { method: text() },
        ServiceError::InvalidParameter { parameter: text() },
        ServiceError::PermissionDenied {},
        ServiceError::ExpectedMore {},
    ])
}
