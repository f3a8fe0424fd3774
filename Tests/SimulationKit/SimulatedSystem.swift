internal import Glibc
package import LMTransport
internal import TestKit

/// A machine that exists only in memory: descriptors, sockets, pollers, wake-ups, a clock and randomness, all from one
/// seed. It answers as Linux does, and as badly as Linux may.
package final class SimulatedSystem: System, @unchecked Sendable {  // one thread: that of the world
    private enum Thing {
        case socket(StreamSocket)
        case listener(ListenerSocket)
        /// A socket that will be one of the two above.
        case fresh(SocketAddress?)
        case poller
        case wakeup
        case spare
    }

    private struct Entry {
        var thing: Thing
        /// The poller that watches it.
        var watch: (poller: Int32, interest: Readiness, word: UInt64)?
        /// Wake-ups: whether it is readable. Pollers: whether anything that they watch is ready.
        var isSignalled = false
        /// Pollers: until when the last wait would have slept; 0 when it had something to report.
        var sleep: UInt64 = 0
    }

    private let time: VirtualTime
    private let faults: FaultSwarm
    private let log: EventLog
    private let network: Network
    private var generator: TestRandom
    private var entries: [Entry?] = []
    /// Calls that moved, opened, closed or changed something.
    private(set) var effects = 0

    init(seed: UInt64, time: VirtualTime, faults: FaultSwarm, log: EventLog, network: Network) {
        self.time = time
        self.faults = faults
        self.log = log
        self.network = network
        generator = TestRandom(seed: seed)
    }

    /// Descriptors that are open.
    package var openDescriptors: [String] {
        entries.indices.compactMap { index in entries[index].map { "\(index): \($0.thing)" } }
    }

    /// Looks at everything that is watched; `nextTurn` tells from what was seen.
    func look() {
        for (index, entry) in entries.enumerated() {
            guard let entry, case .poller = entry.thing else { continue }
            entries[index]?.isSignalled = false
        }
        for case let entry? in entries where readiness(entry) != nil {
            if let poller = entry.watch?.poller { entries[Int(poller)]?.isSignalled = true }
        }
    }

    /// When a loop that waits with this poller runs next without anything happening: now, if something is ready.
    func nextTurn(of poller: Int32) -> UInt64 {
        guard let entry = entries[Int(poller)] else { return .max }
        return entry.isSignalled ? time.now : max(time.now, entry.sleep)
    }

    package func monotonicNanoseconds() -> UInt64 { time.now }

    package func random() -> UInt64 { generator.next() }
}

// Descriptors.
extension SimulatedSystem {
    private func open(_ thing: Thing) -> Int32 {
        let entry = Entry(thing: thing)
        // The lowest free number, as Linux does: what was closed is soon something else.
        if let free = entries.firstIndex(where: { $0 == nil }) {
            entries[free] = entry
            return Int32(free)
        }
        entries.append(entry)
        return Int32(entries.count - 1)
    }

    private func entry(_ descriptor: Int32) -> Entry? {
        entries.indices.contains(Int(descriptor)) ? entries[Int(descriptor)] : nil
    }

    private func stream(_ descriptor: Int32) -> StreamSocket? {
        guard case .socket(let socket) = entry(descriptor)?.thing else { return nil }
        return socket
    }

    package func close(_ descriptor: Int32) {
        guard let entry = entry(descriptor) else {
            preconditionFailure("descriptor \(descriptor) is closed twice")
        }
        effects += 1
        log.note("close", UInt64(descriptor))
        entries[Int(descriptor)] = nil
        switch entry.thing {
        case .socket(let socket): network.close(socket)
        case .listener(let listener): network.close(listener)
        case .fresh, .poller, .wakeup, .spare: break
        }
    }

    package func openSpare() -> Int32 { open(.spare) }
    package func removeSocket(at path: String) {}
}

// Sockets.
extension SimulatedSystem {
    package func openSocket(for address: SocketAddress) -> Int32 { open(.fresh(nil)) }

    package func bind(_ socket: Int32, to address: SocketAddress) -> Int32 {
        entries[Int(socket)]?.thing = .fresh(address)
        return 0
    }

    package func listen(_ socket: Int32, backlog: Int32) -> Int32 {
        guard case .fresh(let address?) = entry(socket)?.thing else { return -EINVAL }
        let listener = ListenerSocket()
        entries[Int(socket)]?.thing = .listener(listener)
        return network.listen(listener, at: address)
    }

