//! What all routes share: the home, its runs, rooms, jobs and database.

use std::future::Future;
use std::sync::Arc;

use apertis_library::Places;
use apertis_runs::Home;
use apertis_storage::Storage;
use tokio::runtime::Handle;

use crate::failure::{Answer, Failure};
use crate::guard::Guard;
use crate::jobs::Jobs;
use crate::live::Hub;
use crate::machine::Sampler;
use crate::mirror::{KnownRun, Mirror};
use crate::paths::Roots;
use crate::preferences::Preferences;
use crate::records::Records;
use crate::settings::ServeSettings;

/// The server's state.
pub(crate) struct Studio {
    pub(crate) home: Home,
    pub(crate) settings: ServeSettings,
    pub(crate) guard: Arc<Guard>,
    pub(crate) storage: Arc<Storage>,
    pub(crate) runtime: Handle,
    pub(crate) preferences: Preferences,
    pub(crate) hub: Arc<Hub>,
    pub(crate) mirror: Arc<Mirror>,
    pub(crate) records: Records,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) sampler: Sampler,
}

/// The state as routes take it.
pub(crate) type Shared = axum::extract::State<Arc<Studio>>;

impl Studio {
    /// A run by id.
    pub(crate) async fn run(&self, id: &str) -> Answer<KnownRun> {
        self.mirror.find(id).await?.ok_or_else(|| Failure::missing("run", id))
    }

    /// The same for work that may wait.
    pub(crate) fn run_now(&self, id: &str) -> Answer<KnownRun> {
        self.wait(self.run(id))
    }

    /// Waits for an answer of the database. Not for threads that answer: see [`crate::request::blocking`].
    pub(crate) fn wait<T>(&self, answer: impl Future<Output = T>) -> T {
        self.runtime.block_on(answer)
    }

    /// Folders that may be read.
    pub(crate) fn roots(&self) -> Roots {
        Roots::new(self.home.root(), &self.preferences.settings().folders)
    }

    /// Calls something with the places where names of models are looked up.
    pub(crate) fn with_places<T>(&self, call: impl FnOnce(Places<'_>) -> T) -> T {
        let (models, runs) = (self.home.models(), self.home.runs());
        call(Places { models: &models, runs: &runs })
    }
}
