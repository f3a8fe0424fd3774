import LMClient
import LMProtocol
import LMTransport
import Synchronization

/// A real server of one loop on loopback whose answers a test writes. Unless a script says otherwise it accepts every
/// generation and sends the tokens 0, 1, 2, … as fast as credit allows.
final class ScriptedServer: Sendable {
    /// What a test may replace; everything runs on the server's loop.
    struct Script: Sendable {
        var concurrentStreams: UInt32 = 128
        var keepAlive: UInt32?
        /// Milliseconds; with it every generation gets the resume token (stream, 0).
        var resumeGrace: UInt32?
        /// Told of each RESUME; without it the server knows no stream.
        var resume: @Sendable (Session, UInt32, ResumeMessage) -> Void = { session, stream, _ in
            session.fail(stream, ErrorMessage(.notFound, "no such stream"))
        }
        /// Milliseconds are not slept: a server that does not answer PING is silent for good.
        var answersPings = true
        var hello: @Sendable (Session, HelloMessage) -> Void = { session, _ in session.accept() }
        var generate: @Sendable (Session, UInt32, GenerateMessage) -> Void = { $0.serve($1, $2) }
        /// Before the tokens that the credit allows.
        var credit: @Sendable (Session) -> Void = { _ in }
        var call: @Sendable (Session, UInt32, CallMessage) -> Void = { $0.answer($1, $2) }
    }

    /// What the server saw and did, over all connections.
    struct Log: Sendable {
        var connections = 0
        var disconnections = 0
        var generations = 0
        var calls = 0
        var resumes: [ResumeMessage] = []
        var hellos: [HelloMessage] = []
        var cancels: [CancelReason] = []
        var credits: [CreditMessage] = []
        var sentTokens = 0
        var ended = 0
        var mostOpen = 0
    }

    let address: SocketAddress
    let log = Watched(Log())
    private let loop: EventLoop

    init(_ script: Script = Script(), at address: SocketAddress = .ipv4(0x7F00_0001, port: 0)) throws {
        loop = try EventLoop(name: "scripted")
        let listener = try Listener(at: address, on: loop)
        self.address = listener.address
        let (log, loop) = (self.log, self.loop)
        try listener.start { socket in
            let session = Session(script, log)
            session.channel = Channel(accepted: socket, on: loop, handler: session)
        }
        try loop.start()
    }

    deinit { loop.stop() }

    /// A client of this server that waits for nothing.
    func client(_ change: (inout ClientConfiguration) -> Void = { _ in }) throws -> LMClient {
        var configuration = ClientConfiguration(endpoint: "\(address)")
        configuration.retry.initialDelay = .milliseconds(1)
        change(&configuration)
        return try LMClient(configuration)
    }

    /// One connection.
    final class Session: ChannelHandler, @unchecked Sendable {
        // Loop thread only.
        var wire: Connection
        var channel: Channel?
        /// Of the connection, from 1.
        let number: Int
        private let script: Script
        private let log: Watched<Log>
        private var remaining: [UInt32: Int] = [:]
        private var next: [UInt32: UInt32] = [:]
        private var checksums: [UInt32: CRC32C] = [:]

        init(_ script: Script, _ log: Watched<Log>) {
            self.script = script
            self.log = log
            var hello = HelloMessage(maxPayload: Limits.serverPayload)
            hello.keepAlive = script.keepAlive
            hello.resumeGrace = script.resumeGrace
            wire = .server(hello, concurrentStreams: script.concurrentStreams)
            log.update { $0.connections += 1 }
            number = log.value.connections
        }

        /// Sends what `frame` appends; a stream that ended meanwhile is none of a script's business.
        func send(_ frame: (inout Connection, inout [UInt8]) throws(WireError) -> Void) {
            do throws(WireError) {
                try channel?.write { (bytes) throws(WireError) in try frame(&wire, &bytes) }
            } catch {}
        }

        func accept() { send { (wire, bytes) throws(WireError) in try wire.sendHello(into: &bytes) } }

        func accept(_ stream: UInt32, isResumable: Bool = true) {
            var message = AcceptMessage()
            message.requestID = "r\(stream)"
            message.model = "scripted"
            if script.resumeGrace != nil, isResumable { message.resumeToken = Opaque128(UInt64(stream), 0) }
            send { (wire, bytes) throws(WireError) in try wire.sendAccept(on: stream, message, into: &bytes) }
        }

        /// Accepts, and goes on from the token asked for: to the end if that is after `total` tokens.
        func resume(_ stream: UInt32, _ message: ResumeMessage, total: Int? = nil) {
            var acceptance = AcceptMessage()
            acceptance.startIndex = message.nextIndex
            acceptance.resumeToken = message.token
            send { (wire, bytes) throws(WireError) in try wire.sendAccept(on: stream, acceptance, into: &bytes) }
            next[stream] = message.nextIndex
            for index in 0..<message.nextIndex {
                checksums[stream, default: CRC32C()].update(Array("t\(index) ".utf8).span.bytes)
            }
            remaining[stream] = total.map { $0 - Int(message.nextIndex) }
            pump(stream)
        }

        /// Accepts, and sends as many tokens as were asked for.
        func serve(_ stream: UInt32, _ message: GenerateMessage) {
            accept(stream)
            remaining[stream] = Int(message.stop.maxTokens ?? 16)
            pump(stream)
        }

