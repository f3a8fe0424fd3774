// The frames a server sends (section 6), read as strictly as their tables allow.

/// HELLO of a server.
struct ServerHello {
    let lowest: UInt8
    let highest: UInt8
    let maxPayload: UInt32
    let capabilities: UInt64
    let agent: String?
    let keepAlive: UInt32?
    let resumeGrace: UInt32?
    let cancelBudget: Budget?
    let controlBudget: Budget?
    let glitchBudget: Budget?

    /// So many a second on average, so many at once.
    struct Budget {
        let perSecond: UInt32
        let burst: UInt32

        init?(_ bytes: [UInt8]?, of name: String) throws {
            guard let bytes else { return nil }
            var cursor = Cursor(bytes, of: name)
            perSecond = try cursor.integer()
            burst = try cursor.integer()
            try cursor.finish()
        }
    }

    init(_ payload: [UInt8]) throws {
        var cursor = Cursor(payload, of: "HELLO")
        lowest = try cursor.integer()
        highest = try cursor.integer()
        try cursor.reserved(2)
        maxPayload = try cursor.integer()
        capabilities = try cursor.integer()
        let fields = try Fields(&cursor, of: "HELLO")
        agent = try fields.text(Hello.Key.agent, limit: 256)
        keepAlive = try fields.integer(Hello.Key.keepAlive)
        resumeGrace = try fields.integer(Hello.Key.resumeGrace)
        cancelBudget = try Budget(fields.bytes(Hello.Key.cancelBudget), of: "HELLO's CANCEL budget")
        controlBudget = try Budget(fields.bytes(Hello.Key.controlBudget), of: "HELLO's control budget")
        glitchBudget = try Budget(fields.bytes(Hello.Key.glitchBudget), of: "HELLO's glitch budget")
        guard lowest == highest else { throw Stop.failed("HELLO chooses versions \(lowest) to \(highest)") }
        guard (65_536...16_777_215).contains(maxPayload) else {
            throw Stop.failed("HELLO announces payloads of \(maxPayload) bytes")
        }
    }
}

/// GOAWAY.
struct GoAway {
    let lastStream: UInt32
    let grace: UInt32
    let reason: UInt32

    /// Whether it refuses nothing yet.
    var isWarning: Bool { lastStream == .max }

    init(_ payload: [UInt8]) throws {
        var cursor = Cursor(payload, of: "GOAWAY")
        lastStream = try cursor.integer()
        grace = try cursor.integer()
        reason = try cursor.integer()
        try cursor.finish()
    }
}

/// ACCEPT.
struct Accept {
    let startIndex: UInt32
    let requestID: String?
    let model: String?
    let seed: UInt64?
    let resumeToken: [UInt8]?

    init(_ payload: [UInt8]) throws {
        var cursor = Cursor(payload, of: "ACCEPT")
        startIndex = try cursor.integer()
        let fields = try Fields(&cursor, of: "ACCEPT")
        requestID = try fields.text(1, limit: 256)
        model = try fields.text(2, limit: 256)
        seed = try fields.integer(3)
        resumeToken = fields.bytes(4)
        if let resumeToken, resumeToken.count != 16 {
            throw Stop.failed("ACCEPT's resume token has \(resumeToken.count) bytes instead of 16")
        }
    }
}

/// TOKENS.
struct Tokens {
    let index: UInt16
    let ids: [Int32]
    /// The text of each token.
    let pieces: [[UInt8]]
    /// The entries of each token; empty without the flag.
    let logprobs: [[(id: Int32, value: Float)]]

    init(_ payload: [UInt8]) throws {
        var cursor = Cursor(payload, of: "TOKENS")
        index = try cursor.integer()
        let count = Int(try cursor.integer(UInt8.self))
        let flags: UInt8 = try cursor.integer()
        guard count > 0 else { throw Stop.failed("TOKENS without a token") }
        guard flags & ~3 == 0 else { throw Stop.failed("TOKENS with flags \(flags)") }
        ids = try (0..<count).map { _ in try cursor.integer() }
        let lengths = try (1..<count).map { _ in
            flags & 2 != 0 ? Int(try cursor.integer(UInt16.self)) : Int(try cursor.integer(UInt8.self))
        }
        logprobs = flags & 1 != 0 ? try Self.logprobs(&cursor, count: count) : []
        guard cursor.remaining <= 16_384 else { throw Stop.failed("TOKENS with \(cursor.remaining) bytes of text") }
        pieces = try lengths.map { try cursor.take($0) } + [cursor.rest()]
        for piece in pieces {
            guard piece.count <= 4_096 else { throw Stop.failed("a token with \(piece.count) bytes of text") }
            guard String(validating: piece, as: UTF8.self) != nil else {
                throw Stop.failed("a token's text is not whole characters: \(piece.map(hex).joined(separator: " "))")
            }
        }
    }

    private static func logprobs(_ cursor: inout Cursor, count: Int) throws -> [[(id: Int32, value: Float)]] {
        let counts = try (0..<count).map { _ in Int(try cursor.integer(UInt8.self)) }
        guard counts.allSatisfy({ $0 <= 21 }) else { throw Stop.failed("\(counts.max() ?? 0) log-probabilities") }
        return try counts.map { count in
            try (0..<count).map { _ in
                (try cursor.integer(), Float(bitPattern: try cursor.integer(UInt32.self)))
            }
        }
    }
}

/// How a stream ended.
enum End {
    case finish(Finish)
    case error(Failure)
    case reply(Fields)
}

/// FINISH.
struct Finish {
    let reason: UInt8
    let tokens: UInt32
    let checksum: UInt32
    let promptTokens: UInt32?
    let generatedTokens: UInt32?
    let seed: UInt64?

    enum Reason {
        static let stop: UInt8 = 1
        static let length: UInt8 = 2
        static let cancelled: UInt8 = 3

        static func name(_ reason: UInt8) -> String {
            reason == stop ? "stop" : reason == length ? "length" : reason == cancelled ? "cancelled" : "\(reason)"
        }
    }

    init(_ payload: [UInt8]) throws {
        var cursor = Cursor(payload, of: "FINISH")
        reason = try cursor.integer()
        try cursor.reserved(3)
        tokens = try cursor.integer()
        checksum = try cursor.integer()
        let fields = try Fields(&cursor, of: "FINISH")
        promptTokens = try fields.integer(16)
        generatedTokens = try fields.integer(18)
        seed = try fields.integer(23)
        for key: UInt16 in [17, 19] { _ = try fields.integer(key, UInt32.self) }
        for key: UInt16 in [20, 21, 22] { _ = try fields.integer(key, UInt64.self) }
    }
}

/// ERROR.
struct Failure {
    let code: UInt16
    let isRetryable: Bool
    let retryAfter: UInt32
    let message: String?

    init(_ payload: [UInt8]) throws {
        var cursor = Cursor(payload, of: "ERROR")
        code = try cursor.integer()
        isRetryable = try cursor.integer(UInt8.self) & 1 != 0
        try cursor.reserved(1)
        retryAfter = try cursor.integer()
        message = try Fields(&cursor, of: "ERROR").text(1, limit: 1_024)
    }

    /// Code and sentence.
    var name: String { "ERROR \(Code.name(code))" + (message.map { " (\($0))" } ?? "") }
}
