//! Everything that was read of a tokenizer: the files as they were and the settings
//! in them.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::files::{SETTINGS_FILES, TEMPLATE_FOLDER};
use crate::special::Settings;

/// A file as it was read.
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// Everything that decides ids, special tokens and templates.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// The files that were read, to be written back byte for byte.
    pub(crate) files: Vec<SourceFile>,
    /// True where there was no `tokenizer.json` and another kind of file was read.
    pub(crate) is_made: bool,
    /// The name to show in errors about the pipeline.
    pub(crate) origin: String,
    /// The named tokens and flags.
    pub(crate) settings: Settings,
    /// Chat templates by name, the default first.
    pub(crate) templates: Vec<(String, String)>,
}

impl Source {
    /// The file of that name, where it was read.
    pub(crate) fn file(&self, name: &str) -> Option<&[u8]> {
        self.files.iter().find(|file| file.name == name).map(|file| file.bytes.as_slice())
    }

    /// The content of `tokenizer_config.json`: as read, or made from the settings so
    /// that other programs load the pipeline as it is.
    pub(crate) fn config(&self) -> Cow<'_, [u8]> {
        if let Some(bytes) = self.file("tokenizer_config.json") {
            return Cow::Borrowed(bytes);
        }
        let mut config = Map::new();
        for (name, value) in self.settings.tokenizer.iter().chain(&self.settings.special) {
            config.entry(name.clone()).or_insert_with(|| value.clone());
        }
        config.entry("tokenizer_class").or_insert_with(|| Value::from("PreTrainedTokenizerFast"));
        config.entry("clean_up_tokenization_spaces").or_insert_with(|| Value::from(false));
        let mut text = serde_json::to_vec_pretty(&Value::Object(config)).expect("a map of JSON values is always written");
        text.push(b'\n');
        Cow::Owned(text)
    }

    /// A hash over all that decides ids and templates, as hexadecimal digits.
    pub(crate) fn content_hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut part = |name: &str, bytes: &[u8]| {
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name.as_bytes());
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        let is_vocabulary = |name: &str| !SETTINGS_FILES.contains(&name) && !name.starts_with(TEMPLATE_FOLDER);
        for file in self.files.iter().filter(|file| is_vocabulary(&file.name)) {
            part(&file.name, &file.bytes);
        }
        let settings = &self.settings;
        for (name, map) in [
            ("tokenizer_config.json", &settings.tokenizer),
            ("special_tokens_map.json", &settings.special),
            ("added_tokens.json", &settings.added),
        ] {
            part(name, Value::Object(map.clone()).to_string().as_bytes());
        }
        for (name, text) in &self.templates {
            part(name, text.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }
}
