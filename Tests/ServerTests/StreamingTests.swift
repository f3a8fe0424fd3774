import LMEngine
import LMProtocol
import LMServer
import TestKit
import Testing

@Suite(.serialized, .timeLimit(.minutes(5))) struct StreamingTests {
    @Test("a stream's tokens are numbered, whole and counted")
    func oneStream() throws {
        let server = try TestServer()
        let client = try server.client()
        let stream = try client.generate(.greedy("hello", maxTokens: 40))
        let answer = try client.collect(stream)
        #expect(answer.tokens.count == 40)
        #expect(answer.finish == .length)
        #expect(answer.completionTokens == 40)
        #expect(String(validating: answer.text, as: UTF8.self) != nil)
        #expect(server.isIdle())
        #expect(server.backend.faults.isEmpty)
    }

    @Test("32 streams at once equal the same requests alone")
    func concurrent() throws {
        let server = try TestServer()
        let client = try server.client()
        let prompts = (0..<32).map { "prompt number \($0) " + String(repeating: "x", count: $0 * 7) }
        let alone = try prompts.map { try client.collect(client.generate(.greedy($0, maxTokens: 50))) }

        let streams = try prompts.map { try client.generate(.greedy($0, maxTokens: 50)) }
        var together = [Answer](repeating: Answer(), count: streams.count)
        while !together.allSatisfy(\.isComplete) {
            let action = try client.next()
            for (index, stream) in streams.enumerated() { together[index].take(action, stream) }
        }
        #expect(together.map(\.tokens) == alone.map(\.tokens))
        #expect(together.map(\.text) == alone.map(\.text))
        #expect(server.backend.faults.isEmpty)
    }

    @Test("no token is produced beyond the credit, and others run at full speed")
    func credit() throws {
        let server = try TestServer()
        let slow = try server.client()
        let stream = try slow.generate(.greedy("slow", maxTokens: 100, credit: 8))
        var answer = Answer()
        while answer.tokens.count < 8 { answer.take(try slow.next(), stream) }

        let fast = try server.client()
        for _ in 0..<3 {
            #expect(try fast.collect(fast.generate(.greedy("fast", maxTokens: 100))).tokens.count == 100)
        }
        #expect(server.wait { $0.parked == 1 })
        #expect(server.engine.statistics().tokensGenerated == 308)

        for consumed in 1...92 {
            try slow.send { (wire, bytes) throws(WireError) in
                let credit = CreditMessage(limit: UInt32(8 + consumed), consumed: UInt32(consumed))
                try wire.sendCredit(on: stream, credit, into: &bytes)
            }
            while answer.tokens.count < 8 + consumed { answer.take(try slow.next(), stream) }
            #expect(server.engine.statistics().tokensGenerated <= 308 + consumed)
        }
        while !answer.isComplete { answer.take(try slow.next(), stream) }
        #expect(answer.tokens.count == 100)
    }

    @Test("CANCEL ends a stream with FINISH and frees it")
    func cancel() throws {
        let server = try TestServer()
        let client = try server.client()
        let stream = try client.generate(.greedy("x", maxTokens: 4_000))
        var answer = Answer()
        while answer.tokens.isEmpty { answer.take(try client.next(), stream) }
        try client.send { (wire, bytes) throws(WireError) in try wire.sendCancel(on: stream, .user, into: &bytes) }
        while !answer.isComplete { answer.take(try client.next(), stream) }
        #expect(answer.finish == .cancelled)
        #expect(server.isIdle())
        // The connection is as good as new.
        #expect(try client.collect(client.generate(.greedy("y", maxTokens: 5))).tokens.count == 5)
    }

    @Test("a client that disappears leaves nothing behind", arguments: [0, 1, 30])
    func disconnect(afterTokens count: Int) throws {
        let server = try TestServer()
        do {
            let client = try server.client()
            let streams = try (0..<20).map { try client.generate(.greedy("gone \($0)", maxTokens: 4_000)) }
            var answer = Answer()
            while answer.tokens.count < count { answer.take(try client.next(), streams[0]) }
        }
        #expect(server.isIdle())
    }

    @Test("a client may end its side and still get the whole answer")
    func halfClose() throws {
        let server = try TestServer()
        let client = try server.client()
        let stream = try client.generate(.greedy("half", maxTokens: 200))
        client.endOutput()
        #expect(try client.collect(stream).tokens.count == 200)
        try client.waitForEnd()
    }

    @Test("a reader that never reads holds its own stream and no other")
    func neverReads() throws {
        let piece = [UInt8](repeating: UInt8(ascii: "a"), count: 4_000)
        var script = FakeBackend.Script()
        script.output = { _, _ in .token(FakeTokenizer.firstPiece) }
        let server = try TestServer(tokenizer: FakeTokenizer(pieces: [piece]), script: script) {
            $0.limits.outboundSoftBytes = 65_536
            // Under sanitizers all this takes long, and who does not read does not answer PING either.
            ($0.limits.stallTimeout, $0.limits.deadPeerTimeout) = (600_000, 600_000)
        }
        let deaf = try server.client(receiveBuffer: 4_096)
        let stream = try deaf.generate(.greedy("never", maxTokens: 4_000))
        let other = try server.client()
        // The stream stops for good once the kernel's buffers are full; until then it may pause between two grants.
        var alone = false
        for _ in 0..<200 where !alone {
            #expect(server.wait { $0.parked == 1 })
            let produced = server.engine.statistics().tokensGenerated
            #expect(try other.collect(other.generate(.greedy("other", maxTokens: 300))).tokens.count == 300)
            alone = server.engine.statistics().tokensGenerated == produced + 300
        }
        #expect(alone)
        #expect(server.engine.statistics().parked == 1)

        #expect(try deaf.collect(stream).tokens.count == 4_000)
    }

    @Test("1,000 random cancels and disconnects leave the ledger exact and no descriptor open")
    func churn() throws {
        let server = try TestServer(contextLength: 512)
        var random = TestRandom(seed: 7)
        let descriptors = openDescriptors()
        var ended = 0
        while ended < 1_000 {
            let client = try server.client()
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                let stream = try client.generate(
                    .greedy(String(repeating: "p", count: .random(in: 1...200, using: &random)), maxTokens: 200))
                var answer = Answer()
                for _ in 0..<Int.random(in: 0...6, using: &random) where !answer.isComplete {
                    answer.take(try client.next(), stream)
                }
                if Bool.random(using: &random) {
                    try client.send { (wire, bytes) throws(WireError) in
                        try wire.sendCancel(on: stream, .user, into: &bytes)
                    }
                }
                ended += 1
            }
        }
        #expect(server.isIdle())
        let statistics = server.engine.statistics()
        #expect(statistics.blocksFree + statistics.blocksCached == statistics.blocksTotal)
        #expect(server.backend.faults.isEmpty)
        // Other suites of this process open and close theirs meanwhile; a leak would be one for each of some 200
        // connections. The server's side of the last one may close a moment later.
        #expect(server.wait { _ in openDescriptors() <= descriptors + 64 })
    }
}
