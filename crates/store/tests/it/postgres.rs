//! A PostgreSQL of the tests' own: a new cluster in a temporary folder, reached over a Unix socket
//! there alone, started once for all tests of a process and ended with it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

/// A running cluster.
pub(crate) struct Cluster {
    folder: PathBuf,
    programs: PathBuf,
    user: Option<Owner>,
    made: Mutex<u32>,
}

#[derive(Clone, Copy)]
struct Owner {
    uid: u32,
    gid: u32,
}

/// The cluster; `None`, loudly, where PostgreSQL is not installed.
pub(crate) fn cluster() -> Option<&'static Cluster> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    CLUSTER
        .get_or_init(|| {
            let started = programs().map(Cluster::start);
            if started.is_none() {
                let _ = writeln!(
                    std::io::stderr(),
                    "SKIPPED on PostgreSQL: it is not installed (Debian's package postgresql)"
                );
            }
            started
        })
        .as_ref()
}

/// A cluster of one test's own, which may end it and start it again.
#[allow(
    dead_code,
    reason = "only some of the programs that share this file do so"
)]
pub(crate) fn own_cluster() -> Option<Cluster> {
    cluster()?;
    programs().map(Cluster::start)
}

/// Where Debian's package keeps what only a server needs.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<PathBuf> = versions
        .flatten()
        .map(|version| version.path().join("bin"))
        .filter(|bin| bin.join("initdb").is_file() && bin.join("postgres").is_file())
        .collect();
    found.sort();
    found.pop()
}

/// PostgreSQL does not run as root; the package has made an account for it.
fn owner() -> Option<Owner> {
    let number = |flag: &str, name: &[&str]| {
        let output = Command::new("id").arg(flag).args(name).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    if number("-u", &[]) != Some(0) {
        return None;
    }
    Some(Owner {
        uid: number("-u", &["postgres"])?,
        gid: number("-g", &["postgres"])?,
    })
}

impl Cluster {
    fn start(programs: PathBuf) -> Self {
        // A short path: that of a socket has about a hundred bytes at most.
        let folder = tempfile::Builder::new()
            .prefix("pg")
            .tempdir()
            .unwrap()
            .keep();
        let cluster = Self {
            folder,
            programs,
            user: owner(),
            made: Mutex::default(),
        };
        if let Some(Owner { uid, gid }) = cluster.user {
            std::os::unix::fs::chown(&cluster.folder, Some(uid), Some(gid)).unwrap();
        }
        let data = cluster.data();
        cluster.run(
            "initdb",
            &[
                "-D",
                &data,
                "-U",
                "terang",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "-N",
            ],
        );
        cluster.start_again();
        cluster.watch();
        cluster
    }

    fn data(&self) -> String {
        self.folder.join("data").to_str().unwrap().to_owned()
    }

    pub(crate) fn start_again(&self) {
        let options = format!(
            "-c listen_addresses= -c unix_socket_directories={} -c max_connections=300",
            self.folder.display()
        );
        let log = self.folder.join("log");
        let log = log.to_str().unwrap();
        self.run(
            "pg_ctl",
            &["-D", &self.data(), "-o", &options, "-l", log, "-w", "start"],
        );
    }

    /// Ends it as a machine that loses power does.
    #[allow(
        dead_code,
        reason = "only some of the programs that share this file do so"
    )]
    pub(crate) fn stop(&self) {
        self.run(
            "pg_ctl",
            &["-D", &self.data(), "-m", "immediate", "-w", "stop"],
        );
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).stdin(Stdio::null());
        if let Some(Owner { uid, gid }) = self.user {
            use std::os::unix::process::CommandExt;
            command.uid(uid).gid(gid);
        }
        command
    }

    /// The server that is left behind holds what it inherits, so its words go into a file: a pipe
    /// would never end.
    fn run(&self, program: &str, arguments: &[&str]) {
        let path = self.folder.join(format!("{program}.err"));
        let log = std::fs::File::create(&path).unwrap();
        let mut command = self.command(&self.programs.join(program));
        command.args(arguments).stdout(Stdio::null()).stderr(log);
        let status = command.status().unwrap();
        let told = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(status.success(), "{program}: {told}");
    }

    /// A process that outlives this one ends the cluster and clears its folder away.
    #[allow(clippy::zombie_processes, reason = "it ends after this process")]
    fn watch(&self) {
        // Another account's processes cannot be signalled, but /proc shows them.
        let script = format!(
            "while [ -d /proc/{parent} ]; do sleep 1; done; \
             '{programs}/pg_ctl' -D '{folder}/data' -m immediate stop; rm -rf '{folder}'",
            parent = std::process::id(),
            programs = self.programs.display(),
            folder = self.folder.display(),
        );
        let mut command = self.command(Path::new("/bin/sh"));
        command.args(["-c", &script]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap();
    }

    /// The URL of a new and empty database.
    pub(crate) fn database(&self) -> String {
        // One at a time: who copies the template wants it alone.
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        *made += 1;
        let number = *made;
        let name = format!("test{number}");
        let socket = self.folder.to_str().unwrap();
        self.run("createdb", &["-h", socket, "-U", "terang", &name]);
        format!(
            "postgres://terang@localhost/{name}?host={}",
            socket.replace('/', "%2F")
        )
    }
}
