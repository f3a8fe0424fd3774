import LMEngine
import LMProtocol
import LMServer
import TestKit
import Testing

@Suite(.serialized, .timeLimit(.minutes(5))) struct ResumeTests {
    private static func request(_ prompt: String, maxTokens: UInt32 = 60, credit: UInt32 = .max) -> GenerateMessage {
        var message = GenerateMessage.greedy(prompt, maxTokens: maxTokens, credit: credit)
        message.isResumable = true
        message.sampling.logprobs = 1
        return message
    }

    /// What the request yields when nothing goes wrong.
    private func undisturbed(_ server: TestServer, _ message: GenerateMessage) throws -> Answer {
        let client = try server.client()
        return try client.collect(client.generate(message))
    }

    /// Reads until ACCEPT and this many tokens have come, then drops the connection.
    private func interrupted(
        _ server: TestServer, _ message: GenerateMessage, after count: Int
    ) throws -> (token: Opaque128, answer: Answer) {
        let client = try server.client()
        let stream = try client.generate(message)
        var answer = Answer()
        var token: Opaque128?
        while token == nil || answer.tokens.count < count {
            let action = try client.next()
            if case .accept(stream, let message) = action { token = message.resumeToken }
            answer.take(action, stream)
        }
        return (try #require(token), answer)
    }

    private func resume(
        _ client: RawClient, _ token: Opaque128, from index: UInt32, limit: UInt32 = .max, text: [UInt8]? = nil
    ) throws -> UInt32 {
        let message = ResumeMessage(token: token, nextIndex: index, creditLimit: limit)
        let checksum = text.map { text in
            var checksum = CRC32C()
            checksum.update(text.span.bytes)
            return checksum
        }
        return try client.send { (wire, bytes) throws(WireError) in
            try wire.sendResume(message, checksum: checksum, into: &bytes)
        }
    }

    @Test("a stream whose connection is lost goes on at the next token", arguments: [0, 1, 7, 59, 60])
    func middle(_ count: Int) throws {
        let server = try TestServer()
        let message = Self.request("resume \(count)")
        let whole = try undisturbed(server, message)
        var (token, answer) = try interrupted(server, message, after: count)
        let client = try server.client()
        let stream = try resume(client, token, from: UInt32(answer.tokens.count), text: answer.text)
        while !answer.isComplete { answer.take(try client.next(), stream) }
        #expect(answer.tokens == whole.tokens && answer.text == whole.text)
        #expect(answer.finish == .length && answer.completionTokens == 60, "and the checksum was that of the splice")
        #expect(server.isIdle())
    }

    @Test("tokens are kept until they are reported as consumed, and generation waits for that")
    func kept() throws {
        let server = try TestServer { $0.limits.replayTokens = 256 }
        let message = Self.request("kept", maxTokens: 600)
        let whole = try undisturbed(server, Self.request("kept", maxTokens: 200))
        let (token, _) = try interrupted(server, message, after: 256)
        #expect(server.wait { $0.parked == 1 }, "nothing is computed that could not be kept")

        var client = try server.client()
        var stream = try resume(client, token, from: 100)
        var answer = Answer()
        while answer.tokens.count < 256 { answer.take(try client.next(), stream) }
        #expect(Array(answer.tokens.prefix(100)) == Array(whole.tokens[100..<200]))
        #expect(server.wait { $0.tokensGenerated == 200 + 356 })

        client = try server.client()
        stream = try resume(client, token, from: 99)
        var refusal = try client.collect(stream)
        #expect(refusal.error == .notFound, "RESUME from 100 was a report of 100 tokens consumed")
        stream = try resume(client, token, from: 599)
        refusal = try client.collect(stream)
        #expect(refusal.error == .invalid)
    }

    @Test("the last RESUME wins, and the earlier stream is told")
    func superseded() throws {
        let server = try TestServer()
        let first = try server.client()
        let stream = try first.generate(Self.request("super", maxTokens: 50, credit: 10))
        var answer = Answer()
        var token: Opaque128?
        while answer.tokens.count < 10 {
            let action = try first.next()
            if case .accept(stream, let message) = action { token = message.resumeToken }
            answer.take(action, stream)
        }
        let second = try server.client()
        let other = try resume(second, try #require(token), from: 10, text: answer.text)
        var rest = Answer()
        while !rest.isComplete { rest.take(try second.next(), other) }
        #expect(rest.tokens.count == 40 && rest.finish == .length)
        while !answer.isComplete { answer.take(try first.next(), stream) }
        #expect(answer.error == .superseded)
    }

    @Test("an end that was lost is told again until the grace has passed")
    func lostEnd() throws {
        let server = try TestServer { $0.limits.resumeGrace = 1_500 }
        let message = Self.request("end", maxTokens: 5)
        let (token, answer) = try interrupted(server, message, after: 5)
        #expect(server.isIdle())
        for _ in 0..<2 {
            let client = try server.client()
            var rest = Answer()
            let stream = try resume(client, token, from: 5, text: answer.text)
            while !rest.isComplete { rest.take(try client.next(), stream) }
            #expect(rest.finish == .length && rest.tokens.isEmpty)
        }
        let client = try server.client()
        var isForgotten = false
        for _ in 0..<2_000 where !isForgotten {
            try client.pause(milliseconds: 5)
            isForgotten = try client.collect(resume(client, token, from: 5)).error == .notFound
        }
        #expect(isForgotten)
    }

    @Test("who does not come back within the grace is given up")
    func grace() throws {
        let server = try TestServer { $0.limits.resumeGrace = 1 }
        _ = try interrupted(server, Self.request("gone", maxTokens: 2_000, credit: 3), after: 3)
        #expect(server.isIdle())
        #expect(server.engine.statistics().cancels == 1)
    }

    @Test("CANCEL ends a resumable stream for good")
    func cancelled() throws {
        let server = try TestServer()
        let client = try server.client()
        let stream = try client.generate(Self.request("cancel", maxTokens: 2_000, credit: 3))
        var answer = Answer()
        var token: Opaque128?
        while answer.tokens.count < 3 {
            let action = try client.next()
            if case .accept(stream, let message) = action { token = message.resumeToken }
            answer.take(action, stream)
        }
        try client.send { (wire, bytes) throws(WireError) in try wire.sendCancel(on: stream, .user, into: &bytes) }
        while !answer.isComplete { answer.take(try client.next(), stream) }
        #expect(answer.finish == .cancelled)
        #expect(try client.collect(resume(client, try #require(token), from: 3)).error == .notFound)
    }

    @Test("a token nobody was given is not found")
    func unknown() throws {
        let server = try TestServer()
        let client = try server.client()
        #expect(try client.collect(resume(client, Opaque128(1, 2), from: 0)).error == .notFound)
    }

    @Test("without the flag a stream ends with its connection, and without a grace the flag means nothing")
    func notResumable() throws {
        for hasFlag in [false, true] {
            let server = try TestServer { if hasFlag { $0.limits.resumeGrace = 0 } }
            do {
                let client = try server.client()
                var message = Self.request("plain", maxTokens: 2_000, credit: 1)
                message.isResumable = hasFlag
                _ = try client.generate(message)
                while true {
                    guard case .accept(_, let acceptance) = try client.next() else { continue }
                    #expect(acceptance.resumeToken == nil)
                    break
                }
            }
            #expect(server.isIdle())
        }
    }

    @Test("a repeated request with the same key finds its first run")
    func idempotency() throws {
        let server = try TestServer()
        var message = Self.request("key", maxTokens: 40, credit: 10)
        message.isResumable = false
        message.idempotencyKey = Opaque128(3, 4)
        let (_, first) = try interrupted(server, message, after: 10)

        let client = try server.client()
        message.creditLimit = .max
        let answer = try client.collect(client.generate(message))
        #expect(answer.tokens.count == 40 && Array(answer.tokens.prefix(10)) == first.tokens)
        #expect(server.engine.statistics().tokensGenerated == 40, "the work is done once")
        #expect(try client.collect(client.generate(message)) == answer, "also after its end")

        var other = message
        other.stop.maxTokens = 41
        #expect(try client.collect(client.generate(other)).error == .invalid)
        other.idempotencyKey = Opaque128(3, 5)
        #expect(try client.collect(client.generate(other)).tokens.count == 41)
    }

    @Test("ended generations are kept within a bound, the newest longest")
    func endedBound() throws {
        let server = try TestServer { $0.limits.endedBytes = 20_000 }
        var tokens: [Opaque128] = []
        for number in 0..<20 { tokens.append(try interrupted(server, Self.request("e\(number)"), after: 60).token) }
        #expect(server.isIdle())
        let client = try server.client()
        let found = try tokens.map { try client.collect(resume(client, $0, from: 0)).error == nil }
        #expect(found.last == true && found.first == false)
        #expect(found == found.sorted { !$0 && $1 }, "the oldest are forgotten first")
    }
}
