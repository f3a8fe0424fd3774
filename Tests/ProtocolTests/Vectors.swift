import LMProtocol
import Testing

/// One frame three ways: the call that makes it, its bytes, and what the other end sees. The bytes were made from the
/// tables of docs/protocol.md by an independent script, not by the encoder.
struct Vector: Sendable, CustomTestStringConvertible {
    let name: String
    let sender: Role
    /// Brings both ends into a state in which the frame is allowed.
    let prepare: @Sendable (inout Pair) throws -> Void
    let send: @Sendable (inout Connection, inout [UInt8]) throws -> Void
    let bytes: [UInt8]
    let action: Connection.Action

    var testDescription: String { name }

    init(
        _ name: String, from sender: Role, prepare: @escaping @Sendable (inout Pair) throws -> Void,
        send: @escaping @Sendable (inout Connection, inout [UInt8]) throws -> Void, hex: String,
        action: Connection.Action
    ) {
        self.name = name
        self.sender = sender
        self.prepare = prepare
        self.send = send
        bytes = ProtocolTests.bytes(hex: hex)
        self.action = action
    }

    /// The two ends just before the frame.
    func pair() throws -> Pair {
        var pair = try Pair(concurrentStreams: Limits.lastStream)
        try prepare(&pair)
        return pair
    }

    /// The end that receives the frame, just before it.
    func receiver() throws -> Connection {
        let pair = try pair()
        return sender == .client ? pair.server : pair.client
    }

    static let all = requests + answers + replies

