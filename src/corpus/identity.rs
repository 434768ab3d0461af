//! What is fresh in every trace: IDs and attribute values, each a function of
//! seed, run and trace number alone. `k6/lib/identity.js` is the same function;
//! `fixtures/trace-identity.json` holds the two together.

use std::fmt::Write as _;

const GOLDEN: u32 = 0x9E37_79B1;
const LANES: usize = 9;

/// The bits that the script needs to be zero: it writes eight bytes at a time
/// as a double, whose exponent must not be all ones (that would be a NaN).
const NOT_NAN: u32 = 0xBFFF_FFFF;

/// The fresh values of one trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceIdentity {
    /// Never zero: its first byte is odd.
    pub trace_id: [u8; 16],
    /// The first four bytes of each span ID of the trace.
    pub span_prefix: [u8; 4],
    /// Value of `tempo_perf.token` on the root span: 16 hexadecimal digits.
    pub token: [u8; 16],
    /// Value of `session.id` on server spans: 16 hexadecimal digits.
    pub session: [u8; 16],
}

impl TraceIdentity {
    /// Trace `n` (below 2^53) of a run.
    ///
    /// Within a run no two of 2^32 consecutive traces share an ID: each lane is
    /// a permutation of the low half of `n`.
    pub fn new(seed: u32, run: u32, n: u64) -> Self {
        let low = n as u32;
        let high = (n >> 32) as u32;
        let keys: [u32; LANES] = std::array::from_fn(|lane| {
            let lane_seed = seed.wrapping_add(GOLDEN.wrapping_mul(lane as u32 + 1));
            mix(mix(mix(lane_seed) ^ run) ^ high)
        });
        let lane = |index: usize| mix(low ^ keys[index]);

        let words = [lane(0) | 1, lane(1) & NOT_NAN, lane(2), lane(3) & NOT_NAN];
        let mut trace_id = [0; 16];
        for (bytes, word) in trace_id.chunks_exact_mut(4).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        let (token_high, token_low) = (lane(4), lane(5));
        Self {
            trace_id,
            span_prefix: lane(6).to_le_bytes(),
            token: hex16(token_high, token_low),
            session: hex16(token_low ^ keys[7], token_high ^ keys[8]),
        }
    }

    pub fn trace_id_hex(&self) -> String {
        hex(&self.trace_id)
    }

    pub fn token_text(&self) -> String {
        self.token.iter().copied().map(char::from).collect()
    }
}

/// A 32-bit permutation in which every input bit reaches every output bit.
/// The constants are those of "lowbias32" by Chris Wellons (public domain).
fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7FEB_352D);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846C_A68B);
    x ^ (x >> 16)
}

fn hex16(high: u32, low: u32) -> [u8; 16] {
    let value = u64::from(high) << 32 | u64::from(low);
    std::array::from_fn(|digit| b"0123456789abcdef"[(value >> (60 - 4 * digit)) as usize & 15])
}

/// Lower-case hexadecimal text of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_traces_share_an_id() {
        let ids: HashSet<_> = (0..200_000)
            .chain((1 << 32)..(1 << 32) + 1000)
            .map(|n| TraceIdentity::new(7, 3, n).trace_id)
            .collect();
        assert_eq!(ids.len(), 201_000);
    }

    #[test]
    fn another_run_or_seed_gives_other_ids() {
        let first: HashSet<_> = (0..1000)
            .map(|n| TraceIdentity::new(1, 1, n).trace_id)
            .collect();
        for (seed, run) in [(1, 2), (2, 1), (0, 0)] {
            for n in 0..1000 {
                assert!(!first.contains(&TraceIdentity::new(seed, run, n).trace_id));
            }
        }
    }

    #[test]
    fn an_id_is_never_zero_and_never_a_nan() {
        for n in 0..10_000 {
            let id = TraceIdentity::new(u32::MAX, u32::MAX, n).trace_id;
            assert_eq!(id[0] & 1, 1, "first byte must be odd");
            for half in id.chunks_exact(8) {
                let double = f64::from_le_bytes(half.try_into().expect("eight bytes"));
                assert!(double.is_finite());
            }
        }
    }
}
