import Glibc

/// The one way into the engine thread: commands in the order in which they were sent, so that a cancel never overtakes
/// its submission.
///
/// A mutex and a condition of the C library, because `Synchronization.Mutex` comes without one to wait on.
package final class CommandQueue: @unchecked Sendable {  // all mutable fields behind `mutex`
    /// What a caller can ask of the engine thread.
    package enum Command {
        /// Run this.
        case submit(GenerationRequest, id: RequestID, tag: UInt64, mailbox: EventMailbox, submittedAt: UInt64)
        /// End this.
        case cancel(RequestID)
        /// Let this produce more.
        case grant(RequestID, creditLimit: UInt32)
        /// End everything.
        case shutDown
    }

    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let arrived = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private let maxNumRequests: Int
    private var commands: [Command] = []
    private var liveCount = 0
    /// Tokens of prompts and answers that live requests may still come to.
    private var liveTokens = 0
    private var nextID: UInt64
    private let idStep: UInt64
    private var isClosed = false
    /// With what submissions are refused for a while.
    private var refusal: EngineError?
    private var isShutDown = false

    /// - Parameters:
    ///   - maxNumRequests: live requests at which `submit` refuses more.
    ///   - place: which of several queues this is; no two of them give a request the same id.
    package init(maxNumRequests: Int, place: ReplicaPlace = .alone) {
        self.maxNumRequests = maxNumRequests
        nextID = UInt64(place.index) + 1
        idStep = UInt64(place.count)
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        // Deadlines are monotonic; the default would follow a clock that can be set.
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(arrived, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(arrived)
        pthread_mutex_destroy(mutex)
        arrived.deallocate()
        mutex.deallocate()
    }

    /// Queues a valid request.
    ///
    /// - Parameter now: monotonic nanoseconds.
    /// - Throws: `EngineError.draining` after `close`, `overloaded` when the engine holds as many as it may; between
    ///   `refuse` and `readmit` what was said there.
    package func submit(
        _ request: GenerationRequest, tag: UInt64, mailbox: EventMailbox, now: UInt64
    ) throws(EngineError) -> RequestID {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        if isClosed { throw EngineError(.draining, "the engine is shutting down; send the request to another server") }
        if let refusal { throw refusal }
        guard liveCount < maxNumRequests else {
            throw EngineError(.overloaded, "the engine holds \(liveCount) requests, all it takes; try again later")
        }
        liveCount += 1
        liveTokens += request.largestTokenCount
        let id = RequestID(rawValue: nextID)
        nextID += idStep
        append(.submit(request, id: id, tag: tag, mailbox: mailbox, submittedAt: now))
        return id
    }

    /// Queues a command about a request; after the shutdown there is nobody to read it, and after `refuse` no request.
    package func send(_ command: Command) {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        if !isShutDown && refusal == nil { append(command) }
    }

    /// Refuses submissions until `readmit`, because all requests there are have failed. Their commands are forgotten, but
    /// for submissions, by which the engine thread counts them, and the shutdown.
    ///
    /// - Returns: the submissions that the engine thread has not seen.
    func refuse(with error: EngineError) -> [Command] {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        refusal = error
        commands.removeAll { $0.isAboutRequest }
        return commands
    }

    /// Takes submissions again.
    func readmit() {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        refusal = nil
    }

    /// Whether submissions are refused for a while.
    var isRefusing: Bool {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return refusal != nil
    }

    /// Refuses requests from now on.
    package func close() {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        isClosed = true
    }

    /// Refuses requests and queues the last command of all.
    ///
    /// - Returns: false if that was done before.
    package func shutDown() -> Bool {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        guard !isShutDown else { return false }
        isClosed = true
        isShutDown = true
        append(.shutDown)
        return true
    }

    /// Makes room for as many submissions as requests have ended.
    ///
    /// - Parameter tokens: what those could have come to, as `GenerationRequest.largestTokenCount` counts it.
    package func retire(_ count: Int, tokens: Int) {
        guard count > 0 else { return }
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        liveCount -= count
        liveTokens -= tokens
    }

    /// Tokens of prompts and answers that the requests which have not ended could come to.
    package var outstandingTokens: Int {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return liveTokens
    }

    /// How long `take` may sleep while the queue is empty.
    package enum Patience {
        /// Not at all: there is work.
        case none
        /// Until this monotonic nanosecond.
        case until(UInt64)
        /// Until a command comes.
        case forever
    }

    /// Swaps all queued commands into `batch`, which must be empty and whose memory is reused.
    package func take(into batch: inout [Command], patience: Patience) {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        wait: while commands.isEmpty {
            switch patience {
            case .none:
                break wait
            case .until(let deadline):
                var time = timespec(tv_sec: Int(deadline / 1_000_000_000), tv_nsec: Int(deadline % 1_000_000_000))
                if pthread_cond_timedwait(arrived, mutex, &time) == ETIMEDOUT { break wait }
            case .forever:
                pthread_cond_wait(arrived, mutex)
            }
        }
        swap(&commands, &batch)
    }

    private func append(_ command: Command) {
        commands.append(command)
        if commands.count == 1 { pthread_cond_signal(arrived) }
    }
}

extension CommandQueue.Command {
    /// Whether it is about a request that was submitted before.
    fileprivate var isAboutRequest: Bool {
        switch self {
        case .cancel, .grant: true
        case .submit, .shutDown: false
        }
    }
}
