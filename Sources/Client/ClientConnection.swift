internal import LMProtocol
internal import LMTransport

/// One connection to the server and the streams on it.
final class ClientConnection: ChannelHandler, @unchecked Sendable {
    // Immutable.
    private let loop: EventLoop
    private let connectTimeout: Duration
    private let isEncrypted: Bool
    // Loop thread only.
    private var wire: Connection
    private var channel: Channel?
    private var exchanges: [UInt32: Exchange] = [:]
    /// Requests for which the server has not granted a stream yet, in order.
    private var waiting: [Exchange] = []
    private var timer: Timer?
    /// Loop time of the last bytes.
    private var lastHeard: UInt64
    /// The transport is connected.
    private var isReady = false
    private var isOver = false
    /// Nil once nobody uses the client any more.
    private weak var owner: ClientLoop?

    /// A request whose connection is gone, and how it can go on elsewhere.
    struct Orphan {
        var exchange: Exchange
        var resume: ResumeMessage?
        var checksum: CRC32C?
    }

    /// Starts to connect. On the loop's thread, like everything but `post`.
    ///
    /// - Parameter owner: told once when the connection is over, with the requests that did not end.
    init(
        to endpoint: Endpoint, on loop: EventLoop, tls: TLSContext?, hello: HelloMessage,
        _ configuration: ClientConfiguration, owner: ClientLoop
    ) {
        self.loop = loop
        self.owner = owner
        connectTimeout = configuration.connectTimeout
        isEncrypted = tls != nil
        wire = .client(hello)
        lastHeard = loop.now
        var options = ChannelOptions()
        options.readyTimeout = connectTimeout
        // One incomplete frame and one read.
        options.maximumUnconsumed = Int(hello.maxPayload) + Limits.header + 65_536
        channel = Channel(
            connectingTo: endpoint, on: loop, tls: tls, serverName: configuration.tls?.serverName, options: options,
            handler: self)
        send { (wire, bytes) throws(WireError) in try wire.start(into: &bytes) }
    }

    /// Runs `body` on the loop. From any thread.
    func post(_ body: @escaping @Sendable (ClientConnection) -> Void) {
        loop.post { body(self) }
    }

    /// Whether new requests belong on another connection.
    var isExhausted: Bool { isOver || wire.isExhausted }

    /// Requests that are open or wait to be.
    var load: Int { exchanges.count + waiting.count }

    /// Whether a request could be opened at once; also true while nobody knows.
    var hasRoom: Bool { wire.canOpenStream || !wire.hasPeer && load < Int(Limits.concurrentStreams) }

    /// Milliseconds for which the server keeps a lost stream.
    var resumeGrace: UInt32 { wire.peer?.resumeGrace ?? 0 }

    /// Opens a stream for `exchange` as soon as the server grants one.
    func open(_ exchange: Exchange) {
        waiting.append(exchange)
        openWaiting()
    }

    func cancel(_ stream: UInt32, _ reason: CancelReason) {
        send { (wire, bytes) throws(WireError) in try wire.sendCancel(on: stream, reason, into: &bytes) }
    }

    func grant(_ stream: UInt32, _ credit: CreditMessage) {
        send { (wire, bytes) throws(WireError) in try wire.sendCredit(on: stream, credit, into: &bytes) }
    }

    /// Ends everything with `error`.
    func close(_ error: LMError) {
        // Nobody comes back for these streams: the server need not wait.
        if error.code == .closed { for stream in exchanges.keys { cancel(stream, .abandoned) } }
        guard !isOver else { return }
        isOver = true
        timer?.cancel()
        let orphans = exchanges.map(orphan) + waiting.map { Orphan(exchange: $0) }
        exchanges = [:]
        waiting = []
        channel?.closeAfterFlush()
        if let owner {
            owner.connectionClosed(self, leaving: orphans, error)
        } else {
            for orphan in orphans { orphan.exchange.end(.failure(error)) }
        }
    }

    private func orphan(_ stream: UInt32, _ exchange: Exchange) -> Orphan {
        guard case .generate(let message) = exchange.opening, let progress = wire.progress(of: stream) else {
            return Orphan(exchange: exchange)
        }
        let resume = exchange.disconnected(at: progress.nextIndex, limit: message.creditLimit)
        return Orphan(exchange: exchange, resume: resume, checksum: progress.checksum)
    }

    /// Ends a connection to something that never said HELLO: it is no server of ours, or wants TLS.
    private func closeUngreeted(_ what: String, _ code: LMError.Code = .unreachable) {
        let advice = isEncrypted ? "" : ", and whether it wants TLS"
        close(
            LMError(
                code, "\(what) (during the handshake); check that an lmserve listens there\(advice)",
                isRetryable: code == .unreachable))
    }

    private func openWaiting() {
        var opened = 0
        while opened < waiting.count, wire.canOpenStream {
            start(waiting[opened])
            opened += 1
        }
        waiting.removeFirst(opened)
    }

    private func start(_ exchange: Exchange) {
        // A generation that is to be resumed is known to the server: there it has to be cancelled.
        guard exchange.resumption != nil || exchange.isWanted(), let channel else { return }
        do throws(WireError) {
            let stream = try channel.write { (bytes) throws(WireError) in
                if let resumption = exchange.resumption {
                    return try wire.sendResume(resumption.message, checksum: resumption.checksum, into: &bytes)
                }
                return switch exchange.opening {
                case .generate(let message): try wire.sendGenerate(message, into: &bytes)
                case .call(let message): try wire.sendCall(message, into: &bytes)
                }
            }
            exchanges[stream] = exchange
            let (reason, credit) = exchange.opened(on: self, stream, at: loop.system.monotonicNanoseconds())
            if let reason { cancel(stream, reason) } else if let credit { grant(stream, credit) }
        } catch {
            exchange.end(.failure(LMError(error)))
        }
    }

