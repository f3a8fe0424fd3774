internal import LMEngine
internal import LMProtocol

/// A request on its way through the engine, and when its stream can be resumed, for some time after its end. Loop thread
/// only.
///
/// The loop adds the engine's tokens to `flow`; they leave at the end of the loop's turn, by `flush` where something is to be
/// decided: what the client's credit allows goes to the connection that carries the stream now, if there is one.
final class Generation {
    /// Where the tokens go; nil while the client is away.
    private(set) var connection: ServerConnection? { didSet { flow.pointee.route = nil } }
    /// What the engine has produced, which the loop adds to and, while nothing changes here, sends. Its table forgets it before
    /// this object does.
    let flow = UnsafeMutablePointer<TokenFlow>.allocate(capacity: 1)
    private var end: End? { didSet { flow.pointee.route = nil } }
    private var stream: UInt32 = 0
    /// Tokens with an index below this may be sent: what the client says.
    private var clientLimit: UInt32
    /// Tokens with an index below this may be produced: what the engine was told.
    private var granted: UInt32
    /// Tokens with an index below this will not be asked for again.
    private var consumed: UInt32 = 0
    /// Tokens that the engine may be ahead of those the loop has taken.
    private let window: UInt32
    /// Its names for a client that comes back; nil when it ends with its connection.
    var resumption: Resumption? { didSet { flow.pointee.route = nil } }

    /// Finds this object in the loop's table; comes back with each of the engine's events.
    let tag: UInt64
    unowned let loop: ServerLoop
    /// Whose request it is: nobody else may resume it.
    let tenant: UInt64
    private(set) var request: RequestID?
    /// When the engine had produced all it was granted, as far as the ticks saw.
    private var stalledSince: UInt64?
    /// When to forget it; nil while its client is there and it runs.
    private(set) var expiry: UInt64?
    /// Repeats the output.
    private let seed: UInt64?
    /// A CALL opened its stream: there are no tokens, and its end is REPLY or ERROR.
    private let isCall: Bool

    /// By what a client finds its generation again, and how it is greeted then.
    final class Resumption {
        let token: Opaque128
        let key: Opaque128?
        /// Of the request, so that one key does not stand for two.
        let fingerprint: Int
        /// What ACCEPT says, but for its start index.
        var acceptance = AcceptMessage()

        init(token: Opaque128, key: Opaque128?, fingerprint: Int) {
            self.token = token
            self.key = key
            self.fingerprint = fingerprint
        }
    }

    private indirect enum End {
        case finished(FinishMessage)
        case replied(ReplyMessage)
        case failed(ErrorMessage)
    }

    init(
        tag: UInt64, loop: ServerLoop, tenant: UInt64, clientLimit: UInt32, granted: UInt32, seed: UInt64?, isCall: Bool
    ) {
        self.tag = tag
        self.loop = loop
        self.tenant = tenant
        self.seed = seed
        self.isCall = isCall
        window = loop.limits.aheadTokens
        self.clientLimit = clientLimit
        self.granted = granted
        flow.initialize(to: TokenFlow())
    }

    deinit {
        flow.deinitialize(count: 1)
        flow.deallocate()
    }

    /// Memory that is kept for the client.
    var byteCount: Int { flow.pointee.buffer.byteCount }

    /// The engine has produced something.
    var hasTokens: Bool { taken > 0 }

    /// The engine is done with it; what is left is kept for the client.
    var hasEnded: Bool { end != nil }

    /// Index after the last token that the engine produced and this loop took.
    private var taken: UInt32 { flow.pointee.buffer.endIndex }

    /// The engine has it.
    func submitted(as request: RequestID) { self.request = request }
}

// From the engine.
extension Generation {
    /// The engine is done with it.
    func finish(_ end: GenerationEnd) {
        switch end {
        case .finished where isCall:
            finish(.failed(ErrorMessage(.cancelled, "the call was cancelled before it was answered")))
        case .embedded(let vector, let usage): finish(.replied(.embed(EmbedReply(vector, usage))))
        case .finished(let reason, let usage):
            flow.pointee.buffer.settle()
            let checksum = flow.pointee.buffer.checksum.value
            var message = FinishMessage(reason: .init(reason), tokens: taken, checksum: checksum)
            message.usage = UsageReport(usage)
            message.seed = seed
            finish(.finished(message))
        case .failed(let error, let usage):
            var message = ErrorMessage(error)
            message.usage = UsageReport(usage)
            finish(.failed(message))
        }
    }

    private func finish(_ end: End) {
        self.end = end
        if resumption == nil {
            loop.forget(self)
        } else {
            expiry = loop.expiryOfResumable
            loop.keepEnded(self)
        }
        flush()
    }

    /// Sends what may be sent, and lets the engine go on. While the socket is congested tokens wait here, so that they
    /// leave in fewer and larger frames; the end waits for nothing.
    func flush() {
        flow.pointee.buffer.settle()
        guard let connection else { return grant() }
        if !connection.isCongested || end != nil { sendTokens(on: connection) }
        if end != nil { sendEnd() }
        grant()
        findRoute()
    }

