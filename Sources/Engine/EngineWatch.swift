internal import Synchronization

/// Looks from outside the engine thread whether what the back end is at comes back, and acts when it does not: requests
/// that wait for a driver which hangs would wait for ever.
final class EngineWatch: Sendable {
    private struct Overdue {
        var since: UInt64
        var isFinal = false
    }

    private let loop: EngineLoop
    private let vigil: DeviceVigil
    private let hangs: DeviceHang.Watch
    private let overdue = Mutex<Overdue?>(nil)

    init(_ loop: EngineLoop, _ vigil: DeviceVigil, _ hangs: DeviceHang.Watch) {
        (self.loop, self.vigil, self.hangs) = (loop, vigil, hangs)
    }

    /// Looks once.
    func look() {
        let now = loop.clock.now()
        guard let work = vigil.work, now >= work.due &+ Self.nanoseconds(hangs.margin) else {
            return overdue.withLock { $0 = nil }
        }
        let isFinal = overdue.withLock { overdue in
            guard let known = overdue else {
                overdue = Overdue(since: now)
                return false
            }
            guard !known.isFinal, now &- known.since >= Self.nanoseconds(hangs.patience) else { return false }
            overdue?.isFinal = true
            return true
        }
        let what = "\(work.what) has not come back for \((now &- work.since) / 1_000_000_000) s"
        let error = EngineError(
            .deviceLost, "the device does not answer: \(what); try again, on another server if there is one")
        loop.abandon(error, telling: "\(what): its requests have failed, and new ones are refused until it does")
        if isFinal { hangs.tell(.isFinal("\(what), and cannot be ended within the process")) }
    }

    /// Looks from now on, until the result goes away.
    ///
    /// - Throws: `EngineError.insufficientMemory` when the system refuses a thread.
    func start() throws(EngineError) -> RepeatedWork {
        let pause = max(1, hangs.margin / 10)
        return try RepeatedWork("that watches the device") { [self] in
            look()
            return pause
        }
    }

    private static func nanoseconds(_ milliseconds: Int) -> UInt64 { UInt64(max(0, milliseconds)) * 1_000_000 }
}
