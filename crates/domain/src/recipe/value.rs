//! The loosely typed value of a recipe field, between texts and the typed struct.

use serde::{Deserialize, Serialize};

/// A value as a command line, a recipe file or a form gives it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// `true` or `false`.
    Switch(bool),
    /// A whole number.
    Integer(i64),
    /// Any finite number.
    Number(f64),
    /// Text, a path or the name of a choice.
    Text(String),
    /// Several texts.
    List(Vec<String>),
}

impl Value {
    /// The word for this value's type in an error message.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Switch(_) => "true or false",
            Value::Integer(_) => "a whole number",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list of texts",
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Switch(switch) => write!(formatter, "{switch}"),
            Value::Integer(integer) => write!(formatter, "{integer}"),
            // `{:?}` prints small numbers as 2e-5 and keeps every digit.
            Value::Number(number) => write!(formatter, "{number:?}"),
            Value::Text(text) => write!(formatter, "{text}"),
            Value::List(list) => write!(formatter, "{}", list.join(",")),
        }
    }
}

/// A Rust type that a recipe field can have.
pub(super) trait FieldValue: Sized {
    /// The loosely typed copy.
    fn to_value(&self) -> Value;
    /// Back from a value that the field's kind has accepted; `None` if the types disagree.
    fn from_value(value: Value) -> Option<Self>;
}

impl FieldValue for String {
    fn to_value(&self) -> Value {
        Value::Text(self.clone())
    }
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl FieldValue for bool {
    fn to_value(&self) -> Value {
        Value::Switch(*self)
    }
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Switch(switch) => Some(switch),
            _ => None,
        }
    }
}

impl FieldValue for f64 {
    fn to_value(&self) -> Value {
        Value::Number(*self)
    }
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Number(number) => Some(number),
            Value::Integer(integer) => Some(integer as f64),
            _ => None,
        }
    }
}

impl FieldValue for u64 {
    fn to_value(&self) -> Value {
        Value::Integer(i64::try_from(*self).unwrap_or(i64::MAX))
    }
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Integer(integer) => u64::try_from(integer).ok(),
            _ => None,
        }
    }
}

impl FieldValue for Option<u64> {
    fn to_value(&self) -> Value {
        match self {
            Some(integer) => integer.to_value(),
            None => Value::Text("auto".to_owned()),
        }
    }
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Text(word) if word == "auto" => Some(None),
            value => u64::from_value(value).map(Some),
        }
    }
}

impl FieldValue for usize {
    fn to_value(&self) -> Value {
        Value::Integer(i64::try_from(*self).unwrap_or(i64::MAX))
    }
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Integer(integer) => usize::try_from(integer).ok(),
            _ => None,
        }
    }
}

impl FieldValue for Vec<String> {
    fn to_value(&self) -> Value {
        Value::List(self.clone())
    }
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::List(list) => Some(list),
            _ => None,
        }
    }
}
