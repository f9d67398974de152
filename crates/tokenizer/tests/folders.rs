//! Reading folders of every kind, writing them back, learned vocabularies, and files
//! that must be refused with one sentence.

use std::fs::{create_dir_all, read, read_to_string, write};
use std::path::{Path, PathBuf};

use apertis_testkit::fixtures;
use apertis_tokenizer::{Message, Tokenizer, TokenizerError, learn};
use serde_json::{Map, Value, json};

fn fixture(name: &str) -> PathBuf {
    fixtures().join("tokenizer").join(name)
}

/// A folder with the given files.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, bytes) in files {
        let path = folder.path().join(name);
        create_dir_all(path.parent().expect("a parent")).expect("a folder");
        write(path, bytes).expect("writes");
    }
    folder
}

/// A small complete `tokenizer.json` whose parts a test may change.
fn pipeline() -> Value {
    let learned = learn::characters("abc hello").expect("learns");
    let saved = tempfile::tempdir().expect("a temporary folder");
    learned.save(saved.path()).expect("saves");
    let text = read_to_string(saved.path().join("tokenizer.json")).expect("reads");
    serde_json::from_str(&text).expect("JSON")
}

const TEXT: &str = "Hello there,\n the baker's ship 42 🦙 é\u{301} <s>x</s>";

#[test]
fn a_saved_folder_reads_back_the_same_from_every_kind() {
    for name in ["byte_level", "sentencepiece_bpe", "sentencepiece_unigram", "llama2c"] {
        let first = Tokenizer::from_folder(&fixture(name)).expect("reads");
        let saved = tempfile::tempdir().expect("a temporary folder");
        let to = saved.path().join("deeper/folder");
        first.save(&to).expect("saves");
        assert!(to.join("tokenizer.json").is_file() && to.join("tokenizer_config.json").is_file(), "{name}");
        let second = Tokenizer::from_folder(&to).expect("reads back");
        for special in [false, true] {
            assert_eq!(first.encode(TEXT, special).expect("encodes"), second.encode(TEXT, special).expect("encodes"), "{name}");
        }
        assert_eq!(first.bos_id(), second.bos_id(), "{name}");
        assert_eq!(first.eos_ids(), second.eos_ids(), "{name}");
        assert_eq!(first.adds_bos(), second.adds_bos(), "{name}");
        assert_eq!(first.vocab_size(), second.vocab_size(), "{name}");
        for entry in std::fs::read_dir(fixture(name)).expect("lists") {
            let original = entry.expect("an entry").path();
            let copy = to.join(original.file_name().expect("a name"));
            assert_eq!(read(&original).expect("reads"), read(&copy).expect("was saved"), "{name}: byte for byte");
        }
        let third = tempfile::tempdir().expect("a temporary folder");
        second.save(third.path()).expect("saves");
        let again = Tokenizer::from_folder(third.path()).expect("reads back");
        assert_eq!(second.content_hash(), again.content_hash(), "{name}");
    }
}

#[test]
fn the_hash_changes_with_what_decides_ids_and_template() {
    let hash = |files: &[(&str, &[u8])]| Tokenizer::from_folder(folder(files).path()).expect("reads").content_hash();
    let json = pipeline().to_string();
    let base = hash(&[("tokenizer.json", json.as_bytes())]);
    assert_eq!(base, hash(&[("tokenizer.json", json.as_bytes()), ("README.md", b"x")]));
    assert_ne!(base, hash(&[("tokenizer.json", json.replace("\"a\"", "\"z\"").as_bytes())]));
    assert_ne!(base, hash(&[("tokenizer.json", json.as_bytes()), ("chat_template.jinja", b"x")]));
    assert_eq!(base.len(), 64);
}

