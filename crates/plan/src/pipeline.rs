//! Pipeline schedules, replayed: each stage works through its list of passes in order, a pass starts
//! when what it waits for is done. Gives the time and the idle share that closed forms only estimate.
//!
//! Schedules: 1F1B (Narayanan et al. 2019), interleaved (Narayanan et al. 2021), zero-bubble H1 (Qi et
//! al. 2024), and `DualPipe` (DeepSeek-V3, section 3.2.1) as two zero-bubble pipelines in opposite
//! directions that share each stage.

use serde::Serialize;

/// How micro-batches go through stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Schedule {
    /// One forward, one backward.
    OneForwardOneBackward,
    /// The same with this many chunks of layers a stage.
    Interleaved(u64),
    /// The backward pass in two parts, of which the weights' fills the bubble.
    ZeroBubble,
    /// Zero-bubble from both ends at once.
    DualPipe,
}

impl Schedule {
    /// The name in reports.
    pub fn name(self) -> String {
        match self {
            Self::OneForwardOneBackward => "1F1B".to_owned(),
            Self::Interleaved(v) => format!("interleaved, {v} chunks a stage"),
            Self::ZeroBubble => "zero bubble".to_owned(),
            Self::DualPipe => "DualPipe".to_owned(),
        }
    }
}

/// Times of a stage's passes over one micro-batch, all of its layers, s.
#[derive(Clone, Copy, Debug)]
pub struct Passes {
    /// Forward.
    pub forward_s: f64,
    /// Backward, by inputs.
    pub backward_s: f64,
    /// Backward, by weights.
    pub weight_s: f64,
    /// Sending to the next stage.
    pub send_s: f64,
}

/// What a replay gives.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Replay {
    /// Until the last pass is done, s.
    pub total_s: f64,
    /// Share of the stages' time that is idle.
    pub idle: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Forward,
    Backward,
    Weight,
}

/// One pass: of which micro-batch, of which chunk of the whole depth.
#[derive(Clone, Copy, Debug)]
struct Pass {
    kind: Kind,
    micro_batch: usize,
    depth: usize,
}

/// Replays `stages` stages and `micro_batches` micro-batches; `None` for a schedule that the numbers do
/// not allow, or one that is too large to replay.
pub fn replay(
    schedule: Schedule,
    stages: u64,
    micro_batches: u64,
    times: &Passes,
) -> Option<Replay> {
    let (p, m) = (stages as usize, micro_batches as usize);
    if p == 0 || m == 0 || p.checked_mul(m)? > 4_000_000 {
        return None;
    }
    let lists: Vec<Vec<Pass>> = match schedule {
        Schedule::OneForwardOneBackward => (0..p).map(|s| one_f_one_b(p, m, s)).collect(),
        Schedule::Interleaved(v) => {
            let v = v as usize;
            if v == 0 || v > 64 || !m.is_multiple_of(p) {
                return None;
            }
            (0..p).map(|s| interleaved(p, m, v, s)).collect()
        }
        Schedule::ZeroBubble => (0..p).map(|s| zero_bubble(p, m, s)).collect(),
        Schedule::DualPipe => {
            // Both directions run half of the micro-batches; a stage's two chunks fill each other's
            // gaps, which leaves the bubble of half the depth.
            if !m.is_multiple_of(2) || !p.is_multiple_of(2) {
                return None;
            }
            let half = replay(Schedule::ZeroBubble, stages / 2, micro_batches, times)?;
            return Some(half);
        }
    };
    let chunks = match schedule {
        Schedule::Interleaved(v) => v as usize,
        _ => 1,
    };
    run(
        &lists,
        p,
        m,
        chunks,
        times,
        schedule == Schedule::ZeroBubble,
    )
}

fn one_f_one_b(p: usize, m: usize, stage: usize) -> Vec<Pass> {
    let warm = (p - 1 - stage).min(m);
    let pass = |kind, micro_batch| Pass {
        kind,
        micro_batch,
        depth: stage,
    };
    let mut list: Vec<Pass> = (0..warm).map(|i| pass(Kind::Forward, i)).collect();
    for i in warm..m {
        list.push(pass(Kind::Forward, i));
        list.push(pass(Kind::Backward, i - warm));
    }
    list.extend((m - warm..m).map(|i| pass(Kind::Backward, i)));
    list
}

/// Megatron-LM's order: micro-batches in groups of `p`, each group through all chunks in turn.
fn interleaved(p: usize, m: usize, v: usize, stage: usize) -> Vec<Pass> {
    let all = m * v;
    let forward = |i: usize| {
        let chunk = i % (p * v) / p;
        Pass {
            kind: Kind::Forward,
            micro_batch: i / (p * v) * p + i % p,
            depth: chunk * p + stage,
        }
    };
    let backward = |i: usize| Pass {
        kind: Kind::Backward,
        depth: (v - 1 - i % (p * v) / p) * p + stage,
        ..forward(i)
    };
    let warm = ((p - 1 - stage) * 2 + (v - 1) * p).min(all);
    let mut list: Vec<Pass> = (0..warm).map(forward).collect();
    for i in warm..all {
        list.push(forward(i));
        list.push(backward(i - warm));
    }
    list.extend((all - warm..all).map(backward));
    list
}

