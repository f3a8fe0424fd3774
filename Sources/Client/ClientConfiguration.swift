/// How an `LMClient` reaches its server and how it treats it.
public struct ClientConfiguration: Sendable {
    /// `HOST:PORT`, `[IPv6]:PORT` or `unix:PATH`.
    public var endpoint: String
    /// Encrypts and verifies; nil for a plain connection, which belongs on loopback and Unix-domain sockets.
    public var tls: TLS?
    /// Proves the right to use the server; nil when it asks for none. Leaves this machine only under TLS.
    public var apiKey: APIKey?
    /// Tokens that a server may be ahead of the application, per stream: a loop that consumes slowly slows the engine
    /// once it is this far behind. 1 or more.
    public var window = 256
    /// When requests are repeated.
    public var retry = RetryPolicy()
    /// Generations survive a lost connection: the server keeps their tokens for a while, and the client goes on at the next
    /// one on a new connection. What the application sees is one unbroken stream.
    public var resumesStreams = true
    /// Most connections at a time; another one is opened when those there are have no room for a request. 1 or more.
    public var connections = 4
    /// Around every `generate`, the first one outermost.
    public var interceptors: [any ClientInterceptor] = []
    /// Told what happens behind the scenes, for logs and metrics. Called on the client's thread: must return soon.
    public var observer: (@Sendable (ClientEvent) -> Void)?
    /// Time to connect, including TLS and the handshake.
    public var connectTimeout = Duration.seconds(10)
    /// Name and version of the application, for the server's logs; at most 256 bytes.
    public var agent = "LMClient"

    /// Reaches the server at `endpoint` without TLS or key.
    public init(endpoint: String) { self.endpoint = endpoint }

    /// How the server is verified, and what proves the client.
    public struct TLS: Sendable {
        /// File of trusted authorities (PEM); nil for the system's.
        public var authorityFile: String?
        /// Name that the server's certificate must carry; nil for the endpoint's host.
        public var serverName: String?
        /// Shown to a server that asks for a certificate; nil shows none.
        public var certificate: Certificate?

        /// Trusts the system's authorities, or those in `authorityFile`.
        public init(authorityFile: String? = nil, serverName: String? = nil, certificate: Certificate? = nil) {
            self.authorityFile = authorityFile
            self.serverName = serverName
            self.certificate = certificate
        }

        /// PEM files with which a client proves who it is.
        public struct Certificate: Sendable {
            /// The certificate, then its intermediates.
            public var chainFile: String
            /// The certificate's private key, unencrypted.
            public var privateKeyFile: String

            /// Names the two files.
            public init(chainFile: String, privateKeyFile: String) {
                self.chainFile = chainFile
                self.privateKeyFile = privateKeyFile
            }
        }
    }
}

/// A key that does not show in logs, descriptions or debuggers.
public struct APIKey: Sendable, CustomStringConvertible, CustomReflectable {
    let secret: String

    /// Wraps a key.
    public init(_ secret: String) { self.secret = secret }

    /// For `CustomStringConvertible`; says nothing.
    public var description: String { "APIKey(…)" }

    /// For `CustomReflectable`; shows nothing.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}

/// When and how often a request is repeated: only while it had no effect (before the server accepted it), and only
/// after failures that a repetition can cure.
public struct RetryPolicy: Sendable {
    /// Repetitions after the first attempt; 0 never repeats.
    public var limit = 2
    /// Upper bound of the first wait; it doubles with every attempt. Waits are random below their bound, so that
    /// clients that failed together do not return together.
    public var initialDelay = Duration.milliseconds(100)
    /// Upper bound of every wait. A server that asks for more gets no repetition.
    public var maximumDelay = Duration.seconds(10)
    /// Repetitions per request that a client makes in the long run, however many of its requests fail: those of many clients
    /// must not hold a server down that is coming back. Ten are free.
    public var budget = 0.1

    /// The defaults.
    public init() {}

    /// No repetitions.
    public static var none: RetryPolicy {
        var policy = RetryPolicy()
        policy.limit = 0
        return policy
    }

    /// How long to wait before attempt `attempt` + 1; nil to give up.
    ///
    /// - Parameters:
    ///   - attempt: attempts made so far, 1 or more.
    ///   - random: 64 random bits.
    package func delay(after attempt: Int, _ error: LMError, random: UInt64) -> Duration? {
        guard error.isRetryable, attempt <= limit else { return nil }
        let asked = error.retryAfter ?? .zero
        guard asked <= maximumDelay else { return nil }
        return asked + backoff(attempt: attempt, random: random)
    }

    /// A random wait below the bound of this attempt, counted from 1.
    func backoff(attempt: Int, random: UInt64) -> Duration {
        let bound = min(maximumDelay, initialDelay * (1 << min(attempt - 1, 20)))
        return bound * (Double(random >> 11) * 0x1p-53)
    }
}
