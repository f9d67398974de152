//! Files to conversations to token shards to packed batches, with a count for every row that is left out.
//!
//! [`open`] reads whatever the files hold, tokenises it into a cache of memory-mapped blocks and
//! returns a [`Dataset`] to train on and one to evaluate on; [`Sampler`] turns a step number into
//! the [`GlobalBatch`] of that step.

mod batch;
mod dataset;
mod error;
mod open;
mod problem;
mod random;
mod read;
mod recognise;
mod report;
mod rows;
mod sampler;
mod samples;
mod settings;
mod split;
mod statistics;
mod store;
mod token_view;

pub use batch::{GlobalBatch, PackedBatch, RowId};
pub use dataset::{Dataset, InOrder, RowView, Unit};
pub use error::DatasetError;
pub use open::{Prepared, Progress, open, open_whole};
pub use problem::{EXAMPLES_KEPT, Problem, ProblemCount, ProblemCounts, ProblemExample, RowProblem, RowSource};
pub use read::{DataFile, catches_panics, find_files};
pub use recognise::{Conversation, Converted, Format, FormatName, Sample, recognise};
pub use report::{DataReport, FileReport};
pub use sampler::{Sampler, SamplerSettings};
pub use samples::{SampleRow, Samples, samples};
pub use settings::{BLOCK_BYTES, Columns, DataSettings, Duplicates, EVAL_ROWS_MAX};
pub use statistics::Statistics;
pub use store::TokenRow;
pub use token_view::{TokenState, TokenView, ViewedToken, token_view};

pub use apertis_domain::recipe::{OnBadRow, TooLong};
pub use apertis_tokenizer::TrainOn;
