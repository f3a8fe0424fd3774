internal import LMEngine
internal import LMProtocol
internal import LMTransport

/// One client: the wire's state machine between a channel and the engine. Loop thread only.
///
/// Requests go to the engine as they arrive; what comes back passes through their `Generation`s, and leaves as one write when
/// the loop's turn ends.
final class ServerConnection: ChannelHandler {
    /// Unique on its loop for as long as the server runs.
    let number: UInt32
    unowned let loop: ServerLoop
    private(set) var channel: Channel?
    /// Not watched over by the runtime, which would cost each token: what changes it is the wire's own code, which calls nobody.
    @exclusivity(unchecked) var wire: Connection
    /// Bytes of output from which on the client has to drain it first.
    let softBytes: Int
    /// By the stream that carries them.
    var generations: [UInt32: Generation] = [:]
    let source: Source
    /// Who said HELLO here; nil before.
    var identity: Identity?

    private var lastHeard: UInt64
    private let accepted: UInt64
    /// When the frame began whose rest has not arrived; nil between frames.
    private var partialSince: UInt64?
    private var pingedAt: UInt64?
    private var opens: TokenBucket
    private var cancels: TokenBucket
    private var controls: TokenBucket
    private var glitches: TokenBucket
    private var requestCount = 0
    /// When this connection is asked to go, however busy it is.
    private let oldAge: UInt64
    /// The final GOAWAY was sent: leave when the last stream has ended.
    private var isLeaving = false
    private var hasWarned = false
    /// The client writes no more: leave when its last stream has ended.
    private var isInputEnded = false

    /// Takes over an accepted socket.
    init(number: UInt32, socket: AcceptedSocket, tls: TLSContext?, loop: ServerLoop) {
        self.number = number
        self.loop = loop
        softBytes = loop.limits.outboundSoftBytes
        source = Source(socket.peer)
        let now = loop.now
        accepted = now
        lastHeard = now
        opens = TokenBucket(loop.limits.openRate, now: now)
        cancels = TokenBucket(loop.limits.cancelRate, now: now)
        controls = TokenBucket(loop.limits.controlRate, now: now)
        glitches = TokenBucket(loop.limits.glitchRate, now: now)
        oldAge = now &+ loop.limits.connectionAge(spread: loop.eventLoop.system.random()) * 1_000_000
        var hello = HelloMessage(maxPayload: Limits.serverPayload)
        hello.agent = loop.shared.agent
        hello.keepAlive = UInt32(clamping: loop.limits.pingInterval)
        hello.resumeGrace = UInt32(clamping: loop.limits.resumeGrace)
        hello.cancelBudget = loop.limits.cancelRate.budget
        hello.controlBudget = loop.limits.controlRate.budget
        hello.glitchBudget = loop.limits.glitchRate.budget
        wire = .server(hello, concurrentStreams: loop.limits.streamsPerConnection)
        var options = ChannelOptions()
        options.highWater = softBytes
        options.lowWater = softBytes / 4
        channel = Channel(accepted: socket, on: loop.eventLoop, tls: tls, options: options, handler: self)
    }

    // MARK: - Bytes in

    func channelReady(_ channel: Channel) {}

    func channel(_ channel: Channel, received bytes: RawSpan) -> Int {
        lastHeard = loop.now
        pingedAt = nil
        var consumed = 0
        do throws(WireError) {
            var start = 0
            while let action = try wire.receive(bytes, consumed: &consumed) {
                try perform(action, size: consumed - start)
                start = consumed
            }
        } catch {
            fail(ErrorMessage(error))
            return bytes.byteCount
        }
        if consumed > 0 { partialSince = nil }
        if consumed < bytes.byteCount, partialSince == nil { partialSince = loop.now }
        return consumed
    }

    func channelInputEnded(_ channel: Channel) {
        isInputEnded = true
        leaveIfDone()
        // A client that is gone looks like one that has no more to ask. Written to, the former's machine answers with a
        // reset; a parked stream would otherwise write nothing for as long as it lives.
        if wire.openStreamCount > 0 { probe() }
    }

