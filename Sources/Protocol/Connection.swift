/// One end of a connection as a value: bytes in, actions out. No I/O, no clock, no thread.
///
/// The owner passes everything it receives to `receive` and acts on what comes out; to send, it calls the function of a
/// frame, which checks that the frame is allowed now and appends it to the owner's outbound buffer. A `WireError` from
/// `receive` ends the connection: the owner calls `close`, flushes and disconnects.
package struct Connection: Sendable {
    /// Which end this is.
    package let role: Role
    /// What this end announces.
    package let hello: HelloMessage
    /// What the other end announced; nil until its HELLO arrived.
    package internal(set) var peer: HelloMessage?
    /// The version in use; nil until the handshake is complete.
    package internal(set) var version: UInt8?

    var phase: Phase
    var streams: [UInt32: StreamState] = [:]
    /// The streams that were open when the connection ended.
    private var lostStreams: [UInt32: StreamState] = [:]
    /// The highest stream number seen or used.
    var lastStream: UInt32 = 0
    /// The highest stream number the client may use.
    var streamGrant: UInt32 = 0
    /// Server: streams that may be open at once. Client: unused.
    let concurrentStreams: UInt32
    /// Streams above this are not, and will not be, accepted; nil before the final GOAWAY.
    var goAwayLimit: UInt32?
    /// The server asked for new streams elsewhere.
    var isLeaving = false

    enum Phase {
        /// Server: the eight bytes are not complete.
        case preface
        /// The peer's HELLO is next.
        case hello
        /// Server: HELLO was delivered; nothing more is read until it is answered.
        case greeting
        case open
        /// A stream-0 ERROR is still owed to the peer.
        case failed
        case closed
    }

    /// What a client sends before its HELLO. The first byte is neither ASCII nor TLS, and the line ends show a transport
    /// that changes text.
    package static let preface: [UInt8] = [0x89, 0x4C, 0x4D, 0x43, 0x0D, 0x0A, 0x1A, 0x0A]
    /// The protocol's name in TLS.
    package static let alpn = "lmcall/1"

    /// The client's end; call `start` next.
    package static func client(_ hello: HelloMessage) -> Connection {
        Connection(role: .client, hello: hello, concurrentStreams: 0)
    }

    /// The server's end.
    ///
    /// - Parameter concurrentStreams: streams that the client may have open at once, 1 or more.
    package static func server(
        _ hello: HelloMessage, concurrentStreams: UInt32 = Limits.concurrentStreams
    ) -> Connection {
        precondition(concurrentStreams > 0, "a connection without streams serves nobody")
        return Connection(role: .server, hello: hello, concurrentStreams: concurrentStreams)
    }

    private init(role: Role, hello: HelloMessage, concurrentStreams: UInt32) {
        self.role = role
        self.hello = hello
        self.concurrentStreams = min(concurrentStreams, Limits.lastStream)
        phase = role == .client ? .hello : .preface
    }

    /// Whether the handshake is complete and nothing has ended the connection.
    package var isOpen: Bool { phase == .open }

    /// Whether the connection is over for this end: received bytes are dropped, nothing can be sent.
    package var isClosed: Bool { phase == .failed || phase == .closed }

    /// Whether the other end has said HELLO. Until then a server should neither trust nor answer it.
    package var hasPeer: Bool { peer != nil }

    /// Numbers of the open streams, in no order.
    package var openStreams: [UInt32] { Array(streams.keys) }

    /// Number of open streams.
    package var openStreamCount: Int { streams.count }

    /// Tokens that may still be sent on a stream before more credit comes; 0 if it is not open.
    package func credit(on stream: UInt32) -> UInt32 {
        streams[stream].map { $0.creditLimit - min($0.creditLimit, $0.nextIndex) } ?? 0
    }

    /// Client: what has arrived of a generation that is open, or was when the connection ended: the index of the next token,
    /// and the checksum of the text before it.
    package func progress(of stream: UInt32) -> (nextIndex: UInt32, checksum: CRC32C?)? {
        (streams[stream] ?? lostStreams[stream]).map { ($0.nextIndex, $0.checksum) }
    }

    /// Features that both ends announced.
    package var capabilities: UInt64 { hello.capabilities & (peer?.capabilities ?? 0) }

    // MARK: - Frames of both ends

    /// Appends PING.
    ///
    /// - Parameter opaque: comes back in the PONG.
    package func sendPing(_ opaque: UInt64, into bytes: inout [UInt8]) throws(WireError) {
        try append(.ping, into: &bytes) { $0.append(integer: opaque) }
    }

    /// Appends the PONG that a PING asks for.
    package func sendPong(_ opaque: UInt64, into bytes: inout [UInt8]) throws(WireError) {
        try append(.pong, into: &bytes) { $0.append(integer: opaque) }
    }

    /// Ends the connection and appends the ERROR that says why: after `receive` threw, or whenever this end gives up.
    /// Appends nothing to a peer that did not send the preface, that ended the connection itself, or a second time.
    package mutating func close(with error: ErrorMessage, into bytes: inout [UInt8]) {
        defer { end() }
        guard phase != .closed, phase != .preface else { return }
        // An ERROR is far below every limit; there is nothing to do about a failure to say why one fails.
        try? bytes.appendFrame(.error, stream: 0, limit: Limits.largestPayload) { error.encode(into: &$0) }
    }

    // MARK: - Shared by the encoders

    /// Appends a frame once the connection is open.
    func append(
        _ kind: FrameKind, stream: UInt32 = 0, into bytes: inout [UInt8], _ body: (inout [UInt8]) -> Void
    ) throws(WireError) {
        guard phase == .open, let peer else {
            throw WireError(.internal, "\(kind) on a connection that is \(isClosed ? "closed" : "not open yet")")
        }
        try bytes.appendFrame(kind, stream: stream, limit: Int(peer.maxPayload)) { body(&$0) }
    }

    /// Changes the state of an open stream of ours, or says what is wrong with the caller's idea of it.
    mutating func update(
        _ stream: UInt32, for kind: FrameKind, _ change: (inout StreamState) throws(WireError) -> Void
    ) throws(WireError) {
        guard var state = streams[stream] else {
            throw WireError(.internal, "\(kind) for stream \(stream), which is not open")
        }
        do throws(WireError) {
            try change(&state)
        } catch {
            throw WireError(.internal, error.located(kind, stream).message)
        }
        streams[stream] = state
    }

    /// Forgets the streams; their owner was told what happened to the connection.
    mutating func end() {
        phase = .closed
        if !streams.isEmpty { lostStreams = streams }
        streams.removeAll()
    }
}
