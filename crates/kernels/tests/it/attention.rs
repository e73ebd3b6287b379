//! Attention: against a plain softmax in double precision, and bit for bit between levels, thread
//! counts and ways to cut the queries.

use crate::weights::Random;
use proptest::prelude::*;
use terang_kernels::attention::{Attention, Job, KvLayout, KvRows, KvType, KvWrite, PAGE, attend};
use terang_kernels::buffer::{AlignedBytes, Arena};
use terang_kernels::{Cpu, ThreadPool};

#[derive(Debug)]
struct Case {
    attention: Attention,
    pages: Vec<AlignedBytes>,
    keys: Vec<f32>,
    values: Vec<f32>,
    queries: Vec<f32>,
    len: usize,
}

impl Case {
    fn new(attention: Attention, len: usize, seed: u64) -> Self {
        let mut random = Random(seed);
        let layout = attention.layout;
        let width = layout.n_kv_heads * layout.head_dim;
        let mut floats = |n: usize| (0..n).map(|_| random.float() * 2.0).collect::<Vec<f32>>();
        let (keys, values) = (floats(len * width), floats(len * width));
        let queries = floats(len * attention.n_heads * layout.head_dim);
        let arena = Arena::new();
        let mut pages: Vec<_> = (0..len.div_ceil(PAGE))
            .map(|_| arena.zeroed(layout.page_bytes()).unwrap())
            .collect();
        let rows: Vec<f32> = (0..len)
            .flat_map(|at| [&keys[at * width..][..width], &values[at * width..][..width]])
            .flatten()
            .copied()
            .collect();
        let writes = pages.iter_mut().enumerate().map(|(index, page)| KvWrite {
            page: page.as_mut_slice(),
            slot: 0,
            first_row: index * PAGE,
            rows: PAGE.min(len - index * PAGE),
        });
        let rows = KvRows {
            data: &rows,
            stride: 2 * width,
            column: 0,
        };
        layout.write(Cpu::best(), &ThreadPool::new(2), writes.collect(), rows);
        Self {
            attention,
            pages,
            keys,
            values,
            queries,
            len,
        }
    }

    /// Attends for all queries, cut into jobs of `chunk`.
    fn attend(&self, cpu: Cpu, threads: usize, chunk: usize) -> Vec<u32> {
        let width = self.attention.n_heads * self.attention.layout.head_dim;
        let mut out = vec![f32::NAN; self.len * width];
        let pool = ThreadPool::new(threads);
        for start in (0..self.len).step_by(chunk) {
            let tokens = chunk.min(self.len - start);
            let pages = self.pages.iter().map(AlignedBytes::as_slice).collect();
            let job = Job {
                pages,
                first_row: 0,
                start,
                tokens,
            };
            let part = start * width..(start + tokens) * width;
            let q = &self.queries[part.clone()];
            attend(
                cpu,
                &pool,
                &self.attention,
                &[job],
                q,
                width,
                &mut out[part],
            );
        }
        out.into_iter().map(f32::to_bits).collect()
    }

