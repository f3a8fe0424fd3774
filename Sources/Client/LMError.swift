internal import LMProtocol
internal import LMTransport

/// The one error type that leaves this library.
public struct LMError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What kind of failure this is. Not an enum: codes that a newer server sends are values like any other.
    public struct Code: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
        /// The protocol's number, or one above 65,535 for what only a client can meet.
        public let rawValue: Int

        /// Any number, known or not.
        public init(rawValue: Int) { self.rawValue = rawValue }

        init(_ code: ErrorCode) { rawValue = Int(code.rawValue) }

        /// One end sent what the protocol does not allow.
        public static let protocolViolation = Code(.protocolViolation)
        /// A frame is longer than its receiver allows.
        public static let frameTooLarge = Code(.frameTooLarge)
        /// Client and server share no version of the protocol.
        public static let version = Code(.version)
        /// The API key is missing or wrong.
        public static let unauthenticated = Code(.unauthenticated)
        /// The API key does not allow this.
        public static let forbidden = Code(.forbidden)
        /// A field of the request is out of range or contradicts another.
        public static let invalid = Code(.invalid)
        /// The request, or its answer, can never fit.
        public static let tooLarge = Code(.tooLarge)
        /// No such model or method.
        public static let notFound = Code(.notFound)
        /// Too many requests from this client.
        public static let rateLimited = Code(.rateLimited)
        /// The server's queue is full.
        public static let overloaded = Code(.overloaded)
        /// The request waited too long for its turn.
        public static let queueTimeout = Code(.queueTimeout)
        /// The request's timeout passed.
        public static let deadline = Code(.deadline)
        /// The task was cancelled.
        public static let cancelled = Code(.cancelled)
        /// The application took no tokens for too long.
        public static let slowConsumer = Code(.slowConsumer)
        /// The server is shutting down.
        public static let draining = Code(.draining)
        /// The model produced NaN or infinity.
        public static let modelOutput = Code(.modelOutput)
        /// The engine failed.
        public static let engine = Code(.engine)
        /// The device failed.
        public static let device = Code(.device)
        /// A defect of the server; of its answer, when the text does not have the checksum it should.
        public static let `internal` = Code(.internal)
        /// The generation was resumed by another client.
        public static let superseded = Code(.superseded)

        /// The configuration of this client cannot be used.
        public static let configuration = Code(rawValue: 65_536)
        /// No connection could be made.
        public static let unreachable = Code(rawValue: 65_537)
        /// The server's certificate is not trusted, or TLS failed otherwise.
        public static let tls = Code(rawValue: 65_538)
        /// The connection broke.
        public static let connectionLost = Code(rawValue: 65_539)
        /// `LMClient.shutdown` was called.
        public static let closed = Code(rawValue: 65_540)

        private static let clientNames = ["CONFIGURATION", "UNREACHABLE", "TLS", "CONNECTION_LOST", "CLOSED"]

        /// The name in docs/protocol.md, or that of the constant.
        public var description: String {
            let own = rawValue - Code.configuration.rawValue
            if Self.clientNames.indices.contains(own) { return Self.clientNames[own] }
            return ErrorCode(rawValue: UInt16(clamping: rawValue)).description
        }
    }

    /// What kind of failure this is.
    public let code: Code
    /// What was wrong, where, and what to do about it.
    public let message: String
    /// Whether the same request can succeed later or elsewhere.
    public internal(set) var isRetryable: Bool
    /// How long the server asks to wait before a repetition; nil when it does not say.
    public internal(set) var retryAfter: Duration?
    /// What the server's logs call the failed generation; nil when it was not accepted.
    public internal(set) var requestID: String?
    /// Tokens of the failed generation that had arrived.
    public internal(set) var tokensReceived = 0
    /// What the failed generation consumed, when the server said so.
    public internal(set) var usage: Usage?

    /// Creates an error from its kind and its sentence.
    public init(_ code: Code, _ message: String, isRetryable: Bool = false) {
        self.code = code
        self.message = message
        self.isRetryable = isRetryable
    }

    /// For `CustomStringConvertible`.
    public var description: String { message }
}

extension LMError {
    static let taskCancelled = LMError(.cancelled, "the task was cancelled")
    static let closed = LMError(.closed, "the client was shut down")

    init(_ message: ErrorMessage) {
        let text = message.message.isEmpty ? "the server answered \(message.code)" : message.message
        self.init(Code(message.code), text, isRetryable: message.isRetryable)
        if message.retryAfter > 0 { retryAfter = .milliseconds(Int64(message.retryAfter)) }
        usage = message.usage.map(Usage.init)
    }

    init(_ error: WireError) {
        self.init(Code(error.code), error.message, isRetryable: error.code.isRetryable)
    }

    /// - Parameter isEstablished: the handshake was complete.
    init(_ error: TransportError, isEstablished: Bool) {
        switch error.code {
        case .badAddress, .tlsConfiguration: self.init(.configuration, error.description)
        case .tlsCertificate, .tlsApplicationProtocol, .tls: self.init(.tls, error.description)
        default:
            self.init(isEstablished ? .connectionLost : .unreachable, error.description, isRetryable: true)
        }
    }
}
