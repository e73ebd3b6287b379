use super::*;
use std::path::Path;

/// A small Llama with grouped queries.
pub(crate) fn config(tied: bool) -> Config {
    let json = serde_json::json!({
        "model_type": "llama", "vocab_size": 61, "hidden_size": 24, "intermediate_size": 40,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6,
        "max_position_embeddings": 32, "rms_norm_eps": 1e-5, "rope_theta": 100.0,
        "tie_word_embeddings": tied,
    });
    Config::from_hf_json(Path::new("config.json"), &json.to_string()).unwrap()
}

pub(crate) fn batch() -> MicroBatch {
    let tokens: Vec<u32> = (0..20).map(|i| (i * 7 + 3) % 61).collect();
    let targets = tokens.iter().map(|t| (t * 5 + 1) % 61).collect();
    let weights = (0..20)
        .map(|i| if i % 6 == 5 { 0.0 } else { 0.05 })
        .collect();
    MicroBatch {
        tokens,
        targets,
        weights,
        documents: vec![0..9, 9..10, 10..20],
    }
}

fn decoder(tied: bool, threads: usize, cpu: Cpu, recompute: bool) -> Decoder {
    Decoder::new(
        &config(tied),
        cpu,
        Arc::new(ThreadPool::new(threads)),
        recompute,
    )
    .unwrap()
    .with_z_loss(1e-2)
}

fn parameters(decoder: &Decoder) -> Vec<f32> {
    // Larger than initial ones, so that no part is nearly linear.
    let mut parameters = decoder.layout().initial(3);
    for tensor in &decoder.layout().table.tensors {
        if tensor.kind != Kind::Norm {
            parameters[tensor.range.clone()]
                .iter_mut()
                .for_each(|x| *x *= 12.0);
        }
    }
    parameters
}

/// The same model in double precision, written anew and plainly.
struct Reference<'a> {
    config: &'a Config,
    layout: &'a Layout,
    p: Vec<f64>,
}

