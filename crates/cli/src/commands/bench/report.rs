//! The figures, their shares of the machine's limits and the lines through them; as JSON and as a
//! table.

use serde_json::{Map, Value, json};
use terang_model::decoder::{Decoder, Products};
use unicode_width::UnicodeWidthStr;

use super::fit::Line;
use super::samples::{Kind, Samples};
use super::work::{BATCHES, DEPTHS, PREFILL, Sizes};
use crate::messages::{Lang, Msg, human_bytes};
use crate::output;
use crate::problem::Outcome;

/// What was measured, and on what.
pub(super) struct Report<'a> {
    pub(super) model: String,
    pub(super) rounds: u16,
    pub(super) peak_rss_bytes: Option<u64>,
    pub(super) decoder: &'a Decoder,
    pub(super) sizes: Sizes,
    pub(super) samples: &'a Samples,
}

/// A measured line, and the one that the limits alone would give.
struct Fit {
    measured: Line,
    predicted: Line,
}

impl Report<'_> {
    pub(super) fn json(&self) -> Value {
        let by_size = |sizes: &[usize], kind: fn(usize) -> Kind| -> Value {
            let entry = |&n: &usize| (n.to_string(), json!(self.samples.median(kind(n))));
            Value::Object(sizes.iter().map(entry).collect())
        };
        let share = |kind| (name(kind), json!(self.share(kind)));
        let spread = |kind| (name(kind), json!(self.samples.spread(kind)));
        let shares: Map<String, Value> = work().map(share).collect();
        let spreads: Map<String, Value> = work().chain(OTHER).map(spread).collect();
        json!({
            "model": self.model,
            "cpu": cpu_name(),
            "level": self.decoder.cpu().name(),
            "threads": self.decoder.threads(),
            "rounds": self.rounds,
            "version": env!("CARGO_PKG_VERSION"),
            "prefill_tok_s": by_size(&PREFILL, Kind::Prefill),
            "decode_tok_s": by_size(&DEPTHS, Kind::Decode),
            "batched_tok_s": by_size(&BATCHES, Kind::Batched),
            "batched_prompt": self.sizes.batch_prompt(),
            "ttft_cold_ms": self.samples.median(Kind::ColdStart),
            "peak_rss_bytes": self.peak_rss_bytes,
            "limits": {
                "read_bytes_s": self.samples.median(Kind::ReadBytes),
                "int8_ops_s": self.samples.median(Kind::Int8Ops),
                "int8_tile_ops_s": self.samples.median(Kind::Int8TileOps),
                "f32_flops_s": self.samples.median(Kind::F32Flops),
            },
            "share_of_limit": shares,
            "spread": spreads,
            "fit": {
                "decode_ms": as_json(self.decode_fit()),
                "batched_step_ms": as_json(self.batched_fit()),
            },
        })
    }

    pub(super) fn print(&self) -> Outcome<()> {
        let heading = Msg::BenchHeading {
            model: self.model.clone(),
            cpu: cpu_name(),
            level: self.decoder.cpu().name().to_owned(),
            threads: self.decoder.threads().to_string(),
            rounds: self.rounds.to_string(),
        };
        output::line(&heading.to_string())?;
        let titles = [
            Msg::ColWork {},
            Msg::ColSpeed {},
            Msg::ColSpread {},
            Msg::ColShare {},
        ];
        let mut rows = vec![titles.map(|title| title.to_string())];
        for kind in work() {
            let figures = (self.samples.median(kind), self.samples.spread(kind));
            if let (Some(median), Some((least, greatest))) = figures {
                rows.push([
                    label(kind).to_string(),
                    number(median, 1),
                    format!("{} – {}", number(least, 1), number(greatest, 1)),
                    self.share(kind).map_or_else(String::new, |share| {
                        format!("{}%", number(share * 100.0, 1))
                    }),
                ]);
            }
        }
        print_table(&rows)?;
        let giga = |kind| number(self.samples.median(kind).unwrap_or(0.0) / 1e9, 1);
        let limits = Msg::BenchLimits {
            read: giga(Kind::ReadBytes),
            int8: giga(Kind::Int8Ops),
            f32: giga(Kind::F32Flops),
        };
        output::line(&limits.to_string())?;
        if let Some(ms) = self.samples.median(Kind::ColdStart) {
            let ms = number(ms, 0);
            output::line(&Msg::BenchColdStart { ms }.to_string())?;
        }
        if let Some(bytes) = self.peak_rss_bytes {
            let size = human_bytes(bytes);
            output::line(&Msg::BenchMemory { size }.to_string())?;
        }
        if let Some(Fit {
            measured,
            predicted,
        }) = self.decode_fit()
        {
            let message = Msg::BenchDecodeFit {
                base: number(measured.base, 2),
                slope: number(measured.slope * 1000.0, 2),
                predicted_base: number(predicted.base, 2),
                predicted_slope: number(predicted.slope * 1000.0, 2),
            };
            output::line(&message.to_string())?;
        }
        if let Some(Fit {
            measured,
            predicted,
        }) = self.batched_fit()
        {
            let message = Msg::BenchBatchedFit {
                base: number(measured.base, 2),
                slope: number(measured.slope, 2),
                predicted_base: number(predicted.base, 2),
                predicted_slope: number(predicted.slope, 2),
            };
            output::line(&message.to_string())?;
        }
        Ok(())
    }

    /// The time that the limit would take, as a part of the time that was taken.
    fn share(&self, kind: Kind) -> Option<f64> {
        let tokens_per_s = self.samples.median(kind)?;
        match kind {
            Kind::Prefill(tokens) => {
                let n = tokens as f64;
                let layers = self.product_s(self.decoder.layer_products())?;
                let head = self.product_s(self.decoder.head_products())?;
                let seen = (1..=tokens).map(|n| self.decoder.attention_products(n));
                let attention = self.attention_s(seen.sum())?;
                Some((n * layers + head + attention) / (n / tokens_per_s))
            }
            Kind::Batched(_) => Some(self.batched_token_s()? * tokens_per_s),
            Kind::Decode(depth) => {
                let positions = self.sizes.mean_positions(depth);
                let bytes = self.decoder.bytes_per_token() as f64
                    + self.decoder.kv_bytes(positions as usize) as f64;
                Some(self.read_s(bytes)? * tokens_per_s)
            }
            _ => None,
        }
    }

    /// Milliseconds of a token over positions in the cache.
    fn decode_fit(&self) -> Option<Fit> {
        let point = |&depth: &usize| {
            let tokens_per_s = self.samples.median(Kind::Decode(depth))?;
            Some((self.sizes.mean_positions(depth), 1000.0 / tokens_per_s))
        };
        let points: Vec<_> = DEPTHS.iter().filter_map(point).collect();
        let deepest = points.last()?.0;
        let kv_bytes = self.decoder.kv_bytes(deepest as usize) as f64;
        Some(Fit {
            measured: Line::through(&points)?,
            predicted: Line {
                base: 1000.0 * self.read_s(self.decoder.bytes_per_token() as f64)?,
                slope: 1000.0 * self.read_s(kv_bytes)? / deepest,
            },
        })
    }

    /// Milliseconds of a step over sequences in the batch. The prediction adds the time to read the
    /// weights once and the time of each sequence's products, which overlap at best.
    fn batched_fit(&self) -> Option<Fit> {
        let point = |&n: &usize| {
            let tokens_per_s = self.samples.median(Kind::Batched(n))?;
            Some((n as f64, 1000.0 * n as f64 / tokens_per_s))
        };
        let points: Vec<_> = BATCHES.iter().filter_map(point).collect();
        Some(Fit {
            measured: Line::through(&points)?,
            predicted: Line {
                base: 1000.0 * self.read_s(self.decoder.bytes_per_token() as f64)?,
                slope: 1000.0 * self.batched_token_s()?,
            },
        })
    }

    fn read_s(&self, bytes: f64) -> Option<f64> {
        Some(bytes / self.samples.median(Kind::ReadBytes)?)
    }

    /// Seconds of all of one token's products in a batch at the limit.
    fn batched_token_s(&self) -> Option<f64> {
        let layers = self.product_s(self.decoder.layer_products())?;
        let head = self.product_s(self.decoder.head_products())?;
        let positions = self.sizes.mean_batch_positions();
        let attention = self.attention_s(self.decoder.attention_products(positions))?;
        Some(layers + head + attention)
    }

    /// Attention is no product of int8, but is held to that peak too: what could be done by another kind
    /// of arithmetic is no excuse.
    fn attention_s(&self, products: usize) -> Option<f64> {
        Some(2.0 * products as f64 / self.samples.median(Kind::Int8Ops)?)
    }

    /// Multiply and add count as two operations, here as in the limits.
    fn product_s(&self, products: Products) -> Option<f64> {
        let int8 = 2.0 * products.int8 as f64 / self.samples.median(Kind::Int8Ops)?;
        let f32 = 2.0 * products.f32 as f64 / self.samples.median(Kind::F32Flops)?;
        Some(int8 + f32)
    }
}

