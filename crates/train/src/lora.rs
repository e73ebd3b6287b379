//! Low-rank adapters (LoRA, arXiv:2106.09685): of a model's projections only thin corrections are learned,
//! `W + scale * B A`, and the model itself stays as it is.

use crate::decoder::{Kind, Layout, Table, normal};
use crate::recipe::Lora;
use crate::{Result, TrainError};
use std::ops::Range;
use terang_kernels::gemm::{Size, Start, View, Workspace, gemm};
use terang_kernels::{Cpu, ThreadPool};

/// Streams of random numbers for adapters, apart from those of tensors and of the data's order.
const STREAM: u32 = 1 << 30;

/// Which matrices have a correction, and where it lies.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// The thin matrices, by the names that the library PEFT gives them.
    pub table: Table,
    targets: Vec<Target>,
    scale: f32,
}

#[derive(Clone, Debug)]
struct Target {
    /// The matrix in the model's parameters, `[rows, cols]`.
    weight: Range<usize>,
    rows: usize,
    cols: usize,
    rank: usize,
    /// `[rank, cols]` in the adapter's numbers.
    a: Range<usize>,
    /// `[rows, rank]`.
    b: Range<usize>,
}

impl Adapter {
    /// An adapter for a model.
    ///
    /// # Errors
    /// [`TrainError::Setting`] where no projection has a name that `settings` gives.
    pub fn new(layout: &Layout, settings: &Lora) -> Result<Self> {
        let (mut table, mut targets) = (Table::default(), Vec::new());
        for tensor in &layout.table.tensors {
            let Some(module) = tensor.name.strip_suffix(".weight") else {
                continue;
            };
            let name = module.rsplit('.').next().unwrap_or_default();
            let is_matrix = matches!(tensor.kind, Kind::Matrix | Kind::Residual);
            if !is_matrix || !settings.targets.iter().any(|target| target == name) {
                continue;
            }
            let (rows, cols, rank) = (tensor.shape[0], tensor.shape[1], settings.rank);
            let mut add = |part: &str, shape: [usize; 2]| {
                table.add(
                    &format!("base_model.model.{module}.{part}.weight"),
                    &shape,
                    Kind::Matrix,
                )
            };
            let (a, b) = (add("lora_A", [rank, cols]), add("lora_B", [rows, rank]));
            targets.push(Target {
                weight: tensor.range.clone(),
                rows,
                cols,
                rank,
                a,
                b,
            });
        }
        if targets.is_empty() {
            return Err(TrainError::Setting {
                name: "lora.targets",
                found: settings.targets.join(", "),
                allowed: terang_model::adapter::PROJECTIONS.to_owned(),
            });
        }
        let scale = (settings.alpha / settings.rank as f64) as f32;
        Ok(Self {
            table,
            targets,
            scale,
        })
    }

    /// Initial values: `A` normal, `B` zero, so that the model is at first what it was.
    pub fn initial(&self, seed: u64) -> Vec<f32> {
        let mut out = vec![0.0; self.table.len];
        for (index, target) in self.targets.iter().enumerate() {
            let deviation = 1.0 / libm::sqrt(target.cols as f64);
            for (i, x) in out[target.a.clone()].iter_mut().enumerate() {
                *x = (deviation * normal(seed, STREAM + index as u32, i as u64)) as f32;
            }
        }
        out
    }

    /// Writes `W + scale * B A` over the matrices in `merged`; all else there is left alone.
    pub fn merge(&self, work: &mut Work<'_>, base: &[f32], adapter: &[f32], merged: &mut [f32]) {
        for target in &self.targets {
            let Target {
                rows, cols, rank, ..
            } = *target;
            let weights = &mut merged[target.weight.clone()];
            weights.copy_from_slice(&base[target.weight.clone()]);
            let scaled: Vec<f32> = adapter[target.b.clone()]
                .iter()
                .map(|x| x * self.scale)
                .collect();
            let size = Size {
                m: rows,
                n: cols,
                k: rank,
            };
            let a = View::rows(&adapter[target.a.clone()], cols);
            work.product(size, View::rows(&scaled, rank), a, weights, Start::Add);
        }
    }

