//! How a model is computed with: what every verb that loads one may be told.

use clap::{Args, ValueEnum};
use terang_engine::EngineOptions;
use terang_kernels::ThreadPool;
use terang_model::decoder::{KvType, PackedCache};

use crate::data_dir::DataDir;

/// Options of every verb that loads a model.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Compute {
    /// Threads to compute with; all cores when absent
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// How keys and values are kept: int8 takes half the memory and gives slightly other answers
    #[arg(long, global = true, value_name = "TYPE", default_value = "f16")]
    kv_type: KvTypeName,
    /// GiB of disk for weights as they are in memory, which make the next start fast; 0 keeps none
    #[arg(long, global = true, value_name = "GIB", default_value_t = 16, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    packed_cache: u32,
}

/// Storage of keys and values, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KvTypeName {
    /// Half precision.
    F16,
    /// Single precision.
    F32,
    /// Codes of 8 bits.
    Int8,
}

impl Compute {
    /// The engine's options, with its defaults for all else.
    pub(crate) fn engine(self, data: &DataDir) -> EngineOptions {
        EngineOptions {
            threads: self.threads.map(usize::from),
            kv_type: self.kv_type(),
            packed_cache: self.packed_cache(data),
            ..EngineOptions::default()
        }
    }

    /// Threads to compute with.
    pub(crate) fn threads(self) -> usize {
        self.threads
            .map_or_else(ThreadPool::default_threads, usize::from)
    }

    /// Where packed weights are kept.
    pub(crate) fn packed_cache(self, data: &DataDir) -> Option<PackedCache> {
        (self.packed_cache > 0).then(|| data.packed_cache(u64::from(self.packed_cache) << 30))
    }

    /// How keys and values are kept.
    pub(crate) fn kv_type(self) -> KvType {
        match self.kv_type {
            KvTypeName::F16 => KvType::F16,
            KvTypeName::F32 => KvType::F32,
            KvTypeName::Int8 => KvType::Int8,
        }
    }

    /// The arguments by which a child process computes alike.
    pub(crate) fn arguments(self) -> [String; 6] {
        let kv_type = match self.kv_type {
            KvTypeName::F16 => "f16",
            KvTypeName::F32 => "f32",
            KvTypeName::Int8 => "int8",
        };
        let threads = self.threads().to_string();
        [
            "--threads".into(),
            threads,
            "--kv-type".into(),
            kv_type.into(),
            "--packed-cache".into(),
            self.packed_cache.to_string(),
        ]
    }
}
