internal import Glibc
internal import LMTransport

/// The simulated network: listeners, connections and what goes wrong between them.
final class Network {
    let time: VirtualTime
    let faults: FaultSwarm
    let log: EventLog
    let tap: WireTap
    private let canary: Canary?
    private(set) var links: [Link] = []
    private var listeners: [SocketAddress: ListenerSocket] = [:]
    private var nextPort: UInt16 = 40_000

    let goodManners = Link.Manners(latency: 10 * microsecond...200 * microsecond)

    init(time: VirtualTime, faults: FaultSwarm, log: EventLog, tap: WireTap, canary: Canary?) {
        self.time = time
        self.faults = faults
        self.log = log
        self.tap = tap
        self.canary = canary
    }

    /// Ends all misbehaviour of connections, old and new.
    func heal() {
        for link in links { link.heal() }
    }

    /// Forgets all connections, which know each other.
    func removeAll() {
        for link in links {
            link.client.link = nil
            link.server.link = nil
        }
        links = []
    }

    // MARK: - Listening and connecting

    func listen(_ listener: ListenerSocket, at address: SocketAddress) -> Int32 {
        guard listeners[address] == nil else { return -EADDRINUSE }
        listener.address = address
        listeners[address] = listener
        return 0
    }

    func close(_ listener: ListenerSocket) {
        if let address = listener.address { listeners[address] = nil }
        for waiting in listener.waiting { close(waiting) }
        listener.waiting = []
    }

    func connect(_ socket: StreamSocket, to address: SocketAddress) -> Int32 {
        socket.phase = .connecting
        let delay = faults.duration(in: faults.strikes(.delay, oneIn: 2) ? 0...50 * millisecond : goodManners.latency)
        if faults.strikes(.refuse, oneIn: 4) { return refuse(socket, after: delay) }
        if faults.strikes(.lostConnect, oneIn: 4) {
            // Repeated by the machine after one second and then three, or never answered.
            guard faults.number(0...2) > 0 else { return -EINPROGRESS }
            time.schedule(after: delay + [1, 3][faults.number(0...1)] * second) { [self] in establish(socket, address) }
            return -EINPROGRESS
        }
        time.schedule(after: delay) { [self] in establish(socket, address) }
        return -EINPROGRESS
    }

    private func refuse(_ socket: StreamSocket, after delay: UInt64) -> Int32 {
        log.note("refuse")
        if delay.isMultiple(of: 2) { return -ECONNREFUSED }
        time.schedule(after: delay) { socket.fail(ECONNREFUSED) }
        return -EINPROGRESS
    }

    private func establish(_ socket: StreamSocket, _ address: SocketAddress) {
        guard !socket.isClosed, socket.phase == .connecting else { return }
        guard let listener = listeners[address] else { return socket.fail(ECONNREFUSED) }
        let server = StreamSocket()
        let link = makeLink(socket, server)
        links.append(link)
        for end in [socket, server] {
            end.link = link
            end.phase = .connected
        }
        nextPort += 1
        server.peerAddress = .ipv4(0x7F00_0001, port: nextPort)
        listener.waiting.append(server)
        tap.opened(link.number)
        log.note("connected", UInt64(link.number))
    }

    private func makeLink(_ client: StreamSocket, _ server: StreamSocket) -> Link {
        var manners = goodManners
        if faults.strikes(.delay, oneIn: 2) { manners.latency = millisecond...80 * millisecond }
        if faults.strikes(.merge, oneIn: 2) { manners.lump = UInt64(faults.number(1...50)) * millisecond }
        if faults.strikes(.split, oneIn: 2) { manners.largestMove = [1, 3, 7, 40, 1_000][faults.number(0...4)] }
        let capacity = faults.strikes(.smallBuffers, oneIn: 2) ? faults.number(64...4_096) : 131_072
        let link = Link(
            number: links.count, client: client, server: server, capacity: capacity, manners: manners, network: self)
        // Half of the cuts strike in the handshake and the first frames.
        let byte = faults.number(0...1) == 0 ? faults.number(0...400) : faults.number(0...20_000)
        let towardsServer = faults.number(0...2) == 0
        for (fault, cut) in [(Fault.reset, Link.Cut.reset), (.halfClose, .halfClose), (.blackhole, .blackhole)]
        where faults.strikes(fault, oneIn: 3) {
            link.plan(cut, towardsServer: towardsServer, at: byte)
        }
        return link
    }

