import LMProtocol
import Testing

@Suite("Limits")
struct LimitTests {
    /// Only the header arrives: the length is judged before a byte of the payload is waited for.
    @Test("a frame that is too long is refused by its header alone")
    func oversizedFrame() throws {
        let pair = try Pair()
        let limit = Int(Limits.serverPayload)
        var server = pair.server
        #expect(try server.receiveAll(frame(type: 0x90, stream: 1, length: limit)).isEmpty)
        let error = #expect(throws: WireError.self) {
            try server.receiveAll(frame(type: 0x90, stream: 1, length: limit + 1))
        }
        #expect(error?.code == .frameTooLarge)
    }

    @Test("before HELLO a frame is at most 4 KiB")
    func oversizedHello() throws {
        var server = Connection.server(HelloMessage(maxPayload: Limits.serverPayload))
        #expect(try server.receiveAll(Connection.preface).isEmpty)
        server = Connection.server(HelloMessage(maxPayload: Limits.serverPayload))
        let error = #expect(throws: WireError.self) {
            try server.receiveAll(Connection.preface + frame(type: 0x81, stream: 0, length: 4_097))
        }
        #expect(error?.code == .frameTooLarge)
    }

    @Test("a request that the server would not accept is not sent")
    func oversizedRequest() throws {
        var pair = try Pair()
        var bytes: [UInt8] = [1, 2, 3]
        let long = String(repeating: "x", count: Int(Limits.serverPayload))
        let error = #expect(throws: WireError.self) {
            _ = try pair.client.sendGenerate(GenerateMessage(prompt: .text(long), creditLimit: 1), into: &bytes)
        }
        #expect(error?.code == .tooLarge)
        #expect(bytes == [1, 2, 3])
        #expect(try pair.generate() == 1, "the number is still free")
    }

    @Test("a reply that the client would not accept leaves the stream open for an error")
    func oversizedReply() throws {
        var pair = try Pair()
        let stream = try pair.call(.tokenize(.text("x"), model: nil))
        var bytes: [UInt8] = []
        let ids = [Int32](repeating: 1, count: Int(Limits.clientPayload) / 4 + 1)
        let error = #expect(throws: WireError.self) {
            try pair.server.sendReply(on: stream, .tokenize(ids), into: &bytes)
        }
        #expect(error?.code == .tooLarge && bytes.isEmpty)
        let actions = try pair.toClient { try $0.sendError(on: stream, ErrorMessage(.tooLarge, "long"), into: &$1) }
            .actions
        #expect(actions.first == .error(stream, ErrorMessage(.tooLarge, "long")))
    }

    @Test("limits of a request fail the stream, not the connection")
    func requestLimits() throws {
        func rejection(_ change: (inout GenerateMessage) -> Void) throws -> WireError? {
            var message = GenerateMessage.sample()
            change(&message)
            var pair = try Pair()
            let actions = try pair.toServer { _ = try $0.sendGenerate(message, into: &$1) }.actions
            guard case .rejected(1, let error)? = actions.first, actions.count == 1 else { return nil }
            try pair.toClient { try $0.sendError(on: 1, ErrorMessage(error), into: &$1) }
            #expect(pair.client.openStreams.isEmpty && pair.server.openStreams.isEmpty)
            return error
        }
        let turn = PromptMessage(role: "user", content: "x")
        #expect(try rejection { $0.stop.strings = Array(repeating: "x", count: 16) } == nil)
        #expect(try rejection { $0.stop.strings = Array(repeating: "x", count: 17) }?.code == .invalid)
        #expect(try rejection { $0.stop.strings = [String(repeating: "x", count: 257)] }?.code == .invalid)
        #expect(try rejection { $0.stop.tokens = Array(repeating: 1, count: 64) } == nil)
        #expect(try rejection { $0.stop.tokens = Array(repeating: 1, count: 65) }?.code == .invalid)
        #expect(try rejection { $0.prompt = .messages(Array(repeating: turn, count: 2_048)) } == nil)
        #expect(try rejection { $0.prompt = .messages(Array(repeating: turn, count: 2_049)) }?.code == .invalid)
        #expect(try rejection { $0.prompt = .messages([]) }?.code == .invalid)
        #expect(try rejection { $0.model = String(repeating: "m", count: 257) }?.code == .invalid)
        #expect(try rejection { $0.priority = 8 }?.code == .invalid)
        let role = PromptMessage(role: String(repeating: "r", count: 300), content: "")
        #expect(try rejection { $0.prompt = .messages([role]) }?.code == .invalid)
    }

    @Test("the fullest TOKENS frame fits the smallest payload a peer may announce")
    func fullestTokens() throws {
        var message = TokensMessage(firstIndex: 0)
        let text = [UInt8](repeating: 0x78, count: Limits.tokenText)
        for position in 0..<Limits.tokensPerFrame {
            let length = min(text.count, Limits.tokensText - message.text.count)
            #expect(message.hasRoom(forText: length))
            try message.append(id: Int32(position), text: text.span.extracting(first: length))
            for _ in 0...Limits.alternatives { try message.append(.init(token: 1, value: -1)) }
            #expect(throws: WireError.self) { try message.append(.init(token: 1, value: -1)) }
        }
        #expect(!message.hasRoom(forText: 0))
        #expect(throws: WireError.self) { try message.append(id: 1, text: [UInt8]().span) }

        var pair = try Pair()
        try pair.generate(credit: .max)
        let sent = try pair.toClient { try $0.sendTokens(on: 1, message, into: &$1) }
        #expect(sent.bytes.count - Limits.header <= Limits.smallestAnnouncedPayload)
        #expect(sent.actions == [.tokens(1, message)])
    }

    @Test("a long error message is cut at a character")
    func longMessage() throws {
        var pair = try Pair()
        let stream = try pair.generate()
        let message = ErrorMessage(.internal, String(repeating: "你", count: 1_000))
        let actions = try pair.toClient { try $0.sendError(on: stream, message, into: &$1) }.actions
        #expect(actions.first == .error(stream, ErrorMessage(.internal, String(repeating: "你", count: 341))))
    }
}
