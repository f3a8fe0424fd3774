/// What a client must check of everything a server sends (the second table of section 5, and 5.1): on during every case,
/// whatever the case is about.
struct Monitor {
    private(set) var hello: ServerHello?
    private(set) var streams: [UInt32: Stream] = [:]
    /// The highest stream that was opened.
    private(set) var highest: UInt32 = 0
    /// The last MAX_STREAMS.
    private(set) var grant: UInt32 = 0
    private(set) var goAways: [GoAway] = []
    private(set) var pongs: [[UInt8]] = []
    private(set) var pings = 0
    /// The ERROR that ended the connection.
    private(set) var fatal: Failure?
    /// Frames that answer something: all but PING, MAX_STREAMS, GOAWAY and PROGRESS, which come when the server likes.
    private(set) var answers = 0

    /// An opened stream, also after its end.
    struct Stream {
        let opening: UInt8
        /// Index of the token that is next.
        var next: UInt32
        var limit: UInt32
        /// Of the text from index 0; nil when an earlier part was not seen.
        var checksum: Checksum?
        var tokens: [Int32] = []
        var pieces: [[UInt8]] = []
        var logprobs: [[(id: Int32, value: Float)]] = []
        var accept: Accept?
        var end: End?

        var text: [UInt8] { pieces.flatMap { $0 } }

        init(opening: UInt8, next: UInt32, limit: UInt32, checksum: Checksum?) {
            self.opening = opening
            self.next = next
            self.limit = limit
            self.checksum = checksum
        }
    }

    // MARK: - What we send

    /// Takes note of a frame of ours, as far as it changes what the server may do.
    ///
    /// - Parameter prior: for RESUME, the stream that it continues.
    mutating func sent(_ frame: Frame, continuing prior: Stream? = nil) {
        var cursor = Cursor(frame.payload, of: frame.name)
        switch frame.type {
        case FrameType.generate:
            open(frame, next: 0, limit: (try? cursor.integer()) ?? 0, Checksum())
        case FrameType.resume:
            guard (try? cursor.take(16)) != nil, let index: UInt32 = try? cursor.integer() else { return }
            let checksum = Self.checksum(prior, upTo: index)
            open(frame, next: index, limit: (try? cursor.integer()) ?? 0, checksum)
        case FrameType.call: open(frame, next: 0, limit: 0, nil)
        case FrameType.credit:
            guard let limit: UInt32 = try? cursor.integer(), let old = streams[frame.stream]?.limit else { return }
            streams[frame.stream]?.limit = max(old, limit)
        default: break
        }
    }

    private mutating func open(_ frame: Frame, next: UInt32, limit: UInt32, _ checksum: Checksum?) {
        guard frame.stream > highest, streams[frame.stream] == nil else { return }
        highest = frame.stream
        streams[frame.stream] = Stream(opening: frame.type, next: next, limit: limit, checksum: checksum)
    }

    private static func checksum(_ prior: Stream?, upTo index: UInt32) -> Checksum? {
        if index == 0 { return Checksum() }
        guard let prior, Int(index) <= prior.pieces.count, Int(prior.next) == prior.pieces.count else { return nil }
        var checksum = Checksum()
        for piece in prior.pieces[..<Int(index)] { checksum.update(piece) }
        return checksum
    }

    // MARK: - What the server sends

    /// Checks a frame of the server's and takes note of it.
    mutating func received(_ frame: Frame) throws {
        guard fatal == nil else { throw Stop.failed("\(frame.name) after ERROR on stream 0") }
        guard hello != nil || frame.type == FrameType.hello || frame.type == FrameType.error else {
            throw Stop.failed("\(frame.name) before HELLO")
        }
        guard FrameType.isKnown(frame.type) else {
            guard frame.type & 0x80 == 0 else { throw Stop.failed("critical \(frame.name)") }
            return
        }
        if frame.stream == 0 { try receivedOnConnection(frame) } else { try receivedOnStream(frame) }
    }