    /// - Parameter size: bytes of the frame.
    private func perform(_ action: Connection.Action, size: Int) throws(WireError) {
        switch action {
        case .hello(let hello): try greet(hello)
        case .generate(let stream, let message):
            if try admits(stream, size: size) { try generate(on: stream, message) }
        case .resume(let stream, let message):
            if try admits(stream, size: size) { try resume(on: stream, message) }
        case .call(let stream, let message):
            if try admits(stream, size: size) { try answer(message, on: stream) }
        case .rejected(let stream, let error):
            try spend(&glitches, "bad requests")
            try refuse(stream, ErrorMessage(error))
        case .credit(let stream, let credit):
            try spend(&controls, "control frames")
            generations[stream]?.credit(credit)
        case .cancel(let stream, _):
            let generation = generations[stream]
            // A prefill costs a thousand times what a CANCEL costs its sender.
            try spend(&cancels, "cancels", cost: generation?.hasTokens == false ? 4 : 1)
            generation?.cancel()
        case .ping(let opaque):
            try spend(&controls, "control frames")
            try send { (wire, bytes) throws(WireError) in try wire.sendPong(opaque, into: &bytes) }
        case .pong: try spend(&controls, "control frames")
        case .ignored: try spend(&glitches, "frames without effect")
        case .error: channel?.close()
        case .goAway, .maxStreams, .accept, .tokens, .progress, .finish, .reply:
            throw WireError(.internal, "a server's connection yields no \(action)")
        }
    }

    /// Whether the client may ask this now; if not, the stream is ended.
    private func admits(_ stream: UInt32, size: Int) throws(WireError) -> Bool {
        requestCount += 1
        if requestCount == loop.limits.connectionRequests { leave(ErrorCode(rawValue: 0), grace: 0) }
        if opens.take(1 + Double(size) / 1_024, now: loop.now) { return true }
        try spend(&glitches, "refused requests")
        try refuse(
            stream,
            ErrorMessage(
                .rateLimited, "too many or too long requests on one connection; send them slower", retryAfter: 1_000))
        return false
    }

    private func spend(_ bucket: inout TokenBucket, _ what: String, cost: Double = 1) throws(WireError) {
        guard bucket.take(cost, now: loop.now) else {
            throw WireError(.rateLimited, "too many \(what) on one connection")
        }
    }

    // MARK: - Frames out

    /// Lets the wire append a frame to the channel's outbound buffer; it leaves at the end of the turn.
    func send(
        _ encode: (inout Connection, inout [UInt8]) throws(WireError) -> Void
    ) throws(WireError) {
        try channel?.write { (bytes) throws(WireError) in try encode(&wire, &bytes) }
        checkOutbound()
    }

    /// Ends a stream that the engine does not know, or does not know any more.
    func refuse(_ stream: UInt32, _ message: ErrorMessage) throws(WireError) {
        try send { (wire, bytes) throws(WireError) in try wire.sendError(on: stream, message, into: &bytes) }
    }

    /// Ends the connection with a word to the client.
    func fail(_ message: ErrorMessage) {
        abandonGenerations()
        channel?.write { wire.close(with: message, into: &$0) }
        channel?.closeAfterFlush()
    }

    // MARK: - Going away

    /// Asks the client to open new streams elsewhere, soon after refuses them, and ends when the open ones have ended.
    ///
    /// - Parameter grace: milliseconds that open streams have left; 0 for all the time they need.
    func leave(_ reason: ErrorCode, grace: UInt64) {
        guard wire.isOpen else {
            if loop.isDraining { channel?.closeAfterFlush() }
            return
        }
        guard !hasWarned else { return }
        hasWarned = true
        sayGoodbye(isFinal: false, reason, grace)
        // Requests that cross the warning on the wire have arrived by then.
        loop.eventLoop.schedule(after: .milliseconds(loop.limits.goAwayDelay)) { [weak self] in
            guard let self, wire.isOpen else { return }
            sayGoodbye(isFinal: true, reason, grace)
            isLeaving = true
            leaveIfDone()
        }
    }

    private func sayGoodbye(isFinal: Bool, _ reason: ErrorCode, _ grace: UInt64) {
        do throws(WireError) {
            try send { (wire, bytes) throws(WireError) in
                try wire.sendGoAway(isFinal: isFinal, grace: UInt32(clamping: grace), reason: reason, into: &bytes)
            }
        } catch {
            fail(ErrorMessage(error))
        }
    }

    func leaveIfDone() {
        if isLeaving || isInputEnded, wire.openStreamCount == 0 { channel?.closeAfterFlush() }
    }

