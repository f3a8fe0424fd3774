/// The frame types of version 1. A type that is not here is skipped or closes the connection, by its own critical bit.
package enum FrameKind: UInt8, Sendable, CaseIterable {
    /// First frame of each side.
    case hello = 0x81
    /// Asks for a `pong` with the same 8 bytes.
    case ping = 0x82
    /// Answers a `ping`.
    case pong = 0x83
    /// The server will open no further streams.
    case goAway = 0x84
    /// Raises the highest stream number that the client may open.
    case maxStreams = 0x86
    /// Opens a stream that generates tokens.
    case generate = 0x90
    /// Opens a stream that asks one question.
    case call = 0x91
    /// Raises the number of tokens that the server may send on a stream.
    case credit = 0x92
    /// Asks the server to end a stream.
    case cancel = 0x93
    /// Opens a stream that continues a generation whose connection was lost.
    case resume = 0x94
    /// The request is in the engine's queue.
    case accept = 0xA0
    /// Generated tokens.
    case tokens = 0xA1
    /// What a stream that sends no tokens is waiting for; receivers may skip it.
    case progress = 0x22
    /// The last frame of a generation.
    case finish = 0xA2
    /// The last frame of a stream, or of the connection when sent on stream 0.
    case error = 0xA3
    /// The answer to, and last frame of, a call.
    case reply = 0xA4

    /// An unknown type with this bit set must not be skipped.
    package static let criticalBit: UInt8 = 0x80

    /// Which stream numbers the frame may carry.
    package enum Scope: Sendable {
        /// Stream 0 only.
        case connection
        /// Any stream but 0.
        case stream
        /// Both.
        case either
    }

    /// Which stream numbers the frame may carry.
    package var scope: Scope {
        switch self {
        case .hello, .ping, .pong, .goAway, .maxStreams: .connection
        case .generate, .call, .resume, .credit, .cancel, .accept, .tokens, .progress, .finish, .reply: .stream
        case .error: .either
        }
    }

    /// Whether `role` may send the frame on stream `stream`.
    package func maySend(_ role: Role, on stream: UInt32) -> Bool {
        switch self {
        case .hello, .ping, .pong: true
        case .generate, .call, .resume, .credit, .cancel: role == .client
        case .goAway, .maxStreams, .accept, .tokens, .progress, .finish, .reply: role == .server
        case .error: role == .server || stream == 0
        }
    }
}

/// An end of a connection.
package enum Role: Sendable {
    /// Opens the connection and all streams.
    case client
    /// Answers.
    case server

    /// The other end.
    package var peer: Role { self == .client ? .server : .client }
}