    /// Lets tokens leave without asking, until something changes here or `grant` has something to say: from half a window before
    /// the end of what the engine was granted, and at that end whatever the window.
    private func findRoute() {
        guard end == nil, let connection else { return }
        let limit = granted < clientLimit ? granted - min(granted, window / 2 + 1) : clientLimit
        flow.pointee.route = .init(
            connection: .passUnretained(connection), stream: stream, limit: limit, dropsSent: resumption == nil)
    }

    private func sendTokens(on connection: ServerConnection) {
        guard clientLimit > flow.pointee.buffer.nextIndex else { return }
        let count = min(flow.pointee.buffer.unsentCount, Int(clientLimit - flow.pointee.buffer.nextIndex))
        guard count > 0 else { return }
        do throws(WireError) {
            // The connection must not fail in here: it would come back to these tokens.
            try flow.pointee.buffer.send(count) { (index, slice) throws(WireError) in
                try connection.append(slice, from: index, on: stream)
            }
        } catch {
            return connection.fail(ErrorMessage(error))
        }
        if resumption == nil { flow.pointee.buffer.drop(below: flow.pointee.buffer.nextIndex) }
    }

    private func sendEnd() {
        guard let end, let connection else { return }
        switch end {
        case .finished(let message):
            guard flow.pointee.buffer.unsentCount == 0 else { return }
            self.connection = nil
            connection.finish(stream, message)
        case .replied(let reply):
            self.connection = nil
            connection.finish(stream, reply)
        case .failed(let message):
            self.connection = nil
            connection.fail(stream, message)
        }
    }

    /// Lets the engine produce what the client allows, but never more than a window beyond what was taken, nor more than
    /// is kept for a client that may come back, and nothing new while the socket is congested: a reader that does not
    /// drain it stops its own sequences, and nobody else's.
    private func grant() {
        guard end == nil, granted < clientLimit, connection?.isCongested != true, let request else { return }
        var limit = min(clientLimit, taken.advancedClamping(by: window))
        if resumption != nil { limit = min(limit, consumed.advancedClamping(by: loop.limits.replayTokens)) }
        // In steps of half a window while the engine has something to do: a command for each token would be waste.
        guard limit > granted, limit == clientLimit || taken >= granted || limit - granted >= window / 2 else { return }
        granted = limit
        stalledSince = nil
        loop.model.engine.grant(request, creditLimit: limit)
    }
}

// From the client.
extension Generation {
    /// The stream that carries the tokens from `index` on, and whose client has those before.
    func attach(to connection: ServerConnection, _ stream: UInt32, from index: UInt32, limit: UInt32) {
        self.connection?.fail(
            self.stream, ErrorMessage(.superseded, "the generation goes on on another stream, as RESUME asked"))
        self.connection = connection
        self.stream = stream
        flow.pointee.buffer.rewind(to: index)
        consumed = max(consumed, index)
        clientLimit = limit
        stalledSince = nil
        if end == nil { expiry = nil }
        flow.pointee.buffer.drop(below: consumed)
    }

    /// Whether tokens from this index on can still be sent.
    ///
    /// - Throws: `notFound` or `invalid`, as section 5.7 of docs/protocol.md says.
    func checkKept(from index: UInt32) throws(WireError) {
        guard index >= flow.pointee.buffer.firstIndex else {
            throw WireError(
                .notFound, "tokens before \(flow.pointee.buffer.firstIndex) were consumed and are not kept any more")
        }
        guard index <= taken else {
            throw WireError(.invalid, "token \(index) is wanted, but only \(taken) were generated so far")
        }
    }

    /// The client takes more, or has taken more.
    func credit(_ message: CreditMessage) {
        clientLimit = max(clientLimit, message.limit)
        consumed = max(consumed, message.consumed)
        flow.pointee.buffer.drop(below: consumed)
        flush()
    }

    /// The client wants no more of it.
    func cancel() {
        guard end == nil, let request else { return }
        loop.dropResumption(of: self)
        resumption = nil
        loop.model.engine.cancel(request)
    }

    /// The connection is gone: without a client that may come back there is nothing to go on for.
    func connectionLost() {
        connection = nil
        guard resumption != nil, !loop.isDraining else { return abandon() }
        expiry = loop.expiryOfResumable
    }

    /// Ends it without telling anybody.
    func abandon() {
        if end == nil, let request { loop.model.engine.cancel(request) }
        loop.forget(self)
    }

    /// Called about once a second: fails a stream whose reader takes nothing for too long.
    func checkReader(now: UInt64) {
        guard end == nil, connection != nil, taken >= granted else {
            stalledSince = nil
            return
        }
        guard let since = stalledSince else { return stalledSince = now }
        let silence = (now &- since) / 1_000_000
        guard silence > loop.limits.stallTimeout else { return }
        if let request { loop.model.engine.cancel(request) }
        loop.forget(self)
        end = .failed(
            ErrorMessage(.slowConsumer, "no credit for \(silence) ms; take the tokens faster, or ask for fewer"))
        flush()
    }
}

extension UInt32 {
    fileprivate func advancedClamping(by distance: UInt32) -> UInt32 {
        let (result, overflow) = addingReportingOverflow(distance)
        return overflow ? .max : result
    }
}
