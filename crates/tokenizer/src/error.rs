//! What can go wrong in this crate, as sentences of the form
//! "operation: found, expected".

use std::path::PathBuf;

/// A failure of reading, using or writing a tokenizer or a chat template.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The folder holds no tokenizer of a known kind.
    #[error(
        "read tokenizer: {dir} holds none, expected tokenizer.json, or vocab.json with merges.txt, \
         or tokenizer.model, or a llama2.c tok*.bin"
    )]
    Missing {
        /// The folder that was searched.
        dir: PathBuf,
    },
    /// The folder holds several tokenizers and none has the usual name.
    #[error("read tokenizer: {dir} holds {}, expected one of them; name the file", found.join(" and "))]
    Ambiguous {
        /// The folder that was searched.
        dir: PathBuf,
        /// The names of the candidates.
        found: Vec<String>,
    },
    /// The operating system refused to read a file.
    #[error("read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The operating system refused to write a file.
    #[error("write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file's content is not what its name promises.
    #[error("read {file}: {reason}")]
    Malformed {
        /// The file's name or path.
        file: String,
        /// What was found and what was expected.
        reason: String,
    },
    /// Text could not be turned into ids.
    #[error("encode: {0}")]
    Encode(String),
    /// Ids could not be turned into text.
    #[error("decode: {0}")]
    Decode(String),
    /// The chat template could not be compiled or rendered.
    #[error("chat template{}: {message}", line.map(|line| format!(" line {line}")).unwrap_or_default())]
    Template {
        /// The template's line, counted from 1, where known.
        line: Option<usize>,
        /// What is wrong.
        message: String,
    },
    /// A vocabulary could not be learned from the given text.
    #[error("learn vocabulary: {0}")]
    Learn(String),
}

impl TokenizerError {
    pub(crate) fn malformed(file: impl Into<String>, reason: impl ToString) -> Self {
        Self::Malformed { file: file.into(), reason: reason.to_string() }
    }
}

/// Why the trained part of a conversation could not be found; each is a reason to
/// count, since guessing would train the wrong tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpanRefusal {
    /// The conversation has no assistant turn.
    #[error("no assistant turn to train on")]
    NoAssistantTurn,
    /// The template writes an earlier turn differently once later turns follow.
    #[error("the chat template rewrites earlier turns: turn {turn} reads differently when later turns follow")]
    RewritesEarlierTurns {
        /// Index of the message.
        turn: usize,
    },
    /// The prompt that the model would see is not a prefix of the whole conversation.
    #[error("the chat template's prompt before turn {turn} is not the beginning of the whole conversation")]
    PrefixTestFailed {
        /// Index of the message.
        turn: usize,
    },
    /// The template refused the conversation.
    #[error("the chat template failed: {0}")]
    TemplateFailed(String),
}

impl SpanRefusal {
    /// A short stable code to count under.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoAssistantTurn => "no_assistant_turn",
            Self::RewritesEarlierTurns { .. } => "template_rewrites_earlier_turns",
            Self::PrefixTestFailed { .. } => "template_prefix_test_failed",
            Self::TemplateFailed(_) => "template_failed",
        }
    }
}
