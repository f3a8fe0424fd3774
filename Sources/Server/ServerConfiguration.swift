/// What an `InferenceServer` is told at start.
public struct ServerConfiguration: Sendable {
    /// Addresses to listen on: `HOST:PORT`, `[IPv6]:PORT` or `unix:PATH`; port 0 lets the system choose.
    public var listen: [String] = ["127.0.0.1:7433"]
    /// Certificate chain and private key for TLS; nil listens in plain text.
    public var tls: TLSFiles?
    /// Keys that clients must show; nil lets everybody in.
    public var keys: APIKeys?
    /// Threads that serve connections. One is plenty until tens of thousands of tokens per second; the other cores
    /// belong to the model.
    public var ioThreads = 1
    /// The maxima.
    public var limits = ServerLimits()
    /// Name and version that the server tells clients.
    public var agent = "lmserve"

    /// Loopback, plain text, no keys.
    public init() {}

    /// PEM files of a server's identity.
    public struct TLSFiles: Sendable {
        /// The certificate, then its intermediates.
        public var certificate: String
        /// The private key.
        public var privateKey: String

        /// Names the two files.
        public init(certificate: String, privateKey: String) {
            self.certificate = certificate
            self.privateKey = privateKey
        }
    }
}
