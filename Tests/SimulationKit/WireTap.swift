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

    private let oracle: Oracle
    private let violations: Violations
    private var conversations: [Conversation] = []
    /// Frames seen.
    private(set) var frames = 0
    /// How many tokens of each seed's answer its client allows.
    private var allowed: [UInt64: UInt32] = [:]
    /// Which seed's generation a resume token names.
    private var resumable: [[UInt8]: UInt64] = [:]

    init(oracle: Oracle, violations: Violations) {
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
            while let frame = conversations[link].fromClient.next() { clientSent(frame, &conversations[link]) }
        }
    }

    /// One end writes no more. A server that ends a connection nobody harmed owes every stream its last frame.
    func ended(link: Int, byServer: Bool, isHarmed: Bool) {
        let conversation = conversations[link]
        guard byServer, !isHarmed, !conversation.hasClientEnded, !conversation.hasServerFailedIt else {
            if !byServer { conversations[link].hasClientEnded = true }
            return
        }
        for (number, stream) in conversation.streams.sorted(by: { $0.key < $1.key }) where !stream.isOver {
            if let limit = conversation.goAwayLimit, number > limit { continue }
            violations.add("N7: link \(link): the server left, and stream \(number) has no last frame")
        }
    }

    /// Whether the client allows token `index` of this seed's answer to be computed.
    func allows(seed: UInt64, index: Int) -> Bool { index < Int(allowed[seed] ?? 0) }

    private func clientSent(_ frame: Frame, _ conversation: inout Conversation) {
        frames += 1
        switch frame.kind {
        case .generate:
            conversation.streams[frame.stream] = Stream(
                seed: frame.integer(field: 23, after: 12), credit: frame.integer(at: 0))
        case .resume:
            conversation.streams[frame.stream] = Stream(
                seed: resumable[Array(frame.payload[..<16])], next: frame.integer(at: 16), credit: frame.integer(at: 20)
            )
        case .call: conversation.streams[frame.stream] = Stream()
        case .credit:
            guard let known = conversation.streams[frame.stream]?.credit else { return }
            conversation.streams[frame.stream]?.credit = max(known, frame.integer(at: 0))
        default: return
        }
        guard let stream = conversation.streams[frame.stream], let seed = stream.seed else { return }
        allowed[seed] = max(allowed[seed] ?? 0, stream.credit)
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
