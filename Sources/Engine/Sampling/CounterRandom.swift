/// Random numbers that are a function of (seed, position) alone.
///
/// A generator with state would make a token depend on how often the sequence was scheduled; hashing a counter makes it
/// the same whatever shares the batch and however often the sequence was preempted.
package enum CounterRandom {
    /// The step of SplitMix64: 2^64 divided by the golden ratio, odd.
    private static let increment: UInt64 = 0x9E37_79B9_7F4A_7C15

    /// 64 uniform bits: the value at `position` of a SplitMix64 stream (Steele, Lea and Flood 2014) whose start is the
    /// hashed seed, so that neighbouring seeds do not give shifted copies of one stream.
    package static func bits(seed: UInt64, position: Int) -> UInt64 {
        let start = mix(seed &+ increment)
        return mix(start &+ increment &* (UInt64(truncatingIfNeeded: position) &+ 1))
    }

    /// The finaliser of SplitMix64: a bijection in which each input bit changes about half of the output bits.
    private static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
