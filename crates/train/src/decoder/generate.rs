//! Continuations of several texts at once, by the weights as they are at that step of training.
//!
//! One position at a time: products have a row for each text, keys and values are kept. Each text's logits
//! depend on its own tokens alone, so that company changes nothing. Products are in single precision, whatever
//! the precision of steps.

use super::Decoder;
use super::rows::{gate, norm};
use terang_kernels::gemm::Start;
use terang_kernels::rows::{add, rope_half, rope_interleaved, softmax};

/// Keys and values of a text in one layer, `[position, kv_width]` each, keys rotated.
#[derive(Clone, Debug, Default)]
struct Cache {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl Decoder {
    /// Continues each of `prompts` by at most `most` tokens. `choose` gets the number of a text, how many
    /// tokens it has been given, and its logits, and says which token follows; one of `stops` ends a text
    /// and stands at its end. A text that reaches the model's context ends there.
    ///
    /// # Panics
    /// If a prompt is empty.
    pub fn generate(
        &mut self,
        parameters: &[f32],
        prompts: &[&[u32]],
        most: usize,
        stops: &[u32],
        choose: &mut dyn FnMut(usize, usize, &mut [f32]) -> u32,
    ) -> Vec<Vec<u32>> {
        assert!(
            prompts.iter().all(|prompt| !prompt.is_empty()),
            "a prompt is empty"
        );
        let context = self.config.max_position_embeddings;
        let vocab = self.config.vocab_size;
        let mut texts: Vec<Vec<u32>> = prompts.iter().map(|prompt| prompt.to_vec()).collect();
        let mut caches = vec![vec![Cache::default(); prompts.len()]; self.layout.layers.len()];
        let mut live: Vec<usize> = (0..prompts.len()).collect();
        let is_whole = |text: usize, tokens: &[u32]| {
            let n = tokens.len() - prompts[text].len();
            n >= most
                || tokens.len() >= context
                || (n > 0 && tokens.last().is_some_and(|last| stops.contains(last)))
        };
        let mut position = 0;
        loop {
            live.retain(|&text| !is_whole(text, &texts[text]));
            if live.is_empty() {
                break;
            }
            let tokens: Vec<u32> = live.iter().map(|&text| texts[text][position]).collect();
            let stream = self.position(parameters, &tokens, &live, position, &mut caches);
            // Prompts of different lengths: only whose last token this was has a next one to choose.
            let due: Vec<usize> = (0..live.len())
                .filter(|&row| texts[live[row]].len() == position + 1)
                .collect();
            let mut logits = self.logits(parameters, &stream, &due);
            for (row, logits) in due.iter().zip(logits.chunks_exact_mut(vocab)) {
                let text = live[*row];
                let nth = texts[text].len() - prompts[text].len();
                texts[text].push(choose(text, nth, logits));
            }
            position += 1;
        }
        texts
            .into_iter()
            .zip(prompts)
            .map(|(text, prompt)| text[prompt.len()..].to_vec())
            .collect()
    }

    /// All layers for one token of each text in `live`; the last layer's output, `[texts, D]`.
    fn position(
        &mut self,
        parameters: &[f32],
        tokens: &[u32],
        live: &[usize],
        position: usize,
        caches: &mut [Vec<Cache>],
    ) -> Vec<f32> {
        let (d, ffn, n) = (
            self.config.hidden_size,
            self.config.intermediate_size,
            tokens.len(),
        );
        let (cpu, pool) = (self.products.cpu, self.products.pool.clone());
        let (eps, shape) = (self.config.rms_norm_eps, self.shape);
        let (qkv_width, q_width) = (shape.qkv_width(), shape.out_width());
        let half = shape.head_dim / 2;
        let (cos, sin) = (
            self.rope.0[position * half..][..half].to_vec(),
            self.rope.1[position * half..][..half].to_vec(),
        );
        let embedding = &parameters[self.layout.embedding.clone()];
        let mut stream: Vec<f32> = tokens
            .iter()
            .flat_map(|&token| &embedding[token as usize * d..][..d])
            .copied()
            .collect();
        let mut normed = vec![0.0; n * d];
        let mut qkv = vec![0.0; n * qkv_width];
        let mut attended = vec![0.0; n * q_width];
        let mut gate_up = vec![0.0; n * 2 * ffn];
        let mut gated = vec![0.0; n * ffn];
        for (layer, caches) in caches.iter_mut().enumerate() {
            let ranges = self.layout.layers[layer].clone();
            let weights = |range: &std::ops::Range<usize>| &parameters[range.clone()];
            norm(
                cpu,
                &pool,
                &stream,
                weights(&ranges.attention_norm),
                eps,
                &mut normed,
            );
            self.products
                .forward_of_few(&normed, weights(&ranges.qkv), d, &mut qkv, Start::Zero);
            let rows = qkv
                .chunks_exact_mut(qkv_width)
                .zip(attended.chunks_exact_mut(q_width));
            for ((qkv, out), &text) in rows.zip(live) {
                let (queries, rest) = qkv.split_at_mut(q_width);
                let (keys, values) = rest.split_at_mut(shape.n_kv_heads * shape.head_dim);
                for heads in [&mut *queries, &mut *keys] {
                    if shape.interleaved {
                        rope_interleaved(cpu, heads, shape.head_dim, &cos, &sin);
                    } else {
                        rope_half(cpu, heads, shape.head_dim, &cos, &sin);
                    }
                }
                let cache = &mut caches[text];
                cache.keys.extend_from_slice(keys);
                cache.values.extend_from_slice(values);
                self.attend(queries, cache, out);
            }
            let output = weights(&ranges.output);
            self.products
                .forward_of_few(&attended, output, q_width, &mut stream, Start::Add);
            norm(
                cpu,
                &pool,
                &stream,
                weights(&ranges.mlp_norm),
                eps,
                &mut normed,
            );
            let both = weights(&ranges.gate_up);
            self.products
                .forward_of_few(&normed, both, d, &mut gate_up, Start::Zero);
            gate(cpu, &pool, &gate_up, ffn, &mut gated);
            self.products.forward_of_few(
                &gated,
                weights(&ranges.down),
                ffn,
                &mut stream,
                Start::Add,
            );
        }
        stream
    }

