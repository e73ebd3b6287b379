//! Which instruction set the kernels use, found at run time.
//!
//! Invariant: a [`Cpu`] value exists only if this machine can execute its instructions, so that
//! dispatching on one is sound.

/// An instruction set level that this machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu(pub(crate) Level);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX-512 with tiles for products of many rows.
    #[cfg(target_arch = "x86_64")]
    Amx,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

/// A level was asked for by name that is unknown or that this machine does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("TERANG_CPU: found {found}, allowed on this machine {allowed}")]
pub struct CpuError {
    found: String,
    allowed: String,
}

impl Cpu {
    /// The scalar kernels, which define every result.
    pub const SCALAR: Self = Self(Level::Scalar);

    /// Every level this machine can run, slowest first.
    pub fn available() -> Vec<Self> {
        let mut levels = vec![Self(Level::Scalar)];
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c");
            if avx2 {
                levels.push(Self(Level::Avx2));
            }
            if avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vnni")
            {
                levels.push(Self(Level::Avx512));
                if crate::simd::amx::available() {
                    levels.push(Self(Level::Amx));
                }
            }
        }
        #[cfg(target_arch = "aarch64")]
        levels.push(Self(Level::Neon));
        levels
    }

    /// The fastest level of this machine, or the one that the environment variable `TERANG_CPU`
    /// (`scalar`, `avx2`, `avx512`, `amx`, `neon`) asks for.
    pub fn from_env() -> Result<Self, CpuError> {
        match std::env::var("TERANG_CPU") {
            Ok(name) if !name.is_empty() && name != "auto" => Self::from_name(&name),
            _ => Ok(Self::best()),
        }
    }

    /// The fastest level of this machine.
    pub fn best() -> Self {
        Self::available().pop().unwrap_or(Self::SCALAR)
    }

    /// The level of that name, if this machine has it.
    pub fn from_name(name: &str) -> Result<Self, CpuError> {
        let available = Self::available();
        available
            .iter()
            .copied()
            .find(|cpu| cpu.name() == name)
            .ok_or_else(|| CpuError {
                found: name.chars().take(32).collect(),
                allowed: available
                    .iter()
                    .map(|cpu| cpu.name())
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }

    /// Whether products of many rows go by tiles.
    pub(crate) const fn has_tiles(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return matches!(self.0, Level::Amx);
        #[cfg(not(target_arch = "x86_64"))]
        false
    }

    /// The name by which `TERANG_CPU` knows this level.
    pub const fn name(self) -> &'static str {
        match self.0 {
            Level::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Level::Amx => "amx",
            #[cfg(target_arch = "aarch64")]
            Level::Neon => "neon",
        }
    }
}

/// Runs a generic vector kernel compiled for `cpu`, or its scalar definition.
///
/// `dispatch!(cpu, scalar_fn, vector_fn, (arg: Type, ...))`: `vector_fn` must be an
/// `#[inline(always)] unsafe fn` generic over [`crate::simd::Simd`].
macro_rules! dispatch {
    ($cpu:expr, $scalar:path, $vector:ident, ($($arg:ident : $ty:ty),* $(,)?)) => {
        match $cpu.0 {
            $crate::cpu::Level::Scalar => $scalar($($arg),*),
            #[cfg(target_arch = "x86_64")]
            $crate::cpu::Level::Avx2 => {
                #[target_feature(enable = "avx2,fma,f16c")]
                unsafe fn run($($arg: $ty),*) {
                    // SAFETY: the features are enabled here, the caller's contract is passed on.
                    unsafe { $vector::<$crate::simd::avx2::Avx2>($($arg),*) }
                }
                // SAFETY: `Cpu` values exist only for detected levels.
                unsafe { run($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            $crate::cpu::Level::Avx512 | $crate::cpu::Level::Amx => {
                #[target_feature(
                    enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"
                )]
                unsafe fn run($($arg: $ty),*) {
                    // SAFETY: the features are enabled here, the caller's contract is passed on.
                    unsafe { $vector::<$crate::simd::avx512::Avx512>($($arg),*) }
                }
                // SAFETY: `Cpu` values exist only for detected levels.
                unsafe { run($($arg),*) }
            }
            #[cfg(target_arch = "aarch64")]
            $crate::cpu::Level::Neon => {
                // SAFETY: NEON is part of the aarch64 baseline.
                unsafe { $vector::<$crate::simd::neon::Neon>($($arg),*) }
            }
        }
    };
}
pub(crate) use dispatch;

/// Compiles one plain function for every level: the compiler vectorises it but never reorders
/// floating-point operations, so each version gives the scalar result. For element-wise work.
macro_rules! multiversion {
    ($cpu:expr, $plain:path, ($($arg:ident : $ty:ty),* $(,)?)) => {
        match $cpu.0 {
            $crate::cpu::Level::Scalar => $plain($($arg),*),
            #[cfg(target_arch = "x86_64")]
            $crate::cpu::Level::Avx2 => {
                #[target_feature(enable = "avx2,fma,f16c")]
                fn run($($arg: $ty),*) {
                    $plain($($arg),*);
                }
                // SAFETY: `Cpu` values exist only for detected levels.
                unsafe { run($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            $crate::cpu::Level::Avx512 | $crate::cpu::Level::Amx => {
                #[target_feature(
                    enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"
                )]
                fn run($($arg: $ty),*) {
                    $plain($($arg),*);
                }
                // SAFETY: `Cpu` values exist only for detected levels.
                unsafe { run($($arg),*) }
            }
            #[cfg(target_arch = "aarch64")]
            $crate::cpu::Level::Neon => $plain($($arg),*),
        }
    };
}
pub(crate) use multiversion;
