//! `apertis tokens`: one row of the data as the model will see it, token by token.

use std::process::ExitCode;

use apertis_dataset::{TokenState, ViewedToken, token_view};
use apertis_runs::Home;
use serde_json::{Value, json};

use crate::arguments::AssignmentArguments;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::{data, settings};

pub(crate) fn run(arguments: &AssignmentArguments, home: &Home, printer: &Printer) -> Result<ExitCode, Failure> {
    let mut row = 1;
    let mut rest = Vec::new();
    for assignment in &arguments.assignments {
        match assignment.strip_prefix("row=") {
            Some(text) => {
                row = text.parse().ok().filter(|row| *row > 0).ok_or_else(|| {
                    Failure::usage(format!("row: found {text:?}, expected a whole number from 1")).hint("The first row is row=1.")
                })?;
            }
            None => rest.push(assignment.clone()),
        }
    }
    let (recipe, _) = settings::recipe(&rest)?;
    if recipe.model.is_empty() {
        return Err(Failure::usage("model: is missing").hint("Say whose tokens with model=FOLDER, a name or a run."));
    }
    let source = data::source(&recipe, home)?;
    let view = token_view(&source.settings, &source.tokenizer, row)?;
    let tokens = match &view.tokens {
        Ok(tokens) => tokens,
        Err(problem) => {
            printer.line(format!("row {row} (line {}) is not trained on: {}: {}", view.source.line, problem.kind.code(), problem.detail));
            printer.line(&view.excerpt);
            printer.json(&json!({ "row": row, "line": view.source.line, "reason": problem.kind.code(), "detail": problem.detail }));
            return Ok(ExitCode::SUCCESS);
        }
    };
    let has_colour = printer.has_colour();
    for token in tokens {
        printer.line(shown(token, has_colour));
    }
    let number = |state: TokenState| tokens.iter().filter(|token| token.state == state).count();
    let (trained, masked, cut) = (number(TokenState::Trained), number(TokenState::Masked), number(TokenState::Cut));
    printer.line(format!("row {row}, line {}: {trained} trained (T), {masked} only seen (-), {cut} cut off (x)", view.source.line));
    let listed: Vec<Value> = tokens.iter().map(|token| json!({ "id": token.id, "text": token.text, "state": word(token.state) })).collect();
    printer.json(&json!({ "row": row, "line": view.source.line, "trained": trained, "masked": masked, "cut": cut, "tokens": listed }));
    Ok(ExitCode::SUCCESS)
}

/// `T    1234 "text"`, green where trained, grey where only seen, struck through red where cut.
fn shown(token: &ViewedToken, has_colour: bool) -> String {
    let (letter, colour) = match token.state {
        TokenState::Trained => ('T', "32"),
        TokenState::Masked => ('-', "90"),
        TokenState::Cut => ('x', "9;31"),
    };
    let line = format!("{letter} {:>7} {:?}", token.id, token.text);
    if has_colour { format!("\x1b[{colour}m{line}\x1b[0m") } else { line }
}

fn word(state: TokenState) -> &'static str {
    match state {
        TokenState::Trained => "trained",
        TokenState::Masked => "masked",
        TokenState::Cut => "cut",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_happens_to_its_token() {
        let token = |state| ViewedToken { id: 7, text: "a\n".to_owned(), state };
        let check = |state, has_colour, expected: &str| assert_eq!(shown(&token(state), has_colour), expected);
        check(TokenState::Trained, false, "T       7 \"a\\n\"");
        check(TokenState::Masked, false, "-       7 \"a\\n\"");
        check(TokenState::Cut, true, "\x1b[9;31mx       7 \"a\\n\"\x1b[0m");
    }
}
