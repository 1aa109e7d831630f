//! What a Rust type is on the wire, found out by deserializing it: a type asks
//! its deserializer for what it wants to be given.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};

use super::description::Type;

pub(super) fn shape_of<T: DeserializeOwned>() -> Type {
    let mut shape = Type::Object;
    if let Err(error) = T::deserialize(Asked(&mut shape)) {
        panic!("{}: {error}", std::any::type_name::<T>());
    }
    shape
}

/// The names that an enum of errors has on the wire.
pub(super) fn variants_of<E: DeserializeOwned>() -> Vec<String> {
    let mut shape = Type::Object;
    // The content of a variant is not asked for by its fields.
    let _ = E::deserialize(Asked(&mut shape));
    match shape {
        Type::Struct(fields) => match &fields["error"] {
            Type::Enum(variants) => variants.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// Gives whatever is asked for, and notes what it was.
struct Asked<'s>(&'s mut Type);

#[derive(Debug)]
struct Unexpected(String);

impl fmt::Display for Unexpected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unexpected {}

impl serde::de::Error for Unexpected {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

macro_rules! plain {
    ($($method:ident: $type:ident, $visit:ident($value:expr);)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unexpected> {
            *self.0 = Type::$type;
            visitor.$visit($value)
        })*
    };
}

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = Unexpected;

    plain! {
        // Whatever it is, it knows what to do with text.
        deserialize_any: Object, visit_str("");
        deserialize_bool: Bool, visit_bool(false);
        deserialize_i32: Int, visit_i32(0);
        deserialize_i64: Int, visit_i64(0);
        deserialize_u32: Int, visit_u32(0);
        deserialize_u64: Int, visit_u64(0);
        deserialize_f64: Float, visit_f64(0.0);
        deserialize_str: String, visit_str("");
        deserialize_string: String, visit_str("");
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unexpected> {
        let mut inner = Type::Object;
        let value = visitor.visit_some(Asked(&mut inner))?;
        *self.0 = Type::Maybe(inner.into());
        Ok(value)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unexpected> {
        let mut inner = Type::Object;
        let value = visitor.visit_seq(Once(Some(&mut inner)))?;
        *self.0 = Type::Array(inner.into());
        Ok(value)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unexpected> {
        let mut inner = Type::Object;
        let value = visitor.visit_map(Once(Some(&mut inner)))?;
        *self.0 = Type::Dict(inner.into());
        Ok(value)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unexpected> {
        *self.0 = Type::Struct(BTreeMap::new());
        let Type::Struct(fields) = self.0 else {
            unreachable!()
        };
        visitor.visit_map(Fields {
            names: names.iter(),
            name: "",
            fields,
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unexpected> {
        *self.0 = Type::Enum(variants.iter().map(|&variant| variant.into()).collect());
        visitor.visit_enum(First {
            variant: variants[0],
            shape: self.0,
        })
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i128 u8 u16 u128 f32 char bytes byte_buf unit unit_struct newtype_struct
        tuple tuple_struct identifier ignored_any
    }
}

/// One element, or one entry.
struct Once<'s>(Option<&'s mut Type>);

impl<'de> SeqAccess<'de> for Once<'_> {
    type Error = Unexpected;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Unexpected> {
        let element = self.0.take();
        element
            .map(|shape| seed.deserialize(Asked(shape)))
            .transpose()
    }
}

impl<'de> MapAccess<'de> for Once<'_> {
    type Error = Unexpected;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Unexpected> {
        let key: StrDeserializer<'_, Unexpected> = "".into_deserializer();
        self.0.is_some().then(|| seed.deserialize(key)).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, Unexpected> {
        let value = self.0.take().expect("a key was given");
        seed.deserialize(Asked(value))
    }
}

struct Fields<'s> {
    names: std::slice::Iter<'static, &'static str>,
    name: &'static str,
    fields: &'s mut BTreeMap<String, Type>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Unexpected;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Unexpected> {
        let Some(name) = self.names.next() else {
            return Ok(None);
        };
        self.name = name;
        let key: StrDeserializer<'_, Unexpected> = name.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, Unexpected> {
        let shape = self.fields.entry(self.name.into()).or_insert(Type::Object);
        seed.deserialize(Asked(shape))
    }
}

/// The first variant of an enum. One with content is an object to varlink.
struct First<'s> {
    variant: &'static str,
    shape: &'s mut Type,
}

impl<'de, 's> EnumAccess<'de> for First<'s> {
    type Error = Unexpected;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self), Unexpected> {
        let variant: StrDeserializer<'_, Unexpected> = self.variant.into_deserializer();
        Ok((seed.deserialize(variant)?, self))
    }
}

impl<'de> VariantAccess<'de> for First<'_> {
    type Error = Unexpected;

    fn unit_variant(self) -> Result<(), Unexpected> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, Unexpected> {
        *self.shape = Type::Object;
        seed.deserialize(Asked(&mut Type::Object))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Unexpected> {
        Err(Unexpected("a variant with several values".into()))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Unexpected> {
        Err(Unexpected("a variant with fields comes first".into()))
    }
}
