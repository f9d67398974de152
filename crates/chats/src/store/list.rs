//! The list of conversations, newest change first, and the search in it.

use super::{ChatStore, folder, locked};
use crate::index::{Excerpt, SearchIndex, excerpt, query_words, words};
use crate::{Card, ChatsError, ConversationId, Time};

/// Which part of the list is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListQuery {
    /// Where an earlier page ended.
    pub cursor: Option<String>,
    /// How many at most; 0 means 50.
    pub limit: usize,
    /// Only those with this tag.
    pub tag: Option<String>,
    /// Those in the trash, in place of the others.
    pub is_trash: bool,
}

/// What is searched for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SearchQuery {
    /// Words, or parts of words; each has to occur, in the title or in any message that can be seen.
    /// Case does not count. Of a word longer than 32 letters only the first 32 count.
    pub text: String,
    /// Where an earlier page ended.
    pub cursor: Option<String>,
    /// How many at most; 0 means 50.
    pub limit: usize,
    /// Only those with this tag.
    pub tag: Option<String>,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// Newest change first.
    pub items: Vec<T>,
    /// Where the next page begins; none after the last.
    pub cursor: Option<String>,
}

/// A conversation that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The conversation.
    pub card: Card,
    /// Whether its title has all that was searched for.
    pub is_in_title: bool,
    /// The first place in a message where one of the words stands.
    pub excerpt: Option<Excerpt>,
}

/// A page where nobody says how long it is.
const LIMIT_DEFAULT: usize = 50;

impl ChatStore {
    /// A page of the list.
    ///
    /// # Errors
    /// The cursor is none.
    pub fn list(&self, query: &ListQuery) -> Result<Page<Card>, ChatsError> {
        let is_wanted = |card: &Card| query.tag.as_ref().is_none_or(|tag| card.tags.contains(tag));
        if !query.is_trash {
            return self.page(query.cursor.as_deref(), query.limit, is_wanted);
        }
        let after = query.cursor.as_deref().map(read_cursor).transpose()?;
        let shelf = locked(&self.shelf);
        let trashed = shelf.cards.values().filter(|card| is_wanted(card)).filter_map(|card| Some((card.trashed?, card.id.clone())));
        let mut keys: Vec<(Time, ConversationId)> = trashed.filter(|key| after.as_ref().is_none_or(|after| key < after)).collect();
        keys.sort_by(|one, other| other.cmp(one));
        let limit = limit_of(query.limit);
        let cursor = if keys.len() > limit { keys.get(limit - 1).map(write_cursor) } else { None };
        keys.truncate(limit);
        Ok(Page { items: keys.iter().filter_map(|(_, id)| shelf.cards.get(id).cloned()).collect(), cursor })
    }

    /// A page of what is found. The first search of a program reads all conversations; see
    /// [`ChatStore::prepare_search`].
    ///
    /// # Errors
    /// The cursor is none. A conversation that cannot be read is not found.
    pub fn search(&self, query: &SearchQuery) -> Result<Page<Hit>, ChatsError> {
        let wanted = query_words(&query.text);
        let matches = {
            let mut index = locked(&self.index);
            self.refresh(&mut index);
            index.find(&wanted)
        };
        let is_wanted = |card: &Card| matches.contains(&card.id) && query.tag.as_ref().is_none_or(|tag| card.tags.contains(tag));
        let page = self.page(query.cursor.as_deref(), query.limit, is_wanted)?;
        Ok(Page { items: page.items.into_iter().map(|card| self.hit(card, &wanted)).collect(), cursor: page.cursor })
    }

    /// Reads what a search needs, so that the first one need not: worth a thread after the start.
    pub fn prepare_search(&self) {
        self.refresh(&mut locked(&self.index));
    }

    /// Brings the index up to date. What cannot be read is left out of it.
    fn refresh(&self, index: &mut SearchIndex) {
        let mut changed = std::mem::take(&mut *locked(&self.unindexed));
        if index.is_worn() {
            *index = SearchIndex::default();
        }
        if !index.is_built {
            changed.extend(locked(&self.shelf).order.iter().map(|(_, id)| id.clone()));
            index.is_built = true;
        }
        for id in changed {
            let is_listed = locked(&self.shelf).cards.get(&id).is_some_and(|card| card.trashed.is_none());
            // The log is read without its lock: a line that is being written is not whole, and its
            // conversation changes once more when it is.
            match folder::read(&self.living_folder(&id), id.clone()) {
                Ok((conversation, _)) if is_listed => {
                    let title = conversation.title.iter().map(String::as_str);
                    let files = conversation.visible().flat_map(|message| message.attachments.iter().map(|file| file.name.as_str()));
                    let texts = conversation.visible().map(|message| message.text.as_str());
                    index.put(&id, title.chain(texts).chain(files));
                }
                _ => index.remove(&id),
            }
        }
    }

    fn page(&self, cursor: Option<&str>, limit: usize, is_wanted: impl Fn(&Card) -> bool) -> Result<Page<Card>, ChatsError> {
        let after = cursor.map(read_cursor).transpose()?;
        let limit = limit_of(limit);
        let shelf = locked(&self.shelf);
        let keys: Box<dyn Iterator<Item = &(Time, ConversationId)>> = match after {
            Some(after) => Box::new(shelf.order.range(..after).rev()),
            None => Box::new(shelf.order.iter().rev()),
        };
        let mut wanted = keys.filter_map(|key| shelf.cards.get(&key.1).filter(|card| is_wanted(card)).map(|card| (key, card)));
        let mut items = Vec::new();
        let mut last = None;
        for (key, card) in wanted.by_ref().take(limit) {
            items.push(card.clone());
            last = Some(write_cursor(key));
        }
        let has_more = wanted.next().is_some();
        Ok(Page { items, cursor: last.filter(|_| has_more) })
    }

    fn hit(&self, card: Card, wanted: &[String]) -> Hit {
        let title: Vec<String> = card.title.iter().flat_map(|title| words(title)).collect();
        let is_in_title = wanted.iter().all(|word| title.iter().any(|found| found.contains(word.as_str())));
        let found = self.opened(&card.id).ok().and_then(|open| {
            let open = locked(&open);
            open.conversation.visible().find_map(|message| excerpt(message.id, &message.text, wanted))
        });
        Hit { card, is_in_title, excerpt: found }
    }
}

fn limit_of(limit: usize) -> usize {
    if limit == 0 { LIMIT_DEFAULT } else { limit }
}

fn write_cursor((time, id): &(Time, ConversationId)) -> String {
    format!("{}-{id}", time.as_millis())
}

fn read_cursor(text: &str) -> Result<(Time, ConversationId), ChatsError> {
    let bad = || ChatsError::BadCursor { found: text.chars().take(80).collect() };
    let (millis, id) = text.split_once('-').ok_or_else(bad)?;
    let millis: i64 = millis.parse().map_err(|_| bad())?;
    Ok((Time::from_millis(millis), id.parse().map_err(|_| bad())?))
}
