//! Medians, and the lines that go into docs/benchmarks.md.

/// The middle of the values; the mean of the two in the middle where their number is even.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// Figures of one quantity over the rounds, with what is asked of their ratio.
pub(super) struct Row<'a> {
    pub(super) name: &'a str,
    pub(super) unit: &'a str,
    pub(super) ours: &'a [f64],
    /// Empty where no peer was run.
    pub(super) peer: &'a [f64],
    pub(super) asked: &'a str,
}

/// The head of a table of rows.
pub(super) fn head() {
    println!("| | ours | PyTorch | ours / PyTorch, median (each round) | asked |\n|---|---|---|---|---|");
}

impl Row<'_> {
    pub(super) fn print(&self) {
        let ratios: Vec<f64> = self.ours.iter().zip(self.peer).map(|(ours, peer)| ours / peer).collect();
        let each: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.3}")).collect();
        let (peer, ratio) = if self.peer.is_empty() {
            ("not run".to_owned(), String::new())
        } else {
            (format!("{:.4} {}", median(self.peer), self.unit), format!("{:.3} ({})", median(&ratios), each.join(", ")))
        };
        println!("| {} | {:.4} {} | {peer} | {ratio} | {} |", self.name, median(self.ours), self.unit, self.asked);
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn median_is_the_middle() {
        for (values, expected) in [(&[3.0, 1.0, 2.0][..], 2.0), (&[4.0, 1.0, 3.0, 2.0], 2.5), (&[7.0], 7.0)] {
            assert!((median(values) - expected).abs() < f64::EPSILON);
        }
        assert!(median(&[]).is_nan());
    }
}
