import LMEngine
import Synchronization
import TestKit
import Testing

@Suite("A driver that does not come back", .timeLimit(.minutes(2)))
struct HungDeviceTests {
    /// A device whose driver hangs in one step until it is let go. The first step waits for the test.
    private final class Device: Sendable {
        let vigil = DeviceVigil()
        private let hangingStep: Int
        private let steps = Mutex(0)
        let renewals = Mutex(0)
        let start = Arrivals()
        let events = Mutex<[DeviceHang]>([])
        let hanging = Arrivals()
        let release = Arrivals()
        let told = Arrivals()

        init(hangingIn step: Int) { hangingStep = step }

        func script() -> FakeBackend.Script {
            var script = FakeBackend.Script()
            script.willExecute = { [self] _ throws(EngineError) in
                let step = steps.withLock { steps in
                    steps += 1
                    return steps
                }
                if step == 1 { _ = start.wait() }
                vigil.begin("a step", milliseconds: 200)
                defer { vigil.end() }
                guard step == hangingStep else { return }
                hanging.signal()
                _ = release.wait()
            }
            script.willRenew = { [self] () throws(EngineError) in renewals.withLock { $0 += 1 } }
            return script
        }

        /// Waits until so many events have been told.
        func wait(for count: Int) -> [DeviceHang] {
            while events.withLock({ $0.count < count }), told.wait() {}
            return events.withLock(\.self)
        }
    }

    private static func engine(
        _ device: Device, place: ReplicaPlace = .alone, margin: Int = 300, patience: Int = 60_000
    ) throws -> InferenceEngine {
        let tokenizer = FakeTokenizer()
        var options = EngineOptions()
        options.keyValueCacheBytes = 8 * 16 * 400
        options.maxNumSeqs = 2
        options.hangs.margin = margin
        options.hangs.patience = patience
        options.hangs.tell = { event in
            device.events.withLock { $0.append(event) }
            device.told.signal()
        }
        return try InferenceEngine(
            backend: FakeBackend(
                vocabularySize: tokenizer.vocabularySize, script: device.script(), vigil: device.vigil),
            tokenizer: tokenizer, model: .fake(vocabularySize: tokenizer.vocabularySize, contextLength: 512),
            options: options, place: place)
    }

    /// Where the events of an engine go.
    private struct Reader {
        let inbox = EventInbox()
        var collector = OutputCollector()

        /// Collects events until something holds.
        mutating func wait(until isDone: (OutputCollector) -> Bool) {
            var batch = EventBatch()
            while !isDone(collector) {
                guard inbox.wait(into: &batch) else {
                    Issue.record("no event for 30 seconds")
                    return
                }
                collector.collect(batch)
            }
        }
    }

    private static func request(_ salt: UInt64, maxTokens: Int = 400) -> GenerationRequest {
        .test(prompt: 5, salt: salt, maxTokens: maxTokens) { $0.stop.ignoreEndOfSequence = true }
    }

    @Test("All requests fail once, new ones are refused; when the driver comes back, the device is set up anew")
    func comesBack() throws {
        let device = Device(hangingIn: 12)
        let engine = try Self.engine(device)
        var reader = Reader()
        // Of four one is parked soon, so that two run and one waits.
        var ids: [RequestID] = []
        for number in 1...4 {
            var request = Self.request(UInt64(number))
            if number == 1 { request.creditLimit = 1 }
            ids.append(try engine.submit(request, tag: UInt64(number) * 10, to: reader.inbox.mailbox))
        }
        device.start.signal()
        #expect(device.hanging.wait())
        // One that the engine thread has not seen, and commands that nobody will read.
        ids.append(try engine.submit(Self.request(5), tag: 50, to: reader.inbox.mailbox))
        engine.cancel(ids[1])
        engine.grant(ids[0], creditLimit: 400)

        reader.wait { collector in ids.allSatisfy { collector[$0].isEnded } }
        for id in ids {
            #expect(reader.collector[id].error?.code == .deviceLost)
            #expect(reader.collector[id].usage?.promptTokens == 5)
        }
        let counts = ids.map { reader.collector[$0].tokens.count }
        #expect(counts[0] == 1 && counts[1] > 5 && counts[2] > 5 && counts[3...].allSatisfy { $0 == 0 }, "\(counts)")
        #expect(ids.map { reader.collector[$0].usage?.completionTokens } == counts)
        let refusal = #expect(throws: EngineError.self) {
            try engine.submit(Self.request(6), tag: 60, to: reader.inbox.mailbox)
        }
        #expect(refusal?.code == .deviceLost)
        #expect(engine.isHung && engine.statistics().isHung)
        #expect(engine.statistics().failures == 5 && engine.statistics().running == 0)
        #expect(device.renewals.withLock(\.self) == 0)

