//! Ranks that train one model together.
//!
//! Gradients are summed in one binary tree over all micro-batches of a step. A rank holds a whole subtree,
//! folded by a binary counter; ranks then add in pairs, nearest partner first, so that the sum is the same for one
//! rank and for any power of two.

use std::sync::{Arc, Barrier, Mutex, PoisonError};
use terang_kernels::{Cpu, ThreadPool};

/// How a rank speaks with the others.
pub trait Collective: Send {
    /// Which rank this is, from 0.
    fn rank(&self) -> usize;
    /// Ranks in all, a power of two.
    fn size(&self) -> usize;
    /// Replaces `values` by their sum over all ranks: in pairs, nearest partner first.
    fn all_reduce(&mut self, cpu: Cpu, values: &mut [f32]);
    /// Replaces `values` by their sum over all ranks, where no element is other than 0 on two ranks.
    fn all_gather(&mut self, values: &mut [f64]);
}

/// One rank alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Collective for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn all_reduce(&mut self, _: Cpu, _: &mut [f32]) {}

    fn all_gather(&mut self, _: &mut [f64]) {}
}

/// A rank that is a thread of this process.
#[derive(Debug)]
pub struct Local {
    rank: usize,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    values: Vec<Mutex<Vec<f32>>>,
    doubles: Vec<Mutex<Vec<f64>>>,
    barrier: Barrier,
}

impl Local {
    /// That many ranks, each to be moved to a thread of its own.
    ///
    /// # Panics
    /// If `size` is not a power of two.
    pub fn ranks(size: usize) -> Vec<Self> {
        assert!(
            size.is_power_of_two(),
            "ranks: {size} is not a power of two"
        );
        let shared = Arc::new(Shared {
            values: (0..size).map(|_| Mutex::default()).collect(),
            doubles: (0..size).map(|_| Mutex::default()).collect(),
            barrier: Barrier::new(size),
        });
        (0..size)
            .map(|rank| Self {
                rank,
                shared: Arc::clone(&shared),
            })
            .collect()
    }
}

impl Collective for Local {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.shared.values.len()
    }

    fn all_reduce(&mut self, cpu: Cpu, values: &mut [f32]) {
        let lock = |rank: usize| {
            self.shared.values[rank]
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        let mut distance = 1;
        while distance < self.size() {
            {
                let mut own = lock(self.rank);
                own.clear();
                own.extend_from_slice(values);
            }
            self.shared.barrier.wait();
            // A sum of two is the same from both sides.
            terang_kernels::rows::add(cpu, values, &lock(self.rank ^ distance));
            self.shared.barrier.wait();
            distance *= 2;
        }
    }

    fn all_gather(&mut self, values: &mut [f64]) {
        let lock = |rank: usize| {
            self.shared.doubles[rank]
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        lock(self.rank).clear();
        lock(self.rank).extend_from_slice(values);
        self.shared.barrier.wait();
        values.fill(0.0);
        for rank in 0..self.size() {
            values
                .iter_mut()
                .zip(&*lock(rank))
                .for_each(|(sum, x)| *sum += x);
        }
        self.shared.barrier.wait();
    }
}

/// Sums of gradients in a binary tree, by a binary counter: at most one sum waits at each height.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    waiting: Vec<Option<Vec<f32>>>,
    free: Vec<Vec<f32>>,
}

impl Tree {
    /// A buffer for the next leaf.
    pub(crate) fn leaf(&mut self, len: usize) -> Vec<f32> {
        self.free.pop().unwrap_or_else(|| vec![0.0; len])
    }

    /// Adds a leaf to the right of all before it.
    pub(crate) fn push(&mut self, cpu: Cpu, pool: &ThreadPool, mut right: Vec<f32>) {
        let mut height = 0;
        loop {
            if self.waiting.len() == height {
                self.waiting.push(None);
            }
            let Some(mut left) = self.waiting[height].take() else {
                self.waiting[height] = Some(right);
                return;
            };
            terang_kernels::rows::for_rows(pool, left.len(), &mut left, |range, out| {
                terang_kernels::rows::add(cpu, out, &right[range]);
            });
            self.free.push(right);
            right = left;
            height += 1;
        }
    }

    /// The sum of a power of two of leaves; the tree is empty again.
    pub(crate) fn sum(&mut self) -> Option<Vec<f32>> {
        self.waiting.drain(..).flatten().last()
    }

    /// Gives a buffer back.
    pub(crate) fn give_back(&mut self, buffer: Vec<f32>) {
        self.free.push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(index: usize) -> Vec<f32> {
        (0..40)
            .map(|i| ((index * 37 + i * 11) as f32).sin() * 10f32.powi((i % 7) as i32))
            .collect()
    }

    fn summed(leaves: usize, ranks: usize) -> Vec<u32> {
        let results: Vec<Vec<f32>> = std::thread::scope(|scope| {
            let threads: Vec<_> = Local::ranks(ranks)
                .into_iter()
                .map(|mut rank| {
                    scope.spawn(move || {
                        let (pool, mut tree) = (ThreadPool::new(1), Tree::default());
                        let own = leaves / ranks;
                        for index in rank.rank() * own..(rank.rank() + 1) * own {
                            tree.push(Cpu::best(), &pool, leaf(index));
                        }
                        let mut sum = tree.sum().unwrap();
                        rank.all_reduce(Cpu::best(), &mut sum);
                        sum
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert!(
            results
                .iter()
                .all(|result| bits(result) == bits(&results[0]))
        );
        bits(&results[0])
    }

    #[test]
    fn the_sum_is_the_same_for_any_power_of_two_of_ranks() {
        let one = summed(16, 1);
        for ranks in [2, 4, 8, 16] {
            assert_eq!(summed(16, ranks), one, "{ranks} ranks");
        }
        // It would not be so for a plain sum.
        let plain = (0..16).fold(vec![0.0f32; 40], |mut sum, index| {
            sum.iter_mut()
                .zip(leaf(index))
                .for_each(|(sum, x)| *sum += x);
            sum
        });
        assert_ne!(plain.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), one);
    }
}
