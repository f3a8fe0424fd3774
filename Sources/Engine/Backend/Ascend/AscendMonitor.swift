internal import Synchronization

/// Reads NPUs every few seconds on a thread of its own, because drivers may take their time to answer, and keeps the last
/// answers for whoever asks.
final class AscendMonitor: Sendable {
    private let state: State
    private let work: RepeatedWork

    /// Starts to read the NPUs with these numbers among those that this process sees.
    ///
    /// - Throws: `EngineError.insufficientMemory` when the system refuses a thread.
    init(_ numbers: [Int32]) throws(EngineError) {
        let state = State(numbers)
        self.state = state
        work = try RepeatedWork("that reads the state of the NPU") { state.turn() }
    }

    /// What was read last, in the order of the numbers; nothing before the first time.
    var readings: [DeviceReadings] { state.readings.withLock(\.self) }

    private final class State: @unchecked Sendable {  // the monitor's thread only, but for the locked
        let readings = Mutex<[DeviceReadings]>([])
        private let numbers: [Int32]
        /// Made on that thread: a driver may take its time for this too.
        private lazy var sources = numbers.map { AscendReadings(index: $0) }
        private var hasAnswered = false

        init(_ numbers: [Int32]) { self.numbers = numbers }

        func turn() -> Int? {
            var current = sources.map { $0.read() }
            var pause = AscendMonitor.pause
            if current.allSatisfy({ $0 == nil }) {
                pause = AscendMonitor.programPause
                let table = AscendSmiTable.current()?.devices ?? []
                current = numbers.map { number in
                    let place = AscendReadings.number(of: number)
                    return table.indices.contains(place) ? table[place] : nil
                }
            }
            hasAnswered = hasAnswered || current.contains { $0 != nil }
            let found = zip(numbers, current).map { number, reading in
                var reading = reading ?? DeviceReadings()
                reading.number = Int(number)
                return reading
            }
            readings.withLock { $0 = found }
            return hasAnswered ? pause : nil
        }
    }

    /// Milliseconds between two readings.
    private static let pause = 2_000
    /// The same where a program has to be started for each.
    private static let programPause = 10_000
}
