//! Each known shape of rows to conversations and documents.

mod support;

use std::collections::BTreeMap;

use apertis_dataset::{Columns, Sample, samples};
use support::{folder, line_of, rows_of};

fn check(row: &str, expected: &str) {
    check_with(row, &Columns::default(), expected);
}

fn check_with(row: &str, columns: &Columns, expected: &str) {
    let folder = folder(&[("row.jsonl", row.as_bytes())]);
    let found = rows_of(&folder.path().join("row.jsonl"), columns);
    match (&found, expected.strip_prefix("error: ")) {
        (Ok(rows), None) => assert_eq!(rows.join(" || "), expected, "{row}"),
        (Err(sentence), Some(part)) => assert!(sentence.contains(part), "{row}: {sentence}"),
        _ => panic!("{row}: {found:?}, expected {expected}"),
    }
}

#[test]
fn prompts_and_answers() {
    check(r#"{"instruction":"i","input":"x","output":"o"}"#, "user: i\nx | assistant: o");
    check(r#"{"instruction":"i","input":"","output":"o"}"#, "user: i | assistant: o");
    check(r#"{"instruction":"i","context":"x","response":"o","category":"c"}"#, "user: i\nx | assistant: o");
    check(r#"{"prompt":"p","completion":"c"}"#, "user: p | assistant: c");
    check(r#"{"Question":"q","Answer":7}"#, "user: q | assistant: 7");
    check(r#"{"input":"i","output":"o"}"#, "user: i | assistant: o");
    check(r#"{"problem":"p","solution":"s","answer":"a"}"#, "user: p | assistant: s");
    check(
        r#"{"system":"s","query":"q","response":"r","history":[["a","b"]]}"#,
        "system: s | user: a | assistant: b | user: q | assistant: r",
    );
    check(r#"{"prompt":[{"role":"user","content":"q"}],"completion":[{"role":"assistant","content":"a"}]}"#, "user: q | assistant: a");
    check(r#"{"prompt":"p","completion":""}"#, "line 1: empty_answer");
    check(r#"{"prompt":"p","completion":null}"#, "line 1: missing_field");
    check(r#"{"prompt":"p","completion":{"a":1}}"#, "line 1: missing_field");
}

#[test]
fn turns() {
    check(
        r#"{"messages":[{"role":"system","content":"s"},{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}"#,
        "system: s | user: q | assistant: a",
    );
    check(r#"{"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}]}"#, "user: q | assistant: a");
    check(r#"{"conversations":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}"#, "user: q | assistant: a");
    check(
        r#"{"system":"s","conversation":[{"human":"q","assistant":"a"},{"human":"r","assistant":"b"}]}"#,
        "system: s | user: q | assistant: a | user: r | assistant: b",
    );
    check(r#"{"messages":"[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"a\"}]"}"#, "user: q | assistant: a");
    check(
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"q"},{"type":"text","text":"r"}]},{"role":"assistant","content":"a"}]}"#,
        "user: qr | assistant: a",
    );
    check(
        r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{}}]},{"role":"assistant","content":"a"}]}"#,
        "line 1: unsupported_content",
    );
    check(r#"{"messages":[{"role":"narrator","content":"q"},{"role":"assistant","content":"a"}]}"#, "line 1: unknown_role");
    check(r#"{"messages":[{"role":"assistant","content":"a"}]}"#, "line 1: wrong_role_order");
    check(r#"{"messages":[{"role":"user","content":"q"},{"role":"user","content":"a"}]}"#, "line 1: wrong_role_order");
    check(r#"{"messages":[{"role":"user","content":"q"}]}"#, "line 1: empty_answer");
    check(r#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":null}]}"#, "line 1: empty_answer");
}

#[test]
fn calls_of_tools() {
    let call = r#"[{"type":"function","function":{"name":"f","arguments":{"x":1}}}]"#;
    let expected = format!("user: q | assistant:  {call} | tool: 3 | assistant: a");
    check(
        r#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":null,"tool_calls":[{"type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]},{"role":"tool","content":"3"},{"role":"assistant","content":"a"}]}"#,
        &expected,
    );
    check(
        r#"{"conversations":[{"from":"human","value":"q"},{"from":"function_call","value":"{\"name\":\"f\",\"arguments\":{\"x\":1}}"},{"from":"observation","value":"3"},{"from":"gpt","value":"a"}],"tools":"[]"}"#,
        &expected,
    );
    check(
        r#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":[{"type":"tool_call","value":"{\"name\":\"f\",\"arguments\":{\"x\":1}}"}]},{"role":"tool","content":"3"},{"role":"assistant","content":[{"type":"reasoning","value":"hm"},{"type":"text","value":"a"}]}]}"#,
        &expected,
    );
    let folder = folder(&[(
        "tools.jsonl",
        br#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"tools":"[{\"name\":\"f\"}]"}"#,
    )]);
    let row = samples(&[folder.path().join("tools.jsonl")], &Columns::default()).expect("found").next().expect("a row").expect("read");
    let Ok(Sample::Conversation(conversation)) = row.content.map(|converted| converted.sample) else {
        panic!("expected a conversation");
    };
    assert_eq!(conversation.tools.expect("tools").to_string(), r#"[{"type":"function","function":{"name":"f"}}]"#);
}

#[test]
fn the_chosen_answer_of_a_preference() {
    check(r#"{"prompt":"p","chosen":"c","rejected":"r"}"#, "user: p | assistant: c");
    check(r#"{"instruction":"i","input":"x","output":"o","chosen":"c","rejected":"r"}"#, "user: i\nx | assistant: c");
    check(
        r#"{"conversations":[{"from":"human","value":"q"}],"chosen":{"from":"gpt","value":"c"},"rejected":{"from":"gpt","value":"r"}}"#,
        "user: q | assistant: c",
    );
    check(
        r#"{"prompt":"q","chosen":[{"role":"user","content":"q"},{"role":"assistant","content":"c"}],"rejected":[]}"#,
        "user: q | assistant: c",
    );
    check(
        r#"{"chosen":"\n\nHuman: q\n\nAssistant: a\n\nHuman: r\n\nAssistant: c","rejected":"x"}"#,
        "user: q | assistant: a | user: r | assistant: c",
    );
    check(r#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"label":true}"#, "user: q | assistant: a");
    check(r#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"label":false}"#, "line 1: rejected_answer");
    check(r#"{"prompt":"q","completion":"a","label":"False"}"#, "line 1: rejected_answer");
    check(
        r#"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"rejected_response":"r"}"#,
        "user: q | assistant: a",
    );
}

#[test]
fn text() {
    check(r#"{"text":"t","meta":{"url":"u"}}"#, "t");
    check(r#"{"sentence":"t"}"#, "t");
    check(r#""t""#, "t");
    check(r#"{"title":"a","date":"b"}"#, "error: expected messages");
}

#[test]
fn named_columns() {
    let named = |prompt: &str, response: &str| Columns {
        prompt: (!prompt.is_empty()).then(|| prompt.to_string()),
        response: (!response.is_empty()).then(|| response.to_string()),
        ..Columns::default()
    };
    let row = r#"{"frage":"q","antwort":"a","text":"t"}"#;
    check_with(row, &named("frage", "antwort"), "user: q | assistant: a");
    check_with(row, &named("frage", "answer"), "error: columns.response=answer, but the rows have frage, antwort, text");
    check_with(row, &named("frage", ""), "error: columns.response is missing");
    check_with(row, &Columns { text: Some("antwort".to_string()), ..Columns::default() }, "a");
    let with_system = Columns { system: Some("text".to_string()), ..named("frage", "antwort") };
    check_with(row, &with_system, "system: t | user: q | assistant: a");
}

/// What each public sample gives: format, usable rows, rows left out by reason; or the sentence.
const SHARED_SAMPLES: &[(&str, Result<(&str, usize, &str), &str>)] = &[
    ("axolotl/conversation.json", Ok(("ShareGPT", 1, ""))),
    ("axolotl/conversation.missingturns.json", Ok(("ShareGPT", 0, "1 empty_answer"))),
    ("axolotl/conversation.tokenized.json", Err("the rows hold tokens")),
    ("axolotl/conversation.tokenized_llama2chat.json", Err("the rows hold tokens")),
    ("bfcl/BFCL_v4_simple_python.json", Err("question is a prompt, but an answer is missing")),
    ("fastchat/dummy_conversation.json", Ok(("ShareGPT", 500, ""))),
    ("gsm8k-test-300.jsonl", Ok(("prompt and answer", 300, ""))),
    ("gsm8k-train-1000.jsonl", Ok(("prompt and answer", 1000, ""))),
    ("llama-factory/dataset_info.json", Err("expected messages, conversations")),
    ("llama-factory/dpo_en_demo.json", Ok(("preference", 299, ""))),
    ("llama-factory/glaive_toolcall_en_demo.json", Ok(("ShareGPT", 300, ""))),
    ("llama-factory/identity.json", Ok(("Alpaca", 91, ""))),
    ("llama-factory/kto_en_demo.json", Ok(("preference", 150, "150 rejected_answer"))),
    ("llama-factory/reason_tool_use_demo_50.jsonl", Ok(("OpenAI messages", 50, ""))),
    ("llama-factory/v1_dpo_demo.jsonl", Ok(("preference", 10, ""))),
    ("mlx/test.jsonl", Ok(("text rows", 100, ""))),
    ("mlx/train.jsonl", Ok(("text rows", 1000, ""))),
    ("mlx/valid.jsonl", Ok(("text rows", 100, ""))),
    ("mlx/wwdc25-train.jsonl", Ok(("prompt and answer", 1800, ""))),
    ("mlx/wwdc25-valid.jsonl", Ok(("prompt and answer", 144, ""))),
    ("ms-swift/alpaca.csv", Ok(("Alpaca", 3, ""))),
    ("ms-swift/alpaca.jsonl", Ok(("Alpaca", 3, ""))),
    ("ms-swift/alpaca2.csv", Ok(("Alpaca", 3, ""))),
    ("ms-swift/chatml.jsonl", Ok(("OpenAI messages", 3, ""))),
    ("ms-swift/conversations.jsonl", Ok(("ShareGPT", 3, ""))),
    ("ms-swift/sharegpt.jsonl", Ok(("ShareGPT", 3, ""))),
    ("ms-swift/swift_multi.json", Ok(("prompt and answer", 3, ""))),
    ("ms-swift/swift_multi.jsonl", Ok(("prompt and answer", 3, ""))),
    ("ms-swift/swift_pre.csv", Ok(("one column", 3, ""))),
    ("ms-swift/swift_pre.jsonl", Ok(("one column", 3, ""))),
    ("ms-swift/swift_single.csv", Ok(("prompt and answer", 3, ""))),
    ("ms-swift/swift_single.jsonl", Ok(("prompt and answer", 3, ""))),
    ("parquet/train-00000-of-00001.parquet", Ok(("prompt and answer", 48, ""))),
    ("parquet/train-00001-of-00002.parquet", Ok(("prompt and answer", 28, ""))),
    ("parquet/train-00002-of-00003.parquet", Ok(("prompt and answer", 63, ""))),
    ("parquet/train.parquet", Ok(("OpenAI messages", 3950, ""))),
    ("parquet/validation.jsonl", Ok(("OpenAI messages", 525, ""))),
    ("parquet/validation.parquet", Ok(("OpenAI messages", 525, ""))),
    ("rasbt/instruction-data-with-preference.json", Ok(("preference", 1100, ""))),
    ("rasbt/instruction-data.json", Ok(("Alpaca", 1100, ""))),
];

#[test]
fn every_shared_sample_loads_or_says_what_is_missing() {
    let Some(shared) = apertis_testkit::shared_testdata() else {
        return;
    };
    let mut wrong = Vec::new();
    for (name, expected) in SHARED_SAMPLES {
        let rows = samples(&[shared.join("chat").join(name)], &Columns::default()).expect("the file is there");
        let mut usable = 0;
        let mut format = "";
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        let mut sentence = None;
        for row in rows {
            match row {
                Err(error) => sentence = Some(error.to_string()),
                Ok(row) => {
                    format = row.format.words();
                    match row.content {
                        Ok(converted) => {
                            assert!(!line_of(&converted).is_empty());
                            usable += 1;
                        }
                        Err(problem) => *reasons.entry(problem.kind.code()).or_default() += 1,
                    }
                }
            }
        }
        let reasons: Vec<String> = reasons.iter().map(|(code, count)| format!("{count} {code}")).collect();
        let is_right = match (expected, &sentence) {
            (Ok((words, rows, left_out)), None) => format.starts_with(words) && usable == *rows && reasons.join(", ") == *left_out,
            (Err(part), Some(sentence)) => sentence.contains(part),
            _ => false,
        };
        if !is_right {
            wrong.push(format!("{name}: {format}, {usable} rows, {reasons:?}, {sentence:?}; expected {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
