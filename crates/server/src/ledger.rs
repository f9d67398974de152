//! What exists nowhere else: keys, sessions and settings, in `server.json` of the home.
//!
//! Secrets are kept as hashes only. `apertis keys` writes the same file, so it is read again when
//! it changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use apertis_protocol::system::{Key, MadeKey, Settings, SettingsChange};
use apertis_runs::Home;
use apertis_runs::clock::now_text;
use apertis_runs::durable::replace_file;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::guard::SESSION_SECONDS;
use crate::random;
use crate::request::etag;

/// Most bytes of one upload, unless a person says otherwise.
const UPLOAD_BYTES_MAX: u64 = 2 << 30;

/// Keys, sessions and settings of a home.
pub struct Ledger {
    path: PathBuf,
    state: Mutex<(Records, Option<SystemTime>)>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Records {
    settings: SettingsRecord,
    is_queue_paused: bool,
    keys: Vec<KeyRecord>,
    sessions: Vec<SessionRecord>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
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

#[derive(Debug, Clone, Serialize, Deserialize)]
struct KeyRecord {
    id: String,
    name: String,
    prefix: String,
    hash: String,
    created_at: String,
    #[serde(default)]
    used_at: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct SessionRecord {
    hash: String,
    key: String,
    ends_at: u64,
}

impl Ledger {
    /// The ledger of a home; empty where nothing was written yet.
    pub fn open(home: &Home) -> Ledger {
        Ledger { path: home.root().join("server.json"), state: Mutex::default() }
    }

    /// The keys, without their secrets.
    pub fn keys(&self) -> Vec<Key> {
        self.read().0.keys.iter().map(KeyRecord::on_wire).collect()
    }

    /// Makes a key.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn make_key(&self, name: &str) -> std::io::Result<MadeKey> {
        let secret = format!("apertis_{}", random::hex::<24>());
        let record = KeyRecord {
            id: random::hex::<6>(),
            name: name.chars().filter(|letter| !letter.is_control()).take(80).collect(),
            prefix: secret[..14].to_owned(),
            hash: hash(&secret),
            created_at: now_text(),
            used_at: None,
        };
        let key = record.on_wire();
        self.change(|records| records.keys.push(record))?;
        Ok(MadeKey { key, secret })
    }

    /// Takes a key back, with every session that was opened with it; whether there was one.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn revoke_key(&self, id: &str) -> std::io::Result<bool> {
        let mut was_there = false;
        self.change(|records| {
            was_there = records.keys.iter().any(|key| key.id == id);
            records.keys.retain(|key| key.id != id);
            records.sessions.retain(|session| session.key != id);
        })?;
        Ok(was_there)
    }

    /// Whether a secret is a key's.
    pub(crate) fn knows_key(&self, secret: &str) -> bool {
        self.key_of(secret).is_some()
    }

    /// Trades a key for a session's secret; `None` where it is no key.
    pub(crate) fn open_session(&self, secret: &str) -> std::io::Result<Option<String>> {
        let Some(key) = self.key_of(secret) else { return Ok(None) };
        let token = random::hex::<32>();
        let session = SessionRecord { hash: hash(&token), key: key.clone(), ends_at: now_seconds() + SESSION_SECONDS };
        self.change(|records| {
            records.sessions.retain(|session| session.ends_at > now_seconds());
            records.sessions.push(session);
            if let Some(key) = records.keys.iter_mut().find(|known| known.id == key) {
                key.used_at = Some(now_text());
            }
        })?;
        Ok(Some(token))
    }

    /// Whether a session goes on.
    pub(crate) fn knows_session(&self, token: &str) -> bool {
        let hash = hash(token);
        let state = self.read();
        state.0.sessions.iter().filter(|session| session.ends_at > now_seconds()).any(|session| is_same(&session.hash, &hash))
    }

    /// Ends a session.
    pub(crate) fn close_session(&self, token: &str) -> std::io::Result<()> {
        let hash = hash(token);
        self.change(|records| records.sessions.retain(|session| !is_same(&session.hash, &hash)))
    }

    /// The settings.
    pub(crate) fn settings(&self) -> Settings {
        self.read().0.settings.on_wire()
    }

    /// Changes settings.
    pub(crate) fn change_settings(&self, change: SettingsChange) -> std::io::Result<Settings> {
        self.change(|records| {
            let settings = &mut records.settings;
            settings.folders = change.folders.unwrap_or_else(|| settings.folders.clone());
            settings.theme = change.theme.unwrap_or_else(|| settings.theme.clone());
            settings.keep_awake = change.keep_awake.unwrap_or(settings.keep_awake);
            settings.upload_max_bytes = change.upload_max_bytes.unwrap_or(settings.upload_max_bytes);
            settings.watts = change.watts.unwrap_or(settings.watts);
            settings.tour_closed = change.tour_closed.unwrap_or(settings.tour_closed);
        })?;
        Ok(self.settings())
    }

    /// Whether nothing new begins.
    pub(crate) fn is_queue_paused(&self) -> bool {
        self.read().0.is_queue_paused
    }

    /// Holds the queue, or lets it move.
    pub(crate) fn pause_queue(&self, is_paused: bool) -> std::io::Result<()> {
        self.change(|records| records.is_queue_paused = is_paused)
    }

    fn key_of(&self, secret: &str) -> Option<String> {
        let hash = hash(secret);
        // All of them are looked at: how long it takes tells nothing.
        let state = self.read();
        state.0.keys.iter().filter(|key| is_same(&key.hash, &hash)).map(|key| key.id.clone()).last()
    }

    fn read(&self) -> MutexGuard<'_, (Records, Option<SystemTime>)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = changed_at(&self.path);
        if changed != state.1 {
            // A file that is damaged opens nothing: no key is known then.
            let read = fs::read(&self.path).ok().and_then(|text| serde_json::from_slice(&text).ok());
            *state = (read.unwrap_or_default(), changed);
        }
        state
    }

