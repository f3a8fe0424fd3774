internal import LMProtocol
internal import Synchronization

/// One attempt at one request, seen from both sides: the loop tells it what arrives, one task waits for it. Once a
/// resumable generation is accepted, the attempt goes on over as many connections as it takes.
///
/// Everything goes through one lock that is held for a few instructions. The waiting task is resumed once per frame,
/// not per token, and no task or stream object stands in between.
final class Exchange: Sendable {
    /// What opens the stream.
    enum Opening: Sendable {
        case generate(GenerateMessage)
        case call(CallMessage)
    }

    /// Tokens that arrived together.
    struct Batch: Sendable {
        var tokens: TokensMessage
        /// Monotonic nanoseconds at the socket read.
        var arrival: UInt64
    }

    /// How a stream ended well.
    enum Answer: Sendable {
        case finish(FinishInfo)
        case reply(ReplyMessage)
    }

    /// What a task waits for.
    enum Milestone: Sendable {
        /// ACCEPT, or the end.
        case acceptance
        /// Tokens, or the end.
        case progress
        /// The end.
        case end
    }

    /// Where a generation goes on whose connection was lost.
    struct Resumption: Sendable {
        var message: ResumeMessage
        /// Of the text before `message.nextIndex`.
        var checksum: CRC32C?
        /// Loop time at which the server forgets it.
        var deadline: UInt64
        /// Attempts so far.
        var attempts = 0
        /// Why the connection was lost.
        var cause: LMError
    }

    /// Once accepted.
    struct Acceptance: Sendable {
        var message: AcceptMessage
        /// Monotonic nanoseconds when the request was written.
        var sent: UInt64
    }

    private struct State: Sendable {
        /// Where the stream is, from its opening to its end.
        var link: (connection: ClientConnection, stream: UInt32)?
        var sent: UInt64 = 0
        var acceptance: Acceptance?
        /// What the application lets the server send, and has consumed.
        var credit: CreditMessage?
        var batches: [Batch] = []
        var received = 0
        var outcome: Result<Answer, LMError>?
        var cancelReason: CancelReason?
        var isInterrupted = false
        var hasConsumer = false
        // Unsafe only in that nothing checks it is resumed once: whoever empties this slot resumes it.
        var waiter: (milestone: Milestone, continuation: UnsafeContinuation<Void, Never>)?

        func hasReached(_ milestone: Milestone) -> Bool {
            if outcome != nil { return true }
            switch milestone {
            case .acceptance: return isInterrupted || acceptance != nil
            case .progress: return isInterrupted || !batches.isEmpty
            case .end: return false
            }
        }

        mutating func takeWaiter() -> UnsafeContinuation<Void, Never>? {
            guard let waiter, hasReached(waiter.milestone) else { return nil }
            self.waiter = nil
            return waiter.continuation
        }
    }

    let opening: Opening
    /// Set while the stream waits to be resumed. Loop thread only.
    nonisolated(unsafe) var resumption: Resumption?
    private let state = Mutex(State())

    init(_ opening: Opening) { self.opening = opening }
}

// The task's side.
extension Exchange {
    /// Waits until the milestone is reached, or the task is cancelled: then CANCEL is sent at once.
    func wait(for milestone: Milestone, isolation: isolated (any Actor)? = #isolation) async {
        await withTaskCancellationHandler {
            await suspend(until: milestone)
        } onCancel: {
            let waiter = state.withLock { state in
                state.isInterrupted = true
                return state.takeWaiter()
            }
            cancel(.user)
            waiter?.resume()
        }
    }

    /// Waits for the end even in a cancelled task.
    func waitForEnd() async {
        await suspend(until: .end)
    }

    private func suspend(until milestone: Milestone, isolation: isolated (any Actor)? = #isolation) async {
        await withUnsafeContinuation { continuation in
            let displaced = state.withLock { state -> UnsafeContinuation<Void, Never>? in
                guard !state.hasReached(milestone) else { return continuation }
                // A second consumer is the caller's mistake; both look again, and the loser learns of it elsewhere.
                let displaced = state.waiter?.continuation
                state.waiter = (milestone, continuation)
                return displaced
            }
            displaced?.resume()
        }
    }

