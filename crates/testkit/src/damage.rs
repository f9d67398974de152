//! Damaged copies of valid files, the same ones each time: cut short, single bytes changed, lengths
//! that lie. What reads them must end in a value or an error.

/// Values that a byte is set to: ends of ranges, marks of texts and formats, digits.
const BYTES: [u8; 14] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'{', b'}', b'[', b',', b'\n', b'-', b'9', b' '];

/// So many damaged copies of `content`, a function of both alone.
pub fn damaged(content: &[u8], count: usize) -> impl Iterator<Item = Vec<u8>> + '_ {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    // Xorshift; Marsaglia 2003.
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    (0..count).map(move |kind| {
        let mut bytes = content.to_vec();
        // Headers stand at either end of most formats: two of three changes go there.
        let mut place = |length: usize| match random(3) {
            0 => random(length),
            1 => random(length.min(300)),
            _ => length.saturating_sub(1 + random(length.min(300))),
        };
        let at = place(bytes.len());
        let (mark, flip, times) = (BYTES[place(BYTES.len())], 1 << place(8), 1 + place(4));
        match kind % 6 {
            0 => bytes.truncate(at),
            1 => bytes[at] = mark,
            2 => bytes[at] ^= flip,
            3 => bytes.insert(at, mark),
            // A length of four bytes becomes huge or negative.
            4 => bytes.iter_mut().skip(at).take(4).for_each(|byte| *byte = 0xff),
            _ => {
                for _ in 0..times {
                    let at = place(bytes.len());
                    bytes[at] = mark;
                }
            }
        }
        bytes
    })
}
