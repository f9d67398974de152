//! Text to token ids and back, chat templates, and learning a vocabulary.
//!
//! [`Tokenizer`] reads a model folder's tokenizer files of any common kind and
//! writes them back; [`ChatTemplate`] renders conversations exactly as the
//! model's own template says; [`trained_spans`] finds what of a rendered
//! conversation is trained. No clock, environment or printing is used here.

mod bpe_files;
mod error;
mod fast;
mod files;
pub mod learn;
mod llama2c;
mod message;
mod pipeline;
mod save;
mod sentencepiece;
mod source;
mod spans;
mod special;
mod stream;
mod template;
mod tokenizer;
mod tokenizer_json;

pub use error::{SpanRefusal, TokenizerError};
pub use message::{Content, Message};
pub use spans::{TrainOn, mask_from_spans, trained_spans, trained_spans_with};
pub use stream::StreamDecoder;
pub use template::{ChatTemplate, Rendered};
pub use tokenizer::{Encoding, Tokenizer};
