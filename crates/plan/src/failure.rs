//! The run over time, event by event: failures, what is lost to each, spare nodes, repairs, checkpoints.
//! Seeded: the same seed gives the same runs.
//!
//! Between two failures nothing random happens, so an event is a failure or a repair, and checkpoints
//! are counted in closed form. Best intervals: Young 1974, Daly 2006, then a search about them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::error::PlanError;
use crate::upkeep::daly_interval;

/// One kind of failure.
#[derive(Clone, Debug, Deserialize)]
pub struct Cause {
    /// What breaks.
    pub name: String,
    /// Share of all interruptions.
    pub share: f64,
    /// Until it is noticed, s.
    pub detect_s: f64,
    /// Until training goes on, where a node is at hand, s.
    pub restart_s: f64,
    /// Whether a spare node must take over.
    pub replaces_node: bool,
    /// Whether it spoils work unnoticed for a while.
    #[serde(default)]
    pub silent: bool,
}

/// The built-in failure rates.
#[derive(Clone, Debug, Deserialize)]
pub struct Rates {
    /// Interruptions by 1,000 days of a node of eight GPUs.
    pub per_1000_node_days: f64,
    /// Standard deviation of its logarithm from cluster to cluster.
    pub spread: f64,
    /// What breaks.
    pub cause: Vec<Cause>,
}

/// The built-in rates.
pub fn rates() -> &'static Rates {
    static RATES: OnceLock<Rates> = OnceLock::new();
    RATES.get_or_init(|| {
        toml::from_str(include_str!("../tables/failures.toml"))
            .expect("the built-in table is sound")
    })
}

/// How states are saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Saving {
    /// Training stops until all is on storage.
    Sync,
    /// Training stops while states are copied to the host; writing goes on beside it.
    Async,
    /// As `Async`, into the memory of a peer node: restored from there without storage (Wang et al.
    /// 2023). Now and then storage gets a copy too.
    Peer,
}

impl Saving {
    /// The way of this name.
    pub fn parse(name: &str) -> Result<Self, PlanError> {
        let all = [Self::Sync, Self::Async, Self::Peer];
        let wanted = name.trim().to_lowercase();
        all.into_iter()
            .find(|s| s.name() == wanted)
            .ok_or_else(|| PlanError::Unknown {
                what: "way to save",
                name: name.to_owned(),
                nearest: crate::error::nearest(name, all.into_iter().map(Self::name)),
            })
    }

    /// The name in requests and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Async => "async",
            Self::Peer => "peer",
        }
    }
}

/// Saves into a peer's memory for one to storage.
const PEER_SAVES: f64 = 10.0;
/// Share of a load from storage that one from a peer takes: its memory by its network, not by a disk.
const PEER_LOAD: f64 = 0.1;

/// A run to be played through.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Setting {
    /// Nodes that train.
    pub nodes: u64,
    /// Spare nodes.
    pub spares: u64,
    /// GPUs of a node.
    pub gpus_per_node: u32,
    /// Training without interruption, s.
    pub work_s: f64,
    /// Interruptions by 1,000 days of eight GPUs.
    pub per_1000_node_days: f64,
    /// Whether the rate itself is uncertain, by the spread between clusters.
    pub uncertain_rate: bool,
    /// How states are saved.
    pub saving: Saving,
    /// Time that a save stops training, s.
    pub stop_s: f64,
    /// Time until a save is safe, s.
    pub write_s: f64,
    /// Time to load states again, s.
    pub load_s: f64,
    /// Between saves, s; Daly's where `None`.
    pub interval_s: Option<f64>,
    /// Data-parallel ranks: with no spare left, training goes on with one fewer where over 1.
    pub replicas: u64,
    /// Share of failures that corrupt silently; the table's where `None`.
    pub silent_share: Option<f64>,
    /// Mean time until silent corruption shows in the loss or in checks, s.
    pub silent_s: f64,
}

