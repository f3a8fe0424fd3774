import LMEngine
import Synchronization
import TestKit
import Testing

@Suite("Several engines behind one door")
struct ReplicatedEngineTests {
    /// A time that tests move.
    private final class Time: Sendable {
        let now = Mutex<UInt64>(1_000)
    }

    /// What came of a request.
    private struct Answer {
        var tokens: [Int32] = []
        var end: GenerationEnd?
    }

    /// Engines without threads, whose turns the test gives them.
    private struct Rig {
        let door: ReplicatedEngine
        let engines: [InferenceEngine]
        let time = Time()
        let inbox = EventInbox()
        var answers: [RequestID: Answer] = [:]

        init(_ scripts: [FakeBackend.Script], maxNumRequests: Int = 64) throws {
            let time = time
            let clock = MonotonicClock { time.now.withLock(\.self) }
            let tokenizer = FakeTokenizer()
            var options = EngineOptions()
            options.keyValueCacheBytes = 8 * 16 * 400
            options.maxNumRequests = maxNumRequests
            engines = try scripts.enumerated().map { index, script in
                try InferenceEngine(
                    backend: FakeBackend(vocabularySize: tokenizer.vocabularySize, script: script),
                    tokenizer: tokenizer,
                    model: .fake(vocabularySize: tokenizer.vocabularySize, contextLength: 512), options: options,
                    place: ReplicaPlace(index: index, of: scripts.count), clock: clock, seed: 1)
            }
            door = ReplicatedEngine(engines, clock: clock)
        }

        var outstanding: [Int] { engines.map(\.outstandingTokens) }

        func submit(_ request: GenerationRequest, number: UInt64 = 1) throws(EngineError) -> RequestID {
            try door.submit(request, tag: number * 10, to: inbox.mailbox)
        }

        /// Lets all engines work until the events of this many turns are there.
        mutating func run(_ turns: Int = 64) {
            for _ in 0..<turns { for engine in engines { _ = engine.turn() } }
            var batch = EventBatch()
            inbox.mailbox.drain(into: &batch)
            var ends = batch.ends[...]
            for event in batch.events {
                switch event.kind {
                case .token(let token, _, _, _): answers[event.request, default: Answer()].tokens.append(token)
                case .ended: answers[event.request, default: Answer()].end = ends.popFirst()
                }
            }
        }
    }

    private static func request(_ salt: UInt64, prompt: Int = 5, maxTokens: Int = 8) -> GenerationRequest {
        .test(prompt: prompt, salt: salt, maxTokens: maxTokens) { $0.stop.ignoreEndOfSequence = true }
    }

    @Test("A request goes where the fewest tokens are outstanding, and those of one that ended count no more")
    func leastOutstanding() throws {
        var rig = try Rig([FakeBackend.Script(), FakeBackend.Script()])
        _ = try rig.submit(Self.request(1, prompt: 30, maxTokens: 20))
        #expect(rig.outstanding == [50, 0])
        for number in 2...4 { _ = try rig.submit(Self.request(UInt64(number), prompt: 12), number: UInt64(number)) }
        #expect(rig.outstanding == [50, 60])
        _ = try rig.submit(Self.request(5), number: 5)
        #expect(rig.outstanding == [63, 60])
        rig.run()
        #expect(rig.outstanding == [0, 0])
        #expect(rig.door.statistics().tokensGenerated == 20 + 4 * 8)
        #expect(rig.door.statistics().blocksTotal == 2 * rig.engines[0].capacity.blockCount)
    }

    @Test("Answers are those of one engine; cancels and credit find the engine of their request")
    func commands() throws {
        var rig = try Rig([FakeBackend.Script(), FakeBackend.Script(), FakeBackend.Script()])
        var requests = (0..<9).map { Self.request($0, maxTokens: 12) }
        for number in 3..<6 { requests[number].creditLimit = 2 }
        var ids: [RequestID] = []
        for (number, request) in requests.enumerated() {
            ids.append(try rig.submit(request, number: UInt64(number + 1)))
        }
        #expect(Set(ids).count == 9)
        for number in 6..<9 { rig.door.cancel(ids[number]) }
        rig.run()
        for number in 3..<6 {
            #expect(rig.answers[ids[number]]?.tokens.count == 2)
            rig.door.grant(ids[number], creditLimit: 12)
            requests[number].creditLimit = 12
        }
        rig.run()
        for number in 0..<6 {
            #expect(rig.answers[ids[number]]?.tokens == (try SchedulerHarness.alone(requests[number]).tokens))
        }
        #expect(rig.door.statistics().cancels == 3)
        #expect(rig.outstanding == [0, 0, 0])
    }

    @Test("A full engine sends requests to the next; when all are full, or draining, that is said")
    func full() throws {
        var rig = try Rig([FakeBackend.Script(), FakeBackend.Script()], maxNumRequests: 2)
        _ = try rig.submit(Self.request(1, maxTokens: 100))
        for number in 2...3 { _ = try rig.submit(Self.request(UInt64(number)), number: UInt64(number)) }
        #expect(rig.outstanding == [105, 26])
        _ = try rig.submit(Self.request(4), number: 4)
        #expect(rig.outstanding == [118, 26], "the second has less to do, and no room")
        let refusal = #expect(throws: EngineError.self) { try rig.submit(Self.request(5), number: 5) }
        #expect(refusal?.code == .overloaded)
        rig.run(128)
        rig.door.drain()
        let error = #expect(throws: EngineError.self) { try rig.submit(Self.request(6), number: 6) }
        #expect(error?.code == .draining)
    }

    @Test("An engine that fails everything at once draws no requests to itself, and gets one again after five seconds")
    func ailing() throws {
        let lost = Lost()
        var script = FakeBackend.Script()
        script.willExecute = { _ throws(EngineError) in
            if lost.isLost.withLock(\.self) { throw EngineError(.deviceLost, "planted") }
        }
        var rig = try Rig([script, FakeBackend.Script()])
        let first = try rig.submit(Self.request(1))
        rig.run()
        guard case .failed(let error, _) = rig.answers[first]?.end else {
            Issue.record("\(String(describing: rig.answers[first]))")
            return
        }
        #expect(error.code == .deviceLost)
        #expect(rig.outstanding == [0, 0])
        for number in 2...5 { _ = try rig.submit(Self.request(UInt64(number)), number: UInt64(number)) }
        #expect(rig.outstanding == [0, 4 * 13])
        rig.time.now.withLock { $0 += 5_000_000_000 }
        lost.isLost.withLock { $0 = false }
        let probe = try rig.submit(Self.request(6), number: 6)
        #expect(rig.outstanding[0] == 13)
        rig.run()
        #expect(rig.answers[probe]?.tokens.count == 8)
        _ = try rig.submit(Self.request(7), number: 7)
        #expect(rig.outstanding == [13, 0], "it is well again")
    }

    private final class Lost: Sendable {
        let isLost = Mutex(true)
    }
}
