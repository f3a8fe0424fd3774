import LMClient
import LMProtocol
import Testing

@Suite("Token streams", .timeLimit(.minutes(5)))
struct StreamTests {
    private func request(_ count: Int, window: Int? = nil) -> GenerateRequest {
        var request = GenerateRequest("hi")
        request.stop.maxTokens = count
        request.window = window
        return request
    }

    @Test("tokens arrive in order with text, log-probabilities and times, then the end is known")
    func streaming() async throws {
        let server = try ScriptedServer()
        let client = try server.client()
        let stream = try await client.generate(request(100))
        #expect(stream.model == "scripted" && stream.requestID == "r1")
        var count = 0
        var last = stream.sent
        for try await token in stream {
            #expect(token.index == count && token.id == count && token.text == "t\(count) ")
            #expect(token.logprobs.map(\.token) == [Int32(count)] && token.logprobs.map(\.logprob) == [-0.5])
            #expect(token.arrival >= last)
            last = token.arrival
            count += 1
        }
        #expect(count == 100)
        let finish = try #require(stream.finish)
        #expect(finish.reason == .length && finish.seed == 7 && finish.usage.completionTokens == 100)
        #expect(finish.arrival >= last && finish.arrival <= LMClient.now)
        #expect(server.log.value.cancels.isEmpty, "a stream that ended is not cancelled")
    }

    @Test("collect gives the whole output")
    func collect() async throws {
        let server = try ScriptedServer()
        let completion = try await server.client().generate(request(3)).collect()
        #expect(completion.text == "t0 t1 t2 " && completion.tokens.map(\.id) == [0, 1, 2])
        #expect(completion.finish.reason == .length)
    }

    @Test("the server is never more than the window ahead", arguments: [1, 2, 7, 8])
    func pacing(_ window: Int) async throws {
        let server = try ScriptedServer()
        let stream = try await server.client().generate(request(60, window: window))
        var consumed = 0
        for try await _ in stream {
            consumed += 1
            let sent = server.log.value.sentTokens
            #expect(sent <= consumed + window)
        }
        #expect(consumed == 60)
        let log = server.log.value
        #expect(log.credits.allSatisfy { $0.limit - $0.consumed == UInt32(window) })
        #expect(log.credits.count <= 60 / max(1, window / 2), "credit is granted half a window at a time")
    }

    @Test("a loop that stops consuming stops the server at the window, and going on lets it go on")
    func stalledLoop() async throws {
        let server = try ScriptedServer()
        let stream = try await server.client().generate(request(100, window: 8))
        var iterator = stream.makeAsyncIterator()
        for consumed in 1...3 {
            _ = try await iterator.next()
            #expect(server.log.value.sentTokens == 8, "after \(consumed)")
        }
        _ = try await iterator.next()
        await server.log.wait { $0.sentTokens == 12 }
        for _ in 5...7 { _ = try await iterator.next() }
        #expect(server.log.value.sentTokens == 12)
    }

    @Test("cancelling the task of a waiting loop sends CANCEL and throws")
    func taskCancellation() async throws {
        var script = ScriptedServer.Script()
        script.generate = { session, stream, _ in
            session.accept(stream)
            session.sendTokens(stream, 2)
        }
        let server = try ScriptedServer(script)
        let client = try server.client()
        let seen = Watched(0)
        let task = Task {
            for try await _ in try await client.generate(request(100)) { seen.update { $0 += 1 } }
        }
        await seen.wait { $0 == 2 }
        task.cancel()
        let error = await #expect(throws: LMError.self) { try await task.value }
        #expect(error?.code == .cancelled)
        let log = await server.log.wait { !$0.cancels.isEmpty }
        #expect(log.cancels == [.user])
    }

    @Test("cancelling the task before the request is accepted sends CANCEL and throws")
    func cancellationBeforeAccept() async throws {
        var script = ScriptedServer.Script()
        script.generate = { _, _, _ in }
        let server = try ScriptedServer(script)
        let client = try server.client()
        let task = Task { _ = try await client.generate(request(1)) }
        await server.log.wait { $0.generations == 1 }
        task.cancel()
        let error = await #expect(throws: LMError.self) { try await task.value }
        #expect(error?.code == .cancelled)
        await server.log.wait { $0.cancels == [.user] }
        #expect(server.log.value.generations == 1, "a cancelled request is not repeated")
    }