/// Shares of the causes, with silent corruption as often as the setting has it.
pub fn shares(silent_share: Option<f64>) -> Vec<f64> {
    let causes = &rates().cause;
    let sum = |silent: bool| -> f64 {
        let some = causes.iter().filter(|c| c.silent == silent);
        some.map(|c| c.share).sum()
    };
    let (silent, loud) = (sum(true), sum(false));
    let wanted = silent_share
        .unwrap_or(silent / (silent + loud))
        .clamp(0.0, 1.0);
    causes
        .iter()
        .map(|c| {
            if c.silent {
                wanted * c.share / silent.max(f64::MIN_POSITIVE)
            } else {
                (1.0 - wanted) * c.share / loud.max(f64::MIN_POSITIVE)
            }
        })
        .collect()
}

/// Mean time to repair a node, s: a day.
const REPAIR_S: f64 = 86_400.0;
/// Mean time until silent corruption shows in the loss or in checks, where nothing else is said, s.
pub const CORRUPT_S: f64 = 3600.0;
/// A run that takes this many times its work is given up as never ending.
const HOPELESS: f64 = 50.0;

/// Time lost to one thing over a run, in mean GPU-hours.
#[derive(Clone, Debug, Serialize)]
pub struct Loss {
    /// To what.
    pub what: String,
    /// Mean GPU-hours a run.
    pub gpu_hours: f64,
}

/// What many runs came to.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Runs played.
    pub runs: usize,
    /// Mean interruptions, and the 5th and 95th of a hundred.
    pub interruptions: [f64; 3],
    /// Share of the time that is training which is kept: 1st, 10th, 50th, 90th of a hundred runs.
    pub goodput: [f64; 4],
    /// Mean of it.
    pub goodput_mean: f64,
    /// Days that half, nine of ten, and 99 of a hundred runs stay under.
    pub days: [f64; 3],
    /// Time between saves, s.
    pub interval_s: f64,
    /// GPU-hours lost by cause, most first.
    pub losses: Vec<Loss>,
    /// Goodput of each run, sorted, for plots; at most a hundred points.
    pub curve: Vec<f64>,
}

/// `SplitMix64` (Steele et al. 2014): a counter and a mixer, enough for this.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Over 0 and at most 1.
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.unit().ln()
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// When broken nodes come back, the earliest first. Times are not negative, so that their bits are in
/// their order.
#[derive(Default)]
struct Repairs(BinaryHeap<Reverse<u64>>);

impl Repairs {
    fn next(&self) -> f64 {
        self.0
            .peek()
            .map_or(f64::INFINITY, |Reverse(bits)| f64::from_bits(*bits))
    }

    fn push(&mut self, at: f64) {
        self.0.push(Reverse(at.max(0.0).to_bits()));
    }
}

/// Events that a search of intervals or spares may take, and a whole simulation.
const EVENTS_SEARCH: f64 = 2e6;
const EVENTS_MAX: f64 = 2e7;

/// Plays that keep a search within its events: `wanted`, or fewer where there are many failures.
fn plays(s: &Setting, wanted: u64, events: f64) -> u64 {
    let eights = s.nodes as f64 * f64::from(s.gpus_per_node) / 8.0;
    let each = s.per_1000_node_days / 1000.0 * eights * s.work_s / 86_400.0 * 2.0;
    ((events / each.max(1.0)) as u64).clamp(2, wanted)
}

/// One run's tallies.
struct Played {
    wall_s: f64,
    interruptions: f64,
    /// By cause, then saves, then running with fewer replicas.
    lost_s: Vec<f64>,
}

