//! Throughput of the kernels: `cargo bench -p terang-kernels`. Bytes are weights (or keys and values)
//! read; items are multiply-adds.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use terang_kernels::attention::{Attention, Job, KvLayout, KvType, PAGE, attend};
use terang_kernels::buffer::{AlignedBytes, Arena};
use terang_kernels::gemm::{self, Size, Start, View};
use terang_kernels::matmul::{Activations, Target, matmul};
use terang_kernels::{Cpu, DType, PackedMatrix, ThreadPool};

fn main() {
    divan::main();
}

const TYPES: [DType; 15] = DType::ALL;

/// One pass over weights much larger than the caches: decode.
#[divan::bench(args = TYPES, sample_count = 20)]
fn decode(bencher: Bencher<'_, '_>, dtype: DType) {
    product(bencher, dtype, 131_072, 2048, 1);
}

/// 32 tokens, one of each of as many sequences, by weights much larger than the caches.
#[divan::bench(args = TYPES, sample_count = 20)]
fn decode_batched(bencher: Bencher<'_, '_>, dtype: DType) {
    product(bencher, dtype, 65_536, 768, 32);
}

/// 128 tokens by a matrix that stays in the cache: prefill.
#[divan::bench(args = TYPES, sample_count = 20)]
fn prefill(bencher: Bencher<'_, '_>, dtype: DType) {
    product(bencher, dtype, 1536, 768, 128);
}

fn product(bencher: Bencher<'_, '_>, dtype: DType, rows: usize, cols: usize, tokens: usize) {
    let (cpu, pool) = (
        Cpu::from_env().unwrap(),
        ThreadPool::new(ThreadPool::default_threads()),
    );
    let mut seed = 1u32;
    let data: Vec<u8> = (0..dtype.row_bytes(cols).unwrap() * rows)
        .map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Small bytes: no scale is NaN or infinite.
            (seed >> 24) as u8 & 0x3b
        })
        .collect();
    let matrix = PackedMatrix::pack(&pool, &Arena::new(), dtype, rows, cols, &data).unwrap();
    let x: Vec<f32> = (0..tokens * cols).map(|i| (i % 17) as f32 - 8.0).collect();
    let mut activations = Activations::default();
    let mut out = vec![0.0; tokens * rows];
    bencher
        .counter(BytesCount::new(matrix.bytes()))
        .counter(ItemsCount::new(rows * cols * tokens))
        .bench_local(|| {
            activations.set(cpu, &pool, &x, tokens, cols, [dtype]);
            let target = [Target {
                matrix: &matrix,
                column: 0,
            }];
            matmul(cpu, &pool, &target, &activations, &mut out, rows);
        });
}

/// A training step's products `C = A B`: rows, columns and sums' lengths of a small decoder's layers, and
/// whether the columns of `A` and of `B` lie side by side, as those of weights and gradients do.
const GEMM: [(usize, usize, usize, bool, bool); 4] = [
    (2048, 688, 256, false, true),
    (2048, 256, 688, false, false),
    (688, 256, 2048, true, false),
    (512, 16_384, 512, false, true),
];

#[divan::bench(args = GEMM, sample_count = 20)]
fn gemm_f32(bencher: Bencher<'_, '_>, shape: (usize, usize, usize, bool, bool)) {
    let mut workspace = gemm::Workspace::new();
    products(bencher, shape, |cpu, pool, size, a, b, c| {
        gemm::gemm(
            cpu,
            pool,
            &mut workspace,
            size,
            a,
            b,
            c,
            size.n,
            Start::Zero,
        );
    });
}

/// As [`gemm_f32`]; packing counts.
#[divan::bench(args = GEMM, sample_count = 20)]
fn gemm_bf16(bencher: Bencher<'_, '_>, shape: (usize, usize, usize, bool, bool)) {
    let mut workspace = gemm::bf16::Workspace::new();
    products(bencher, shape, |cpu, pool, size, a, b, c| {
        gemm::bf16::gemm(
            cpu,
            pool,
            &mut workspace,
            size,
            a,
            b,
            c,
            size.n,
            Start::Zero,
        );
    });
}

/// As [`gemm_bf16`], of sides that were packed before.
#[divan::bench(args = GEMM, sample_count = 20)]
fn gemm_bf16_packed(bencher: Bencher<'_, '_>, shape: (usize, usize, usize, bool, bool)) {
    let mut packed = None;
    products(bencher, shape, |cpu, pool, size, a, b, c| {
        let (left, right) = packed.get_or_insert_with(|| {
            let mut sides = (gemm::bf16::Packed::new(), gemm::bf16::Packed::new());
            sides.0.left(cpu, pool, a, size.m, size.k);
            sides.1.right(cpu, pool, b, size.k, size.n);
            sides
        });
        gemm::bf16::multiply(cpu, pool, left, right, c, size.n, Start::Zero);
    });
}

