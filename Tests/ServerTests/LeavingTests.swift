import LMEngine
import LMProtocol
import LMServer
import TestKit
import Testing

@Suite(.serialized, .timeLimit(.minutes(5))) struct LeavingTests {
    @Test("CANCEL ends running, parked and waiting streams alike") func cancelEverywhere() throws {
        let gate = Arrivals()
        var script = FakeBackend.Script()
        script.willExecute = { _ throws(EngineError) in _ = gate.wait() }
        var options = EngineOptions()
        options.maxNumSeqs = 2
        let server = try TestServer(script: script, options: options)
        let client = try server.client()
        let parked = try client.generate(.greedy("parked", maxTokens: 400, credit: 1))
        gate.signal()
        while true { if case .tokens(parked, _) = try client.next() { break } }
        let running = try client.generate(.greedy("running", maxTokens: 400))
        gate.signal()
        while true { if case .tokens(running, _) = try client.next() { break } }
        let waiting = try (0..<4).map { try client.generate(.greedy("waiting \($0)", maxTokens: 400)) }
        let all = [parked, running] + waiting
        for stream in all {
            try client.send { (wire, bytes) throws(WireError) in try wire.sendCancel(on: stream, .user, into: &bytes) }
        }
        // Frames are served in order: once the call is answered, the engine has the cancels. It is in a step now.
        let call = try client.send { (wire, bytes) throws(WireError) in try wire.sendCall(.health, into: &bytes) }
        while true { if case .reply(call, _) = try client.next() { break } }
        gate.signal()
        var answers = [Answer](repeating: Answer(), count: all.count)
        while !answers.allSatisfy(\.isComplete) {
            let action = try client.next()
            for (index, stream) in all.enumerated() { answers[index].take(action, stream) }
        }
        #expect(answers.allSatisfy { $0.finish == .cancelled })
        #expect(server.isIdle())
    }

    /// Nothing is written to a parked stream, so nothing but a probe finds out that its client is gone; the ping interval
    /// is far longer than the test may take.
    @Test("a client that closes leaves no parked stream behind") func parked() throws {
        let server = try TestServer()
        do {
            let client = try server.client()
            _ = try client.generate(.greedy("parked", maxTokens: 400, credit: 1))
            while true { if case .tokens = try client.next() { break } }
        }
        #expect(server.wait { $0.parked == 0 && $0.blocksOwned == 0 })
        #expect(server.engine.statistics().cancels == 1)
    }

    @Test("a client that has ended its side is probed, and not given up for its silence") func halfClosed() throws {
        let gate = Arrivals()
        var script = FakeBackend.Script()
        script.willExecute = { _ throws(EngineError) in _ = gate.wait() }
        let server = try TestServer(script: script) {
            $0.limits.pingInterval = 1
            $0.limits.deadPeerTimeout = 2
        }
        let client = try server.client()
        let stream = try client.generate(.greedy("half", maxTokens: 20))
        client.endOutput()
        // The first comes at once, the others with the server's clock: it has then been silent for long enough.
        var probes = 0
        while probes < 3 { if case .ping = try client.next() { probes += 1 } }
        for _ in 0..<40 { gate.signal() }
        #expect(try client.collect(stream).tokens.count == 20)
        try client.waitForEnd()
    }
}