/// What is measured besides work.
const OTHER: [Kind; 4] = [
    Kind::ColdStart,
    Kind::ReadBytes,
    Kind::Int8Ops,
    Kind::F32Flops,
];

/// All kinds of work.
fn work() -> impl Iterator<Item = Kind> {
    let prefill = PREFILL.into_iter().map(Kind::Prefill);
    let decode = DEPTHS.into_iter().map(Kind::Decode);
    let batched = BATCHES.into_iter().map(Kind::Batched);
    prefill.chain(decode).chain(batched)
}

/// A kind's name in JSON.
fn name(kind: Kind) -> String {
    match kind {
        Kind::Prefill(n) => format!("prefill_{n}"),
        Kind::Decode(n) => format!("decode_{n}"),
        Kind::Batched(n) => format!("batched_{n}"),
        Kind::ColdStart => "ttft_cold_ms".to_owned(),
        Kind::ReadBytes => "read_bytes_s".to_owned(),
        Kind::Int8Ops => "int8_ops_s".to_owned(),
        Kind::Int8TileOps => "int8_tile_ops_s".to_owned(),
        Kind::F32Flops => "f32_flops_s".to_owned(),
    }
}

/// What people call it.
pub(super) fn label(kind: Kind) -> Msg {
    match kind {
        Kind::Prefill(n) => Msg::LabelPrefill {
            tokens: n.to_string(),
        },
        Kind::Decode(n) => Msg::LabelDecode {
            depth: n.to_string(),
        },
        Kind::Batched(n) => Msg::LabelBatched {
            sequences: n.to_string(),
        },
        Kind::ColdStart => Msg::LabelColdStart {},
        Kind::ReadBytes | Kind::Int8Ops | Kind::Int8TileOps | Kind::F32Flops => Msg::LabelLimits {},
    }
}

fn as_json(fit: Option<Fit>) -> Value {
    json!(fit.map(
        |Fit {
             measured,
             predicted,
         }| json!({
            "a": measured.base,
            "b": measured.slope,
            "predicted_a": predicted.base,
            "predicted_b": predicted.slope,
        })
    ))
}

fn number(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    match Lang::current() {
        Lang::En => text,
        Lang::Id => text.replace('.', ","),
    }
}

/// Columns, the first to the left and the others to the right.
fn print_table(rows: &[[String; 4]]) -> Outcome<()> {
    let mut widths = [0; 4];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.width().max(*width);
        }
    }
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let pad = " ".repeat(width - cell.width());
            if column == 0 {
                line = format!("  {cell}{pad}");
            } else {
                line = format!("{line}  {pad}{cell}");
            }
        }
        output::line(&line)?;
    }
    Ok(())
}

/// What the system calls the processor.
fn cpu_name() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    info.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == "model name")
        .map_or_else(
            || std::env::consts::ARCH.to_owned(),
            |(_, name)| name.trim().to_owned(),
        )
}
