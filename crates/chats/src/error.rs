//! What can go wrong around conversations and votes, in one sentence each.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::MessageId;

/// An operation on conversations or votes that failed.
#[derive(Debug, Error)]
pub enum ChatsError {
    /// The file system refused.
    #[error("{operation} {path}: {source}", path = path.display())]
    File {
        /// What was being done.
        operation: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process writes here.
    #[error("open {path}: another process is writing there", path = path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// There is no such conversation.
    #[error("find conversation: there is no conversation `{id}`")]
    NotFound {
        /// What was asked for.
        id: String,
    },
    /// Not an id of a conversation.
    #[error("read conversation id: expected 16 letters and digits, found `{found}`")]
    BadId {
        /// What was given, at most 80 characters of it.
        found: String,
    },
    /// There is no such message, or it was deleted.
    #[error("find message: the conversation has no message {message}")]
    NoMessage {
        /// What was asked for.
        message: MessageId,
    },
    /// What was asked for does not fit the conversation or the pair as it stands.
    #[error("{operation}: {message}")]
    Refused {
        /// What was asked for.
        operation: &'static str,
        /// Found and expected.
        message: String,
    },
    /// A title that is none.
    #[error("name conversation: {reason}")]
    Title {
        /// Found and expected.
        reason: &'static str,
    },
    /// A file that cannot be attached.
    #[error("attach `{name}`: {reason}")]
    Attachment {
        /// The file's name.
        name: String,
        /// Found and expected.
        reason: String,
    },
    /// A file that is no conversation.
    #[error("import conversation: {message}")]
    Import {
        /// Found and expected.
        message: String,
    },
    /// A cursor that no page gave.
    #[error("list conversations: expected the cursor of an earlier page, found `{found}`")]
    BadCursor {
        /// What was given, at most 80 characters of it.
        found: String,
    },
}

impl ChatsError {
    /// What to try next.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            ChatsError::Locked { .. } => Some("close the other program, or choose another folder with --home"),
            ChatsError::NotFound { .. } => Some("it may lie in the trash"),
            ChatsError::Attachment { .. } => Some("attach text of at most 1 MB, in UTF-8"),
            ChatsError::File { source, .. } if is_disk_full(source) => Some("free some space and try again"),
            _ => None,
        }
    }
}

/// Gives an I/O error its operation and path.
pub(crate) trait AtPath<T> {
    fn at(self, operation: &'static str, path: &Path) -> Result<T, ChatsError>;
}

impl<T> AtPath<T> for io::Result<T> {
    fn at(self, operation: &'static str, path: &Path) -> Result<T, ChatsError> {
        self.map_err(|source| ChatsError::File { operation, path: path.to_owned(), source })
    }
}

/// Something that does not fit.
pub(crate) fn refused(operation: &'static str, message: impl Into<String>) -> ChatsError {
    ChatsError::Refused { operation, message: message.into() }
}

fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::WriteZero)
}
