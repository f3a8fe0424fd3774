extension Connection {
    /// What a received frame means for the owner. One frame is one action, so that the owner can count them.
    package enum Action: Sendable, Equatable {
        /// The handshake. A server checks the credential and calls `sendHello` (or `close`); for a client the connection
        /// is open now.
        case hello(HelloMessage)
        /// To be answered by `sendPong`.
        case ping(UInt64)
        /// Answers `sendPing`.
        case pong(UInt64)
        /// Client: open no more streams here. The listed ones were never started and may be repeated elsewhere.
        case goAway(GoAwayMessage, refused: [UInt32])
        /// Client: more streams may be opened; see `canOpenStream`.
        case maxStreams(UInt32)
        /// Server: a request.
        case generate(UInt32, GenerateMessage)
        /// Server: a generation to be continued on this stream.
        case resume(UInt32, ResumeMessage)
        /// Server: a question.
        case call(UInt32, CallMessage)
        /// Server: a request whose content is wrong; to be answered by `sendError` on this stream.
        case rejected(UInt32, WireError)
        /// Server: what the client lets it send. Both numbers are the effective ones and never shrink.
        case credit(UInt32, CreditMessage)
        /// Server: end the stream soon, by `sendFinish` with `.cancelled`, unless it ends by itself first.
        case cancel(UInt32, CancelReason)
        /// Client: the request is in the server's queue.
        case accept(UInt32, AcceptMessage)
        /// Client: tokens, in order and within the credit.
        case tokens(UInt32, TokensMessage)
        /// Client: what the stream is waiting for.
        case progress(UInt32, ProgressMessage)
        /// Client: the stream ended well.
        case finish(UInt32, FinishMessage)
        /// The stream failed; with stream 0, the peer ended the connection.
        case error(UInt32, ErrorMessage)
        /// Client: the answer to a call.
        case reply(UInt32, ReplyMessage)
        /// A frame without effect: of an unknown, ignorable type, or late for a stream that is closed.
        case ignored(FrameHeader)
    }

    /// Takes the next frame from the start of what was received.
    ///
    /// Call it again with the bytes after `consumed` until it returns nil: then it needs more bytes, or (on a server that
    /// owes its HELLO) an answer to the last action.
    ///
    /// - Parameters:
    ///   - bytes: everything received and not yet consumed.
    ///   - consumed: grows by the bytes that are done with; index where `bytes` is read.
    /// - Throws: what the peer did wrong. The connection is over: call `close` with it, flush, disconnect.
    package mutating func receive(_ bytes: RawSpan, consumed: inout Int) throws(WireError) -> Action? {
        do throws(WireError) {
            if phase == .preface { try checkPreface(bytes, &consumed) }
            switch phase {
            case .preface, .greeting: return nil
            case .failed, .closed:
                consumed = bytes.byteCount
                return nil
            case .hello, .open: return try receiveFrame(bytes, &consumed)
            }
        } catch {
            phase = phase == .preface ? .closed : .failed
            throw error
        }
    }

    private mutating func checkPreface(_ bytes: RawSpan, _ consumed: inout Int) throws(WireError) {
        var reader = ByteReader(bytes.extracting(consumed..<bytes.byteCount))
        for expected in Self.preface.prefix(reader.remaining) {
            guard try reader.integer(UInt8.self) == expected else {
                throw .malformed("the connection does not start with the lmcall preface")
            }
        }
        guard bytes.byteCount - consumed >= Self.preface.count else { return }
        consumed += Self.preface.count
        phase = .hello
    }

    private mutating func receiveFrame(_ bytes: RawSpan, _ consumed: inout Int) throws(WireError) -> Action? {
        guard bytes.byteCount - consumed >= Limits.header else { return nil }
        var reader = ByteReader(bytes.extracting(consumed..<bytes.byteCount))
        let header = FrameHeader(word: try reader.integer())
        let kind = try admit(header)
        guard reader.remaining >= header.length else { return nil }
        consumed += Limits.header + header.length
        guard let kind else { return .ignored(header) }
        let payload = ByteReader(try reader.take(header.length))
        do throws(WireError) {
            if header.stream == 0 { return try receiveOnConnection(kind, payload) }
            switch role {
            case .server: return try receiveRequest(kind, header, payload)
            case .client: return try receiveAnswer(kind, header.stream, payload)
            }
        } catch {
            // Only requests have content that fails alone; in every other frame a wrong value is the peer's defect.
            let reported = error.code == .invalid ? WireError.malformed(error.message) : error
            throw reported.located(kind, header.stream)
        }
    }

    /// Everything that can be wrong with a header, before its payload is waited for. Nil for a type to be skipped.
    private func admit(_ header: FrameHeader) throws(WireError) -> FrameKind? {
        let limit = phase == .hello ? Limits.helloPayload : Int(hello.maxPayload)
        guard header.length <= limit else {
            throw WireError(.frameTooLarge, "frame of \(header.length) bytes, limit \(limit)")
        }
        guard let kind = header.kind else {
            guard !header.isCritical else { throw .malformed("unknown critical frame type \(header.type)") }
            guard phase == .open else { throw .malformed("frame type \(header.type) before HELLO") }
            return nil
        }
        switch kind.scope {
        case .connection where header.stream != 0: throw .malformed("\(kind) on stream \(header.stream)")
        case .stream where header.stream == 0: throw .malformed("\(kind) on stream 0")
        default: break
        }
        guard kind.maySend(role.peer, on: header.stream) else { throw .malformed("\(kind) from a \(role.peer)") }
        switch phase {
        case .hello:
            let isRefusal = role == .client && kind == .error && header.stream == 0
            guard kind == .hello || isRefusal else { throw .malformed("\(kind) before HELLO") }
        default:
            guard kind != .hello else { throw .malformed("a second HELLO") }
        }
        return kind
    }

    private mutating func receiveOnConnection(
        _ kind: FrameKind, _ payload: consuming ByteReader
    ) throws(WireError) -> Action {
        switch kind {
        case .hello: return .hello(try receiveHello(HelloMessage(payload)))
        case .ping, .pong:
            let opaque: UInt64 = try payload.integer()
            try payload.finish()
            return kind == .ping ? .ping(opaque) : .pong(opaque)
        case .goAway: return try receiveGoAway(GoAwayMessage(payload))
        case .maxStreams:
            let grant: UInt32 = try payload.integer()
            try payload.finish()
            streamGrant = max(streamGrant, min(grant, Limits.lastStream))
            return .maxStreams(streamGrant)
        case .error:
            let message = try ErrorMessage(payload)
            end()
            return .error(0, message)
        default: throw .malformed("\(kind) belongs on a stream")
        }
    }

    private mutating func receiveHello(_ message: HelloMessage) throws(WireError) -> HelloMessage {
        let shared = min(message.versions.upperBound, hello.versions.upperBound)
        guard hello.versions.contains(shared), message.versions.contains(shared) else {
            throw WireError(.version, "the peer speaks versions \(message.versions), this end \(hello.versions)")
        }
        if role == .client {
            guard message.versions.count == 1 else { throw .malformed("the server did not choose a version") }
            version = shared
        }
        peer = message
        phase = role == .client ? .open : .greeting
        return message
    }
}