#[test]
fn settings_are_read_from_wherever_they_stand() {
    let json = pipeline().to_string();
    let config = json!({
        "bos_token": {"content": "<b>", "lstrip": false}, "pad_token": "<p>", "add_bos_token": true,
        "added_tokens_decoder": {
            "8": {"content": "<b>", "special": true}, "9": {"content": "<e>", "special": true}, "10": {"content": "<p>", "special": true}
        },
    });
    let settings = folder(&[
        ("tokenizer.json", json.as_bytes()),
        ("tokenizer_config.json", config.to_string().as_bytes()),
        ("special_tokens_map.json", br#"{"eos_token": "<e>", "unk_token": null}"#),
        ("generation_config.json", br#"{"eos_token_id": [9, 3]}"#),
        ("added_tokens.json", br#"{"<more>": 11}"#),
    ]);
    let tokenizer = Tokenizer::from_folder(settings.path()).expect("reads");
    assert_eq!(tokenizer.bos_id(), Some(8));
    assert_eq!(tokenizer.eos_ids(), [9, 3]);
    assert_eq!(tokenizer.pad_id(), Some(10));
    assert_eq!(tokenizer.unk_id(), None);
    assert_eq!((tokenizer.vocab_size(), tokenizer.largest_id()), (12, 11));
    assert!(!tokenizer.adds_bos(), "a tokenizer.json has its own rule for what begins a text");
    assert!(tokenizer.is_special(8) && !tokenizer.is_special(11) && !tokenizer.is_special(0));
    let ids = tokenizer.encode("<b>a<more><e>", true).expect("encodes");
    assert_eq!((ids[0], &ids[2..]), (8, [11, 9].as_slice()));
    assert_eq!(tokenizer.decode(&ids, true).expect("decodes"), "a<more>");
}

#[test]
fn flags_say_what_begins_and_ends_a_text_of_older_files() {
    let check = |flags: &str, prefix: &[u32], suffix: &[u32]| {
        for (name, bos, eos) in [("sentencepiece_bpe", 1, 2), ("byte_level", 0, 0)] {
            let copied = tempfile::tempdir().expect("a temporary folder");
            for entry in std::fs::read_dir(fixture(name)).expect("lists") {
                let path = entry.expect("an entry").path();
                std::fs::copy(&path, copied.path().join(path.file_name().expect("a name"))).expect("copies");
            }
            write(copied.path().join("tokenizer_config.json"), flags).expect("writes");
            let tokenizer = Tokenizer::from_folder(copied.path()).expect("reads");
            let plain = tokenizer.encode("Hi", false).expect("encodes");
            let ends = |marks: &[u32]| marks.iter().map(|mark| if *mark == 1 { bos } else { eos }).collect::<Vec<u32>>();
            let expected = [ends(prefix), plain, ends(suffix)].concat();
            assert_eq!(tokenizer.encode("Hi", true).expect("encodes"), expected, "{name} {flags}");
            assert_eq!(tokenizer.adds_bos(), !prefix.is_empty(), "{name} {flags}");
            let saved = tempfile::tempdir().expect("a temporary folder");
            tokenizer.save(saved.path()).expect("saves");
            let again = Tokenizer::from_folder(saved.path()).expect("reads back");
            assert_eq!(again.encode("Hi", true).expect("encodes"), expected, "{name} {flags} saved");
        }
    };
    check(r#"{"add_bos_token": true, "add_eos_token": true}"#, &[1], &[2]);
    check(r#"{"add_bos_token": true}"#, &[1], &[]);
    check(r#"{"add_bos_token": false, "add_eos_token": false}"#, &[], &[]);
    check(r#"{"add_bos_token": false, "add_eos_token": true}"#, &[], &[2]);
}

#[test]
fn chat_templates_are_found_in_each_of_their_places() {
    let json = pipeline().to_string();
    let check = |files: &[(&str, &[u8])], expected: Option<&str>, named: Option<&str>| {
        let mut all = vec![("tokenizer.json", json.as_bytes())];
        all.extend(files);
        let tokenizer = Tokenizer::from_folder(folder(&all).path()).expect("reads");
        assert_eq!(tokenizer.chat_template().map(|template| template.source()), expected);
        assert_eq!(tokenizer.chat_template_named("tool_use").map(|template| template.source()), named);
    };
    check(&[], None, None);
    check(&[("tokenizer_config.json", br#"{"chat_template": "one"}"#)], Some("one"), None);
    let list = br#"{"chat_template": [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "plain"}]}"#;
    check(&[("tokenizer_config.json", list)], Some("plain"), Some("tools"));
    check(&[("chat_template.json", br#"{"chat_template": "two"}"#)], Some("two"), None);
    check(&[("tokenizer_config.json", br#"{"chat_template": "one"}"#), ("chat_template.jinja", b"three")], Some("three"), None);
    check(&[("chat_template.jinja", b"three"), ("additional_chat_templates/tool_use.jinja", b"tools")], Some("three"), Some("tools"));
}

#[test]
fn the_template_gets_the_special_tokens() {
    let config = json!({
        "chat_template": "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ pad_token }}",
        "bos_token": "a", "eos_token": {"content": "b"},
    });
    let tokenizer = Tokenizer::from_json(&pipeline().to_string(), Some(&config.to_string())).expect("reads");
    let template = tokenizer.chat_template().expect("a template");
    let rendered = template.render(&[Message::text("user", "hello")], None, false, &Map::new()).expect("renders");
    assert_eq!(rendered.text, "ahellob");
}

#[test]
fn learned_vocabularies_are_deterministic_and_complete() {
    let lines: Vec<String> =
        (0..400).map(|index| format!("the ship number {} sails to the harbour of the {}th island\n", index, index % 13)).collect();
    let learn = || learn::byte_level_bpe(lines.iter(), 400, &learn::SpecialTokens::default()).expect("learns");
    let tokenizer = learn();
    assert_eq!(tokenizer.content_hash(), learn().content_hash());
    assert_eq!((tokenizer.vocab_size(), tokenizer.largest_id()), (400, 399));
    assert_eq!((tokenizer.eos_ids(), tokenizer.pad_id(), tokenizer.bos_id()), ([0].as_slice(), Some(0), None));
    assert_eq!(tokenizer.encode("<|im_start|>x<|im_end|>", false).expect("encodes").first(), Some(&1));
    assert_eq!(tokenizer.stop_ids(), [0, 2], "the end of a text, and the end of a turn of ChatML");
    assert_eq!(tokenizer.chat_template().map(|template| template.source()), Some(apertis_tokenizer::ChatTemplate::chatml().source()));
    for text in [TEXT, "the ship sails", "日本語 \u{0} \r\n"] {
        let ids = tokenizer.encode(text, true).expect("encodes");
        assert_eq!(tokenizer.decode(&ids, false).expect("decodes"), text);
    }
    assert!(tokenizer.encode("the harbour of the", false).expect("encodes").len() <= 6, "common words were joined");
    let small = learn::byte_level_bpe(["ab"].iter(), 5_000, &learn::SpecialTokens::default()).expect("learns");
    assert!(small.vocab_size() < 270, "a small text gives fewer tokens");

    let special = learn::SpecialTokens { eos: "</s>".to_owned(), bos: Some("<s>".to_owned()), more: Vec::new() };
    let begun = learn::byte_level_bpe(lines.iter(), 300, &special).expect("learns");
    assert_eq!((begun.bos_id(), begun.eos_ids(), begun.adds_bos()), (Some(1), [0].as_slice(), true));
    assert!(begun.chat_template().is_none());

    let refused = |texts: &[&str], size: usize| {
        learn::byte_level_bpe(texts.iter(), size, &learn::SpecialTokens::default()).expect_err("refused").to_string()
    };
    assert_eq!(refused(&["x"], 100), "learn vocabulary: found vocab_size 100, expected at least 259: 3 special tokens and 256 bytes");
    assert_eq!(refused(&[], 300), "learn vocabulary: found no text");
}

#[test]
fn characters_get_ids_in_the_order_of_their_code_points() {
    let tokenizer = learn::characters("hello wörld\n").expect("learns");
    assert_eq!(tokenizer.vocab_size(), 10);
    assert_eq!(tokenizer.encode("\n dehlorwö", true).expect("encodes").first(), Some(&0));
    let tokenizer = learn::characters("cab").expect("learns");
    assert_eq!(tokenizer.encode("abcab", true).expect("encodes"), [0, 1, 2, 0, 1]);
    assert_eq!(tokenizer.decode(&[2, 0, 1], true).expect("decodes"), "cab");
    let lost = tokenizer.encode("abxc", false).expect_err("x is unknown").to_string();
    assert_eq!(lost, "encode: found 'x' at byte 2, which the vocabulary lacks");
    assert!(tokenizer.encode("abcx", false).is_err() && tokenizer.encode_batch_with_offsets(&["x"], false).is_err());
    assert!(matches!(learn::characters(""), Err(TokenizerError::Learn(_))));
}

/// Reads a folder of one file and returns the sentence of the refusal.
fn refusal(name: &str, bytes: &[u8]) -> String {
    let folder = folder(&[(name, bytes)]);
    Tokenizer::from_folder(folder.path()).expect_err("refused").to_string()
}

#[test]
fn malformed_files_are_refused_with_a_sentence() {
    let check = |name: &str, bytes: &[u8], part: &str| {
        let sentence = refusal(name, bytes);
        assert!(sentence.contains(part) && !sentence.contains('\n'), "{name}: {sentence}");
    };
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut value = pipeline();
        change(&mut value);
        value.to_string().into_bytes()
    };
    check("tokenizer.json", b"", "read tokenizer.json: not a tokenizer.json");
    check("tokenizer.json", b"{\"model\": {\"type\": \"BPE\"", "read tokenizer.json: not a tokenizer.json");
    check("tokenizer.json", b"\xff\xfe", "read tokenizer.json: not a tokenizer.json");
    check("tokenizer.json", b"{}", "missing field `model`");
    check("tokenizer.json", b"[]", "not a tokenizer.json");
    check("tokenizer.json", br#"{"model": {"type": "Guess", "vocab": {}}}"#, "read tokenizer.json: ");
    let merges = changed(&|value| value["model"]["merges"] = json!([["h", "e"]]));
    check("tokenizer.json", &merges, "merge 0 needs the token \"he\", which is not in the vocabulary");
    let merges = changed(&|value| value["model"]["merges"] = json!(["he"]));
    check("tokenizer.json", &merges, "merge 0 is \"he\", expected two tokens");
    let token = |id: u32, content: &str| json!([{"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}]);
    let hole = changed(&|value| value["added_tokens"] = token(40, "<e>"));
    check("tokenizer.json", &hole, "the added token \"<e>\" declares id 40 but its place in the vocabulary gives id 8");
    let twice = changed(&|value| {
        value["model"]["vocab"]["z"] = json!(9);
        value["added_tokens"] = token(9, "<e>");
    });
    check("tokenizer.json", &twice, "id 9 stands for both \"z\" and \"<e>\"");
    check("vocab.json", b"{}", "holds none, expected tokenizer.json");

    let model = read(fixture("sentencepiece_bpe/tokenizer.model")).expect("reads");
    check("tokenizer.model", &model[..model.len() / 2], "read tokenizer.model: not a SentencePiece model");
    check("tokenizer.model", b"", "found no pieces");
    check("tokenizer.model", b"tet 0\n", "it looks like a tiktoken vocabulary");
    let vocabulary = read(fixture("llama2c/tok.bin")).expect("reads");
    check("tok.bin", &vocabulary[..vocabulary.len() - 1], "it ends inside piece");
    check("tok.bin", b"\x07\0\0", "read tok.bin: not a llama2.c vocabulary, the file is empty");

    let two = folder(&[("tok1.bin", b"x"), ("tok2.bin", b"x")]);
    let sentence = Tokenizer::from_folder(two.path()).expect_err("refused").to_string();
    assert!(sentence.contains("tok1.bin and tok2.bin"), "{sentence}");
    let nowhere = Tokenizer::from_file(Path::new("/nowhere/tokenizer.json")).expect_err("refused");
    assert!(matches!(nowhere, TokenizerError::Read { .. }));
}

#[test]
fn malformed_settings_are_refused_with_a_sentence() {
    let json = pipeline().to_string();
    let check = |name: &str, bytes: &[u8], part: &str| {
        let folder = folder(&[("tokenizer.json", json.as_bytes()), (name, bytes)]);
        let sentence = Tokenizer::from_folder(folder.path()).expect_err("refused").to_string();
        assert!(sentence.contains(part), "{name}: {sentence}");
    };
    check("tokenizer_config.json", b"{", "read tokenizer_config.json: not JSON");
    check("tokenizer_config.json", b"[]", "expected an object");
    check("tokenizer_config.json", br#"{"chat_template": "{% if %}"}"#, "chat template line 1");
    check("tokenizer_config.json", br#"{"chat_template": [{"name": "x"}]}"#, "without name and template");
    check("tokenizer_config.json", br#"{"added_tokens_decoder": {"x": {"content": "y"}}}"#, "expected an id");
    check(
        "tokenizer_config.json",
        br#"{"added_tokens_decoder": {"70": {"content": "<y>"}}}"#,
        "declares id 70 but the vocabulary gives it 8",
    );
    check("added_tokens.json", br#"{"<y>": -1}"#, "expected an id");
    check("chat_template.json", b"{}", "found no text under chat_template");
    check("chat_template.jinja", b"\xff", "not UTF-8 text");
}

#[test]
fn damaged_bytes_never_panic() {
    let mut state = 42_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    for (name, kept) in [
        ("sentencepiece_bpe/tokenizer.model", "tokenizer.model"),
        ("sentencepiece_unigram/tokenizer.model", "tokenizer.model"),
        ("llama2c/tok.bin", "tok.bin"),
    ] {
        let whole = read(fixture(name)).expect("reads");
        let mut loaded = 0;
        for round in 0..150 {
            let mut bytes = whole.clone();
            for _ in 0..=round % 4 {
                let at = random() % bytes.len();
                bytes[at] = random() as u8;
            }
            let folder = folder(&[(kept, &bytes)]);
            if let Ok(tokenizer) = Tokenizer::from_folder(folder.path()) {
                loaded += 1;
                let ids = tokenizer.encode(TEXT, true).expect("encodes");
                tokenizer.decode(&ids, false).expect("decodes");
            }
        }
        assert!(loaded < 150, "{name}: some damage was noticed");
    }
}
