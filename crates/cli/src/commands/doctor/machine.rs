//! The data folder, the processor and the memory.

use std::path::Path;

use terang_kernels::{Cpu, ThreadPool};
use terang_server::Config;

use super::Finding;
use super::models::Sizes;
use crate::data_dir::DataDir;
use crate::messages::{Msg, human_bytes};
use crate::pull::free_bytes;

/// Below this the smallest model does not fit any more.
const FREE_BYTES_MIN: u64 = 256 << 20;

/// Can it be written to, and is there room?
pub(super) fn data_folder(data: &DataDir) -> Vec<Finding> {
    const CHECK: &str = "data_folder";
    let path = data.root().display().to_string();
    let next = || Msg::DoctorFolderNext {};
    // What is not there is made when it is needed, in the nearest folder that is.
    let mut above = data.root().ancestors().map(|folder| match folder {
        // What comes above a relative path's first part.
        folder if folder.as_os_str().is_empty() => Path::new("."),
        folder => folder,
    });
    let Some(nearest) = above.find(|folder| folder.exists()) else {
        return vec![Finding::wrong(
            CHECK,
            &Msg::DoctorFolderLocked { path },
            next(),
        )];
    };
    if !nearest.is_dir() {
        return vec![Finding::wrong(
            CHECK,
            &Msg::DoctorFolderNone { path },
            next(),
        )];
    }
    if !is_writable(nearest) {
        return vec![Finding::wrong(
            CHECK,
            &Msg::DoctorFolderLocked { path },
            next(),
        )];
    }
    let free = free_bytes(nearest);
    let size = free.map_or_else(|| "?".to_owned(), human_bytes);
    let found = Msg::DoctorFolder { path, size };
    vec![match free {
        Some(free) if free < FREE_BYTES_MIN => {
            Finding::wrong(CHECK, &found, Msg::DoctorSpaceNext {})
        }
        _ => Finding::well(CHECK, &found),
    }]
}

#[cfg(unix)]
fn is_writable(folder: &Path) -> bool {
    use rustix::fs::Access;
    rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

#[cfg(not(unix))]
fn is_writable(folder: &Path) -> bool {
    std::fs::metadata(folder).is_ok_and(|meta| !meta.permissions().readonly())
}

/// Which kernels run, and on how many threads.
pub(super) fn processor(threads: usize) -> Finding {
    const CHECK: &str = "cpu";
    let cpu = match Cpu::from_env() {
        Ok(cpu) => cpu,
        Err(error) => return Finding::wrong(CHECK, &error, Msg::DoctorCpuNext {}),
    };
    let cores = ThreadPool::default_threads();
    let found = Msg::DoctorCpu {
        level: cpu.name().to_owned(),
        threads: threads.to_string(),
        cores: cores.to_string(),
    };
    if threads > cores {
        Finding::warning(CHECK, &found, Msg::DoctorThreadsNext {})
    } else if cpu == Cpu::SCALAR {
        Finding::warning(CHECK, &found, Msg::DoctorScalarNext {})
    } else {
        Finding::well(CHECK, &found)
    }
}

/// Do the models and their caches fit into the memory that is free?
pub(super) fn memory(config: &Config, sizes: &Sizes) -> Finding {
    const CHECK: &str = "memory";
    let limit = match config.memory_limit_bytes {
        0 => u64::MAX,
        limit => limit,
    };
    // The first model is loaded at the start; all of them at once is the most there can be.
    let all = sizes.weights.min(limit).saturating_add(sizes.caches);
    let Some(available) = available_bytes() else {
        return Finding::well(
            CHECK,
            &Msg::DoctorMemoryUnknown {
                needed: human_bytes(all),
            },
        );
    };
    let found = Msg::DoctorMemory {
        needed: human_bytes(all),
        available: human_bytes(available),
    };
    if sizes.first > available {
        Finding::wrong(CHECK, &found, Msg::DoctorMemoryNext {})
    } else if all > available {
        Finding::warning(CHECK, &found, Msg::DoctorMemoryNext {})
    } else {
        Finding::well(CHECK, &found)
    }
}

/// Free memory of the machine, or of the container where that has less.
fn available_bytes() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| {
        let line = text
            .lines()
            .find(|line| line.starts_with("MemAvailable:"))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        kib.checked_mul(1024)
    })?;
    let group = read("/proc/self/cgroup").unwrap_or_default();
    let group = group.lines().find_map(|line| line.strip_prefix("0::"));
    let number = |name: &str| -> Option<u64> {
        let of_group = group.map(|group| format!("/sys/fs/cgroup{group}/{name}"));
        let text = of_group.and_then(|path| read(&path));
        let text = text.or_else(|| read(&format!("/sys/fs/cgroup/{name}")))?;
        // "max" is no number: no limit.
        text.trim().parse().ok()
    };
    let container = number("memory.max")
        .map(|max| max.saturating_sub(number("memory.current").unwrap_or_default()));
    Some(container.map_or(machine, |container| container.min(machine)))
}
