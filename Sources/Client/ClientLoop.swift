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
    /// All connections that are not over, those included that only finish their streams.
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

    /// Gives a request to the connection that has the fewest; to a new one when none has room for it and the pool has.
    private func place(_ exchange: Exchange) {
        let usable = connections.filter { !$0.isExhausted }
        if let best = usable.filter(\.hasRoom).min(by: { $0.load < $1.load }) { return best.open(exchange) }
        guard usable.count < configuration.connections else {
            usable.min { $0.load < $1.load }?.open(exchange)
            return
        }
        let connection = ClientConnection(
            to: endpoint, on: loop, tls: tls, hello: hello, configuration, owner: self)
        connections.append(connection)
        connection.open(exchange)
    }
}

// What connections tell, and generations that outlive them. Loop thread only.
extension ClientLoop {
    func connectionOpened() { configuration.observer?(.connected(endpoint: configuration.endpoint)) }

    func connectionClosed(_ connection: ClientConnection, leaving orphans: [ClientConnection.Orphan], _ error: LMError)
    {
        connections.removeAll { $0 === connection }
        if error.code != .closed { configuration.observer?(.disconnected(error)) }
        let grace = UInt64(connection.resumeGrace) * 1_000_000
        for orphan in orphans {
            let exchange = orphan.exchange
            if let message = orphan.resume, exchange.resumption == nil, grace > 0 {
                exchange.resumption = Exchange.Resumption(
                    message: message, checksum: orphan.checksum, deadline: loop.now + grace, cause: error)
            }
            if exchange.resumption == nil || !error.isRetryable {
                exchange.end(.failure(error))
            } else {
                resume(exchange)
            }
        }
    }

    /// A stream goes on.
    func resumed(_ exchange: Exchange, _ message: AcceptMessage) {
        exchange.resumption = nil
        configuration.observer?(.resumed(requestID: message.requestID, at: Int(message.startIndex)))
    }

    /// The server refused to go on with a stream.
    func resumptionFailed(_ exchange: Exchange, _ error: LMError) {
        guard let resumption = exchange.resumption else { return }
        if error.isRetryable { return resume(exchange) }
        let lost = LMError(
            .connectionLost, "\(resumption.cause.message); the stream could not be resumed: \(error.message)")
        exchange.end(.failure(lost))
    }

    /// Tries after a while, until the server has forgotten the stream.
    private func resume(_ exchange: Exchange) {
        guard var resumption = exchange.resumption else { return }
        resumption.attempts += 1
        exchange.resumption = resumption
        let delay = configuration.retry.backoff(attempt: resumption.attempts, random: random())
        guard loop.now + UInt64(clamping: delay.nanoseconds) < resumption.deadline else {
            exchange.end(.failure(resumption.cause))
            return
        }
        place(exchange, after: delay)
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