    /// Fails every open stream, and leaves.
    func endStreams(_ message: ErrorMessage) {
        let streams = wire.openStreams
        abandonGenerations()
        for stream in streams { fail(stream, message) }
        channel?.closeAfterFlush()
    }

    // MARK: - Silence and the end

    /// Whether the socket is full: tokens had better wait with their generation.
    var isCongested: Bool { channel?.isCongested == true }

    func channelWritabilityChanged(_ channel: Channel) {
        for generation in generations.values { generation.flush() }
    }

    private func checkOutbound() {
        guard let pending = channel?.pendingOutboundBytes, pending > loop.limits.outboundHardBytes else { return }
        fail(ErrorMessage(.slowConsumer, "\(pending) bytes of answers wait to be read; read while you ask"))
    }

    /// Called about once a second.
    func tick(now: UInt64) {
        func elapsed(since time: UInt64) -> UInt64 { (now &- time) / 1_000_000 }
        if !wire.isOpen {
            if elapsed(since: accepted) > loop.limits.helloDeadline { channel?.close() }
            return
        }
        if let identity, identity.end != .max, Access.now >= identity.end { return renewIdentity() }
        if let partialSince, elapsed(since: partialSince) > loop.limits.frameDeadline {
            let limit = loop.limits.frameDeadline
            return fail(ErrorMessage(.protocolViolation, "a frame is not complete \(limit) ms after its first byte"))
        }
        if now > oldAge { leave(ErrorCode(rawValue: 0), grace: 0) }
        let silence = elapsed(since: lastHeard)
        if wire.openStreamCount == 0, silence > loop.limits.idleTimeout {
            fail(ErrorMessage(.draining, "idle for \(silence / 1_000) s"))
        } else if silence > loop.limits.deadPeerTimeout, pingedAt != nil, !isInputEnded {
            channel?.close()
        } else if silence > loop.limits.pingInterval, wire.openStreamCount > 0 {
            let sinceProbe = pingedAt.map(elapsed(since:)) ?? .max
            if sinceProbe > loop.limits.pingInterval { probe() }
        }
    }

    /// Writes something that a live client answers, or at least acknowledges if it can write no more.
    private func probe() {
        pingedAt = loop.now
        try? send { (wire, bytes) throws(WireError) in try wire.sendPing(loop.now, into: &bytes) }
    }

    func channelClosed(_ channel: Channel, error: TransportError?) {
        abandonGenerations()
        loop.remove(self)
    }

    private func abandonGenerations() {
        let lost = generations.values
        generations.removeAll()
        for generation in lost { generation.connectionLost() }
    }
}

// What a generation asks of the connection that carries it.
extension ServerConnection {
    /// Appends tokens of a stream to what leaves at the end of the turn, which cannot grow far by this: while the connection is
    /// congested tokens wait. The caller fails the connection if this throws.
    ///
    /// - Parameter index: of the first one.
    func append(_ tokens: borrowing TokenSlice, from index: UInt32, on stream: UInt32) throws(WireError) {
        var bytes = borrowOutput()
        defer { returnOutput(bytes) }
        try wire.sendTokens(on: stream, from: index, tokens, into: &bytes)
    }

    /// Lends what leaves at the end of the turn, to be appended to; `returnOutput` follows before anything else.
    func borrowOutput() -> [UInt8] { channel?.borrowOutput() ?? [] }

    /// Takes back what `borrowOutput` lent.
    func returnOutput(_ bytes: consuming [UInt8]) { channel?.returnOutput(bytes) }

    /// Ends a stream.
    func finish(_ stream: UInt32, _ message: FinishMessage) {
        end(stream) { () throws(WireError) in
            try send { (wire, bytes) throws(WireError) in try wire.sendFinish(on: stream, message, into: &bytes) }
        }
    }

    /// Ends a call with its answer.
    func finish(_ stream: UInt32, _ reply: ReplyMessage) {
        end(stream) { () throws(WireError) in try send(reply, on: stream) }
    }

    /// Ends a stream with an error.
    func fail(_ stream: UInt32, _ message: ErrorMessage) {
        end(stream) { () throws(WireError) in try refuse(stream, message) }
    }

    private func end(_ stream: UInt32, _ sendEnd: () throws(WireError) -> Void) {
        generations[stream] = nil
        do throws(WireError) {
            try sendEnd()
            leaveIfDone()
        } catch {
            fail(ErrorMessage(error))
        }
    }
}
