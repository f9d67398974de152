//! Watches the loss: what is not a number or far above the recent steps sends the run back.

use std::collections::VecDeque;

/// Steps whose median a new loss is compared with.
const WINDOW: usize = 32;
/// Fewer steps say little about what is usual.
const ENOUGH: usize = 8;
/// After this many rewinds the run ends.
pub const REWINDS_MAX: u32 = 3;

/// Why a step is not accepted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Alarm {
    /// Loss or gradient norm is NaN or infinite.
    NotFinite,
    /// The loss is many times the recent median.
    Spike {
        /// That median.
        recent: f64,
    },
}

/// Recent losses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LossGuard {
    recent: VecDeque<f64>,
    factor: f64,
}

impl LossGuard {
    /// A guard that calls a loss of `factor` times the median a spike; 0 never does.
    pub fn new(factor: f64, recent: impl IntoIterator<Item = f64>) -> LossGuard {
        LossGuard { recent: recent.into_iter().collect(), factor }
    }

    /// Looks at a step, and remembers its loss when it is accepted.
    pub fn judge(&mut self, loss: f64, gradients_are_finite: bool) -> Option<Alarm> {
        if !loss.is_finite() || !gradients_are_finite {
            return Some(Alarm::NotFinite);
        }
        let recent = self.median();
        if self.factor > 0.0 && self.recent.len() >= ENOUGH && loss > recent * self.factor && loss > recent + 0.5 {
            return Some(Alarm::Spike { recent });
        }
        self.recent.push_back(loss);
        if self.recent.len() > WINDOW {
            self.recent.pop_front();
        }
        None
    }

    /// What it remembers, for a checkpoint.
    pub fn recent(&self) -> Vec<f64> {
        self.recent.iter().copied().collect()
    }

    fn median(&self) -> f64 {
        let mut sorted: Vec<f64> = self.recent.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::INFINITY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_noticed_and_not_remembered() {
        let mut guard = LossGuard::new(4.0, std::iter::repeat_n(2.0, 10));
        assert_eq!(guard.judge(9.0, true), Some(Alarm::Spike { recent: 2.0 }));
        assert_eq!(guard.judge(2.1, true), None);
        assert_eq!(guard.judge(f64::NAN, true), Some(Alarm::NotFinite));
        assert_eq!(guard.judge(2.0, false), Some(Alarm::NotFinite));
        assert_eq!(guard.recent().len(), 11);
    }

    #[test]
    fn the_first_steps_are_never_a_spike() {
        let mut guard = LossGuard::new(4.0, []);
        assert!([1.0, 30.0, 2.0].into_iter().all(|loss| guard.judge(loss, true).is_none()));
    }
}
