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

/// A template of `fixtures/tokenizer/templates`.
fn fixture(name: &str) -> ChatTemplate {
    let path = apertis_testkit::fixtures().join("tokenizer/templates").join(format!("{name}.jinja"));
    let source = std::fs::read_to_string(path).expect("the fixture is there");
    ChatTemplate::new(&source, Some("<s>"), Some("</s>")).expect("the fixture compiles")
}

#[test]
fn each_mechanism_gives_its_spans_or_its_reason() {
    let check = |name: &str, talk: &[(&str, &str)], all: Result<&[&str], SpanRefusal>, last: Result<&[&str], SpanRefusal>| {
        let owned =
            |spans: Result<&[&str], SpanRefusal>| spans.map(|spans| spans.iter().map(|span| (*span).to_owned()).collect::<Vec<String>>());
        assert_eq!(parts(&fixture(name), talk, TrainOn::AllAssistantTurns), owned(all), "{name}");
        assert_eq!(parts(&fixture(name), talk, TrainOn::LastTurn), owned(last), "{name}, last turn");
    };
    let plain = &TALK[1..];
    check("chatml", &TALK, Ok(&["Hello<|im_end|>\n", "See you<|im_end|>\n"]), Ok(&["See you<|im_end|>\n"]));
    check("headers", &TALK, Ok(&["Hello[end]", "See you[end]"]), Ok(&["See you[end]"]));
    check("roles", plain, Ok(&["Hello</turn>\n", "See you</turn>\n"]), Ok(&["See you</turn>\n"]));
    check("instruct", plain, Ok(&[" Hello</s>", " See you</s>"]), Ok(&[" See you</s>"]));
    check("marked", &TALK, Ok(&["Hello</end>\n", "See you</end>"]), Ok(&["See you</end>"]));
    // What is written once at the very end belongs to the last turn only.
    check("closing", &TALK, Ok(&["Hello<|end|>\n", "See you<|end|>\n</s>"]), Ok(&["See you<|end|>\n</s>"]));

    // The system prompt is shown only while its question is the last turn, and thoughts
    // only for the last answer.
    let rewritten = |turn| Err(SpanRefusal::RewritesEarlierTurns { turn });
    check("instruct", &TALK, rewritten(2), rewritten(4));
    check("reasoning", &TALK, rewritten(2), Ok(&["<think>\n\n</think>\n\nSee you<|end|>\n"]));
    check("reasoning", &TALK[..3], Ok(&["<think>\n\n</think>\n\nHello<|end|>\n"]), Ok(&["<think>\n\n</think>\n\nHello<|end|>\n"]));

    let refused = Err(SpanRefusal::TemplateFailed("it refuses the conversation: There is no system role".to_owned()));
    check("roles", &TALK, refused.clone(), refused);
    let question = &TALK[..2];
    check("chatml", question, Err(SpanRefusal::NoAssistantTurn), Err(SpanRefusal::NoAssistantTurn));
}

#[test]
fn a_prompt_that_the_conversation_does_not_begin_with_is_refused() {
    let source =
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}{% if add_generation_prompt %}[assistant] think:{% endif %}";
    let template = ChatTemplate::new(source, None, None).expect("compiles");
    let talk = &TALK[1..3];
    let refusal = parts(&template, talk, TrainOn::AllAssistantTurns).expect_err("refused");
    assert_eq!((refusal.clone(), refusal.code()), (SpanRefusal::PrefixTestFailed { turn: 1 }, "template_prefix_test_failed"));
}

#[test]
fn tool_turns_are_not_trained_and_calls_are() {
    let call = serde_json::json!([{"type": "function", "function": {"name": "f", "arguments": "{\"x\": 1}"}}]);
    let messages = [
        Message::text("user", "Rain?"),
        Message { tool_calls: Some(call), ..Message { role: "assistant".to_owned(), ..Message::default() } },
        Message::text("tool", "dry"),
        Message::text("assistant", "No."),
    ];
    let (text, spans) = trained_spans(&fixture("headers"), &messages, None, TrainOn::AllAssistantTurns).expect("spans");
    let trained: Vec<&str> = spans.iter().map(|span| &text[span.clone()]).collect();
    assert_eq!(trained, ["{\"name\": \"f\", \"parameters\": {\"x\": 1}}[end]", "No.[end]"]);
}

#[test]
fn neighbouring_assistant_turns_are_both_trained() {
    let talk = [("user", "Hi"), ("assistant", "a"), ("assistant", "b")];
    let spans = parts(&ChatTemplate::chatml(), &talk, TrainOn::AllAssistantTurns).expect("spans");
    assert_eq!(spans, ["a<|im_end|>\n", "b<|im_end|>\n"], "the second prompt is not trained");
}