fn play(s: &Setting, interval: f64, random: &mut Random) -> Played {
    let rates = rates();
    let causes = &rates.cause;
    let (saves, fewer) = (causes.len(), causes.len() + 1);
    let mut lost = vec![0.0; causes.len() + 2];
    let eights = s.nodes as f64 * f64::from(s.gpus_per_node) / 8.0;
    let factor = if s.uncertain_rate {
        (rates.spread * random.normal()).exp()
    } else {
        1.0
    };
    let per_s = s.per_1000_node_days / 1000.0 * eights / 86_400.0 * factor;
    let (mut wall, mut done, mut interruptions) = (0.0_f64, 0.0_f64, 0.0);
    let mut spares = s.spares;
    let mut repairs = Repairs::default();
    let mut missing = 0_u64;
    let replicas = s.replicas.max(1) as f64;
    // The nodes of a replica that lacks one stand by for others that lack one.
    let per_replica = (s.nodes as f64 / replicas).max(1.0);
    let shares = shares(s.silent_share);
    let cycle = interval + s.stop_s;
    while done < s.work_s {
        // Nodes that came back meanwhile.
        while repairs.next() <= wall {
            repairs.0.pop();
            if missing > 0 {
                missing -= 1;
            } else {
                spares += 1;
            }
        }
        // Work a second of wall time: saves stop it, missing replicas slow it.
        let short = (missing as f64 / per_replica).ceil();
        let speed = ((replicas - short) / replicas).clamp(0.0, 1.0);
        if speed <= 0.0 {
            let next = repairs.next();
            let wait = (next - wall).max(1.0);
            lost[fewer] += wait;
            wall += wait;
            continue;
        }
        let rate = speed * interval / cycle;
        let left = (s.work_s - done) / rate;
        let mut until = if per_s > 0.0 {
            random.exponential(1.0 / per_s)
        } else {
            f64::INFINITY
        };
        let mut fails = true;
        if missing > 0 {
            let back = repairs.next() - wall;
            if back < until {
                until = back.max(0.0);
                fails = false;
            }
        }
        let run = until.min(left);
        wall += run;
        done += run * rate;
        lost[saves] += run * s.stop_s / cycle;
        lost[fewer] += run * (1.0 - speed) * interval / cycle;
        if run >= left || !fails {
            continue;
        }
        interruptions += 1.0;
        let mut pick = random.unit();
        let which = shares.iter().position(|share| {
            pick -= share;
            pick <= 0.0
        });
        let which = which.unwrap_or(causes.len() - 1);
        let cause = &causes[which];
        // Work since the last save that is safe, and until the failure is noticed. What a peer holds is
        // as spoilt as what runs, so that corruption goes back to storage.
        let from_peer = s.saving == Saving::Peer && !cause.silent;
        let (apart, load) = match s.saving {
            Saving::Peer if from_peer => (interval, PEER_LOAD * s.load_s),
            Saving::Peer => (interval * PEER_SAVES, s.load_s),
            Saving::Sync | Saving::Async => (interval, s.load_s),
        };
        let mut gone = random.unit() * apart;
        if !from_peer {
            gone += s.write_s;
        }
        if cause.silent {
            gone += random.exponential(s.silent_s.max(0.0));
        }
        let gone = (gone * speed).min(done);
        let mut down = random.exponential(cause.detect_s) + cause.restart_s + load;
        if cause.replaces_node {
            repairs.push(wall + random.exponential(REPAIR_S));
            if spares > 0 {
                spares -= 1;
            } else if s.replicas > 1 {
                missing += 1;
            } else {
                // Nothing to go on with before a node comes back.
                let next = repairs.next();
                down = down.max(next - wall);
                missing += 1;
            }
        }
        done -= gone;
        wall += down;
        lost[which] += down + gone / rate.max(f64::MIN_POSITIVE);
        if wall > HOPELESS * s.work_s {
            break;
        }
    }
    Played {
        wall_s: wall,
        interruptions,
        lost_s: lost,
    }
}

fn at(sorted: &[f64], share: f64) -> f64 {
    let n = sorted.len();
    sorted[((n as f64 * share) as usize).min(n - 1)]
}

