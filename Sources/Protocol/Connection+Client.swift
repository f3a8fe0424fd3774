// The client's half: requests out, answers in.
extension Connection {
    /// Appends the preface and HELLO. Nothing else may be sent before the server's HELLO arrives.
    ///
    /// - Throws: `tooLarge` when credential and agent do not fit a HELLO.
    package mutating func start(into bytes: inout [UInt8]) throws(WireError) {
        guard role == .client, phase == .hello else { throw WireError(.internal, "a client starts once") }
        bytes.append(contentsOf: Self.preface)
        try bytes.appendFrame(.hello, stream: 0, limit: Limits.helloPayload) { hello.encode(into: &$0) }
    }

    /// Whether `sendGenerate` and `sendCall` have a stream number to use. When it is false on an open connection that is
    /// not leaving, wait for the next `maxStreams`.
    package var canOpenStream: Bool { phase == .open && !isLeaving && lastStream < streamGrant }

    /// Whether this connection will never take another stream: it is over, the server said GOAWAY, or all numbers are
    /// used.
    package var isExhausted: Bool { isClosed || isLeaving || lastStream == Limits.lastStream }

    /// Opens a stream with GENERATE.
    ///
    /// - Returns: the stream's number.
    /// - Throws: `tooLarge` when the server does not accept so long a frame, `overloaded` or `draining` without
    ///   `canOpenStream`.
    package mutating func sendGenerate(
        _ message: GenerateMessage, into bytes: inout [UInt8]
    ) throws(WireError) -> UInt32 {
        let stream = try nextStream()
        try append(.generate, stream: stream, into: &bytes) { message.encode(into: &$0) }
        streams[stream] = StreamState(kind: .generation, creditLimit: message.creditLimit)
        lastStream = stream
        return stream
    }

    /// Opens a stream with RESUME; returns and throws like `sendGenerate`.
    ///
    /// - Parameter checksum: of the text of all tokens before `message.nextIndex`; nil when it is not known, then the one in
    ///   FINISH is not compared.
    package mutating func sendResume(
        _ message: ResumeMessage, checksum: CRC32C?, into bytes: inout [UInt8]
    ) throws(WireError) -> UInt32 {
        let stream = try nextStream()
        try append(.resume, stream: stream, into: &bytes) { message.encode(into: &$0) }
        var state = StreamState(kind: .generation, nextIndex: message.nextIndex, creditLimit: message.creditLimit)
        state.consumed = message.nextIndex
        state.checksum = checksum
        streams[stream] = state
        lastStream = stream
        return stream
    }

    /// Opens a stream with CALL; returns and throws like `sendGenerate`.
    package mutating func sendCall(_ message: CallMessage, into bytes: inout [UInt8]) throws(WireError) -> UInt32 {
        let stream = try nextStream()
        try append(.call, stream: stream, into: &bytes) { message.encode(into: &$0) }
        streams[stream] = StreamState(kind: .call(message.method))
        lastStream = stream
        return stream
    }

    /// Appends CREDIT; nothing when the stream has ended, was cancelled, or knows this already.
    package mutating func sendCredit(
        on stream: UInt32, _ message: CreditMessage, into bytes: inout [UInt8]
    ) throws(WireError) {
        guard var state = streams[stream], !state.isCancelled,
            message.limit > state.creditLimit || message.consumed > state.consumed
        else { return }
        try append(.credit, stream: stream, into: &bytes) { message.encode(into: &$0) }
        state.creditLimit = max(state.creditLimit, message.limit)
        state.consumed = max(state.consumed, message.consumed)
        streams[stream] = state
    }

    /// Appends CANCEL; nothing when the stream has ended or was cancelled before. The stream is open until the server
    /// ends it, and tokens already under way still arrive.
    package mutating func sendCancel(
        on stream: UInt32, _ reason: CancelReason, into bytes: inout [UInt8]
    ) throws(WireError) {
        guard var state = streams[stream], !state.isCancelled else { return }
        try append(.cancel, stream: stream, into: &bytes) { $0.append(integer: reason.rawValue) }
        state.isCancelled = true
        streams[stream] = state
    }

    private func nextStream() throws(WireError) -> UInt32 {
        guard !isLeaving else { throw WireError(.draining, "the server takes no more streams on this connection") }
        guard lastStream < streamGrant else {
            throw WireError(.overloaded, "the server grants no more than \(streams.count) streams at once")
        }
        return lastStream + 1
    }

    // MARK: - Answers in

    mutating func receiveAnswer(
        _ kind: FrameKind, _ stream: UInt32, _ payload: consuming ByteReader
    ) throws(WireError) -> Action {
        guard var state = streams[stream] else { throw .malformed("the stream is not open") }
        switch kind {
        case .accept:
            let message = try AcceptMessage(payload)
            try state.accept(message)
            streams[stream] = state
            return .accept(stream, message)
        case .tokens:
            let message = try TokensMessage(payload, at: state.nextIndex)
            try state.advance(from: message.firstIndex, by: message.count)
            state.checksum?.update(message.text.span.bytes)
            streams[stream] = state
            return .tokens(stream, message)
        case .progress:
            try state.checkAccepted()
            return .progress(stream, try ProgressMessage(payload))
        case .finish:
            try state.checkAccepted()
            let message = try FinishMessage(payload)
            guard message.tokens == state.nextIndex else {
                throw .malformed("\(message.tokens) tokens in all where \(state.nextIndex) were sent")
            }
            streams[stream] = nil
            if let checksum = state.checksum, checksum.value != message.checksum { return .error(stream, .damagedText) }
            return .finish(stream, message)
        case .error:
            streams[stream] = nil
            return .error(stream, try ErrorMessage(payload))
        case .reply:
            guard case .call(let method) = state.kind else { throw .malformed("answers a generation") }
            streams[stream] = nil
            return .reply(stream, try ReplyMessage(method, payload))
        default: throw .malformed("\(kind) from a server")
        }
    }

    mutating func receiveGoAway(_ message: GoAwayMessage) throws(WireError) -> Action {
        isLeaving = true
        guard message.lastStream != GoAwayMessage.warning else { return .goAway(message, refused: []) }
        let refused = streams.keys.filter { $0 > message.lastStream }.sorted()
        for stream in refused { streams[stream] = nil }
        return .goAway(message, refused: refused)
    }
}

extension ErrorMessage {
    /// What a client makes of a FINISH whose checksum is not that of the text it got.
    fileprivate static let damagedText = ErrorMessage(
        .internal, "the text does not have the checksum that the server says it has; do not use it")
}
