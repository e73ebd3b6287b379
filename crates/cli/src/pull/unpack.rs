//! A model that comes as a zip: its members, each as long as the catalogue says and with its SHA-256,
//! become files of the model's folder. Nothing else in the archive is read, and no name in it becomes
//! a file name.

use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::part_file::{BUFFER_BYTES, hex};
use super::progress::Progress;
use super::{Miss, miss_for};
use crate::catalogue::{Entry, Member};
use crate::interrupt;
use crate::messages::Msg;
use crate::problem::Problem;
use crate::store;

/// Unpacks the members of `entry` from `archive` into `folder`. All are checked before the first gets
/// its name, and the last of them says that they are all there.
pub(super) fn unpack(
    archive: File,
    folder: &Path,
    entry: &Entry,
    progress: &Progress,
) -> Result<(), Miss> {
    let unreadable = |e: zip::result::ZipError| {
        miss_for(Msg::ArchiveUnreadable {
            reason: e.to_string(),
        })
    };
    let mut archive = zip::ZipArchive::new(BufReader::new(archive)).map_err(unreadable)?;
    let label = Msg::LabelUnpacking {}.to_string();
    progress.start(entry.unpacked_bytes(), 0, &label);
    let mut done = 0;
    for member in &entry.archive {
        let mut reader = match archive.by_name(&member.name) {
            Ok(reader) => reader,
            Err(zip::result::ZipError::FileNotFound) => {
                return Err(miss_for(Msg::ArchiveNoMember {
                    member: member.name.clone(),
                }));
            }
            Err(e) => return Err(unreadable(e)),
        };
        write_member(&mut reader, &beside(folder, member), member, &mut |count| {
            done += count;
            progress.reach(done);
        })?;
    }
    for member in &entry.archive {
        let target = folder.join(&member.name);
        fs::rename(beside(folder, member), &target)
            .and_then(|()| store::sync_folder(&target))
            .map_err(|e| Problem::file(&target, &e))?;
    }
    progress.clear();
    Ok(())
}

fn beside(folder: &Path, member: &Member) -> std::path::PathBuf {
    folder.join(format!("{}.part", member.name))
}

fn write_member(
    reader: &mut dyn Read,
    path: &Path,
    member: &Member,
    came: &mut dyn FnMut(u64),
) -> Result<(), Miss> {
    let failed = |e: &std::io::Error| Problem::file(path, e);
    // A link here would let somebody else's file be overwritten.
    if fs::symlink_metadata(path).is_ok() {
        fs::remove_file(path).map_err(|e| failed(&e))?;
    }
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(|e| failed(&e))?;
    let mut hasher = Sha256::new();
    let mut len = 0;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        if interrupt::requested() {
            return Err(Problem::Interrupted.into());
        }
        let count = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(e) => {
                return Err(miss_for(Msg::ArchiveUnreadable {
                    reason: e.to_string(),
                }));
            }
        };
        len += count as u64;
        // Whatever the archive claims, no more is written than the catalogue says.
        if len > member.bytes {
            break;
        }
        file.write_all(&buffer[..count]).map_err(|e| failed(&e))?;
        hasher.update(&buffer[..count]);
        came(count as u64);
    }
    let found = hex(&hasher.finalize());
    if len != member.bytes || found != member.sha256 {
        let _ = fs::remove_file(path);
        return Err(miss_for(Msg::ArchiveMemberDiffers {
            member: member.name.clone(),
        }));
    }
    file.sync_all().map_err(|e| failed(&e))?;
    Ok(())
}