/// Plays `runs` runs. The interval is searched about Daly's where the setting gives none.
pub fn simulate(s: &Setting, runs: usize, seed: u64) -> Outcome {
    let runs = plays(s, runs.clamp(2, 1_000_000) as u64, EVENTS_MAX) as usize;
    let interval = s.interval_s.unwrap_or_else(|| best_interval(s, seed));
    let played: Vec<Played> = (0..runs)
        .map(|i| {
            play(
                s,
                interval,
                &mut Random(seed ^ (i as u64).wrapping_mul(0xA24B_AED4_963E_E407)),
            )
        })
        .collect();
    let sorted = |f: &dyn Fn(&Played) -> f64| {
        let mut v: Vec<f64> = played.iter().map(f).collect();
        v.sort_by(f64::total_cmp);
        v
    };
    let goodput = sorted(&|p| (s.work_s / p.wall_s.max(s.work_s)).clamp(0.0, 1.0));
    let days = sorted(&|p| p.wall_s / 86_400.0);
    let interruptions = sorted(&|p| p.interruptions);
    let n = runs as f64;
    let gpus = (s.nodes * u64::from(s.gpus_per_node)) as f64;
    let names = rates().cause.iter().map(|c| c.name.clone()).chain([
        "saving".to_owned(),
        "running with fewer replicas".to_owned(),
    ]);
    let mut losses: Vec<Loss> = names
        .enumerate()
        .map(|(i, what)| Loss {
            what,
            gpu_hours: played.iter().map(|p| p.lost_s[i]).sum::<f64>() / n / 3600.0 * gpus,
        })
        .collect();
    losses.sort_by(|a, b| b.gpu_hours.total_cmp(&a.gpu_hours));
    Outcome {
        runs,
        interruptions: [
            interruptions.iter().sum::<f64>() / n,
            at(&interruptions, 0.05),
            at(&interruptions, 0.95),
        ],
        goodput: [
            at(&goodput, 0.01),
            at(&goodput, 0.10),
            at(&goodput, 0.50),
            at(&goodput, 0.90),
        ],
        goodput_mean: goodput.iter().sum::<f64>() / n,
        days: [at(&days, 0.50), at(&days, 0.90), at(&days, 0.99)],
        interval_s: interval,
        losses,
        curve: (0..runs.min(100))
            .map(|i| at(&goodput, i as f64 / runs.min(100) as f64))
            .collect(),
    }
}

/// The interval whose mean goodput is best, of several about Daly's.
fn best_interval(s: &Setting, seed: u64) -> f64 {
    let eights = s.nodes as f64 * f64::from(s.gpus_per_node) / 8.0;
    let per_s = s.per_1000_node_days / 1000.0 * eights / 86_400.0;
    if per_s <= 0.0 {
        return s.work_s.max(1.0);
    }
    let daly = daly_interval(s.stop_s, 1.0 / per_s).max(s.write_s).max(1.0);
    [0.5, 0.7, 1.0, 1.4, 2.0]
        .into_iter()
        .map(|f| {
            let interval = (daly * f).max(s.write_s).max(1.0);
            // The same seeds for each, so that only the interval differs.
            let wall: f64 = (0..plays(s, 40, EVENTS_SEARCH / 5.0))
                .map(|i| play(s, interval, &mut Random(seed.wrapping_add(i * 7919))).wall_s)
                .sum();
            (interval, wall)
        })
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map_or(daly, |(interval, _)| interval)
}

/// The number of spare nodes that costs least: a spare is paid for all days, a missing one slows
/// everything.
pub fn spares_that_pay(s: &Setting, seed: u64) -> u64 {
    let s = Setting {
        uncertain_rate: false,
        interval_s: Some(best_interval(s, seed)),
        ..*s
    };
    let mut best = (f64::INFINITY, 0);
    let mut spares = 0;
    while spares <= s.nodes.max(1) {
        let setting = Setting { spares, ..s };
        let wall: f64 = (0..plays(&s, 20, EVENTS_SEARCH / 40.0))
            .map(|i| {
                play(
                    &setting,
                    s.interval_s.unwrap_or(1.0),
                    &mut Random(seed.wrapping_add(i * 104_729)),
                )
                .wall_s
            })
            .sum();
        let cost = wall * (s.nodes + spares) as f64;
        if cost < best.0 {
            best = (cost, spares);
        } else if cost > best.0 * 1.03 {
            break;
        }
        spares += (spares / 4).max(1);
    }
    best.1
}

#[cfg(test)]
mod tests;