    /// Attention of one token's queries over its text's keys and values.
    fn attend(&self, queries: &[f32], cache: &Cache, out: &mut [f32]) {
        let (cpu, shape) = (self.products.cpu, self.shape);
        let kv_width = shape.n_kv_heads * shape.head_dim;
        let group = shape.n_heads / shape.n_kv_heads;
        let mut scores = Vec::with_capacity(cache.keys.len() / kv_width);
        let mut part = vec![0.0; shape.head_dim];
        let heads = queries.chunks_exact(shape.head_dim);
        for (head, (query, out)) in heads.zip(out.chunks_exact_mut(shape.head_dim)).enumerate() {
            let at = (head / group) * shape.head_dim..(head / group + 1) * shape.head_dim;
            scores.clear();
            scores.extend(
                cache
                    .keys
                    .chunks_exact(kv_width)
                    .map(|key| dot(query, &key[at.clone()]) * shape.scale),
            );
            softmax(cpu, &mut scores);
            out.fill(0.0);
            for (score, value) in scores.iter().zip(cache.values.chunks_exact(kv_width)) {
                for (x, v) in part.iter_mut().zip(&value[at.clone()]) {
                    *x = score * v;
                }
                add(cpu, out, &part);
            }
        }
    }

    /// Logits, `[rows, V]`, of some rows of the last layer's output.
    fn logits(&mut self, parameters: &[f32], stream: &[f32], rows: &[usize]) -> Vec<f32> {
        let d = self.config.hidden_size;
        if rows.is_empty() {
            return Vec::new();
        }
        let taken: Vec<f32> = rows
            .iter()
            .flat_map(|&row| &stream[row * d..][..d])
            .copied()
            .collect();
        let (cpu, pool) = (self.products.cpu, self.products.pool.clone());
        let mut normed = vec![0.0; taken.len()];
        let weight = &parameters[self.layout.final_norm.clone()];
        norm(
            cpu,
            &pool,
            &taken,
            weight,
            self.config.rms_norm_eps,
            &mut normed,
        );
        let mut logits = vec![0.0; rows.len() * self.config.vocab_size];
        let head = &parameters[self.layout.head.clone()];
        self.products
            .forward_of_few(&normed, head, d, &mut logits, Start::Zero);
        logits
    }
}

/// In eight lanes, so that it is one order on every machine.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let (a, rest_a) = a.as_chunks::<8>();
    let (b, rest_b) = b.as_chunks::<8>();
    for (a, b) in a.iter().zip(b) {
        for i in 0..8 {
            lanes[i] += a[i] * b[i];
        }
    }
    for (i, (a, b)) in rest_a.iter().zip(rest_b).enumerate() {
        lanes[i] += a * b;
    }
    lanes.iter().sum()
}

/// The first of the largest logits: what a temperature of 0 takes.
pub fn largest(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (i, x) in logits.iter().enumerate() {
        if *x > logits[best] {
            best = i;
        }
    }
    best as u32
}

/// A token by its probability at that temperature; `draw` is uniform in `[0, 1)`.
pub fn drawn(logits: &[f32], temperature: f64, draw: f64) -> u32 {
    let max = f64::from(logits[largest(logits) as usize]);
    let weights: Vec<f64> = logits
        .iter()
        .map(|x| libm::exp((f64::from(*x) - max) / temperature))
        .collect();
    let mut left = draw * weights.iter().sum::<f64>();
    for (i, weight) in weights.iter().enumerate() {
        left -= weight;
        if left < 0.0 {
            return i as u32;
        }
    }
    largest(logits)
}
