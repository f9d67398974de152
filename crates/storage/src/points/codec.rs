//! Columns as bytes. Axes rise slowly, so they are kept as differences of 7 bits a byte; values
//! are noise, and are kept as they are.

use super::bins::Bin;
use super::columns::Place;

/// Places as bytes: their count, four columns of differences, then the epochs.
pub(super) fn write_places(places: &[Place]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(places.len() * 10 + 8);
    write_number(&mut bytes, places.len() as u64);
    let columns: [fn(&Place) -> u64; 4] = [|place| place.step, |place| place.tokens, |place| place.elapsed_ms, |place| place.seq];
    for column in columns {
        let mut before = 0u64;
        for place in places {
            let difference = column(place).wrapping_sub(before).cast_signed();
            before = column(place);
            // Small differences of either sign are small numbers.
            write_number(&mut bytes, ((difference << 1) ^ (difference >> 63)).cast_unsigned());
        }
    }
    bytes.extend(places.iter().flat_map(|place| place.epoch.to_le_bytes()));
    bytes
}

/// Reads places back; `None` where the bytes are not such.
pub(super) fn read_places(mut bytes: &[u8]) -> Option<Vec<Place>> {
    let count = usize::try_from(read_number(&mut bytes)?).ok()?;
    // Each place takes at least eight bytes.
    if count > bytes.len() / 8 {
        return None;
    }
    let mut places = vec![Place::default(); count];
    let columns: [fn(&mut Place) -> &mut u64; 4] =
        [|place| &mut place.step, |place| &mut place.tokens, |place| &mut place.elapsed_ms, |place| &mut place.seq];
    for column in columns {
        let mut before = 0u64;
        for place in &mut places {
            let number = read_number(&mut bytes)?;
            let difference = (number >> 1).cast_signed() ^ -(number & 1).cast_signed();
            before = before.wrapping_add(difference.cast_unsigned());
            *column(place) = before;
        }
    }
    let epochs = read_values(bytes)?;
    if epochs.len() != count {
        return None;
    }
    for (place, epoch) in places.iter_mut().zip(epochs) {
        place.epoch = epoch;
    }
    Some(places)
}

/// Values as bytes.
pub(super) fn write_values(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Reads values back.
pub(super) fn read_values(bytes: &[u8]) -> Option<Vec<f32>> {
    let (values, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| values.iter().map(|value| f32::from_le_bytes(*value)).collect())
}

/// Bins as bytes.
pub(super) fn write_bins(bins: &[Bin]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(bins.len() * 16);
    for bin in bins {
        bytes.extend(bin.min.to_le_bytes());
        bytes.extend(bin.max.to_le_bytes());
        bytes.extend(bin.mean.to_le_bytes());
        bytes.extend(bin.count.to_le_bytes());
    }
    bytes
}

/// Reads bins back.
pub(super) fn read_bins(bytes: &[u8]) -> Option<Vec<Bin>> {
    let (words, rest) = bytes.as_chunks::<4>();
    let (bins, odd) = words.as_chunks::<4>();
    let read = |[min, max, mean, count]: &[[u8; 4]; 4]| Bin {
        min: f32::from_le_bytes(*min),
        max: f32::from_le_bytes(*max),
        mean: f32::from_le_bytes(*mean),
        count: u32::from_le_bytes(*count),
    };
    (rest.is_empty() && odd.is_empty()).then(|| bins.iter().map(read).collect())
}

fn write_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place() -> impl Strategy<Value = Place> {
        let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>());
        (numbers, any::<f32>()).prop_map(|((step, tokens, elapsed_ms, seq), epoch)| Place { step, tokens, elapsed_ms, seq, epoch })
    }

    fn bits(places: &[Place]) -> Vec<(u64, u64, u64, u64, u32)> {
        places.iter().map(|place| (place.step, place.tokens, place.elapsed_ms, place.seq, place.epoch.to_bits())).collect()
    }

    proptest! {
        #[test]
        fn places_come_back(places in prop::collection::vec(place(), 0..40)) {
            prop_assert_eq!(bits(&read_places(&write_places(&places)).expect("just written")), bits(&places));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some(places) = read_places(&bytes) {
                prop_assert!(places.len() <= bytes.len());
            }
            prop_assert_eq!(read_values(&bytes).is_some(), bytes.len() % 4 == 0);
            prop_assert_eq!(read_bins(&bytes).is_some(), bytes.len() % 16 == 0);
        }
    }

    #[test]
    fn a_usual_place_takes_few_bytes() {
        let places: Vec<Place> = (0..4096u16)
            .map(|index| {
                let number = u64::from(index);
                Place { step: number, tokens: number * 4000, elapsed_ms: number * 90, seq: number, epoch: 0.0 }
            })
            .collect();
        // One byte each for step and seq, two each for tokens and time, four for the epoch.
        assert!(write_places(&places).len() < 4096 * 10 + 64);
    }
}
