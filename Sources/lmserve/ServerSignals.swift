import Glibc
import LMSupport
import Synchronization

/// What signals ask of the server. While the model loads, nothing can be lost and every signal ends the process; while
/// it serves, SIGHUP reloads and the first other one asks to drain; after that the next one ends the process.
final class ServerSignals: Sendable {
    private let stop = Latch()
    /// Set while the server serves.
    private let reload = Mutex<(@Sendable () -> Void)?>(nil)

    /// Must be created before the process has other threads.
    ///
    /// - Throws: as `SignalListener.start`.
    init() throws(ProgramError) {
        try SignalListener.start([SIGTERM, SIGINT, SIGHUP]) { [self] signal in
            let reload = self.reload.withLock { reload in
                defer { if signal != SIGHUP { reload = nil } }
                return reload
            }
            guard let reload else { abandonProgram(signal == SIGINT ? .interrupted : .terminated) }
            signal == SIGHUP ? reload() : stop.open()
        }
    }

    /// The server serves now.
    ///
    /// - Parameter reload: called on the thread of signals, one at a time.
    func beginServing(reload: @escaping @Sendable () -> Void) {
        self.reload.withLock { $0 = reload }
    }

    /// Returns when the server is to stop.
    func waitForStop() { stop.wait() }
}
