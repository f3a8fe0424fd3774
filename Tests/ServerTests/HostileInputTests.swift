import LMEngine
import LMProtocol
import LMServer
import TestKit
import Testing

@Suite(.serialized, .timeLimit(.minutes(5))) struct HostileInputTests {
    @Test(
        "bytes that are no lmcall end their own connection",
        arguments: [
            Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8), [0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC],
            Array(repeating: 0, count: 5_000), Connection.preface + [UInt8](repeating: 0xFF, count: 64),
            Connection.preface + [0xFF, 0xFF, 0xFF, 0x81, 0, 0, 0, 0],
        ])
    func garbage(_ bytes: [UInt8]) throws {
        let server = try TestServer()
        let honest = try server.client()
        let stream = try honest.generate(.greedy("honest", maxTokens: 300))
        let hostile = try RawClient(port: server.port)
        hostile.send(bytes)
        try hostile.waitForEnd()
        #expect(try honest.collect(stream).tokens.count == 300)
    }

    @Test("a malformed frame after HELLO is answered by ERROR and the end; running requests are freed")
    func malformed() throws {
        let server = try TestServer()
        let client = try server.client()
        _ = try client.generate(.greedy("running", maxTokens: 4_000, credit: 4))
        client.send([0, 0, 0, 0xFA, 0, 0, 0, 0])
        var code: ErrorCode?
        while code == nil {
            if case .error(0, let message) = try client.next() { code = message.code }
        }
        #expect(code == .protocolViolation)
        try client.waitForEnd()
        #expect(server.isIdle())
    }

    @Test("half a frame, then silence or the end, costs nobody else anything")
    func halfFrame() throws {
        let server = try TestServer()
        do {
            let client = try server.client()
            client.send([0x40, 0, 0, 0x90, 3, 0])
        }
        let client = try server.client()
        #expect(try client.collect(client.generate(.greedy("x", maxTokens: 5))).tokens.count == 5)
    }

    @Test("a connection without HELLO is closed at the deadline")
    func silent() throws {
        let server = try TestServer { $0.limits.helloDeadline = 100 }
        let client = try RawClient(port: server.port)
        client.send(Array(Connection.preface.prefix(3)))
        try client.waitForEnd()
    }

    @Test("a frame that never ends is given up, though bytes of it keep coming")
    func trickle() throws {
        let server = try TestServer { $0.limits.frameDeadline = 100 }
        let client = try server.client()
        client.send([0xFF, 0, 0, 0x90, 1, 0, 0, 0, 0])
        var code: ErrorCode?
        while code == nil {
            if case .error(0, let message) = try client.next() { code = message.code }
        }
        #expect(code == .protocolViolation)
        try client.waitForEnd()
    }

    @Test("a client that asks faster than it may is told so, request by request, and may ask again later")
    func openFlood() throws {
        let server = try TestServer { $0.limits.openRate = .init(perSecond: 20, burst: 4) }
        let client = try server.client()
        var refusals = 0
        for _ in 0..<8 {
            refusals += try client.collect(client.generate(.greedy("x", maxTokens: 1))).error == .rateLimited ? 1 : 0
        }
        #expect(refusals > 0)
        while try client.collect(client.generate(.greedy("x", maxTokens: 1))).error == .rateLimited {}
        #expect(
            try client.collect(client.generate(.greedy(String(repeating: "x", count: 4_000), maxTokens: 1))).error
                == .rateLimited)
    }

    @Test("a client that owes too much reading is told so, and what it asks after that is not started")
    func unreadReplies() throws {
        let server = try TestServer { $0.limits.outboundHardBytes = 64 }
        let client = try server.client()
        var bytes: [UInt8] = []
        _ = try client.send { (wire, _) throws(WireError) in try wire.sendCall(.statistics, into: &bytes) }
        _ = try client.send { (wire, _) throws(WireError) in
            try wire.sendGenerate(.greedy("parked", maxTokens: 10, credit: 1), into: &bytes)
        }
        client.send(bytes)
        var code: ErrorCode?
        while code == nil {
            if case .error(0, let message) = try client.next() { code = message.code }
        }
        #expect(code == .slowConsumer)
        try client.waitForEnd()
        #expect(server.isIdle())
    }

    @Test("a CANCEL flood ends the connection that sends it")
    func cancelFlood() throws {
        let server = try TestServer { $0.limits.cancelRate = .init(perSecond: 1, burst: 10) }
        let client = try server.client()
        #expect(throws: (any Error).self) {
            for _ in 0..<100 {
                let stream = try client.generate(.greedy("flood", maxTokens: 100))
                try client.send { (wire, bytes) throws(WireError) in
                    try wire.sendCancel(on: stream, .user, into: &bytes)
                }
                _ = try client.collect(stream)
            }
        }
        #expect(server.isIdle())
    }

    struct BadRequest: CustomTestStringConvertible {
        let name: String
        let code: ErrorCode
        let change: @Sendable (inout GenerateMessage) -> Void

        var testDescription: String { name }
    }

    static let badRequests: [BadRequest] = [
        .init(name: "prompt longer than the context", code: .tooLarge) {
            $0.prompt = .text(String(repeating: "x", count: 5_000))
        },
        .init(name: "prompt over 1 MiB", code: .tooLarge) {
            $0.prompt = .text(String(repeating: "x", count: 1_048_577))
        },
        .init(name: "role that no template knows", code: .invalid) {
            $0.prompt = .messages([.init(role: "user", content: "x"), .init(role: "us\ner", content: "x")])
        },
        .init(name: "empty prompt", code: .invalid) { $0.prompt = .tokens([]) },
        .init(name: "id outside the vocabulary", code: .invalid) { $0.prompt = .tokens([1, 99_999]) },
        .init(name: "negative id", code: .invalid) { $0.prompt = .tokens([-1]) },
        .init(name: "temperature NaN", code: .invalid) { $0.sampling.temperature = .nan },
        .init(name: "temperature 3", code: .invalid) { $0.sampling.temperature = 3 },
        .init(name: "top-p 0", code: .invalid) { $0.sampling.topP = 0 },
        .init(name: "no tokens wanted", code: .invalid) { $0.stop.maxTokens = 0 },
        .init(name: "more tokens than the context", code: .tooLarge) { $0.stop.maxTokens = 4_000_000 },
        .init(name: "21 alternatives", code: .invalid) { $0.sampling.logprobs = 21 },
        .init(name: "17 stop strings", code: .invalid) { $0.stop.strings = (0..<17).map(String.init) },
        .init(name: "empty stop string", code: .invalid) { $0.stop.strings = [""] },
        .init(name: "another model", code: .notFound) { $0.model = "gpt" },
        .init(name: "priority 8", code: .invalid) { $0.priority = 8 },
        .init(name: "timeout of a month", code: .invalid) { $0.timeout = .max },
    ]

    @Test("a bad request fails alone, with its code", arguments: badRequests)
    func badRequest(_ request: BadRequest) throws {
        let server = try TestServer()
        let client = try server.client()
        var message = GenerateMessage.greedy("fine", maxTokens: 10)
        request.change(&message)
        let answer = try client.collect(client.generate(message))
        #expect(answer.error == request.code)
        #expect(try client.collect(client.generate(.greedy("next", maxTokens: 3))).tokens.count == 3)
    }
}
