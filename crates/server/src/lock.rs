//! `server.lock` of a home: held by the server that lives there, with its address in it, so that a
//! second one opens the first one's page.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use apertis_runs::Home;

/// A server that has the lock writes its address within this.
const ADDRESS_WAIT: Duration = Duration::from_secs(3);

/// The lock, held until dropped.
#[derive(Debug)]
pub(crate) struct ServerLock {
    file: File,
}

impl ServerLock {
    /// Takes the lock of a home; `None` where another server has it.
    pub(crate) fn take(home: &Home) -> io::Result<Option<ServerLock>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path(home))?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0)?;
                Ok(Some(ServerLock { file }))
            }
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Says where the server is found.
    pub(crate) fn write(&mut self, address: &str) -> io::Result<()> {
        self.file.rewind()?;
        self.file.set_len(0)?;
        self.file.write_all(address.as_bytes())?;
        self.file.sync_data()
    }
}

/// The address of the server that lives in a home; `None` where none does.
pub fn address_of_living(home: &Home) -> Option<String> {
    let began = Instant::now();
    while began.elapsed() < ADDRESS_WAIT {
        let mut file = File::open(path(home)).ok()?;
        // A shared lock: those who only look do not see each other as servers.
        if !matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
            return None;
        }
        let mut text = String::new();
        file.read_to_string(&mut text).ok()?;
        if !text.is_empty() {
            return Some(text);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}

fn path(home: &Home) -> PathBuf {
    home.root().join("server.lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_a_home_and_the_second_finds_the_first() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let home = Home::open(folder.path()).expect("a new home");
        assert_eq!(address_of_living(&home), None);
        let mut lock = ServerLock::take(&home)?.expect("it is free");
        lock.write("http://127.0.0.1:8420")?;
        assert!(ServerLock::take(&home)?.is_none());
        assert_eq!(address_of_living(&home).as_deref(), Some("http://127.0.0.1:8420"));
        drop(lock);
        assert_eq!(address_of_living(&home), None);
        Ok(())
    }
}
