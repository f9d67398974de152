//! Finding and reading the tokenizer files of a folder, of whichever kind they are.

use std::io::ErrorKind;
use std::path::Path;

use serde_json::{Map, Value};

use crate::error::TokenizerError;
use crate::pipeline::Made;
use crate::source::{Source, SourceFile};
use crate::special::Settings;
use crate::{bpe_files, llama2c, sentencepiece};

/// Files beside the vocabulary that say how it is used.
pub(crate) const SETTINGS_FILES: [&str; 6] = [
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
    "chat_template.jinja",
    "chat_template.json",
];
/// The folder of further chat templates, one a file.
pub(crate) const TEMPLATE_FOLDER: &str = "additional_chat_templates";

/// What was read, and the tokenizer that was made where there is no `tokenizer.json`.
type Reading = (Source, Option<Made>);

/// Reads the tokenizer of a folder.
pub(crate) fn read_folder(dir: &Path) -> Result<Reading, TokenizerError> {
    let (mut files, settings) = read_settings(dir)?;
    if let Some(bytes) = read_if_there(dir, "tokenizer.json")? {
        push(&mut files, "tokenizer.json", bytes);
        return finish(dir, files, settings, None, "tokenizer.json".to_owned());
    }
    for (vocab, merges) in [("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")] {
        if let (Some(vocab_bytes), Some(merges_bytes)) = (read_if_there(dir, vocab)?, read_if_there(dir, merges)?) {
            let mut settings = settings;
            let spec = bpe_files::describe(vocab, &vocab_bytes, merges, &merges_bytes, &mut settings)?;
            push(&mut files, vocab, vocab_bytes);
            push(&mut files, merges, merges_bytes);
            return finish(dir, files, settings, Some(Made::Bpe(Box::new(spec))), vocab.to_owned());
        }
    }
    for name in ["tokenizer.model", "tokenizer.bin"] {
        if let Some(bytes) = read_if_there(dir, name)? {
            return from_pieces(dir, name, bytes, files, settings);
        }
    }
    for ending in [".model", ".bin"] {
        let found = names_of_kind(dir, ending)?;
        match found.as_slice() {
            [] => {}
            [name] => {
                let bytes = read(dir, name)?;
                return from_pieces(dir, name, bytes, files, settings);
            }
            _ => {
                return Err(TokenizerError::Ambiguous { dir: dir.to_owned(), found });
            }
        }
    }
    Err(TokenizerError::Missing { dir: dir.to_owned() })
}

/// Reads one tokenizer file with the settings beside it.
pub(crate) fn read_file(path: &Path) -> Result<Reading, TokenizerError> {
    let dir = path.parent().unwrap_or(Path::new(""));
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (mut files, settings) = read_settings(dir)?;
    let bytes = read(dir, &name)?;
    if name.ends_with(".json") {
        push(&mut files, "tokenizer.json", bytes);
        return finish(dir, files, settings, None, name);
    }
    from_pieces(dir, &name, bytes, files, settings)
}

/// Takes the content of the two main files.
pub(crate) fn from_json(tokenizer_json: &str, tokenizer_config_json: Option<&str>) -> Result<Reading, TokenizerError> {
    let mut files = Vec::new();
    let mut settings = Settings::default();
    if let Some(text) = tokenizer_config_json {
        settings.tokenizer = parse_map("tokenizer_config.json", text.as_bytes())?;
        push(&mut files, "tokenizer_config.json", text.as_bytes().to_vec());
    }
    push(&mut files, "tokenizer.json", tokenizer_json.as_bytes().to_vec());
    finish(Path::new(""), files, settings, None, "tokenizer.json".to_owned())
}

/// A SentencePiece or llama2.c file, told apart by content.
fn from_pieces(
    dir: &Path,
    name: &str,
    bytes: Vec<u8>,
    mut files: Vec<SourceFile>,
    mut settings: Settings,
) -> Result<Reading, TokenizerError> {
    let model = if name.ends_with(".bin") { llama2c::parse(name, &bytes)? } else { sentencepiece::parse(name, &bytes)? };
    let made = sentencepiece::describe(name, &model, &mut settings)?;
    let kept = if name.ends_with(".bin") { name } else { "tokenizer.model" };
    push(&mut files, kept, bytes);
    finish(dir, files, settings, Some(made), name.to_owned())
}

fn finish(dir: &Path, files: Vec<SourceFile>, settings: Settings, made: Option<Made>, origin: String) -> Result<Reading, TokenizerError> {
    let is_made = made.is_some();
    let mut source = Source { files, is_made, origin, settings, templates: Vec::new() };
    source.templates = read_templates(dir, &mut source)?;
    Ok((source, made))
}