    fn change(&self, change: impl FnOnce(&mut Records)) -> std::io::Result<()> {
        let mut state = self.read();
        let mut records = state.0.clone();
        change(&mut records);
        let text = serde_json::to_vec_pretty(&records).expect("records are JSON");
        replace_file(&self.path, &text)?;
        keep_private(&self.path)?;
        *state = (records, changed_at(&self.path));
        Ok(())
    }
}

impl KeyRecord {
    fn on_wire(&self) -> Key {
        Key {
            id: self.id.clone(),
            name: self.name.clone(),
            prefix: self.prefix.clone(),
            created_at: self.created_at.clone(),
            used_at: self.used_at.clone(),
        }
    }
}

impl SettingsRecord {
    fn on_wire(&self) -> Settings {
        let text = serde_json::to_string(self).expect("records are JSON");
        Settings {
            folders: self.folders.clone(),
            theme: self.theme.clone(),
            keep_awake: self.keep_awake,
            upload_max_bytes: self.upload_max_bytes,
            watts: self.watts,
            tour_closed: self.tour_closed,
            etag: etag(&[&text]),
        }
    }
}

/// Secrets are long and random, so that a quick hash keeps them.
fn hash(secret: &str) -> String {
    blake3::derive_key("apertis server secrets, version 1", secret.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_same(known: &str, found: &str) -> bool {
    known.as_bytes().ct_eq(found.as_bytes()).into()
}

fn now_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn changed_at(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|data| data.modified()).ok()
}

#[cfg(unix)]
fn keep_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn keep_private(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_opens_sessions_until_it_is_revoked() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let home = Home::open(folder.path()).expect("a new home");
        let ledger = Ledger::open(&home);
        let made = ledger.make_key("laptop")?;
        assert!(ledger.knows_key(&made.secret) && !ledger.knows_key("apertis_0"));
        let token = ledger.open_session(&made.secret)?.expect("the key is known");
        assert!(ledger.knows_session(&token) && !ledger.knows_session(&made.secret));
        let text = fs::read_to_string(home.root().join("server.json"))?;
        assert!(!text.contains(&made.secret) && !text.contains(&token));
        // Another process knows them too, and sees that the key is gone.
        let other = Ledger::open(&home);
        assert!(other.knows_session(&token));
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(ledger.revoke_key(&made.key.id)?);
        assert!(!other.knows_session(&token) && !other.knows_key(&made.secret));
        assert!(!ledger.revoke_key(&made.key.id)?);
        Ok(())
    }
}
