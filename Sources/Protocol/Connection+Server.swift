// The server's half: requests in, answers out.
//
// The encoders throw `internal` when the stream is not open or not in the right state: a defect of the caller, or a
// stream that ended meanwhile. Nothing is appended then.
extension Connection {
    /// Answers HELLO, after the credential was found good, and grants the first streams.
    package mutating func sendHello(into bytes: inout [UInt8]) throws(WireError) {
        guard phase == .greeting, let peer else { throw WireError(.internal, "there is no HELLO to answer") }
        let chosen = min(peer.versions.upperBound, hello.versions.upperBound)
        var answer = hello
        answer.versions = chosen...chosen
        answer.credential = nil
        try bytes.appendFrame(.hello, stream: 0, limit: Limits.helloPayload) { answer.encode(into: &$0) }
        phase = .open
        version = chosen
        try grantStreams(into: &bytes)
    }

    /// Appends ACCEPT: the request is in the engine's queue.
    package mutating func sendAccept(
        on stream: UInt32, _ message: AcceptMessage, into bytes: inout [UInt8]
    ) throws(WireError) {
        try update(stream, for: .accept) { (state) throws(WireError) in try state.accept(message) }
        try append(.accept, stream: stream, into: &bytes) { message.encode(into: &$0) }
    }

    /// Appends TOKENS, as many frames as it takes. Costs no allocation while `bytes` has room; does nothing without tokens.
    ///
    /// - Parameter index: of the first token.
    /// - Throws: `internal` also when the tokens do not follow those already sent, or exceed the client's credit.
    package mutating func sendTokens(
        on stream: UInt32, from index: UInt32, _ tokens: borrowing TokenSlice, into bytes: inout [UInt8]
    ) throws(WireError) {
        guard tokens.count > 0 else { return }
        guard isOpen else { throw WireError(.internal, "tokens on a connection that is not open") }
        guard let place = streams.index(forKey: stream) else {
            throw WireError(.internal, "tokens for stream \(stream), which is not open")
        }
        do throws(WireError) {
            try streams.values[place].advance(from: index, by: tokens.count)
        } catch {
            throw WireError(.internal, error.located(.tokens, stream).message)
        }
        // No TOKENS frame is longer than what every client receives: see `Limits.smallestAnnouncedPayload`.
        tokens.encode(stream: stream, from: index, into: &bytes)
    }

    /// Appends TOKENS: one message, one frame.
    package mutating func sendTokens(
        on stream: UInt32, _ message: borrowing TokensMessage, into bytes: inout [UInt8]
    ) throws(WireError) {
        let index = message.firstIndex
        try message.withSlice { (tokens) throws(WireError) in
            try sendTokens(on: stream, from: index, tokens, into: &bytes)
        }
    }

    /// Appends PROGRESS, on an accepted stream.
    package mutating func sendProgress(
        on stream: UInt32, _ message: ProgressMessage, into bytes: inout [UInt8]
    ) throws(WireError) {
        try update(stream, for: .progress) { (state) throws(WireError) in try state.checkAccepted() }
        try append(.progress, stream: stream, into: &bytes) { message.encode(into: &$0) }
    }

    /// Appends FINISH and closes the stream, which must have been accepted and sent as many tokens as the message says.
    package mutating func sendFinish(
        on stream: UInt32, _ message: FinishMessage, into bytes: inout [UInt8]
    ) throws(WireError) {
        try update(stream, for: .finish) { (state) throws(WireError) in
            try state.checkAccepted()
            guard state.nextIndex == message.tokens else { throw .malformed("\(state.nextIndex) tokens were sent") }
        }
        try append(.finish, stream: stream, into: &bytes) { message.encode(into: &$0) }
        try closeStream(stream, into: &bytes)
    }

    /// Appends ERROR and closes the stream, whatever its state.
    package mutating func sendError(
        on stream: UInt32, _ message: ErrorMessage, into bytes: inout [UInt8]
    ) throws(WireError) {
        try update(stream, for: .error) { _ in }
        try append(.error, stream: stream, into: &bytes) { message.encode(into: &$0) }
        try closeStream(stream, into: &bytes)
    }

    /// Appends REPLY and closes the stream.
    ///
    /// - Throws: `tooLarge` when the client does not accept so long a frame; the stream is still open for `sendError`.
    package mutating func sendReply(
        on stream: UInt32, _ message: ReplyMessage, into bytes: inout [UInt8]
    ) throws(WireError) {
        try update(stream, for: .reply) { (state) throws(WireError) in
            guard state.kind == .call(message.method) else { throw .malformed("answers \(message.method)") }
        }
        try append(.reply, stream: stream, into: &bytes) { message.encode(into: &$0) }
        try closeStream(stream, into: &bytes)
    }

