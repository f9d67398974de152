//! The learning rate of each step: warmup, then one of four shapes.

use apertis_domain::recipe::Schedule;

/// A learning rate for every step of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LearningRate {
    /// The highest value.
    pub peak: f64,
    /// Steps in which it rises.
    pub warmup_steps: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// Its shape after the warmup.
    pub schedule: Schedule,
    /// Where it ends, as a share of the peak.
    pub floor_ratio: f64,
    /// Share of the steps in which `wsd` falls.
    pub decay_ratio: f64,
}

impl LearningRate {
    /// The learning rate of a step, counted from 0.
    ///
    /// # Source
    /// The cosine of Loshchilov and Hutter 2017; warmup-stable-decay of Hu et al. 2024.
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return self.peak * (step + 1) as f64 / self.warmup_steps as f64;
        }
        let span = self.total_steps.saturating_sub(self.warmup_steps).max(1) as f64;
        let progress = ((step - self.warmup_steps) as f64 / span).min(1.0);
        let between = |share: f64| self.peak * (self.floor_ratio + (1.0 - self.floor_ratio) * share);
        match self.schedule {
            Schedule::Constant => self.peak,
            Schedule::Linear => between(1.0 - progress),
            Schedule::Cosine => between(0.5 * (1.0 + (std::f64::consts::PI * progress).cos())),
            Schedule::WarmupStableDecay => {
                let decay_steps = (self.total_steps as f64 * self.decay_ratio).max(1.0);
                let left = self.total_steps.saturating_sub(step) as f64;
                between((left / decay_steps).min(1.0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schedule: Schedule, expected: [f64; 4]) {
        let rate = LearningRate { peak: 1.0, warmup_steps: 2, total_steps: 12, schedule, floor_ratio: 0.1, decay_ratio: 0.25 };
        for (step, expected) in [0, 1, 7, 11].into_iter().zip(expected) {
            assert!((rate.at(step) - expected).abs() < 1e-9, "{schedule:?} at {step}: {} instead of {expected}", rate.at(step));
        }
    }

    #[test]
    fn each_shape_has_its_values() {
        check(Schedule::Constant, [0.5, 1.0, 1.0, 1.0]);
        check(Schedule::Linear, [0.5, 1.0, 0.55, 0.19]);
        check(Schedule::Cosine, [0.5, 1.0, 0.55, 0.1 + 0.45 * (1.0 + (std::f64::consts::PI * 0.9).cos())]);
        check(Schedule::WarmupStableDecay, [0.5, 1.0, 1.0, 0.1 + 0.9 / 3.0]);
    }
}
