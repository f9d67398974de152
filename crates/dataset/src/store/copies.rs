//! Which rows were seen before: a table of hashes of one fixed size, so that memory is the same
//! for a thousand rows and for a billion.

/// Slots of the table: 8 MiB.
const SLOTS: usize = 1 << 20;
/// Rows that it remembers; fuller, each look-up would become slow.
pub(super) const COPIES_COMPARED_MAX: usize = SLOTS / 8 * 7;

/// Hashes of earlier rows; 0 marks a free slot.
pub(super) struct SeenRows {
    slots: Vec<u64>,
    count: usize,
}

impl Default for SeenRows {
    fn default() -> Self {
        Self { slots: vec![0; SLOTS], count: 0 }
    }
}

impl SeenRows {
    /// Whether the hash was seen before; remembers it while there is room.
    pub(super) fn check(&mut self, hash: u64) -> bool {
        let hash = hash.max(1);
        let mut at = hash as usize % SLOTS;
        loop {
            match self.slots[at] {
                0 => {
                    if !self.is_full() {
                        self.slots[at] = hash;
                        self.count += 1;
                    }
                    return false;
                }
                found if found == hash => return true,
                _ => at = (at + 1) % SLOTS,
            }
        }
    }

    /// Whether later rows are only compared with the ones remembered so far.
    pub(super) fn is_full(&self) -> bool {
        self.count >= COPIES_COMPARED_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::mix;

    #[test]
    fn copies_are_seen_and_a_full_table_still_answers() {
        let mut seen = SeenRows::default();
        let slots = SLOTS as u64;
        // The second and third share a slot, the fourth is where the third had to go.
        let cases =
            [(7, false), (7 + slots, false), (7 + 2 * slots, false), (8, false), (7, true), (7 + 2 * slots, true), (0, false), (0, true)];
        for (hash, expected) in cases {
            assert_eq!(seen.check(hash), expected, "{hash}");
        }
        for row in 0..slots {
            seen.check(mix(&[row]));
        }
        assert!(seen.is_full());
        assert!(seen.check(7) && !seen.check(mix(&[slots])));
    }
}
