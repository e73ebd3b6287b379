//! Wrong usage and the language of messages.

use crate::support::Place;

#[test]
fn wrong_usage_exits_with_2_and_one_line() {
    let place = Place::new();
    for (arguments, part) in [
        (&["pul"][..], "did you mean pull?"),
        (&["pull"], "missing <NAME>"),
        (
            &["pull", "x", "--foo"],
            "unknown argument --foo; see terang pull --help",
        ),
        (
            &["chat", "--temperature", "NaN", "q"],
            "allowed a number from 0 to 100",
        ),
        (&["chat", "--top-p=-1", "q"], "allowed a number from 0 to 1"),
        (
            &["chat", "--presence-penalty", "2.5", "q"],
            "allowed a number from -2 to 2",
        ),
        (
            &["chat", "--max-tokens", "0", "q"],
            "allowed a number from 1 to",
        ),
        (&["chat", "--seed", "-3", "q"], "--seed"),
        (&["chat", "--stop", "", "q"], "--stop"),
        (
            &["chat", "--json", "--quiet", "q"],
            "cannot be used together",
        ),
        (
            &["--threads", "0", "list"],
            "allowed a number from 1 to 1024",
        ),
        (&["--lang", "xx", "list"], "one of en, id"),
        (&["chat"], "nothing was asked"),
        (&["eval"], "missing"),
    ] {
        let outcome = place.run(arguments);
        outcome.fails(2, part);
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
        assert!(outcome.stdout.is_empty());
    }
}

#[test]
fn errors_are_in_the_language_that_was_asked_for() {
    let place = Place::new();
    place
        .run(&["--lang", "id", "pull", "nihil"])
        .fails(1, "tidak ada di katalog");
    place
        .run(&["pull", "x", "--lang=id", "--foo"])
        .fails(2, "tidak dikenal");
    let mut by_locale = place.terang();
    by_locale.env("LC_ALL", "id_ID.UTF-8").args(["rm", "nihil"]);
    crate::support::Outcome::from(by_locale.output().unwrap()).fails(1, "tidak ada di katalog");
}

#[test]
fn help_and_version_go_to_standard_output() {
    let place = Place::new();
    for arguments in [&["--help"][..], &["chat", "--help"], &["--version"]] {
        let outcome = place.run(arguments);
        outcome.succeeds();
        assert!(!outcome.stdout.is_empty() && outcome.stderr.is_empty());
    }
}

#[cfg(unix)]
#[test]
fn a_reader_that_leaves_is_no_failure() {
    use std::process::Stdio;
    let place = Place::new();
    let mut child = place
        .terang()
        .args(["chat", "--help"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(0));
}
