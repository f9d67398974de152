//! Keys, and the sessions that they open. Of secrets the database holds hashes only.

use std::time::{Duration, SystemTime};

use apertis_protocol::system::{Key, MadeKey};
use apertis_runs::clock::{now_text, text_of};
use apertis_storage::record::{KeyRecord, SessionRecord};
use apertis_storage::{Storage, StorageError};

use crate::guard::SESSION_SECONDS;
use crate::random;

/// Longest name of a key.
pub const KEY_NAME_MAX: usize = 80;

/// The keys that open something, without their secrets.
pub(crate) async fn list(storage: &Storage) -> Result<Vec<Key>, StorageError> {
    let keys = storage.keys().await?;
    Ok(keys.into_iter().filter(|key| key.revoked_at.is_none()).map(on_wire).collect())
}

/// Makes a key.
pub(crate) async fn make(storage: &Storage, name: &str) -> Result<MadeKey, StorageError> {
    let secret = format!("apertis_{}", random::hex::<24>());
    let record = KeyRecord {
        id: random::hex::<6>(),
        name: name.chars().filter(|letter| !letter.is_control()).take(KEY_NAME_MAX).collect(),
        prefix: secret[..14].to_owned(),
        hash: hash(&secret),
        created_at: now_text(),
        used_at: None,
        revoked_at: None,
    };
    storage.add_key(&record).await?;
    Ok(MadeKey { key: on_wire(record), secret })
}

/// The id of the key with a secret.
pub(crate) async fn find(storage: &Storage, secret: &str) -> Result<Option<String>, StorageError> {
    // What is looked up is a hash: how long it takes tells nothing about a secret.
    Ok(storage.key_by_hash(&hash(secret)).await?.map(|key| key.id))
}

/// Trades a key for a session's secret; `None` where it is no key.
pub(crate) async fn open_session(storage: &Storage, secret: &str) -> Result<Option<String>, StorageError> {
    let Some(key) = find(storage, secret).await? else { return Ok(None) };
    let now = now_text();
    storage.key_used(&key, &now).await?;
    storage.remove_ended_sessions(&now).await?;
    begin_session(storage, key).await.map(Some)
}

/// Opens a session for the holder of a key, or of none.
pub(crate) async fn begin_session(storage: &Storage, key_id: String) -> Result<String, StorageError> {
    let token = random::hex::<32>();
    let expires_at = text_of(SystemTime::now() + Duration::from_secs(SESSION_SECONDS));
    let session = SessionRecord { hash: hash(&token), key_id, label: String::new(), created_at: now_text(), expires_at };
    storage.add_session(&session).await?;
    Ok(token)
}

/// Whether a session goes on.
pub(crate) async fn knows_session(storage: &Storage, token: &str) -> Result<bool, StorageError> {
    Ok(storage.session_by_hash(&hash(token), &now_text()).await?.is_some())
}

/// Ends a session.
pub(crate) async fn close_session(storage: &Storage, token: &str) -> Result<(), StorageError> {
    storage.end_session(&hash(token)).await.map(|_| ())
}

fn on_wire(key: KeyRecord) -> Key {
    Key { id: key.id, name: key.name, prefix: key.prefix, created_at: key.created_at, used_at: key.used_at }
}

/// Secrets are long and random, so that a quick hash keeps them.
fn hash(secret: &str) -> String {
    blake3::derive_key("apertis server secrets, version 1", secret.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_opens_sessions_until_it_is_revoked() -> Result<(), StorageError> {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let storage = Storage::open(folder.path(), None).await?;
        let made = make(&storage, "lap\ntop").await?;
        assert_eq!(made.key.name, "laptop");
        assert_eq!(find(&storage, &made.secret).await?, Some(made.key.id.clone()));
        assert_eq!((find(&storage, "apertis_0").await?, open_session(&storage, "apertis_0").await?), (None, None));
        let token = open_session(&storage, &made.secret).await?.expect("the key is known");
        assert!(knows_session(&storage, &token).await? && !knows_session(&storage, &made.secret).await?);
        assert!(list(&storage).await?[0].used_at.is_some());
        for file in ["apertis.db", "apertis.db-wal"] {
            let bytes = std::fs::read(folder.path().join(file)).unwrap_or_default();
            let has = |secret: &str| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!has(&made.secret) && !has(&token), "{file}");
        }
        let other = open_session(&storage, &made.secret).await?.expect("the key is known");
        close_session(&storage, &other).await?;
        assert!(!knows_session(&storage, &other).await?);
        assert!(storage.revoke_key(&made.key.id, &now_text()).await?);
        assert!(!knows_session(&storage, &token).await?);
        assert_eq!((find(&storage, &made.secret).await?, list(&storage).await?.len()), (None, 0));
        Ok(())
    }
}
