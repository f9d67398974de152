//! What all routes share: the home, its runs, rooms, jobs and keys.

use std::sync::Arc;

use apertis_library::Places;
use apertis_runs::Home;

use crate::failure::{Answer, Failure};
use crate::guard::Guard;
use crate::jobs::Jobs;
use crate::ledger::Ledger;
use crate::live::Hub;
use crate::machine::Sampler;
use crate::mirror::{KnownRun, Mirror};
use crate::paths::Roots;
use crate::settings::ServeSettings;

/// The server's state.
pub(crate) struct Studio {
    pub(crate) home: Home,
    pub(crate) settings: ServeSettings,
    pub(crate) guard: Arc<Guard>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) mirror: Arc<Mirror>,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) sampler: Sampler,
}

/// The state as routes take it.
pub(crate) type Shared = axum::extract::State<Arc<Studio>>;

impl Studio {
    /// A run by id.
    pub(crate) fn run(&self, id: &str) -> Answer<KnownRun> {
        self.mirror.find(id).ok_or_else(|| Failure::missing("run", id))
    }

    /// Folders that may be read.
    pub(crate) fn roots(&self) -> Roots {
        Roots::new(self.home.root(), &self.ledger.settings().folders)
    }

    /// Calls something with the places where names of models are looked up.
    pub(crate) fn with_places<T>(&self, call: impl FnOnce(Places<'_>) -> T) -> T {
        let (models, runs) = (self.home.models(), self.home.runs());
        call(Places { models: &models, runs: &runs })
    }
}
