//! LoRA adapters (arXiv:2106.09685): for some of the decoder's projections a pair of thin matrices,
//! whose product is added to the projection's own, `y = W x + scale * B (A x)`.
//!
//! Read from a PEFT folder or a GGUF file, each of which names the projections in its own way and
//! may order the rows of query and key projections otherwise than the model does. Invariant: the
//! matrices of an open adapter fit the model that it was opened for.

mod gguf;
mod peft;

use crate::config::RopePairing;
use crate::gguf::Gguf;
use crate::{Config, Error, Result, TensorSource, TensorView};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use terang_kernels::buffer::Arena;
use terang_kernels::{DType, PackedMatrix, ThreadPool};

/// Greatest rank; published adapters have up to 512.
pub const RANK_MAX: usize = 1024;

/// What an adapter may change.
pub const PROJECTIONS: &str =
    "q_proj, k_proj, v_proj, o_proj, and gate_proj, up_proj, down_proj outside of experts";

/// A projection of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Projection {
    Q,
    K,
    V,
    O,
    Gate,
    Up,
    Down,
}

impl Projection {
    /// Each with its names in Hugging Face's and in GGUF files, in the order of the definition.
    const NAMES: [(Self, &'static str, &'static str); 7] = [
        (Self::Q, "self_attn.q_proj", "attn_q"),
        (Self::K, "self_attn.k_proj", "attn_k"),
        (Self::V, "self_attn.v_proj", "attn_v"),
        (Self::O, "self_attn.o_proj", "attn_output"),
        (Self::Gate, "mlp.gate_proj", "ffn_gate"),
        (Self::Up, "mlp.up_proj", "ffn_up"),
        (Self::Down, "mlp.down_proj", "ffn_down"),
    ];

    /// `[rows, cols]` of its weights; `None` where a mixture of experts stands in its place.
    fn shape(self, config: &Config, layer: usize) -> Option<[usize; 2]> {
        let hidden = config.hidden_size;
        let q_width = config.num_attention_heads * config.head_dim;
        let kv_width = config.num_key_value_heads * config.head_dim;
        let dense = !(config.layers[layer].experts && config.experts.is_some());
        let width = config.intermediate_size;
        match self {
            Self::Q => Some([q_width, hidden]),
            Self::K | Self::V => Some([kv_width, hidden]),
            Self::O => Some([hidden, q_width]),
            Self::Gate | Self::Up => dense.then_some([width, hidden]),
            Self::Down => dense.then_some([hidden, width]),
        }
    }
}

/// `scale * B A`: `a` is `[rank, in]`, `b` is `[out, rank]`.
#[derive(Debug)]
pub(crate) struct LowRank {
    pub(crate) a: PackedMatrix,
    pub(crate) b: PackedMatrix,
    pub(crate) scale: f32,
}

/// An adapter in memory, for one model.
pub struct Adapter {
    id: u64,
    layers: Vec<[Option<LowRank>; Projection::NAMES.len()]>,
}

/// A pair of tensors as its file names it.
struct Pair {
    layer: usize,
    projection: Projection,
    a: String,
    b: String,
    scale: Scale,
}

/// The next adapter's identity.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// How the factor of a pair follows from its rank.
#[derive(Clone, Copy)]
enum Scale {
    /// `alpha / rank`.
    ByRank { alpha: f64 },
    /// `alpha / sqrt(rank)` (arXiv:2312.03732).
    ByRoot { alpha: f64 },
    /// 1, as GGUF's alpha of 0 means.
    One,
}

/// What was found in an adapter's files.
struct Found {
    pairs: Vec<Pair>,
    tensors: Box<dyn TensorSource>,
    /// How the rows of query and key projections are ordered.
    pairing: RopePairing,
    /// The rank that every pair must have, where the file says.
    rank: Option<usize>,
}

impl Adapter {
    /// Opens the adapter at `path`, a PEFT folder or a GGUF file, for the model that `config`
    /// describes.
    pub fn open(path: &Path, config: &Config) -> Result<Self> {
        let metadata = std::fs::metadata(path).map_err(|source| Error::io(path, source))?;
        let found = if metadata.is_dir() {
            peft::read(path)?
        } else {
            let extension = path.extension().and_then(|extension| extension.to_str());
            if extension == Some("safetensors") {
                let supported = "the folder with adapter_config.json beside it";
                let found = "a safetensors file by itself";
                return Err(Error::unsupported(path, "adapter", found, supported));
            }
            gguf::read(Gguf::open(path)?, path, config)?
        };
        Self::assemble(&found, config)
    }

    fn assemble(found: &Found, config: &Config) -> Result<Self> {
        let path = found.tensors.path();
        if found.pairs.is_empty() {
            let allowed = "pairs of tensors for some projections";
            return Err(Error::invalid(path, "adapter", "no tensors", allowed));
        }
        let mut layers = Vec::new();
        layers.resize_with(config.layers.len(), <[Option<LowRank>; 7]>::default);
        // Packing is a copy of little: one thread is enough, and needs no decoder at hand.
        let (pool, arena) = (ThreadPool::new(1), Arena::new());
        let packing = Packing {
            pool: &pool,
            arena: &arena,
            found,
            config,
        };
        for pair in &found.pairs {
            let Some(slots) = layers.get_mut(pair.layer) else {
                let allowed = format!("layers below {}", config.layers.len());
                return Err(Error::invalid(path, &pair.a, pair.layer, allowed));
            };
            let slot = &mut slots[pair.projection as usize];
            if slot.is_some() {
                let allowed = "each projection once";
                return Err(Error::invalid(path, &pair.a, "a second pair", allowed));
            }
            *slot = Some(packing.low_rank(pair)?);
        }
        found.tensors.check_intact()?;
        Ok(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            layers,
        })
    }

    /// A number that no other adapter of this process has.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Bytes of its matrices.
    pub fn bytes(&self) -> usize {
        let pairs = self.layers.iter().flatten().flatten();
        pairs.map(|pair| pair.a.bytes() + pair.b.bytes()).sum()
    }

    /// Projections that it changes.
    pub fn len(&self) -> usize {
        self.layers.iter().flatten().flatten().count()
    }

    /// Never: an adapter without tensors is refused.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn of(&self, layer: usize, projection: Projection) -> Option<&LowRank> {
        self.layers[layer][projection as usize].as_ref()
    }
}

