import LMEngine
import LMProtocol
import LMServer
import TestKit
import Testing

@Suite(.serialized, .timeLimit(.minutes(5))) struct DeadlineTests {
    /// A server whose steps wait for the gate.
    private func gated() throws -> (server: TestServer, gate: Arrivals) {
        let gate = Arrivals()
        var script = FakeBackend.Script()
        script.willExecute = { _ throws(EngineError) in _ = gate.wait() }
        return (try TestServer(script: script), gate)
    }

    @Test("a first token that comes too late fails the request")
    func firstToken() throws {
        let (server, gate) = try gated()
        let client = try server.client()
        let blocker = try client.generate(.greedy("blocker", maxTokens: 1))
        var late = GenerateMessage.greedy("late", maxTokens: 10)
        late.firstTokenTimeout = 20
        let stream = try client.generate(late)
        let patient = try client.generate(.greedy("patient", maxTokens: 10))
        // The step of the first request lasts until the second one's time is over.
        try client.pause(milliseconds: 60)
        for _ in 0..<40 { gate.signal() }
        let streams = [blocker, stream, patient]
        var answers = [Answer](repeating: Answer(), count: 3)
        while !answers.allSatisfy(\.isComplete) {
            let action = try client.next()
            for (index, stream) in streams.enumerated() { answers[index].take(action, stream) }
        }
        #expect(answers[0].finish == .length && answers[2].finish == .length)
        #expect(answers[1].error == .deadline && answers[1].tokens.isEmpty)
    }

    @Test("a gap between tokens that is too long fails the request, but not while it has no credit")
    func idle() throws {
        let (server, gate) = try gated()
        let client = try server.client()
        var message = GenerateMessage.greedy("gap", maxTokens: 10, credit: 1)
        message.idleTimeout = 30
        let stream = try client.generate(message)
        gate.signal()
        var answer = Answer()
        while answer.tokens.isEmpty { answer.take(try client.next(), stream) }
        try client.pause(milliseconds: 100)
        #expect(server.wait { $0.parked == 1 }, "time without credit does not count")
        try client.send { (wire, bytes) throws(WireError) in
            try wire.sendCredit(on: stream, CreditMessage(limit: 10, consumed: 1), into: &bytes)
        }
        // Its second token is in a step that ends too late for the third.
        try client.pause(milliseconds: 100)
        gate.signal()
        while !answer.isComplete { answer.take(try client.next(), stream) }
        gate.signal()
        #expect(answer.error == .deadline)
        #expect(server.isIdle())
    }

    @Test("a timeout of nothing is refused", arguments: [0, 1])
    func zero(_ which: Int) throws {
        let server = try TestServer()
        let client = try server.client()
        var message = GenerateMessage.greedy("zero", maxTokens: 1)
        if which == 0 { message.firstTokenTimeout = 0 } else { message.idleTimeout = 0 }
        #expect(try client.collect(client.generate(message)).error == .invalid)
    }

    @Test("a reader that takes nothing for too long is told so")
    func slowConsumer() throws {
        let server = try TestServer { $0.limits.stallTimeout = 500 }
        let client = try server.client()
        let stalled = try client.generate(.greedy("stalled", maxTokens: 10, credit: 2))
        let answer = try client.collect(stalled)
        #expect(answer.error == .slowConsumer && answer.tokens.count == 2)
        #expect(server.isIdle())
        #expect(try client.collect(client.generate(.greedy("next", maxTokens: 5))).finish == .length)
    }
}
