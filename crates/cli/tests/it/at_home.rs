//! `terang` without a verb on a desktop: the app is served, and its page opened.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use crate::real;
use crate::support::Place;
use crate::terminal::Terminal;

/// Starts it in a terminal, with a browser that notes what it is to show: the address that is served, and
/// what the browser was told within a moment.
fn start(environment: &[(&str, &str)], patience: Duration) -> Option<(String, Option<String>)> {
    let real = real::model()?;
    let place = Place::new();
    let (bin, told) = (place.path("bin"), place.path("told"));
    std::fs::create_dir_all(&bin).unwrap();
    let browser = bin.join("xdg-open");
    let script = format!(
        "#!/bin/sh\necho \"$1\" > {0}.part\n/bin/mv {0}.part {0}\n",
        told.display()
    );
    std::fs::write(&browser, script).unwrap();
    std::fs::set_permissions(&browser, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = place.terang();
    command
        .env("TERANG_LISTEN", "127.0.0.1:0")
        .env("TERANG_MODELS", real.file());
    command.envs(environment.iter().copied());
    let mut terminal = Terminal::show(&mut command);
    let shown = terminal.wait("an address", |text| text.contains("; Ctrl-C"));
    let url = shown
        .split(" at ")
        .nth(1)
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let until = Instant::now() + patience;
    while !told.exists() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    terminal.interrupt();
    let told = std::fs::read_to_string(told).ok();
    Some((url, told.map(|told| told.trim().to_owned())))
}

#[test]
fn a_desktops_browser_is_told_the_address() {
    let desktop = [("DISPLAY", ":0")];
    let Some((url, told)) = start(&desktop, Duration::from_secs(30)) else {
        return;
    };
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    assert_eq!(told, Some(url));
}

#[test]
fn nobody_elses_browser_is() {
    for environment in [
        &[][..],
        &[
            ("DISPLAY", ":0"),
            ("SSH_CONNECTION", "192.0.2.1 1 192.0.2.2 22"),
        ],
        &[("DISPLAY", ":0"), ("TERANG_NO_OPEN", "1")],
    ] {
        let Some((_, told)) = start(environment, Duration::from_millis(300)) else {
            return;
        };
        assert_eq!(told, None, "{environment:?}");
    }
}
