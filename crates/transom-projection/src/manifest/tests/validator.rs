//! As much of JSON Schema (draft 2020-12) as the manifest's schema uses. A
//! keyword it does not know makes it panic, so none is passed over.

use serde_json::Value;

/// Whether `value` is what `schema`, a whole document, describes.
pub(super) fn is_valid(value: &Value, schema: &Value) -> bool {
    Validator { root: schema }.accepts(schema, value)
}

struct Validator<'a> {
    root: &'a Value,
}

impl Validator<'_> {
    fn accepts(&self, schema: &Value, value: &Value) -> bool {
        if let Value::Bool(accepts) = schema {
            return *accepts;
        }
        let keywords = schema.as_object().unwrap();
        keywords
            .iter()
            .all(|(keyword, argument)| self.holds(keyword, argument, schema, value))
    }

    fn holds(&self, keyword: &str, argument: &Value, schema: &Value, value: &Value) -> bool {
        let number = || argument.as_f64().unwrap();
        let count = || argument.as_u64().unwrap();
        let alternatives = || argument.as_array().unwrap().iter();
        let length = value.as_str().map(|text| text.chars().count() as u64);
        let size = value.as_array().map(|items| items.len() as u64);
        match keyword {
            "$schema" | "$defs" | "title" | "description" | "default" | "contentEncoding" => true,
            "$ref" => {
                let pointer = argument.as_str().unwrap().strip_prefix('#').unwrap();
                self.accepts(self.root.pointer(pointer).unwrap(), value)
            }
            "type" => argument == type_of(value),
            "const" => is_equal(argument, value),
            "enum" => alternatives().any(|allowed| is_equal(allowed, value)),
            "oneOf" => {
                alternatives()
                    .filter(|schema| self.accepts(schema, value))
                    .count()
                    == 1
            }
            "not" => !self.accepts(argument, value),
            "minLength" => length.is_none_or(|length| length >= count()),
            "maxLength" => length.is_none_or(|length| length <= count()),
            "pattern" => {
                let start = argument.as_str().unwrap().strip_prefix('^').unwrap();
                value.as_str().is_none_or(|text| text.starts_with(start))
            }
            "maximum" => value.as_f64().is_none_or(|value| value <= number()),
            "exclusiveMinimum" => value.as_f64().is_none_or(|value| value > number()),
            "minItems" => size.is_none_or(|size| size >= count()),
            "maxItems" => size.is_none_or(|size| size <= count()),
            "prefixItems" => {
                let items = value.as_array().into_iter().flatten();
                items
                    .zip(alternatives())
                    .all(|(item, schema)| self.accepts(schema, item))
            }
            "items" => {
                let before = schema["prefixItems"].as_array().map_or(0, Vec::len);
                let items = value.as_array().into_iter().flatten();
                items.skip(before).all(|item| self.accepts(argument, item))
            }
            "required" => value.as_object().is_none_or(|fields| {
                alternatives().all(|it| fields.contains_key(it.as_str().unwrap()))
            }),
            "dependentSchemas" => fields(argument)
                .filter(|(name, _)| value.get(name).is_some())
                .all(|(_, schema)| self.accepts(schema, value)),
            "properties" => fields(value).all(|(name, value)| match argument.get(name) {
                Some(schema) => self.accepts(schema, value),
                None => true,
            }),
            "additionalProperties" => fields(value).all(|(name, value)| {
                schema["properties"].get(name).is_some() || self.accepts(argument, value)
            }),
            "propertyNames" => {
                fields(value).all(|(name, _)| self.accepts(argument, &Value::from(name.as_str())))
            }
            _ => panic!("the schema uses {keyword}, which this validator does not know"),
        }
    }
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Numbers are equal if their values are, however they are written.
fn is_equal(left: &Value, right: &Value) -> bool {
    left == right || left.is_number() && left.as_f64() == right.as_f64()
}
