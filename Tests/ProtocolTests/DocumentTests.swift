import FoundationEssentials
import LMProtocol
import Testing

@Suite("docs/protocol.md")
struct DocumentTests {
    private let text: String

    init() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let data = try Data(contentsOf: root.appending(path: "docs/protocol.md"))
        text = try #require(String(data: data, encoding: .utf8))
    }

    /// The conversation of section 10, made by the encoder.
    private func conversation() throws -> String {
        var lines: [String] = []
        func note(_ who: String, _ what: String, _ bytes: [UInt8]) {
            lines.append(who.isEmpty ? what : "\(who)  \(what)")
            for start in stride(from: 0, to: bytes.count, by: 32) {
                lines.append("   " + hex(bytes[start..<min(start + 32, bytes.count)]))
            }
        }
        var hello = HelloMessage(maxPayload: Limits.clientPayload)
        hello.agent = "example/1"
        var client = Connection.client(hello)
        hello = HelloMessage(maxPayload: Limits.serverPayload)
        hello.agent = "lmserve/1"
        hello.keepAlive = 15_000
        hello.resumeGrace = 30_000
        hello.cancelBudget = .init(perSecond: 16, burst: 512)
        var server = Connection.server(hello)
        func send(_ who: String, _ what: String, _ frame: (inout Connection, inout [UInt8]) throws -> Void) throws {
            var bytes: [UInt8] = []
            if who == "C" {
                try frame(&client, &bytes)
                _ = try server.receiveAll(bytes)
            } else {
                try frame(&server, &bytes)
                _ = try client.receiveAll(bytes)
            }
            note(who, what, bytes)
        }
        try send("C", "preface, HELLO versions 1 to 1, payloads to 4,259,840, agent \"example/1\"") {
            try $0.start(into: &$1)
        }
        try send(
            "S",
            "HELLO version 1, payloads to 1,114,112, agent \"lmserve/1\", keep-alive 15 s, resume grace 30 s, "
                + "CANCEL 16/s and 512 at once; MAX_STREAMS 128"
        ) {
            try $0.sendHello(into: &$1)
        }
        var request = GenerateMessage(prompt: .text("Hi!"), creditLimit: 4)
        request.sampling.temperature = 0
        request.sampling.logprobs = 0
        request.stop.maxTokens = 16
        request.isResumable = true
        try send(
            "C",
            "GENERATE on stream 1: credit 4, resumable, prompt \"Hi!\", greedy, log-probabilities, at most 16 tokens"
        ) {
            _ = try $0.sendGenerate(request, into: &$1)
        }
        var accept = AcceptMessage()
        accept.requestID = "17"
        accept.resumeToken = Opaque128(0x7766_5544_3322_1100, 0xFFEE_DDCC_BBAA_9988)
        try send("S", "ACCEPT, request id \"17\", resume token 00 11 22 … ff") {
            try $0.sendAccept(on: 1, accept, into: &$1)
        }
        var tokens = TokensMessage(firstIndex: 0)
        let pieces: [(Int32, String, Float)] = [(19_556, "Hello", -0.25), (17, "", -0.5), (905, " 你", -1)]
        for (id, text, logprob) in pieces {
            try tokens.append(id: id, text: Array(text.utf8).span)
            try tokens.append(TokensMessage.Logprob(token: id, value: logprob))
        }
        try send("S", "TOKENS 0 to 2: \"Hello\", \"\", \" 你\"; log-probabilities -0.25, -0.5, -1") {
            try $0.sendTokens(on: 1, tokens, into: &$1)
        }
        try send("C", "CREDIT to 6, 2 consumed") {
            try $0.sendCredit(on: 1, CreditMessage(limit: 6, consumed: 2), into: &$1)
        }
        note("", "The connection breaks; on a second one, after the same handshake:", [])
        let token = try #require(accept.resumeToken)
        (client, server) = (try Pair().client, try Pair().server)
        let resume = ResumeMessage(token: token, nextIndex: 2, creditLimit: 6)
        try send("C", "RESUME on stream 1 from token 2, credit 6: tokens 0 and 1 were seen") {
            _ = try $0.sendResume(resume, checksum: nil, into: &$1)
        }
        accept.startIndex = 2
        try send("S", "ACCEPT from token 2, the same request id and resume token") {
            try $0.sendAccept(on: 1, accept, into: &$1)
        }
        tokens.removeAll(firstIndex: 2)
        try tokens.append(id: 905, text: Array(" 你".utf8).span)
        try tokens.append(TokensMessage.Logprob(token: 905, value: -1))
        try send("S", "TOKENS 2: \" 你\"") { try $0.sendTokens(on: 1, tokens, into: &$1) }
        var checksum = CRC32C()
        checksum.update(Array("Hello 你".utf8).span.bytes)
        var finish = FinishMessage(reason: .stop, tokens: 3, checksum: checksum.value)
        finish.usage.promptTokens = 30
        finish.usage.completionTokens = 3
        finish.usage.queueTime = 150_000
        finish.usage.prefillTime = 80_000_000
        finish.usage.decodeTime = 24_000_000
        try send(
            "S",
            "FINISH stop, 3 tokens, checksum of \"Hello 你\", 30 prompt tokens, 3 generated, queued 0.15 ms, prefill 80 ms, decode 24 ms; MAX_STREAMS 129"
        ) {
            try $0.sendFinish(on: 1, finish, into: &$1)
        }
        try send("C", "CALL health on stream 2") { _ = try $0.sendCall(.health, into: &$1) }
        var health = HealthReply(status: .draining)
        health.version = "1"
        health.uptime = 60_000
        try send("S", "REPLY draining, version \"1\", up 60 s; MAX_STREAMS 130") {
            try $0.sendReply(on: 2, .health(health), into: &$1)
        }
        try send("S", "GOAWAY after stream 2, 10 s, DRAINING") {
            try $0.sendGoAway(isFinal: true, grace: 10_000, reason: .draining, into: &$1)
        }
        return lines.joined(separator: "\n")
    }

    @Test("the dump of section 10 is what the encoder produces")
    func dump() throws {
        let expected = try conversation()
        let isThere = text.contains("```\n\(expected)\n```")
        #expect(isThere, "section 10 should be:\n\(expected)")
    }

    @Test("every frame type is in the table")
    func frameTypes() {
        for kind in FrameKind.allCases {
            let type = "0x" + String(kind.rawValue, radix: 16, uppercase: true)
            let rows = text.split(separator: "\n").filter { $0.hasPrefix("| \(type) |") }
            let row = rows.first.map { $0.filter { $0 != "_" }.lowercased() } ?? ""
            #expect(rows.count == 1 && row.contains("| \(kind) |".lowercased()), "\(kind) \(type)")
        }
    }

    @Test("every error code is in the table, with its retryable flag", arguments: ErrorCode.known)
    func errorCodes(_ code: ErrorCode) {
        #expect(text.contains("| \(code.rawValue) | \(code) | \(code.isRetryable ? "R " : "")|"))
    }
}
