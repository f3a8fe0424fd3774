import Glibc
import LMTransport
import Synchronization

/// The real machine, of which one chosen call fails.
///
/// It counts calls by kind, and it knows which descriptors are open: what uses or closes another one is noted in
/// `misuse`. Its clock runs five times as fast as the wall's, so that rests and time-outs cost a test little.
final class FailingSystem: System {
    /// The calls that can fail.
    enum Call: String, CaseIterable, Sendable {
        case openSocket, bind, listen, accept, connect, takeError, localAddress, set, receive, send
        case openSpare, openPoller, openWakeup, watch, changeWatch, wait
    }

    /// How a call fails.
    enum Failure: Hashable, Sendable, CustomStringConvertible {
        /// It does nothing and answers this error number.
        case error(Int32)
        /// It moves one byte.
        case single
        /// It moves all but the last byte that it could.
        case allButOne

        var description: String {
            switch self {
            case .error(let number): String(cString: strerror(number))
            case .single: "1 byte"
            case .allButOne: "n - 1 bytes"
            }
        }
    }

    /// One call that fails, counted from 1 among those of its kind.
    struct Fault: Sendable, CustomStringConvertible {
        let call: Call
        let number: Int
        let failure: Failure

        var description: String { "\(call) number \(number) fails: \(failure)" }
    }

    private struct State {
        var counts: [Call: Int] = [:]
        var open: Set<Int32> = []
        var misuse: [String] = []
        var hasFailed = false
    }

    private let fault: Fault?
    private let base = LinuxSystem()
    private let state = Mutex(State())
    private static let speed: UInt64 = 5

    init(_ fault: Fault? = nil) { self.fault = fault }

    /// Whether the chosen call was made.
    var hasFailed: Bool { state.withLock { $0.hasFailed } }
    /// Calls so far.
    var counts: [Call: Int] { state.withLock { $0.counts } }
    /// Descriptors that were opened and not closed.
    var open: Set<Int32> { state.withLock { $0.open } }
    /// Uses of descriptors that are not open.
    var misuse: [String] { state.withLock { $0.misuse } }

    /// Counts a call; how it is to fail, if this is the one.
    private func count(_ call: Call, on descriptor: Int32? = nil) -> Failure? {
        state.withLock { state in
            if let descriptor, !state.open.contains(descriptor) {
                state.misuse.append("\(call) on \(descriptor), which is not open")
            }
            state.counts[call, default: 0] += 1
            guard let fault, fault.call == call, fault.number == state.counts[call] else { return nil }
            state.hasFailed = true
            return fault.failure
        }
    }

    private func attempt(_ call: Call, on descriptor: Int32? = nil, _ body: () -> Int32) -> Int32 {
        if case .error(let number) = count(call, on: descriptor) { return -number }
        return body()
    }

    private func opening(_ call: Call, on descriptor: Int32? = nil, _ body: () -> Int32) -> Int32 {
        let opened = attempt(call, on: descriptor, body)
        if opened >= 0 { state.withLock { _ = $0.open.insert(opened) } }
        return opened
    }
}

// The calls.
extension FailingSystem {
    func monotonicNanoseconds() -> UInt64 { base.monotonicNanoseconds() &* Self.speed }
    func random() -> UInt64 { base.random() }

    func openSocket(for address: SocketAddress) -> Int32 { opening(.openSocket) { base.openSocket(for: address) } }
    func openSpare() -> Int32 { opening(.openSpare) { base.openSpare() } }
    func openPoller() -> Int32 { opening(.openPoller) { base.openPoller() } }
    func openWakeup() -> Int32 { opening(.openWakeup) { base.openWakeup() } }

    func accept(_ listener: Int32, peer: inout SocketAddress?) -> Int32 {
        opening(.accept, on: listener) { base.accept(listener, peer: &peer) }
    }

    func bind(_ socket: Int32, to address: SocketAddress) -> Int32 {
        attempt(.bind, on: socket) { base.bind(socket, to: address) }
    }

    func listen(_ socket: Int32, backlog: Int32) -> Int32 {
        attempt(.listen, on: socket) { base.listen(socket, backlog: backlog) }
    }

    func connect(_ socket: Int32, to address: SocketAddress) -> Int32 {
        attempt(.connect, on: socket) { base.connect(socket, to: address) }
    }

