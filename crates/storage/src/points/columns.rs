//! Points in memory: where they are, and a column a metric.

use std::collections::BTreeMap;

/// Most metrics a track has; what comes later is left out.
const NAMES_MAX: usize = 96;

/// Where a point is on each axis a chart can have.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Place {
    pub(crate) step: u64,
    pub(crate) tokens: u64,
    pub(crate) elapsed_ms: u64,
    pub(crate) seq: u64,
    pub(crate) epoch: f32,
}

/// Points of a track.
#[derive(Debug, Clone, Default)]
pub(crate) struct Points {
    pub(crate) places: Vec<Place>,
    /// As long as `places` each; NaN where a point has no such value.
    pub(crate) columns: BTreeMap<String, Vec<f32>>,
}

impl Points {
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Adds a point.
    pub(crate) fn push<'a>(&mut self, place: Place, values: impl IntoIterator<Item = (&'a str, f32)>) {
        self.places.push(place);
        let length = self.places.len();
        for (name, value) in values {
            if !self.columns.contains_key(name) {
                if self.columns.len() >= NAMES_MAX {
                    continue;
                }
                self.columns.insert(name.to_owned(), vec![f32::NAN; length - 1]);
            }
            let column = self.columns.get_mut(name).expect("it was made above");
            // A name twice in one point: the last counts.
            column.truncate(length - 1);
            column.push(value);
        }
        for column in self.columns.values_mut() {
            column.resize(length, f32::NAN);
        }
    }
}
