import LMClient
import LMProtocol
import LMTransport
import Testing

@Suite(.timeLimit(.minutes(5))) struct ResumptionTests {
    /// A server that cuts the connection after each `piece` tokens of a stream of `total`. Its grace is longer than any machine
    /// keeps a test waiting.
    private func cutting(every piece: Int, of total: Int, grace: UInt32? = 3_600_000) -> ScriptedServer.Script {
        var script = ScriptedServer.Script()
        script.resumeGrace = grace
        script.generate = { session, stream, message in
            session.accept(stream, isResumable: message.idempotencyKey != nil)
            session.sendTokens(stream, piece)
            session.channel?.closeAfterFlush()
        }
        script.resume = { session, stream, message in
            let left = total - Int(message.nextIndex)
            guard left > piece else { return session.resume(stream, message, total: total) }
            session.resume(stream, message)
            session.sendTokens(stream, piece)
            session.channel?.closeAfterFlush()
        }
        return script
    }

    private func failure(_ body: () async throws -> Void) async -> LMError? {
        await #expect(throws: LMError.self) { try await body() }
    }

    private func request(_ maxTokens: Int) -> GenerateRequest {
        var request = GenerateRequest("resume")
        request.stop.maxTokens = maxTokens
        return request
    }

    @Test(
        "a stream whose connection is lost goes on where it was, and the application sees one stream",
        arguments: [1, 7])
    func unbroken(_ piece: Int) async throws {
        let server = try ScriptedServer(cutting(every: piece, of: 20))
        let resumed = Watched([Int]())
        let client = try server.client {
            $0.observer = { if case .resumed(_, let index) = $0 { resumed.update { $0.append(index) } } }
        }
        let stream = try await client.generate(request(20))
        let answer = try await stream.collect()
        #expect(answer.tokens.map(\.index) == Array(0..<20))
        #expect(answer.text == (0..<20).map { "t\($0) " }.joined())
        #expect(resumed.value == Array(stride(from: piece, to: 20, by: piece)))
        #expect(server.log.value.generations == 1)
    }

    @Test("credit given while the connection was away is in the RESUME")
    func credit() async throws {
        let server = try ScriptedServer(cutting(every: 4, of: 12))
        let answer = try await server.client { $0.window = 4 }.generate(request(12)).collect()
        #expect(answer.tokens.count == 12)
        #expect(server.log.value.resumes.allSatisfy { $0.creditLimit >= $0.nextIndex })
    }

    @Test("what the application consumes while the connection is away reaches the server when it is back")
    func lateCredit() async throws {
        let isBack = Watched(false)
        var script = cutting(every: 4, of: 8)
        script.hello = { session, _ in
            // The second connection comes to nothing, until the application has caught up.
            if session.number == 1 || isBack.value { session.accept() } else { session.channel?.close() }
        }
        let server = try ScriptedServer(script)
        let client = try server.client {
            $0.window = 4
            $0.retry.maximumDelay = .milliseconds(20)
        }
        var iterator = try await client.generate(request(8)).makeAsyncIterator()
        await server.log.wait { $0.connections >= 3 }
        for index in 0..<4 { #expect(try await iterator.next()?.index == index) }
        isBack.update { $0 = true }
        await server.log.wait { $0.credits.contains { $0.limit >= 8 } }
        for index in 4..<8 { #expect(try await iterator.next()?.index == index) }
        #expect(try await iterator.next() == nil)
    }

    @Test("a server that knows nothing of the stream any more makes one clear error")
    func forgotten() async throws {
        var script = cutting(every: 5, of: 20)
        script.resume = ScriptedServer.Script().resume
        let server = try ScriptedServer(script)
        let stream = try await server.client().generate(request(20))
        var count = 0
        let error = await failure { for try await _ in stream { count += 1 } }
        #expect(error?.code == .connectionLost && error?.tokensReceived == 5 && count == 5)
        #expect(error?.message.contains("could not be resumed") == true && error?.requestID == "r1")
    }

    @Test("without the server's grace, or the client's wish, a lost connection is an error", arguments: [true, false])
    func notResumable(_ serverOffers: Bool) async throws {
        let server = try ScriptedServer(cutting(every: 5, of: 20, grace: serverOffers ? 3_600_000 : nil))
        let client = try server.client { $0.resumesStreams = !serverOffers }
        let error = await failure { _ = try await client.generate(request(20)).collect() }
        #expect(error?.code == .connectionLost)
        #expect(server.log.value.resumes.isEmpty)
    }

    @Test("text that has not the checksum of the server's is not taken for complete")
    func damaged() async throws {
        var script = ScriptedServer.Script()
        script.generate = { session, stream, _ in
            session.accept(stream)
            session.sendTokens(stream, 3)
            session.finish(stream, .stop, checksum: 1)
        }
        let server = try ScriptedServer(script)
        let error = await failure { _ = try await server.client().generate(request(20)).collect() }
        #expect(error?.code == .internal && error?.message.contains("checksum") == true)
    }

    @Test("cancelled while the connection is away, a stream ends at once, and the server is told when it is back")
    func cancelled() async throws {
        let isBack = Watched(false)
        var script = cutting(every: 5, of: 20)
        script.hello = { session, _ in
            // The second connection says nothing until the stream was cancelled.
            if session.number == 1 || isBack.value { session.accept() } else { session.channel?.close() }
        }
        script.resume = { session, stream, message in session.resume(stream, message, total: 1_000_000) }
        let server = try ScriptedServer(script)
        let stream = try await server.client { $0.retry.maximumDelay = .milliseconds(20) }.generate(request(20))
        var iterator = stream.makeAsyncIterator()
        for _ in 0..<5 { _ = try await iterator.next() }
        await server.log.wait { $0.connections >= 3 }
        stream.cancel()
        await stream.waitForEnd()
        isBack.update { $0 = true }
        await server.log.wait { $0.cancels == [.user] }
    }

    @Test("more streams than one connection carries get another connection, up to the limit")
    func pool() async throws {
        var script = ScriptedServer.Script()
        script.concurrentStreams = 10
        script.generate = { session, stream, _ in session.accept(stream) }
        let server = try ScriptedServer(script)
        let client = try server.client { $0.connections = 3 }
        var streams: [TokenStream] = []
        for _ in 0..<30 { streams.append(try await client.generate(request(1))) }
        #expect(server.log.value.connections == 3)
        let waiting = Task { try await client.generate(request(1)) }
        streams.removeFirst().cancel()
        _ = try await waiting.value
        #expect(server.log.value.connections == 3)
    }

    @Test("repetitions stay below the budget, however many requests fail")
    func budget() async throws {
        var script = ScriptedServer.Script()
        script.generate = { session, stream, _ in session.fail(stream, ErrorMessage(.overloaded, "full")) }
        let server = try ScriptedServer(script)
        let client = try server.client {
            $0.retry.limit = 3
            $0.retry.maximumDelay = .milliseconds(1)
        }
        for _ in 0..<50 {
            let error = await failure { _ = try await client.generate(request(1)) }
            #expect(error?.code == .overloaded)
        }
        // Ten free ones, and a tenth of fifty.
        let repetitions = server.log.value.generations - 50
        #expect(repetitions >= 10 && repetitions <= 15)
    }

    @Test("interceptors surround each other, the first outermost, and may change the request")
    func interceptors() async throws {
        struct Noting: ClientInterceptor {
            let name: String
            let notes: Watched<[String]>

            func generate(
                _ request: GenerateRequest, next: (GenerateRequest) async throws(LMError) -> TokenStream
            ) async throws(LMError) -> TokenStream {
                notes.update { $0.append("\(name) before") }
                var request = request
                request.stop.maxTokens = (request.stop.maxTokens ?? 0) + 1
                let stream = try await next(request)
                notes.update { $0.append("\(name) after") }
                return stream
            }
        }
        let notes = Watched([String]())
        let server = try ScriptedServer()
        let client = try server.client {
            $0.interceptors = [Noting(name: "outer", notes: notes), Noting(name: "inner", notes: notes)]
        }
        #expect(try await client.generate(request(3)).collect().tokens.count == 5)
        #expect(notes.value == ["outer before", "inner before", "inner after", "outer after"])
    }
}
