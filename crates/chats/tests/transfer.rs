//! Conversations out and in again, with texts made to break it.

mod support;

use apertis_chats::transfer::{export_markdown, export_openai, import_markdown, import_openai};
use apertis_chats::{AnswerSettings, ChatStore, ConversationId, Draft, NextAnswer, Role, Turn};
use serde_json::json;
use support::{exchange, model, open};

fn with_system(system: &str) -> NextAnswer {
    NextAnswer { model: Some(model("starter")), settings: AnswerSettings { system: system.to_owned(), ..AnswerSettings::default() } }
}

#[test]
fn a_path_as_openai_messages() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path());
    let id = store.create(with_system("Be kind.")).unwrap();
    let (_, answer) = exchange(&store, &id, None, "My invoice is wrong", "I'm sorry.");
    let not_chosen = store.say(&id, Some(answer), Draft::text("aside")).unwrap();
    store.edit(&id, not_chosen, Draft::text("Which one?")).unwrap();
    let conversation = store.get(&id).unwrap();
    let expected = json!({
        "title": "My invoice is wrong",
        "created": "2026-01-01T00:00:00.000Z",
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "My invoice is wrong"},
            {"role": "assistant", "content": "I'm sorry."},
            {"role": "user", "content": "Which one?"},
        ],
    });
    assert_eq!(export_openai(&conversation, Some(conversation.path()[2].id)), expected);
    assert_eq!(export_openai(&conversation, Some(answer))["messages"].as_array().unwrap().len(), 3);
    let copy = store.import(import_openai(&expected.to_string()).unwrap()).unwrap();
    let mut again = export_openai(&store.get(&copy).unwrap(), None);
    again["created"] = expected["created"].clone();
    assert_eq!(again, expected);
}

/// System text, turns, and how much was left out.
type Read<'a> = (&'a str, &'a [(Role, &'a str)], usize);

#[test]
fn what_other_programs_write_is_read() {
    let check = |text: &str, expected: Option<Read>| {
        let found = import_openai(text).ok();
        let turns: Vec<(Role, &str)> =
            found.iter().flat_map(|found| found.turns.iter().map(|turn| (turn.role, turn.text.as_str()))).collect();
        let found = found.as_ref().map(|found| (found.system.as_str(), turns.as_slice(), found.skipped.len()));
        assert_eq!(found, expected, "{text}");
    };
    check(r#"[{"role":"user","content":"a"}]"#, Some(("", &[(Role::User, "a")], 0)));
    check("\u{feff}[{\"role\":\"developer\",\"content\":\"s\"}]", Some(("s", &[], 0)));
    check(
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url"},{"type":"text","text":"b"}]}]}"#,
        Some(("", &[(Role::User, "a\nb")], 1)),
    );
    check(
        r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":null,"tool_calls":[{}]},{"role":"tool","content":"t"}]}"#,
        Some(("", &[(Role::User, "a"), (Role::Tool, "t")], 2)),
    );
    for text in ["", "{}", "[]", "null", r#"{"messages":{}}"#, r#"[{"content":"a"}]"#, r#"[{"role":"king","content":"a"}]"#, "[1]"] {
        check(text, None);
    }
}

#[test]
fn a_path_as_markdown() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path());
    let id = store.create(with_system("Be kind.")).unwrap();
    exchange(&store, &id, None, "My invoice is wrong", "I'm sorry.\n\n- one\n- two");
    let expected = "# My invoice is wrong\n\nMade 2026-01-01T00:00:00.000Z\n\n\
        <!-- apertis:system -->\n## System\n\nBe kind.\n\n\
        <!-- apertis:user -->\n## You\n\nMy invoice is wrong\n\n\
        <!-- apertis:assistant -->\n## starter, step 600\n\nI'm sorry.\n\n- one\n- two\n\n";
    assert_eq!(export_markdown(&store.get(&id).unwrap(), None), expected);
    assert!(import_markdown("# Notes\n\nno conversation").is_err());
    assert!(import_markdown("<!-- apertis:king -->\nx").is_err());
    let by_hand = import_markdown("<!-- apertis:user -->\nhello\n<!-- apertis:assistant -->\n\nhi\n").unwrap();
    assert_eq!(by_hand.turns, [Turn::new(Role::User, "hello"), Turn::new(Role::Assistant, "\nhi")]);
}

#[test]
fn any_text_comes_back_as_it_was() {
    let mut texts: Vec<String> = [
        "<!-- apertis:user -->",
        "\\<!-- apertis:assistant -->\n\\\\<!-- apertis:x",
        "## You\n\ntext",
        "a\r\nb\r",
        "\n\nlines around\n\n",
        "```\nopen fence",
        "# title\n<!-- apertis:user -->\n## You\n\nnested",
        "<script>alert(1)</script>",
        "\u{feff}mark \u{202e}back\u{2028}line",
        "=1+1",
    ]
    .map(str::to_owned)
    .to_vec();
    if let Some(folder) = apertis_testkit::shared_testdata() {
        let naughty = std::fs::read_to_string(folder.join("conformance/blns/blns.json")).unwrap_or_default();
        let naughty: Vec<String> = serde_json::from_str(&naughty).unwrap_or_default();
        texts.extend(naughty.into_iter().filter(|text| !text.trim().is_empty()));
    }
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path());
    for chunk in texts.chunks(120) {
        let turns: Vec<Turn> = chunk.iter().map(|text| Turn::new(Role::User, text.as_str())).collect();
        let check = |store: &ChatStore, id: &ConversationId, how: &str| {
            let conversation = store.get(id).unwrap();
            assert_eq!(conversation.turns(None, ""), turns, "{how}");
            conversation
        };
        let list = json!({"messages": turns});
        let id = store.import(import_openai(&list.to_string()).unwrap()).unwrap();
        let conversation = check(&store, &id, "json");
        let markdown = export_markdown(&conversation, None);
        let id = store.import(import_markdown(&markdown).unwrap()).unwrap();
        let conversation = check(&store, &id, "markdown");
        let id = store.import(import_openai(&export_openai(&conversation, None).to_string()).unwrap()).unwrap();
        check(&store, &id, "json again");
    }
}