fn products(
    bencher: Bencher<'_, '_>,
    shape: (usize, usize, usize, bool, bool),
    mut product: impl FnMut(Cpu, &ThreadPool, Size, View<'_>, View<'_>, &mut [f32]),
) {
    let (size, a, b, mut c) = sides(shape);
    let (cpu, pool) = (
        Cpu::from_env().unwrap(),
        ThreadPool::new(ThreadPool::default_threads()),
    );
    let a = view(&a, size.m, size.k, shape.3);
    let b = view(&b, size.k, size.n, shape.4);
    bencher
        .counter(ItemsCount::new(size.m * size.n * size.k))
        .bench_local(|| product(cpu, &pool, size, a, b, &mut c));
}

fn sides((m, n, k, ..): (usize, usize, usize, bool, bool)) -> (Size, Vec<f32>, Vec<f32>, Vec<f32>) {
    let numbers = |len: usize| (0..len).map(|i| (i % 17) as f32 - 8.0).collect();
    (
        Size { m, n, k },
        numbers(m * k),
        numbers(k * n),
        vec![0.0; m * n],
    )
}

fn view(data: &[f32], rows: usize, cols: usize, is_transposed: bool) -> View<'_> {
    if is_transposed {
        View::rows(data, rows).transposed()
    } else {
        View::rows(data, cols)
    }
}

/// One query token over a long sequence.
#[divan::bench(args = [512, 2048, 8192])]
fn attention_decode(bencher: Bencher<'_, '_>, len: usize) {
    attention(bencher, len, 1, 1);
}

/// A prompt's last 128 tokens.
#[divan::bench(args = [128, 512, 2048])]
fn attention_prefill(bencher: Bencher<'_, '_>, len: usize) {
    attention(bencher, len, 128, 1);
}

/// One query token of each of 32 sequences, in turn in the pages of 30 layers: no cache holds them.
#[divan::bench(args = [32, 140, 512], sample_count = 20)]
fn attention_batched(bencher: Bencher<'_, '_>, len: usize) {
    attention(bencher, len, 1, 30 * 32);
}

fn attention(bencher: Bencher<'_, '_>, len: usize, tokens: usize, sequences: usize) {
    let (cpu, pool) = (
        Cpu::from_env().unwrap(),
        ThreadPool::new(ThreadPool::default_threads()),
    );
    let layout = KvLayout {
        n_kv_heads: 3,
        head_dim: 64,
        dtype: KvType::F16,
    };
    let attention = Attention {
        n_heads: 9,
        layout,
        scale: 0.125,
        softcap: None,
        window: None,
        causal: true,
    };
    let arena = Arena::new();
    let pages: Vec<Vec<_>> = (0..sequences)
        .map(|_| {
            let pages = 0..len.div_ceil(PAGE);
            pages
                .map(|_| arena.zeroed(layout.page_bytes()).unwrap())
                .collect()
        })
        .collect();
    let at_once = sequences.min(32);
    let q = vec![0.5; at_once * tokens * 9 * 64];
    let mut out = vec![0.0; at_once * tokens * 9 * 64];
    let bytes = sequences * len.div_ceil(PAGE) * layout.page_bytes();
    bencher.counter(BytesCount::new(bytes)).bench_local(|| {
        for sequences in pages.chunks(at_once) {
            let jobs: Vec<_> = (0..)
                .zip(sequences)
                .map(|(index, pages)| Job {
                    pages: pages.iter().map(AlignedBytes::as_slice).collect(),
                    first_row: index * tokens,
                    start: len - tokens,
                    tokens,
                })
                .collect();
            attend(cpu, &pool, &attention, &jobs, &q, 9 * 64, &mut out);
        }
    });
}

/// The weights of a vocabulary of 49,152 tokens.
#[divan::bench]
fn weights(bencher: Bencher<'_, '_>) {
    let cpu = Cpu::from_env().unwrap();
    let logits: Vec<f32> = (0..49_152)
        .map(|i| (i * 7919 % 1000) as f32 / -40.0)
        .collect();
    let (mut weights, mut sums) = (vec![0.0; logits.len()], vec![0.0; 48]);
    bencher.bench_local(|| {
        terang_kernels::weights::weigh(cpu, &logits, 0.0, 1.0, 0.0, &mut weights, &mut sums);
    });
}

#[divan::bench]
fn fork(bencher: Bencher<'_, '_>) {
    let pool = ThreadPool::new(ThreadPool::default_threads());
    bencher.bench_local(|| pool.run(&|_| ()));
}
