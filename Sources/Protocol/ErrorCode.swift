/// What kind of failure an ERROR frame reports. Not an enum: a code of a later version is a value like any other.
package struct ErrorCode: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    /// The number on the wire.
    package var rawValue: UInt16

    /// Any number, known or not.
    package init(rawValue: UInt16) { self.rawValue = rawValue }

    /// A malformed frame, or one that is not allowed in this state. Always closes the connection.
    package static let protocolViolation = ErrorCode(rawValue: 1)
    /// A frame longer than HELLO announced. Always closes the connection.
    package static let frameTooLarge = ErrorCode(rawValue: 2)
    /// The two ends share no version. Always closes the connection.
    package static let version = ErrorCode(rawValue: 3)
    /// The credential is missing or wrong.
    package static let unauthenticated = ErrorCode(rawValue: 4)
    /// The credential does not allow this.
    package static let forbidden = ErrorCode(rawValue: 5)
    /// A field of the request is out of range or contradicts another.
    package static let invalid = ErrorCode(rawValue: 6)
    /// The request, or its answer, can never fit.
    package static let tooLarge = ErrorCode(rawValue: 7)
    /// No such model or method.
    package static let notFound = ErrorCode(rawValue: 8)
    /// The client asks more often than it may.
    package static let rateLimited = ErrorCode(rawValue: 9)
    /// The queue is full.
    package static let overloaded = ErrorCode(rawValue: 10)
    /// The request waited too long for its turn.
    package static let queueTimeout = ErrorCode(rawValue: 11)
    /// The request's timeout passed.
    package static let deadline = ErrorCode(rawValue: 12)
    /// The request was cancelled before it was accepted.
    package static let cancelled = ErrorCode(rawValue: 13)
    /// The client took no tokens for too long.
    package static let slowConsumer = ErrorCode(rawValue: 14)
    /// The server is shutting down.
    package static let draining = ErrorCode(rawValue: 15)
    /// The model produced NaN or infinity for this request.
    package static let modelOutput = ErrorCode(rawValue: 16)
    /// The engine failed.
    package static let engine = ErrorCode(rawValue: 17)
    /// The device failed.
    package static let device = ErrorCode(rawValue: 18)
    /// A defect of the server.
    package static let `internal` = ErrorCode(rawValue: 19)

    /// A RESUME on another stream took the generation over.
    package static let superseded = ErrorCode(rawValue: 20)

    private static let names = [
        "PROTOCOL", "FRAME_TOO_LARGE", "VERSION", "UNAUTHENTICATED", "FORBIDDEN", "INVALID", "TOO_LARGE", "NOT_FOUND",
        "RATE_LIMITED", "OVERLOADED", "QUEUE_TIMEOUT", "DEADLINE", "CANCELLED", "SLOW_CONSUMER", "DRAINING",
        "MODEL_OUTPUT", "ENGINE", "DEVICE", "INTERNAL", "SUPERSEDED",
    ]

    /// Every code of this version, in order of its number.
    package static let known = (1...UInt16(names.count)).map(ErrorCode.init(rawValue:))

    /// Whether the same request can succeed later or elsewhere. The default of an ERROR frame's retryable flag, which is
    /// what a client obeys.
    package var isRetryable: Bool {
        switch self {
        case .rateLimited, .overloaded, .queueTimeout, .draining, .engine, .device: true
        default: false
        }
    }

    /// The name in docs/protocol.md.
    package var description: String {
        rawValue > 0 && rawValue <= Self.names.count ? Self.names[Int(rawValue) - 1] : "ERROR_\(rawValue)"
    }
}