    @Test("leaving the loop cancels at once, while the stream still exists")
    func breaking() async throws {
        let server = try ScriptedServer()
        let stream = try await server.client().generate(request(1_000_000, window: 4))
        for try await token in stream where token.index == 2 { break }
        try #require(await server.log.wait { !$0.cancels.isEmpty }.cancels == [.abandoned])
        await stream.waitForEnd()
        #expect(stream.finish?.reason == .cancelled)
    }

    @Test("dropping a stream without a loop cancels")
    func dropping() async throws {
        let server = try ScriptedServer()
        let client = try server.client()
        _ = try await client.generate(request(1_000, window: 4))
        await server.log.wait { $0.cancels == [.abandoned] }
    }

    @Test("cancelling by hand ends the loop in good order")
    func explicitCancel() async throws {
        let server = try ScriptedServer()
        let stream = try await server.client().generate(request(1_000, window: 4))
        var count = 0
        for try await _ in stream {
            count += 1
            if count == 4 { stream.cancel() }
        }
        #expect(count >= 4 && count <= 8)
        #expect(stream.finish?.reason == .cancelled)
        #expect(server.log.value.cancels == [.user])
    }

    @Test("withGeneration returns after the server ended the stream, however the body left")
    func scoped() async throws {
        struct Stop: Error {}
        let server = try ScriptedServer()
        let client = try server.client()
        let first = try await client.withGeneration(request(1_000, window: 4)) { stream in
            for try await token in stream { return token.text }
            return ""
        }
        #expect(first == "t0 " && server.log.value.ended == 1)
        await #expect(throws: Stop.self) {
            try await client.withGeneration(request(1_000, window: 4)) { _ in throw Stop() }
        }
        #expect(server.log.value.ended == 2)
    }

    @Test("an error in mid-stream follows the tokens before it, and is not repeated")
    func errorMidStream() async throws {
        var script = ScriptedServer.Script()
        script.generate = { session, stream, _ in
            session.accept(stream)
            session.sendTokens(stream, 3)
            var message = ErrorMessage(.engine, "the engine broke", retryAfter: 40)
            message.usage = UsageReport()
            message.usage?.promptTokens = 5
            session.fail(stream, message)
        }
        let server = try ScriptedServer(script)
        let stream = try await server.client().generate(request(10))
        var count = 0
        let error = await #expect(throws: LMError.self) {
            for try await _ in stream { count += 1 }
        }
        #expect(count == 3 && error?.tokensReceived == 3 && error?.usage?.promptTokens == 5)
        #expect(error?.code == .engine && error?.message == "the engine broke" && error?.isRetryable == true)
        #expect(error?.retryAfter == .milliseconds(40))
        #expect(server.log.value.generations == 1 && stream.finish == nil)
    }

    @Test("a stream has one loop")
    func secondLoop() async throws {
        let server = try ScriptedServer()
        let stream = try await server.client().generate(request(3))
        var first = stream.makeAsyncIterator()
        _ = try await first.next()
        let error = await #expect(throws: LMError.self) { try await stream.collect() }
        #expect(error?.code == .invalid)
        #expect(try await first.next()?.index == 1, "the first loop is not disturbed")
    }

    @Test("200 streams at once on one connection", arguments: [16, 128] as [UInt32])
    func manyStreams(_ limit: UInt32) async throws {
        var script = ScriptedServer.Script()
        script.concurrentStreams = limit
        let server = try ScriptedServer(script)
        let client = try server.client {
            $0.window = 8
            $0.connections = 1
        }
        let lengths = try await withThrowingTaskGroup(of: Int.self) { group in
            for count in 1...200 {
                group.addTask {
                    let completion = try await client.generate(request(count)).collect()
                    #expect(completion.tokens.map(\.index) == Array(0..<count))
                    return completion.tokens.count
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(lengths.sorted() == Array(1...200))
        let log = server.log.value
        #expect(log.connections == 1 && log.mostOpen <= limit)
    }

    @Test("200 streams cancelled at random moments all end, and nothing stays open")
    func manyCancels() async throws {
        let server = try ScriptedServer()
        let client = try server.client { $0.window = 4 }
        await withTaskGroup(of: Void.self) { group in
            for number in 1...200 {
                group.addTask {
                    let task = Task {
                        var count = 0
                        for try await _ in try await client.generate(request(100_000)) {
                            count += 1
                            if number.isMultiple(of: 3), count == number { break }
                        }
                    }
                    for _ in 0..<number { await Task.yield() }
                    if !number.isMultiple(of: 3) { task.cancel() }
                    _ = await task.result
                }
            }
        }
        await server.log.wait { $0.ended == $0.generations }
        #expect(try await client.health().status == .ready)
    }
}