    private static let requests = [
        Vector(
            "PING", from: .client, prepare: { _ in },
            send: { try $0.sendPing(0x0807_0605_0403_0201, into: &$1) },
            hex: "08 00 00 82 00 00 00 00 01 02 03 04 05 06 07 08",
            action: .ping(0x0807_0605_0403_0201)),
        Vector(
            "PONG", from: .client, prepare: { _ in },
            send: { try $0.sendPong(0x0807_0605_0403_0201, into: &$1) },
            hex: "08 00 00 83 00 00 00 00 01 02 03 04 05 06 07 08",
            action: .pong(0x0807_0605_0403_0201)),
        Vector(
            "GENERATE", from: .client, prepare: { _ in },
            send: { _ = try $0.sendGenerate(.sample(), into: &$1) },
            hex: "14 00 00 90 01 00 00 00 40 00 00 00 00 00 00 00 03 00 00 00 02 00 02 00 00 00 68 69",
            action: .generate(1, .sample())),
        Vector(
            "GENERATE with everything", from: .client, prepare: { _ in },
            send: { _ = try $0.sendGenerate(.full, into: &$1) },
            hex: """
                f2 00 00 90 01 00 00 00 08 00 00 00 30 75 00 00 01 07 00 00 01 00 04 00 00 00 73 6d 6f 6c 10 00
                04 00 00 00 00 00 00 3f 11 00 04 00 00 00 00 00 40 3f 12 00 04 00 00 00 28 00 00 00 13 00 04 00
                00 00 00 00 80 3e 14 00 04 00 00 00 00 00 c0 3f 15 00 04 00 00 00 00 00 80 bf 16 00 04 00 00 00
                00 00 00 40 17 00 08 00 00 00 07 00 00 00 00 00 00 00 18 00 01 00 00 00 02 20 00 04 00 00 00 64
                00 00 00 21 00 04 00 00 00 05 00 00 00 22 00 08 00 00 00 02 00 00 00 ff ff ff ff 24 00 04 00 00
                00 dc 05 00 00 25 00 04 00 00 00 c4 09 00 00 28 00 10 00 00 00 01 02 03 04 05 06 07 08 09 0a 0b
                0c 0d 0e 0f 10 04 40 0e 00 00 00 06 73 79 73 74 65 6d 62 65 20 6b 69 6e 64 04 40 0b 00 00 00 04
                75 73 65 72 e4 bd a0 e5 a5 bd 23 40 01 00 00 00 0a 23 40 03 00 00 00 45 4e 44
                """,
            action: .generate(1, .full)),
        Vector(
            "GENERATE from ids", from: .client, prepare: { _ in },
            send: {
                _ = try $0.sendGenerate(GenerateMessage(prompt: .tokens([1, 70_000]), creditLimit: 64), into: &$1)
            },
            hex: """
                1a 00 00 90 01 00 00 00 40 00 00 00 00 00 00 00 03 00 00 00 03 00 08 00 00 00 01 00 00 00 70 11
                01 00
                """,
            action: .generate(1, GenerateMessage(prompt: .tokens([1, 70_000]), creditLimit: 64))),
        Vector(
            "CALL health", from: .client, prepare: { _ in },
            send: { _ = try $0.sendCall(.health, into: &$1) },
            hex: "04 00 00 91 01 00 00 00 01 00 00 00",
            action: .call(1, .health)),
        Vector(
            "CALL tokenize", from: .client, prepare: { _ in },
            send: { _ = try $0.sendCall(.tokenize(.text("hi"), model: "m"), into: &$1) },
            hex: "13 00 00 91 01 00 00 00 03 00 00 00 01 00 01 00 00 00 6d 02 00 02 00 00 00 68 69",
            action: .call(1, .tokenize(.text("hi"), model: "m"))),
        Vector(
            "CALL detokenize", from: .client, prepare: { _ in },
            send: { _ = try $0.sendCall(.detokenize([5], model: nil), into: &$1) },
            hex: "0e 00 00 91 01 00 00 00 04 00 00 00 03 00 04 00 00 00 05 00 00 00",
            action: .call(1, .detokenize([5], model: nil))),
        Vector(
            "CREDIT", from: .client, prepare: Vector.sentThree,
            send: { try $0.sendCredit(on: 1, CreditMessage(limit: 128, consumed: 3), into: &$1) },
            hex: "08 00 00 92 01 00 00 00 80 00 00 00 03 00 00 00",
            action: .credit(1, CreditMessage(limit: 128, consumed: 3))),
        Vector(
            "RESUME", from: .client, prepare: { _ in },
            send: { _ = try $0.sendResume(.sample, checksum: nil, into: &$1) },
            hex: "18 00 00 94 01 00 00 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 03 00 00 00 40 00 00 00",
            action: .resume(1, .sample)),
        Vector(
            "CANCEL", from: .client, prepare: { try $0.generate() },
            send: { try $0.sendCancel(on: 1, .user, into: &$1) },
            hex: "04 00 00 93 01 00 00 00 01 00 00 00",
            action: .cancel(1, .user)),
        Vector(
            "ERROR of the connection", from: .client, prepare: { _ in },
            send: { $0.close(with: ErrorMessage(.unauthenticated, "no"), into: &$1) },
            hex: "10 00 00 a3 00 00 00 00 04 00 00 00 00 00 00 00 01 00 02 00 00 00 6e 6f",
            action: .error(0, ErrorMessage(.unauthenticated, "no"))),
    ]

