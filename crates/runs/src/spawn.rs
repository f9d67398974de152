//! Starting a worker that outlives whoever started it.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::error::AtPath;
use crate::{RunFolder, RunsError};

/// Starts `program arguments… RUN_DIR` as a worker: in a session of its own, without a terminal,
/// what it prints going to `worker.log`. The child may be waited for or forgotten.
///
/// # Errors
/// The log cannot be opened or the program not started.
pub fn spawn_worker<A: AsRef<OsStr>>(program: &Path, arguments: &[A], folder: &RunFolder) -> Result<Child, RunsError> {
    let path = folder.worker_log();
    let log = OpenOptions::new().append(true).create(true).open(&path).at("open", &path)?;
    let errors = log.try_clone().at("open", &path)?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .arg(folder.path())
        // A worker must not keep a folder busy that somebody wants to remove or unmount.
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors);
    detach(&mut command);
    command.spawn().at("start", program)
}

#[cfg(unix)]
fn detach(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    // SAFETY: between fork and exec only `setsid` is called, which is async-signal-safe and
    // touches no memory of ours.
    unsafe {
        command.pre_exec(|| rustix::process::setsid().map(|_| ()).map_err(Into::into));
    }
}

#[cfg(windows)]
fn detach(command: &mut Command) {
    use std::os::windows::process::CommandExt;
    const DETACHED_PROCESS: u32 = 0x0000_0008;
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;
    command.creation_flags(DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP);
}
