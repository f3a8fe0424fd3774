/// A frame as it is on the wire, right or wrong.
package struct Frame: Equatable, Sendable {
    /// The type byte with its critical bit.
    package var type: UInt8
    /// Stream number; 0 for the connection.
    package var stream: UInt32
    /// What follows the header.
    package var payload: [UInt8]

    /// A frame of any type on any stream with any payload.
    package init(_ type: UInt8, _ stream: UInt32 = 0, _ payload: [UInt8] = []) {
        self.type = type
        self.stream = stream
        self.payload = payload
    }

    /// Header and payload.
    package var bytes: [UInt8] { Self.header(payload.count, type, stream) + payload }

    /// A header alone, which may promise any payload.
    static func header(_ length: Int, _ type: UInt8, _ stream: UInt32) -> [UInt8] {
        Array(littleEndian(UInt32(length)).prefix(3)) + [type] + u32(stream)
    }

    /// Bytes of a header.
    private static let headerSize = 8

    /// Takes the first frame off `bytes`; nil while it is incomplete.
    package init?(takenFrom bytes: inout ArraySlice<UInt8>) {
        guard let length = Self.payloadLength(bytes), bytes.count >= Self.headerSize + length else { return nil }
        let header = Array(bytes.prefix(Self.headerSize))
        type = header[3]
        stream = (4..<8).reduce(0) { $0 | UInt32(header[$1]) << (8 * UInt32($1 - 4)) }
        payload = Array(bytes.dropFirst(Self.headerSize).prefix(length))
        bytes = bytes.dropFirst(Self.headerSize + length)
    }

    /// The payload's length that the first header in `bytes` says; nil while it is incomplete.
    package static func payloadLength(_ bytes: ArraySlice<UInt8>) -> Int? {
        guard bytes.count >= headerSize else { return nil }
        return bytes.prefix(3).reversed().reduce(0) { $0 << 8 | Int($1) }
    }

    /// Type and stream for a message, for example "TOKENS on stream 3".
    var name: String { "\(FrameType.name(type)) on stream \(stream)" }
}

/// The type bytes of section 4.
package enum FrameType {
    /// Handshake.
    package static let hello: UInt8 = 0x81
    /// Are you there?
    package static let ping: UInt8 = 0x82
    /// Answers PING.
    package static let pong: UInt8 = 0x83
    /// Open no more streams here.
    package static let goAway: UInt8 = 0x84
    /// Raises the highest stream number.
    package static let maxStreams: UInt8 = 0x86
    /// Opens a stream of tokens.
    package static let generate: UInt8 = 0x90
    /// Opens a question.
    package static let call: UInt8 = 0x91
    /// Raises the number of tokens.
    package static let credit: UInt8 = 0x92
    /// Ends a stream.
    package static let cancel: UInt8 = 0x93
    /// Continues a stream of before.
    package static let resume: UInt8 = 0x94
    /// The request is queued.
    package static let accept: UInt8 = 0xA0
    /// Tokens.
    package static let tokens: UInt8 = 0xA1
    /// What a stream waits for.
    package static let progress: UInt8 = 0x22
    /// A generation ended.
    package static let finish: UInt8 = 0xA2
    /// A stream, or the connection, failed.
    package static let error: UInt8 = 0xA3
    /// Answers a CALL.
    package static let reply: UInt8 = 0xA4

    private static let names: [UInt8: String] = [
        hello: "HELLO", ping: "PING", pong: "PONG", goAway: "GOAWAY", maxStreams: "MAX_STREAMS", generate: "GENERATE",
        call: "CALL", credit: "CREDIT", cancel: "CANCEL", resume: "RESUME", accept: "ACCEPT", tokens: "TOKENS",
        progress: "PROGRESS", finish: "FINISH", error: "ERROR", reply: "REPLY",
    ]

    static func name(_ type: UInt8) -> String { names[type] ?? "type 0x" + hex(type) }

    static func isKnown(_ type: UInt8) -> Bool { names[type] != nil }
}

func hex(_ byte: UInt8) -> String {
    (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
}

/// The error codes of section 7.3.
enum Code {
    static let protocolViolation: UInt16 = 1
    static let frameTooLarge: UInt16 = 2
    static let version: UInt16 = 3
    static let unauthenticated: UInt16 = 4
    static let forbidden: UInt16 = 5
    static let invalid: UInt16 = 6
    static let tooLarge: UInt16 = 7
    static let notFound: UInt16 = 8
    static let rateLimited: UInt16 = 9
    static let overloaded: UInt16 = 10
    static let queueTimeout: UInt16 = 11
    static let deadline: UInt16 = 12
    static let cancelled: UInt16 = 13
    static let slowConsumer: UInt16 = 14
    static let draining: UInt16 = 15
    static let superseded: UInt16 = 20

    private static let names = [
        "PROTOCOL", "FRAME_TOO_LARGE", "VERSION", "UNAUTHENTICATED", "FORBIDDEN", "INVALID", "TOO_LARGE", "NOT_FOUND",
        "RATE_LIMITED", "OVERLOADED", "QUEUE_TIMEOUT", "DEADLINE", "CANCELLED", "SLOW_CONSUMER", "DRAINING",
        "MODEL_OUTPUT", "ENGINE", "DEVICE", "INTERNAL", "SUPERSEDED",
    ]

    static func name(_ code: UInt16) -> String {
        names.indices.contains(Int(code) - 1) ? names[Int(code) - 1] : "code \(code)"
    }
}
