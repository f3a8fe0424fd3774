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
    /// All connections that are not over: the current one, and the few that finish their streams.
    private var connections: [ClientConnection] = []
    /// Attempts whose time has not come, by number.
    private var delayed: [UInt64: Exchange] = [:]
    private var lastNumber: UInt64 = 0

    /// - Parameter loop: not started yet.
    /// - Throws: `configuration`.
    init(_ configuration: ClientConfiguration, on loop: EventLoop) throws(LMError) {
        self.configuration = configuration
        self.loop = loop
        hello = Self.hello(configuration)
        do throws(TransportError) {
            endpoint = try Endpoint(configuration.endpoint)
            tls = try configuration.tls.map { (tls) throws(TransportError) in
                try TLSContext.client(
                    authorityFile: tls.authorityFile,
                    credentials: tls.certificate.map {
                        TLSContext.Credentials(certificateFile: $0.chainFile, keyFile: $0.privateKeyFile)
                    },
                    applicationProtocol: Connection.alpn)
            }
        } catch {
            throw LMError(.configuration, error.description)
        }
        guard configuration.apiKey == nil || tls != nil || endpoint.isOnThisMachine else {
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

    /// 64 unpredictable bits. From any thread.
    func random() -> UInt64 { loop.system.random() }

    /// Starts an attempt after `delay`. From any thread.
    func submit(_ exchange: Exchange, after delay: Duration) {
        let isAccepted = isStopped.withLock { isStopped in
            guard !isStopped else { return false }
            loop.post { [self] in delay == .zero ? place(exchange) : place(exchange, after: delay) }
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
                for connection in connections { connection.close(.closed) }
                for exchange in delayed.values { exchange.end(.failure(.closed)) }
                delayed = [:]
            }
            return true
        }
        if isFirst { loop.stop() }
    }

    private func place(_ exchange: Exchange, after delay: Duration) {
        lastNumber += 1
        let number = lastNumber
        delayed[number] = exchange
        loop.schedule(after: delay) { [self] in
            if delayed.removeValue(forKey: number) != nil { place(exchange) }
        }
    }

    private func place(_ exchange: Exchange) {
        if let current, !current.isExhausted { return current.open(exchange) }
        let connection = ClientConnection(to: endpoint, on: loop, tls: tls, hello: hello, configuration) {
            [weak self] connection in
            guard let self else { return }
            connections.removeAll { $0 === connection }
            if current === connection { current = nil }
        }
        connections.append(connection)
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