    private mutating func receivedOnConnection(_ frame: Frame) throws {
        var cursor = Cursor(frame.payload, of: frame.name)
        switch frame.type {
        case FrameType.hello:
            guard hello == nil else { throw Stop.failed("a second HELLO") }
            hello = try ServerHello(frame.payload)
            answers += 1
        case FrameType.ping:
            guard frame.payload.count == 8 else { throw Stop.failed("PING of \(frame.payload.count) bytes") }
            pings += 1
        case FrameType.pong:
            guard frame.payload.count == 8 else { throw Stop.failed("PONG of \(frame.payload.count) bytes") }
            pongs.append(frame.payload)
            answers += 1
        case FrameType.goAway: try receivedGoAway(try GoAway(frame.payload))
        case FrameType.maxStreams:
            let value: UInt32 = try cursor.integer()
            try cursor.finish()
            guard value >= grant else { throw Stop.failed("MAX_STREAMS shrinks from \(grant) to \(value)") }
            grant = value
        case FrameType.error:
            fatal = try Failure(frame.payload)
            answers += 1
        default: throw Stop.failed("\(frame.name), which belongs on a stream or to a client")
        }
    }

    private mutating func receivedGoAway(_ message: GoAway) throws {
        guard goAways.count(where: { $0.isWarning == message.isWarning }) == 0 else {
            throw Stop.failed("a second GOAWAY of its kind")
        }
        guard !message.isWarning || goAways.isEmpty else { throw Stop.failed("a warning GOAWAY after the final one") }
        goAways.append(message)
    }

    private mutating func receivedOnStream(_ frame: Frame) throws {
        guard var stream = streams[frame.stream], stream.end == nil else {
            throw Stop.failed("\(frame.name), which is \(streams[frame.stream] == nil ? "not open" : "closed")")
        }
        // Taken out while it changes, so that its arrays are not copied.
        streams[frame.stream] = nil
        defer { streams[frame.stream] = stream }
        if frame.type != FrameType.progress { answers += 1 }
        try stream.received(frame)
    }
}

extension Monitor.Stream {
    /// Checks a frame on the open stream and takes note of it.
    fileprivate mutating func received(_ frame: Frame) throws {
        let isCall = opening == FrameType.call
        switch frame.type {
        case FrameType.accept:
            guard !isCall, accept == nil else { throw Stop.failed("\(frame.name), which does not wait for it") }
            let message = try Accept(frame.payload)
            guard message.startIndex == next else {
                throw Stop.failed("ACCEPT starts at token \(message.startIndex) instead of \(next)")
            }
            accept = message
        case FrameType.tokens:
            guard accept != nil else { throw Stop.failed("\(frame.name) before ACCEPT") }
            try received(try Tokens(frame.payload))
        case FrameType.progress:
            guard accept != nil else { throw Stop.failed("\(frame.name) before ACCEPT") }
            guard frame.payload.count == 12 else { throw Stop.failed("PROGRESS of \(frame.payload.count) bytes") }
        case FrameType.finish:
            guard accept != nil else { throw Stop.failed("\(frame.name) before ACCEPT") }
            try received(try Finish(frame.payload))
        case FrameType.error: end = .error(try Failure(frame.payload))
        case FrameType.reply:
            guard isCall else { throw Stop.failed("\(frame.name), which was no CALL") }
            var cursor = Cursor(frame.payload, of: "REPLY")
            end = .reply(try Fields(&cursor, of: "REPLY"))
        default: throw Stop.failed("\(frame.name), which a server does not send there")
        }
    }

    private mutating func received(_ message: Tokens) throws {
        guard message.index == UInt16(truncatingIfNeeded: next) else {
            throw Stop.failed("TOKENS from index \(message.index) (lowest 16 bits) where \(next) is next")
        }
        guard next < limit, message.ids.count <= limit - next else {
            throw Stop.failed("\(message.ids.count) tokens from index \(next) exceed the credit of \(limit)")
        }
        next += UInt32(message.ids.count)
        tokens += message.ids
        pieces += message.pieces
        logprobs += message.logprobs
        for piece in message.pieces { checksum?.update(piece) }
    }

    private mutating func received(_ message: Finish) throws {
        guard message.tokens == next else {
            throw Stop.failed("FINISH says \(message.tokens) tokens where \(next) were sent")
        }
        if let checksum, checksum.value != message.checksum {
            throw Stop.failed("FINISH's checksum is \(message.checksum), the text's \(checksum.value)")
        }
        end = .finish(message)
    }
}
