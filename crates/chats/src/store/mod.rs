//! All conversations of a home: one folder each, one writer at a time.

mod folder;
mod keep;
mod list;
mod talk;

pub use list::{Hit, ListQuery, Page, SearchQuery};
pub use talk::{AnswerEnd, Draft};

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::folder::OpenConversation;
use crate::error::{AtPath, refused};
use crate::index::SearchIndex;
use crate::lock::WriterLock;
use crate::{Card, ChatsError, Conversation, ConversationId, MessageId, Time};

/// How long a deleted conversation is kept.
///
/// # Units
/// Milliseconds.
pub const TRASH_KEPT_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// How many conversations stay open after they were used.
const OPEN_MAX: usize = 64;

/// Where deleted conversations lie.
const TRASH: &str = "trash";

/// What a start found to mend.
#[derive(Debug, Default)]
pub struct Recovery {
    /// Answers that had not ended when the program did.
    pub interrupted: Vec<(ConversationId, MessageId)>,
    /// Conversations whose log ended in the middle of a line.
    pub cut: Vec<ConversationId>,
    /// Folders that cannot be read, and why. They are left as they are.
    pub unreadable: Vec<(PathBuf, ChatsError)>,
}

/// The conversations under one folder. Calls may come from any thread; each returns when what it did
/// is on the disk, but for text that an answer grows by.
pub struct ChatStore {
    root: PathBuf,
    clock: Box<dyn Fn() -> Time + Send + Sync>,
    recovery: Recovery,
    shelf: Mutex<Shelf>,
    open: Mutex<HashMap<ConversationId, Arc<Mutex<OpenConversation>>>>,
    index: Mutex<SearchIndex>,
    /// What changed since the index was last asked.
    unindexed: Mutex<HashSet<ConversationId>>,
    _lock: WriterLock,
}

/// The cards, and the order of the list.
#[derive(Debug, Default)]
struct Shelf {
    cards: BTreeMap<ConversationId, Card>,
    /// Those that are not in the trash, oldest change first.
    order: BTreeSet<(Time, ConversationId)>,
}

impl Shelf {
    fn put(&mut self, card: Card) {
        self.take(&card.id.clone());
        if card.trashed.is_none() {
            self.order.insert((card.changed, card.id.clone()));
        }
        self.cards.insert(card.id.clone(), card);
    }

    fn take(&mut self, id: &ConversationId) -> Option<Card> {
        let card = self.cards.remove(id)?;
        self.order.remove(&(card.changed, card.id.clone()));
        Some(card)
    }
}

impl ChatStore {
    /// Opens the folder of conversations (`chats/` of a home), made where it is missing. Logs that a
    /// kill left behind are mended, and answers that had not ended become interrupted.
    ///
    /// # Errors
    /// Another process has it open, or it cannot be read.
    pub fn open(root: &Path) -> Result<ChatStore, ChatsError> {
        ChatStore::open_with_clock(root, Time::now)
    }

    /// The same with a clock of the caller's.
    ///
    /// # Errors
    /// As [`ChatStore::open`].
    pub fn open_with_clock(root: &Path, clock: impl Fn() -> Time + Send + Sync + 'static) -> Result<ChatStore, ChatsError> {
        let trash = root.join(TRASH);
        fs::create_dir_all(&trash).at("create folder", &trash)?;
        let lock = WriterLock::take(root)?;
        let mut recovery = Recovery::default();
        let mut shelf = Shelf::default();
        folder::remove_unfinished(root)?;
        for parent in [root, &trash] {
            for entry in fs::read_dir(parent).at("list", parent)?.flatten() {
                let path = entry.path();
                let Ok(id) = entry.file_name().to_string_lossy().parse::<ConversationId>() else { continue };
                if !folder::is_conversation(&path) {
                    continue;
                }
                let settled =
                    folder::recover(&path, &id, clock(), &mut recovery).and_then(|card| settle(root, &path, &card).map(|()| card));
                match settled {
                    Ok(card) => shelf.put(card),
                    Err(error) => recovery.unreadable.push((path, error)),
                }
            }
        }
        Ok(ChatStore {
            root: root.to_owned(),
            clock: Box::new(clock),
            recovery,
            shelf: Mutex::new(shelf),
            open: Mutex::default(),
            index: Mutex::default(),
            unindexed: Mutex::default(),
            _lock: lock,
        })
    }

    /// What the start found to mend.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// How many conversations there are, those in the trash apart.
    pub fn count(&self) -> usize {
        locked(&self.shelf).order.len()
    }

    /// A conversation as it is now, also one in the trash.
    ///
    /// # Errors
    /// There is none of that id, or it cannot be read.
    pub fn get(&self, id: &ConversationId) -> Result<Conversation, ChatsError> {
        let open = self.opened(id)?;
        let conversation = locked(&open).conversation.clone();
        Ok(conversation)
    }

    /// What the list shows of a conversation, also of one in the trash.
    ///
    /// # Errors
    /// There is none of that id.
    pub fn card(&self, id: &ConversationId) -> Result<Card, ChatsError> {
        locked(&self.shelf).cards.get(id).cloned().ok_or_else(|| ChatsError::NotFound { id: id.to_string() })
    }

    fn now(&self) -> Time {
        (self.clock)()
    }

    fn living_folder(&self, id: &ConversationId) -> PathBuf {
        self.root.join(id.as_str())
    }

    fn trash_folder(&self, id: &ConversationId) -> PathBuf {
        self.root.join(TRASH).join(id.as_str())
    }

    /// The conversation, opened and kept open for a while.
    fn opened(&self, id: &ConversationId) -> Result<Arc<Mutex<OpenConversation>>, ChatsError> {
        let folder = match self.card(id)?.trashed {
            None => self.living_folder(id),
            Some(_) => self.trash_folder(id),
        };
        let mut open = locked(&self.open);
        if let Some(found) = open.get(id) {
            return Ok(found.clone());
        }
        let found = Arc::new(Mutex::new(OpenConversation::open(&folder, id.clone())?));
        if open.len() >= OPEN_MAX {
            // Who holds one works on it; the others are read again when they are wanted.
            open.retain(|_, other| Arc::strong_count(other) > 1);
        }
        open.insert(id.clone(), found.clone());
        Ok(found)
    }

    /// Works on a conversation, then brings its card and the index up to date, also when the work
    /// failed half way.
    fn change<T>(
        &self,
        id: &ConversationId,
        work: impl FnOnce(&mut OpenConversation, Time) -> Result<T, ChatsError>,
    ) -> Result<T, ChatsError> {
        let open = self.opened(id)?;
        let mut open = locked(&open);
        if open.conversation.trashed.is_some() {
            return Err(refused("change conversation", "it lies in the trash"));
        }
        let done = work(&mut open, self.now());
        let carded = self.update_card(&open);
        let done = done?;
        carded?;
        Ok(done)
    }

    fn update_card(&self, open: &OpenConversation) -> Result<(), ChatsError> {
        let card = open.card();
        locked(&self.unindexed).insert(card.id.clone());
        let written = card.write(open.folder());
        locked(&self.shelf).put(card);
        written
    }
}

/// Finishes a move that a kill interrupted: the log says where the folder belongs.
fn settle(root: &Path, path: &Path, card: &Card) -> Result<(), ChatsError> {
    let place = match card.trashed {
        None => root.join(card.id.as_str()),
        Some(_) => root.join(TRASH).join(card.id.as_str()),
    };
    if place == path { Ok(()) } else { fs::rename(path, &place).at("move", path) }
}

/// A panic elsewhere leaves nothing half done here: records are written before they are taken in.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