    // MARK: - Bytes

    func receive(_ socket: StreamSocket, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        guard let link = socket.link else { return -Int(ENOTCONN) }
        let inbound = link.inbound(of: socket)
        if inbound.readable > 0 {
            var count = min(inbound.readable, buffer.count, link.manners.largestMove)
            if faults.strikes(.split, oneIn: 4) { count = faults.number(1...count) }
            inbound.read(count, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]))
            log.note("read", UInt64(link.number), UInt64(count))
            return count
        }
        if socket.pendingError != 0 { return -Int(socket.takeError()) }
        return inbound.hasEndArrived || socket.phase == .failed ? 0 : -Int(EAGAIN)
    }

    func send(_ socket: StreamSocket, _ bytes: UnsafeRawBufferPointer) -> Int {
        guard let link = socket.link else { return -Int(ENOTCONN) }
        if socket.pendingError != 0 { return -Int(socket.takeError()) }
        if socket.phase == .failed || socket.hasEndedOutput { return -Int(EPIPE) }
        let pipe = link.outbound(of: socket)
        guard pipe.room > 0, !bytes.isEmpty else { return -Int(EAGAIN) }
        var count = min(bytes.count, pipe.room, link.manners.largestMove)
        if faults.strikes(.split, oneIn: 4) { count = faults.number(1...count) }
        let accepted = UnsafeRawBufferPointer(rebasing: bytes[..<count])
        log.note("write", UInt64(link.number), UInt64(count))
        log.mix(accepted)
        tap.wrote(accepted, link: link.number, byServer: socket === link.server)
        switch canary {
        // Past the handshake, towards the client.
        case .repeatedBytes where socket === link.server && pipe.written > 500 && count > 20:
            put(on: link, pipe) { pipe.write(accepted, arriving: $0) }
        case .lostBytes where socket === link.server && pipe.written > 500 && count > 20: return count
        default: break
        }
        put(on: link, pipe) { pipe.write(accepted, arriving: $0) }
        if link.isBlackhole { link.expire(socket, after: socket.userTimeout) }
        return count
    }

    func endOutput(_ socket: StreamSocket) {
        guard let link = socket.link, !socket.hasEndedOutput else { return }
        socket.hasEndedOutput = true
        guard socket.phase == .connected else { return }
        let pipe = link.outbound(of: socket)
        tap.ended(link: link.number, byServer: socket === link.server)
        put(on: link, pipe) { pipe.end(arriving: $0) }
    }

    private func put(on link: Link, _ pipe: Pipe, _ write: (UInt64) -> Void) {
        var stall: UInt64 = 0
        if faults.strikes(.stall, oneIn: 40) {
            stall = faults.duration(below: 20 * second)
            // Who waits long enough for the other takes it for dead, and leaves without a word.
            link.isHarmed = true
            log.note("stall", UInt64(link.number), stall / millisecond)
        }
        write(link.arrival(stalling: stall))
        link.schedule(pipe)
    }

    func close(_ socket: StreamSocket) {
        guard !socket.isClosed else { return }
        socket.isClosed = true
        guard let link = socket.link else { return }
        if socket === link.server { tap.closedByServer(link.number) }
        guard socket.phase == .connected else { return }
        let inbound = link.inbound(of: socket)
        if inbound.readable > 0 {
            // Closing with unread input resets, and the reset may overtake what was written.
            log.note("reset by close", UInt64(link.number))
            tap.ended(link: link.number, byServer: socket === link.server)
            socket.hasEndedOutput = true
            time.schedule(at: link.arrival(stalling: 0)) { [weak link] in
                guard let link, !link.isBlackhole else { return }
                link.reset(link.peer(of: socket))
            }
        } else {
            endOutput(socket)
        }
    }
}

/// A listening socket and the connections that wait to be accepted.
final class ListenerSocket {
    var address: SocketAddress?
    var isListening = false
    var waiting: [StreamSocket] = []
}

extension FaultSwarm {
    /// A random duration in `range`.
    func duration(in range: ClosedRange<UInt64>) -> UInt64 {
        range.lowerBound + duration(below: range.upperBound - range.lowerBound + 1)
    }
}
