/// The first frame of each side: what it speaks and what it accepts. Nothing in it changes during the connection.
package struct HelloMessage: Sendable, Equatable {
    /// Lowest and highest version offered; a server sends the one it chose as both.
    package var versions: ClosedRange<UInt8> = 1...1
    /// Longest payload the sender of this HELLO receives; at least `Limits.smallestAnnouncedPayload`.
    package var maxPayload: UInt32
    /// One bit for each optional feature; a feature is used when both sides set its bit. Version 1 defines none.
    package var capabilities: UInt64 = 0
    /// What the client proves its right with; never sent by a server.
    package var credential: Credential?
    /// Name and version of the software, for logs.
    package var agent = ""
    /// Milliseconds of silence after which the client should send PING; nil when the server does not ask for it.
    package var keepAlive: UInt32?
    /// Milliseconds for which the server keeps a resumable stream whose connection was lost; nil or 0 for no resumption.
    package var resumeGrace: UInt32?
    /// How many CANCEL frames the server takes; nil for any number.
    package var cancelBudget: Budget?
    /// How many PING, PONG and CREDIT frames the server takes.
    package var controlBudget: Budget?
    /// How many frames without effect, and requests it refuses unread, the server takes.
    package var glitchBudget: Budget?

    /// How often a peer may do something on one connection.
    package struct Budget: Sendable, Equatable {
        /// On average.
        package var perSecond: UInt32
        /// At once.
        package var burst: UInt32

        /// Creates a budget.
        package init(perSecond: UInt32, burst: UInt32) {
            self.perSecond = perSecond
            self.burst = burst
        }
    }

    /// A HELLO that accepts payloads of at most `maxPayload` bytes.
    package init(maxPayload: UInt32) { self.maxPayload = maxPayload }

    private enum Key {
        static let credential: UInt16 = 1
        static let agent: UInt16 = 2
        static let keepAlive: UInt16 = 3
        static let resumeGrace: UInt16 = 4
        static let cancelBudget: UInt16 = 5
        static let controlBudget: UInt16 = 6
        static let glitchBudget: UInt16 = 7
    }

    init(_ reader: consuming ByteReader) throws(WireError) {
        let low: UInt8 = try reader.integer()
        let high: UInt8 = try reader.integer()
        guard low >= 1, low <= high else { throw .malformed("versions \(low) to \(high) are no range") }
        versions = low...high
        _ = try reader.integer(UInt16.self)
        maxPayload = try reader.integer()
        guard maxPayload >= Limits.smallestAnnouncedPayload, maxPayload <= Limits.largestPayload else {
            throw .malformed(
                "largest payload \(maxPayload) is not in \(Limits.smallestAnnouncedPayload)...\(Limits.largestPayload)")
        }
        capabilities = try reader.integer()
        var fields = try FieldReader(reader)
        while let key = try fields.next() {
            switch key {
            case Key.credential: credential = Credential(try fields.text("credential", limit: Limits.credential))
            case Key.agent: agent = try fields.text("agent", limit: Limits.name)
            case Key.keepAlive: keepAlive = try fields.integer()
            case Key.resumeGrace: resumeGrace = try fields.integer()
            case Key.cancelBudget: cancelBudget = try fields.budget()
            case Key.controlBudget: controlBudget = try fields.budget()
            case Key.glitchBudget: glitchBudget = try fields.budget()
            default: try fields.skip()
            }
        }
    }

    func encode(into bytes: inout [UInt8]) {
        bytes.append(versions.lowerBound)
        bytes.append(versions.upperBound)
        bytes.append(integer: UInt16(0))
        bytes.append(integer: maxPayload)
        bytes.append(integer: capabilities)
        bytes.appendField(Key.credential, text: credential?.secret)
        bytes.appendField(Key.agent, text: agent.isEmpty ? nil : agent)
        bytes.appendField(Key.keepAlive, integer: keepAlive)
        bytes.appendField(Key.resumeGrace, integer: resumeGrace)
        bytes.appendField(Key.cancelBudget, budget: cancelBudget)
        bytes.appendField(Key.controlBudget, budget: controlBudget)
        bytes.appendField(Key.glitchBudget, budget: glitchBudget)
    }
}

extension FieldReader {
    fileprivate mutating func budget() throws(WireError) -> HelloMessage.Budget {
        var reader = self.reader
        let budget = HelloMessage.Budget(perSecond: try reader.integer(), burst: try reader.integer())
        try reader.finish()
        return budget
    }
}

extension [UInt8] {
    fileprivate mutating func appendField(_ key: UInt16, budget: HelloMessage.Budget?) {
        guard let budget else { return }
        appendField(key) {
            $0.append(integer: budget.perSecond)
            $0.append(integer: budget.burst)
        }
    }
}

/// A bearer key that does not show in logs, descriptions or debuggers.
package struct Credential: Sendable, Equatable, CustomStringConvertible, CustomReflectable {
    /// The key itself; compare it in constant time.
    package let secret: String

    /// Wraps a key.
    package init(_ secret: String) { self.secret = secret }

    /// For `CustomStringConvertible`; says nothing.
    package var description: String { "Credential(…)" }

    /// For `CustomReflectable`; shows nothing.
    package var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}
