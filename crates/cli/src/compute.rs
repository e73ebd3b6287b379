//! How a model is computed with: what every verb that loads one may be told.

use clap::{Args, ValueEnum};
use terang_engine::EngineOptions;
use terang_kernels::ThreadPool;
use terang_model::decoder::KvType;

/// Options of every verb that loads a model.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Compute {
    /// Threads to compute with; all cores when absent
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// How keys and values are kept: int8 takes half the memory and gives slightly other answers
    #[arg(long, global = true, value_name = "TYPE", default_value = "f16")]
    kv_type: KvTypeName,
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
    pub(crate) fn engine(self) -> EngineOptions {
        EngineOptions {
            threads: self.threads.map(usize::from),
            kv_type: self.kv_type(),
            ..EngineOptions::default()
        }
    }

    /// Threads to compute with.
    pub(crate) fn threads(self) -> usize {
        self.threads
            .map_or_else(ThreadPool::default_threads, usize::from)
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
    pub(crate) fn arguments(self) -> [String; 4] {
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
        ]
    }
}
