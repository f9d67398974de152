//! `apertis keys`: who may use a studio that other computers reach.

use std::process::ExitCode;

use apertis_runs::Home;
use apertis_server::Ledger;
use serde_json::json;

use crate::arguments::{KeysArguments, KeysVerb};
use crate::failure::Failure;
use crate::printer::Printer;

pub(crate) fn run(arguments: &KeysArguments, home: &Home, printer: &Printer) -> Result<ExitCode, Failure> {
    let ledger = Ledger::open(home);
    let refused = |error: std::io::Error| Failure::new(format!("keys: {error}")).hint("Check the home's owner and permissions.");
    match &arguments.what {
        KeysVerb::Create { name } => {
            let made = ledger.make_key(name).map_err(refused)?;
            printer.line(&made.secret);
            printer.note("This is the only time that it is shown.");
            printer.json(&json!({ "id": made.key.id, "name": made.key.name, "secret": made.secret }));
        }
        KeysVerb::List => {
            let keys = ledger.keys();
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
            if !ledger.revoke_key(id).map_err(refused)? {
                return Err(Failure::new(format!("keys: there is no key {id}")).hint("`apertis keys list` shows their ids."));
            }
            printer.line(format!("{id} opens nothing any more."));
            printer.json(&json!({ "revoked": id }));
        }
    }
    Ok(ExitCode::SUCCESS)
}
