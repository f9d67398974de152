//! One file a verb: settings in, output out.

pub(crate) mod eval;
pub(crate) mod logits;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod stop;
pub(crate) mod train;
pub(crate) mod view;
pub(crate) mod watch;
pub(crate) mod worker;
