//! Links to folders beside them: a symbolic link, or on Windows a junction.

use std::fs;
use std::io;
use std::path::Path;

/// Points the link `name` in `root` to the folder `target` beside it; without a target the link
/// is removed.
pub(crate) fn point_link(root: &Path, name: &str, target: Option<&str>) -> io::Result<()> {
    let link = root.join(name);
    let Some(target) = target else {
        return match remove_link(&link) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    };
    if fs::read_link(&link).is_ok_and(|found| found == Path::new(target)) {
        return Ok(());
    }
    replace_link(root, &link, target)
}

#[cfg(unix)]
fn remove_link(link: &Path) -> io::Result<()> {
    fs::remove_file(link)
}

#[cfg(unix)]
fn replace_link(root: &Path, link: &Path, target: &str) -> io::Result<()> {
    let temporary = root.join(format!(".link.{}.tmp", std::process::id()));
    let _ = fs::remove_file(&temporary);
    std::os::unix::fs::symlink(target, &temporary)?;
    fs::rename(&temporary, link)
}

#[cfg(windows)]
fn remove_link(link: &Path) -> io::Result<()> {
    fs::remove_dir(link)
}

/// A symbolic link where the user may make one, else a junction, which anybody may.
#[cfg(windows)]
fn replace_link(root: &Path, link: &Path, target: &str) -> io::Result<()> {
    let _ = remove_link(link);
    if std::os::windows::fs::symlink_dir(target, link).is_ok() {
        return Ok(());
    }
    let status = std::process::Command::new("cmd")
        .args(["/C", "mklink", "/J"])
        .arg(link)
        .arg(root.join(target))
        .stdout(std::process::Stdio::null())
        .status()?;
    match status.success() {
        true => Ok(()),
        false => Err(io::Error::other("mklink could not make a junction")),
    }
}
