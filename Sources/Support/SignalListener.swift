import Glibc

/// Hands signals to ordinary code: they are blocked in every thread and taken by `sigwait` on a thread of their own,
/// where, unlike in a signal handler, anything may be called.
package enum SignalListener {
    /// Starts listening. Must be called before the process has other threads, since threads inherit which signals are
    /// blocked.
    ///
    /// - Parameter handler: called on the listening thread, once per signal, one at a time.
    /// - Throws: `ProgramError.failure` when the system refuses a thread.
    package static func start(
        _ signals: [Int32], handler: @escaping @Sendable (Int32) -> Void
    ) throws(ProgramError) {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in signals { sigaddset(&set, signal) }
        pthread_sigmask(SIG_BLOCK, &set, nil)

        let listener = Unmanaged.passRetained(Listener(set: set, handler: handler))
        var thread = pthread_t()
        let status = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                Unmanaged<Listener>.fromOpaque(context).takeRetainedValue().run()
            }, listener.toOpaque())
        guard status == 0 else {
            listener.release()
            throw ProgramError(
                .failure, "no thread that waits for signals: \(describeSystemError(status)); raise the limit of threads"
            )
        }
        pthread_detach(thread)
    }

    private final class Listener {
        private var set: sigset_t
        private let handler: @Sendable (Int32) -> Void

        init(set: sigset_t, handler: @escaping @Sendable (Int32) -> Void) {
            self.set = set
            self.handler = handler
        }

        func run() -> Never {
            while true {
                var signal: Int32 = 0
                if sigwait(&set, &signal) == 0 { handler(signal) }
            }
        }
    }
}