impl Reference<'_> {
    fn tensor(&self, name: &str) -> &[f64] {
        let tensor = self
            .layout
            .table
            .tensors
            .iter()
            .find(|tensor| tensor.name == name)
            .unwrap();
        &self.p[tensor.range.clone()]
    }

    fn linear(&self, x: &[f64], name: &str) -> Vec<f64> {
        self.tensor(name)
            .chunks_exact(x.len())
            .map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum())
            .collect()
    }

    fn norm(&self, x: &[f64], name: &str) -> Vec<f64> {
        let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let r = 1.0 / (mean + f64::from(self.config.rms_norm_eps)).sqrt();
        x.iter()
            .zip(self.tensor(name))
            .map(|(x, w)| x * r * w)
            .collect()
    }

    fn rotated(&self, x: &[f64], position: usize) -> Vec<f64> {
        let hd = self.config.head_dim;
        let half = hd / 2;
        let mut out = x.to_vec();
        for head in out.chunks_exact_mut(hd) {
            for i in 0..half {
                let theta = f64::from(self.config.rope[0].theta);
                let angle = position as f64 * theta.powf(-(2.0 * i as f64) / hd as f64);
                let (a, b) = (head[i], head[i + half]);
                head[i] = a * angle.cos() - b * angle.sin();
                head[i + half] = b * angle.cos() + a * angle.sin();
            }
        }
        out
    }

    fn loss(&self, batch: &MicroBatch, z: f64) -> f64 {
        let (hd, groups) = (
            self.config.head_dim,
            self.config.num_attention_heads / self.config.num_key_value_heads,
        );
        let d = self.config.hidden_size;
        let mut loss = 0.0;
        for document in &batch.documents {
            let mut xs: Vec<Vec<f64>> = batch.tokens[document.clone()]
                .iter()
                .map(|t| self.tensor("model.embed_tokens.weight")[*t as usize * d..][..d].to_vec())
                .collect();
            for layer in 0..self.config.layers.len() {
                let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
                let normed: Vec<_> = xs
                    .iter()
                    .map(|x| self.norm(x, &name("input_layernorm")))
                    .collect();
                let project = |part: &str, rotate: bool| -> Vec<Vec<f64>> {
                    normed
                        .iter()
                        .enumerate()
                        .map(|(i, x)| {
                            let y = self.linear(x, &name(part));
                            if rotate { self.rotated(&y, i) } else { y }
                        })
                        .collect()
                };
                let q = project("self_attn.q_proj", true);
                let k = project("self_attn.k_proj", true);
                let v = project("self_attn.v_proj", false);
                for i in 0..xs.len() {
                    let mut out = vec![0.0; q[i].len()];
                    for head in 0..self.config.num_attention_heads {
                        let kv = head / groups * hd;
                        let scores: Vec<f64> = (0..=i)
                            .map(|j| {
                                let dot: f64 =
                                    (0..hd).map(|e| q[i][head * hd + e] * k[j][kv + e]).sum();
                                (dot * f64::from(self.config.attention_scale)).exp()
                            })
                            .collect();
                        let sum: f64 = scores.iter().sum();
                        for (j, score) in scores.iter().enumerate() {
                            for e in 0..hd {
                                out[head * hd + e] += score / sum * v[j][kv + e];
                            }
                        }
                    }
                    let added = self.linear(&out, &name("self_attn.o_proj"));
                    xs[i].iter_mut().zip(added).for_each(|(x, y)| *x += y);
                }
                for x in &mut xs {
                    let normed = self.norm(x, &name("post_attention_layernorm"));
                    let gate = self.linear(&normed, &name("mlp.gate_proj"));
                    let up = self.linear(&normed, &name("mlp.up_proj"));
                    let gated: Vec<f64> = gate
                        .iter()
                        .zip(up)
                        .map(|(g, u)| g / (1.0 + (-g).exp()) * u)
                        .collect();
                    let added = self.linear(&gated, &name("mlp.down_proj"));
                    x.iter_mut().zip(added).for_each(|(x, y)| *x += y);
                }
            }
            for (x, i) in xs.iter().zip(document.clone()) {
                let head = if self.config.tie_word_embeddings {
                    "model.embed_tokens.weight"
                } else {
                    "lm_head.weight"
                };
                let logits = self.linear(&self.norm(x, "model.norm.weight"), head);
                let log_sum = logits.iter().map(|x| x.exp()).sum::<f64>().ln();
                let nats = log_sum - logits[batch.targets[i] as usize];
                loss += f64::from(batch.weights[i]) * (nats + z * log_sum * log_sum);
            }
        }
        loss
    }
}

#[test]
fn gradients_are_those_of_differences_in_double_precision() {
    for tied in [true, false] {
        let mut decoder = decoder(tied, 2, Cpu::best(), false);
        let (parameters, batch) = (parameters(&decoder), batch());
        let mut gradient = vec![f32::NAN; parameters.len()];
        let loss = decoder.loss_and_gradient(&parameters, &batch, &mut gradient);
        let z = f64::from(1e-2f32);
        let mut reference = Reference {
            config: decoder.config(),
            layout: decoder.layout(),
            p: parameters.iter().map(|x| f64::from(*x)).collect(),
        };
        assert_eq!(loss.targets, 17);
        let plain = reference.loss(&batch, 0.0);
        assert!(
            (plain - loss.weighted).abs() < 1e-5 * plain,
            "{plain} {loss:?}"
        );
        for tensor in &decoder.layout().table.tensors {
            let found = &gradient[tensor.range.clone()];
            let norm = found.iter().map(|x| f64::from(x * x)).sum::<f64>().sqrt();
            let step = 1 + found.len() / 12;
            for i in (0..found.len()).step_by(step) {
                let (at, h) = (tensor.range.start + i, 1e-5);
                let before = reference.p[at];
                reference.p[at] = before + h;
                let up = reference.loss(&batch, z);
                reference.p[at] = before - h;
                let difference = (up - reference.loss(&batch, z)) / (2.0 * h);
                reference.p[at] = before;
                let found = f64::from(found[i]);
                assert!(
                    (difference - found).abs() < 1e-4 * norm + 1e-6,
                    "{} [{i}]: {found}, by differences {difference}",
                    tensor.name
                );
            }
        }
    }
}