        /// Sends `count` tokens that have credit.
        func sendTokens(_ stream: UInt32, _ count: Int) {
            for _ in 0..<count {
                let index = next[stream, default: 0]
                next[stream] = index + 1
                log.update { $0.sentTokens += 1 }
                send { (wire, bytes) throws(WireError) in
                    var tokens = TokensMessage(firstIndex: index)
                    let text = Array("t\(index) ".utf8)
                    checksums[stream, default: CRC32C()].update(text.span.bytes)
                    try tokens.append(id: Int32(index), text: text.span)
                    try tokens.append(TokensMessage.Logprob(token: Int32(index), value: -0.5))
                    try wire.sendTokens(on: stream, tokens, into: &bytes)
                }
            }
        }

        func finish(_ stream: UInt32, _ reason: FinishMessage.Reason, checksum: UInt32? = nil) {
            remaining[stream] = nil
            var message = FinishMessage(
                reason: reason, tokens: next[stream] ?? 0, checksum: checksum ?? checksums[stream]?.value ?? 0)
            message.seed = 7
            message.usage.completionTokens = next[stream] ?? 0
            log.update { $0.ended += 1 }
            send { (wire, bytes) throws(WireError) in try wire.sendFinish(on: stream, message, into: &bytes) }
        }

        func fail(_ stream: UInt32, _ message: ErrorMessage) {
            send { (wire, bytes) throws(WireError) in try wire.sendError(on: stream, message, into: &bytes) }
        }

        func answer(_ stream: UInt32, _ call: CallMessage) {
            let reply: ReplyMessage =
                switch call {
                case .health: .health(HealthReply(status: .ready))
                case .models: .models([ModelReply(name: "scripted")])
                case .tokenize(.text(let text), _, _): .tokenize(text.utf8.map { Int32($0) })
                case .tokenize: .tokenize([])
                case .detokenize(let ids, _): .detokenize(ids.map(String.init).joined(separator: ","))
                case .statistics: .statistics([StatisticReply(name: "running", value: 3)])
                case .embed(let message): .embed(EmbedReply([Float(message.timeout), message.isNormalized ? 1 : 0]))
                }
            send { (wire, bytes) throws(WireError) in try wire.sendReply(on: stream, reply, into: &bytes) }
        }

        private func pump(_ stream: UInt32) {
            guard let left = remaining[stream] else { return }
            let count = min(left, Int(wire.credit(on: stream)))
            sendTokens(stream, count)
            remaining[stream] = left - count
            if left == count { finish(stream, .length) }
        }

        func channelReady(_ channel: Channel) {}

        func channel(_ channel: Channel, received bytes: RawSpan) -> Int {
            var consumed = 0
            do throws(WireError) {
                while let action = try wire.receive(bytes, consumed: &consumed) { act(on: action) }
            } catch {
                channel.write { wire.close(with: ErrorMessage(error), into: &$0) }
                channel.closeAfterFlush()
            }
            return consumed
        }

        private func act(on action: Connection.Action) {
            log.update { [count = wire.openStreamCount] in $0.mostOpen = max($0.mostOpen, count) }
            switch action {
            case .hello(let hello):
                log.update { $0.hellos.append(hello) }
                script.hello(self, hello)
            case .generate(let stream, let message):
                log.update { $0.generations += 1 }
                script.generate(self, stream, message)
            case .resume(let stream, let message):
                log.update { $0.resumes.append(message) }
                script.resume(self, stream, message)
            case .call(let stream, let message):
                log.update { $0.calls += 1 }
                script.call(self, stream, message)
            case .rejected(let stream, let error): fail(stream, ErrorMessage(error))
            case .credit(let stream, let credit):
                log.update { $0.credits.append(credit) }
                script.credit(self)
                pump(stream)
            case .cancel(let stream, let reason):
                finish(stream, .cancelled)
                log.update { $0.cancels.append(reason) }
            case .ping(let opaque) where script.answersPings:
                send { (wire, bytes) throws(WireError) in try wire.sendPong(opaque, into: &bytes) }
            default: break
            }
        }

        func channelInputEnded(_ channel: Channel) { channel.close() }
        func channelWritabilityChanged(_ channel: Channel) {}
        func channelClosed(_ channel: Channel, error: TransportError?) {
            self.channel = nil
            log.update { $0.disconnections += 1 }
        }
    }
}

/// A value that a test can wait for, without sleeping.
final class Watched<Value: Sendable>: Sendable {
    private struct Waiter {
        var condition: @Sendable (Value) -> Bool
        var continuation: CheckedContinuation<Value, Never>
    }

    private struct State {
        var value: Value
        var waiters: [Int: Waiter] = [:]
        var waiterCount = 0
    }

    private let state: Mutex<State>

    init(_ value: Value) { state = Mutex(State(value: value)) }

    var value: Value { state.withLock { $0.value } }

    func update(_ change: @Sendable (inout Value) -> Void) {
        let (value, due) = state.withLock { state in
            change(&state.value)
            let value = state.value
            let due = state.waiters.filter { $0.value.condition(value) }
            for key in due.keys { state.waiters[key] = nil }
            return (value, due)
        }
        for waiter in due.values { waiter.continuation.resume(returning: value) }
    }

    /// The value once `condition` holds. A test's time limit ends the wait with an issue when it never does.
    @discardableResult
    func wait(_ condition: @escaping @Sendable (Value) -> Bool) async -> Value {
        let key = state.withLock { state in
            state.waiterCount += 1
            return state.waiterCount
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let value = state.withLock { state -> Value? in
                    if condition(state.value) || Task.isCancelled { return state.value }
                    state.waiters[key] = Waiter(condition: condition, continuation: continuation)
                    return nil
                }
                if let value { continuation.resume(returning: value) }
            }
        } onCancel: {
            let (waiter, value) = state.withLock { ($0.waiters.removeValue(forKey: key), $0.value) }
            waiter?.continuation.resume(returning: value)
        }
    }
}
