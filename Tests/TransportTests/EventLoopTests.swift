import Glibc
import LMTransport
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(5))) struct EventLoopTests {
    @Test func timersFireByDeadlineThenByOrder() throws {
        let loop = try EventLoop(name: "test")
        let fired = Mutex<[String]>([])
        func note(_ name: String, after delay: Duration) -> LMTransport.Timer {
            loop.schedule(after: delay) { fired.withLock { $0.append(name) } }
        }
        _ = note("third", after: .milliseconds(3))
        _ = note("first", after: .milliseconds(1))
        let cancelled = note("cancelled", after: .milliseconds(1))
        _ = note("second", after: .milliseconds(1))
        cancelled.cancel()
        #expect(!cancelled.isPending)
        while fired.withLock({ $0.count }) < 3 { loop.turn() }
        #expect(fired.withLock { $0 } == ["first", "second", "third"])
    }

    @Test func manyTimersKeepTheirOrder() throws {
        let loop = try EventLoop(name: "test")
        let fired = Mutex<[Int]>([])
        var generator = SystemRandomNumberGenerator()
        let delays = (0..<2000).map { _ in Int.random(in: 0..<2_000_000, using: &generator) }
        let timers = delays.map { delay in
            loop.schedule(after: .nanoseconds(delay)) { fired.withLock { $0.append(delay) } }
        }
        for index in stride(from: 0, to: timers.count, by: 2) { timers[index].cancel() }
        let expected = delays.enumerated().filter { $0.offset % 2 == 1 }.map(\.element).sorted()
        while fired.withLock({ $0.count }) < expected.count { loop.turn() }
        #expect(fired.withLock { $0 } == expected)
    }

    @Test func aTimerMayMakeAndCancelTimers() throws {
        let loop = try EventLoop(name: "test")
        let fired = Mutex(0)
        let victim = loop.schedule(after: .milliseconds(1)) { fired.withLock { $0 += 100 } }
        loop.schedule(after: .zero) {
            victim.cancel()
            loop.schedule(after: .milliseconds(2)) { fired.withLock { $0 += 1 } }
        }
        while fired.withLock({ $0 }) == 0 { loop.turn() }
        #expect(fired.withLock { $0 } == 1)
    }

    @Test func wakesCoalesceAndNoneIsLost() throws {
        let loop = try EventLoop(name: "test")
        let posted = Atomic(0)
        let seen = Atomic(0)
        let woken = Atomic(0)
        let done = Waiting<Bool>()
        loop.onWake {
            woken.add(1, ordering: .relaxed)
            seen.store(posted.load(ordering: .acquiring), ordering: .relaxed)
            if seen.load(ordering: .relaxed) == 40_000 { done.put(true) }
        }
        try loop.start()
        let threads = (0..<4).map { _ in
            Spawned {
                for _ in 0..<10_000 {
                    posted.add(1, ordering: .acquiringAndReleasing)
                    loop.wake()
                }
            }
        }
        for thread in threads { thread.join() }
        #expect(done.next() == true)
        loop.stop()
        #expect(woken.load(ordering: .relaxed) <= 40_000)
    }

    @Test func jobsRunInOrderOnTheLoop() throws {
        let loop = try EventLoop(name: "test")
        try loop.start()
        let ran = Waiting<Int>()
        for number in 0..<100 { loop.post { ran.put(loop.isCurrent ? number : -1) } }
        for number in 0..<100 { #expect(ran.next() == number) }
        #expect(!loop.isCurrent)
        loop.stop()
    }

    @Test func stoppingClosesEveryChannel() throws {
        let handler = Recorder()
        let server = try TestServer { handler }
        let peer = try Peer(to: server.address)
        #expect(handler.told.next() == .ready)
        server.loop.stop()
        guard case .closed(let error?) = handler.told.next() else {
            Issue.record("not closed")
            return
        }
        #expect(error.code == .stopped)
        #expect(peer.receive(1).isEmpty)
        #expect(throws: TransportError.self) { try Peer(to: server.address) }
    }

    /// A channel with something to write is known to its loop and knows it.
    @Test func aStoppedLoopLetsItsChannelsGo() throws {
        let server = try TestServer { Recorder.echo() }
        weak var former: EventLoop?
        do {
            let loop = try EventLoop(name: "test")
            former = loop
            let handler = Recorder()
            let channel = Channel(
                connectingTo: try Endpoint(server.address.description), on: loop, handler: handler)
            while handler.told.isEmpty { loop.turn() }
            channel.write { $0.append(1) }
            loop.stop()
        }
        #expect(former == nil)
    }

    /// The kernel may report a descriptor that was closed earlier in the same turn, when a new socket has its number.
    @Test func eventsOfFormerDescriptorsReachNobody() throws {
        let system = ScriptedSystem(ScriptedSystem.Script())
        let channels = Waiting<Channel>()
        // Paused, so that a hang-up cannot be taken for something to read.
        let handler = Recorder { channel, bytes in
            channel.write { $0.append(contentsOf: bytes) }
            channel.pauseReading()
            channels.put(channel)
            return bytes.count
        }
        let server = try TestServer(system: system) { handler }
        let peer = try Peer(to: server.address)
        peer.send([1])
        #expect(peer.receive(1) == [1])
        system.script.withLock { script in
            let former = (script.words.last ?? 0) &- (1 << 32)
            script.staleEvents = [PollEvent(word: former, readiness: [.error, .hangUp])]
        }
        let channel = try #require(channels.next())
        server.loop.post { channel.resumeReading() }
        peer.send([2])
        #expect(peer.receive(1) == [2])
        #expect(system.script.withLock { $0.staleEvents.isEmpty })
    }
}

/// A plain thread.
private final class Spawned: Sendable {
    private let thread: pthread_t

    init(_ body: @escaping @Sendable () -> Void) {
        final class Box: Sendable {
            let body: @Sendable () -> Void
            init(_ body: @escaping @Sendable () -> Void) { self.body = body }
        }
        var thread = pthread_t()
        pthread_create(
            &thread, nil,
            { argument in
                if let argument { Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body() }
                return nil
            }, Unmanaged.passRetained(Box(body)).toOpaque())
        self.thread = thread
    }

    func join() { pthread_join(thread, nil) }
}
