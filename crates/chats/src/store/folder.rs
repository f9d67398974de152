//! The folder of one conversation: its log, what the log says, and the files beside it.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use std::time::Instant;

use super::Recovery;
use crate::card::{CARD_FILE, Card};
use crate::durable::{replace_file, sync_folder};
use crate::error::AtPath;
use crate::log::{Durability, LogFile, SYNC_INTERVAL, read_log};
use crate::record::{LINE_VERSION, Line, Record};
use crate::{Answer, AnswerState, ChatsError, Conversation, ConversationId, MessageId, Time, TokenScore};

/// Name of the log.
const LOG_FILE: &str = "log.jsonl";

/// Folder of the token scores, a file an answer.
const SCORES_FOLDER: &str = "scores";

/// Begins the names of the files that answers are written to before they are whole.
const WRITING: &str = "writing-";

/// A conversation that can be written to.
#[derive(Debug)]
pub(crate) struct OpenConversation {
    pub(crate) conversation: Conversation,
    folder: PathBuf,
    log: LogFile,
    next_seq: u64,
    /// Answers that are being written: the end of each one's file, and when it was last made durable.
    writing: HashMap<MessageId, (File, Instant)>,
}

impl OpenConversation {
    /// Makes a folder with its first records. It appears whole, or not at all.
    pub(crate) fn create(folder: &Path, id: ConversationId, at: Time, records: Vec<Record>) -> Result<OpenConversation, ChatsError> {
        let parent = folder.parent().unwrap_or(folder);
        let unfinished = parent.join(format!("{UNFINISHED}{id}"));
        fs::create_dir(&unfinished).at("create folder", &unfinished)?;
        let (log, _) = LogFile::open(&unfinished.join(LOG_FILE))?;
        let mut open =
            OpenConversation { conversation: Conversation::new(id), folder: unfinished.clone(), log, next_seq: 1, writing: HashMap::new() };
        let last = records.len().saturating_sub(1);
        for (number, record) in records.into_iter().enumerate() {
            // One wait for the disk is enough for all of them.
            let durability = if number == last { Durability::Now } else { Durability::Soon };
            open.append(at, record, durability)?;
        }
        sync_folder(&unfinished).at("write", &unfinished)?;
        open.move_to(folder)?;
        Ok(open)
    }

    /// Opens a folder, and mends the end of its log.
    pub(crate) fn open(folder: &Path, id: ConversationId) -> Result<OpenConversation, ChatsError> {
        let path = folder.join(LOG_FILE);
        if !folder.is_dir() {
            return Err(ChatsError::NotFound { id: id.to_string() });
        }
        let (log, _) = LogFile::open(&path)?;
        let (conversation, next_seq) = read(folder, id)?;
        let mut open = OpenConversation { conversation, folder: folder.to_owned(), log, next_seq, writing: HashMap::new() };
        for message in open.conversation.unfinished() {
            let text = read_writing(&open.writing_file(message))?;
            open.conversation.grow(message, &text);
        }
        Ok(open)
    }

    /// Writes a record down, then takes it in.
    pub(crate) fn append(&mut self, at: Time, record: Record, durability: Durability) -> Result<(), ChatsError> {
        let line = Line { v: LINE_VERSION, seq: self.next_seq, at, record };
        self.log.append(&line, durability)?;
        self.next_seq += 1;
        self.conversation.apply(line);
        Ok(())
    }

    /// Adds text to an answer. Its file has it when this returns, the disk about a second later; the
    /// log has the whole at the end, once, so that a log is little longer than what was said.
    pub(crate) fn grow(&mut self, at: Time, message: MessageId, text: &str) -> Result<(), ChatsError> {
        let is_queued = |answer: &Answer| answer.state == AnswerState::Queued;
        if self.conversation.message(message).and_then(|message| message.answer.as_ref()).is_some_and(is_queued) {
            self.append(at, Record::AnswerStarted { message }, Durability::Now)?;
        }
        let path = self.writing_file(message);
        let (mut file, mut synced) = match self.writing.remove(&message) {
            Some(writing) => writing,
            None => (OpenOptions::new().append(true).create(true).open(&path).at("open", &path)?, Instant::now()),
        };
        let length = file.metadata().at("write", &path)?.len();
        if let Err(source) = file.write_all(text.as_bytes()) {
            // What is left of a piece that did not fit is cut; if even that fails, so does the next piece.
            let _ = file.set_len(length);
            return Err(ChatsError::File { operation: "write", path, source });
        }
        self.conversation.grow(message, text);
        let mut done = Ok(());
        if synced.elapsed() >= SYNC_INTERVAL {
            done = file.sync_data().at("write", &path);
            synced = Instant::now();
        }
        self.writing.insert(message, (file, synced));
        done
    }

