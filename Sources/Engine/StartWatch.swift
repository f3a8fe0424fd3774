internal import Synchronization

/// Looks from outside whether calls of a device's driver come back while a program starts. No request waits yet that could
/// be told, and nothing ends such a call but the end of its process.
///
/// Calls of the driver count and nothing else: weights may come from a disk as slow as it likes.
final class StartWatch: Sendable {
    /// A call that a thread was found in.
    private struct Sighting {
        var call: DriverCall.Current
        /// Monotonic nanoseconds at which it was found there first.
        var since: UInt64
    }

    private let state: State
    private let thread: RepeatedWork

    /// Watches from now on, until `end`.
    ///
    /// - Parameters:
    ///   - vigil: where the calls are noted; those of this thread from now on.
    ///   - what: what they are made for.
    /// - Throws: `EngineError.insufficientMemory` when the system refuses a thread.
    init(_ vigil: DeviceVigil, _ what: String, _ hangs: DeviceHang.Watch) throws(EngineError) {
        let state = State(vigil, hangs)
        self.state = state
        thread = try RepeatedWork("that watches the start of the device") { state.look() }
        vigil.begin(what, milliseconds: Int32(clamping: hangs.start))
    }

    deinit { end() }

    /// Watches no more; called on the thread that began.
    func end() { state.end() }

    private final class State: Sendable {
        private let vigil: DeviceVigil
        private let hangs: DeviceHang.Watch
        private let clock = MonotonicClock.system
        private let hasEnded = Atomic(false)
        private let sightings: Mutex<[Sighting?]>

        init(_ vigil: DeviceVigil, _ hangs: DeviceHang.Watch) {
            (self.vigil, self.hangs) = (vigil, hangs)
            sightings = Mutex(vigil.calls.map { _ in nil })
        }

        func end() {
            if !hasEnded.exchange(true, ordering: .acquiringAndReleasing) { vigil.end() }
        }

        /// Looks once.
        ///
        /// - Returns: milliseconds until the next time; nil when there will be none.
        func look() -> Int? {
            guard !hasEnded.load(ordering: .acquiring) else { return nil }
            let duration = longestCall(now: clock.now())
            guard duration >= hangs.start + hangs.margin, let work = vigil.work else {
                return max(1, hangs.margin / 10)
            }
            hangs.tell(.inStart("\(work.what) has not come back for \(duration / 1_000) s"))
            return nil
        }

        /// Milliseconds since which a thread is known to be in the call that it is in.
        private func longestCall(now: UInt64) -> Int {
            sightings.withLock { sightings in
                for (place, call) in vigil.calls.enumerated() {
                    let current = call.current
                    guard sightings[place]?.call != current else { continue }
                    sightings[place] = current.map { Sighting(call: $0, since: now) }
                }
                let first = sightings.compactMap { $0?.since }.min() ?? now
                return Int((now - first) / 1_000_000)
            }
        }
    }
}

extension DeviceHang.Watch {
    /// Runs what asks a device's driver for something before an engine does, and tells `inStart` if a call does not come back.
    ///
    /// - Parameter what: what is asked for, for people.
    /// - Throws: what `body` throws; `EngineError.insufficientMemory` when the system refuses a thread.
    public func watching<Result>(
        _ what: String, _ body: () throws(EngineError) -> Result
    ) throws(EngineError) -> Result {
        let watch = try StartWatch(DeviceVigil(), what, self)
        defer { watch.end() }
        return try body()
    }
}
