/// Whether the device is to be looked at. One request whose numbers are not finite may have itself to blame, or the model;
/// several within a minute have a device in common.
struct DeviceSuspicion {
    /// Monotonic nanoseconds of failures since the last look.
    private var failures: [UInt64] = []
    /// Failures that were counted.
    private var seen = 0
    private var notBefore: UInt64 = 0

    private static let enough = 3
    /// Nanoseconds in which they come; also between two looks, which hold everybody up.
    private static let span: UInt64 = 60_000_000_000

    /// Takes note of how many requests have failed so until now.
    ///
    /// - Returns: whether to look.
    mutating func isRaised(by count: Int, now: UInt64) -> Bool {
        guard count > seen else { return false }
        failures.removeAll { now &- $0 > Self.span }
        failures += repeatElement(now, count: min(count - seen, Self.enough))
        seen = count
        guard failures.count >= Self.enough, now >= notBefore else { return false }
        failures.removeAll(keepingCapacity: true)
        notBefore = now &+ Self.span
        return true
    }
}
