//! What is trained of a conversation, template by template.

use apertis_tokenizer::{ChatTemplate, Encoding, Message, SpanRefusal, TrainOn, mask_from_spans, trained_spans};

/// Renders and returns the trained parts.
fn parts(template: &ChatTemplate, turns: &[(&str, &str)], which: TrainOn) -> Result<Vec<String>, SpanRefusal> {
    let messages: Vec<Message> = turns.iter().map(|(role, content)| Message::text(*role, *content)).collect();
    let (text, spans) = trained_spans(template, &messages, None, which)?;
    Ok(spans.into_iter().map(|span| text[span].to_owned()).collect())
}

const TALK: [(&str, &str); 5] = [("system", "Be kind."), ("user", "Hi"), ("assistant", "Hello"), ("user", "Bye"), ("assistant", "See you")];

#[test]
fn chatml_turns_run_through_their_end_and_its_line_break() {
    let template = ChatTemplate::chatml();
    assert_eq!(
        parts(&template, &TALK, TrainOn::AllAssistantTurns),
        Ok(vec!["Hello<|im_end|>\n".to_owned(), "See you<|im_end|>\n".to_owned()])
    );
    assert_eq!(parts(&template, &TALK, TrainOn::LastTurn), Ok(vec!["See you<|im_end|>\n".to_owned()]));
    assert_eq!(parts(&template, &TALK[..2], TrainOn::AllAssistantTurns), Err(SpanRefusal::NoAssistantTurn));
    let everything = parts(&template, &TALK[..2], TrainOn::Everything).expect("renders");
    assert_eq!(everything, ["<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"]);
}

#[test]
fn tokens_are_trained_where_they_begin() {
    let encoding = Encoding { ids: vec![1, 2, 3, 4, 5, 6], offsets: vec![(0, 0), (0, 3), (3, 5), (5, 5), (5, 9), (9, 10)] };
    assert_eq!(mask_from_spans(&encoding, &[3..6, 9..10]), [false, false, true, false, true, true]);
    assert_eq!(mask_from_spans(&encoding, &[]), [false; 6]);
    assert_eq!(mask_from_spans(&encoding, std::slice::from_ref(&(4..8))), [false, false, false, false, true, false]);
}