    /// What the server said to the request so far; nil while it said nothing.
    var answer: Result<Acceptance, LMError>? {
        state.withLock { state in
            if let acceptance = state.acceptance { return .success(acceptance) }
            guard case .failure(let error) = state.outcome else { return nil }
            return .failure(error)
        }
    }

    /// How it ended; nil while it did not.
    var outcome: Result<Answer, LMError>? { state.withLock { $0.outcome } }

    /// Takes the tokens that have arrived. The old contents of `batches` are dropped and their memory is reused.
    func takeBatches(into batches: inout [Batch]) {
        batches.removeAll(keepingCapacity: true)
        state.withLock { swap(&$0.batches, &batches) }
    }

    /// True once.
    func becomeConsumer() -> Bool {
        state.withLock { state in
            defer { state.hasConsumer = true }
            return !state.hasConsumer
        }
    }

    /// Asks the server to end the stream; nothing when it has ended or was asked before.
    func cancel(_ reason: CancelReason) {
        let (link, isLost) = state.withLock { state -> ((connection: ClientConnection, stream: UInt32)?, Bool) in
            guard state.outcome == nil, state.cancelReason == nil else { return (nil, false) }
            state.cancelReason = reason
            return (state.link, state.link == nil && state.acceptance != nil)
        }
        if let link { link.connection.post { $0.cancel(link.stream, reason) } }
        // The server is told when it is reached again; nobody needs to wait for that.
        if isLost { end(.failure(.taskCancelled)) }
    }

    /// Lets the server send more.
    func grant(_ credit: CreditMessage) {
        let link = state.withLock { state in
            state.credit = credit
            return state.cancelReason == nil ? state.link : nil
        }
        guard let link else { return }
        link.connection.post { $0.grant(link.stream, credit) }
    }
}

// The loop's side.
extension Exchange {
    /// Whether the stream is still to be opened. If not, this is its end.
    func isWanted() -> Bool {
        guard state.withLock({ $0.cancelReason != nil }) else { return true }
        end(.failure(.taskCancelled))
        return false
    }

    /// The stream was opened.
    ///
    /// - Returns: why to cancel it again, if that was asked for in between, and the credit that was last granted: on a
    ///   stream that is resumed, what was granted while it was lost.
    func opened(
        on connection: ClientConnection, _ stream: UInt32, at time: UInt64
    ) -> (CancelReason?, CreditMessage?) {
        state.withLock { state in
            state.link = (connection, stream)
            if state.acceptance == nil { state.sent = time }
            return (state.cancelReason, state.credit)
        }
    }

    func accepted(_ message: AcceptMessage) {
        let waiter = state.withLock { state -> UnsafeContinuation<Void, Never>? in
            // A resumed stream is accepted again.
            guard state.acceptance == nil else { return nil }
            state.acceptance = Acceptance(message: message, sent: state.sent)
            return state.takeWaiter()
        }
        waiter?.resume()
    }

    func received(_ tokens: TokensMessage, at arrival: UInt64) {
        let waiter = state.withLock { state -> UnsafeContinuation<Void, Never>? in
            state.received += tokens.count
            guard state.cancelReason == nil else { return nil }
            state.batches.append(Batch(tokens: tokens, arrival: arrival))
            return state.takeWaiter()
        }
        waiter?.resume()
    }

    /// The connection is gone. Notes where the stream could go on.
    ///
    /// - Parameter nextIndex: of the first token that did not arrive.
    /// - Returns: how to resume; nil when the server did not offer it, or nobody wants it.
    func disconnected(at nextIndex: UInt32, limit: UInt32) -> ResumeMessage? {
        state.withLock { state in
            state.link = nil
            guard state.outcome == nil, state.cancelReason == nil, let token = state.acceptance?.message.resumeToken
            else {
                return nil
            }
            return ResumeMessage(
                token: token, nextIndex: nextIndex, creditLimit: max(limit, state.credit?.limit ?? 0))
        }
    }

    /// The first end counts.
    func end(_ outcome: Result<Answer, LMError>) {
        let waiter = state.withLock { state -> UnsafeContinuation<Void, Never>? in
            guard state.outcome == nil else { return nil }
            state.outcome = outcome.mapError { error in
                var error = error
                error.tokensReceived = state.received
                error.requestID = state.acceptance?.message.requestID
                return error
            }
            state.link = nil
            return state.takeWaiter()
        }
        waiter?.resume()
    }
}
