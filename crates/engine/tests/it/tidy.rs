//! Hygiene of the whole source tree, as an ordinary test: small files, `unsafe` where the
//! architecture allows it, no unfinished code, and no package registry named by its host.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Look for the seam at 600 lines; this is the end.
const LINES_MAX: usize = 800;

/// Generated code and data tables that may be longer.
const LONG_FILES: [&str; 0] = [];

/// Where `unsafe` may stand: SIMD and the thread pool, the memory map, FFI; and the tests that count
/// allocations and that make special files.
const UNSAFE_ALLOWED: [&str; 4] = [
    "crates/kernels/",
    "crates/model/src/mapped/",
    "crates/model/tests/it/bounds.rs",
    "crates/model/tests/it/files_mapped.rs",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// Paths of the tree relative to `root`: what git tracks or would track; without git, all files
/// outside of hidden folders and build output.
fn tree(root: &Path) -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output();
    if let Ok(output) = listed
        && output.status.success()
    {
        let names = String::from_utf8(output.stdout).unwrap();
        return names.lines().map(str::to_string).collect();
    }
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if path.is_file() {
                let relative = path.strip_prefix(root).unwrap();
                found.push(relative.to_string_lossy().into_owned());
            }
        }
    }
    found
}

/// `visit` gets each text file of the tree, and adds what is wrong with it.
fn check(wanted: impl Fn(&str) -> bool, visit: impl Fn(&str, &str, &mut String)) {
    let root = root();
    let names = tree(&root);
    assert!(
        names.iter().any(|name| name == "crates/engine/src/lib.rs"),
        "the tree is listed wrongly"
    );
    let mut wrong = String::new();
    for name in names.iter().filter(|name| wanted(name)) {
        // Files deleted but not yet committed, and those that are no text, have nothing to check.
        if let Ok(content) = fs::read_to_string(root.join(name)) {
            visit(name, &content, &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

fn is_rust(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|end| end == "rs")
}

/// The lines of code without comments and, roughly, without string literals.
fn code_lines(content: &str) -> impl Iterator<Item = (usize, String)> {
    content.lines().enumerate().map(|(index, line)| {
        let code: String = line.split('"').step_by(2).collect();
        let code = code.split("//").next().unwrap_or("").to_string();
        (index + 1, code)
    })
}

#[test]
fn files_are_short() {
    check(is_rust, |name, content, wrong| {
        let lines = content.lines().count();
        if lines > LINES_MAX && !LONG_FILES.contains(&name) {
            writeln!(wrong, "{name}: {lines} lines, allowed {LINES_MAX}").unwrap();
        }
    });
}

#[test]
fn unsafe_stands_where_it_may() {
    check(is_rust, |name, content, wrong| {
        if UNSAFE_ALLOWED
            .iter()
            .any(|allowed| name.starts_with(allowed))
        {
            return;
        }
        for (line, code) in code_lines(content) {
            // A policy for browsers has 'unsafe-inline', which is another word.
            let mut words = code.split(|c: char| !c.is_alphanumeric() && !"_-".contains(c));
            if words.any(|word| word == "unsafe") {
                writeln!(wrong, "{name}:{line}: unsafe, which may not stand here").unwrap();
            }
        }
    });
}

#[test]
fn nothing_is_left_unfinished() {
    check(is_rust, |name, content, wrong| {
        for (line, code) in code_lines(content) {
            for unfinished in ["todo!", "unimplemented!", "dbg!"] {
                if code.contains(unfinished) {
                    writeln!(wrong, "{name}:{line}: {unfinished}").unwrap();
                }
            }
        }
    });
}

/// Packages are named, and the package clients know where they are: a mirror must be enough.
#[test]
fn no_registry_is_named_by_its_host() {
    let hosts: Vec<String> = [
        ["crates", "io"],
        ["pypi", "org"],
        ["pythonhosted", "org"],
        ["npmjs", "org"],
        ["npmjs", "com"],
        ["deb.debian", "org"],
    ]
    .map(|[name, domain]| format!("{name}.{domain}"))
    .to_vec();
    // Written by Cargo, which names the index itself.
    let wanted = |name: &str| name != "Cargo.lock" && !name.ends_with("/Cargo.lock");
    check(wanted, |name, content, wrong| {
        for (index, line) in content.lines().enumerate() {
            for host in hosts.iter().filter(|host| line.contains(host.as_str())) {
                writeln!(wrong, "{name}:{}: {host}", index + 1).unwrap();
            }
        }
    });
}
