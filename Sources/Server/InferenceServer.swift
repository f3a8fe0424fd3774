internal import Glibc
internal import LMEngine
internal import LMProtocol
package import LMTransport

/// Serves a running model to clients over TCP, TLS and Unix-domain sockets.
///
/// Created listening; `drain` ends it in good order, `stop` at once. The engine is the caller's and goes on.
public final class InferenceServer: Sendable {
    /// Where the server listens, with the ports that the system chose.
    public let addresses: [String]

    private let loops: [ServerLoop]
    private let listeners: [Listener]
    private let shared: SharedState

    /// Binds every address and starts to serve.
    ///
    /// - Parameter adapted: the same model with adapters, `ServedModel.adapted`; each has a name that no other has.
    /// - Throws: when the configuration would serve strangers without TLS and keys, or an address, certificate or key
    ///   cannot be used.
    public convenience init(
        model: ServedModel, adapted: [ServedModel] = [], configuration: ServerConfiguration
    ) throws(ServerError) {
        let eventLoops: [EventLoop]
        do throws(TransportError) {
            eventLoops = try (0..<max(1, configuration.ioThreads)).map { (index) throws(TransportError) in
                try EventLoop(name: "io-\(index)")
            }
        } catch {
            throw ServerError(error.description)
        }
        try self.init(model: model, adapted: adapted, configuration: configuration, on: eventLoops)
        do throws(TransportError) {
            for loop in eventLoops { try loop.start() }
        } catch {
            throw ServerError(error.description)
        }
    }

    /// Binds every address on the first of `eventLoops`, of which there is one or more; the owner starts them or gives
    /// them their turns.
    ///
    /// - Throws: as the public initializer.
    package init(
        model: ServedModel, adapted: [ServedModel] = [], configuration: ServerConfiguration, on eventLoops: [EventLoop]
    ) throws(ServerError) {
        do throws(TransportError) {
            let endpoints = try configuration.resolvedAddresses()
            if let problem = configuration.exposure(of: endpoints) { throw problem }
            let shared = try SharedState(
                models: [model] + adapted, configuration: configuration, system: eventLoops[0].system)
            let listeners = try endpoints.map { (address) throws(TransportError) in
                try Listener(at: address, on: eventLoops[0])
            }
            // Last: a loop keeps what it was told to do, also when nobody runs it.
            let loops = eventLoops.map { ServerLoop(eventLoop: $0, shared: shared) }
            addresses = listeners.map(\.address.description)
            self.loops = loops
            self.listeners = listeners
            self.shared = shared
            for listener in listeners { try Self.start(listener, for: loops, shared) }
        } catch {
            for loop in eventLoops { loop.stop() }
            throw ServerError(error.description)
        }
    }

    /// Hands accepted sockets to the loops in turn.
    private static func start(
        _ listener: Listener, for loops: [ServerLoop], _ shared: SharedState
    ) throws(TransportError) {
        var turn = 0
        try listener.start { socket in
            guard shared.admission.enter(from: Source(socket.peer)) else {
                loops[0].eventLoop.system.close(socket.descriptor)
                return
            }
            let tls = shared.access.tls
            let loop = loops[turn % loops.count]
            turn &+= 1
            if loop.eventLoop.isCurrent {
                loop.accept(socket, tls: tls)
            } else {
                loop.eventLoop.post { loop.accept(socket, tls: tls) }
            }
        }
    }

    /// Reads the key file, certificates and authorities again. New connections meet what is there now; of the open ones
    /// only those end whose key is gone.
    ///
    /// - Throws: what is wrong with which file; then everything stays as it was.
    public func reload() throws(ServerError) {
        try shared.access.reload()
        for loop in loops { loop.eventLoop.post { loop.renewIdentities() } }
    }

    /// Whole days until the server's certificate ends, negative once it has; nil without TLS.
    public var certificateDaysLeft: Int? { shared.access.tls?.certificateDaysLeft }

    /// Refuses new connections and soon new requests, lets running streams end, and returns when all have, or when the
    /// drain timeout has passed.
    public func drain() {
        startDraining()
        if !waitUntilEmpty(milliseconds: shared.limits.drainTimeout) {
            endConnections()
            _ = waitUntilEmpty(milliseconds: Self.farewell)
        }
        stop()
    }

    /// Refuses new connections and asks the clients to go.
    package func startDraining() {
        loops[0].eventLoop.post { [listeners] in
            for listener in listeners { listener.close() }
        }
        for loop in loops { loop.eventLoop.post { loop.drain() } }
    }

    /// Ends what draining has left.
    package func endConnections() {
        let message = ErrorMessage(.draining, "the server stops now; repeat the request on another one")
        for loop in loops { loop.eventLoop.post { loop.endConnections(message) } }
    }

    /// Connections that are open.
    package var connectionCount: Int { shared.admission.total }

    /// Milliseconds for the last frames to leave.
    private static let farewell: UInt64 = 1_000

    private func waitUntilEmpty(milliseconds: UInt64) -> Bool {
        for _ in 0..<milliseconds / 10 {
            if shared.admission.total == 0 { return true }
            usleep(10_000)
        }
        return shared.admission.total == 0
    }

    /// Closes every connection and ends the loops.
    public func stop() {
        for loop in loops { loop.eventLoop.stop() }
    }
}

extension ServerConfiguration {
    fileprivate func resolvedAddresses() throws(TransportError) -> [SocketAddress] {
        var addresses: [SocketAddress] = []
        for text in listen {
            for address in try Endpoint(text).resolve() where !addresses.contains(address) {
                addresses.append(address)
            }
        }
        return addresses
    }

    /// Why these addresses may not be served: strangers would reach them without TLS, or without proving who they are.
    package func exposure(of addresses: [SocketAddress]) -> TransportError? {
        let isGuarded = tls != nil && (keys != nil || tls?.clientAuthority != nil)
        guard !isGuarded, let open = addresses.first(where: { !$0.isLoopback }) else { return nil }
        return TransportError(
            .badAddress, "listening on \(open)", "the address can be reached from other machines",
            advice: "Give --tls-cert and --tls-key, and --api-key-file or --tls-client-ca; or listen on 127.0.0.1.")
    }
}
