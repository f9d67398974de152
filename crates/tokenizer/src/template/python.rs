//! Values as Python shows them, and Python methods that templates call beyond those
//! of `minijinja-contrib`.

use minijinja::value::{Value, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State};
use minijinja_contrib::pycompat;

/// A JSON value as a template value; objects keep their order.
pub(super) fn from_json(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Bool(flag) => Value::from(*flag),
        serde_json::Value::Number(number) => {
            if let Some(number) = number.as_i64() {
                Value::from(number)
            } else if let Some(number) = number.as_u64() {
                Value::from(number)
            } else {
                Value::from(number.as_f64().unwrap_or(f64::NAN))
            }
        }
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Array(items) => Value::from(items.iter().map(from_json).collect::<Vec<Value>>()),
        serde_json::Value::Object(fields) => Value::from_pairs(fields.iter().map(|(name, value)| (name.as_str(), from_json(value)))),
    }
}

/// What Python's `str` gives: `None`, `True`, and collections as their source would be.
pub(super) fn text_of(value: &Value) -> String {
    match value.kind() {
        ValueKind::String => value.as_str().unwrap_or_default().to_owned(),
        ValueKind::Undefined => String::new(),
        _ => source_of(value),
    }
}

/// What Python's `repr` gives.
fn source_of(value: &Value) -> String {
    let items = |value: &Value| -> Vec<Value> { value.try_iter().map(Iterator::collect).unwrap_or_default() };
    match value.kind() {
        ValueKind::None => "None".to_owned(),
        ValueKind::Bool => if value.is_true() { "True" } else { "False" }.to_owned(),
        ValueKind::Number if !value.is_integer() => f64::try_from(value.clone()).map_or_else(|_| value.to_string(), float_text),
        ValueKind::String => quoted(value.as_str().unwrap_or_default()),
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<String> = items(value).iter().map(source_of).collect();
            let (open, close) = match (value.is_tuple(), items.len()) {
                (true, 1) => ("(", ",)"),
                (true, _) => ("(", ")"),
                (false, _) => ("[", "]"),
            };
            format!("{open}{}{close}", items.join(", "))
        }
        ValueKind::Map => {
            let fields: Vec<String> = items(value)
                .iter()
                .map(|key| {
                    let item = value.get_item(key).unwrap_or_default();
                    format!("{}: {}", source_of(key), source_of(&item))
                })
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        _ => value.to_string(),
    }
}

fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for symbol in text.chars() {
        match symbol {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if symbol == quote => {
                out.push('\\');
                out.push(symbol);
            }
            _ if u32::from(symbol) < 0x20 || symbol == '\u{7F}' => {
                out.push_str(&format!("\\x{:02x}", u32::from(symbol)));
            }
            _ => out.push(symbol),
        }
    }
    out.push(quote);
    out
}

/// A number as Python writes it: the shortest digits, a point always, and an exponent
/// outside of 1e-4 to 1e16.
pub(super) fn float_text(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let size = number.abs();
    if size != 0.0 && !(1e-4..1e16).contains(&size) {
        let text = format!("{number:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(exponent) => ('-', exponent),
            None => ('+', exponent),
        };
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    let text = number.to_string();
    if text.contains('.') { text } else { format!("{text}.0") }
}

/// Python methods on strings, lists and dictionaries.
pub(super) fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    match (value.as_str(), name) {
        (Some(text), "removeprefix") => {
            let (prefix,): (&str,) = from_args(args)?;
            Ok(Value::from(text.strip_prefix(prefix).unwrap_or(text)))
        }
        (Some(text), "removesuffix") => {
            let (suffix,): (&str,) = from_args(args)?;
            Ok(Value::from(text.strip_suffix(suffix).unwrap_or(text)))
        }
        (Some(text), "rsplit") => {
            let (separator, most): (Option<&str>, Option<i64>) = from_args(args)?;
            Ok(Value::from(split_from_right(text, separator, most)))
        }
        (Some(text), "partition" | "rpartition") => {
            let (separator,): (&str,) = from_args(args)?;
            let found = if name == "partition" { text.split_once(separator) } else { text.rsplit_once(separator) };
            let parts = match (found, name) {
                (Some((left, right)), _) => [left, separator, right],
                (None, "partition") => [text, "", ""],
                (None, _) => ["", "", text],
            };
            Ok(Value::from(parts.map(Value::from).to_vec()))
        }
        (Some(text), "isdecimal") => Ok(Value::from(!text.is_empty() && text.chars().all(|symbol| symbol.is_ascii_digit()))),
        (Some(text), "index") => {
            let (part,): (&str,) = from_args(args)?;
            match text.find(part) {
                Some(at) => Ok(Value::from(text[..at].chars().count())),
                None => Err(Error::new(ErrorKind::InvalidOperation, format!("index: {part:?} is not in the text"))),
            }
        }
        (None, "index") if matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) => {
            let (wanted,): (&Value,) = from_args(args)?;
            let place = value.try_iter()?.position(|item| item == *wanted);
            place.map(Value::from).ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "index: the value is not in the list"))
        }
        _ => pycompat::unknown_method_callback(state, value, name, args),
    }
}

fn split_from_right(text: &str, separator: Option<&str>, most: Option<i64>) -> Vec<String> {
    let limit = most.and_then(|most| usize::try_from(most).ok()).map_or(usize::MAX, |most| most + 1);
    let mut parts: Vec<String> = match separator {
        Some(separator) => text.rsplitn(limit, separator).map(str::to_owned).collect(),
        None => {
            let mut parts = Vec::new();
            let mut rest = text.trim_end();
            while !rest.is_empty() && parts.len() + 1 < limit {
                let at = rest.rfind(char::is_whitespace).map_or(0, |at| at + rest[at..].chars().next().map_or(0, char::len_utf8));
                parts.push(rest[at..].to_owned());
                rest = rest[..at].trim_end();
            }
            if !rest.is_empty() {
                parts.push(rest.to_owned());
            }
            parts
        }
    };
    parts.reverse();
    parts
}
