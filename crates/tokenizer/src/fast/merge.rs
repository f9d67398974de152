//! The merges of a BPE model over tokens that a caller begins with, and a cache of the
//! words seen.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Words longer than this are not cached: they hardly come again.
const CACHED_WORD_BYTES: usize = 24;
/// Words that one cache holds before it starts anew.
const CACHED_WORDS: usize = 1 << 15;
/// Words up to this many tokens are joined by searching, longer ones with a queue.
const SEARCHED_TOKENS: usize = 64;

/// What each pair of tokens becomes, and how early.
pub(super) struct Merges {
    pairs: HashMap<u64, (u32, u32), BuildHasherDefault<PairHasher>>,
}

/// Ids and byte lengths of words.
pub(super) type WordCache = HashMap<Vec<u8>, Vec<(u32, u32)>, BuildHasherDefault<PairHasher>>;

/// Words to ids, for words that are one token whatever their merges say.
pub(super) type WholeWords = HashMap<Vec<u8>, u32, BuildHasherDefault<PairHasher>>;

impl Merges {
    /// The merges of a model; `ranked` holds left, right and joined id, the earliest first.
    pub(super) fn new(ranked: &[(u32, u32, u32)]) -> Self {
        let mut pairs = HashMap::with_capacity_and_hasher(ranked.len(), BuildHasherDefault::default());
        for (rank, (left, right, joined)) in ranked.iter().enumerate() {
            pairs.insert(pair_key(*left, *right), (rank as u32, *joined));
        }
        Self { pairs }
    }

    /// Gives the ids of a word with the bytes that each stands for. `begin` gives the
    /// tokens, with their bytes, that the merges start from; a length of 0 is not allowed.
    pub(super) fn encode(
        &self,
        word: &[u8],
        cache: &mut WordCache,
        begin: impl FnOnce(&mut Vec<(u32, u32)>) -> Option<()>,
        mut take: impl FnMut(u32, usize),
    ) -> Option<()> {
        if let Some(tokens) = cache.get(word) {
            tokens.iter().for_each(|(id, length)| take(*id, *length as usize));
            return Some(());
        }
        let mut tokens = Vec::with_capacity(word.len());
        begin(&mut tokens)?;
        if tokens.len() <= SEARCHED_TOKENS {
            self.merge_short(&mut tokens);
        } else {
            self.merge_long(&mut tokens);
        }
        tokens.iter().for_each(|(id, length)| take(*id, *length as usize));
        if word.len() <= CACHED_WORD_BYTES {
            if cache.len() >= CACHED_WORDS {
                cache.clear();
            }
            tokens.shrink_to_fit();
            cache.insert(word.to_vec(), tokens);
        }
        Some(())
    }

    fn pair(&self, left: u32, right: u32) -> Option<(u32, u32)> {
        self.pairs.get(&pair_key(left, right)).copied()
    }

    /// Joins the earliest pair, the leftmost of equals, until none is left.
    fn merge_short(&self, tokens: &mut Vec<(u32, u32)>) {
        let mut ranks: Vec<(u32, u32)> = tokens.windows(2).map(|pair| self.pair(pair[0].0, pair[1].0).unwrap_or((u32::MAX, 0))).collect();
        while let Some((at, (rank, joined))) = ranks.iter().copied().enumerate().min_by_key(|(_, (rank, _))| *rank) {
            if rank == u32::MAX {
                break;
            }
            tokens[at] = (joined, tokens[at].1 + tokens[at + 1].1);
            tokens.remove(at + 1);
            ranks.remove(at);
            let found = |at: usize| self.pair(tokens[at].0, tokens[at + 1].0).unwrap_or((u32::MAX, 0));
            if at < ranks.len() {
                ranks[at] = found(at);
            }
            if at > 0 {
                ranks[at - 1] = found(at - 1);
            }
        }
    }

    /// The same for long words, with a queue instead of a search.
    fn merge_long(&self, tokens: &mut Vec<(u32, u32)>) {
        use std::cmp::Reverse;
        use std::collections::BinaryHeap;
        const NONE: usize = usize::MAX;
        let count = tokens.len();
        let mut next: Vec<usize> = (1..=count).map(|at| if at < count { at } else { NONE }).collect();
        let mut before: Vec<usize> = (0..count).map(|at| at.checked_sub(1).unwrap_or(NONE)).collect();
        let mut queue = BinaryHeap::new();
        let offer = |queue: &mut BinaryHeap<_>, tokens: &[(u32, u32)], left: usize, right: usize| {
            if let Some((rank, joined)) = self.pair(tokens[left].0, tokens[right].0) {
                queue.push(Reverse((rank, left, joined, tokens[left].0, tokens[right].0)));
            }
        };
        for at in 1..count {
            offer(&mut queue, tokens, at - 1, at);
        }
        while let Some(Reverse((_, at, joined, left_id, right_id))) = queue.pop() {
            let right = next[at];
            // Lengths of zero mark tokens that were joined to another.
            if tokens[at].1 == 0 || right == NONE || tokens[at].0 != left_id || tokens[right].0 != right_id {
                continue;
            }
            tokens[at] = (joined, tokens[at].1 + tokens[right].1);
            tokens[right].1 = 0;
            next[at] = next[right];
            if next[at] != NONE {
                before[next[at]] = at;
                offer(&mut queue, tokens, at, next[at]);
            }
            if before[at] != NONE {
                offer(&mut queue, tokens, before[at], at);
            }
        }
        tokens.retain(|(_, length)| *length > 0);
    }
}

fn pair_key(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

/// A quick hash of short keys that nobody else chooses; multiplies and folds.
#[derive(Default)]
pub(super) struct PairHasher {
    state: u64,
}

impl Hasher for PairHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.state.rotate_left(5) ^ word) * 0x9E37_79B9_7F4A_7C15;
        self.state = (product >> 64) as u64 ^ product as u64;
    }

    fn finish(&self) -> u64 {
        self.state
    }
}
