//! Which instructions the processor offers, and how one body of code is compiled for each.

use std::fmt;
use std::str::FromStr;

/// A code path of the CPU backend, chosen at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum InstructionSet {
    /// The slow reference implementations, for tests.
    Scalar,
    /// Fixed-width arrays that any compiler turns into vector code.
    Portable,
    /// AVX2 with fused multiply-add.
    Avx2,
    /// AVX-512 (F, BW, DQ, VL) without bf16 products.
    Avx512,
    /// AVX-512 with `vdpbf16ps`.
    Avx512Bf16,
}

impl InstructionSet {
    /// All paths, slowest first.
    pub const ALL: [InstructionSet; 5] = [Self::Scalar, Self::Portable, Self::Avx2, Self::Avx512, Self::Avx512Bf16];

    /// The best path of this processor.
    pub fn detect() -> InstructionSet {
        *Self::available().last().unwrap_or(&Self::Portable)
    }

    /// Every path that this processor can run, slowest first.
    pub fn available() -> Vec<InstructionSet> {
        Self::ALL.into_iter().filter(|set| set.is_available()).collect()
    }

    /// Whether this processor can run the path.
    pub fn is_available(self) -> bool {
        match self {
            Self::Scalar | Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 => Self::Avx512.is_available() && is_x86_feature_detected!("avx512bf16"),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// The word used in recipes and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512bf16",
        }
    }
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for InstructionSet {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|set| set.name() == word)
            .ok_or_else(|| format!("instruction_set: found {word}, expected auto, avx512bf16, avx512, avx2, portable or scalar"))
    }
}

/// Compiles one function body once for each instruction set and picks at run time.
///
/// The function gets a first argument `instruction_set`. Its body must be plain loops over
/// slices; calls inside it have to be `#[inline(always)]` to be compiled for the set too.
macro_rules! vectorized {
    ($(#[$meta:meta])* $vis:vis fn $name:ident $(<$($generic:ident : $bound:path),+>)? ($($argument:ident : $kind:ty),* $(,)?) $(-> $output:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name $(<$($generic: $bound),+>)? (instruction_set: $crate::InstructionSet, $($argument: $kind),*) $(-> $output)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn body $(<$($generic: $bound),+>)? ($($argument: $kind),*) $(-> $output)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            #[allow(clippy::too_many_arguments)]
            unsafe fn avx2 $(<$($generic: $bound),+>)? ($($argument: $kind),*) $(-> $output)? {
                body($($argument),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
            #[allow(clippy::too_many_arguments)]
            unsafe fn avx512 $(<$($generic: $bound),+>)? ($($argument: $kind),*) $(-> $output)? {
                body($($argument),*)
            }
            match instruction_set {
                // SAFETY: a context is only made with an instruction set that was detected.
                #[cfg(target_arch = "x86_64")]
                $crate::InstructionSet::Avx2 => unsafe { avx2($($argument),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::InstructionSet::Avx512 | $crate::InstructionSet::Avx512Bf16 => unsafe { avx512($($argument),*) },
                _ => body($($argument),*),
            }
        }
    };
}
pub(crate) use vectorized;
