//! What a person decided about the server: settings, and whether the queue moves. Kept in the
//! database, and beside it in memory, since every request asks for them.

use std::sync::{Arc, PoisonError, RwLock};

use apertis_protocol::system::{Settings, SettingsChange};
use apertis_storage::{Storage, StorageError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Most bytes of one upload, unless a person says otherwise.
const UPLOAD_BYTES_MAX: u64 = 2 << 30;
/// Names of the settings in the database.
const SERVER: &str = "server";
const QUEUE_PAUSED: &str = "queue_paused";

/// Settings of a home.
pub(crate) struct Preferences {
    storage: Arc<Storage>,
    known: RwLock<(SettingsRecord, u64)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct SettingsRecord {
    folders: Vec<String>,
    theme: String,
    keep_awake: bool,
    upload_max_bytes: u64,
    watts: f64,
    tour_closed: bool,
}

impl Default for SettingsRecord {
    fn default() -> Self {
        SettingsRecord {
            folders: Vec::new(),
            theme: "system".to_owned(),
            keep_awake: true,
            upload_max_bytes: UPLOAD_BYTES_MAX,
            watts: 0.0,
            tour_closed: false,
        }
    }
}

impl Preferences {
    /// Reads them.
    pub(crate) async fn open(storage: &Arc<Storage>) -> Result<Preferences, StorageError> {
        let saved = storage.setting(SERVER).await?;
        // What another version wrote is read as far as it is known.
        let known = saved.map(|saved| (serde_json::from_value(saved.value).unwrap_or_default(), saved.version));
        Ok(Preferences { storage: storage.clone(), known: RwLock::new(known.unwrap_or_default()) })
    }

    /// The settings.
    pub(crate) fn settings(&self) -> Settings {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.0.on_wire(known.1)
    }

    /// Changes settings, unless somebody else did meanwhile.
    pub(crate) async fn change(&self, change: SettingsChange) -> Result<Settings, StorageError> {
        let (mut settings, version) = self.known.read().unwrap_or_else(PoisonError::into_inner).clone();
        settings.folders = change.folders.unwrap_or(settings.folders);
        settings.theme = change.theme.unwrap_or(settings.theme);
        settings.keep_awake = change.keep_awake.unwrap_or(settings.keep_awake);
        settings.upload_max_bytes = change.upload_max_bytes.unwrap_or(settings.upload_max_bytes);
        settings.watts = change.watts.unwrap_or(settings.watts);
        settings.tour_closed = change.tour_closed.unwrap_or(settings.tour_closed);
        let value = serde_json::to_value(&settings).expect("settings are JSON");
        let version = self.storage.save_setting(SERVER, &value, Some(version)).await?;
        let changed = settings.on_wire(version);
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = (settings, version);
        Ok(changed)
    }

    /// Whether nothing new begins.
    pub(crate) async fn is_queue_paused(&self) -> Result<bool, StorageError> {
        let saved = self.storage.setting(QUEUE_PAUSED).await?;
        Ok(saved.is_some_and(|saved| saved.value == Value::Bool(true)))
    }

    /// Holds the queue, or lets it move.
    pub(crate) async fn pause_queue(&self, is_paused: bool) -> Result<(), StorageError> {
        self.storage.save_setting(QUEUE_PAUSED, &Value::Bool(is_paused), None).await.map(|_| ())
    }
}

impl SettingsRecord {
    fn on_wire(&self, version: u64) -> Settings {
        Settings {
            folders: self.folders.clone(),
            theme: self.theme.clone(),
            keep_awake: self.keep_awake,
            upload_max_bytes: self.upload_max_bytes,
            watts: self.watts,
            tour_closed: self.tour_closed,
            etag: version.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn settings_outlive_the_server_and_two_who_change_them_notice() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let storage = Arc::new(Storage::open(folder.path(), None).await.expect("a database"));
        let one = Preferences::open(&storage).await.expect("settings");
        let other = Preferences::open(&storage).await.expect("settings");
        assert_eq!((one.settings().theme.as_str(), one.settings().etag.as_str()), ("system", "0"));
        let dark = SettingsChange { theme: Some("dark".to_owned()), ..SettingsChange::default() };
        assert_eq!(one.change(dark.clone()).await.expect("a change").etag, "1");
        assert!(matches!(other.change(dark).await, Err(StorageError::Conflict { found: 1, .. })));
        one.pause_queue(true).await.expect("a change");
        let later = Preferences::open(&storage).await.expect("settings");
        assert_eq!((later.settings().theme.as_str(), later.is_queue_paused().await.expect("it is read")), ("dark", true));
    }
}
