//! Writing a tokenizer's files into a model folder.

use std::path::Path;

use crate::error::TokenizerError;
use crate::source::Source;

/// Writes the files that were read as they were, `pipeline` as `tokenizer.json` where
/// none was read, and `tokenizer_config.json` in any case.
pub(crate) fn save(source: &Source, pipeline: Option<&[u8]>, dir: &Path) -> Result<(), TokenizerError> {
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        path.parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::write(&path, bytes))
            .map_err(|source| TokenizerError::Write { path, source })
    };
    for file in &source.files {
        write(&file.name, &file.bytes)?;
    }
    if let Some(pipeline) = pipeline {
        write("tokenizer.json", pipeline)?;
    }
    if source.file("tokenizer_config.json").is_none() {
        write("tokenizer_config.json", &source.config())?;
    }
    let has_template =
        source.files.iter().any(|file| file.name.starts_with("chat_template")) || source.settings.tokenizer.contains_key("chat_template");
    if let Some((_, text)) = source.templates.first()
        && !has_template
    {
        write("chat_template.jinja", text.as_bytes())?;
    }
    Ok(())
}
