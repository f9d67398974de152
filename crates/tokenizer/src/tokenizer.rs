//! The tokenizer itself: text to ids with byte offsets, ids to text, and the
//! questions that the rest of the program asks of a vocabulary.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rayon::prelude::*;

use crate::error::TokenizerError;
use crate::fast::FastEncoder;
use crate::files;
use crate::message::Message;
use crate::pipeline::{self, Made, Pipeline};
use crate::source::Source;
use crate::special::{self, SpecialIds};
use crate::stream::StreamDecoder;
use crate::template::ChatTemplate;

/// The ids of a text and where each came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoding {
    /// One id a token.
    pub ids: Vec<u32>,
    /// For each token the bytes of the text that it stands for, as `(start, end)`.
    /// Tokens that were added around the text have equal ends.
    pub offsets: Vec<(usize, usize)>,
}

/// A model's tokenizer with its special tokens and chat templates.
///
/// Cheap to share behind an [`Arc`]; all methods take `&self` and may run on many threads.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// The quick way to the same ids, where the vocabulary is of a known kind.
    fast: Option<FastEncoder>,
    ids: SpecialIds,
    adds_bos: bool,
    templates: Vec<(String, ChatTemplate)>,
    source: Source,
    byte_level: bool,
    /// True where text that the vocabulary lacks would vanish, which is an error here.
    must_cover: bool,
    largest_id: OnceLock<u32>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tokenizer").field("vocab_size", &self.vocab_size()).field("ids", &self.ids).finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Reads the tokenizer of a model folder: `tokenizer.json`, or `vocab.json` with
    /// `merges.txt`, or a SentencePiece `tokenizer.model`, or a llama2.c `tok*.bin`;
    /// with the settings and chat templates beside it.
    ///
    /// # Errors
    /// [`TokenizerError`] naming the file where one is missing, unreadable or malformed.
    pub fn from_folder(dir: &Path) -> Result<Self, TokenizerError> {
        Self::from_source(files::read_folder(dir)?)
    }

    /// Reads one tokenizer file, of any kind that [`Tokenizer::from_folder`] knows,
    /// with the settings beside it.
    ///
    /// # Errors
    /// As [`Tokenizer::from_folder`].
    pub fn from_file(path: &Path) -> Result<Self, TokenizerError> {
        Self::from_source(files::read_file(path)?)
    }

    /// Takes the content of a `tokenizer.json` and, where there is one, of a
    /// `tokenizer_config.json`.
    ///
    /// # Errors
    /// [`TokenizerError::Malformed`] or [`TokenizerError::Template`].
    pub fn from_json(tokenizer_json: &str, tokenizer_config_json: Option<&str>) -> Result<Self, TokenizerError> {
        Self::from_source(files::from_json(tokenizer_json, tokenizer_config_json)?)
    }

    fn from_source((source, made): (Source, Option<Made>)) -> Result<Self, TokenizerError> {
        let origin = source.origin.as_str();
        let Pipeline { mut inner, fast } = match made {
            Some(made) => pipeline::build_made(origin, made)?,
            None => pipeline::build(origin, source.file("tokenizer.json").unwrap_or_default())?,
        };
        let ids = special::settle(&mut inner, &source.settings, source.is_made)?;
        let mut templates = Vec::new();
        for (name, text) in &source.templates {
            let mut template = ChatTemplate::new(text, None, None)?;
            template.set_tokens(&source.settings);
            templates.push((name.clone(), template));
        }
        let byte_level = inner
            .get_decoder()
            .and_then(|decoder| serde_json::to_string(decoder).ok())
            .is_some_and(|decoder| decoder.contains("\"ByteLevel\""));
        let mut tokenizer = Self {
            must_cover: pipeline::loses_unknown(&inner),
            fast: fast.and_then(|fast| fast.settle(&inner)),
            inner,
            ids,
            adds_bos: false,
            templates,
            source,
            byte_level,
            largest_id: OnceLock::new(),
        };
        tokenizer.adds_bos = tokenizer.ids.bos.is_some_and(|bos| puts_first(&tokenizer.inner, bos));
        Ok(tokenizer)
    }

    /// The ids of a text; `add_special_tokens` adds what the model expects around it.
    ///
    /// # Errors
    /// [`TokenizerError::Encode`]
    pub fn encode(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>, TokenizerError> {
        if self.must_cover {
            return Ok(self.encode_with_offsets(text, add_special_tokens)?.ids);
        }
        if let Some(encoding) = self.encode_quickly(text, add_special_tokens) {
            return Ok(encoding.ids);
        }
        guarded(|| self.inner.encode_fast(text, add_special_tokens))
            .map(|encoding| encoding.get_ids().to_vec())
            .map_err(TokenizerError::Encode)
    }

    /// The ids of a text and the bytes that each stands for.
    ///
    /// # Errors
    /// [`TokenizerError::Encode`]
    pub fn encode_with_offsets(&self, text: &str, add_special_tokens: bool) -> Result<Encoding, TokenizerError> {
        if let Some(encoding) = self.encode_quickly(text, add_special_tokens) {
            return Ok(encoding);
        }
        let encoding = guarded(|| self.inner.encode(text, add_special_tokens)).map_err(TokenizerError::Encode)?;
        let encoding = Encoding { ids: encoding.get_ids().to_vec(), offsets: encoding.get_offsets().to_vec() };
        if self.must_cover {
            self.check_covered(text, &encoding)?;
        }
        Ok(encoding)
    }

    fn encode_quickly(&self, text: &str, add_special_tokens: bool) -> Option<Encoding> {
        self.fast.as_ref()?.encode(text, add_special_tokens)
    }

    /// [`Tokenizer::encode_with_offsets`] for many texts on all threads of the rayon
    /// pool that the caller is in; results in the order of `texts`.
    ///
    /// # Errors
    /// [`TokenizerError::Encode`]
    pub fn encode_batch_with_offsets(&self, texts: &[&str], add_special_tokens: bool) -> Result<Vec<Encoding>, TokenizerError> {
        texts.par_iter().map(|text| self.encode_with_offsets(text, add_special_tokens)).collect()
    }

    /// The ids of a conversation that a [`ChatTemplate`] rendered. The template has
    /// written the tokens that begin and end it, so none are added: a beginning
    /// added twice is a classic error.
    ///
    /// # Errors
    /// [`TokenizerError::Encode`]
    pub fn encode_rendered(&self, text: &str) -> Result<Encoding, TokenizerError> {
        self.encode_with_offsets(text, false)
    }

    /// The text of ids; `skip_special_tokens` leaves special tokens out. Ids that no
    /// token has, as a model's padded rows give, stand for no text.
    ///
    /// # Errors
    /// [`TokenizerError::Decode`]
    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String, TokenizerError> {
        guarded(|| self.inner.decode(ids, skip_special_tokens)).map_err(TokenizerError::Decode)
    }

    /// A decoder for ids that arrive one by one.
    pub fn stream_decoder(&self, skip_special: bool) -> StreamDecoder<'_> {
        StreamDecoder::new(self, skip_special)
    }

    /// One token as a person reads it: its text with real spaces and line breaks, or
    /// `<0xE2>` for bytes that are no text of their own. `None` for an unused id.
    pub fn token_text(&self, id: u32) -> Option<String> {
        if !self.byte_level {
            return Some(self.inner.id_to_token(id)?.replace('\u{2581}', " "));
        }
        let text = String::from_utf8(self.token_bytes(id)?);
        Some(text.unwrap_or_else(|error| error.as_bytes().iter().map(|byte| format!("<0x{byte:02X}>")).collect()))
    }

    /// The bytes that a token stands for, which need not be whole characters.
    /// `None` for an unused id.
    pub fn token_bytes(&self, id: u32) -> Option<Vec<u8>> {
        let piece = self.inner.id_to_token(id)?;
        if self.added(id).is_some() {
            return Some(piece.into_bytes());
        }
        if self.byte_level {
            let bytes: Option<Vec<u8>> = piece.chars().map(byte_of_char).collect();
            return Some(bytes.unwrap_or_else(|| piece.into_bytes()));
        }
        let byte = piece.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>')).filter(|digits| digits.len() == 2);
        if let Some(byte) = byte.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            return Some(vec![byte]);
        }
        Some(piece.replace('\u{2581}', " ").into_bytes())
    }

    /// The id of a token's exact piece, such as a special token's text.
    pub fn token_id(&self, piece: &str) -> Option<u32> {
        self.inner.token_to_id(piece)
    }

    /// How many tokens there are, added ones included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The largest id in use; a model needs rows for all up to it.
    pub fn largest_id(&self) -> u32 {
        *self.largest_id.get_or_init(|| {
            let vocab = self.inner.get_vocab(true);
            vocab.values().copied().max().unwrap_or(0)
        })
    }

    /// The token that begins a text.
    pub fn bos_id(&self) -> Option<u32> {
        self.ids.bos
    }

    /// The tokens that end an answer: the tokenizer's own first, then those of
    /// `generation_config.json`.
    pub fn eos_ids(&self) -> &[u32] {
        &self.ids.eos
    }

    /// The tokens that end an answer in a chat: [`Tokenizer::eos_ids`], and the special token with
    /// which the chat template (ChatML without one) closes a turn.
    pub fn stop_ids(&self) -> Vec<u32> {
        let mut ids = self.ids.eos.clone();
        ids.extend(self.end_of_turn_id().filter(|id| !self.ids.eos.contains(id)));
        ids
    }

    fn end_of_turn_id(&self) -> Option<u32> {
        const ANSWER: &str = "Answer";
        let chatml = ChatTemplate::chatml();
        let template = self.chat_template().unwrap_or(&chatml);
        let messages = [Message::text("user", "Question"), Message::text("assistant", ANSWER)];
        let rendered = template.render(&messages, None, false, &serde_json::Map::new()).ok()?;
        let (_, end) = rendered.text.rsplit_once(ANSWER)?;
        let first = *self.encode(end, false).ok()?.first()?;
        self.is_special(first).then_some(first)
    }

    /// The token that fills rows, where there is one.
    pub fn pad_id(&self) -> Option<u32> {
        self.ids.pad
    }

    /// The token for what the vocabulary lacks, where there is one.
    pub fn unk_id(&self) -> Option<u32> {
        self.ids.unk
    }

    /// True for tokens that reading with `skip_special_tokens` leaves out.
    pub fn is_special(&self, id: u32) -> bool {
        self.added(id).is_some_and(|token| token.special)
    }

    /// Every byte of the text must belong to a token.
    fn check_covered(&self, text: &str, encoding: &Encoding) -> Result<(), TokenizerError> {
        let mut covered = 0;
        let ends = [(text.len(), text.len())];
        let is_covered = encoding.offsets.iter().chain(&ends).all(|(start, end)| {
            let follows = *start <= covered;
            covered = covered.max(*end);
            follows
        });
        if is_covered {
            return Ok(());
        }
        let lost = text.char_indices().find(|(_, symbol)| self.inner.token_to_id(symbol.encode_utf8(&mut [0; 4])).is_none());
        let (at, symbol) = lost.unwrap_or_default();
        Err(TokenizerError::Encode(format!("found {symbol:?} at byte {at}, which the vocabulary lacks")))
    }

    fn added(&self, id: u32) -> Option<&tokenizers::AddedToken> {
        self.inner.get_added_vocabulary().get_added_tokens_decoder().get(&id)
    }

    /// True where encoding with special tokens puts the beginning token first.
    pub fn adds_bos(&self) -> bool {
        self.adds_bos
    }

    /// The model's chat template: the one named `default`, or the only one.
    pub fn chat_template(&self) -> Option<&ChatTemplate> {
        self.chat_template_named("default").or_else(|| self.templates.first().map(|(_, template)| template))
    }

    /// A chat template by its name, such as `tool_use`.
    pub fn chat_template_named(&self, name: &str) -> Option<&ChatTemplate> {
        self.templates.iter().find(|(known, _)| known == name).map(|(_, template)| template)
    }

    /// A hash over everything that decides ids and templates, as 64 hexadecimal digits.
    pub fn content_hash(&self) -> String {
        self.source.content_hash()
    }

    /// Writes complete tokenizer files: those that were read byte for byte, and a
    /// `tokenizer.json` and `tokenizer_config.json` in any case.
    ///
    /// # Errors
    /// [`TokenizerError::Write`]
    pub fn save(&self, dir: &Path) -> Result<(), TokenizerError> {
        if !self.source.is_made {
            return crate::save::save(&self.source, None, dir);
        }
        // A pipeline made here is written with the tokens that the settings added to it.
        let pipeline = self.inner.to_string(false).map_err(|error| TokenizerError::malformed("tokenizer.json", error))?;
        crate::save::save(&self.source, Some(pipeline.as_bytes()), dir)
    }

    /// Both ways to ids.
    #[cfg(test)]
    pub(crate) fn ways(&self) -> (&tokenizers::Tokenizer, Option<&FastEncoder>) {
        (&self.inner, self.fast.as_ref())
    }

    /// Shares the tokenizer.
    pub fn shared(self) -> Arc<Self> {
        Arc::new(self)
    }
}

/// Runs a call of the `tokenizers` crate; a panic in it becomes an error, since text
/// and vocabulary come from a person's files.
fn guarded<T>(call: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("the vocabulary cannot process this text".to_owned()),
    }
}

/// True where the pipeline puts this token before a text that does not begin with it.
fn puts_first(inner: &tokenizers::Tokenizer, bos: u32) -> bool {
    let first = |add_special_tokens: bool| {
        let encoding = guarded(|| inner.encode_fast("a", add_special_tokens)).ok()?;
        encoding.get_ids().first().copied()
    };
    first(true) == Some(bos) && first(false) != Some(bos)
}

/// The byte that a character of a byte-level piece stands for: printable Latin-1
/// stands for itself, the others are moved past U+0100 in order.
///
/// # Source
/// GPT-2's byte table.
pub(crate) fn byte_of_char(symbol: char) -> Option<u8> {
    let code = u32::from(symbol);
    let printable = |code: u32| matches!(code, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
    if code < 0x100 {
        return printable(code).then_some(code as u8);
    }
    (0..0x100_u32).filter(|code| !printable(*code)).nth((code - 0x100) as usize).map(|code| code as u8)
}
