internal import LMProtocol

/// Reads along on every connection, as its writers' machines accept the bytes, and holds what the two ends say against
/// the rules. It takes frames apart by itself, so that a mistake that both ends share is seen here.
package final class WireTap: @unchecked Sendable {  // one thread: that of the world
    private struct Stream {
        var seed: UInt64?
        var next: UInt32 = 0
        var credit: UInt32 = 0
        var isOver = false
    }

    private struct Conversation {
        var fromClient = FrameSplitter(skipping: Connection.preface.count)
        var fromServer = FrameSplitter(skipping: 0)
        var streams: [UInt32: Stream] = [:]
        var goAwayLimit: UInt32?
        var hasClientEnded = false
        var hasServerFailedIt = false
    }

    /// What the wire has said about the generation of a seed.
    private struct Run {
        /// How many tokens the client allows.
        var allowed: UInt32 = 0
        /// The connection that carries it now.
        var link: Int
        /// All connections that the server may still hold it for, and when it closed the last of them: a request that was
        /// repeated before it was accepted may run twice for a while.
        var open: Set<Int> = []
        var closedAt: UInt64?
        var isResumable: Bool
        /// When CANCEL was written, and when the deadline passes, on connections that work.
        var cancelledAt: UInt64?
        var deadline: UInt64?
    }

    private let time: VirtualTime
    private let grace: UInt64
    /// Whether programs may stand still, so that nothing in this world is late.
    private let isPatient: Bool
    private let oracle: Oracle
    private let violations: Violations
    private var conversations: [Conversation] = []
    /// Frames seen.
    private(set) var frames = 0
    private var runs: [UInt64: Run] = [:]
    private var harmed: Set<Int> = []
    /// Which seed's generation a resume token names.
    private var resumable: [[UInt8]: UInt64] = [:]

    /// The time within which what was written on a good connection has arrived and had its effect: some round trips, and
    /// one slow step.
    private static let promptness = 3 * second

    /// - Parameter graceOfResumption: milliseconds.
    init(
        time: VirtualTime, graceOfResumption: UInt64, isPatient: Bool, _ oracle: Oracle, _ violations: Violations
    ) {
        self.isPatient = isPatient
        self.time = time
        grace = graceOfResumption * millisecond
        self.oracle = oracle
        self.violations = violations
    }

    func opened(_ link: Int) { conversations.append(Conversation()) }

    /// One end's machine accepted bytes.
    func wrote(_ bytes: UnsafeRawBufferPointer, link: Int, byServer: Bool) {
        if byServer {
            conversations[link].fromServer.append(bytes)
            while let frame = conversations[link].fromServer.next() { serverSent(frame, link) }
        } else {
            conversations[link].fromClient.append(bytes)
            while let frame = conversations[link].fromClient.next() { clientSent(frame, link) }
        }
    }

    /// One end writes no more. A server that ends a connection nobody harmed owes every stream its last frame.
    func ended(link: Int, byServer: Bool) {
        let conversation = conversations[link]
        guard byServer, !isPatient, !harmed.contains(link), !conversation.hasClientEnded,
            !conversation.hasServerFailedIt
        else {
            if !byServer { conversations[link].hasClientEnded = true }
            return
        }
        for (number, stream) in conversation.streams.sorted(by: { $0.key < $1.key }) where !stream.isOver {
            if let limit = conversation.goAwayLimit, number > limit { continue }
            violations.add("N7: link \(link): the server left, and stream \(number) has no last frame")
        }
    }

    /// Something else than the two programs disturbed the connection.
    func harmed(_ link: Int) { harmed.insert(link) }

    /// The server's program is done with the connection.
    func closedByServer(_ link: Int) {
        for (seed, run) in runs where run.open.contains(link) {
            runs[seed]?.open.remove(link)
            if run.open.count == 1 { runs[seed]?.closedAt = time.now }
        }
    }

    /// Why token `index` of this seed's answer had better not be computed now; nil if it may be.
    func reasonNotToCompute(seed: UInt64, index: Int) -> String? {
        guard let run = runs[seed] else { return "which nobody asked for" }
        if index >= Int(run.allowed) { return "N12: beyond the client's credit of \(run.allowed)" }
        func isOver(_ moment: UInt64?, by allowance: UInt64) -> Bool {
            moment.map { time.now > $0 + allowance } ?? false
        }
        // Closing and cancelling are one turn of the server's; a generation that waits for its client is looked at once a
        // second.
        let wait = run.isResumable && grace > 0 ? grace + (isPatient ? 40 : 2) * second : 0
        if isOver(run.closedAt, by: wait) { return "after its client was lost" }
        if isPatient || harmed.contains(run.link) { return nil }
        if isOver(run.cancelledAt, by: Self.promptness) { return "long after CANCEL" }
        return isOver(run.deadline, by: Self.promptness) ? "long after its deadline" : nil
    }

    private func clientSent(_ frame: Frame, _ link: Int) {
        frames += 1
        switch frame.kind {
        case .generate:
            let seed = frame.integer(field: 23, after: 12)
            conversations[link].streams[frame.stream] = Stream(seed: seed, credit: frame.integer(at: 0))
            if let seed { note(frame, seed, link) }
        case .resume:
            conversations[link].streams[frame.stream] = Stream(
                seed: resumable[Array(frame.payload[..<16])], next: frame.integer(at: 16), credit: frame.integer(at: 20)
            )
        case .call: conversations[link].streams[frame.stream] = Stream()
        case .credit:
            guard let known = conversations[link].streams[frame.stream]?.credit else { return }
            conversations[link].streams[frame.stream]?.credit = max(known, frame.integer(at: 0))
        case .cancel:
            if let seed = conversations[link].streams[frame.stream]?.seed { runs[seed]?.cancelledAt = time.now }
            return
        default: return
        }
        guard let stream = conversations[link].streams[frame.stream], let seed = stream.seed else { return }
        let known = runs[seed]?.allowed ?? 0
        runs[seed]?.allowed = max(known, stream.credit)
        if frame.kind != .credit { carry(seed, on: link) }
    }

    /// The generation goes on on this connection, or will when what was written has arrived.
    private func carry(_ seed: UInt64, on link: Int) {
        runs[seed]?.link = link
        runs[seed]?.open.insert(link)
        runs[seed]?.closedAt = nil
    }

    /// A request goes out, for the first time or again.
    private func note(_ frame: Frame, _ seed: UInt64, _ link: Int) {
        let isResumable = frame.payload[9] & 4 != 0 || frame.field(40, after: 12) != nil
        var run = runs[seed] ?? Run(link: link, isResumable: isResumable)
        let timeout = UInt64(frame.integer(at: 4))
        run.deadline = timeout == 0 ? nil : time.now + timeout * millisecond
        runs[seed] = run
    }

    private func serverSent(_ frame: Frame, _ link: Int) {
        frames += 1
        if frame.stream == 0 {
            if frame.kind == .goAway { conversations[link].goAwayLimit = frame.integer(at: 0) }
            if frame.kind == .error { conversations[link].hasServerFailedIt = true }
            return
        }
        guard var stream = conversations[link].streams[frame.stream] else {
            return violations.add("link \(link): \(frame.name) on stream \(frame.stream), which nobody opened")
        }
        let place = "link \(link) stream \(frame.stream)"
        if stream.isOver { violations.add("N7: \(place): \(frame.name) after the last frame") }
        switch frame.kind {
        case .accept:
            let seed = frame.integer(field: 3, after: 4)
            if seed != stream.seed { violations.add("N3: \(place): accepted as another's request") }
            if let token = frame.field(4, after: 4), let seed { resumable[Array(token)] = seed }
            if let seed { carry(seed, on: link) }
            if frame.integer(at: 0) != stream.next { violations.add("N1: \(place): begins at \(frame.integer(at: 0))") }
        case .tokens: check(frame, &stream, place)
        case .finish:
            stream.isOver = true
            checkFinish(frame, stream, place)
        case .reply, .error: stream.isOver = true
        default: break
        }
        conversations[link].streams[frame.stream] = stream
    }

    private func check(_ frame: Frame, _ stream: inout Stream, _ place: String) {
        guard let seed = stream.seed, let answer = oracle.answer(seed: seed) else {
            return violations.add("\(place): tokens of a request that nobody accepted")
        }
        // The frame says the index's lowest 16 bits; no answer here is longer than they count.
        let first = frame.integer(at: 0) & 0xFFFF
        let count = Int(frame.payload[2])
        if first > stream.next { violations.add("N1: \(place): token \(first) follows \(stream.next) tokens") }
        if first < stream.next { violations.add("N2: \(place): token \(first) was sent before") }
        for position in 0..<count {
            let index = Int(first) + position
            let id = Int32(bitPattern: frame.integer(at: 4 + 4 * position))
            guard index < answer.tokens.count, answer.tokens[index] == id else {
                return violations.add("N3: \(place): token \(index) is \(id)")
            }
        }
        stream.next = first + UInt32(count)
        if stream.next > stream.credit {
            violations.add("N12: \(place): \(stream.next) tokens sent, \(stream.credit) allowed")
        }
    }

    private func checkFinish(_ frame: Frame, _ stream: Stream, _ place: String) {
        let reason = FinishMessage.Reason(rawValue: frame.payload[0])
        guard reason != .cancelled else { return }
        guard let answer = stream.seed.flatMap(oracle.answer) else {
            return violations.add("\(place): the end of a request that nobody accepted")
        }
        if answer.tokens.count != Int(stream.next) || frame.integer(at: 4) != stream.next
            || (reason == .stop) != answer.isStopped
        {
            violations.add("N10: \(place): ended as complete after \(stream.next) of \(answer.tokens.count) tokens")
        }
    }
}

