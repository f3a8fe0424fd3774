internal import Synchronization

/// What a back end is at with its devices, and until when at most by limits of its own: for whoever watches from another
/// thread. A driver that keeps to the time-outs that it is given never lets that moment pass.
public final class DeviceVigil: Sendable {
    /// Work that is under way.
    struct Work: Sendable {
        var what: String
        /// Monotonic nanoseconds at which it began.
        var since: UInt64
        /// Monotonic nanoseconds at which it should have ended.
        var due: UInt64
    }

    /// For each device the call that its thread is in. The first device's thread is the one that calls `begin`.
    let calls: [DriverCall]
    private let clock: MonotonicClock
    private let state = Mutex<Work?>(nil)

    /// - Parameter devices: how many work together.
    package init(devices: Int = 1, clock: MonotonicClock = .system) {
        calls = (0..<devices).map { _ in DriverCall() }
        self.clock = clock
    }

    /// Something begins that will have ended, well or not, in so many milliseconds.
    package func begin(_ what: String, milliseconds: Int32) {
        calls[0].follow()
        let now = clock.now()
        state.withLock { $0 = Work(what: what, since: now, due: now + Self.nanoseconds(milliseconds)) }
    }

    /// What is under way has got on, and may take so many milliseconds from now.
    package func extend(milliseconds: Int32) {
        let now = clock.now()
        state.withLock { work in
            guard work != nil else { return }
            work?.due = now + Self.nanoseconds(milliseconds)
        }
    }

    /// It has ended.
    package func end() {
        state.withLock { $0 = nil }
        DriverCall.unfollow()
    }

    /// What is under way, with the calls that its threads are in.
    var work: Work? {
        guard var work = state.withLock(\.self) else { return nil }
        let names = calls.enumerated().compactMap { index, call in
            call.current.map { calls.count == 1 ? $0.name : "\($0.name) of device \(index)" }
        }
        work.what += names.isEmpty ? " (in no call of the driver)" : " (in \(names.joined(separator: ", ")))"
        return work
    }

    private static func nanoseconds(_ milliseconds: Int32) -> UInt64 { UInt64(max(0, milliseconds)) * 1_000_000 }
}