    func takeError(_ socket: Int32) -> Int32 {
        if case .error(let number) = count(.takeError, on: socket) { return number }
        return base.takeError(socket)
    }

    func localAddress(_ socket: Int32) -> SocketAddress? {
        count(.localAddress, on: socket) == nil ? base.localAddress(socket) : nil
    }

    func set(_ option: SocketOption, on socket: Int32) -> Int32 {
        attempt(.set, on: socket) { base.set(option, on: socket) }
    }

    func receive(_ socket: Int32, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        switch count(.receive, on: socket) {
        case .error(let number): -Int(number)
        case .single: base.receive(socket, into: UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(1)))
        case .allButOne: receiveAllButOne(socket, into: buffer)
        case nil: base.receive(socket, into: buffer)
        }
    }

    /// One byte fewer than what has arrived, if that is more than one.
    private func receiveAllButOne(_ socket: Int32, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        let arrived = recv(socket, buffer.baseAddress, buffer.count, Int32(MSG_PEEK))
        let limit = arrived > 1 ? arrived - 1 : buffer.count
        return base.receive(socket, into: UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(limit)))
    }

    func send(_ socket: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
        switch count(.send, on: socket) {
        case .error(let number): -Int(number)
        case .single: base.send(socket, UnsafeRawBufferPointer(rebasing: bytes.prefix(1)))
        case .allButOne: base.send(socket, UnsafeRawBufferPointer(rebasing: bytes.prefix(max(1, bytes.count - 1))))
        case nil: base.send(socket, bytes)
        }
    }

    func watch(_ descriptor: Int32, for interest: Readiness?, word: UInt64, isNew: Bool, poller: Int32) -> Int32 {
        let call = { self.base.watch(descriptor, for: interest, word: word, isNew: isNew, poller: poller) }
        // Removing what is watched cannot fail.
        return interest == nil ? call() : attempt(isNew ? .watch : .changeWatch, on: descriptor, call)
    }

    func wait(_ poller: Int32, timeout: Int32, into events: inout [PollEvent]) -> Int32 {
        let speed = Int32(Self.speed)
        return attempt(.wait, on: poller) {
            base.wait(poller, timeout: timeout < 0 ? timeout : (timeout + speed - 1) / speed, into: &events)
        }
    }

    func close(_ descriptor: Int32) {
        state.withLock { state in
            if state.open.remove(descriptor) == nil {
                state.misuse.append("close of \(descriptor), which is not open")
            }
        }
        base.close(descriptor)
    }

    func shutdownOutput(_ socket: Int32) { base.shutdownOutput(socket) }
    func peerUser(_ socket: Int32) -> UInt32? { base.peerUser(socket) }
    func removeSocket(at path: String) { base.removeSocket(at: path) }
    func signal(_ wakeup: Int32) { base.signal(wakeup) }
    func clear(_ wakeup: Int32) { base.clear(wakeup) }
}

extension FailingSystem.Call {
    /// What the manual pages say that a good program must expect.
    var failures: [FailingSystem.Failure] {
        let numbers: [Int32] =
            switch self {
            case .openSocket: [EMFILE, ENFILE, ENOBUFS, ENOMEM]
            case .bind: [EADDRINUSE, EACCES, ENOMEM]
            case .listen: [EADDRINUSE]
            case .accept: [EAGAIN, EINTR, EMFILE, ENFILE, ECONNABORTED, EPROTO, ENOMEM, ENOBUFS]
            case .connect: [EINTR, ECONNREFUSED, ETIMEDOUT, ENETUNREACH, EADDRNOTAVAIL, EAGAIN]
            case .takeError: [ECONNREFUSED, ETIMEDOUT]
            case .localAddress: [ENOBUFS]
            case .set: [ENOMEM]
            case .receive: [EAGAIN, EINTR, ECONNRESET, ETIMEDOUT, EIO]
            case .send: [EAGAIN, EINTR, ECONNRESET, ETIMEDOUT, EIO, EPIPE, ENOBUFS]
            case .openSpare, .openPoller, .openWakeup: [EMFILE, ENOMEM]
            case .watch: [ENOSPC, ENOMEM]
            case .changeWatch: [ENOMEM]
            case .wait: [EINTR]
            }
        let isTransfer = self == .receive || self == .send
        return numbers.map { .error($0) } + (isTransfer ? [.single, .allButOne] : [])
    }
}
