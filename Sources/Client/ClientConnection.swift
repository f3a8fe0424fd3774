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
    private let closed: (ClientConnection) -> Void

    /// Starts to connect. On the loop's thread, like everything but `post`.
    ///
    /// - Parameter closed: called once, when no stream is left and none can be opened.
    init(
        to endpoint: Endpoint, on loop: EventLoop, tls: TLSContext?, hello: HelloMessage,
        _ configuration: ClientConfiguration, closed: @escaping (ClientConnection) -> Void
    ) {
        self.loop = loop
        self.closed = closed
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
        guard !isOver else { return }
        isOver = true
        timer?.cancel()
        let failed = Array(exchanges.values) + waiting
        exchanges = [:]
        waiting = []
        channel?.closeAfterFlush()
        closed(self)
        for exchange in failed { exchange.end(.failure(error)) }
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
        guard exchange.isWanted(), let channel else { return }
        do throws(WireError) {
            let stream = try channel.write { (bytes) throws(WireError) in
                switch exchange.opening {
                case .generate(let message): try wire.sendGenerate(message, into: &bytes)
                case .call(let message): try wire.sendCall(message, into: &bytes)
                }
            }
            exchanges[stream] = exchange
            let reason = exchange.opened(on: self, stream, at: loop.system.monotonicNanoseconds())
            if let reason { cancel(stream, reason) }
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
        case .hello(let hello): keepAlive(every: hello.keepAlive)
        case .maxStreams: openWaiting()
        case .ping(let opaque):
            send { (wire, bytes) throws(WireError) in try wire.sendPong(opaque, into: &bytes) }
        case .accept(let stream, let message): exchanges[stream]?.accepted(message)
        case .tokens(let stream, let tokens): exchanges[stream]?.received(tokens, at: arrival)
        case .finish(let stream, let message):
            end(stream, .success(.finish(FinishInfo(message, arrival: arrival))))
        case .reply(let stream, let message): end(stream, .success(.reply(message)))
        case .error(0, let message): close(LMError(message))
        case .error(let stream, let message): end(stream, .failure(LMError(message)))
        case .goAway(_, let refused): leave(refused)
        case .pong, .progress, .ignored: break
        case .generate, .resume, .call, .rejected, .credit, .cancel:
            preconditionFailure("a client's connection yields no requests")
        }
    }

    private func end(_ stream: UInt32, _ outcome: Result<Exchange.Answer, LMError>) {
        exchanges.removeValue(forKey: stream)?.end(outcome)
        closeIfUnused()
    }

    /// The server takes no more streams here; what it did not start is to be repeated elsewhere.
    private func leave(_ refused: [UInt32]) {
        let error = LMError(.draining, "the server takes no more requests on this connection", isRetryable: true)
        let failed = refused.compactMap { exchanges.removeValue(forKey: $0) } + waiting
        waiting = []
        for exchange in failed { exchange.end(.failure(error)) }
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
