//! Conversations rendered by templates of every mechanism, compared with what
//! Transformers renders (`fixtures/tokenizer/make.py`).

use std::fs::read_to_string;

use apertis_testkit::fixtures;
use apertis_tokenizer::{ChatTemplate, Content, Message, TrainOn, trained_spans};
use serde_json::{Map, Value};

fn template(name: &str) -> ChatTemplate {
    let path = fixtures().join("tokenizer/templates").join(format!("{name}.jinja"));
    let source = read_to_string(path).expect("the fixture is there");
    ChatTemplate::new(&source, Some("<s>"), Some("</s>")).expect("the fixture compiles")
}

fn fixture(name: &str) -> Value {
    let text = read_to_string(fixtures().join("tokenizer").join(name)).expect("the fixture is there");
    serde_json::from_str(&text).expect("the fixture is JSON")
}

fn messages(value: &Value) -> Vec<Message> {
    serde_json::from_value(value.clone()).expect("the fixture holds messages")
}

#[test]
fn templates_render_as_the_reference_does() {
    let fixture = fixture("renderings.json");
    let cases = fixture["cases"].as_array().expect("cases");
    let mut refused = 0;
    for case in cases {
        let name = case["template"].as_str().expect("name");
        let conversation = case["conversation"].as_str().expect("conversation");
        let tools = case["tools"].as_bool().expect("yes or no").then(|| &fixture["tools"]);
        let extra = case["extra"].as_object().expect("variables");
        let prompt = case["prompt"].as_bool().expect("yes or no");
        let rendered =
            template(name).render(&messages(&fixture["conversations"][conversation]), tools, prompt, extra).map(|rendered| rendered.text);
        match (case["text"].as_str(), rendered) {
            (Some(expected), Ok(text)) => {
                assert_eq!(text, expected, "{name} {conversation} tools: {} prompt: {prompt}", tools.is_some());
            }
            (None, Err(_)) => refused += 1,
            (expected, rendered) => panic!("{name} {conversation}: expected {expected:?}, rendered {rendered:?}"),
        }
    }
    assert!(cases.len() > 350 && refused > 20, "{} cases, {refused} refused", cases.len());
}

#[test]
fn generation_blocks_are_found_as_the_reference_finds_them() {
    let conversations = &fixture("renderings.json")["conversations"];
    let template = template("marked");
    assert!(template.marks_generation());
    for case in fixture("marked.json").as_array().expect("cases") {
        let conversation = case["conversation"].as_str().expect("conversation");
        let rendered = template.render(&messages(&conversations[conversation]), None, false, &Map::new()).expect("renders");
        assert_eq!(Some(rendered.text.as_str()), case["text"].as_str());
        let parts: Vec<&str> = rendered.generation_spans.iter().map(|span| &rendered.text[span.clone()]).collect();
        assert_eq!(Value::from(parts), case["parts"], "{conversation}");
    }
}

#[test]
fn every_way_to_write_a_generation_tag_is_understood() {
    for (open, close) in [
        ("{% generation %}", "{% endgeneration %}"),
        ("{%- generation -%}", "{%- endgeneration -%}"),
        ("{%generation%}", "{%endgeneration%}"),
        ("{%+ generation %}", "{%- endgeneration +%}"),
        ("{%-\n generation\n-%}", "{%-  endgeneration  -%}"),
    ] {
        let source = format!(
            "{{# {{% generation %}} #}}{{% raw %}}{{% generation %}}{{% endraw %}}{{{{ '{{% generation %}}' }}}}{open}x{close}{{{{ '%}}' }}}}"
        );
        let template = ChatTemplate::new(&source, None, None).expect("compiles");
        let rendered = template.render(&[], None, false, &Map::new()).expect("renders");
        assert_eq!(rendered.text, "{% generation %}{% generation %}x%}", "{open}");
        let at = rendered.text.len() - 3;
        let [span] = rendered.generation_spans.as_slice() else { panic!("{open}: expected one span") };
        assert_eq!(*span, at..at + 1, "{open}");
    }
}

#[test]
fn generation_blocks_see_the_loop_and_its_message() {
    let source = "{% for message in messages %}{% generation %}{{ loop.index }}{{ message.content }}{% endgeneration %};{% endfor %}";
    let template = ChatTemplate::new(source, None, None).expect("compiles");
    let talk = [Message::text("assistant", "é"), Message::text("assistant", "b")];
    let (text, spans) = trained_spans(&template, &talk, None, TrainOn::LastTurn).expect("spans");
    assert_eq!(spans.iter().map(|span| &text[span.clone()]).collect::<Vec<_>>(), ["2b"]);
    assert_eq!(text, "1é;2b;");
}

