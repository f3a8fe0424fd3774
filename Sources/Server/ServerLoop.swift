internal import LMEngine
internal import LMProtocol
internal import LMTransport

/// The server's part of one I/O loop: its connections and the mailbox in which the engine leaves their events.
/// Loop thread only, but for what is said otherwise.
final class ServerLoop: @unchecked Sendable {  // immutable, or touched on the loop thread only
    let eventLoop: EventLoop
    let shared: SharedState
    let mailbox: EventMailbox
    private(set) var isDraining = false

    private var connections: [UInt32: ServerConnection] = [:]
    private var nextNumber: UInt32 = 0
    private var batch = EventBatch()
    private var active: [ServerConnection] = []

    var limits: ServerLimits { shared.limits }
    var model: ServedModel { shared.model }
    /// Monotonic nanoseconds at the start of this turn.
    var now: UInt64 { eventLoop.now }

    private static let tickInterval = Duration.seconds(1)

    init(eventLoop: EventLoop, shared: SharedState) {
        self.eventLoop = eventLoop
        self.shared = shared
        mailbox = EventMailbox { eventLoop.wake() }
    }

    /// Starts the loop's thread.
    func start() throws(TransportError) {
        eventLoop.onWake { [self] in drainMailbox() }
        tickLater()
        try eventLoop.start()
    }

    private func tickLater() {
        eventLoop.schedule(after: Self.tickInterval) { [self] in
            for connection in connections.values { connection.tick(now: now) }
            tickLater()
        }
    }

    /// Takes over an accepted connection.
    func accept(_ socket: AcceptedSocket, tls: TLSContext?) {
        repeat { nextNumber &+= 1 } while connections[nextNumber] != nil
        connections[nextNumber] = ServerConnection(number: nextNumber, socket: socket, tls: tls, loop: self)
    }

    func remove(_ connection: ServerConnection) {
        connections[connection.number] = nil
        shared.connectionClosed()
    }

    /// The engine left events: hand them to their connections, then let each connection write once.
    private func drainMailbox() {
        mailbox.drain(into: &batch)
        deliver(batch)
        for connection in active { connection.flushEvents() }
        active.removeAll(keepingCapacity: true)
    }

    private func deliver(_ batch: borrowing EventBatch) {
        var (textStart, logprobStart) = (0, 0)
        for event in batch.events {
            var textEnd = textStart
            if case .token(_, _, let length) = event.kind { textEnd += length }
            let logprobEnd = logprobStart + event.logprobCount
            if let connection = connections[UInt32(truncatingIfNeeded: event.tag >> 32)] {
                if connection.isFirstOfTurn() { active.append(connection) }
                connection.take(
                    event, text: batch.text.span.extracting(textStart..<textEnd),
                    logprobs: batch.logprobs[logprobStart..<logprobEnd])
            }
            (textStart, logprobStart) = (textEnd, logprobEnd)
        }
    }

    /// Says goodbye to every client; a connection leaves when its last stream has ended.
    func drain() {
        isDraining = true
        for connection in connections.values { connection.sayGoodbye() }
    }

    /// Ends what is still running.
    func endConnections(_ message: ErrorMessage) {
        for connection in connections.values { connection.fail(message) }
    }
}
