internal import Glibc

/// Does something again and again on a thread of its own, until this value goes away.
final class RepeatedWork: Sendable {
    private let state: State

    /// - Parameters:
    ///   - purpose: what the thread does, for people; begins with "that".
    ///   - turn: called on that thread; returns milliseconds until it is called again, nil for never.
    /// - Throws: `EngineError.insufficientMemory` when the system refuses a thread.
    init(_ purpose: String, _ turn: @escaping @Sendable () -> Int?) throws(EngineError) {
        state = State(turn)
        var thread = pthread_t()
        let context = Unmanaged.passRetained(state)
        let status = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                Unmanaged<State>.fromOpaque(context).takeRetainedValue().run()
                return nil
            }, context.toOpaque())
        guard status == 0 else {
            context.release()
            let reason = String(cString: strerror(status))
            throw EngineError(.insufficientMemory, "no thread \(purpose): \(reason); raise the limit of threads")
        }
        pthread_detach(thread)
    }

    deinit { state.end() }

    /// What outlives the value until its thread has seen the end.
    private final class State: @unchecked Sendable {  // immutable after init; the semaphore is made to be shared
        private let turn: @Sendable () -> Int?
        /// Raised at the end.
        private let isOver = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

        init(_ turn: @escaping @Sendable () -> Int?) {
            self.turn = turn
            sem_init(isOver, 0, 0)
        }

        deinit {
            sem_destroy(isOver)
            isOver.deallocate()
        }

        func end() { sem_post(isOver) }

        func run() {
            while let pause = turn(), !isOver(after: pause) {}
        }

        private func isOver(after milliseconds: Int) -> Bool {
            var time = timespec()
            clock_gettime(CLOCK_REALTIME, &time)
            let nanoseconds = time.tv_nsec + milliseconds % 1_000 * 1_000_000
            time.tv_sec += milliseconds / 1_000 + nanoseconds / 1_000_000_000
            time.tv_nsec = nanoseconds % 1_000_000_000
            while sem_timedwait(isOver, &time) != 0 {
                if errno != EINTR { return false }
            }
            return true
        }
    }
}
