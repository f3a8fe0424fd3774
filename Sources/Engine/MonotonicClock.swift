import Glibc

/// The clock of deadlines and durations.
package struct MonotonicClock: Sendable {
    /// Nanoseconds since some moment; never falls.
    package let now: @Sendable () -> UInt64

    /// A clock that shows what `now` returns.
    package init(now: @escaping @Sendable () -> UInt64) { self.now = now }

    /// The machine's.
    package static let system = MonotonicClock {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
