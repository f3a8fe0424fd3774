internal import LMProtocol

/// The tokens of one accepted generation, for one loop:
///
///     for try await token in stream { print(token.text, terminator: "") }
///
/// The server computes only as far ahead as the window allows, so a slow loop slows the engine instead of filling memory.
/// Leaving the loop early, cancelling its task or dropping the stream cancels the generation on the server at once.
public struct TokenStream: AsyncSequence, Sendable {
    /// What the loop sees.
    public typealias Element = Token
    /// What the loop throws.
    public typealias Failure = LMError

    private let lease: StreamLease
    private let acceptance: Exchange.Acceptance
    private let window: UInt32

    init(_ exchange: Exchange, _ acceptance: Exchange.Acceptance, window: UInt32, client: LMClient) {
        lease = StreamLease(exchange, client)
        self.acceptance = acceptance
        self.window = window
    }

    /// What the server's logs call the request.
    public var requestID: String? { acceptance.message.requestID }
    /// The model that answers.
    public var model: String? { acceptance.message.model }
    /// When the request was written to the connection; the clock is `LMClient.now`.
    public var sent: UInt64 { acceptance.sent }

    /// How the generation ended; nil while it has not, and after a failure.
    public var finish: FinishInfo? {
        guard case .success(.finish(let info)) = lease.exchange.outcome else { return nil }
        return info
    }

    /// Asks the server to end the generation. The loop still sees the tokens that had arrived, then ends; `finish`
    /// tells what was consumed.
    public func cancel() { lease.exchange.cancel(.user) }

    /// Waits until the server has ended the generation, whatever became of the loop.
    public func waitForEnd() async {
        await lease.exchange.waitForEnd()
    }

    /// The iterator of the one loop; a second one throws.
    public func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(lease, window: window, isFirst: lease.exchange.becomeConsumer())
    }

    /// Consumes all tokens.
    ///
    /// - Throws: what the loop would throw.
    public func collect() async throws(LMError) -> Completion {
        var tokens: [Token] = []
        var iterator = makeAsyncIterator()
        while let token = try await iterator.next(isolation: nil) { tokens.append(token) }
        guard let finish else { throw LMError(.internal, "the stream ended without saying how") }
        return Completion(text: tokens.reduce(into: "") { $0 += $1.text }, tokens: tokens, finish: finish)
    }

    /// Takes tokens and grants credit for them.
    public struct AsyncIterator: AsyncIteratorProtocol {
        private let lease: LoopLease
        private let isFirst: Bool
        private let window: UInt32
        private var batches: [Exchange.Batch] = []
        /// The next token: batch, and position in it.
        private var batch = 0
        private var position = 0
        private var consumed: UInt32 = 0
        /// What the server knows of `consumed`.
        private var reported: UInt32 = 0

        fileprivate init(_ stream: StreamLease, window: UInt32, isFirst: Bool) {
            lease = LoopLease(stream, isFirst: isFirst)
            self.isFirst = isFirst
            self.window = window
        }

        /// The next token; nil at the end.
        ///
        /// - Throws: what ended the generation; `cancelled` when the task was cancelled; `invalid` in a second loop over
        ///   the same stream.
        public mutating func next(
            isolation actor: isolated (any Actor)? = #isolation
        ) async throws(LMError) -> Token? {
            guard isFirst else { throw LMError(.invalid, "a token stream can be looped over once") }
            let exchange = lease.stream.exchange
            while true {
                if Task.isCancelled {
                    exchange.cancel(.user)
                    throw .taskCancelled
                }
                if let token = takeToken() { return token }
                // The end is looked at first: tokens that precede it have arrived by then.
                let outcome = exchange.outcome
                exchange.takeBatches(into: &batches)
                (batch, position) = (0, 0)
                if !batches.isEmpty { continue }
                switch outcome {
                case .success: return nil
                case .failure(let error): throw error
                case nil: await exchange.wait(for: .progress)
                }
            }
        }

        private mutating func takeToken() -> Token? {
            guard batch < batches.count else { return nil }
            let current = batches[batch]
            let token = Token(current.tokens, at: position, arrival: current.arrival)
            position += 1
            if position == current.tokens.count { (batch, position) = (batch + 1, 0) }
            consume()
            return token
        }

        /// Half a window at a time, so that credit costs little and never runs out for a loop that keeps up; but at least as
        /// often as a server that keeps tokens for resumption may ask.
        private mutating func consume() {
            consumed += 1
            guard consumed - reported >= Swift.min(window - window / 2, Self.mostUnreported) else { return }
            reported = consumed
            let (limit, isBeyond) = consumed.addingReportingOverflow(window)
            lease.stream.exchange.grant(CreditMessage(limit: isBeyond ? .max : limit, consumed: consumed))
        }

        /// Section 5.7 of docs/protocol.md.
        private static let mostUnreported: UInt32 = 128
    }
}

/// Cancels the generation when nobody has the stream any more, and keeps the client alive until then.
private final class StreamLease: Sendable {
    let exchange: Exchange
    private let client: LMClient

    init(_ exchange: Exchange, _ client: LMClient) {
        self.exchange = exchange
        self.client = client
    }

    deinit { exchange.cancel(.abandoned) }
}

/// Cancels the generation when its loop is left.
private final class LoopLease: Sendable {
    let stream: StreamLease
    private let isFirst: Bool

    init(_ stream: StreamLease, isFirst: Bool) {
        self.stream = stream
        self.isFirst = isFirst
    }

    deinit {
        if isFirst { stream.exchange.cancel(.abandoned) }
    }
}
