//! The app's page in the person's own browser, where there is a person and a browser: a program that is
//! started from a desktop's terminal opens it, a service and a session over SSH do not.

use std::io::IsTerminal as _;

/// Opens `url` if a person at this machine's own screen started the program. Whether a browser came of it
/// is the browser's business: the address is printed in any case.
pub(crate) fn open(url: &str) {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if std::io::stdout().is_terminal() && is_desktop(is_set) {
        let _ = open::that_detached(url);
    }
}

/// Whether the environment is that of a screen. Windows and macOS always have one, but for a session
/// over SSH.
fn is_desktop(is_set: impl Fn(&str) -> bool) -> bool {
    let has_screen =
        cfg!(any(windows, target_os = "macos")) || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY");
    has_screen && !is_set("SSH_CONNECTION") && !is_set("TERANG_NO_OPEN")
}

#[cfg(test)]
mod tests {
    use super::is_desktop;

    #[test]
    fn a_session_over_ssh_and_one_who_declined_see_no_browser() {
        assert!(is_desktop(|name| name == "DISPLAY"));
        assert!(is_desktop(|name| name == "WAYLAND_DISPLAY"));
        assert!(!is_desktop(
            |name| ["DISPLAY", "SSH_CONNECTION"].contains(&name)
        ));
        assert!(!is_desktop(
            |name| ["DISPLAY", "TERANG_NO_OPEN"].contains(&name)
        ));
        #[cfg(not(any(windows, target_os = "macos")))]
        assert!(!is_desktop(|_| false));
    }
}
