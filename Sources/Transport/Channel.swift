/// What happens to a channel, told on its loop's thread.
package protocol ChannelHandler: AnyObject {
    /// The connection is made and, with TLS, verified. At most once, before any bytes; for an accepted plain connection
    /// before the channel's initializer returns.
    func channelReady(_ channel: Channel)
    /// Bytes arrived. Returns how many were consumed; the rest comes again, in front of what arrives next.
    func channel(_ channel: Channel, received bytes: RawSpan) -> Int
    /// The peer will write no more. Writing to it stays legal.
    func channelInputEnded(_ channel: Channel)
    /// Congestion outlived the turn it began in, or ended: see `isCongested`.
    func channelWritabilityChanged(_ channel: Channel)
    /// The channel is gone. Exactly once, the last call, at the end of a turn; also after `close`.
    ///
    /// - Parameter error: nil when this side closed, or both did in good order.
    func channelClosed(_ channel: Channel, error: TransportError?)
}

/// Limits of a channel. Bytes, unless said otherwise.
package struct ChannelOptions: Sendable {
    /// More pending output than this makes the channel congested…
    package var highWater = 256 * 1024
    /// …until no more than this is left.
    package var lowWater = 64 * 1024
    /// Most input a handler may leave unconsumed: more closes the channel.
    package var maximumUnconsumed = 2 * 1024 * 1024
    /// Time to complete the TLS handshake, or to connect including it.
    package var readyTimeout = Duration.seconds(10)
    /// Time that written bytes may stay unacknowledged before the kernel gives the connection up.
    package var userTimeout = Duration.seconds(30)
    /// Most the kernel keeps beyond what is under way to the peer. By itself it takes megabytes from a peer that does not
    /// read, so that `highWater` would be reached long after the peer stopped.
    package var unsentLimit: Int32 = 128 * 1024
    /// Time to write out what is pending after `closeAfterFlush`.
    package var closeTimeout = Duration.seconds(5)

    /// The defaults.
    package init() {}
}