    private static let answers = [
        Vector(
            "GOAWAY", from: .server, prepare: { try $0.generate() },
            send: { try $0.sendGoAway(isFinal: true, grace: 10_000, reason: .draining, into: &$1) },
            hex: "0c 00 00 84 00 00 00 00 01 00 00 00 10 27 00 00 0f 00 00 00",
            action: .goAway(GoAwayMessage(lastStream: 1, grace: 10_000, reason: .draining), refused: [])),
        Vector(
            "ACCEPT", from: .server, prepare: { try $0.generate(accept: false) },
            send: { try $0.sendAccept(on: 1, .full, into: &$1) },
            hex: """
                3b 00 00 a0 01 00 00 00 00 00 00 00 01 00 03 00 00 00 72 2d 31 02 00 04 00 00 00 73 6d 6f 6c 03
                00 08 00 00 00 07 00 00 00 00 00 00 00 04 00 10 00 00 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d
                0e 0f 10
                """,
            action: .accept(1, .full)),
        Vector(
            "TOKENS", from: .server, prepare: { try $0.generate() },
            send: { try $0.sendTokens(on: 1, .two, into: &$1) },
            hex: "10 00 00 a1 01 00 00 00 00 00 02 00 07 00 00 00 09 00 00 00 01 61 62 63",
            action: .tokens(1, .two)),
        Vector(
            "TOKENS with log-probabilities", from: .server, prepare: { try $0.generate() },
            send: { try $0.sendTokens(on: 1, .withLogprobs, into: &$1) },
            hex: """
                20 00 00 a1 01 00 00 00 00 00 02 01 07 00 00 00 09 00 00 00 00 00 02 09 00 00 00 00 00 00 bf 08
                00 00 00 00 00 80 bf 61
                """,
            action: .tokens(1, .withLogprobs)),
        Vector(
            "TOKENS with wide lengths", from: .server, prepare: { try $0.generate() },
            send: { try $0.sendTokens(on: 1, .wide, into: &$1) },
            hex: "0f 01 00 a1 01 00 00 00 00 00 02 02 07 00 00 00 09 00 00 00 00 01"
                + String(repeating: " 78", count: 256) + " 79",
            action: .tokens(1, .wide)),
        Vector(
            "PROGRESS", from: .server, prepare: { try $0.generate() },
            send: { try $0.sendProgress(on: 1, .sample, into: &$1) },
            hex: "0c 00 00 22 01 00 00 00 02 00 00 00 00 02 00 00 00 08 00 00",
            action: .progress(1, .sample)),
        Vector(
            "FINISH", from: .server, prepare: Vector.sentThree,
            send: { try $0.sendFinish(on: 1, .full, into: &$1) },
            hex: """
                6c 00 00 a2 01 00 00 00 01 00 00 00 03 00 00 00 b7 3f 4b 36 10 00 04 00 00 00 0c 00 00 00 11 00
                04 00 00 00 00 00 00 00 12 00 04 00 00 00 03 00 00 00 13 00 04 00 00 00 00 00 00 00 14 00 08 00
                00 00 e8 03 00 00 00 00 00 00 15 00 08 00 00 00 d0 07 00 00 00 00 00 00 16 00 08 00 00 00 b8 0b
                00 00 00 00 00 00 17 00 08 00 00 00 07 00 00 00 00 00 00 00
                """,
            action: .finish(1, .full)),
        Vector(
            "ERROR", from: .server, prepare: { try $0.generate(accept: false) },
            send: { try $0.sendError(on: 1, ErrorMessage(.overloaded, "full", retryAfter: 250), into: &$1) },
            hex: "12 00 00 a3 01 00 00 00 0a 00 01 00 fa 00 00 00 01 00 04 00 00 00 66 75 6c 6c",
            action: .error(1, ErrorMessage(.overloaded, "full", retryAfter: 250))),
        Vector(
            "ERROR with usage", from: .server, prepare: { try $0.generate() },
            send: { try $0.sendError(on: 1, .withUsage, into: &$1) },
            hex: """
                63 00 00 a3 01 00 00 00 10 00 00 00 00 00 00 00 01 00 03 00 00 00 4e 61 4e 10 00 04 00 00 00 0c
                00 00 00 11 00 04 00 00 00 00 00 00 00 12 00 04 00 00 00 03 00 00 00 13 00 04 00 00 00 00 00 00
                00 14 00 08 00 00 00 e8 03 00 00 00 00 00 00 15 00 08 00 00 00 d0 07 00 00 00 00 00 00 16 00 08
                00 00 00 b8 0b 00 00 00 00 00 00
                """,
            action: .error(1, .withUsage)),
    ]

