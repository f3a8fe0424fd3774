internal import LMProtocol

/// The outbound buffer of one connection, lent for as long as tokens of its streams follow one another, so that a thousand
/// streams of a connection cost one loan in a turn. Nothing else may be written to a connection before `close`.
struct Outlet: ~Copyable {
    private var connection: ServerConnection?
    private var bytes: [UInt8] = []

    /// Turns to a connection.
    ///
    /// - Returns: false when tokens have to wait because its client does not drain it.
    mutating func lend(from connection: ServerConnection) -> Bool {
        if connection === self.connection { return true }
        close()
        guard !connection.isCongested else { return false }
        bytes = connection.borrowOutput()
        self.connection = connection
        return true
    }

    /// Appends tokens of one of the connection's streams.
    ///
    /// - Parameter index: of the first one.
    mutating func append(_ tokens: borrowing TokenSlice, from index: UInt32, on stream: UInt32) throws(WireError) {
        guard let connection else { return }
        try connection.wire.sendTokens(on: stream, from: index, tokens, into: &bytes)
        // Whether the connection is congested shows when it has its buffer back.
        if bytes.count > connection.softBytes { close() }
    }

    /// Gives back what was lent.
    mutating func close() {
        guard let connection else { return }
        self.connection = nil
        var lent: [UInt8] = []
        swap(&lent, &bytes)
        connection.returnOutput(lent)
    }
}
