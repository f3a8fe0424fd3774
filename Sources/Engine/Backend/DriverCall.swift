internal import Glibc
internal import Synchronization

/// The call of a driver that a thread is in, for whoever wants to know on another.
final class DriverCall: Sendable {
    /// One call of a thread.
    struct Current: Equatable {
        let name: String
        /// Tells it from others of the same name.
        let number: UInt64
    }

    private struct State {
        var name: String?
        var number: UInt64 = 0
    }

    private let state = Mutex(State())

    /// Nil between calls.
    var current: Current? {
        state.withLock { state in state.name.map { Current(name: $0, number: state.number) } }
    }

    /// Notes the calls of this thread from now on; whoever asks for it keeps it alive until `unfollow`, or the thread's end.
    func follow() { pthread_setspecific(Self.key, Unmanaged.passUnretained(self).toOpaque()) }

    /// Notes the calls of this thread no more.
    static func unfollow() { pthread_setspecific(key, nil) }

    /// Runs a call, noted where this thread's calls are.
    static func during<Result>(_ call: String, _ body: () -> Result) -> Result {
        guard let pointer = pthread_getspecific(key) else { return body() }
        let note = Unmanaged<DriverCall>.fromOpaque(pointer).takeUnretainedValue()
        note.state.withLock { state in
            state.name = call
            state.number += 1
        }
        defer { note.state.withLock { $0.name = nil } }
        return body()
    }

    private static let key: pthread_key_t = {
        var key = pthread_key_t()
        pthread_key_create(&key, nil)
        return key
    }()
}