    private static let replies = [
        Vector(
            "REPLY health", from: .server, prepare: { try $0.call(.health) },
            send: { try $0.sendReply(on: 1, .health(.sample), into: &$1) },
            hex: """
                1e 00 00 a4 01 00 00 00 01 00 01 00 00 00 01 02 00 03 00 00 00 30 2e 31 03 00 08 00 00 00 88 13
                00 00 00 00 00 00
                """,
            action: .reply(1, .health(.sample))),
        Vector(
            "REPLY models", from: .server, prepare: { try $0.call(.models) },
            send: { try $0.sendReply(on: 1, .models([.sample]), into: &$1) },
            hex: """
                5e 00 00 a4 01 00 00 00 05 40 58 00 00 00 01 00 04 00 00 00 73 6d 6f 6c 02 00 05 00 00 00 6c 6c
                61 6d 61 03 00 04 00 00 00 51 34 5f 31 04 00 03 00 00 00 63 70 75 05 00 04 00 00 00 00 20 00 00
                06 00 04 00 00 00 00 c0 00 00 07 00 08 00 00 00 40 89 04 08 00 00 00 00 08 00 08 00 00 00 00 00
                01 00 00 00 00 00
                """,
            action: .reply(1, .models([.sample]))),
        Vector(
            "REPLY tokenize", from: .server, prepare: { try $0.call(.tokenize(.text("x"), model: nil)) },
            send: { try $0.sendReply(on: 1, .tokenize([1, 2]), into: &$1) },
            hex: "0e 00 00 a4 01 00 00 00 03 00 08 00 00 00 01 00 00 00 02 00 00 00",
            action: .reply(1, .tokenize([1, 2]))),
        Vector(
            "REPLY detokenize", from: .server, prepare: { try $0.call(.detokenize([1], model: nil)) },
            send: { try $0.sendReply(on: 1, .detokenize("你"), into: &$1) },
            hex: "09 00 00 a4 01 00 00 00 02 00 03 00 00 00 e4 bd a0",
            action: .reply(1, .detokenize("你"))),
        Vector(
            "REPLY statistics", from: .server, prepare: { try $0.call(.statistics) },
            send: { try $0.sendReply(on: 1, .statistics(StatisticReply.samples), into: &$1) },
            hex: """
                2a 00 00 a4 01 00 00 00 06 40 0f 00 00 00 03 00 00 00 00 00 00 00 72 75 6e 6e 69 6e 67 06 40 0f
                00 00 00 09 00 00 00 00 00 00 00 77 61 69 74 69 6e 67
                """,
            action: .reply(1, .statistics(StatisticReply.samples))),
    ]

    /// A generation of which three tokens were sent.
    private static func sentThree(_ pair: inout Pair) throws {
        try pair.generate()
        let tokens = try TokensMessage(first: 0, [(1, "a"), (2, "b"), (3, "c")])
        try pair.toClient { try $0.sendTokens(on: 1, tokens, into: &$1) }
    }
}

extension AcceptMessage {
    static var full: AcceptMessage {
        var message = AcceptMessage()
        message.requestID = "r-1"
        message.model = "smol"
        message.seed = 7
        message.resumeToken = .sample
        return message
    }
}

extension Opaque128 {
    static let sample = Opaque128(0x0807_0605_0403_0201, 0x100F_0E0D_0C0B_0A09)
}

extension ResumeMessage {
    static let sample = ResumeMessage(token: .sample, nextIndex: 3, creditLimit: 64)
}

extension UsageReport {
    static var sample: UsageReport {
        var usage = UsageReport()
        usage.promptTokens = 12
        usage.completionTokens = 3
        usage.queueTime = 1_000
        usage.prefillTime = 2_000
        usage.decodeTime = 3_000
        return usage
    }
}

extension FinishMessage {
    /// Of a generation without tokens.
    static let empty = FinishMessage(reason: .stop, tokens: 0, checksum: 0)

    /// Of the tokens "a", "b", "c".
    static var full: FinishMessage {
        var message = FinishMessage(reason: .stop, tokens: 3, checksum: 0x364B_3FB7)
        message.usage = .sample
        message.seed = 7
        return message
    }
}

extension ErrorMessage {
    static var withUsage: ErrorMessage {
        var message = ErrorMessage(.modelOutput, "NaN")
        message.usage = .sample
        return message
    }
}

extension ProgressMessage {
    static let sample = ProgressMessage(phase: .prefill, done: 512, total: 2_048)
}

extension HealthReply {
    static var sample: HealthReply {
        var reply = HealthReply(status: .ready)
        reply.version = "0.1"
        reply.uptime = 5_000
        return reply
    }
}

extension ModelReply {
    static var sample: ModelReply {
        var reply = ModelReply(name: "smol")
        reply.architecture = "llama"
        reply.format = "Q4_1"
        reply.device = "cpu"
        reply.contextLength = 8_192
        reply.vocabularySize = 49_152
        reply.parameters = 134_515_008
        reply.cacheTokens = 65_536
        return reply
    }
}

extension StatisticReply {
    static let samples = [StatisticReply(name: "running", value: 3), StatisticReply(name: "waiting", value: 9)]
}