    /// Sends a frame of which the state machine decides whether it has a meaning any more.
    private func send(_ frame: (inout Connection, inout [UInt8]) throws(WireError) -> Void) {
        guard !isOver, let channel else { return }
        do throws(WireError) {
            try channel.write { (bytes) throws(WireError) in try frame(&wire, &bytes) }
        } catch {
            close(LMError(error))
        }
    }
}

// What the transport tells.
extension ClientConnection {
    func channelReady(_ channel: Channel) {
        isReady = true
        timer = loop.schedule(after: connectTimeout) { [weak self] in
            self?.closeUngreeted("nothing was heard from the server")
        }
    }

    func channel(_ channel: Channel, received bytes: RawSpan) -> Int {
        let arrival = loop.system.monotonicNanoseconds()
        lastHeard = loop.now
        var consumed = 0
        do throws(WireError) {
            while !isOver, let action = try wire.receive(bytes, consumed: &consumed) { act(on: action, arrival) }
        } catch {
            let isGreeted = wire.hasPeer || error.code == .version
            channel.write { wire.close(with: ErrorMessage(error), into: &$0) }
            if isGreeted {
                close(LMError(error))
            } else {
                closeUngreeted("what the server sent is not the lmcall protocol", .protocolViolation)
            }
        }
        return consumed
    }

    func channelInputEnded(_ channel: Channel) {
        if wire.hasPeer {
            close(LMError(.connectionLost, "the server closed the connection", isRetryable: true))
        } else {
            closeUngreeted("the server closed the connection")
        }
    }

    func channelWritabilityChanged(_ channel: Channel) {
        // Requests are bounded by the streams the server grants; there is nothing to hold back.
    }

    func channelClosed(_ channel: Channel, error: TransportError?) {
        self.channel = nil
        if let error, error.code == .tlsCertificate {
            // With TLS 1.3 a server judges the client's certificate after the client's handshake is complete.
            close(LMError(error, isEstablished: false))
        } else if let error, isReady, !wire.hasPeer {
            closeUngreeted(error.description)
        } else if let error {
            close(LMError(error, isEstablished: wire.isOpen))
        } else {
            close(LMError(.connectionLost, "the connection was closed", isRetryable: true))
        }
    }
}

// What the server says.
extension ClientConnection {
    private func act(on action: Connection.Action, _ arrival: UInt64) {
        switch action {
        case .hello(let hello):
            owner?.connectionOpened()
            keepAlive(every: hello.keepAlive)
        case .maxStreams: openWaiting()
        case .ping(let opaque):
            send { (wire, bytes) throws(WireError) in try wire.sendPong(opaque, into: &bytes) }
        case .accept(let stream, let message):
            guard let exchange = exchanges[stream] else { return }
            if exchange.resumption != nil { owner?.resumed(exchange, message) }
            exchange.accepted(message)
        case .tokens(let stream, let tokens): exchanges[stream]?.received(tokens, at: arrival)
        case .finish(let stream, let message):
            end(stream, .success(.finish(FinishInfo(message, arrival: arrival))))
        case .reply(let stream, let message): end(stream, .success(.reply(message)))
        case .error(0, let message): close(LMError(message))
        case .error(let stream, let message): fail(stream, LMError(message))
        case .goAway(_, let refused): leave(refused)
        case .pong, .progress, .ignored: break
        case .generate, .resume, .call, .rejected, .credit, .cancel:
            preconditionFailure("a client's connection yields no requests")
        }
    }

    private func fail(_ stream: UInt32, _ error: LMError) {
        if let exchange = exchanges.removeValue(forKey: stream) { retryResuming(exchange, error) }
        closeIfUnused()
    }

    /// A resumption that failed may be tried again; everything else ends.
    private func retryResuming(_ exchange: Exchange, _ error: LMError) {
        if exchange.resumption != nil, let owner {
            owner.resumptionFailed(exchange, error)
        } else {
            exchange.end(.failure(error))
        }
    }

    private func end(_ stream: UInt32, _ outcome: Result<Exchange.Answer, LMError>) {
        exchanges.removeValue(forKey: stream)?.end(outcome)
        closeIfUnused()
    }

    /// The server takes no more streams here; what it did not start is to be repeated elsewhere.
    private func leave(_ refused: [UInt32]) {
        let moved = refused.compactMap { exchanges.removeValue(forKey: $0) } + waiting
        waiting = []
        let error = LMError(.draining, "the server takes no more requests on this connection", isRetryable: true)
        for exchange in moved { retryResuming(exchange, error) }
        closeIfUnused()
    }

    private func closeIfUnused() {
        guard wire.isExhausted, exchanges.isEmpty, waiting.isEmpty else { return }
        close(.closed)
    }

    /// Asks after a silent server, and gives it up after three times as much silence.
    private func keepAlive(every milliseconds: UInt32?) {
        timer?.cancel()
        guard let milliseconds, milliseconds > 0 else { return }
        // A server that asks for more than ten a second would only heat the room.
        let interval = UInt64(max(milliseconds, 100)) * 1_000_000
        timer = loop.schedule(after: .nanoseconds(Int64(interval))) { [weak self] in
            guard let self else { return }
            let silence = loop.now - min(lastHeard, loop.now)
            guard silence < 3 * interval else {
                let message = "nothing was heard from the server for \(silence / 1_000_000) ms"
                return close(LMError(.connectionLost, message, isRetryable: true))
            }
            if silence >= interval {
                send { (wire, bytes) throws(WireError) in try wire.sendPing(silence, into: &bytes) }
            }
            keepAlive(every: milliseconds)
        }
    }
}
