//! Opening a page in the person's browser, where there is one.

use std::process::{Command, Stdio};

/// Opens a page; whether there was a screen to open it on. Over SSH there is none that the person
/// sees.
pub(crate) fn open(url: &str, variable: impl Fn(&str) -> bool) -> bool {
    if !has_screen(&variable) {
        return false;
    }
    let (program, words) = opener(url);
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().is_ok_and(|mut child| {
        // It goes on without us; somebody has to wait for it, so that the system forgets it.
        std::thread::spawn(move || child.wait());
        true
    })
}

fn has_screen(variable: &dyn Fn(&str) -> bool) -> bool {
    let is_remote = ["SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY"].into_iter().any(variable);
    let has_display = cfg!(any(windows, target_os = "macos")) || ["DISPLAY", "WAYLAND_DISPLAY"].into_iter().any(variable);
    has_display && !is_remote
}

#[cfg(target_os = "macos")]
fn opener(url: &str) -> (&'static str, Vec<&str>) {
    ("open", vec![url])
}

#[cfg(windows)]
fn opener(url: &str) -> (&'static str, Vec<&str>) {
    ("rundll32", vec!["url.dll,FileProtocolHandler", url])
}

#[cfg(not(any(windows, target_os = "macos")))]
fn opener(url: &str) -> (&'static str, Vec<&str>) {
    ("xdg-open", vec![url])
}

#[cfg(all(test, unix, not(target_os = "macos")))]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_screen_only_with_a_display_and_not_over_ssh() {
        let check = |set: &[&str], expected| assert_eq!(has_screen(&|name: &str| set.contains(&name)), expected, "{set:?}");
        check(&[], false);
        check(&["DISPLAY"], true);
        check(&["WAYLAND_DISPLAY"], true);
        check(&["DISPLAY", "SSH_CONNECTION"], false);
    }
}
