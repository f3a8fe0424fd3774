internal import Glibc

/// A connected socket that nobody watches yet. Whoever receives it makes a `Channel` of it or closes it.
package struct AcceptedSocket: Sendable {
    /// The non-blocking socket.
    package let descriptor: Int32
    /// Who is at the other end.
    package let peer: SocketAddress
}

/// A listening socket.
///
/// Created on any thread before its loop serves it, so that a port in use is known at once; belongs to its loop from
/// `start` on.
package final class Listener: Pollable, @unchecked Sendable {
    // Immutable.
    /// Where it listens: with the port the system chose, when port 0 was asked for.
    package let address: SocketAddress
    private let loop: EventLoop
    private let descriptor: Int32
    private let acceptsPerTurn: Int

    // Loop thread only, once started.
    private var handler: ((AcceptedSocket) -> Void)?
    private var generation: UInt32 = 0
    private var spare: Int32
    private var isClosed = false

    /// How long a listener rests when the machine has run out of descriptors or memory: the poller would otherwise
    /// report the same waiting connection for ever.
    private static let rest = Duration.milliseconds(100)

    /// Binds and listens.
    ///
    /// - Parameters:
    ///   - address: port 0 lets the system choose; a stale Unix-domain socket at the path is replaced.
    ///   - acceptsPerTurn: connections taken in one turn of the loop; the others wait in the kernel.
    /// - Throws: `addressInUse`, `permission`, `badAddress` or `system`.
    package init(
        at address: SocketAddress, on loop: EventLoop, backlog: Int32 = 1024, acceptsPerTurn: Int = 64
    ) throws(TransportError) {
        let system = loop.system
        let operation = "listening on \(address)"
        if case .unix(let path) = address { Self.removeStaleSocket(at: path, address, system) }
        let descriptor = system.openSocket(for: address)
        guard descriptor >= 0 else { throw TransportError(operation, errno: -descriptor) }
        _ = system.set(.reuseAddress, on: descriptor)
        if case .ipv6 = address { _ = system.set(.onlyIPv6, on: descriptor) }
        var status = system.bind(descriptor, to: address)
        if status >= 0 { status = system.listen(descriptor, backlog: backlog) }
        guard status >= 0, let bound = system.localAddress(descriptor) else {
            system.close(descriptor)
            throw TransportError(operation, errno: status < 0 ? -status : ENOBUFS)
        }
        self.address = bound
        self.loop = loop
        self.descriptor = descriptor
        self.acceptsPerTurn = acceptsPerTurn
        spare = system.openSpare()
    }

    // A loop keeps what it serves alive: this one was never started, or is closed.
    deinit { release() }

    /// Starts to accept. On the loop's thread.
    ///
    /// - Parameter handler: owns the socket it is given.
    package func start(_ handler: @escaping (AcceptedSocket) -> Void) throws(TransportError) {
        self.handler = handler
        generation = try loop.register(descriptor, self, for: .input)
    }

    /// Stops listening. On the loop's thread.
    package func close() {
        guard !isClosed else { return }
        handler = nil
        if generation != 0 { loop.unregister(descriptor) }
        release()
    }

    private func release() {
        guard !isClosed else { return }
        isClosed = true
        loop.system.close(descriptor)
        if spare >= 0 { loop.system.close(spare) }
        if case .unix(let path) = address { loop.system.removeSocket(at: path) }
    }

    func loopStopped(_ error: TransportError) { close() }

    func ready(_ readiness: Readiness) {
        for _ in 0..<acceptsPerTurn {
            guard !isClosed else { return }
            var peer: SocketAddress?
            let socket = uninterrupted { loop.system.accept(descriptor, peer: &peer) }
            if socket >= 0 {
                handler?(AcceptedSocket(descriptor: socket, peer: peer ?? address))
                continue
            }
            switch -socket {
            case EAGAIN: return
            case EMFILE, ENFILE: return shedOne()
            case ENOBUFS, ENOMEM: return takeRest()
            // The connection died while it waited, or the network reports its own trouble here: not the listener's.
            default: continue
            }
        }
    }

    /// Gives the spare descriptor up to take one connection and close it, so that its peer learns at once.
    private func shedOne() {
        if spare >= 0 { loop.system.close(spare) }
        var peer: SocketAddress?
        let socket = uninterrupted { loop.system.accept(descriptor, peer: &peer) }
        if socket >= 0 { loop.system.close(socket) }
        spare = loop.system.openSpare()
        takeRest()
    }

    private func takeRest() {
        // Where this fails, the next turn tries again.
        try? loop.change(descriptor, generation: generation, to: [])
        wakeLater()
    }

    private func wakeLater() {
        loop.schedule(after: Self.rest) { [weak self] in
            guard let self, !isClosed else { return }
            do throws(TransportError) {
                try loop.change(descriptor, generation: generation, to: .input)
            } catch {
                wakeLater()
            }
        }
    }

    /// A path that nobody answers on was left by a server that was killed.
    private static func removeStaleSocket(at path: String, _ address: SocketAddress, _ system: any System) {
        let probe = system.openSocket(for: address)
        guard probe >= 0 else { return }
        if system.connect(probe, to: address) == -ECONNREFUSED { system.removeSocket(at: path) }
        system.close(probe)
    }
}
