//! Archives: each member is read by its own name, one after the other, and unpacks to a bounded size.

use super::{Bounded, Form, Item, MEMBERS_MAX, Pack, RATIO_MAX, Reading, Sink, UNPACKED_ALWAYS};
use super::{What, damaged};
use crate::Result;
use std::io::{BufReader, Read, Seek};
use zip::ZipArchive;
use zip::result::ZipError;

/// Whether a member is one to read: other files of an archive (pictures, programs) are passed over.
fn is_readable(name: &str) -> bool {
    const ENDS: [&str; 12] = [
        "txt", "text", "md", "markdown", "html", "htm", "json", "jsonl", "ndjson", "csv", "tsv",
        "rst",
    ];
    let lower = name.to_ascii_lowercase();
    let (_, stem) = Pack::of(&lower);
    let end = stem.rsplit_once('.').map_or("", |(_, end)| end);
    ENDS.contains(&end) || (end == "js" && super::is_posts(stem))
}

/// The form of members: a form that a whole archive has is that of its posts.
fn form_of(archive: Form) -> Form {
    match archive {
        Form::X | Form::Mastodon => Form::Auto,
        form => form,
    }
}

/// Whether members besides posts are of no interest.
fn posts_alone(archive: Form, name: &str) -> bool {
    match archive {
        Form::X => !super::is_posts(&name.to_ascii_lowercase()),
        Form::Mastodon => !name.ends_with("outbox.json"),
        _ => false,
    }
}

/// A zip.
pub(super) fn zip(reading: &Reading<'_>, file: impl Read + Seek, sink: Sink<'_>) -> Result<()> {
    let wrong = |error: ZipError| damaged(&reading.name, &error.to_string());
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(wrong)?;
    if archive.len() > MEMBERS_MAX {
        let reason = format!("{} members, allowed {MEMBERS_MAX}", archive.len());
        return Err(damaged(&reading.name, &reason));
    }
    // What all members unpack to together: many small bombs are a bomb.
    let mut left = UNPACKED_ALWAYS.max(reading.size.saturating_mul(RATIO_MAX));
    // An archive of X says by its files what it is.
    let is_x = archive
        .file_names()
        .any(|name| name.is_ok_and(|name| name.ends_with("data/tweets.js")));
    let form = if is_x && reading.source.form == Form::Auto {
        Form::X
    } else {
        reading.source.form
    };
    for index in 0..archive.len() {
        let member = archive.by_index(index).map_err(wrong)?;
        let name = member.name().map_err(wrong)?.into_owned();
        if member.is_dir() || posts_alone(form, &name) {
            continue;
        }
        let what = What::of(&name, form_of(form));
        if !is_readable(&name) || what.archive.is_some() || what.is_seekable() {
            sink(Item::Lost("unknown_form"))?;
            continue;
        }
        let inner = Reading {
            name: format!("{}/{name}", reading.name),
            source: reading.source,
            size: reading.size,
        };
        let mut bounded = Bounded {
            reader: member,
            left,
        };
        inner.stream(&mut bounded, what, sink)?;
        left = bounded.left;
    }
    Ok(())
}

/// A tar, in the order in which it comes.
pub(super) fn tar(reading: &Reading<'_>, reader: &mut dyn Read, sink: Sink<'_>) -> Result<()> {
    let mut archive = tar::Archive::new(reader);
    let entries = archive.entries().map_err(|error| reading.wrong(&error))?;
    for entry in entries {
        let mut entry = entry.map_err(|error| reading.wrong(&error))?;
        let path = entry.path().map_err(|error| reading.wrong(&error))?;
        let name = path.to_string_lossy().into_owned();
        let form = reading.source.form;
        if !entry.header().entry_type().is_file() || posts_alone(form, &name) {
            continue;
        }
        let what = What::of(&name, form_of(form));
        if !is_readable(&name) || what.archive.is_some() || what.is_seekable() {
            sink(Item::Lost("unknown_form"))?;
            continue;
        }
        let inner = Reading {
            name: format!("{}/{name}", reading.name),
            source: reading.source,
            size: reading.size,
        };
        inner.stream(&mut entry, what, sink)?;
    }
    Ok(())
}
