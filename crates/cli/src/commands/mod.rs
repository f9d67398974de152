//! One file a verb: settings in, output out.

pub(crate) mod backup;
pub(crate) mod bench;
pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod data;
pub(crate) mod doctor;
pub(crate) mod dry_run;
pub(crate) mod eval;
pub(crate) mod keys;
pub(crate) mod list;
pub(crate) mod logits;
pub(crate) mod merge;
pub(crate) mod reindex;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod serve;
pub(crate) mod show;
pub(crate) mod stop;
pub(crate) mod tokens;
pub(crate) mod train;
pub(crate) mod view;
pub(crate) mod watch;
pub(crate) mod worker;
