//! Fits the parameters to measured rows: Levenberg-Marquardt on the logarithms of both, with robust
//! weights and priors.

use crate::cost::step_time;
use crate::fitted::Fitted;
use crate::memory::reported_gib;
use crate::rows::Case;

/// Spread of a measurement about a good model: logarithms.
const NOISE: f64 = 0.05;
/// Residual, in spreads, over which a row counts less and less (Cauchy's loss): some published rows are
/// odd by more than any model explains.
const CAUCHY: f64 = 2.5;

/// One measured number of a row.
struct Point<'a> {
    case: &'a Case,
    measured: f64,
    memory: bool,
}

fn points<'a>(cases: &[&'a Case]) -> Vec<Point<'a>> {
    let of = |memory: bool| {
        cases.iter().filter_map(move |case| {
            let value = if memory {
                case.measured.memory_gib
            } else {
                case.measured.step_s
            };
            value.map(|measured| Point {
                case,
                measured,
                memory,
            })
        })
    };
    of(false).chain(of(true)).collect()
}

/// A row's weight, so that a large source does not drown out the others.
fn weights(points: &[Point<'_>]) -> Vec<f64> {
    let key = |p: &Point<'_>| (p.case.group.clone(), p.memory);
    let mut counts = std::collections::BTreeMap::new();
    for p in points {
        *counts.entry(key(p)).or_insert(0.0_f64) += 1.0;
    }
    points
        .iter()
        .map(|p| (20.0 / counts[&key(p)]).sqrt().min(1.5))
        .collect()
}

fn residuals(points: &[Point<'_>], fitted: &Fitted) -> Vec<f64> {
    points
        .iter()
        .map(|p| {
            let predicted = if p.memory {
                reported_gib(&p.case.run, fitted)
            } else {
                step_time(&p.case.run, fitted).total_s
            };
            (predicted / p.measured).ln() / NOISE
        })
        .collect()
}

/// The objective, for comparing: robust squares of residuals and of distances from the priors.
fn loss(residuals: &[f64], weights: &[f64], fitted: &Fitted) -> f64 {
    let rows: f64 = residuals
        .iter()
        .zip(weights)
        .map(|(r, w)| w * CAUCHY * CAUCHY * (r * r / (CAUCHY * CAUCHY)).ln_1p())
        .sum();
    let priors: f64 = (0..Fitted::len())
        .map(|i| {
            let (_, prior, sigma) = Fitted::describe(i);
            ((fitted.get(i) / prior).ln() / sigma).powi(2)
        })
        .sum();
    rows + priors
}

/// The most probable parameters, from `start`, after at most `rounds` steps.
pub fn fit(cases: &[&Case], start: &Fitted, rounds: usize) -> Fitted {
    let cases = points(cases);
    let weights = weights(&cases);
    let n = Fitted::len();
    let mut best = start.clone();
    let mut r = residuals(&cases, &best);
    let mut best_loss = loss(&r, &weights, &best);
    let mut damping = 1e-2;
    for _ in 0..rounds {
        // Columns of the Jacobian by finite differences of the logarithms.
        let step = 1e-3_f64;
        let columns: Vec<Vec<f64>> = (0..n)
            .map(|i| {
                let mut moved = best.clone();
                moved.set(i, moved.get(i) * step.exp());
                residuals(&cases, &moved)
                    .iter()
                    .zip(&r)
                    .map(|(a, b)| (a - b) / step)
                    .collect()
            })
            .collect();
        let robust: Vec<f64> = r
            .iter()
            .zip(&weights)
            .map(|(r, w)| w / (1.0 + r * r / (CAUCHY * CAUCHY)))
            .collect();
        let mut a = vec![vec![0.0; n]; n];
        let mut g = vec![0.0; n];
        for i in 0..n {
            for j in i..n {
                let sum: f64 = columns[i]
                    .iter()
                    .zip(&columns[j])
                    .zip(&robust)
                    .map(|((x, y), w)| x * y * w)
                    .sum();
                a[i][j] = sum;
                a[j][i] = sum;
            }
            g[i] = -columns[i]
                .iter()
                .zip(&r)
                .zip(&robust)
                .map(|((x, r), w)| x * r * w)
                .sum::<f64>();
            let (_, prior, sigma) = Fitted::describe(i);
            a[i][i] += sigma.powi(-2);
            g[i] -= (best.get(i) / prior).ln() / sigma.powi(2);
        }
        let mut improved = false;
        for _ in 0..6 {
            let mut damped = a.clone();
            for (i, row) in damped.iter_mut().enumerate() {
                row[i] *= 1.0 + damping;
            }
            let Some(delta) = solve(damped, g.clone()) else {
                break;
            };
            let mut next = best.clone();
            for (i, d) in delta.iter().enumerate() {
                next.set(i, next.get(i) * d.clamp(-0.7, 0.7).exp());
            }
            let next_r = residuals(&cases, &next);
            let next_loss = loss(&next_r, &weights, &next);
            if next_loss < best_loss {
                let gain = 1.0 - next_loss / best_loss;
                best = next;
                r = next_r;
                best_loss = next_loss;
                damping = (damping * 0.3).max(1e-6);
                improved = gain > 1e-4;
                break;
            }
            damping *= 5.0;
        }
        if !improved {
            break;
        }
    }
    best
}

/// Solves a·x = b by elimination with pivots.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Option<Vec<f64>> {
    let n = b.len();
    for c in 0..n {
        let p = (c..n).max_by(|i, j| a[*i][c].abs().total_cmp(&a[*j][c].abs()))?;
        if a[p][c].abs() < 1e-300 {
            return None;
        }
        a.swap(c, p);
        b.swap(c, p);
        for r in c + 1..n {
            let f = a[r][c] / a[c][c];
            if f != 0.0 {
                let pivot = a[c].clone();
                for (x, v) in a[r].iter_mut().zip(&pivot).skip(c) {
                    *x -= f * v;
                }
                b[r] -= f * b[c];
            }
        }
    }
    for c in (0..n).rev() {
        let s: f64 = (c + 1..n).map(|k| a[c][k] * b[k]).sum();
        b[c] = (b[c] - s) / a[c][c];
    }
    Some(b)
}
