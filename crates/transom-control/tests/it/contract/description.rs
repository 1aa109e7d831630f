//! Reads interface files, by the grammar of
//! <https://varlink.org/Interface-Definition>.

use std::collections::BTreeMap;

/// What an interface file says, without its comments.
#[derive(Debug)]
pub(super) struct Description {
    pub(super) name: String,
    types: BTreeMap<String, Type>,
    pub(super) methods: BTreeMap<String, (Type, Type)>,
    pub(super) errors: BTreeMap<String, Type>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Type {
    Bool,
    Int,
    Float,
    String,
    Object,
    Named(String),
    Maybe(Box<Type>),
    Array(Box<Type>),
    Dict(Box<Type>),
    /// Fields, by name: their order means nothing.
    Struct(BTreeMap<String, Type>),
    Enum(Vec<String>),
}

impl Description {
    pub(super) fn parse(text: &str) -> Self {
        let mut words = Words::new(text);
        words.expect("interface");
        let mut description = Self {
            name: words.next(),
            types: BTreeMap::new(),
            methods: BTreeMap::new(),
            errors: BTreeMap::new(),
        };
        let mut members = Vec::new();
        while let Some(kind) = words.try_next() {
            let name = words.next();
            let first = words.parenthesized();
            match kind.as_str() {
                "type" => drop(description.types.insert(name.clone(), first)),
                "error" => drop(description.errors.insert(name.clone(), first)),
                "method" => {
                    words.expect("->");
                    let types = (first, words.parenthesized());
                    description.methods.insert(name.clone(), types);
                }
                other => panic!("{other} {name}"),
            }
            assert!(!members.contains(&name), "{name} is there twice");
            members.push(name);
        }
        description
    }

    /// With the types that are named put into their places.
    pub(super) fn resolve(&self, of: &Type) -> Type {
        match of {
            Type::Named(name) => match self.types.get(name) {
                Some(named) => self.resolve(named),
                None => panic!("there is no type {name}"),
            },
            Type::Maybe(inner) => Type::Maybe(self.resolve(inner).into()),
            Type::Array(inner) => Type::Array(self.resolve(inner).into()),
            Type::Dict(inner) => Type::Dict(self.resolve(inner).into()),
            Type::Struct(fields) => Type::Struct(
                fields
                    .iter()
                    .map(|(name, field)| (name.clone(), self.resolve(field)))
                    .collect(),
            ),
            other => other.clone(),
        }
    }

    pub(super) fn check_that_all_types_are_used(&self) {
        let methods = self
            .methods
            .values()
            .flat_map(|(call, reply)| [call, reply]);
        let all: Vec<_> = methods.chain(self.types.values()).collect();
        for name in self.types.keys() {
            let is_used = all.iter().any(|of| of.names(name));
            assert!(is_used, "nothing uses the type {name}");
        }
    }
}

impl Type {
    fn names(&self, name: &str) -> bool {
        match self {
            Self::Named(named) => named == name,
            Self::Maybe(inner) | Self::Array(inner) | Self::Dict(inner) => inner.names(name),
            Self::Struct(fields) => fields.values().any(|field| field.names(name)),
            _ => false,
        }
    }
}

/// The text, word by word: names, and signs by themselves.
struct Words(std::vec::IntoIter<String>);

impl Words {
    fn new(text: &str) -> Self {
        let mut spaced = String::new();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let line = line.replace("->", " > ").replace("[string]", " [string] ");
            for character in line.replace("[]", " [] ").chars() {
                match character {
                    '(' | ')' | ',' | ':' | '?' => spaced.extend([' ', character, ' ']),
                    '>' => spaced.push_str("->"),
                    other => spaced.push(other),
                }
            }
            spaced.push('\n');
        }
        let words: Vec<_> = spaced.split_whitespace().map(String::from).collect();
        Self(words.into_iter())
    }

    fn try_next(&mut self) -> Option<String> {
        self.0.next()
    }

    fn next(&mut self) -> String {
        self.try_next().expect("there is more")
    }

    fn expect(&mut self, word: &str) {
        assert_eq!(self.next(), word);
    }

    /// Fields or variants.
    fn parenthesized(&mut self) -> Type {
        self.expect("(");
        let mut fields = BTreeMap::new();
        let mut variants = Vec::new();
        loop {
            let name = self.next();
            if name == ")" {
                break;
            }
            match self.next().as_str() {
                ":" => {
                    let of = self.of_field();
                    assert!(fields.insert(name, of).is_none());
                    match self.next().as_str() {
                        "," => (),
                        ")" => break,
                        other => panic!("{other}"),
                    }
                }
                "," => variants.push(name),
                ")" => {
                    variants.push(name);
                    break;
                }
                other => panic!("{other} after {name}"),
            }
        }
        match variants.is_empty() {
            true => Type::Struct(fields),
            false => Type::Enum(variants),
        }
    }

    fn of_field(&mut self) -> Type {
        match self.next().as_str() {
            "?" => Type::Maybe(self.of_field().into()),
            "[]" => Type::Array(self.of_field().into()),
            "[string]" => Type::Dict(self.of_field().into()),
            "bool" => Type::Bool,
            "int" => Type::Int,
            "float" => Type::Float,
            "string" => Type::String,
            "object" => Type::Object,
            named => Type::Named(named.into()),
        }
    }
}
