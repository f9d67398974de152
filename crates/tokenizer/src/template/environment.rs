//! The environment that templates run in: the block rules, functions, filters and
//! Python methods that published templates rely on.

use jiff::civil::{DateTime, date};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State};

use super::{MARK_CLOSE, MARK_OPEN, json, python};

/// The variable that switches the marks of generation blocks on.
pub(super) const MARKING: &str = "__apertis_marking";
/// The filter that a generation block becomes.
pub(super) const GENERATION: &str = "__apertis_generation";

/// An environment without templates.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().expect("the usual delimiters are valid"));
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment
        .set_formatter(|output, _, value| output.write_str(&python::text_of(value)).map_err(|_| Error::from(ErrorKind::WriteFailure)));
    environment.set_unknown_method_callback(python::method);
    environment.add_filter("tojson", json::tojson);
    environment.add_filter("string", |value: &Value| match value.kind() {
        ValueKind::String => value.clone(),
        _ => Value::from(python::text_of(value)),
    });
    // `none` can be looped over here; in Python it cannot, and templates ask.
    environment.add_test("iterable", |value: &Value| !value.is_none() && value.try_iter().is_ok());
    environment.add_filter(GENERATION, generation);
    environment.add_function("raise_exception", |message: &Value| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, format!("it refuses the conversation: {}", python::text_of(message))))
    });
    environment.add_function("dict", dict);
    set_clock(&mut environment, date(2026, 1, 1).at(0, 0, 0, 0));
    environment
}

/// Sets what `strftime_now` tells.
pub(super) fn set_clock(environment: &mut Environment<'static>, now: DateTime) {
    environment.add_function("strftime_now", move |format: &str| {
        jiff::fmt::strtime::format(format, now).map_err(|error| Error::new(ErrorKind::InvalidOperation, format!("strftime_now: {error}")))
    });
}

/// The body of a generation block, between marks where they are switched on.
fn generation(state: &State, body: &Value) -> String {
    let body = python::text_of(body);
    if state.lookup(MARKING).is_some_and(|marking| marking.is_true()) { format!("{MARK_OPEN}{body}{MARK_CLOSE}") } else { body }
}

/// Python's `dict` with keywords.
fn dict(base: Option<&Value>, fields: Kwargs) -> Result<Value, Error> {
    let mut pairs: Vec<(Value, Value)> = Vec::new();
    if let Some(base) = base {
        for key in base.try_iter()? {
            let value = base.get_item(&key)?;
            pairs.push((key, value));
        }
    }
    for name in fields.args().map(str::to_owned).collect::<Vec<_>>() {
        let value: Value = fields.get(&name)?;
        pairs.push((Value::from(name), value));
    }
    Ok(Value::from_pairs(pairs))
}
