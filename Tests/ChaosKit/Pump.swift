internal import Glibc

/// One direction of a connection: bytes that were read and not yet written, and what the plan has in store for them.
struct Pump {
    /// What became of a step.
    enum Step {
        /// Nothing can be done before this time, or before the sockets change.
        case wait(until: UInt64)
        /// Both directions end this way.
        case end(FaultPlan.Kind)
    }

    private let source: Int32
    private let sink: Int32
    private let plan: FaultPlan
    private var buffer: [UInt8] = []
    private var start = 0
    /// Until where bytes may leave at which time; only under a delay.
    private var arrivals: [(end: Int, due: UInt64)] = []
    private var received = 0
    private(set) var forwarded = 0
    private(set) var happened: [FaultPlan.Fault] = []
    private var waitsSince: UInt64 = 0
    private var stalledUntil: UInt64 = 0
    /// When the next piece may leave.
    private var nextPiece: UInt64 = 0
    private var isInputEnded = false
    private var isOutputEnded = false
    private(set) var isBlocked = false

    /// Beyond this nothing is read, so that a slow receiver slows its sender.
    private static let bufferLimit = 65_536
    private static let gatherTime: UInt64 = 20_000_000

    init(from source: Int32, to sink: Int32, _ plan: FaultPlan) {
        self.source = source
        self.sink = sink
        self.plan = plan
    }

    private var waiting: Int { buffer.count - start }
    var wantsInput: Bool { !isInputEnded && waiting < Self.bufferLimit }
    var isDone: Bool { isInputEnded && isOutputEnded }

    /// Reads what is there.
    ///
    /// - Returns: false when the connection is broken.
    mutating func read(now: UInt64) -> Bool {
        guard wantsInput else { return true }
        var chunk = [UInt8](repeating: 0, count: Self.bufferLimit)
        let count = recv(source, &chunk, chunk.count, 0)
        guard count >= 0 else { return errno == EAGAIN || errno == EINTR }
        guard count > 0 else {
            isInputEnded = true
            return true
        }
        // After the end that a fault made, what else is sent is lost.
        if isOutputEnded { return true }
        if waiting == 0 { waitsSince = now }
        buffer += chunk[..<count]
        received += count
        if plan.delay > .zero { arrivals.append((received, now + plan.delay.nanoseconds)) }
        return true
    }

    /// Does what can be done now.
    mutating func step(now: UInt64) -> Step {
        isBlocked = false
        while !isOutputEnded {
            if now < stalledUntil { return .wait(until: stalledUntil) }
            if let fault = plan.faults.dropFirst(happened.count).first, fault.offset <= forwarded {
                if let step = strike(fault, now: now) { return step }
                continue
            }
            if waiting == 0 {
                guard isInputEnded else { return .wait(until: .max) }
                endOutput()
                continue
            }
            let (count, time) = allowed(now: now)
            if count == 0 { return .wait(until: time) }
            if let step = write(count, now: now) { return step }
        }
        return .wait(until: .max)
    }

    /// - Returns: nil when it happened and the direction goes on.
    private mutating func strike(_ fault: FaultPlan.Fault, now: UInt64) -> Step? {
        switch fault.kind {
        case .stall(let time): stalledUntil = now + time.nanoseconds
        case .flip(let mask):
            if waiting == 0 { return isInputEnded ? endOutput() : .wait(until: .max) }
            buffer[start] ^= mask
        case .endOutput: endOutput()
        case .close, .reset:
            // A reset destroys what is still under way; the receiver is to have it.
            if !Sockets.isDrained(sink) { return .wait(until: now + 1_000_000) }
            happened.append(fault)
            return .end(fault.kind)
        }
        happened.append(fault)
        return nil
    }

    @discardableResult
    private mutating func endOutput() -> Step? {
        isOutputEnded = true
        buffer = []
        start = 0
        shutdown(sink, Int32(SHUT_WR))
        return nil
    }

    /// How many bytes may leave now; if none, when to ask again.
    private func allowed(now: UInt64) -> (count: Int, time: UInt64) {
        var count = waiting
        if let gather = plan.gather, count < gather, !isInputEnded, now < waitsSince + Self.gatherTime {
            return (0, waitsSince + Self.gatherTime)
        }
        if plan.delay > .zero {
            let due = arrivals.last { $0.due <= now }?.end ?? forwarded
            if due <= forwarded { return (0, arrivals.first { $0.end > forwarded }?.due ?? .max) }
            count = min(count, due - forwarded)
        }
        if plan.piece != nil || plan.rate != nil, now < nextPiece { return (0, nextPiece) }
        if let rate = plan.rate { count = min(count, max(1, rate / 100)) }
        if let piece = plan.piece { count = min(count, piece) }
        if let fault = plan.faults.dropFirst(happened.count).first { count = min(count, fault.offset - forwarded) }
        return (count, 0)
    }

    /// - Returns: nil when the direction goes on.
    private mutating func write(_ count: Int, now: UInt64) -> Step? {
        let written = buffer.withUnsafeBytes { bytes in
            bytes.baseAddress.map { send(sink, $0 + start, count, Int32(MSG_NOSIGNAL)) } ?? 0
        }
        guard written > 0 else {
            isBlocked = errno == EAGAIN
            return isBlocked || errno == EINTR ? .wait(until: .max) : .end(.reset)
        }
        start += written
        forwarded += written
        arrivals.removeAll { $0.end <= forwarded }
        nextPiece = now + plan.gap.nanoseconds
        if let rate = plan.rate { nextPiece = max(nextPiece, now + UInt64(written) * 1_000_000_000 / UInt64(rate)) }
        if start == buffer.count || start > Self.bufferLimit {
            buffer.removeFirst(start)
            start = 0
        }
        return nil
    }
}