/// As 1F1B, with the weights' part of a backward pass put off by as many micro-batches as the stage has
/// under way, so that it fills what would be idle at the end.
fn zero_bubble(p: usize, m: usize, stage: usize) -> Vec<Pass> {
    let mut list = Vec::new();
    let late = stage.min(m);
    let (mut back, mut weights) = (0, 0);
    for pass in one_f_one_b(p, m, stage) {
        list.push(pass);
        if pass.kind == Kind::Backward {
            back += 1;
            if back > late {
                list.push(Pass {
                    kind: Kind::Weight,
                    micro_batch: weights,
                    depth: stage,
                });
                weights += 1;
            }
        }
    }
    list.extend((weights..m).map(|i| Pass {
        kind: Kind::Weight,
        micro_batch: i,
        depth: stage,
    }));
    list
}

fn run(
    lists: &[Vec<Pass>],
    p: usize,
    m: usize,
    chunks: usize,
    times: &Passes,
    split: bool,
) -> Option<Replay> {
    let depth = p * chunks;
    let c = chunks as f64;
    let mut forward = vec![f64::NAN; depth * m];
    let mut backward = vec![f64::NAN; depth * m];
    let mut at = vec![0_usize; p];
    let mut free = vec![0.0_f64; p];
    let mut busy = 0.0;
    loop {
        let mut moved = false;
        for (stage, list) in lists.iter().enumerate() {
            while let Some(pass) = list.get(at[stage]) {
                let i = pass.depth * m + pass.micro_batch;
                let (ready, time) = match pass.kind {
                    Kind::Forward if pass.depth == 0 => (0.0, times.forward_s / c),
                    Kind::Forward => (forward[i - m] + times.send_s, times.forward_s / c),
                    Kind::Backward => {
                        let whole = times.backward_s + if split { 0.0 } else { times.weight_s };
                        let after = if pass.depth + 1 == depth {
                            forward[i]
                        } else {
                            backward[i + m] + times.send_s
                        };
                        (after, whole / c)
                    }
                    Kind::Weight => (backward[i], times.weight_s / c),
                };
                if ready.is_nan() {
                    break;
                }
                let end = free[stage].max(ready) + time;
                match pass.kind {
                    Kind::Forward => forward[i] = end,
                    Kind::Backward => backward[i] = end,
                    Kind::Weight => {}
                }
                free[stage] = end;
                busy += time;
                at[stage] += 1;
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    // A list that never ends waits for itself: no such schedule.
    if lists.iter().zip(&at).any(|(l, n)| l.len() > *n) {
        return None;
    }
    let total = free.iter().copied().fold(0.0, f64::max);
    Some(Replay {
        total_s: total,
        idle: (1.0 - busy / (total * p as f64)).clamp(0.0, 1.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Passes = Passes {
        forward_s: 1.0,
        backward_s: 1.0,
        weight_s: 1.0,
        send_s: 0.0,
    };

    fn total(schedule: Schedule, p: u64, m: u64) -> f64 {
        replay(schedule, p, m, &TIMES).unwrap().total_s
    }

    #[test]
    fn one_f_one_b_has_the_bubble_of_the_formula() {
        for (p, m) in [(1, 1), (2, 2), (4, 8), (8, 8), (8, 64), (16, 5)] {
            let expected = (m + p - 1) as f64 * 3.0;
            assert!(
                (total(Schedule::OneForwardOneBackward, p, m) - expected).abs() < 1e-9,
                "{p} {m}"
            );
        }
    }

    #[test]
    fn interleaving_divides_the_bubble_by_the_chunks() {
        for (p, m, v) in [(2, 4, 2), (4, 8, 2), (4, 16, 4), (8, 32, 3)] {
            let expected = 3.0 * (m as f64 + (p - 1) as f64 / v as f64);
            let found = total(Schedule::Interleaved(v), p, m);
            assert!(
                (found - expected).abs() < 1e-6,
                "{p} {m} {v}: {found} {expected}"
            );
        }
        assert!(replay(Schedule::Interleaved(2), 4, 6, &TIMES).is_none());
    }

    #[test]
    fn the_others_have_smaller_bubbles() {
        for (p, m) in [(4, 16), (8, 32)] {
            let plain = total(Schedule::OneForwardOneBackward, p, m);
            let zero = total(Schedule::ZeroBubble, p, m);
            let dual = total(Schedule::DualPipe, p, m);
            // Qi et al.: (p - 1)(F + B - W) where 1F1B has (p - 1)(F + B + W).
            assert!(
                (zero - (3.0 * m as f64 + (p - 1) as f64)).abs() < 1e-9,
                "{zero}"
            );
            assert!(dual < zero && zero < plain, "{dual} {zero} {plain}");
        }
    }
}
