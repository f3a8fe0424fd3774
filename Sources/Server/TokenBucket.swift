/// Allows `burst` events at once and `perSecond` in the long run.
struct TokenBucket: Sendable {
    private let rate: ServerLimits.Rate
    private var level: Double
    private var updated: UInt64

    /// A full bucket.
    ///
    /// - Parameter now: monotonic nanoseconds.
    init(_ rate: ServerLimits.Rate, now: UInt64) {
        self.rate = rate
        level = rate.burst
        updated = now
    }

    /// Takes `cost`; false, and nothing is taken, when there is less.
    mutating func take(_ cost: Double, now: UInt64) -> Bool {
        let elapsed = Double(now &- updated) / 1_000_000_000
        level = min(rate.burst, level + elapsed * rate.perSecond)
        updated = now
        guard level >= cost else { return false }
        level -= cost
        return true
    }

    /// Whether nothing was taken lately: as good as a new one.
    func isFull(now: UInt64) -> Bool {
        level + Double(now &- updated) / 1_000_000_000 * rate.perSecond >= rate.burst
    }
}
