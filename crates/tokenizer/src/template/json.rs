//! JSON as Python's `json.dumps` writes it, which is what templates put before
//! models: spaces after separators, no escapes of other scripts.

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind};

use super::python::float_text;

/// How a value is laid out.
struct Layout {
    ensure_ascii: bool,
    indent: Option<String>,
    item: String,
    key: String,
    sort_keys: bool,
}

/// The `tojson` filter with the arguments of the reference environment.
pub(super) fn tojson(value: &Value, ensure_ascii: Option<&Value>, indent: Option<&Value>, options: Kwargs) -> Result<String, Error> {
    let option = |name: &str, given: Option<&Value>| -> Result<Option<Value>, Error> {
        let value = match given {
            Some(value) => Some(value.clone()),
            None => options.get::<Option<Value>>(name)?,
        };
        Ok(value.filter(|value| !value.is_none() && !value.is_undefined()))
    };
    let indent = option("indent", indent)?.map(|value| match value.as_str() {
        Some(text) => text.to_owned(),
        None => " ".repeat(value.as_usize().unwrap_or(0)),
    });
    let mut layout = Layout {
        ensure_ascii: option("ensure_ascii", ensure_ascii)?.is_some_and(|value| value.is_true()),
        item: if indent.is_some() { "," } else { ", " }.to_owned(),
        key: ": ".to_owned(),
        sort_keys: option("sort_keys", None)?.is_some_and(|value| value.is_true()),
        indent,
    };
    if let Some(separators) = option("separators", None)? {
        layout.item = separators.get_item_by_index(0)?.to_string();
        layout.key = separators.get_item_by_index(1)?.to_string();
    }
    options.assert_all_used()?;
    let mut out = String::new();
    write(&mut out, value, &layout, 0)?;
    Ok(out)
}

fn write(out: &mut String, value: &Value, layout: &Layout, depth: usize) -> Result<(), Error> {
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => out.push_str(&number(value)),
        ValueKind::String => write_text(out, value.as_str().unwrap_or_default(), layout),
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<Value> = value.try_iter()?.collect();
            write_items(out, ('[', ']'), &items, layout, depth, |out, item| write(out, item, layout, depth + 1))?;
        }
        ValueKind::Map => {
            let mut keys: Vec<Value> = value.try_iter()?.collect();
            if layout.sort_keys {
                keys.sort();
            }
            write_items(out, ('{', '}'), &keys, layout, depth, |out, key| {
                let name = match key.kind() {
                    ValueKind::String => key.as_str().unwrap_or_default().to_owned(),
                    ValueKind::None => "null".to_owned(),
                    ValueKind::Bool => key.is_true().to_string(),
                    _ => number(key),
                };
                write_text(out, &name, layout);
                out.push_str(&layout.key);
                write(out, &value.get_item(key)?, layout, depth + 1)
            })?;
        }
        other => {
            return Err(Error::new(ErrorKind::BadSerialization, format!("tojson: found a value of kind {other}, expected JSON")));
        }
    }
    Ok(())
}

fn write_items(
    out: &mut String,
    (open, close): (char, char),
    items: &[Value],
    layout: &Layout,
    depth: usize,
    mut write_item: impl FnMut(&mut String, &Value) -> Result<(), Error>,
) -> Result<(), Error> {
    let line = |out: &mut String, depth: usize| {
        if let Some(indent) = &layout.indent {
            out.push('\n');
            out.push_str(&indent.repeat(depth));
        }
    };
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push_str(&layout.item);
        }
        line(out, depth + 1);
        write_item(out, item)?;
    }
    if !items.is_empty() {
        line(out, depth);
    }
    out.push(close);
    Ok(())
}

fn number(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    match f64::try_from(value.clone()) {
        Ok(number) if number.is_nan() => "NaN".to_owned(),
        Ok(number) if number.is_infinite() && number > 0.0 => "Infinity".to_owned(),
        Ok(number) if number.is_infinite() => "-Infinity".to_owned(),
        Ok(number) => float_text(number),
        Err(_) => value.to_string(),
    }
}

fn write_text(out: &mut String, text: &str, layout: &Layout) {
    out.push('"');
    for symbol in text.chars() {
        match symbol {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{C}' => out.push_str("\\f"),
            _ if u32::from(symbol) < 0x20 || (layout.ensure_ascii && !(' '..='~').contains(&symbol)) => {
                for unit in symbol.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            _ => out.push(symbol),
        }
    }
    out.push('"');
}
