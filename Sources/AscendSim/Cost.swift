/// What a task costs on the device, by a model with few constants.
///
/// A task takes as long as the slowest of its memory traffic, its matrix products and its vector work, and a fixed time to start.
/// Sources of the constants: clocks, cores and multiplies per cycle are those of CANN's own platform tables; memory rates are the
/// commonly quoted ones and not confirmed by an official source; times of calls are guesses from published
/// profiles of eager decoding, where a small operator keeps the host busy for 10 to 20 µs.
struct Cost {
    /// Bytes read and written in device memory.
    var bytes = 0
    /// Operations (multiplications and additions) on 16-bit floats by the matrix units.
    var floatOperations = 0.0
    /// The same on 8-bit integers.
    var integerOperations = 0.0
    /// Element operations of the vector units.
    var vectorOperations = 0.0

    /// Microseconds of the host for any call.
    static let call = 0.3
    /// Microseconds of the host for the first stage of an operator, and for the second.
    static let plan = 6.0
    static let launch = 4.0
    /// Microseconds from one task of a stream to the next: put there by the host, and within a replayed graph.
    static let start = 2.0
    static let step = 1.0
    /// What of the peak rates is reached.
    static let efficiency = 0.8

    /// Microseconds on a device, and what bounds them.
    func time(on profile: Profile) -> (microseconds: Double, bound: String) {
        let parts = [
            (Double(bytes) / profile.memoryRate, "memory"), (floatOperations / profile.floatRate, "matrix"),
            (integerOperations / profile.integerRate, "matrix"), (vectorOperations / profile.vectorRate, "vector"),
        ]
        let slowest = parts.max { $0.0 < $1.0 } ?? (0, "start")
        let microseconds = slowest.0 * 1e6 / Self.efficiency
        return microseconds < Self.start ? (microseconds, "start") : (microseconds, slowest.1)
    }
}