    /// Puts an answer into the queue. A file of its number can only be a leftover.
    pub(crate) fn queue(&mut self, at: Time, record: Record, message: MessageId) -> Result<(), ChatsError> {
        match fs::remove_file(self.writing_file(message)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(ChatsError::File { operation: "remove", path: self.writing_file(message), source: error })
            }
            _ => self.append(at, record, Durability::Now),
        }
    }

    /// Writes down how an answer ended, with its whole text.
    pub(crate) fn end(&mut self, at: Time, record: Record, message: MessageId) -> Result<(), ChatsError> {
        self.append(at, record, Durability::Now)?;
        self.writing.remove(&message);
        // The log has the text now; a file left behind is removed with its conversation.
        let _ = fs::remove_file(self.writing_file(message));
        Ok(())
    }

    fn writing_file(&self, message: MessageId) -> PathBuf {
        self.folder.join(format!("{WRITING}{message}.txt"))
    }

    pub(crate) fn card(&self) -> Card {
        Card::of(&self.conversation, self.log.length())
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Moves the folder.
    pub(crate) fn move_to(&mut self, folder: &Path) -> Result<(), ChatsError> {
        self.log.release();
        fs::rename(&self.folder, folder).at("move", &self.folder)?;
        let before = std::mem::replace(&mut self.folder, folder.to_owned());
        self.log.moved_to(&folder.join(LOG_FILE));
        for parent in [&before, folder].into_iter().filter_map(|path| path.parent()) {
            sync_folder(parent).at("write", parent)?;
        }
        Ok(())
    }

    /// Removes the folder for good.
    pub(crate) fn remove(&mut self) -> Result<(), ChatsError> {
        self.log.release();
        fs::remove_dir_all(&self.folder).at("remove", &self.folder)
    }

    /// Keeps the scores of an answer's tokens: one a line.
    pub(crate) fn write_scores(&self, message: MessageId, scores: &[TokenScore]) -> Result<(), ChatsError> {
        let folder = self.folder.join(SCORES_FOLDER);
        fs::create_dir_all(&folder).at("create folder", &folder)?;
        let path = scores_file(&self.folder, message);
        let mut bytes = Vec::new();
        for score in scores {
            serde_json::to_writer(&mut bytes, score).expect("scores are texts and numbers");
            bytes.push(b'\n');
        }
        replace_file(&path, &bytes, true).at("write", &path)
    }

    /// The scores of an answer's tokens; none where none were kept.
    pub(crate) fn read_scores(&self, message: MessageId) -> Result<Vec<TokenScore>, ChatsError> {
        Ok(read_log(&scores_file(&self.folder, message))?.0)
    }
}

/// What there is of an answer, up to the last whole letter. A missing file is empty.
fn read_writing(path: &Path) -> Result<String, ChatsError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(source) => return Err(ChatsError::File { operation: "read", path: path.to_owned(), source }),
    };
    let whole = match std::str::from_utf8(&bytes) {
        Ok(text) => text.len(),
        Err(error) => error.valid_up_to(),
    };
    Ok(String::from_utf8_lossy(&bytes[..whole]).into_owned())
}

/// Begins the names of folders that are not whole yet.
pub(crate) const UNFINISHED: &str = ".new-";

fn scores_file(folder: &Path, message: MessageId) -> PathBuf {
    folder.join(SCORES_FOLDER).join(format!("{message}.jsonl"))
}

/// What a folder's log says, and the number of the next line.
pub(crate) fn read(folder: &Path, id: ConversationId) -> Result<(Conversation, u64), ChatsError> {
    let (lines, damaged) = read_log::<Line>(&folder.join(LOG_FILE))?;
    let mut conversation = Conversation::new(id);
    let next_seq = lines.last().map_or(1, |line| line.seq + 1);
    lines.into_iter().for_each(|line| conversation.apply(line));
    conversation.damaged_lines += damaged;
    Ok((conversation, next_seq))
}

/// The card of a folder as it is found at a start: when it does not agree with the log, or an answer
/// had not ended, the log is mended, such answers become interrupted, and the card is made again.
pub(crate) fn recover(folder: &Path, id: &ConversationId, at: Time, recovery: &mut Recovery) -> Result<Card, ChatsError> {
    let log_bytes = fs::metadata(folder.join(LOG_FILE)).at("read", folder)?.len();
    if let Some(card) = Card::read(folder, id, log_bytes).filter(|card| card.unfinished == 0) {
        return Ok(card);
    }
    let mut open = OpenConversation::open(folder, id.clone())?;
    if open.log.length() < log_bytes {
        recovery.cut.push(id.clone());
    }
    for message in open.conversation.unfinished() {
        let text = open.conversation.messages.iter().find(|other| other.id == message).map(|other| other.text.clone());
        let text = text.unwrap_or_default();
        let reason = Some("the program ended meanwhile".to_owned());
        let state = AnswerState::Interrupted;
        let ended = Record::AnswerEnded { message, text, state, reason, analysis: None, has_scores: false };
        open.end(at, ended, message)?;
        recovery.interrupted.push((id.clone(), message));
    }
    let card = open.card();
    card.write(folder)?;
    Ok(card)
}

/// Removes what an interrupted creation left.
pub(crate) fn remove_unfinished(parent: &Path) -> Result<(), ChatsError> {
    for entry in fs::read_dir(parent).at("list", parent)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            fs::remove_dir_all(entry.path()).at("remove", &entry.path())?;
        }
    }
    Ok(())
}

/// Whether a folder looks like a conversation's.
pub(crate) fn is_conversation(folder: &Path) -> bool {
    folder.join(LOG_FILE).is_file() || folder.join(CARD_FILE).is_file()
}
