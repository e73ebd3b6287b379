//! The files that a pattern names, in one order on every machine.

use crate::config::fits_name;
use crate::{DataError, Result, error::at};
use std::path::{Path, PathBuf};

/// Folders below a base are searched no deeper.
const DEPTH_MAX: usize = 32;
/// Most files of a source.
const FILES_MAX: usize = 4_000_000;

/// The files below `base` that a pattern names, with their paths from there, sorted.
pub(crate) fn find(base: &Path, pattern: &str, source: &str) -> Result<Vec<(PathBuf, String)>> {
    if !pattern.contains('*') {
        return Ok(vec![(base.join(pattern), pattern.to_owned())]);
    }
    // What stands before the first star need not be searched for.
    let fixed = pattern.find('*').unwrap_or(0);
    let fixed = pattern[..fixed].rfind('/').map_or(0, |slash| slash + 1);
    let (prefix, rest) = pattern.split_at(fixed);
    let mut found = Vec::new();
    let depth = if rest.contains("**") {
        DEPTH_MAX
    } else {
        rest.matches('/').count()
    };
    let folder = base.join(prefix);
    if folder.is_dir() {
        walk(&folder, prefix, depth, &mut |path, name| {
            if fits(pattern, &name) {
                found.push((path, name));
            }
            found.len() <= FILES_MAX
        })?;
    }
    if found.is_empty() {
        return Err(DataError::NoFiles {
            source_name: source.to_owned(),
            pattern: pattern.to_owned(),
        });
    }
    found.sort_by(|a, b| a.1.cmp(&b.1));
    Ok(found)
}

fn walk(
    folder: &Path,
    prefix: &str,
    depth: usize,
    visit: &mut dyn FnMut(PathBuf, String) -> bool,
) -> Result<()> {
    for entry in std::fs::read_dir(folder).map_err(at(folder))? {
        let entry = entry.map_err(at(folder))?;
        let path = entry.path();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        // A link to a folder may lead back to where it stands.
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder {
            if depth > 0 {
                walk(&path, &format!("{name}/"), depth - 1, visit)?;
            }
        } else if path.is_file() && !visit(path, name) {
            break;
        }
    }
    Ok(())
}

/// Whether a path fits a pattern: `*` stands for any part of a name, `**` for any folders.
pub(crate) fn fits(pattern: &str, path: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    fits_parts(&pattern, &path)
}

fn fits_parts(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) => (0..=path.len()).any(|skip| fits_parts(rest, &path[skip..])),
        (Some((first, pattern)), Some((name, path))) => {
            fits_name(first, name) && fits_parts(pattern, path)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_names_and_folders() {
        for (pattern, path, expected) in [
            ("*.txt", "a.txt", true),
            ("*.txt", "b/a.txt", false),
            ("**/*.txt", "a.txt", true),
            ("**/*.txt", "b/c/a.txt", true),
            ("help/**/*.html", "help/x/1.html", true),
            ("help/**/*.html", "other/x/1.html", false),
            ("a*b*c", "a1b2c", true),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(fits(pattern, path), expected, "{pattern} {path}");
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("x/y")).unwrap();
        for name in ["x/b.txt", "x/a.txt", "x/y/c.txt", "x/d.md"] {
            std::fs::write(folder.path().join(name), "t").unwrap();
        }
        let names = |pattern| -> Vec<String> {
            let found = find(folder.path(), pattern, "s").unwrap();
            found.into_iter().map(|(_, name)| name).collect()
        };
        assert_eq!(names("x/*.txt"), ["x/a.txt", "x/b.txt"]);
        assert_eq!(names("x/**/*.txt"), ["x/a.txt", "x/b.txt", "x/y/c.txt"]);
        let error = find(folder.path(), "x/*.pdf", "s").unwrap_err().to_string();
        assert!(error.contains("x/*.pdf"), "{error}");
    }
}
