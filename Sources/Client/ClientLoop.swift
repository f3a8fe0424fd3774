internal import LMProtocol
internal import LMTransport
internal import Synchronization

/// The client's thread: owns the connections and gives requests to them.
final class ClientLoop: @unchecked Sendable {
    // Immutable.
    private let configuration: ClientConfiguration
    private let endpoint: Endpoint
    private let tls: TLSContext?
    private let hello: HelloMessage
    private let loop: EventLoop
    // Behind its lock; held while posting, so that nothing is posted after the last turn.
    private let isStopped = Mutex(false)
    // Loop thread only.
    private var current: ClientConnection?
    /// All connections that are not over: the current one, and those that finish their streams.
    private var connections: [ObjectIdentifier: ClientConnection] = [:]

    init(_ configuration: ClientConfiguration) throws(LMError) {
        self.configuration = configuration
        hello = Self.hello(configuration)
        do throws(TransportError) {
            endpoint = try Endpoint(configuration.endpoint)
            tls = try configuration.tls.map { (tls) throws(TransportError) in
                try TLSContext.client(authorityFile: tls.authorityFile, applicationProtocol: Connection.alpn)
            }
            loop = try EventLoop(name: "lmclient")
            try loop.start()
        } catch {
            throw LMError(.configuration, error.description)
        }
        guard configuration.apiKey == nil || tls != nil || endpoint.isOnThisMachine else {
            loop.stop()
            throw LMError(
                .configuration,
                "the API key would cross the network to \(endpoint) unencrypted; connect with TLS (in lmcall and lmload: "
                    + "--tls or --tls-ca), or through a tunnel that ends on this machine")
        }
    }

    private static func hello(_ configuration: ClientConfiguration) -> HelloMessage {
        var hello = HelloMessage(maxPayload: Limits.clientPayload)
        hello.credential = configuration.apiKey.map { Credential($0.secret) }
        hello.agent = configuration.agent
        return hello
    }

    /// Starts an attempt. From any thread.
    func submit(_ exchange: Exchange) {
        let isAccepted = isStopped.withLock { isStopped in
            guard !isStopped else { return false }
            loop.post { [self] in place(exchange) }
            return true
        }
        if !isAccepted { exchange.end(.failure(.closed)) }
    }

    /// Fails what is open, closes all connections and ends the thread. From any thread but the loop's; once.
    func stop() {
        let isFirst = isStopped.withLock { isStopped in
            guard !isStopped else { return false }
            isStopped = true
            loop.post { [self] in
                for connection in connections.values { connection.close(.closed) }
            }
            return true
        }
        if isFirst { loop.stop() }
    }

    private func place(_ exchange: Exchange) {
        if let current, !current.isExhausted { return current.open(exchange) }
        let connection = ClientConnection(to: endpoint, on: loop, tls: tls, hello: hello, configuration) {
            [weak self] connection in
            guard let self else { return }
            connections[ObjectIdentifier(connection)] = nil
            if current === connection { current = nil }
        }
        connections[ObjectIdentifier(connection)] = connection
        current = connection
        connection.open(exchange)
    }
}

extension Endpoint {
    /// Whether what is sent there stays on this machine. Of names only `localhost` does: what others mean is the
    /// resolver's word, and the resolver may be the attacker's.
    fileprivate var isOnThisMachine: Bool {
        switch self {
        case .unix: true
        case .host(let host, let port):
            host.lowercased() == "localhost" || SocketAddress(numericHost: host, port: port)?.isLoopback == true
        }
    }
}
