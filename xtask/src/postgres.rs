//! A PostgreSQL of the tests' own: found or installed, started on a socket in a temporary folder,
//! and ended with the tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// Tests read its address here. Set beforehand, that one is used; `none` leaves PostgreSQL out.
pub(crate) const VARIABLE: &str = "APERTIS_TEST_POSTGRES";

/// How long a start may take on a busy machine.
const START_TIME: Duration = Duration::from_secs(60);

/// A server that ends when dropped.
pub(crate) struct Postgres {
    server: Child,
    programs: PathBuf,
    folder: PathBuf,
    user: Option<User>,
}

/// Whom it runs as: it refuses to run as root.
#[derive(Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

impl Postgres {
    /// Starts one, unless the tests were given another or told to leave it out.
    pub(crate) fn start() -> Result<Option<Postgres>> {
        if std::env::var_os(VARIABLE).is_some() {
            return Ok(None);
        }
        if cfg!(not(unix)) {
            println!("PostgreSQL is left out on this system; {VARIABLE}=postgres://… tests with one");
            return Ok(None);
        }
        let programs = match find_programs() {
            Some(programs) => programs,
            None => {
                install()?;
                find_programs().context("PostgreSQL was installed, but initdb is not to be found")?
            }
        };
        let folder = std::env::temp_dir().join(format!("apertis-postgres-{}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let user = unprivileged(&folder)?;
        let data = folder.join("data");
        let mut making = program(&programs.join("initdb"), user);
        making.arg("-D").arg(&data).args(["-U", "apertis", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        let made = making.current_dir(&folder).output().context("cannot start initdb")?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let log = fs::File::create(folder.join("log"))?;
        let mut starting = program(&programs.join("postgres"), user);
        starting.arg("-D").arg(&data).arg("-k").arg(&folder).args(["-c", "listen_addresses=", "-c", "fsync=off"]);
        let server = starting.current_dir(&folder).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
        let server = server.context("cannot start postgres")?;
        let mut postgres = Postgres { server, programs, folder, user };
        postgres.wait()?;
        Ok(Some(postgres))
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://apertis@localhost/postgres?host={folder}")
    }

    fn wait(&mut self) -> Result<()> {
        let began = Instant::now();
        loop {
            let mut asking = program(&self.programs.join("pg_isready"), self.user);
            let asked = asking.arg("-q").arg("-h").arg(&self.folder).current_dir(&self.folder).status();
            if asked.context("cannot start pg_isready")?.success() {
                return Ok(());
            }
            let has_ended = self.server.try_wait()?.is_some();
            if has_ended || began.elapsed() > START_TIME {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                bail!("PostgreSQL does not start:\n{log}");
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let mut ending = program(&self.programs.join("pg_ctl"), self.user);
        ending.args(["stop", "-s", "-m", "immediate", "-D"]).arg(self.folder.join("data"));
        if !ending.current_dir(&self.folder).status().is_ok_and(|status| status.success()) {
            // It may have ended by itself.
            let _ = self.server.kill();
        }
        let _ = self.server.wait();
        // A folder left behind in the temporary ones is in nobody's way.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The folder that holds initdb: on the path, or where Debian keeps it.
fn find_programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut versions: Vec<PathBuf> =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path().join("bin")).collect();
    versions.sort();
    folders.extend(versions.into_iter().rev());
    folders.into_iter().find(|folder| ["initdb", "postgres", "pg_ctl", "pg_isready"].iter().all(|name| folder.join(name).is_file()))
}

fn install() -> Result<()> {
    println!("PostgreSQL is missing; installing Debian's");
    let hint = format!("install PostgreSQL, or set {VARIABLE} to an address of one, or to `none` to leave it out");
    for arguments in [&["update", "-q"][..], &["install", "-q", "-y", "--no-install-recommends", "postgresql"]] {
        let status = Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive").status();
        let is_done = status.is_ok_and(|status| status.success());
        ensure!(is_done, "apt-get {} failed: {hint}", arguments.join(" "));
    }
    Ok(())
}

#[cfg(unix)]
fn unprivileged(folder: &Path) -> Result<Option<User>> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    // Who owns what was just made is who runs this.
    if fs::metadata(folder)?.uid() != 0 {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    let find = |name: &str| {
        let fields: Vec<&str> = users.lines().map(|line| line.split(':').collect()).find(|fields: &Vec<&str>| fields[0] == name)?;
        Some(User { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
    };
    let user = find("postgres").or_else(|| find("nobody")).context("there is no user postgres or nobody to run PostgreSQL as")?;
    chown(folder, Some(user.uid), Some(user.gid))?;
    // The tests, which run as root, reach the socket all the same.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    Ok(Some(user))
}

#[cfg(unix)]
fn program(path: &Path, user: Option<User>) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(path);
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    command
}

#[cfg(not(unix))]
fn unprivileged(_folder: &Path) -> Result<Option<User>> {
    Ok(None)
}

#[cfg(not(unix))]
fn program(path: &Path, _user: Option<User>) -> Command {
    Command::new(path)
}
