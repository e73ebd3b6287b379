//! The memory map: file attack 19 (pipes, devices, a sparse terabyte, a file cut while mapped).
#![expect(
    unsafe_code,
    reason = "the tests make pipes, processes and foreign maps"
)]

use crate::bounds::refused_with;
use crate::gguf_writer::{GgufWriter, on_disk};
use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use terang_kernels::DType;
use terang_model::TensorSource;
use terang_model::checkpoint::Checkpoint;
use terang_model::gguf::Gguf;
use terang_model::mapped::MappedFile;

const LEN: usize = 1 << 20;

fn ones() -> (tempfile::TempDir, std::path::PathBuf) {
    on_disk("ones", &vec![1; LEN])
}

fn cut(path: &Path, len: u64) {
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(len)
        .unwrap();
}

#[test]
fn attack_19_only_regular_files() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe.gguf");
    let name = CString::new(pipe.as_os_str().as_bytes()).unwrap();
    // SAFETY: a terminated name.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    let socket = dir.path().join("socket.gguf");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let link = dir.path().join("link.gguf");
    std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
    for (path, kind) in [
        (Path::new("/dev/zero"), "a device"),
        (&link, "a device"),
        (&pipe, "a named pipe"),
        (&socket, "a socket"),
        (dir.path(), "a folder"),
    ] {
        refused_with(&["kind of file", kind, "a regular file"], || {
            Gguf::open(path)
        });
        refused_with(&[], || Checkpoint::open(path));
    }
}

#[test]
fn attack_19_a_sparse_terabyte() {
    let (_dir, path) = on_disk("zeros.gguf", b"");
    cut(&path, 1 << 40);
    refused_with(&["magic"], || Gguf::open(&path));
    let plain = path.with_extension("bin");
    std::fs::rename(&path, &plain).unwrap();
    refused_with(&["begins with"], || Checkpoint::open(&plain));

    // Strings of no bytes for a terabyte: the walk must stop at the header's limit.
    let strings = GgufWriter::default().array("strings", 8, 1 << 36, &[]);
    let (_dir, path) = on_disk("strings.gguf", &strings.bytes());
    cut(&path, 1 << 40);
    refused_with(&["strings", "68719476736 items"], || Gguf::open(&path));
    let strings = GgufWriter::default().array("strings", 8, 6 << 20, &[]);
    let (_dir, path) = on_disk("strings.gguf", &strings.bytes());
    cut(&path, 1 << 40);
    refused_with(&["strings"], || Gguf::open(&path));

    // A sound header over a terabyte of weights opens without reading them.
    let mut large = GgufWriter::default().row("w", &[1 << 18, 1 << 20], 0, 0);
    large.data = vec![0; 32];
    let (_dir, path) = on_disk("large.gguf", &large.bytes());
    cut(&path, (1 << 40) + 4096);
    let gguf = Gguf::open(&path).unwrap();
    assert_eq!(gguf.require("w").unwrap().data.len(), 1 << 40);
}

#[test]
fn attack_19_a_file_cut_while_mapped() {
    let (_dir, path) = ones();
    let map = MappedFile::open(&path).unwrap();
    map.check_intact().unwrap();
    cut(&path, 5000);
    let sum: usize = map.bytes().iter().map(|x| usize::from(*x)).sum();
    assert_eq!(sum, 5000);
    let error = map.check_intact().unwrap_err().to_string();
    assert!(
        error.contains("file size") && error.contains("5000 bytes"),
        "{error}"
    );
    // Growing again does not bring the lost bytes back.
    cut(&path, LEN as u64);
    let error = map.check_intact().unwrap_err().to_string();
    assert!(error.contains("could not be read"), "{error}");
    drop(map);
    MappedFile::open(&path).unwrap().check_intact().unwrap();
}

#[test]
fn a_cut_is_seen_without_reading_the_lost_part() {
    let (_dir, path) = ones();
    let map = MappedFile::open(&path).unwrap();
    cut(&path, LEN as u64 - 1);
    map.check_intact().unwrap_err();
}

#[test]
fn threads_that_read_while_the_file_is_cut_go_on() {
    for _ in 0..20 {
        let (_dir, path) = ones();
        let maps: Vec<MappedFile> = (0..4).map(|_| MappedFile::open(&path).unwrap()).collect();
        std::thread::scope(|scope| {
            for map in &maps {
                for _ in 0..2 {
                    scope.spawn(|| {
                        for bytes in map.bytes().rchunks(4096) {
                            assert!(bytes.iter().all(|x| *x <= 1));
                        }
                    });
                }
            }
            scope.spawn(|| cut(&path, 0));
        });
        for map in &maps {
            map.check_intact().unwrap_err();
            assert!(map.bytes().iter().all(|x| *x <= 1));
        }
    }
}

#[test]
fn a_model_cut_while_open_reports_it() {
    let writer = GgufWriter::default()
        .str("general.architecture", "llama")
        .tensor("a", &[4, 8192], DType::F32, &vec![1; 4 * 8192 * 4]);
    let (_dir, path) = on_disk("model.gguf", &writer.bytes());
    let gguf = Gguf::open(&path).unwrap();
    cut(&path, 10);
    assert!(gguf.require("a").unwrap().data.iter().all(|x| *x == 0));
    assert!(gguf.metadata().str("general.architecture").is_ok());
    let error = gguf.check_intact().unwrap_err().to_string();
    assert!(error.contains("model.gguf"), "{error}");
}

#[test]
fn released_pages_come_back_from_the_file() {
    let (_dir, path) = ones();
    let map = MappedFile::open(&path).unwrap();
    for part in [0..LEN, 1..LEN - 1, 100..200, 4095..4097, 8192..8192] {
        map.done_with(&map.bytes()[part]);
        assert!(map.bytes().iter().all(|x| *x == 1));
    }
    map.done_with(&[0; 100]);
    map.check_intact().unwrap();
}

#[test]
fn many_maps_come_and_go() {
    let (_dir, path) = ones();
    for _ in 0..3 {
        let maps: Vec<_> = (0..1500).map(|_| MappedFile::open(&path)).collect();
        // The registry has room for them; the limit on open files may not.
        assert!(maps.iter().filter(|map| map.is_ok()).count() > 500);
    }
}

/// Runs `child` in a process of its own; the signal that ended it.
fn signal_of(child: impl FnOnce()) -> Option<i32> {
    // SAFETY: the child makes system calls and reads memory only, then leaves without unwinding.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        child();
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status))
}

#[test]
fn faults_outside_of_our_maps_still_end_the_process() {
    let (_dir, path) = ones();
    let ours = MappedFile::open(&path).unwrap();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    // SAFETY: a fresh map of an open file.
    let foreign = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            LEN,
            libc::PROT_READ,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    assert_ne!(foreign, libc::MAP_FAILED);
    file.set_len(0).unwrap();
    // SAFETY: a mapped address; reading it is meant to fault.
    let read_foreign = || unsafe {
        foreign.cast::<u8>().read_volatile();
    };
    assert_eq!(signal_of(read_foreign), Some(libc::SIGBUS));
    // SAFETY: sends a signal to the child itself, twice: the runtime's own handler only resets to
    // the default action.
    let raise = || unsafe {
        libc::raise(libc::SIGBUS);
        libc::raise(libc::SIGBUS);
    };
    assert_eq!(signal_of(raise), Some(libc::SIGBUS));
    assert_eq!(signal_of(|| assert_eq!(ours.bytes()[0], 0)), None);
    // SAFETY: the range mapped above.
    unsafe { libc::munmap(foreign, LEN) };
}