        device.release.signal()
        let events = device.wait(for: 2)
        guard case .began(let text) = events.first, case .ended = events.last, events.count == 2 else {
            Issue.record("\(events)")
            return
        }
        #expect(text.contains("a step (in no call of the driver) has not come back for 0 s"), "\(text)")
        #expect(device.renewals.withLock(\.self) == 1)
        #expect(!engine.isHung)
        let again = Self.request(7, maxTokens: 12)
        let id = try engine.submit(again, tag: 60, to: reader.inbox.mailbox)
        reader.wait { $0[id].isEnded }
        #expect(reader.collector[id].isSame(as: try SchedulerHarness.alone(again)))
        let statistics = engine.statistics()
        #expect(!statistics.isHung && statistics.failures == 5)
        #expect(statistics.cancels == 0 && statistics.failedSteps == 1)
        #expect(statistics.blocksOwned == 0)
        #expect(statistics.blocksFree + statistics.blocksCached == statistics.blocksTotal)
        #expect(engine.outstandingTokens == 0)
    }

    @Test("One that does not come back in time is final, and is not waited for at the end")
    func isFinal() throws {
        let device = Device(hangingIn: 1)
        let engine = try Self.engine(device, patience: 100)
        device.start.signal()
        var reader = Reader()
        let id = try engine.submit(Self.request(1), tag: 10, to: reader.inbox.mailbox)
        reader.wait { $0[id].isEnded }
        #expect(reader.collector[id].error?.code == .deviceLost)
        let events = device.wait(for: 2)
        guard case .isFinal = events.last, events.count == 2 else {
            Issue.record("\(events)")
            return
        }
        engine.shutdown()
        #expect(engine.isHung)
        device.release.signal()
    }

    @Test("A shutdown that waits for a step which hangs ends when that is known")
    func shutDownMeanwhile() throws {
        let device = Device(hangingIn: 1)
        let engine = try Self.engine(device)
        device.start.signal()
        var reader = Reader()
        let id = try engine.submit(Self.request(1), tag: 10, to: reader.inbox.mailbox)
        #expect(device.hanging.wait())
        engine.shutdown()
        reader.wait { $0[id].isEnded }
        #expect(reader.collector[id].error?.code == .deviceLost)
        device.release.signal()
    }

    @Test("A step that takes longer than its limit by less than the margin is waited for")
    func late() throws {
        let device = Device(hangingIn: 3)
        let engine = try Self.engine(device, margin: 60_000)
        device.start.signal()
        var reader = Reader()
        let request = Self.request(1, maxTokens: 6)
        let id = try engine.submit(request, tag: 10, to: reader.inbox.mailbox)
        #expect(device.hanging.wait())
        #expect(!device.told.wait(seconds: 1))
        device.release.signal()
        reader.wait { $0[id].isEnded }
        #expect(reader.collector[id].isSame(as: try SchedulerHarness.alone(request)))
        #expect(device.renewals.withLock(\.self) == 0)
    }

    @Test("A copy that hangs is passed by, and the other copies take its requests")
    func copies() throws {
        let devices = [Device(hangingIn: 1), Device(hangingIn: 0)]
        let engines = try devices.enumerated().map { index, device in
            try Self.engine(device, place: ReplicaPlace(index: index, of: 2))
        }
        let door = ReplicatedEngine(engines)
        for device in devices { device.start.signal() }
        var reader = Reader()
        let lost = try door.submit(Self.request(1), tag: 10, to: reader.inbox.mailbox)
        reader.wait { $0[lost].isEnded }
        #expect(reader.collector[lost].error?.code == .deviceLost)
        #expect(door.statistics().enginesHung == 1 && !door.statistics().isHung)
        for number in 1...4 {
            let request = Self.request(2, maxTokens: 6)
            // The second of two engines counts by two from 2, which the tags say.
            let id = try door.submit(request, tag: UInt64(number) * 20, to: reader.inbox.mailbox)
            reader.wait { $0[id].isEnded }
            #expect(reader.collector[id].isSame(as: try SchedulerHarness.alone(request)))
        }
        devices[0].release.signal()
        _ = devices[0].wait(for: 2)
        #expect(door.statistics().enginesHung == 0)
    }
}
