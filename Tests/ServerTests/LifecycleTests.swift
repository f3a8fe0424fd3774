import Glibc
import LMEngine
import LMProtocol
import LMServer
import TestKit
import Testing

@Suite(.serialized, .timeLimit(.minutes(5))) struct LifecycleTests {
    @Test("calls are answered") func calls() throws {
        let server = try TestServer()
        let client = try server.client()
        guard case .reply(_, .health(let health)) = try client.ask(.health) else {
            throw RawClient.Failure(message: "health")
        }
        #expect(health.status == .ready)
        guard case .reply(_, .models(let models)) = try client.ask(.models) else {
            throw RawClient.Failure(message: "models")
        }
        #expect(models.map(\.name) == ["fake"])
        #expect(models.first?.contextLength == 4_096)
        let ids = Array("héllo".utf8).map(Int32.init)
        #expect(try client.ask(.tokenize(.text("héllo"), model: nil)) == .reply(3, .tokenize(ids)))
        #expect(try client.ask(.detokenize(ids, model: "fake")) == .reply(4, .detokenize("héllo")))
        guard case .error(_, let unknown) = try client.ask(.detokenize([1_000_000], model: nil)) else {
            throw RawClient.Failure(message: "an unknown id has no text")
        }
        #expect(unknown.code == .invalid)
        guard case .reply(_, .statistics(let values)) = try client.ask(.statistics) else {
            throw RawClient.Failure(message: "statistics")
        }
        #expect(values.contains { $0.name == "kv_blocks_total" && $0.value > 0 })
    }

    @Test("draining says GOAWAY, lets streams end, then closes") func drain() throws {
        let gate = Arrivals()
        var script = FakeBackend.Script()
        script.willExecute = { (_) throws(EngineError) in _ = gate.wait() }
        let server = try TestServer(script: script)
        let client = try server.client()
        let stream = try client.generate(.greedy("last words", maxTokens: 20))
        while true { if case .accept = try client.next() { break } }
        let drained = Arrivals()
        let finished = ThreadHandle {
            server.server.drain()
            drained.signal()
        }
        while true { if case .goAway = try client.next() { break } }
        for _ in 0..<40 { gate.signal() }
        #expect(try client.collect(stream).tokens.count == 20)
        try client.waitForEnd()
        #expect(drained.wait())
        finished.join()
        #expect(throws: (any Error).self) { try RawClient(port: server.port).greet() }
    }

    @Test("a draining server warns, takes what crosses the warning, and then refuses") func twoPhases() throws {
        let server = try TestServer { $0.limits.goAwayDelay = 1_500 }
        let client = try server.client()
        let open = try client.generate(.greedy("open", maxTokens: 20, credit: 2))
        let finished = ThreadHandle { server.server.drain() }
        // The warning is on its way, and this client has not read it.
        try client.pause(milliseconds: 100)
        let crossing = try client.generate(.greedy("crossing", maxTokens: 20))
        var answer = Answer()
        var messages: [GoAwayMessage] = []
        while messages.count < 2 || !answer.isComplete {
            let action = try client.next()
            answer.take(action, crossing)
            if case .goAway(let message, _) = action { messages.append(message) }
        }
        #expect(messages.map(\.lastStream) == [GoAwayMessage.warning, crossing])
        #expect(messages.allSatisfy { $0.reason == .draining && $0.grace == 30_000 })
        #expect(answer.finish == .length)
        try client.send { (wire, bytes) throws(WireError) in try wire.sendCancel(on: open, .user, into: &bytes) }
        try client.waitForEnd()
        finished.join()
    }

    @Test("a connection that is old, or has asked enough, is asked to go and loses nothing", arguments: [true, false])
    func age(_ isOld: Bool) throws {
        let server = try TestServer {
            $0.limits.goAwayDelay = 100
            if isOld { $0.limits.connectionAge = 1 } else { $0.limits.connectionRequests = 1 }
        }
        let client = try server.client()
        let stream = try client.generate(.greedy("last one", maxTokens: 20, credit: 2))
        var finals = 0
        while finals == 0 {
            if case .goAway(let message, _) = try client.next(), message.lastStream != GoAwayMessage.warning {
                finals += 1
                #expect(message.lastStream == stream && message.reason.rawValue == 0)
            }
        }
        try client.send { (wire, bytes) throws(WireError) in
            try wire.sendCredit(on: stream, CreditMessage(limit: 20, consumed: 2), into: &bytes)
        }
        #expect(try client.collect(stream).finish == .length)
        try client.waitForEnd()
    }

    @Test("a stream that outlives the drain timeout is told so") func drainTimeout() throws {
        let server = try TestServer { $0.limits.drainTimeout = 50 }
        let client = try server.client()
        let stream = try client.generate(.greedy("parked for ever", maxTokens: 20, credit: 2))
        #expect(server.wait { $0.parked == 1 })
        let finished = ThreadHandle { server.server.drain() }
        #expect(try client.collect(stream).error == .draining)
        try client.waitForEnd()
        finished.join()
        #expect(server.isIdle())
    }

    @Test("a key is asked for, and only a known one opens the connection") func keys() throws {
        let key = "0123456789abcdef-secret"
        let file = TestKeyFile("# comment\nalice:\(key)\nbob:\(key)-of-bob\nalice:\(key)-rotated\n")
        let keys = try APIKeys(file: file.path)
        let server = try TestServer { $0.keys = keys }
        let client = try server.client(credential: key)
        #expect(try client.collect(client.generate(.greedy("in", maxTokens: 3))).tokens.count == 3)
        for wrong in [nil, "", "0123456789abcdef-secreT"] {
            let stranger = try RawClient(port: server.port)
            #expect(throws: (any Error).self) { try stranger.greet(credential: wrong) }
        }

        func cached(_ credential: String) throws -> UInt32 {
            let client = try server.client(credential: credential)
            let prompt = String(repeating: "a shared secret ", count: 20)
            return try client.collect(client.generate(.greedy(prompt, maxTokens: 1))).cachedTokens
        }
        #expect(try cached(key) == 0)
        #expect(try cached("\(key)-rotated") > 0, "the same tenant finds its prefix")
        #expect(try cached("\(key)-of-bob") == 0, "another tenant does not")
    }

    @Test("a port in use is named") func portInUse() throws {
        let first = try TestServer()
        #expect {
            try TestServer { $0.listen = ["127.0.0.1:\(first.port)"] }
        } throws: { "\($0)".contains("127.0.0.1:\(first.port)") }
    }
}

/// A thread to wait for.
final class ThreadHandle {
    private var thread = pthread_t()

    init(_ body: @escaping () -> Void) {
        let box = Unmanaged.passRetained(Box(body))
        pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body()
                return nil
            }, box.toOpaque())
    }

    func join() { pthread_join(thread, nil) }

    private final class Box {
        let body: () -> Void

        init(_ body: @escaping () -> Void) { self.body = body }
    }
}
