//! `apertis keys`: who may use a studio that other computers reach.

use std::process::ExitCode;

use apertis_runs::Home;
use apertis_server::KEY_NAME_MAX;
use serde_json::json;

use crate::arguments::{KeysArguments, KeysVerb};
use crate::failure::Failure;
use crate::printer::Printer;
use crate::settings;

pub(crate) fn run(arguments: &KeysArguments, home: &Home, printer: &Printer) -> Result<ExitCode, Failure> {
    if let KeysVerb::Create { name } = &arguments.what
        && !(1..=KEY_NAME_MAX).contains(&name.trim().chars().count())
    {
        return Err(Failure::usage(format!("keys: expected a name of 1 to {KEY_NAME_MAX} characters, found `{name}`"))
            .hint("Call it after what it is for: apertis keys create laptop"));
    }
    let database = settings::database(&arguments.database, home)?;
    match &arguments.what {
        KeysVerb::Create { name } => {
            let made = database.make_key(name.trim())?;
            printer.line(&made.secret);
            printer.note("This is the only time that it is shown.");
            printer.json(&json!({ "id": made.key.id, "name": made.key.name, "secret": made.secret }));
        }
        KeysVerb::List => {
            let keys = database.keys()?;
            if keys.is_empty() {
                printer.line("No keys yet. Make one: apertis keys create NAME");
            }
            for key in &keys {
                let used = key.used_at.as_deref().unwrap_or("never used");
                printer.line(format!("{}  {}…  {:24}  made {}  {used}", key.id, key.prefix, key.name, key.created_at));
            }
            printer.json(&json!({ "keys": keys }));
        }
        KeysVerb::Revoke { id } => {
            if !database.revoke_key(id)? {
                return Err(Failure::new(format!("keys: there is no key {id}")).hint("`apertis keys list` shows their ids."));
            }
            printer.line(format!("{id} opens nothing any more."));
            printer.json(&json!({ "revoked": id }));
        }
    }
    Ok(ExitCode::SUCCESS)
}
