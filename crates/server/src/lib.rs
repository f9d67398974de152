//! The studio's server: REST, sockets, jobs and the embedded page over the run folders of a home.
//!
//! It holds no state of runs: it reads their logs, starts workers, and tells pages what is new.

mod curves;
mod data_sets;
mod describe;
mod docs;
mod failure;
mod glossary;
mod guard;
mod jobs;
mod ledger;
mod live;
mod lock;
mod machine;
mod mirror;
mod page;
mod paths;
mod plan;
mod queue;
mod random;
mod recipes;
mod request;
mod routes;
mod serve;
mod settings;
mod studio;
mod sweeps;

pub use ledger::Ledger;
pub use lock::address_of_living;
pub use serve::{Address, ServeError, Stop, openapi_document, serve};
pub use settings::{ServeSettings, Workers};
