//! What was measured, round by round.

use std::collections::BTreeMap;

/// What a figure is about. Work is in tokens a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A prompt of so many tokens.
    Prefill(usize),
    /// One sequence after so many positions.
    Decode(usize),
    /// So many sequences together.
    Batched(usize),
    /// Milliseconds to the first token of a new process.
    ColdStart,
    /// Bytes a second that all threads read.
    ReadBytes,
    /// Operations a second on int8.
    Int8Ops,
    /// Operations a second on int8 by tiles, where the processor has them.
    Int8TileOps,
    /// Operations a second on f32.
    F32Flops,
}

/// A figure for each kind and round.
#[derive(Debug, Default)]
pub(super) struct Samples(BTreeMap<Kind, Vec<f64>>);

impl Samples {
    pub(super) fn add(&mut self, kind: Kind, figure: f64) {
        self.0.entry(kind).or_default().push(figure);
    }

    /// The median, if there was a round.
    pub(super) fn median(&self, kind: Kind) -> Option<f64> {
        let mut figures = self.0.get(&kind)?.clone();
        figures.sort_by(f64::total_cmp);
        let middle = figures.len() / 2;
        Some(if figures.len() % 2 == 1 {
            figures[middle]
        } else {
            f64::midpoint(figures[middle - 1], figures[middle])
        })
    }

    /// The least and the greatest.
    pub(super) fn spread(&self, kind: Kind) -> Option<(f64, f64)> {
        let figures = self.0.get(&kind)?;
        let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Some((least, greatest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        let mut samples = Samples::default();
        assert_eq!(samples.median(Kind::ColdStart), None);
        for (figure, median) in [(5.0, 5.0), (1.0, 3.0), (9.0, 5.0)] {
            samples.add(Kind::ColdStart, figure);
            assert_eq!(samples.median(Kind::ColdStart), Some(median));
        }
        assert_eq!(samples.spread(Kind::ColdStart), Some((1.0, 9.0)));
    }
}