    fn exact(&self, position: usize, head: usize) -> Vec<f64> {
        let a = &self.attention;
        let (dim, kv_heads) = (a.layout.head_dim, a.layout.n_kv_heads);
        let kv_head = head / (a.n_heads / kv_heads);
        let q = &self.queries[(position * a.n_heads + head) * dim..][..dim];
        let from = a
            .window
            .map_or(0, |window| (position + 1).saturating_sub(window));
        let row =
            |x: &[f32], at: usize, d: usize| f64::from(x[(at * kv_heads + kv_head) * dim + d]);
        let to = if a.causal { position + 1 } else { self.len };
        let weights: Vec<f64> = (from..to)
            .map(|at| {
                let dot: f64 = (0..dim)
                    .map(|d| f64::from(q[d]) * row(&self.keys, at, d))
                    .sum();
                let score = dot * f64::from(a.scale);
                let capped = |cap: f64| cap * (score / cap).tanh();
                a.softcap.map_or(score, |cap| capped(f64::from(cap))).exp()
            })
            .collect();
        let sum: f64 = weights.iter().sum();
        let value = |d: usize| -> f64 {
            weights
                .iter()
                .zip(from..)
                .map(|(w, at)| w * row(&self.values, at, d))
                .sum()
        };
        (0..dim).map(|d| value(d) / sum).collect()
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let shape = (
        1usize..4,
        1usize..4,
        prop::sample::select(vec![8usize, 16, 24, 64, 80, 128]),
    );
    let options = (
        prop::option::of(1usize..100),
        prop::option::of(Just(5.0f32)),
        prop::sample::select(vec![KvType::F16, KvType::F32, KvType::Int8]),
        any::<bool>(),
    );
    (shape, options, 1usize..200, any::<u64>()).prop_map(
        |((n_kv_heads, group, head_dim), (window, softcap, dtype, causal), len, seed)| {
            let layout = KvLayout {
                n_kv_heads,
                head_dim,
                dtype,
            };
            let scale = 1.0 / (head_dim as f32).sqrt();
            let attention = Attention {
                n_heads: n_kv_heads * group,
                layout,
                scale,
                softcap,
                window,
                causal,
            };
            Case::new(attention, len, seed)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn levels_threads_and_chunks_do_not_show(
        case in cases(),
        threads in 1usize..4,
        chunk in 1usize..70,
    ) {
        let expected = case.attend(Cpu::SCALAR, 1, case.len);
        // A query that sees what follows it cannot be asked before that is there.
        let chunk = if case.attention.causal { chunk } else { case.len };
        for cpu in Cpu::available() {
            prop_assert!(case.attend(cpu, threads, chunk) == expected, "{}", cpu.name());
        }
    }
}

#[test]
fn long_sequences_agree_with_a_plain_softmax_however_they_are_split() {
    // Values reach 2. A code of 8 bits is off by up to 0.4% of its row's largest element, and a score
    // of 32 such products by some hundredths, which its weight then is too.
    let types = [
        (KvType::F32, 3e-6),
        (KvType::F16, 1e-3),
        (KvType::Int8, 3e-2),
    ];
    for (window, (dtype, tolerance)) in [None, Some(700)]
        .into_iter()
        .flat_map(|w| types.map(|t| (w, t)))
    {
        let layout = KvLayout {
            n_kv_heads: 1,
            head_dim: 32,
            dtype,
        };
        let attention = Attention {
            n_heads: 2,
            layout,
            scale: 0.3,
            softcap: None,
            window,
            causal: true,
        };
        let case = Case::new(attention, 1500, 3);
        let found = case.attend(Cpu::best(), 2, 512);
        assert_eq!(
            found,
            case.attend(Cpu::best(), 3, 1),
            "spans by threads or one by one"
        );
        for position in [0, 1, 63, 64, 511, 512, 1023, 1499] {
            for head in 0..2 {
                for (d, exact) in case.exact(position, head).into_iter().enumerate() {
                    let found = f32::from_bits(found[(position * 2 + head) * 32 + d]);
                    assert!(
                        (f64::from(found) - exact).abs() < tolerance,
                        "{dtype:?}: {found} is not {exact} at {position}"
                    );
                }
            }
        }
    }
}

#[test]
fn without_causality_every_query_sees_the_whole_sequence() {
    for len in [1, 7, 64, 65, 300, 700] {
        let layout = KvLayout {
            n_kv_heads: 3,
            head_dim: 32,
            dtype: KvType::F32,
        };
        let attention = Attention {
            n_heads: 3,
            layout,
            scale: 0.2,
            softcap: None,
            window: None,
            causal: false,
        };
        let case = Case::new(attention, len, len as u64);
        let found = case.attend(Cpu::best(), 2, len);
        for position in [0, len / 2, len - 1] {
            for head in 0..3 {
                for (d, exact) in case.exact(position, head).into_iter().enumerate() {
                    let found = f32::from_bits(found[(position * 3 + head) * 32 + d]);
                    assert!(
                        (f64::from(found) - exact).abs() < 3e-6,
                        "{found} is not {exact}"
                    );
                }
            }
        }
    }
}
