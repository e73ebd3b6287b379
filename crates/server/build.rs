//! Puts the built front end into the program: each file with its type, its digest, and gzip's form of
//! it where that is smaller. Nothing but what lies in `web/build` is taken.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

#[allow(
    clippy::unnecessary_debug_formatting,
    reason = "a path as a literal of Rust"
)]
fn main() {
    // Asked for as it runs: a folder of results that was copied from another checkout still takes the
    // front end of this one.
    let here = env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let root = Path::new(&here).join("../../web/build");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    println!("cargo::rerun-if-changed={}", root.display());
    println!("cargo::rerun-if-changed=build.rs");
    let mut files = Vec::new();
    collect(&root, &root, &mut files);
    files.sort();
    let mut table = String::from("static FILES: &[File] = &[\n");
    for (index, (name, path)) in files.iter().enumerate() {
        let bytes = fs::read(path).expect("a file of the front end can be read");
        let mut digest = String::new();
        for byte in Sha256::digest(&bytes).iter().take(12) {
            let _ = write!(digest, "{byte:02x}");
        }
        let packed = gzip(&bytes);
        let packed = if packed.len() < bytes.len() * 9 / 10 {
            let beside = out.join(format!("{index}.gz"));
            fs::write(&beside, packed).expect("the output folder can be written");
            format!("Some(include_bytes!({beside:?}))")
        } else {
            "None".to_owned()
        };
        let path = path.canonicalize().expect("it was read just now");
        let _ = writeln!(
            table,
            "    File {{ path: {name:?}, bytes: include_bytes!({path:?}), gzip: {packed}, \
             digest: {digest:?} }},"
        );
    }
    table.push_str("];\n");
    fs::write(out.join("assets.rs"), table).expect("the output folder can be written");
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, PathBuf)>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(root, &path, files);
        } else if let Ok(name) = path.strip_prefix(root) {
            let parts: Vec<_> = name.iter().map(|part| part.to_string_lossy()).collect();
            files.push((format!("/{}", parts.join("/")), path.clone()));
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}
