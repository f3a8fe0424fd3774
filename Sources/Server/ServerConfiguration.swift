/// What an `InferenceServer` is told at start.
public struct ServerConfiguration: Sendable {
    /// Addresses to listen on: `HOST:PORT`, `[IPv6]:PORT` or `unix:PATH`; port 0 lets the system choose.
    public var listen: [String] = ["127.0.0.1:7433"]
    /// Certificate chain and private key for TLS; nil listens in plain text.
    public var tls: TLSFiles?
    /// Keys that clients must show, unless a certificate or this machine's kernel says who they are; nil asks for none.
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

    /// PEM files of a server's identity, and what it asks of clients.
    public struct TLSFiles: Sendable {
        /// The certificate, then its intermediates.
        public var certificate: String
        /// The private key.
        public var privateKey: String
        /// Authorities that must vouch for the certificates of clients; nil asks clients for none.
        public var clientAuthority: String?
        /// The oldest version that is spoken.
        public var minimumVersion = TLSVersion.v1_2

        /// Names the two files.
        public init(certificate: String, privateKey: String) {
            self.certificate = certificate
            self.privateKey = privateKey
        }
    }

    /// The versions of TLS that are sound.
    public enum TLSVersion: String, Sendable, CaseIterable {
        case v1_2 = "1.2"
        case v1_3 = "1.3"
    }
}
