import LMProtocol

/// An input read as a list of small choices; after its end, all of them are 0.
struct Script {
    private var rest: ArraySlice<UInt8>

    init(_ input: [UInt8]) { rest = input[...] }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func byte() -> UInt8 { rest.popFirst() ?? 0 }

    mutating func number() -> UInt32 { UInt32(byte()) }

    /// As many of the next bytes as there are, at most `count`.
    mutating func bytes(_ count: Int) -> [UInt8] {
        defer { rest = rest.dropFirst(count) }
        return Array(rest.prefix(count))
    }
}

/// What one end was sent, as its transport keeps it.
struct Inbox {
    private var pending: [UInt8] = []
    /// What the peer did wrong, once it did.
    private(set) var error: WireError?

    /// Adds to what was received and not consumed.
    mutating func append(_ bytes: some Sequence<UInt8>) { pending.append(contentsOf: bytes) }

    /// The next action of `connection`; nil when it needs more bytes, or is over.
    mutating func next(of connection: inout Connection) -> Connection.Action? {
        guard error == nil else { return nil }
        var consumed = 0
        defer { pending.removeFirst(consumed) }
        do throws(WireError) {
            return try connection.receive(pending.span.bytes, consumed: &consumed)
        } catch {
            self.error = error
            return nil
        }
    }
}

/// A frame whose header says what it is told to.
func frame(_ type: UInt8, _ stream: UInt32, _ payload: [UInt8]) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.append(integer: UInt64(payload.count) | UInt64(type) << 24 | UInt64(stream) << 32)
    return bytes + payload
}

/// A payload of integers.
func integers(_ values: UInt32...) -> [UInt8] {
    var bytes: [UInt8] = []
    for value in values { bytes.append(integer: value) }
    return bytes
}

/// Two ends with the handshake done.
struct OpenPair {
    var client = Connection.client(HelloMessage(maxPayload: Limits.clientPayload))
    var server: Connection

    init(concurrentStreams: UInt32 = Limits.concurrentStreams) {
        server = .server(HelloMessage(maxPayload: Limits.serverPayload), concurrentStreams: concurrentStreams)
        sound {
            var bytes: [UInt8] = []
            try client.start(into: &bytes)
            deliver(bytes, to: &server)
            bytes = []
            try server.sendHello(into: &bytes)
            deliver(bytes, to: &client)
        }
    }
}

/// Runs what cannot fail unless the properties themselves are wrong.
func sound(_ body: () throws -> Void) {
    do { try body() } catch { preconditionFailure("a property prepared its ends wrongly: \(error)") }
}

/// Lets one end receive; the actions.
@discardableResult
func deliver(_ bytes: [UInt8], to connection: inout Connection) -> [Connection.Action] {
    var inbox = Inbox()
    inbox.append(bytes)
    var actions: [Connection.Action] = []
    while let action = inbox.next(of: &connection) { actions.append(action) }
    return actions
}