    /// From the gradient of all parameters that of the adapter: `dA = scale * B^T dW`,
    /// `dB = scale * dW A^T`.
    pub fn project(&self, work: &mut Work<'_>, gradient: &[f32], adapter: &[f32], out: &mut [f32]) {
        for target in &self.targets {
            let Target {
                rows, cols, rank, ..
            } = *target;
            let dw = View::rows(&gradient[target.weight.clone()], cols);
            let a = View::rows(&adapter[target.a.clone()], cols);
            let b = View::rows(&adapter[target.b.clone()], rank);
            let size = Size {
                m: rank,
                n: cols,
                k: rows,
            };
            work.product(
                size,
                b.transposed(),
                dw,
                &mut out[target.a.clone()],
                Start::Zero,
            );
            let size = Size {
                m: rows,
                n: rank,
                k: cols,
            };
            work.product(
                size,
                dw,
                a.transposed(),
                &mut out[target.b.clone()],
                Start::Zero,
            );
        }
        terang_kernels::rows::scale(work.cpu, out, self.scale);
    }
}

/// What products are computed with.
#[derive(Debug)]
pub struct Work<'a> {
    /// The instruction set.
    pub cpu: Cpu,
    /// The threads.
    pub pool: &'a ThreadPool,
    /// Memory that is kept.
    pub workspace: &'a mut Workspace,
}

impl Work<'_> {
    fn product(&mut self, size: Size, a: View<'_>, b: View<'_>, c: &mut [f32], start: Start) {
        gemm(
            self.cpu,
            self.pool,
            self.workspace,
            size,
            a,
            b,
            c,
            size.n,
            start,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use terang_model::Config;

    #[test]
    fn the_adapters_gradient_is_that_of_differences() {
        let json = serde_json::json!({
            "model_type": "llama", "vocab_size": 31, "hidden_size": 16, "intermediate_size": 24,
            "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
            "max_position_embeddings": 32, "rms_norm_eps": 1e-5, "tie_word_embeddings": true,
        });
        let config = Config::from_hf_json(std::path::Path::new("c"), &json.to_string()).unwrap();
        let layout = Layout::new(&config).unwrap();
        let targets = vec!["q_proj".to_owned(), "down_proj".to_owned()];
        let adapter = Adapter::new(
            &layout,
            &Lora {
                rank: 3,
                alpha: 6.0,
                targets,
            },
        )
        .unwrap();
        assert_eq!(adapter.table.tensors.len(), 8);
        let base = layout.initial(1);
        // A loss that is linear in the weights, so that the gradient of all of them is known.
        let direction = layout.initial(2);
        let mut numbers = adapter.initial(3);
        assert!(numbers.iter().any(|x| *x != 0.0));
        numbers
            .iter_mut()
            .enumerate()
            .for_each(|(i, x)| *x += (i % 7) as f32 * 0.01);
        let (pool, mut workspace) = (ThreadPool::new(2), Workspace::new());
        let mut work = Work {
            cpu: Cpu::best(),
            pool: &pool,
            workspace: &mut workspace,
        };
        let mut loss = |numbers: &[f32]| {
            let mut merged = base.clone();
            adapter.merge(&mut work, &base, numbers, &mut merged);
            let pairs = merged.iter().zip(&base).zip(&direction);
            pairs
                .map(|((m, b), d)| f64::from(m - b) * f64::from(*d))
                .sum::<f64>()
        };
        let mut differences = Vec::new();
        for i in (0..numbers.len()).step_by(13) {
            let (before, h) = (numbers[i], 0.05);
            numbers[i] = before + h;
            let up = loss(&numbers);
            numbers[i] = before - h;
            differences.push((i, (up - loss(&numbers)) / f64::from(2.0 * h)));
            numbers[i] = before;
        }
        let mut gradient = vec![0.0; numbers.len()];
        adapter.project(&mut work, &direction, &numbers, &mut gradient);
        for (i, difference) in differences {
            let found = f64::from(gradient[i]);
            assert!(
                (found - difference).abs() < 2e-5,
                "{i}: {found} {difference}"
            );
        }
        let wrong = Lora {
            rank: 3,
            alpha: 6.0,
            targets: vec!["qproj".to_owned()],
        };
        assert!(
            Adapter::new(&layout, &wrong)
                .unwrap_err()
                .to_string()
                .contains("q_proj")
        );
    }
}
