import LMProtocol
import Testing

/// Two ends joined by memory, with the handshake done.
struct Pair {
    var client: Connection
    var server: Connection

    init(concurrentStreams: UInt32 = 128) throws {
        client = .client(HelloMessage(maxPayload: Limits.clientPayload))
        server = .server(HelloMessage(maxPayload: Limits.serverPayload), concurrentStreams: concurrentStreams)
        var bytes: [UInt8] = []
        try client.start(into: &bytes)
        _ = try server.receiveAll(bytes)
        bytes.removeAll()
        try server.sendHello(into: &bytes)
        _ = try client.receiveAll(bytes)
    }

    /// Lets the client send and the server receive.
    @discardableResult
    mutating func toServer(
        _ send: (inout Connection, inout [UInt8]) throws -> Void
    ) throws -> (bytes: [UInt8], actions: [Connection.Action]) {
        var bytes: [UInt8] = []
        try send(&client, &bytes)
        return (bytes, try server.receiveAll(bytes))
    }

    /// Lets the server send and the client receive.
    @discardableResult
    mutating func toClient(
        _ send: (inout Connection, inout [UInt8]) throws -> Void
    ) throws -> (bytes: [UInt8], actions: [Connection.Action]) {
        var bytes: [UInt8] = []
        try send(&server, &bytes)
        return (bytes, try client.receiveAll(bytes))
    }

    /// Opens a generation with this credit; its number.
    @discardableResult
    mutating func generate(credit: UInt32 = 64, accept: Bool = true) throws -> UInt32 {
        var stream: UInt32 = 0
        try toServer { stream = try $0.sendGenerate(.sample(credit: credit), into: &$1) }
        if accept { try toClient { try $0.sendAccept(on: stream, AcceptMessage(), into: &$1) } }
        return stream
    }

    /// Opens a call; its number.
    @discardableResult
    mutating func call(_ message: CallMessage = .health) throws -> UInt32 {
        var stream: UInt32 = 0
        try toServer { stream = try $0.sendCall(message, into: &$1) }
        return stream
    }
}

extension Connection {
    /// Receives whole frames; what is incomplete at the end is dropped.
    mutating func receiveAll(_ bytes: [UInt8]) throws -> [Action] {
        var actions: [Action] = []
        var consumed = 0
        while let action = try receive(bytes.span.bytes, consumed: &consumed) { actions.append(action) }
        return actions
    }

    /// Receives what arrives in pieces, keeping what is incomplete as a transport does.
    mutating func receive(pieces: [ArraySlice<UInt8>]) throws -> [Action] {
        var actions: [Action] = []
        var pending: [UInt8] = []
        for piece in pieces {
            pending.append(contentsOf: piece)
            var consumed = 0
            while let action = try receive(pending.span.bytes, consumed: &consumed) { actions.append(action) }
            pending.removeFirst(consumed)
        }
        return actions
    }
}

extension GenerateMessage {
    static func sample(credit: UInt32 = 64) -> GenerateMessage {
        GenerateMessage(prompt: .text("hi"), creditLimit: credit)
    }

    /// Every field has a value that is not its default.
    static var full: GenerateMessage {
        var message = GenerateMessage(
            prompt: .messages([.init(role: "system", content: "be kind"), .init(role: "user", content: "你好")]),
            creditLimit: 8)
        message.model = "smol"
        message.isRaw = true
        message.timeout = 30_000
        message.priority = 1
        message.sampling.temperature = 0.5
        message.sampling.topP = 0.75
        message.sampling.topK = 40
        message.sampling.minP = 0.25
        message.sampling.repetitionPenalty = 1.5
        message.sampling.presencePenalty = -1
        message.sampling.frequencyPenalty = 2
        message.sampling.seed = 7
        message.sampling.logprobs = 2
        message.stop.maxTokens = 100
        message.stop.minTokens = 5
        message.stop.strings = ["\n", "END"]
        message.stop.tokens = [2, -1]
        message.stop.ignoresEndOfSequence = true
        message.firstTokenTimeout = 1_500
        message.idleTimeout = 2_500
        message.isResumable = true
        message.idempotencyKey = .sample
        return message
    }
}

extension TokensMessage {
    /// A message with these tokens, without log-probabilities.
    init(first: UInt32, _ tokens: [(id: Int32, text: String)]) throws {
        self.init(firstIndex: first)
        for token in tokens { try append(id: token.id, text: Array(token.text.utf8).span) }
    }
}

/// "01 ab" to bytes; anything but hexadecimal digits separates nothing.
func bytes(hex: String) -> [UInt8] {
    let digits = hex.compactMap(\.hexDigitValue)
    return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}

/// Bytes to "01 ab".
func hex(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
}

/// A frame with any header.
func frame(type: UInt8, stream: UInt32, _ payload: [UInt8] = [], length: Int? = nil) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.append(integer: UInt64(length ?? payload.count) | UInt64(type) << 24 | UInt64(stream) << 32)
    return bytes + payload
}

extension TokensMessage {
    static let two = refilled { message throws(WireError) in
        try message.append(id: 7, text: [0x61].span)
        try message.append(id: 9, text: [0x62, 0x63].span)
    }

    static let withLogprobs = refilled { message throws(WireError) in
        try message.append(id: 7, text: [UInt8]().span)
        try message.append(id: 9, text: [0x61].span)
        try message.append(Logprob(token: 9, value: -0.5))
        try message.append(Logprob(token: 8, value: -1))
    }

    private static func refilled(_ fill: (inout TokensMessage) throws(WireError) -> Void) -> TokensMessage {
        var message = TokensMessage(firstIndex: 0)
        do { try fill(&message) } catch { Issue.record(error) }
        return message
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

extension ProgressMessage {
    static let sample = ProgressMessage(phase: .prefill, done: 512, total: 2_048)
}

extension Opaque128 {
    static let sample = Opaque128(0x0807_0605_0403_0201, 0x100F_0E0D_0C0B_0A09)
}

extension FinishMessage {
    /// Of a generation without tokens.
    static let empty = FinishMessage(reason: .stop, tokens: 0, checksum: 0)
}
