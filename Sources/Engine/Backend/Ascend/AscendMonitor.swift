internal import Glibc
internal import Synchronization

/// Reads an NPU every few seconds on a thread of its own, because drivers may take their time to answer, and keeps the last
/// answer for whoever asks.
final class AscendMonitor: Sendable {
    private let state: State

    /// Starts to read the NPU with that number among those that this process sees.
    init(index: Int32) {
        state = State(index: index)
        var thread = pthread_t()
        let context = Unmanaged.passRetained(state)
        let status = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                Unmanaged<State>.fromOpaque(context).takeRetainedValue().run()
                return nil
            }, context.toOpaque())
        if status == 0 { pthread_detach(thread) } else { context.release() }
    }

    deinit { state.end() }

    /// What was read last; nil before the first time, and where nothing answers.
    var readings: DeviceReadings? { state.readings.withLock(\.self) }

    /// What outlives the monitor until its thread has seen the end.
    private final class State: @unchecked Sendable {  // immutable after init, but for the locked
        let readings = Mutex<DeviceReadings?>(nil)
        private let index: Int32
        /// Raised at the end.
        private let isOver: UnsafeMutablePointer<sem_t>

        init(index: Int32) {
            self.index = index
            isOver = .allocate(capacity: 1)
            sem_init(isOver, 0, 0)
        }

        deinit {
            sem_destroy(isOver)
            isOver.deallocate()
        }

        func end() { sem_post(isOver) }

        func run() {
            let library = AscendReadings(index: index)
            var interval = AscendMonitor.interval
            var hasAnswered = false
            repeat {
                var current = library.read()
                if current == nil {
                    interval = AscendMonitor.programInterval
                    let devices = AscendSmiTable.current()?.devices ?? []
                    let number = AscendReadings.number(of: index)
                    current = devices.indices.contains(number) ? devices[number] : nil
                }
                readings.withLock { $0 = current }
                hasAnswered = hasAnswered || current != nil
                guard hasAnswered else { return }
            } while !isOver(after: interval)
        }

        private func isOver(after seconds: Int) -> Bool {
            var time = timespec()
            clock_gettime(CLOCK_REALTIME, &time)
            time.tv_sec += seconds
            while sem_timedwait(isOver, &time) != 0 {
                if errno != EINTR { return false }
            }
            return true
        }
    }

    /// Seconds between two readings.
    private static let interval = 2
    /// The same where a program has to be started for each.
    private static let programInterval = 10
}
