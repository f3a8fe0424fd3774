internal import LMEngine
internal import LMProtocol
internal import LMTransport

/// The server's part of one I/O loop: its connections, their generations, and the mailbox in which the engine leaves
/// their events. Loop thread only, but for what is said otherwise.
final class ServerLoop: @unchecked Sendable {  // immutable, or touched on the loop thread only
    let eventLoop: EventLoop
    let shared: SharedState
    let mailbox: EventMailbox
    private(set) var isDraining = false
    /// Generations by the tag of their events. Not watched over by the runtime, which would cost each token: nothing that is called
    /// while it changes comes back to it.
    @exclusivity(unchecked) private var generations = GenerationTable()
    private(set) var resumable = ResumableGenerations()

    private var connections: [UInt32: ServerConnection] = [:]
    private var nextNumber: UInt32 = 0
    private var batch = EventBatch()
    /// Tags of generations that took tokens in this turn; likewise.
    @exclusivity(unchecked) private var touched: [UInt64] = []

    var limits: ServerLimits { shared.limits }
    var model: ServedModel { shared.model }
    /// Monotonic nanoseconds at the start of this turn.
    var now: UInt64 { eventLoop.now }

    private static let tickInterval = Duration.seconds(1)

    /// - Parameter eventLoop: not started yet.
    init(eventLoop: EventLoop, shared: SharedState) {
        self.eventLoop = eventLoop
        self.shared = shared
        mailbox = EventMailbox { eventLoop.wake() }
        eventLoop.onWake { [self] in drainMailbox() }
        tickLater()
    }

    private func tickLater() {
        eventLoop.schedule(after: Self.tickInterval) { [self] in
            for connection in connections.values { connection.tick(now: now) }
            for generation in generations.all { generation.checkReader(now: now) }
            for generation in resumable.all {
                if let expiry = generation.expiry, expiry <= now, generation.connection == nil { generation.abandon() }
            }
            tickLater()
        }
    }

    /// 128 random bits: numbers in sequence would tell every client how busy the server is.
    func newRequestID() -> String {
        (0..<2).map { _ in
            let digits = String(eventLoop.system.random(), radix: 16)
            return String(repeating: "0", count: 16 - digits.utf8.count) + digits
        }.joined()
    }

    /// Takes over an accepted connection.
    func accept(_ socket: AcceptedSocket, tls: TLSContext?) {
        repeat { nextNumber &+= 1 } while connections[nextNumber] != nil
        connections[nextNumber] = ServerConnection(number: nextNumber, socket: socket, tls: tls, loop: self)
    }

    func remove(_ connection: ServerConnection) {
        connections[connection.number] = nil
        shared.admission.leave(connection.identity?.tenant, from: connection.source)
    }

    /// The engine left events: hand them to their generations, then let each of those send what it has.
    private func drainMailbox() {
        mailbox.drain(into: &batch)
        deliver(batch)
        sendTouched()
        touched.removeAll(keepingCapacity: true)
    }

    private func sendTouched() {
        var outlet = Outlet()
        for tag in touched where generations.flow(of: tag)?.pointee.send(into: &outlet) == false {
            // Whatever it does must find its connection's buffer in its place.
            outlet.close()
            generations[tag]?.flush()
        }
        outlet.close()
    }

    private func deliver(_ batch: borrowing EventBatch) {
        let (text, logprobs) = (batch.text.span, batch.logprobs.span)
        var (textStart, logprobStart, endCount) = (0, 0, 0)
        for event in batch.events {
            switch event.kind {
            case .token(let id, _, let textLength, let logprobCount):
                let (textEnd, logprobEnd) = (textStart + Int(textLength), logprobStart + Int(logprobCount))
                if let flow = generations.flow(of: event.tag) {
                    if flow.pointee.buffer.touch() { touched.append(event.tag) }
                    flow.pointee.buffer.append(
                        id: id, text: text.extracting(textStart..<textEnd),
                        logprobs: logprobs.extracting(logprobStart..<logprobEnd))
                }
                (textStart, logprobStart) = (textEnd, logprobEnd)
            case .ended:
                generations[event.tag]?.finish(batch.ends[endCount])
                endCount += 1
            }
        }
    }

    /// Ends the connections whose keys are not accepted any more.
    func renewIdentities() {
        for connection in connections.values { connection.renewIdentity() }
    }

    /// Says goodbye to every client; a connection leaves when its last stream has ended. Who is away cannot come back.
    func drain() {
        isDraining = true
        for generation in resumable.all where generation.connection == nil { generation.abandon() }
        for connection in connections.values { connection.leave(.draining, grace: limits.drainTimeout) }
    }

    /// Ends what is still running.
    func endConnections(_ message: ErrorMessage) {
        for connection in connections.values { connection.endStreams(message) }
    }
}

// The generations of the loop.
extension ServerLoop {
    /// Monotonic nanoseconds at which a generation is forgotten whose client is lost now.
    var expiryOfResumable: UInt64 { now &+ limits.resumeGrace * 1_000_000 }

    /// Gives a request to the engine; its generation knows its stream when `attach` was called.
    func submit(
        _ request: GenerationRequest, tenant: UInt64, clientLimit: UInt32, isCall: Bool,
        resumption: Generation.Resumption?
    ) throws(EngineError) -> Generation {
        let generation = generations.insert { tag in
            Generation(
                tag: tag, loop: self, tenant: tenant, clientLimit: clientLimit, granted: request.creditLimit,
                seed: request.sampling.seed, isCall: isCall)
        }
        do throws(EngineError) {
            generation.submitted(as: try model.engine.submit(request, tag: generation.tag, to: mailbox))
        } catch {
            generations.remove(generation.tag)
            throw error
        }
        generation.resumption = resumption
        resumable.insert(generation)
        return generation
    }

    /// Nothing is known of it from now on; the engine's further events about it are dropped.
    func forget(_ generation: Generation) {
        generations.remove(generation.tag)
        resumable.remove(generation)
    }

    /// It has ended, and is kept in case its client did not learn of it.
    func keepEnded(_ generation: Generation) {
        generations.remove(generation.tag)
        for excess in resumable.noteEnd(of: generation, limit: limits.endedBytes) where excess.connection == nil {
            resumable.remove(excess)
        }
    }

    /// Ends with its connection from now on.
    func dropResumption(of generation: Generation) { resumable.remove(generation) }
}
