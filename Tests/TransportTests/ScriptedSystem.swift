import Glibc
import LMTransport
import Synchronization

/// The real machine with faults where a test wants them.
final class ScriptedSystem: System {
    struct Script: Sendable {
        /// Called with the number of the call and the size wanted; returns the most that may move, or minus an error.
        var onSend: @Sendable (Int, Int) -> Int = { $1 }
        var onReceive: @Sendable (Int, Int) -> Int = { $1 }
        /// Answers of the next accepts, minus errors; the real machine answers when it is empty.
        var accepts: [Int32] = []
        /// Reported once, together with what the machine reports next.
        var staleEvents: [PollEvent] = []
        /// What each descriptor was watched under, in order.
        var words: [UInt64] = []
        var sends = 0
        var receives = 0
        var realAccepts = 0
    }

    let script: Mutex<Script>
    private let base = LinuxSystem()

    init(_ script: Script) { self.script = Mutex(script) }

    func send(_ socket: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
        let limit = script.withLock { script in
            script.sends += 1
            return script.onSend(script.sends, bytes.count)
        }
        guard limit > 0 else { return limit }
        return base.send(socket, UnsafeRawBufferPointer(rebasing: bytes[..<min(limit, bytes.count)]))
    }

    func receive(_ socket: Int32, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        let limit = script.withLock { script in
            script.receives += 1
            return script.onReceive(script.receives, buffer.count)
        }
        guard limit > 0 else { return limit }
        return base.receive(socket, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(limit, buffer.count)]))
    }

    func accept(_ listener: Int32, peer: inout SocketAddress?) -> Int32 {
        let scripted: Int32? = script.withLock { script in
            if !script.accepts.isEmpty { return script.accepts.removeFirst() }
            script.realAccepts += 1
            return nil
        }
        return scripted ?? base.accept(listener, peer: &peer)
    }

    func monotonicNanoseconds() -> UInt64 { base.monotonicNanoseconds() }
    func random() -> UInt64 { base.random() }
    func openSocket(for address: SocketAddress) -> Int32 { base.openSocket(for: address) }
    func bind(_ socket: Int32, to address: SocketAddress) -> Int32 { base.bind(socket, to: address) }
    func listen(_ socket: Int32, backlog: Int32) -> Int32 { base.listen(socket, backlog: backlog) }
    func connect(_ socket: Int32, to address: SocketAddress) -> Int32 { base.connect(socket, to: address) }
    func takeError(_ socket: Int32) -> Int32 { base.takeError(socket) }
    func peerUser(_ socket: Int32) -> UInt32? { base.peerUser(socket) }
    func localAddress(_ socket: Int32) -> SocketAddress? { base.localAddress(socket) }
    func set(_ option: SocketOption, on socket: Int32) -> Int32 { base.set(option, on: socket) }
    func shutdownOutput(_ socket: Int32) { base.shutdownOutput(socket) }
    func close(_ descriptor: Int32) { base.close(descriptor) }
    func openSpare() -> Int32 { base.openSpare() }
    func removeSocket(at path: String) { base.removeSocket(at: path) }
    func openPoller() -> Int32 { base.openPoller() }
    func watch(_ descriptor: Int32, for interest: Readiness?, word: UInt64, isNew: Bool, poller: Int32) -> Int32 {
        if isNew { script.withLock { $0.words.append(word) } }
        return base.watch(descriptor, for: interest, word: word, isNew: isNew, poller: poller)
    }
    func wait(_ poller: Int32, timeout: Int32, into events: inout [PollEvent]) -> Int32 {
        let count = base.wait(poller, timeout: timeout, into: &events)
        script.withLock { script in
            events += script.staleEvents
            script.staleEvents = []
        }
        return count
    }
    func openWakeup() -> Int32 { base.openWakeup() }
    func signal(_ wakeup: Int32) { base.signal(wakeup) }
    func clear(_ wakeup: Int32) { base.clear(wakeup) }
}
