import FoundationEssentials
import LMProtocol
import Testing

/// A test vector: a conversation as one end sees it. Tests/Vectors/README.md defines the format.
struct Conversation: Decodable, Sendable, CustomTestStringConvertible {
    let name: String
    let end: End
    let greeted: Bool
    let steps: [Step]

    enum End: String, Decodable, Sendable {
        case client, server
        var role: Role { self == .client ? .client : .server }
    }

    struct Step: Decodable, Sendable {
        let out: String?
        let `in`: String?
        let reaction: Reaction?
        let code: String?
        let meaning: JSON?
        let canonical: Bool?

        var bytes: [UInt8] { ProtocolTests.bytes(hex: out ?? `in` ?? "") }
        var frame: String? { meaning?["frame"]?.text }
    }

    enum Reaction: String, Decodable, Sendable {
        case deliver, skip, ignore, wait, reject, damage, fail, close
    }

    var testDescription: String { "\(name), to a \(end)" }

    /// The steps with those of the greeting before them.
    var allSteps: [Step] {
        greeted ? (Self.greetings.first { $0.end == end }?.steps ?? []) + steps : steps
    }

    private static let greetings = load("greeting")

    /// The end under test just before the last step.
    func beforeLastStep() throws -> Connection {
        var replay = try Replay(self)
        for step in allSteps.dropLast() { try replay.take(step) }
        return replay.tested
    }

    /// The conversations of a file in Tests/Vectors.
    static func load(_ name: String) -> [Conversation] {
        struct File: Decodable { let vectors: [Conversation] }
        return load(name, as: File.self)?.vectors ?? []
    }

    /// A file in Tests/Vectors; nil, and a test that fails, when it cannot be read.
    static func load<T: Decodable>(_ name: String, as type: T.Type) -> T? {
        let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let file = tests.appending(path: "Vectors").appending(path: "\(name).json")
        do {
            return try JSONDecoder().decode(type, from: Data(contentsOf: file))
        } catch {
            Issue.record("\(file.path): \(error)")
            return nil
        }
    }
}

/// The end under test, and the other one as far as it can follow.
struct Replay {
    private(set) var tested: Connection
    private var other: Connection
    /// What the end under test sent beyond what a step asked for: a MAX_STREAMS that the next step may expect.
    private var surplus: [UInt8] = []
    private var pending: [UInt8] = []

    init(_ conversation: Conversation) throws {
        var client = HelloMessage(maxPayload: Limits.clientPayload)
        var server = HelloMessage(maxPayload: Limits.serverPayload)
        let isClient = conversation.end == .client
        // Each end is made from its own HELLO.
        for step in conversation.allSteps where step.frame == "HELLO" && step.canonical ?? true {
            if isClient == (step.out != nil) {
                client = try Self.hello(.server(server), step.bytes)
            } else {
                server = try Self.hello(.client(client), step.bytes)
            }
        }
        tested = isClient ? .client(client) : .server(server)
        other = isClient ? .server(server) : .client(client)
    }

    /// What a HELLO says, as read by a connection that is thrown away.
    private static func hello(_ reader: Connection, _ bytes: [UInt8]) throws -> HelloMessage {
        var reader = reader
        if reader.role == .client {
            var unused: [UInt8] = []
            try reader.start(into: &unused)
        }
        let action = try reader.receiveAll(bytes).first
        guard case .hello(let message) = action else { throw WireError(.internal, "not a HELLO: \(hex(bytes))") }
        return message
    }

    /// Takes the step and checks what it did.
    mutating func take(_ step: Conversation.Step) throws {
        if step.out != nil {
            try send(step)
        } else {
            try receive(step)
        }
    }

