import Glibc
import LMClient
import LMSupport
import Synchronization

/// Ctrl-C and SIGTERM. The first one cancels the answer on the server and lets what has arrived be printed; the second
/// one, or a server that does not answer the cancel within a second, ends the program at once.
final class Interruption: Sendable {
    private struct State {
        var stream: TokenStream?
        var signal: Int32?
        var isAtPrompt = false
    }

    private let state = Mutex(State())

    /// How long a server may take to confirm a cancel.
    private static let patience: Duration = .seconds(1)

    /// Must be created before the process has other threads.
    ///
    /// - Throws: as `SignalListener.start`.
    init() throws(ProgramError) {
        try SignalListener.start([SIGINT, SIGTERM]) { [self] signal in received(signal) }
    }

    /// The exit status that the signal asks for; nil when there was none.
    var exitCode: ExitCode? { state.withLock { $0.signal.map(Self.exitCode) } }

    /// Signals cancel this answer, until the next one or `end`.
    func begin(_ stream: TokenStream) { state.withLock { $0.stream = stream } }

    /// Whether a signal cancelled the answer that has ended; forgets both.
    func end() -> Bool {
        state.withLock { state in
            defer { (state.stream, state.signal) = (nil, nil) }
            return state.signal != nil
        }
    }

    /// While a person types, SIGINT only says how to leave.
    func setAtPrompt(_ isAtPrompt: Bool) { state.withLock { $0.isAtPrompt = isAtPrompt } }

    /// Ends the program should the server not confirm a cancel in time.
    func limitWait(_ code: ExitCode) {
        Task.detached {
            try await Task.sleep(for: Self.patience)
            abandonProgram(code)
        }
    }

    private func received(_ signal: Int32) {
        let (stream, isHint) = state.withLock { state -> (TokenStream?, Bool) in
            if signal == SIGINT, state.isAtPrompt { return (nil, true) }
            let isFirst = state.signal == nil
            state.signal = signal
            return (isFirst ? state.stream : nil, false)
        }
        if isHint {
            StandardStream.error.note("\n(Ctrl-D leaves)")
        } else if let stream {
            stream.cancel()
            limitWait(Self.exitCode(signal))
        } else {
            // No answer has begun: closing the connection, which ending does, cancels whatever the server may do.
            abandonProgram(Self.exitCode(signal))
        }
    }

    private static func exitCode(_ signal: Int32) -> ExitCode { signal == SIGINT ? .interrupted : .terminated }
}
