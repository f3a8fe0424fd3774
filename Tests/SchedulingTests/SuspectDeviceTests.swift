import LMEngine
import Synchronization
import TestKit
import Testing

@Suite("A device that is suspected")
struct SuspectDeviceTests {
    /// An engine whose turns the test gives it, on a time that the test moves. Prompts that begin with `damaged` yield no
    /// finite number at their fourth token.
    private struct Rig {
        final class Shared: Sendable {
            let now = Mutex<UInt64>(1_000)
            let examinations = Mutex(0)
            let isAtFault = Mutex(false)
        }

        static let damaged: Int32 = 7
        let shared = Shared()
        let engine: InferenceEngine
        let inbox = EventInbox()
        var collector = OutputCollector()
        private var count: UInt64 = 0

        init() throws {
            let shared = shared
            let tokenizer = FakeTokenizer()
            var script = FakeBackend.Script()
            script.output = { history, promptLength in
                history[0] == Self.damaged && history.count - promptLength == 3 ? .nonFinite : .natural
            }
            script.willExamine = { () throws(EngineError) in
                shared.examinations.withLock { $0 += 1 }
                if shared.isAtFault.withLock(\.self) { throw EngineError(.deviceLost, "planted") }
            }
            var options = EngineOptions()
            options.keyValueCacheBytes = 8 * 16 * 400
            engine = try InferenceEngine(
                backend: FakeBackend(vocabularySize: tokenizer.vocabularySize, script: script), tokenizer: tokenizer,
                model: .fake(vocabularySize: tokenizer.vocabularySize, contextLength: 512), options: options,
                clock: MonotonicClock { shared.now.withLock(\.self) }, seed: 1)
        }

        var examinations: Int { shared.examinations.withLock(\.self) }

        mutating func submit(_ request: GenerationRequest) throws -> RequestID {
            count += 1
            return try engine.submit(request, tag: count * 10, to: inbox.mailbox)
        }

        mutating func submitDamaged() throws -> RequestID {
            var request = SuspectDeviceTests.request(count + 100)
            request.prompt[0] = Self.damaged
            return try submit(request)
        }

        mutating func run(_ turns: Int = 40) {
            for _ in 0..<turns { _ = engine.turn() }
            var batch = EventBatch()
            inbox.mailbox.drain(into: &batch)
            collector.collect(batch)
        }

        func pass(seconds: UInt64) { shared.now.withLock { $0 += seconds * 1_000_000_000 } }
    }

    private static func request(_ salt: UInt64) -> GenerationRequest {
        var request = GenerationRequest.test(salt: salt, maxTokens: 20) { $0.stop.ignoreEndOfSequence = true }
        request.prompt[0] = 8
        return request
    }

    @Test("Three requests within a minute have it looked at; sound or not, no other fails", arguments: [false, true])
    func examination(isAtFault: Bool) throws {
        var rig = try Rig()
        rig.shared.isAtFault.withLock { $0 = isAtFault }
        let sound = Self.request(1)
        let other = try rig.submit(sound)
        let damaged = [try rig.submitDamaged(), try rig.submitDamaged(), try rig.submitDamaged()]
        rig.run()
        for id in damaged { #expect(rig.collector[id].error?.code == .nonFiniteLogits) }
        #expect(rig.examinations == 1)
        #expect(rig.collector[other].isSame(as: try SchedulerHarness.alone(sound)))
        let statistics = rig.engine.statistics()
        #expect(statistics.preemptions == (isAtFault ? 1 : 0), "keys and values are computed anew")
        #expect(statistics.failures == 3 && statistics.blocksOwned == 0)
        let again = try rig.submit(sound)
        rig.run()
        #expect(rig.collector[again].tokens == rig.collector[other].tokens)
    }

    @Test("Fewer do not, nor do three in more than a minute")
    func few() throws {
        var rig = try Rig()
        for _ in 0..<4 {
            _ = try rig.submitDamaged()
            rig.run()
            rig.pass(seconds: 31)
        }
        #expect(rig.engine.statistics().failures == 4 && rig.examinations == 0)
    }

    @Test("It is not looked at twice in a minute, however many requests fail")
    func often() throws {
        var rig = try Rig()
        for _ in 0..<9 { _ = try rig.submitDamaged() }
        rig.run()
        #expect(rig.engine.statistics().failures == 9 && rig.examinations == 1)
        rig.pass(seconds: 61)
        for _ in 0..<3 { _ = try rig.submitDamaged() }
        rig.run()
        #expect(rig.examinations == 2)
    }
}
