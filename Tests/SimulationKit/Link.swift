internal import Glibc
internal import LMTransport

/// One simulated connection with its two ends and the faults that lie in wait for it.
final class Link {
    /// How a link treats what passes it.
    struct Manners {
        /// Nanoseconds from a write to its arrival, at least and at most.
        var latency: ClosedRange<UInt64>
        /// Arrivals happen at multiples of this.
        var lump: UInt64 = 1
        /// Most bytes that one call moves.
        var largestMove = Int.max
    }

    /// What ends a link early, at some byte.
    enum Cut {
        case reset
        case halfClose
        case blackhole
    }

    let number: Int
    let client: StreamSocket
    let server: StreamSocket
    let toServer: Pipe
    let toClient: Pipe
    var manners: Manners
    /// Whether anything but the two programs themselves ended or disturbed it.
    var isHarmed = false {
        didSet { network.tap.harmed(number) }
    }
    private(set) var isBlackhole = false
    private var cut: (kind: Cut, pipe: ObjectIdentifier, byte: Int)?
    private unowned let network: Network

    init(
        number: Int, client: StreamSocket, server: StreamSocket, capacity: Int, manners: Manners, network: Network
    ) {
        self.number = number
        self.client = client
        self.server = server
        toServer = Pipe(capacity: capacity)
        toClient = Pipe(capacity: capacity)
        self.manners = manners
        self.network = network
    }

    func plan(_ kind: Cut, towardsServer: Bool, at byte: Int) {
        cut = (kind, ObjectIdentifier(towardsServer ? toServer : toClient), byte)
    }

    func inbound(of socket: StreamSocket) -> Pipe { socket === client ? toClient : toServer }
    func outbound(of socket: StreamSocket) -> Pipe { socket === client ? toServer : toClient }
    func peer(of socket: StreamSocket) -> StreamSocket { socket === client ? server : client }

    /// When something written now arrives.
    func arrival(stalling delay: UInt64) -> UInt64 {
        let time = network.time.now + network.faults.duration(in: manners.latency) + delay
        return (time + manners.lump - 1) / manners.lump * manners.lump
    }

    /// Called whenever something was put under way in `pipe`.
    func schedule(_ pipe: Pipe) {
        network.time.schedule(at: pipe.lastArrival) { [self] in deliver(pipe) }
    }

    private func deliver(_ pipe: Pipe) {
        guard !isBlackhole else { return }
        let limit = cut.flatMap { $0.pipe == ObjectIdentifier(pipe) ? $0.byte : nil }
        let before = pipe.delivered
        if pipe.deliver(by: network.time.now, upTo: limit) { strike(pipe) }
        if pipe.delivered > before { network.log.note("deliver", UInt64(number), UInt64(pipe.delivered)) }
        let reader = pipe === toClient ? client : server
        // A machine whose program has closed the socket answers data with a reset.
        if reader.isClosed, pipe.delivered > before { reset(peer(of: reader)) }
    }

    private func strike(_ pipe: Pipe) {
        guard let cut, network.faults.isChaos else { return }
        self.cut = nil
        isHarmed = true
        network.log.note("cut", UInt64(number), UInt64(pipe.delivered))
        switch cut.kind {
        case .reset: resetBoth()
        case .halfClose:
            pipe.sever()
            network.time.schedule(after: network.faults.duration(below: 2 * second)) { [self] in resetBoth() }
        case .blackhole: becomeBlackhole()
        }
    }

    /// Both machines learn that the connection is gone; what is under way is lost.
    func resetBoth() {
        isHarmed = true
        for socket in [client, server] { reset(socket) }
    }

    /// One end learns that the other's machine knows of no connection.
    func reset(_ socket: StreamSocket) {
        outbound(of: socket).lose()
        inbound(of: socket).lose()
        if network.faults.strikes(.reset, oneIn: 2) { inbound(of: socket).discard() }
        socket.fail(ECONNRESET)
    }

    private func becomeBlackhole() {
        isBlackhole = true
        for socket in [client, server] where !socket.isClosed {
            // Keep-alive: 60 s of silence, then three probes 10 s apart.
            expire(socket, after: outbound(of: socket).isBusy ? socket.userTimeout : 90 * second)
        }
    }

    /// The machine gives up a connection that nobody acknowledges anything on.
    func expire(_ socket: StreamSocket, after delay: UInt64) {
        network.time.schedule(after: delay) { socket.fail(ETIMEDOUT) }
    }

    /// From here on the link is a good one.
    func heal() {
        cut = nil
        manners = network.goodManners
        for pipe in [toServer, toClient] {
            pipe.hurry(to: network.time.now)
            deliver(pipe)
        }
    }
}

/// One end of a connection, or of the attempt to make one.
final class StreamSocket {
    enum Phase {
        case fresh
        case connecting
        case connected
        case failed
    }

    var phase = Phase.fresh
    var link: Link?
    var peerAddress: SocketAddress?
    /// The error that the next call returns.
    private(set) var pendingError: Int32 = 0
    /// The program has closed its descriptor.
    var isClosed = false
    var hasEndedOutput = false
    /// Nanoseconds that written bytes may stay unacknowledged.
    var userTimeout = 30 * second

    func fail(_ error: Int32) {
        guard phase != .failed else { return }
        phase = .failed
        pendingError = error
    }

    func takeError() -> Int32 {
        defer { pendingError = 0 }
        return pendingError
    }

    /// What a poller would see.
    var readiness: Readiness {
        // Asked for at every step: hence without array literals, which cost a conversion each.
        switch phase {
        case .fresh, .connecting: return nothing
        case .failed: return pendingError == 0 ? .everything : .everythingAndError
        case .connected:
            guard let link else { return nothing }
            let inbound = link.inbound(of: self)
            var ready = nothing
            if inbound.readable > 0 || inbound.hasEndArrived { ready.formUnion(.input) }
            if inbound.hasEndArrived { ready.formUnion(.inputClosed) }
            if link.outbound(of: self).room > 0 || hasEndedOutput { ready.formUnion(.output) }
            if inbound.hasEndArrived && hasEndedOutput { ready.formUnion(.hangUp) }
            return ready
        }
    }
}

extension Readiness {
    /// What a poller watches for unasked.
    static let always: Readiness = [.error, .hangUp]
    static let everything: Readiness = [.input, .output, .hangUp, .inputClosed]
    static let everythingAndError: Readiness = [.input, .output, .hangUp, .inputClosed, .error]
}

/// No readiness; `[]` would be converted from an array each time.
let nothing = Readiness(rawValue: 0)