#[test]
fn broken_templates_are_refused_with_their_line() {
    for (source, line) in [
        ("a\nb\n{% if x %}\n", 3),
        ("{{ messages[0 }}", 1),
        ("ok\n{% endfor %}", 2),
        ("x\n\n{% generation %}\n{% if %}{% endgeneration %}", 4),
    ] {
        let error = ChatTemplate::new(source, None, None).expect_err("broken").to_string();
        assert!(error.starts_with(&format!("chat template line {line}: ")), "{source:?}: {error}");
    }
    let raises = ChatTemplate::new("\n{{ raise_exception('no ' ~ messages[0].role) }}", None, None).expect("compiles");
    let error = raises.render(&[Message::text("user", "x")], None, false, &Map::new()).expect_err("raises");
    assert_eq!(error.to_string(), "chat template line 2: it refuses the conversation: no user");
}

#[test]
fn content_is_given_in_the_shape_that_the_template_reads() {
    let parts = Message {
        content: Content::Parts(vec![serde_json::json!({"type": "text", "text": "a"}), serde_json::json!({"type": "text", "text": "b"})]),
        ..Message::text("user", "")
    };
    let render = |source: &str, message: &Message| {
        let template = ChatTemplate::new(source, None, None).expect("compiles");
        template.render(std::slice::from_ref(message), None, false, &Map::new()).map(|rendered| rendered.text)
    };
    let text_only = "{% for m in messages %}{{ m.content }}{% endfor %}";
    let parts_only = "{% for m in messages %}{% for p in m.content %}{{ p.text }};{% endfor %}{% endfor %}";
    assert_eq!(render(text_only, &parts).expect("renders"), "a\nb");
    assert_eq!(render(parts_only, &parts).expect("renders"), "a;b;");
    assert_eq!(render(parts_only, &Message::text("user", "c")).expect("renders"), "c;");
    let image = Message { content: Content::Parts(vec![serde_json::json!({"type": "image"})]), ..Message::text("user", "") };
    let error = render(text_only, &image).expect_err("an image is no text").to_string();
    assert!(error.contains("message 0 has a part that is not text"), "{error}");
}

#[test]
fn tool_arguments_as_text_are_given_as_an_object_where_the_template_writes_json() {
    let call = serde_json::json!([{"type": "function", "function": {"name": "f", "arguments": "{\"b\": 1, \"a\": [2]}"}}]);
    let message = Message { tool_calls: Some(call), ..Message::text("assistant", "") };
    for (source, expected) in [
        ("{{ messages[0].tool_calls[0].function.arguments | tojson }}", r#"{"b": 1, "a": [2]}"#),
        ("{{ messages[0].tool_calls[0].function.arguments }}", r#"{"b": 1, "a": [2]}"#),
        ("{% set f = messages[0].tool_calls[0].function %}{% for k, v in f.arguments.items() %}{{ k }}{{ v }}{% endfor %}", "b1a[2]"),
        (
            "{% set a = messages[0].tool_calls[0].function.arguments %}{% if a is string %}text{% endif %}{{ a | tojson }}",
            r#"text"{\"b\": 1, \"a\": [2]}""#,
        ),
    ] {
        let template = ChatTemplate::new(source, None, None).expect("compiles");
        let text = template.render(std::slice::from_ref(&message), None, false, &Map::new()).expect("renders").text;
        assert_eq!(text, expected, "{source}");
    }
}

#[test]
fn the_clock_is_the_one_that_was_set() {
    let mut template = ChatTemplate::new("{{ strftime_now('%Y-%m-%d %B') }}", None, None).expect("compiles");
    let text = |template: &ChatTemplate| template.render(&[], None, false, &Map::new()).expect("renders").text;
    assert_eq!(text(&template), "2026-01-01 January");
    template.set_clock(jiff::civil::date(2031, 12, 5).at(10, 0, 0, 0));
    assert_eq!(text(&template), "2031-12-05 December");
}

#[test]
fn messages_keep_every_field_both_ways() {
    for text in [
        r#"{"role":"user","content":"Hi"}"#,
        r#"{"role":"assistant","content":null,"tool_calls":[{"id":"1"}],"weight":0,"reasoning_content":"x"}"#,
        r#"{"role":"tool","content":[{"type":"text","text":"x"}],"name":"f","tool_call_id":"1"}"#,
    ] {
        let message: Message = serde_json::from_str(text).expect("a message");
        assert_eq!(serde_json::to_string(&message).expect("JSON"), text);
    }
    let bare: Message = serde_json::from_str(r#"{"role":"assistant"}"#).expect("a message");
    assert_eq!(bare.content, Content::Null);
}