    /// Appends GOAWAY.
    ///
    /// - Parameters:
    ///   - isFinal: false only asks the client to open new streams elsewhere; true also refuses every stream that was
    ///     not seen yet.
    ///   - grace: milliseconds that open streams have left.
    package mutating func sendGoAway(
        isFinal: Bool, grace: UInt32, reason: ErrorCode, into bytes: inout [UInt8]
    ) throws(WireError) {
        let last = isFinal ? lastStream : GoAwayMessage.warning
        let message = GoAwayMessage(lastStream: last, grace: grace, reason: reason)
        try append(.goAway, into: &bytes) { message.encode(into: &$0) }
        isLeaving = true
        if isFinal, goAwayLimit == nil { goAwayLimit = last }
    }

    private mutating func closeStream(_ stream: UInt32, into bytes: inout [UInt8]) throws(WireError) {
        streams[stream] = nil
        try grantStreams(into: &bytes)
    }

    /// Lets the client open as many streams as would make `concurrentStreams`. Told after every end of a stream: in steps
    /// it would be cheaper by a few bytes, and a client with many long streams could be left without a number.
    private mutating func grantStreams(into bytes: inout [UInt8]) throws(WireError) {
        guard goAwayLimit == nil else { return }
        let grant = min(lastStream + concurrentStreams - UInt32(streams.count), Limits.lastStream)
        guard grant > streamGrant else { return }
        try append(.maxStreams, into: &bytes) { $0.append(integer: grant) }
        streamGrant = grant
    }

    // MARK: - Requests in

    mutating func receiveRequest(
        _ kind: FrameKind, _ header: FrameHeader, _ payload: consuming ByteReader
    ) throws(WireError) -> Action {
        switch kind {
        case .generate, .resume, .call: try receiveOpening(kind, header, payload)
        case .credit: try receiveCredit(header, CreditMessage(payload))
        case .cancel: try receiveCancel(header, payload)
        default: throw .malformed("\(kind) from a client")
        }
    }

    private mutating func receiveOpening(
        _ kind: FrameKind, _ header: FrameHeader, _ payload: consuming ByteReader
    ) throws(WireError) -> Action {
        if isRefused(header.stream) { return .ignored(header) }
        guard header.stream > lastStream else {
            throw .malformed("stream numbers must grow, and \(lastStream) was used")
        }
        guard header.stream <= streamGrant else { throw .malformed("only streams up to \(streamGrant) are granted") }
        lastStream = header.stream
        streams[header.stream] = StreamState(kind: .generation)
        do throws(WireError) {
            switch kind {
            case .call:
                let message = try CallMessage(payload)
                streams[header.stream] = StreamState(kind: .call(message.method))
                return .call(header.stream, message)
            case .resume:
                let message = try ResumeMessage(payload)
                streams[header.stream] = StreamState(
                    kind: .generation, nextIndex: message.nextIndex, creditLimit: message.creditLimit,
                    consumed: message.nextIndex)
                return .resume(header.stream, message)
            default:
                let message = try GenerateMessage(payload)
                streams[header.stream]?.creditLimit = message.creditLimit
                return .generate(header.stream, message)
            }
        } catch {
            guard error.code != .protocolViolation else { throw error }
            return .rejected(header.stream, error)
        }
    }

    private mutating func receiveCredit(_ header: FrameHeader, _ message: CreditMessage) throws(WireError) -> Action {
        guard var state = try openStream(header) else { return .ignored(header) }
        guard state.kind == .generation else { throw .malformed("a call takes no credit") }
        guard message.consumed <= state.nextIndex else {
            throw .malformed("\(message.consumed) tokens consumed of \(state.nextIndex) sent")
        }
        guard message.limit > state.creditLimit || message.consumed > state.consumed else { return .ignored(header) }
        state.creditLimit = max(state.creditLimit, message.limit)
        state.consumed = max(state.consumed, message.consumed)
        streams[header.stream] = state
        return .credit(header.stream, CreditMessage(limit: state.creditLimit, consumed: state.consumed))
    }

    private mutating func receiveCancel(
        _ header: FrameHeader, _ payload: consuming ByteReader
    ) throws(WireError) -> Action {
        let reason = CancelReason(rawValue: try payload.integer())
        try payload.finish()
        guard var state = try openStream(header), !state.isCancelled else { return .ignored(header) }
        state.isCancelled = true
        streams[header.stream] = state
        return .cancel(header.stream, reason)
    }

    /// The state of an open stream; nil when it was open once or will never be: the client could not know yet.
    private func openStream(_ header: FrameHeader) throws(WireError) -> StreamState? {
        if let state = streams[header.stream] { return state }
        guard header.stream <= lastStream || isRefused(header.stream) else {
            throw .malformed("the stream was never opened")
        }
        return nil
    }

    private func isRefused(_ stream: UInt32) -> Bool {
        goAwayLimit.map { stream > $0 } ?? false
    }
}