/// One connection: TCP or Unix-domain, plain or TLS.
///
/// Written bytes gather in one buffer that the loop flushes once at the end of its turn. An idle channel holds no
/// buffer. The loop keeps the channel alive until it is closed.
package final class Channel: Pollable, @unchecked Sendable {
    // Everything is used on the loop's thread only; references may travel.
    enum Phase {
        case connecting
        case handshaking
        case open
        /// Flushing, then waiting for the peer to have read: closing with unread input would reset the connection and
        /// could destroy our last words.
        case closing
        case closed
    }

    package let loop: EventLoop
    /// Who is at the other end, once connected.
    package private(set) var peer: SocketAddress?
    /// User id of the process at the other end of a Unix-domain socket, as the kernel vouches; nil on other connections.
    package var peerUser: UInt32? { descriptor < 0 ? nil : loop.system.peerUser(descriptor) }
    /// What the certificate calls the peer that TLS verified: its first URI, else DNS name, else common name. Nil without
    /// one.
    package var peerCertificateName: String? {
        guard case .tls(let session) = stream else { return nil }
        return session.peerCertificateName()
    }
    /// Its limits.
    package let options: ChannelOptions
    var handler: (any ChannelHandler)?
    var phase: Phase
    var stream: ByteStream?
    private var descriptor: Int32 = -1
    private var generation: UInt32 = 0
    private var interest: Readiness = []
    private var timer: Timer?
    private var connector: Connector?
    /// Why this side ended the handshake.
    private var refusal: TransportError?

    // Input.
    var leftover: [UInt8] = []
    var isPaused = false
    var isInputEnded = false
    var isContinuing = false
    /// A TLS read that has to write first.
    var inputNeedsOutput = false

    // Output.
    var outbound: [UInt8] = []
    var flushed = 0
    var isDirty = false
    var hasEndedOutput = false
    /// What the socket must become before a write can go on; nil when a write may be tried.
    var outputBlock: Readiness?
    var hasToldCongestion = false
    /// Whether more than the high-water mark was pending and it did not yet fall to the low one.
    package internal(set) var isCongested = false

    /// Takes over a connection that a `Listener` accepted. On the loop's thread. Failures are told to the handler.
    package init(
        accepted socket: AcceptedSocket, on loop: EventLoop, tls: TLSContext? = nil,
        options: ChannelOptions = ChannelOptions(), handler: any ChannelHandler
    ) {
        self.loop = loop
        self.options = options
        self.handler = handler
        phase = .handshaking
        startTimer(options.readyTimeout, "the TLS handshake with \(socket.peer)")
        adopt(socket.descriptor, peer: socket.peer) { socket throws(TransportError) in
            guard let tls else { return .plain(socket) }
            return .tls(try TLSSession(acceptedOn: socket, tls))
        }
    }

    /// Connects to `endpoint`, trying its addresses one after the other. On the loop's thread. Failures are told to
    /// the handler. Bytes may be written at once; they leave when the channel is ready.
    ///
    /// - Parameters:
    ///   - tls: nil for a plain connection.
    ///   - serverName: the name or address the server's certificate must carry; the endpoint's host when nil.
    package init(
        connectingTo endpoint: Endpoint, on loop: EventLoop, tls: TLSContext? = nil, serverName: String? = nil,
        options: ChannelOptions = ChannelOptions(), handler: any ChannelHandler
    ) {
        self.loop = loop
        self.options = options
        self.handler = handler
        phase = .connecting
        startTimer(options.readyTimeout, "connecting to \(endpoint)")
        let connector = Connector(to: endpoint, on: loop, within: options.readyTimeout) { [self] outcome in
            self.connector = nil
            switch outcome {
            case .failure(let error): fail(error)
            case .success(let connected):
                adopt(connected.descriptor, peer: connected.peer) { socket throws(TransportError) in
                    guard let tls else { return .plain(socket) }
                    return .tls(try TLSSession(connectedOn: socket, to: serverName ?? endpoint.host, tls))
                }
            }
        }
        self.connector = connector
        connector.start()
    }

    /// Whether the channel is closed or closing.
    package var isClosed: Bool { phase == .closed || phase == .closing }

    /// Closes at once; pending output is dropped.
    package func close() { fail(nil) }

    /// Reads nothing more, writes what is pending, then closes.
    package func closeAfterFlush() {
        guard phase == .open else { return isClosed ? () : close() }
        phase = .closing
        isPaused = false
        leftover = []
        timer?.cancel()
        timer = loop.schedule(after: options.closeTimeout) { [self] in close() }
        markDirty()
        updateInterest()
    }

    func fail(_ error: TransportError?) {
        guard phase != .closed else { return }
        phase = .closed
        timer?.cancel()
        connector?.cancel()
        connector = nil
        if descriptor >= 0 {
            loop.unregister(descriptor)
            loop.system.close(descriptor)
            descriptor = -1
        }
        stream = nil
        leftover = []
        loop.give(takeOutbound())
        flushed = 0
        loop.tellLater(self, closedBy: error ?? refusal)
    }

    func tellClosed(_ error: TransportError?) {
        let handler = self.handler
        self.handler = nil
        handler?.channelClosed(self, error: error)
    }

    func loopStopped(_ error: TransportError) { fail(error) }
}

// Becoming ready.
extension Channel {
    private func adopt(
        _ descriptor: Int32, peer: SocketAddress, _ makeStream: (Socket) throws(TransportError) -> ByteStream
    ) {
        self.peer = peer
        do throws(TransportError) {
            generation = try loop.register(descriptor, self, for: [])
            self.descriptor = descriptor
            configure(descriptor, for: peer)
            stream = try makeStream(Socket(descriptor: descriptor, system: loop.system))
            phase = .handshaking
            advanceHandshake()
        } catch {
            if self.descriptor < 0 { loop.system.close(descriptor) }
            fail(error)
        }
    }

