/// One connection of a case, with a monitor on everything that comes in.
final class Peer {
    private let line: Line
    let lab: Lab
    private var inbound: ArraySlice<UInt8> = []
    private(set) var monitor = Monitor()
    private var fences: UInt64 = 0
    private var hasEndedOutput = false

    /// Connects; nothing is sent.
    init(_ lab: Lab, _ target: Target) throws {
        self.lab = lab
        line = try Line(target)
    }

    /// The TLS session, if there is one.
    var tls: TLSFilter? { line.tls }

    /// Whether the handshake is over and neither side has ended the connection.
    var isAlive: Bool {
        monitor.hello != nil && monitor.fatal == nil && line.closing == nil && !hasEndedOutput
    }

    // MARK: - Out

    /// Sends bytes that the monitor does not look at.
    func send(raw bytes: [UInt8]) { line.write(bytes) }

    /// Sends frames as one write.
    func send(_ frames: Frame...) { send(frames) }

    /// Sends frames as one write.
    func send(_ frames: [Frame]) {
        for frame in frames { monitor.sent(frame) }
        line.write(frames.flatMap(\.bytes))
    }

    /// Sends RESUME for a stream of an earlier connection.
    func send(_ frame: Frame, continuing prior: Monitor.Stream) {
        monitor.sent(frame, continuing: prior)
        line.write(frame.bytes)
    }

    /// Sends a frame as two writes that the server most probably reads one by one.
    func send(_ frame: Frame, splitAt offset: Int) {
        monitor.sent(frame)
        sendSplit(frame.bytes, at: offset)
    }

    /// Sends bytes as two writes that the server most probably reads one by one.
    func sendSplit(_ bytes: [UInt8], at offset: Int) {
        line.write(Array(bytes[..<offset]))
        pause(microseconds: 300)
        line.write(Array(bytes[offset...]))
    }

    /// Closes our sending half.
    func endOutput() {
        hasEndedOutput = true
        line.endOutput()
    }

    /// Loses the connection, as when a cable is pulled.
    func cut() { line.cut() }

    // MARK: - In

    /// Reads until the condition holds.
    ///
    /// - Throws: `failed` when the connection ends or the time is up before.
    func wait(for what: String, until condition: (Monitor) throws -> Bool) throws {
        let deadline = lab.deadline()
        while !(try condition(monitor)) {
            if let fatal = monitor.fatal { throw Stop.failed("\(fatal.name) on stream 0 instead of \(what)") }
            if try receive(until: deadline) { continue }
            guard let closing = line.closing else {
                throw Stop.failed("no \(what) within \(lab.target.timeout) ms")
            }
            throw Stop.failed("the connection ended (\(closing.rawValue)) before \(what)")
        }
    }

    /// Reads for a while; what comes is up to the monitor.
    func listen(milliseconds: Int) throws {
        let deadline = ContinuousClock.now + .milliseconds(milliseconds)
        while try receive(until: deadline) {}
    }

    /// Takes in one frame; false once the time is up or the connection has ended.
    private func receive(until deadline: ContinuousClock.Instant) throws -> Bool {
        while true {
            if let length = Frame.payloadLength(inbound), length > Int(ourPayload) {
                throw Stop.failed("a payload of \(length) bytes; our HELLO allows \(ourPayload)")
            }
            if let frame = Frame(takenFrom: &inbound) {
                try monitor.received(frame)
                if frame.type == FrameType.ping { send(Frame(FrameType.pong, 0, frame.payload)) }
                return true
            }
            let bytes = line.read(until: deadline)
            if bytes.isEmpty { return false }
            inbound += bytes
        }
    }

    /// Waits for the end of the connection and notes how it came.
    func closes() throws {
        let deadline = lab.deadline()
        while try receive(until: deadline) {}
        lab.closing = line.closing ?? .hang
        guard line.closing != nil else {
            throw Stop.failed("the connection is still open after \(lab.target.timeout) ms")
        }
        guard inbound.isEmpty else { throw Stop.failed("the connection ended within a frame") }
    }

    /// Waits until everything that was sent so far has been looked at: frames are read in order, so the answer to a PING
    /// comes after it.
    func fence() throws {
        fences += 1
        let value = 0x66656E6365 << 24 | fences
        send(.ping(value))
        try wait(for: "PONG") { $0.pongs.last == u64(value) }
    }
}
