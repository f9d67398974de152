//! What `apertis tokens` shows is what is trained on.

mod support;

use apertis_dataset::{DataSettings, RowProblem, TokenState, token_view};
use support::{byte_tokenizer, folder, settings};

/// The texts of each state in turn: trained in `[]`, cut in `{}`.
fn check(rows: &str, row: u64, max_length: usize, expected: Result<&str, RowProblem>) {
    let folder = folder(&[("rows.jsonl", rows.as_bytes())]);
    let data = DataSettings { max_length, ..settings(folder.path().join("rows.jsonl")) };
    let view = token_view(&data, &byte_tokenizer(), row).expect("a row");
    let shown = view.tokens.map(|tokens| {
        let mut text = String::new();
        let mut last = TokenState::Masked;
        for token in &tokens {
            if token.state != last {
                text += match last {
                    TokenState::Trained => "]",
                    TokenState::Cut => "}",
                    TokenState::Masked => "",
                };
                text += match token.state {
                    TokenState::Trained => "[",
                    TokenState::Cut => "{",
                    TokenState::Masked => "",
                };
                last = token.state;
            }
            text += &token.text;
        }
        text
    });
    assert_eq!(shown.as_deref().map_err(|problem| problem.kind), expected);
}

#[test]
fn states_of_tokens() {
    let rows = "{\"prompt\":\"q\",\"completion\":\"abc\"}\noops\n{\"prompt\":\"r\",\"completion\":\"\"}\n";
    check(rows, 1, 100, Ok("<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n[abc<|im_end|>\n"));
    check(rows, 1, 22, Ok("<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n[ab]{c<|im_end|>\n"));
    check(rows, 2, 100, Err(RowProblem::NotJson));
    check(rows, 3, 100, Err(RowProblem::EmptyAnswer));
    check("{\"text\":\"abc\"}\n", 1, 100, Ok("a[bc<|endoftext|>"));
}

#[test]
fn a_row_that_is_not_there() {
    let folder = folder(&[("rows.jsonl", b"{\"text\":\"a\"}\n")]);
    let error = token_view(&settings(folder.path().join("rows.jsonl")), &byte_tokenizer(), 3).expect_err("absent");
    assert_eq!(error.to_string(), "read data set: row 3 asked for, 1 available");
}
