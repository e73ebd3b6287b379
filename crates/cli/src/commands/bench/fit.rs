//! A straight line through measurements.

/// `y = base + slope * x`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) base: f64,
    pub(super) slope: f64,
}

impl Line {
    /// The line of least squares through `points`; two different `x` are needed.
    pub(super) fn through(points: &[(f64, f64)]) -> Option<Self> {
        let n = points.len() as f64;
        let mean_x = points.iter().map(|p| p.0).sum::<f64>() / n;
        let mean_y = points.iter().map(|p| p.1).sum::<f64>() / n;
        let (mut xx, mut xy) = (0.0, 0.0);
        for (x, y) in points {
            xx += (x - mean_x) * (x - mean_x);
            xy += (x - mean_x) * (y - mean_y);
        }
        (xx > 0.0).then(|| Self {
            base: mean_y - xy / xx * mean_x,
            slope: xy / xx,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_again() {
        let points = [0.0, 512.0, 2048.0].map(|x| (x, 3.0 + 0.25 * x));
        let line = Line::through(&points).unwrap();
        assert!((line.base - 3.0).abs() < 1e-9 && (line.slope - 0.25).abs() < 1e-12);
        // The errors +1, -2, +1 at equal distances have no slope, and their mean is 0.
        let line = Line::through(&[(0.0, 1.0), (1.0, -2.0), (2.0, 1.0)]).unwrap();
        assert_eq!((line.base, line.slope), (0.0, 0.0));
    }

    #[test]
    fn one_point_is_no_line() {
        assert_eq!(Line::through(&[]), None);
        assert_eq!(Line::through(&[(1.0, 2.0), (1.0, 3.0)]), None);
    }
}
