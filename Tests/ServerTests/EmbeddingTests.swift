import LMEngine
import LMProtocol
import LMServer
import TestKit
import Testing

@Suite(.serialized, .timeLimit(.minutes(5))) struct EmbeddingTests {
    /// A server whose steps of at most 4 rows tell that they begin and wait for the gate.
    private func gated(maxNumRequests: Int = 100) throws -> (server: TestServer, gate: Arrivals, begun: Arrivals) {
        let (gate, begun) = (Arrivals(), Arrivals())
        var script = FakeBackend.Script()
        script.willExecute = { _ throws(EngineError) in
            begun.signal()
            _ = gate.wait()
        }
        var options = EngineOptions()
        options.maxNumSeqs = 4
        options.maxNumBatchedTokens = 4
        options.maxNumRequests = maxNumRequests
        return (try TestServer(script: script, options: options), gate, begun)
    }

    /// Returns when the server has served all that was sent before.
    private func fence(_ client: RawClient) throws { _ = try client.ask(.health) }

    private func open(_ text: String, on client: RawClient, timeout: UInt32 = 0) throws -> UInt32 {
        var message = EmbedMessage(.text(text))
        message.timeout = timeout
        return try client.send { (wire, bytes) throws(WireError) in try wire.sendCall(.embed(message), into: &bytes) }
    }

    /// Waits for the end of a call.
    private func end(_ stream: UInt32, on client: RawClient) throws -> Result<EmbedReply, WireError> {
        while true {
            switch try client.next() {
            case .reply(stream, .embed(let reply)): return .success(reply)
            case .error(stream, let error): return .failure(WireError(error.code, error.message))
            default: continue
            }
        }
    }

    private func states(_ text: String) -> [[Float]] {
        let tokens = text.utf8.map { Int32($0) }
        return tokens.indices.map { FakeBackend.hiddenState(after: Array(tokens[...$0])) }
    }

    @Test("each pooling is answered with its vector and the number of tokens")
    func poolings() throws {
        let server = try TestServer()
        let client = try server.client()
        let states = states("some text")
        let mean = (0..<3).map { column in Float(states.reduce(0) { $0 + Double($1[column]) } / Double(states.count)) }
        for (pooling, expected) in [(nil, states[8]), (.last, states[8]), (EmbedMessage.Pooling.mean, mean)] {
            var message = EmbedMessage(.text("some text"))
            message.pooling = pooling
            guard case .reply(_, .embed(let reply)) = try client.ask(.embed(message)) else {
                Issue.record("no reply")
                return
            }
            #expect(reply.vector == expected && reply.promptTokens == 9)
        }
        var message = EmbedMessage(.tokens("some text".utf8.map { Int32($0) }))
        message.isNormalized = true
        guard case .reply(_, .embed(let reply)) = try client.ask(.embed(message)) else {
            Issue.record("no reply")
            return
        }
        #expect(abs(reply.vector.reduce(0) { $0 + $1 * $1 } - 1) < 1e-6)
        #expect(server.isIdle())
    }

    @Test("calls of one connection share steps with each other and with a generation")
    func shared() throws {
        let (server, gate, begun) = try gated()
        let client = try server.client()
        let blocker = try open("x", on: client)
        #expect(begun.wait())
        let calls = try (0..<3).map { try open("\($0)", on: client) }
        let generation = try client.generate(.greedy("g", maxTokens: 3))
        try fence(client)
        for _ in 0..<8 { gate.signal() }
        var replies: [UInt32: EmbedReply] = [:]
        var answer = Answer()
        while replies.count < 4 || !answer.isComplete {
            let action = try client.next()
            if case .reply(let stream, .embed(let reply)) = action { replies[stream] = reply }
            answer.take(action, generation)
        }
        #expect(replies[blocker]?.vector == states("x")[0])
        for (number, stream) in calls.enumerated() { #expect(replies[stream]?.vector == states("\(number)")[0]) }
        #expect(answer.finish == .length && answer.tokens.count == 3)
        #expect(server.backend.steps.contains { $0.sequences == 4 && $0.samples == 1 })
        #expect(server.isIdle())
    }

    @Test("a CANCEL between two chunks ends the call and frees its memory")
    func cancelled() throws {
        let (server, gate, begun) = try gated()
        let client = try server.client()
        let stream = try open("longer than a step", on: client)
        gate.signal()
        for _ in 0..<2 { #expect(begun.wait()) }
        #expect(server.engine.statistics().blocksOwned > 0)
        try client.send { (wire, bytes) throws(WireError) in try wire.sendCancel(on: stream, .user, into: &bytes) }
        try fence(client)
        // The second step has begun; there is no third.
        gate.signal()
        guard case .failure(let error) = try end(stream, on: client) else {
            Issue.record("it was answered")
            return
        }
        #expect(error.code == .cancelled)
        #expect(server.isIdle())
        #expect(server.engine.statistics().cancels == 1)
        #expect(server.backend.steps.count == 2)
    }

    @Test("a lost connection ends the call and frees its memory")
    func disconnected() throws {
        let (server, gate, begun) = try gated()
        do {
            let client = try server.client()
            _ = try open("longer than a step", on: client)
            #expect(begun.wait())
        }
        #expect(
            server.wait {
                gate.signal()
                return $0.cancels == 1 && $0.running + $0.waiting == 0 && $0.blocksOwned == 0
            })
    }

    @Test("a call that takes too long fails, one without a limit does not")
    func deadline() throws {
        let (server, gate, _) = try gated()
        let client = try server.client()
        let late = try open("longer than a step", on: client, timeout: 20)
        let patient = try open("patient", on: client)
        gate.signal()
        try client.pause(milliseconds: 60)
        for _ in 0..<8 { gate.signal() }
        guard case .failure(let error) = try end(late, on: client) else {
            Issue.record("it was answered")
            return
        }
        #expect(error.code == .deadline)
        #expect(try end(patient, on: client).get().vector == states("patient").last)
        #expect(server.isIdle())
    }

    @Test("what cannot be embedded is refused, and says why")
    func refused() throws {
        var options = EngineOptions()
        options.keyValueCacheBytes = FakeBackend.bytesPerToken * 16 * 4
        let server = try TestServer(options: options)
        let client = try server.client()
        var unknown = EmbedMessage(.text("a"))
        unknown.model = "another"
        var endless = EmbedMessage(.text("a"))
        endless.timeout = 600_001
        let long = String(repeating: "x", count: 65)
        let cases: [(EmbedMessage, ErrorCode, String)] = [
            (EmbedMessage(.text("")), .invalid, "at least one token"), (unknown, .notFound, "another"),
            (EmbedMessage(.tokens([-1])), .invalid, "prompt[0]"), (endless, .invalid, "600001"),
            (EmbedMessage(.text(long)), .tooLarge, "65 tokens exceeds the 64"),
        ]
        for (message, code, words) in cases {
            guard case .error(_, let error) = try client.ask(.embed(message)) else {
                Issue.record("\(message) was answered")
                continue
            }
            #expect(error.code == code && error.message.contains(words), "\(error.message)")
        }
        #expect(server.isIdle())
    }

    @Test("a full engine refuses as for a generation, and a draining server answers what it has begun")
    func overloaded() throws {
        let (server, gate, _) = try gated(maxNumRequests: 1)
        let client = try server.client()
        let first = try open("first", on: client)
        guard case .error(_, let error) = try client.ask(.embed(EmbedMessage(.text("second")))) else {
            Issue.record("it was taken")
            return
        }
        #expect(error.code == .overloaded && error.isRetryable)
        server.server.startDraining()
        while true { if case .goAway = try client.next() { break } }
        for _ in 0..<2 { gate.signal() }
        #expect(try end(first, on: client).get().vector == states("first").last)
    }
}