    /// The options only tune: a socket that refuses one still serves.
    private func configure(_ descriptor: Int32, for peer: SocketAddress) {
        if case .unix = peer { return }
        let milliseconds = Int32(clamping: options.userTimeout.nanoseconds / 1_000_000)
        let wanted: [SocketOption] = [
            .noDelay, .keepAlive(idle: 60, interval: 10, count: 3), .userTimeout(milliseconds),
            .unsentLimit(options.unsentLimit),
        ]
        for option in wanted {
            _ = loop.system.set(option, on: descriptor)
        }
    }

    private func advanceHandshake() {
        guard case .tls(let session) = stream else { return becomeOpen() }
        guard loop.takeHandshake() else { return setInterest([.input, .output]) }
        switch session.handshake() {
        case .moved, .ended: becomeOpen()
        case .blocked(let readiness): setInterest(readiness)
        case .failed(let error) where session.isServer: refuse(error, on: session.socket)
        case .failed(let error): fail(error)
        }
    }

    /// Closes a little later than at once: bytes of the client that meet a closed socket would reset the connection, and
    /// destroy the alert that tells the client why.
    private func refuse(_ error: TransportError, on socket: Socket) {
        refusal = error
        stream = .plain(socket)
        phase = .closing
        endOutput()
        updateInterest()
    }

    private func becomeOpen() {
        phase = .open
        timer?.cancel()
        timer = nil
        updateInterest()
        guard phase == .open else { return }
        if !outbound.isEmpty { markDirty() }
        handler?.channelReady(self)
    }

    private func startTimer(_ timeout: Duration, _ operation: String) {
        timer = loop.schedule(after: timeout) { [self] in
            fail(
                TransportError(
                    .timedOut, operation, "not done after \(timeout)",
                    advice: "Check that the peer is up and speaks this protocol."))
        }
    }
}

// Readiness.
extension Channel {
    func ready(_ readiness: Readiness) {
        switch phase {
        case .handshaking: advanceHandshake()
        case .open, .closing: transfer(readiness)
        case .connecting, .closed: break
        }
    }

    private func transfer(_ readiness: Readiness) {
        let isBroken = !readiness.isDisjoint(with: [.error, .hangUp])
        if let needed = outputBlock, isBroken || !readiness.isDisjoint(with: needed) {
            outputBlock = nil
            flush()
        }
        if isReading, isBroken || inputNeedsOutput || !readiness.isDisjoint(with: [.input, .inputClosed]) {
            receive()
        } else if isBroken {
            hungUp()
        }
        updateInterest()
    }

    /// Nothing is read any more, so that only the socket itself can say what happened.
    private func hungUp() {
        guard phase != .closed else { return }
        let errno = loop.system.takeError(descriptor)
        let operation = "talking to \(peer.map(\.description) ?? "the peer")"
        if phase == .closing || hasEndedOutput {
            fail(nil)
        } else if errno != 0 {
            fail(TransportError(operation, errno: errno))
        } else {
            fail(TransportError(.disconnected, operation, "the peer closed the connection"))
        }
    }

    var isReading: Bool {
        !isPaused && !isInputEnded && (phase == .open || phase == .closing)
    }

    func updateInterest() {
        guard phase == .open || phase == .closing else { return }
        var wanted: Readiness = isReading ? [.input, .inputClosed] : []
        if isReading && inputNeedsOutput { wanted.insert(.output) }
        if let outputBlock { wanted.formUnion(outputBlock) }
        setInterest(wanted)
    }

    private func setInterest(_ wanted: Readiness) {
        guard wanted != interest, descriptor >= 0 else { return }
        do throws(TransportError) {
            try loop.change(descriptor, generation: generation, to: wanted)
            interest = wanted
        } catch {
            fail(error)
        }
    }

    /// Enough for what a socket holds.
    private static let lastReads = 64

    /// Waits briefly for the peer to read our last bytes.
    func linger() {
        timer?.cancel()
        timer = loop.schedule(after: .seconds(1)) { [self] in
            // Input that arrived since the last look would turn the close into a reset.
            for _ in 0..<Self.lastReads where phase == .closing && isReading { receive() }
            close()
        }
    }
}
