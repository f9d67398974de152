//! Whether turns are in an order that templates accept, and say something.

use apertis_tokenizer::Message;

use crate::problem::{Problem, RowProblem};

/// Checks a conversation before its template sees it.
///
/// # Errors
/// `wrong_role_order` or `empty_answer`, with the turn.
pub(super) fn validate(messages: &[Message]) -> Result<(), Problem> {
    let wrong = |detail: String| Err(Problem::new(RowProblem::WrongRoleOrder, detail));
    let mut previous = None;
    let mut has_answer = false;
    for (at, message) in messages.iter().enumerate() {
        let number = at + 1;
        match (message.role.as_str(), previous) {
            ("system", None) | ("user", None | Some("system" | "assistant" | "tool")) => {}
            ("assistant", Some("user" | "tool")) => {}
            ("tool", Some("assistant" | "tool")) => {}
            ("system", Some(before)) => return wrong(format!("turn {number} is a system turn after a {before} turn")),
            ("assistant", None | Some("system")) => {
                return wrong(format!("turn {number} is an answer before any question"));
            }
            (role, Some(before)) => return wrong(format!("turn {number} is a {role} turn right after a {before} turn")),
            (role, None) => return wrong(format!("the first turn is a {role} turn, expected system or user")),
        }
        if message.role == "assistant" {
            let has_call = message.tool_calls.is_some();
            let is_blank = message.content.as_text().is_none_or(|text| text.trim().is_empty());
            if is_blank && !has_call {
                return Err(Problem::new(RowProblem::EmptyAnswer, format!("turn {number}, an answer, is empty")));
            }
            has_answer = true;
        }
        previous = Some(message.role.as_str());
    }
    if !has_answer {
        return Err(Problem::new(RowProblem::EmptyAnswer, "there is no answer of an assistant to learn"));
    }
    Ok(())
}
