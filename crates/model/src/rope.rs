//! Rotary position embeddings: the frequencies of every scaling rule, and the tables that
//! the backend's rotation reads.
//!
//! Frequencies and angles are computed in `f32`, step by step as the reference does, because
//! at far positions a last bit of a frequency is a visible part of an angle.

/// How frequencies follow the length of a sequence.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// As trained.
    None,
    /// Positions divided by a factor.
    Linear {
        /// The divisor.
        factor: f32,
    },
    /// The base grows with a sequence longer than the context.
    Dynamic {
        /// How much longer sequences may get.
        factor: f64,
        /// Length up to which nothing changes.
        context: usize,
    },
    /// Low frequencies divided, high ones kept, a ramp between. Llama 3.1.
    Llama3 {
        /// The divisor of low frequencies.
        factor: f32,
        /// Wavelengths above `original_context / low` are divided.
        low_frequency_factor: f32,
        /// Wavelengths below `original_context / high` are kept.
        high_frequency_factor: f32,
        /// Context of the first training.
        original_context: f32,
    },
    /// Peng et al. 2023, arXiv:2309.00071.
    Yarn {
        /// How much longer sequences get.
        factor: f64,
        /// Rotations above which a frequency is kept.
        beta_fast: f64,
        /// Rotations below which a frequency is divided.
        beta_slow: f64,
        /// Context of the first training.
        original_context: f64,
        /// Round the ends of the ramp to whole pairs.
        truncate: bool,
    },
    /// One divisor for each pair; another set for long sequences. Ding et al. 2024.
    LongRope {
        /// Divisors up to the original context.
        short: Vec<f32>,
        /// Divisors beyond it.
        long: Vec<f32>,
        /// Context of the first training.
        original_context: usize,
    },
}

/// One rotation that layers refer to.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeSpec {
    /// Base of the wavelengths.
    pub theta: f64,
    /// Columns of a head that rotate.
    pub rotary_width: usize,
    /// Pairs are neighbours instead of halves.
    pub interleaved: bool,
    /// Multiplies cosines and sines.
    pub attention_factor: f32,
    /// How frequencies follow the length.
    pub scaling: RopeScaling,
}

impl RopeSpec {
    /// What distinguishes the frequencies of a sequence of this length; sequences with equal
    /// keys share a table.
    pub fn variant(&self, sequence_length: usize) -> usize {
        match &self.scaling {
            RopeScaling::Dynamic { context, .. } => sequence_length.max(*context),
            RopeScaling::LongRope { original_context, .. } => usize::from(sequence_length > *original_context),
            _ => 0,
        }
    }

    /// Radians a position, one value a pair.
    pub fn frequencies(&self, sequence_length: usize) -> Vec<f32> {
        let width = self.rotary_width;
        let exponents = (0..width / 2).map(|pair| (2 * pair) as f32 / width as f32);
        let plain = |theta: f64| -> Vec<f32> { exponents.clone().map(|exponent| 1.0 / power(theta, exponent)).collect() };
        match &self.scaling {
            RopeScaling::None => plain(self.theta),
            RopeScaling::Linear { factor } => plain(self.theta).into_iter().map(|frequency| frequency / factor).collect(),
            RopeScaling::Dynamic { factor, context } => {
                let length = sequence_length.max(*context) as f64;
                let stretch = factor * length / *context as f64 - (factor - 1.0);
                plain(self.theta * stretch.powf(width as f64 / (width as f64 - 2.0)))
            }
            RopeScaling::Llama3 { factor, low_frequency_factor, high_frequency_factor, original_context } => plain(self.theta)
                .into_iter()
                .map(|frequency| llama3(frequency, *factor, *low_frequency_factor, *high_frequency_factor, *original_context))
                .collect(),
            RopeScaling::Yarn { factor, beta_fast, beta_slow, original_context, truncate } => {
                let (low, high) = yarn_range(self.theta, width, *original_context, *beta_fast, *beta_slow, *truncate);
                exponents
                    .enumerate()
                    .map(|(pair, exponent)| {
                        let wave = power(self.theta, exponent);
                        let ramp = ((pair as f32 - low) / (high - low)).clamp(0.0, 1.0);
                        let kept = 1.0 - ramp;
                        (1.0 / (*factor as f32 * wave)) * (1.0 - kept) + (1.0 / wave) * kept
                    })
                    .collect()
            }
            RopeScaling::LongRope { short, long, original_context } => {
                let divisors = if sequence_length > *original_context { long } else { short };
                exponents.zip(divisors).map(|(exponent, divisor)| 1.0 / (divisor * power(self.theta, exponent))).collect()
            }
        }
    }

    /// Rows for positions `first .. first + count` of a sequence of this length: cosines, then
    /// sines.
    ///
    /// # Shapes
    /// count × rotary_width.
    pub fn table(&self, sequence_length: usize, first: usize, count: usize) -> Vec<f32> {
        let frequencies = self.frequencies(sequence_length);
        let mut table = Vec::with_capacity(count * self.rotary_width);
        for position in first..first + count {
            let angles = frequencies.iter().map(|frequency| position as f32 * frequency);
            table.extend(angles.clone().map(|angle| f64::from(angle).cos() as f32 * self.attention_factor));
            table.extend(angles.map(|angle| f64::from(angle).sin() as f32 * self.attention_factor));
        }
        table
    }
}

fn power(theta: f64, exponent: f32) -> f32 {
    theta.powf(f64::from(exponent)) as f32
}

fn llama3(frequency: f32, factor: f32, low: f32, high: f32, original_context: f32) -> f32 {
    let wavelength = 2.0 * std::f32::consts::PI / frequency;
    if wavelength > original_context / low {
        frequency / factor
    } else if wavelength < original_context / high {
        frequency
    } else {
        let smooth = (original_context / wavelength - low) / (high - low);
        (1.0 - smooth) * frequency / factor + smooth * frequency
    }
}

fn yarn_range(theta: f64, width: usize, original_context: f64, beta_fast: f64, beta_slow: f64, truncate: bool) -> (f32, f32) {
    let pair_of = |rotations: f64| width as f64 * (original_context / (rotations * 2.0 * std::f64::consts::PI)).ln() / (2.0 * theta.ln());
    let (mut low, mut high) = (pair_of(beta_fast), pair_of(beta_slow));
    if truncate {
        (low, high) = (low.floor(), high.ceil());
    }
    let (low, mut high) = (low.max(0.0), high.min(width as f64 - 1.0));
    if low == high {
        high += 0.001; // No division by zero when the ramp has no width.
    }
    (low as f32, high as f32)
}
