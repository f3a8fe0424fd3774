// The messages of fixed size: a few integers each, for the connection or for the flow of one stream.

/// GOAWAY: the server will accept no further streams.
package struct GoAwayMessage: Sendable, Equatable {
    /// `lastStream` of a GOAWAY that only asks the client to open new streams elsewhere; another follows.
    package static let warning = UInt32.max

    /// Streams above this were never started and may be repeated on another connection.
    package var lastStream: UInt32
    /// Milliseconds that open streams have left.
    package var grace: UInt32
    /// Why, as an error code; 0 for no reason worth a word.
    package var reason: ErrorCode

    /// Creates the message.
    package init(lastStream: UInt32, grace: UInt32, reason: ErrorCode) {
        self.lastStream = lastStream
        self.grace = grace
        self.reason = reason
    }

    init(_ reader: consuming ByteReader) throws(WireError) {
        lastStream = try reader.integer()
        grace = try reader.integer()
        reason = ErrorCode(rawValue: UInt16(truncatingIfNeeded: try reader.integer(UInt32.self)))
        try reader.finish()
    }

    func encode(into bytes: inout [UInt8]) {
        bytes.append(integer: lastStream)
        bytes.append(integer: grace)
        bytes.append(integer: UInt32(reason.rawValue))
    }
}

/// CREDIT: how many tokens of a stream the server may send, counted from the stream's first.
package struct CreditMessage: Sendable, Equatable {
    /// The server may send tokens with an index below this. Only grows: a smaller value than before changes nothing.
    package var limit: UInt32
    /// Tokens below this were consumed and need not be kept for a repetition.
    package var consumed: UInt32

    /// Creates the message.
    package init(limit: UInt32, consumed: UInt32) {
        self.limit = limit
        self.consumed = consumed
    }

    init(_ reader: consuming ByteReader) throws(WireError) {
        limit = try reader.integer()
        consumed = try reader.integer()
        try reader.finish()
    }

    func encode(into bytes: inout [UInt8]) {
        bytes.append(integer: limit)
        bytes.append(integer: consumed)
    }
}

/// Why a client sends CANCEL; for statistics, the effect is the same.
package struct CancelReason: RawRepresentable, Hashable, Sendable {
    /// The number on the wire.
    package var rawValue: UInt32

    /// Any number, known or not.
    package init(rawValue: UInt32) { self.rawValue = rawValue }

    /// A person or program asked for it.
    package static let user = CancelReason(rawValue: 1)
    /// The client's own deadline passed.
    package static let deadline = CancelReason(rawValue: 2)
    /// Nobody is there any more to read the answer.
    package static let abandoned = CancelReason(rawValue: 3)
}

/// PROGRESS: what a stream that sends no tokens is waiting for.
package struct ProgressMessage: Sendable, Equatable {
    /// What the request waits for. Not an enum: a phase of a later version is a value like any other.
    package struct Phase: RawRepresentable, Hashable, Sendable {
        /// The number on the wire.
        package var rawValue: UInt8

        /// Any number, known or not.
        package init(rawValue: UInt8) { self.rawValue = rawValue }

        /// Its turn; `done` of `total` are requests ahead of it that have started.
        package static let queued = Phase(rawValue: 1)
        /// The prompt; `done` of `total` tokens are processed.
        package static let prefill = Phase(rawValue: 2)
        /// Credit; `done` tokens were sent, `total` is the credit limit.
        package static let stalled = Phase(rawValue: 3)
    }

    /// What the request waits for.
    package var phase: Phase
    /// How far it is.
    package var done: UInt32
    /// How far it has to get; 0 when unknown.
    package var total: UInt32

    /// Creates the message.
    package init(phase: Phase, done: UInt32, total: UInt32) {
        self.phase = phase
        self.done = done
        self.total = total
    }

    init(_ reader: consuming ByteReader) throws(WireError) {
        phase = Phase(rawValue: try reader.integer())
        _ = try reader.take(3)
        done = try reader.integer()
        total = try reader.integer()
        try reader.finish()
    }

    func encode(into bytes: inout [UInt8]) {
        bytes.append(phase.rawValue)
        bytes.append(contentsOf: repeatElement(0, count: 3))
        bytes.append(integer: done)
        bytes.append(integer: total)
    }
}