/// What a world must never do and did.
package final class Violations: @unchecked Sendable {  // one thread: that of the world
    /// The first few.
    package private(set) var found: [String] = []

    package init() {}

    func add(_ sentence: String) {
        if found.count < 10 { found.append(sentence) }
    }
}

/// One frame, by its bytes.
struct Frame {
    var header: FrameHeader
    var payload: ArraySlice<UInt8>

    var kind: FrameKind? { header.kind }
    var stream: UInt32 { header.stream }
    var name: String { kind.map { "\($0)" } ?? "frame \(header.type)" }

    func integer(at offset: Int) -> UInt32 {
        (0..<4).reduce(0) { $0 | UInt32(payload[payload.startIndex + offset + $1]) << (8 * UInt32($1)) }
    }

    /// The value of a field behind the message's fixed part.
    func field(_ key: UInt16, after fixed: Int) -> ArraySlice<UInt8>? {
        var offset = fixed
        while offset + 6 <= payload.count {
            let end = offset + 6 + Int(integer(at: offset + 2))
            if UInt16(truncatingIfNeeded: integer(at: offset)) == key { return payload[offset + 6..<end] }
            offset = end
        }
        return nil
    }

    /// A field of 64 bits.
    func integer(field key: UInt16, after fixed: Int) -> UInt64? {
        field(key, after: fixed).map { $0.reversed().reduce(0) { $0 << 8 | UInt64($1) } }
    }
}

/// Bytes in, frames out.
private struct FrameSplitter {
    private var bytes: [UInt8] = []
    private var start: Int

    init(skipping count: Int) { start = count }

    mutating func append(_ more: UnsafeRawBufferPointer) { bytes.append(contentsOf: more) }

    mutating func next() -> Frame? {
        guard bytes.count >= start + 8 else { return nil }
        let word = (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[start + $1]) << (8 * UInt64($1)) }
        let header = FrameHeader(word: word)
        let payload = start + 8
        guard bytes.count >= payload + header.length else { return nil }
        defer {
            start = payload + header.length
            if start > 65_536 {
                bytes.removeFirst(start)
                start = 0
            }
        }
        // A copy, so that the frame does not hold on to the buffer.
        return Frame(header: header, payload: ArraySlice(Array(bytes[payload..<payload + header.length])))
    }
}