    package func accept(_ listener: Int32, peer: inout SocketAddress?) -> Int32 {
        guard case .listener(let waiting) = entry(listener)?.thing else { return -EBADF }
        if faults.strikes(.interrupt, oneIn: 20) { return -EINTR }
        guard !waiting.waiting.isEmpty else { return -EAGAIN }
        if faults.strikes(.accept, oneIn: 4) {
            let error = [EMFILE, ENFILE, ENOBUFS, ECONNABORTED, EPROTO][faults.number(0...4)]
            if error == ECONNABORTED || error == EPROTO {
                let lost = waiting.waiting.removeFirst()
                lost.link?.resetBoth()
                lost.isClosed = true
            }
            return -error
        }
        let socket = waiting.waiting.removeFirst()
        peer = socket.peerAddress
        effects += 1
        let descriptor = open(.socket(socket))
        log.note("accept", UInt64(descriptor))
        return descriptor
    }

    package func connect(_ socket: Int32, to address: SocketAddress) -> Int32 {
        let stream = StreamSocket()
        entries[Int(socket)]?.thing = .socket(stream)
        effects += 1
        log.note("connect", UInt64(socket))
        return network.connect(stream, to: address)
    }

    package func takeError(_ socket: Int32) -> Int32 { stream(socket)?.takeError() ?? ENOTSOCK }

    package func peerUser(_ socket: Int32) -> UInt32? { nil }

    package func localAddress(_ socket: Int32) -> SocketAddress? {
        guard case .listener(let listener) = entry(socket)?.thing else { return nil }
        return listener.address
    }

    package func set(_ option: SocketOption, on socket: Int32) -> Int32 {
        if case .userTimeout(let milliseconds) = option {
            stream(socket)?.userTimeout = UInt64(milliseconds) * millisecond
        }
        return 0
    }

    package func receive(_ socket: Int32, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        guard let stream = stream(socket) else { return -Int(EBADF) }
        if faults.strikes(.interrupt, oneIn: 20) { return -Int(EINTR) }
        if faults.strikes(.interrupt, oneIn: 20) { return -Int(EAGAIN) }
        let count = network.receive(stream, into: buffer)
        if count >= 0 { effects += 1 }
        return count
    }

    package func send(_ socket: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
        guard let stream = stream(socket) else { return -Int(EBADF) }
        if faults.strikes(.interrupt, oneIn: 20) { return -Int(EINTR) }
        if faults.strikes(.interrupt, oneIn: 20) { return -Int(EAGAIN) }
        let count = network.send(stream, bytes)
        if count >= 0 { effects += 1 }
        return count
    }

    package func shutdownOutput(_ socket: Int32) {
        if let stream = stream(socket) { network.endOutput(stream) }
    }
}

// The poller and the wake-ups.
extension SimulatedSystem {
    package func openPoller() -> Int32 { open(.poller) }

    package func watch(
        _ descriptor: Int32, for interest: Readiness?, word: UInt64, isNew: Bool, poller: Int32
    ) -> Int32 {
        guard let entry = entry(descriptor) else { return -EBADF }
        guard (entry.watch == nil) == isNew else { return isNew ? -EEXIST : -ENOENT }
        effects += 1
        entries[Int(descriptor)]?.watch = interest.map { (poller, $0, word) }
        return 0
    }

    private func readiness(_ entry: Entry) -> PollEvent? {
        guard let watch = entry.watch else { return nil }
        var ready: Readiness
        switch entry.thing {
        case .socket(let socket): ready = socket.readiness
        case .listener(let listener): ready = listener.waiting.isEmpty ? nothing : .input
        case .wakeup: ready = entry.isSignalled ? .input : nothing
        case .fresh, .poller, .spare: ready = nothing
        }
        ready.formIntersection(watch.interest.union(.always))
        return ready.isEmpty ? nil : PollEvent(word: watch.word, readiness: ready)
    }

    package func wait(_ poller: Int32, timeout: Int32, into events: inout [PollEvent]) -> Int32 {
        if faults.strikes(.interrupt, oneIn: 20) { return -EINTR }
        var ready = entries.compactMap { $0?.watch?.poller == poller ? $0.flatMap(readiness) : nil }
        guard !ready.isEmpty else {
            entries[Int(poller)]?.sleep = timeout < 0 ? .max : time.now + UInt64(timeout) * millisecond
            return 0
        }
        entries[Int(poller)]?.sleep = 0
        faults.shuffle(&ready)
        if faults.strikes(.interrupt, oneIn: 2) { ready = Array(ready.prefix((ready.count + 1) / 2)) }
        events.append(contentsOf: ready)
        return Int32(ready.count)
    }

    package func openWakeup() -> Int32 { open(.wakeup) }
    package func signal(_ wakeup: Int32) { entries[Int(wakeup)]?.isSignalled = true }
    package func clear(_ wakeup: Int32) {
        effects += 1
        entries[Int(wakeup)]?.isSignalled = false
    }
}