/// Chat templates, later places winning: `tokenizer_config.json` (one, or a list of
/// named ones), `chat_template.json`, `chat_template.jinja`; then the named files.
fn read_templates(dir: &Path, source: &mut Source) -> Result<Vec<(String, String)>, TokenizerError> {
    let mut templates: Vec<(String, String)> = Vec::new();
    let mut set = |name: &str, text: &str| {
        templates.retain(|(known, _)| known != name);
        templates.push((name.to_owned(), text.to_owned()));
    };
    match source.settings.tokenizer.get("chat_template") {
        Some(Value::String(text)) => set("default", text),
        Some(Value::Array(list)) => {
            for entry in list {
                let field = |name: &str| entry.get(name).and_then(Value::as_str);
                let (Some(name), Some(text)) = (field("name"), field("template")) else {
                    return Err(TokenizerError::malformed(
                        "tokenizer_config.json",
                        "chat_template lists an entry without name and template",
                    ));
                };
                set(name, text);
            }
        }
        _ => {}
    }
    if let Some(bytes) = source.file("chat_template.json") {
        let map = parse_map("chat_template.json", bytes)?;
        match map.get("chat_template").and_then(Value::as_str) {
            Some(text) => set("default", text),
            None => {
                return Err(TokenizerError::malformed("chat_template.json", "found no text under chat_template"));
            }
        }
    }
    if let Some(bytes) = source.file("chat_template.jinja") {
        set("default", parse_text("chat_template.jinja", bytes)?);
    }
    let folder = dir.join(TEMPLATE_FOLDER);
    if !dir.as_os_str().is_empty() && folder.is_dir() {
        for file in names_in(&folder)? {
            if let Some(name) = file.strip_suffix(".jinja") {
                let bytes = read(&folder, &file)?;
                set(name, parse_text(&file, &bytes)?);
                push(&mut source.files, &format!("{TEMPLATE_FOLDER}/{file}"), bytes);
            }
        }
    }
    templates.sort_by_key(|(name, _)| name != "default");
    Ok(templates)
}

fn read_settings(dir: &Path) -> Result<(Vec<SourceFile>, Settings), TokenizerError> {
    let mut files = Vec::new();
    let mut settings = Settings::default();
    for name in SETTINGS_FILES {
        let Some(bytes) = read_if_there(dir, name)? else {
            continue;
        };
        match name {
            "tokenizer_config.json" => settings.tokenizer = parse_map(name, &bytes)?,
            "special_tokens_map.json" => settings.special = parse_map(name, &bytes)?,
            "added_tokens.json" => settings.added = parse_map(name, &bytes)?,
            "generation_config.json" => settings.generation = Some(parse_map(name, &bytes)?),
            _ => {}
        }
        push(&mut files, name, bytes);
    }
    if let Some(bytes) = read_if_there(dir, "config.json")? {
        // The model's own reader reports a malformed config.
        settings.model = parse_map("config.json", &bytes).unwrap_or_default();
    }
    Ok((files, settings))
}

/// Names such as `tok512.model` of the given ending.
fn names_of_kind(dir: &Path, ending: &str) -> Result<Vec<String>, TokenizerError> {
    let mut names = names_in(dir)?;
    names.retain(|name| name.starts_with("tok") && name.ends_with(ending));
    Ok(names)
}

fn names_in(dir: &Path) -> Result<Vec<String>, TokenizerError> {
    let failed = |source| TokenizerError::Read { path: dir.to_owned(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn read(dir: &Path, name: &str) -> Result<Vec<u8>, TokenizerError> {
    let path = dir.join(name);
    std::fs::read(&path).map_err(|source| TokenizerError::Read { path, source })
}

fn read_if_there(dir: &Path, name: &str) -> Result<Option<Vec<u8>>, TokenizerError> {
    let path = dir.join(name);
    match std::fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TokenizerError::Read { path, source }),
    }
}

fn push(files: &mut Vec<SourceFile>, name: &str, bytes: Vec<u8>) {
    files.push(SourceFile { name: name.to_owned(), bytes });
}

fn parse_map(name: &str, bytes: &[u8]) -> Result<Map<String, Value>, TokenizerError> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(TokenizerError::malformed(name, "found another JSON value, expected an object")),
        Err(error) => Err(TokenizerError::malformed(name, format!("not JSON, {error}"))),
    }
}

fn parse_text<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str, TokenizerError> {
    std::str::from_utf8(bytes).map_err(|error| TokenizerError::malformed(name, format!("not UTF-8 text, {error}")))
}
