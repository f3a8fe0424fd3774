/// When a lost device is set up anew: at once, and then after 1, 2, 4 ... 60 seconds while that fails.
struct AscendRecovery {
    private var failures = 0
    private var notBefore: UInt64 = 0
    private let clock: MonotonicClock

    init(clock: MonotonicClock = .system) { self.clock = clock }

    /// Whether an attempt is due.
    var mayTry: Bool { clock.now() >= notBefore }

    /// The device was lost, or could not be set up.
    mutating func failed() {
        let seconds: UInt64 = failures == 0 ? 0 : min(60, 1 << UInt64(min(failures - 1, 6)))
        failures += 1
        notBefore = clock.now() + seconds * 1_000_000_000
    }

    /// A step was computed.
    mutating func succeeded() { failures = 0 }
}