    /// The other end understands the frame, and the end under test makes the same bytes of what it understood.
    private mutating func send(_ step: Conversation.Step) throws {
        let expected = step.bytes
        let actions = try other.receiveAll(expected)
        #expect(actions.map(\.meaning) == [step.meaning?.normal])
        guard let action = actions.first else { return }
        if case .maxStreams = action {
            #expect(hex(surplus) == hex(expected))
            return
        }
        let sent = try tested.sending(action)
        #expect(hex(sent.prefix(expected.count)) == hex(expected))
        surplus = Array(sent.dropFirst(expected.count))
        if let type = surplus.dropFirst(3).first { #expect(type == FrameKind.maxStreams.rawValue) }
    }

    private mutating func receive(_ step: Conversation.Step) throws {
        let received = pending + step.bytes
        var actions: [Connection.Action] = []
        var failure: WireError?
        var consumed = 0
        do throws(WireError) {
            while let action = try tested.receive(received.span.bytes, consumed: &consumed) { actions.append(action) }
        } catch {
            failure = error
        }
        pending = Array(received.dropFirst(consumed))
        try check(step, actions, failure)
    }

    private mutating func check(
        _ step: Conversation.Step, _ actions: [Connection.Action], _ failure: WireError?
    ) throws {
        let reaction = try #require(step.reaction)
        if let failure, reaction != .fail, reaction != .close { Issue.record("fails with \(failure)") }
        switch reaction {
        case .deliver:
            #expect(actions.map(\.meaning) == [step.meaning?.normal])
            if step.canonical ?? true, let action = actions.first { try mirror(action, step) }
        case .skip, .ignore:
            let isNothing = actions.allSatisfy {
                switch $0 {
                case .ignored, .maxStreams: true
                default: false
                }
            }
            #expect(isNothing, "\(actions)")
        case .wait:
            #expect(actions.isEmpty, "\(actions)")
        case .reject:
            let codes = actions.map { if case .rejected(_, let error) = $0 { error.code.description } else { "\($0)" } }
            #expect(codes == [step.code])
        case .damage:
            let codes = actions.map { if case .error(1, let error) = $0 { error.code } else { ErrorCode(rawValue: 0) } }
            #expect(codes == [.internal], "\(actions)")
        case .fail, .close:
            #expect(actions.isEmpty, "\(actions)")
            let error = try #require(failure, "nothing fails")
            if reaction == .fail { #expect(error.code.description == step.code, "\(error)") }
            var answer: [UInt8] = []
            tested.close(with: ErrorMessage(error), into: &answer)
            #expect(answer.isEmpty == (reaction == .close) && tested.isClosed)
        }
    }

    /// The other end sends what was understood, which must be the same bytes.
    private mutating func mirror(_ action: Connection.Action, _ step: Conversation.Step) throws {
        switch action {
        case .maxStreams: return  // a server sends it when it sees fit
        // and it chooses the stream it names
        case .goAway(let message, _) where message.lastStream != GoAwayMessage.warning: return
        default: break
        }
        let sent = try other.sending(action)
        #expect(hex(sent.prefix(step.bytes.count)) == hex(step.bytes))
    }
}

extension Connection {
    /// The bytes that say this.
    fileprivate mutating func sending(_ action: Action) throws -> [UInt8] {
        var bytes: [UInt8] = []
        switch action {
        case .hello: if role == .client { try start(into: &bytes) } else { try sendHello(into: &bytes) }
        case .ping(let data): try sendPing(data, into: &bytes)
        case .pong(let data): try sendPong(data, into: &bytes)
        case .goAway(let message, _):
            let isFinal = message.lastStream != GoAwayMessage.warning
            try sendGoAway(isFinal: isFinal, grace: message.grace, reason: message.reason, into: &bytes)
        case .generate(_, let message): _ = try sendGenerate(message, into: &bytes)
        case .resume(_, let message): _ = try sendResume(message, checksum: nil, into: &bytes)
        case .call(_, let message): _ = try sendCall(message, into: &bytes)
        case .credit(let stream, let message): try sendCredit(on: stream, message, into: &bytes)
        case .cancel(let stream, let reason): try sendCancel(on: stream, reason, into: &bytes)
        case .accept(let stream, let message): try sendAccept(on: stream, message, into: &bytes)
        case .tokens(let stream, let message): try sendTokens(on: stream, message, into: &bytes)
        case .progress(let stream, let message): try sendProgress(on: stream, message, into: &bytes)
        case .finish(let stream, let message): try sendFinish(on: stream, message, into: &bytes)
        case .error(0, let message): close(with: message, into: &bytes)
        case .error(let stream, let message): try sendError(on: stream, message, into: &bytes)
        case .reply(let stream, let message): try sendReply(on: stream, message, into: &bytes)
        case .maxStreams, .rejected, .ignored: break
        }
        return bytes
    }
}
