//! Everything that the program prints goes through here: data on stdout, the rest on stderr.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the one place that prints")]

use std::io::{IsTerminal, Write};

use serde_json::Value;

use crate::failure::Failure;

/// Where output goes and in which form.
pub(crate) struct Printer {
    is_json: bool,
}

impl Printer {
    pub(crate) fn new(is_json: bool) -> Printer {
        Printer { is_json }
    }

    /// Whether the last line of stdout has to be one JSON object.
    pub(crate) fn is_json(&self) -> bool {
        self.is_json
    }

    /// Whether a person watches stderr.
    pub(crate) fn has_terminal(&self) -> bool {
        std::io::stderr().is_terminal()
    }

    /// Whether stdout is a terminal that wants colours.
    pub(crate) fn has_colour(&self) -> bool {
        !self.is_json && std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
    }

    /// A line of the answer; not for scripts.
    pub(crate) fn line(&self, text: impl AsRef<str>) {
        if !self.is_json {
            self.write(text.as_ref(), true);
        }
    }

    /// A piece of the answer, without an end of line.
    pub(crate) fn piece(&self, text: &str) {
        if !self.is_json {
            self.write(text, false);
        }
    }

    /// A line about what is going on.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        eprintln!("{}", text.as_ref());
    }

    /// The answer as one JSON object on one line.
    pub(crate) fn json(&self, value: &Value) {
        if self.is_json {
            self.write(&value.to_string(), true);
        }
    }

    /// An error: a sentence and a hint.
    pub(crate) fn failure(&self, failure: &Failure) {
        eprintln!("error: {}", failure.message);
        eprintln!("hint: {}", failure.advice());
        if self.is_json {
            let error = serde_json::json!({ "error": { "code": failure.code, "message": failure.message, "hint": failure.advice() } });
            self.write(&error.to_string(), true);
        }
    }

    fn write(&self, text: &str, ends_line: bool) {
        let mut out = std::io::stdout().lock();
        let end = if ends_line { "\n" } else { "" };
        // A reader that went away (`| head`) is no reason to say more.
        if write!(out, "{text}{end}").and_then(|()| out.flush()).is_err() {
            std::process::exit(0);
        }
    }
}