#[test]
fn threads_instruction_sets_and_recomputing_change_no_bit() {
    let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let all: Vec<_> = Cpu::available()
        .into_iter()
        .flat_map(|cpu| [(cpu, 1, false), (cpu, 3, false), (cpu, 2, true)])
        .map(|(cpu, threads, recompute)| {
            let mut decoder = decoder(true, threads, cpu, recompute);
            let (parameters, batch) = (parameters(&decoder), batch());
            let mut gradient = vec![0.0; parameters.len()];
            let loss = decoder.loss_and_gradient(&parameters, &batch, &mut gradient);
            // Memory that was used before changes nothing either.
            let again = decoder.loss_and_gradient(&parameters, &batch, &mut gradient);
            assert_eq!(loss, again);
            assert_eq!(loss, decoder.loss(&parameters, &batch));
            (bits(&gradient), loss.weighted.to_bits())
        })
        .collect();
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn what_has_no_gradient_is_refused_by_name() {
    let mut odd = config(true);
    odd.qk_norm = true;
    let error = Layout::new(&odd).unwrap_err().to_string();
    assert!(
        error.contains("llama") && error.contains("queries and keys"),
        "{error}"
    );
}

/// Token by token with kept keys, alone or beside others: the same as the whole text through the forward pass.
#[test]
fn continuations_are_those_of_the_forward_pass() {
    for tied in [true, false] {
        let mut decoder = decoder(tied, 2, Cpu::best(), false);
        let parameters = parameters(&decoder);
        let prompts: [&[u32]; 3] = [&[5, 9, 40], &[1], &[7, 7, 7, 7, 60, 2]];
        let mut seen = vec![Vec::new(); 3];
        let found = decoder.generate(&parameters, &prompts, 12, &[], &mut |text, nth, logits| {
            assert_eq!(seen[text].len(), nth);
            seen[text].push(logits.to_vec());
            generate::largest(logits)
        });
        for (text, (prompt, found)) in prompts.iter().zip(&found).enumerate() {
            assert_eq!(found.len(), 12);
            // The loss of what was chosen is what its logits say.
            let whole: Vec<u32> = prompt.iter().chain(found).copied().collect();
            let n = whole.len() - 1;
            let mut weights = vec![0.0; n];
            weights[prompt.len() - 1..].fill(1.0);
            let batch = MicroBatch {
                tokens: whole[..n].to_vec(),
                targets: whole[1..].to_vec(),
                weights,
                documents: std::iter::once(0..n).collect(),
            };
            let expected: f64 = seen[text]
                .iter()
                .zip(found)
                .map(|(logits, chosen)| {
                    let sum: f64 = logits.iter().map(|x| f64::from(*x).exp()).sum();
                    sum.ln() - f64::from(logits[*chosen as usize])
                })
                .sum();
            let loss = decoder.loss(&parameters, &batch);
            assert!(
                (loss.sum - expected).abs() < 1e-4,
                "{} {expected}",
                loss.sum
            );
            let alone = decoder.generate(&parameters, &[prompt], 12, &[], &mut |_, _, logits| {
                generate::largest(logits)
            });
            assert_eq!(alone[0], *found);
            // It ends after a stop, and where the context does.
            let stop = found[4];
            let first = found.iter().position(|token| *token == stop).unwrap();
            let stopped =
                decoder.generate(&parameters, &[prompt], 99, &[stop], &mut |_, _, logits| {
                    generate::largest(logits)
                });
            assert_eq!(stopped[0], found[..=first]);
            let long = decoder.generate(&parameters, &[prompt], 99, &[], &mut |_, _, _| 3);
            assert_eq!(prompt.len() + long[0].len(), 32);
        }
    }
}

#[test]
fn draws_follow_the_probabilities() {
    let logits = [1.0f32, 3.0, 2.0];
    assert_eq!(generate::largest(&logits), 1);
    let mut counts = [0usize; 3];
    for i in 0..3000 {
        let draw = terang_kernels::philox::uniform(5, i);
        counts[generate::drawn(&logits, 1.0, draw) as usize] += 1;
    }
    let all: f64 = logits.iter().map(|x| f64::from(*x).exp()).sum();
    for (count, logit) in counts.iter().zip(logits) {
        let expected = 3000.0 * f64::from(logit).exp() / all;
        assert!((*count as f64 - expected).abs() < 80.0, "{counts:?}");
    }
    assert_eq!(generate::drawn(&logits, 0.01, 0.999), 1);
}