impl std::fmt::Debug for Adapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Adapter")
            .field("id", &self.id)
            .field("projections", &self.len())
            .finish_non_exhaustive()
    }
}

struct Packing<'a> {
    pool: &'a ThreadPool,
    arena: &'a Arena,
    found: &'a Found,
    config: &'a Config,
}

impl Packing<'_> {
    fn low_rank(&self, pair: &Pair) -> Result<LowRank> {
        let path = self.found.tensors.path();
        let Some([rows, cols]) = pair.projection.shape(self.config, pair.layer) else {
            let found = "a projection of a layer with experts";
            return Err(Error::unsupported(path, &pair.a, found, PROJECTIONS));
        };
        let (a, b) = (self.tensor(&pair.a)?, self.tensor(&pair.b)?);
        let rank = a.shape.first().copied().unwrap_or(0);
        let allowed = match self.found.rank {
            Some(rank) => rank..=rank,
            None => 1..=RANK_MAX,
        };
        if !allowed.contains(&rank) {
            let allowed = match self.found.rank {
                Some(rank) => format!("{rank}, as the configuration says"),
                None => format!("1 to {RANK_MAX}"),
            };
            return Err(Error::invalid(
                path,
                &pair.a,
                format!("rank {rank}"),
                allowed,
            ));
        }
        self.shaped(&pair.a, &a, [rank, cols])?;
        self.shaped(&pair.b, &b, [rows, rank])?;
        let scale = match pair.scale {
            Scale::ByRank { alpha } => alpha / rank as f64,
            Scale::ByRoot { alpha } => alpha / (rank as f64).sqrt(),
            Scale::One => 1.0,
        } as f32;
        if !scale.is_finite() {
            let allowed = "an alpha that gives a finite factor";
            return Err(Error::invalid(path, &pair.a, scale, allowed));
        }
        let heads = match pair.projection {
            Projection::Q => self.config.num_attention_heads,
            Projection::K => self.config.num_key_value_heads,
            _ => 0,
        };
        let base = self.config.rope.first().map(|rope| rope.pairing);
        let in_order = match base {
            Some(base) if heads > 0 && base != self.found.pairing => {
                Some(reorder(b.data, heads, self.config.head_dim, base))
            }
            _ => None,
        };
        let b_data = in_order.as_deref().unwrap_or(b.data);
        Ok(LowRank {
            a: self.pack(&pair.a, a.dtype, rank, cols, a.data)?,
            b: self.pack(&pair.b, b.dtype, rows, rank, b_data)?,
            scale,
        })
    }

    /// A tensor of floats: a product with quantized ones would not be the adapter's own.
    fn tensor(&self, name: &str) -> Result<TensorView<'_>> {
        let view = self.found.tensors.require(name)?;
        if matches!(view.dtype, DType::F32 | DType::F16 | DType::BF16) {
            return Ok(view);
        }
        let (path, supported) = (self.found.tensors.path(), "F32, F16, BF16");
        Err(Error::unsupported(path, name, view.dtype, supported))
    }

    fn shaped(&self, name: &str, view: &TensorView<'_>, shape: [usize; 2]) -> Result<()> {
        if view.shape == shape {
            return Ok(());
        }
        let found = format!("shape {:?}", view.shape);
        let allowed = format!("shape {shape:?}, as the model has it");
        let path = self.found.tensors.path();
        Err(Error::invalid(path, name, found, allowed))
    }

    fn pack(
        &self,
        name: &str,
        dtype: DType,
        rows: usize,
        cols: usize,
        data: &[u8],
    ) -> Result<PackedMatrix> {
        PackedMatrix::pack(self.pool, self.arena, dtype, rows, cols, data).map_err(|error| {
            let allowed = format!("{dtype} weights [{rows}, {cols}]");
            Error::invalid(self.found.tensors.path(), name, error, allowed)
        })
    }
}

/// Brings rows of query or key projections from the order of one pairing into that of the other,
/// `to`. Whoever writes GGUF files of some families moves pairs of halves together.
fn reorder(data: &[u8], heads: usize, head_dim: usize, to: RopePairing) -> Vec<u8> {
    let row_bytes = data.len() / (heads * head_dim);
    let half = head_dim / 2;
    let mut out = Vec::with_capacity(data.len());
    for head in 0..heads {
        for row in 0..head_dim {
            let from = match to {
                RopePairing::Interleaved => row % 2 * half + row / 2,
                RopePairing::Half => row % half * 2 + row / half,
            };
            out.extend_from_slice(&data[(head * head_dim + from) * row_bytes..][..row_bytes]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_there_and_back() {
        let data: Vec<u8> = (0..2 * 6 * 3).collect();
        let there = reorder(&data, 2, 6, RopePairing::Interleaved);
        // Rows 0 and 3 of a head are a pair.
        assert_eq!(there[..6], [0, 1, 2, 9, 10, 11]);
        assert_eq!(reorder(&there, 2, 6, RopePairing::Half), data);
    }
}
