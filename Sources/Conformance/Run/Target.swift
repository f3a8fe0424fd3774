internal import LMTransport

/// The server under test and how to reach it.
package struct Target: Sendable {
    /// Where it listens.
    let endpoint: Endpoint
    /// How to encrypt; nil for a plain connection.
    package var tls: TLS?
    /// The credential, when the server asks for one.
    package var key: String?
    /// A credential of another identity; without one the cases about identities are skipped.
    package var otherKey: String?
    /// Whether bytes are written one at a time and read a few at a time.
    package var isByteAtATime = false
    /// Milliseconds that connecting may take.
    package var connectTimeout = 5_000
    /// Milliseconds to wait for what a case expects.
    package var timeout = 10_000
    /// A shell command that makes the server drain; without one those cases are skipped.
    package var drainCommand: String?

    /// A server without encryption and credential.
    ///
    /// - Parameter endpoint: `HOST:PORT`, `[IPv6]:PORT` or `unix:PATH`.
    /// - Throws: when it is none of these.
    package init(endpoint: String) throws { self.endpoint = try Endpoint(endpoint) }

    /// How the suite's TLS client works.
    package struct TLS: Sendable {
        /// Authorities to trust (PEM); nil for the system's.
        package var authorityFile: String?
        /// A certificate chain of our own and its key (PEM); nil for none.
        package var identity: (certificateFile: String, keyFile: String)?
        /// The newest version to offer.
        package var newest = Version.v1_3
        /// Protocols to offer; nil for no ALPN extension.
        var applicationProtocols: [String]? = ["lmcall/1"]

        /// Trusts the authorities in the file, or the system's.
        package init(authorityFile: String? = nil) { self.authorityFile = authorityFile }

        /// Versions of TLS.
        package enum Version: String, Sendable, CaseIterable {
            /// 1.1, which a server refuses.
            case v1_1 = "1.1"
            /// 1.2.
            case v1_2 = "1.2"
            /// 1.3.
            case v1_3 = "1.3"
        }
    }
}

/// Why a case ends early.
enum Stop: Error {
    /// The server does what the page forbids.
    case failed(String)
    /// The server does not follow a SHOULD.
    case notStrict(String)
    /// The case cannot be tried here.
    case skipped(String)
}
