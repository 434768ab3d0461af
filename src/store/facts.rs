//! Which values a part of a trace contains, as a Bloom filter: a search for a
//! service, a name or any attribute's text passes over the other traces
//! without reading them.

/// Bits for each value; with [`HASHES`] about 2 % of the absent values look present.
const BITS_PER_FACT: usize = 8;
const HASHES: u32 = 3;

/// Hashes of what a span or its resource says.
pub mod fact {
    pub fn attribute(key: &[u8], text: &[u8]) -> u64 {
        text_of(self::key(key), text)
    }

    /// Of a key alone; [`text_of`] goes on from it.
    pub fn key(key: &[u8]) -> u64 {
        hash(1, key)
    }

    pub fn text_of(key: u64, text: &[u8]) -> u64 {
        hash(key, text)
    }

    /// A hash of a sequence, one element longer.
    pub fn combined(sequence: u64, next: u64) -> u64 {
        mix(sequence.rotate_left(7) ^ next)
    }

    pub fn name(name: &[u8]) -> u64 {
        hash(2, name)
    }

    pub fn kind(kind: i32) -> u64 {
        mix(3 ^ (kind as u64) << 8)
    }

    pub fn status(code: i32) -> u64 {
        mix(4 ^ (code as u64) << 8)
    }

    #[inline]
    fn mix(value: u64) -> u64 {
        let wide = u128::from(value ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
        (wide >> 64) as u64 ^ wide as u64
    }

    #[inline]
    fn hash(seed: u64, bytes: &[u8]) -> u64 {
        let mut state = seed ^ (bytes.len() as u64) << 32;
        let mut rest = bytes;
        while let Some((chunk, tail)) = rest.split_first_chunk::<8>() {
            state = mix(state ^ u64::from_le_bytes(*chunk));
            rest = tail;
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        mix(state ^ u64::from_le_bytes(last))
    }
}

#[derive(Debug)]
pub struct Facts {
    bits: Box<[u64]>,
}

impl Facts {
    pub fn with_capacity(facts: usize) -> Self {
        let words = (facts * BITS_PER_FACT).div_ceil(64).max(1);
        Self {
            bits: vec![0; words].into_boxed_slice(),
        }
    }

    pub fn extend(&mut self, facts: &[u64]) {
        for fact in facts {
            for bit in bits(*fact, self.bits.len()) {
                self.bits[bit / 64] |= 1 << (bit % 64);
            }
        }
    }

    /// False only if the value is certainly not there.
    pub fn may_contain(&self, fact: u64) -> bool {
        bits(fact, self.bits.len()).all(|bit| self.bits[bit / 64] >> (bit % 64) & 1 == 1)
    }

    pub fn size(&self) -> usize {
        size_of_val::<[u64]>(&self.bits)
    }
}

#[inline]
fn bits(fact: u64, words: usize) -> impl Iterator<Item = usize> {
    let range = (words * 64) as u64;
    let step = fact.rotate_left(32) | 1;
    (0..HASHES).map(move |round| {
        let hash = fact.wrapping_add(step.wrapping_mul(u64::from(round)));
        // Maps onto the range without a division.
        ((u128::from(hash) * u128::from(range)) >> 64) as usize
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_always_found_and_what_is_not_rarely() {
        let facts: Vec<u64> = (0..300u32)
            .map(|n| fact::attribute(b"request.id", format!("req-{n}").as_bytes()))
            .collect();
        let mut filter = Facts::with_capacity(facts.len());
        filter.extend(&facts);
        assert!(facts.iter().all(|fact| filter.may_contain(*fact)));
        let wrong = (300..10_300u32)
            .filter(|n| {
                filter.may_contain(fact::attribute(
                    b"request.id",
                    format!("req-{n}").as_bytes(),
                ))
            })
            .count();
        assert!(wrong < 500, "{wrong} of 10,000 absent values look present");
    }

    #[test]
    fn facts_of_different_sorts_differ() {
        let all = [
            fact::name(b"a"),
            fact::attribute(b"", b"a"),
            fact::attribute(b"a", b""),
            fact::kind(2),
            fact::status(2),
            fact::kind(0),
            fact::status(0),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[index + 1..].contains(one), "fact {index} repeats");
        }
    }
}
