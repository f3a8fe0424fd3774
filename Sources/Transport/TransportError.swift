internal import Glibc

/// The one error type that leaves this room.
package struct TransportError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What kind of failure this is.
    package enum Code: Sendable, Equatable {
        /// An address that cannot be understood.
        case badAddress
        /// A host name without an address.
        case unresolved
        /// Another socket listens there.
        case addressInUse
        /// The system forbids it.
        case permission
        /// Nothing listens there, or no route leads there.
        case unreachable
        /// A deadline passed.
        case timedOut
        /// The peer closed or reset the connection.
        case disconnected
        /// The peer left more bytes unconsumed than the limit.
        case overflow
        /// Certificate, key or authority files that cannot be used.
        case tlsConfiguration
        /// The peer's certificate is not trusted, expired, or names another host.
        case tlsCertificate
        /// The peer speaks another application protocol, or none.
        case tlsApplicationProtocol
        /// The TLS peer closed without saying so: what came before may be incomplete.
        case tlsTruncated
        /// Any other TLS failure.
        case tls
        /// The loop was stopped.
        case stopped
        /// Any other failure of the system.
        case system
    }

    /// What kind of failure this is.
    package let code: Code
    /// What was being done, to which address or file.
    package let operation: String
    /// Why it failed: the system's or TLS's words.
    package let reason: String
    /// What to do about it; may be empty.
    package let advice: String
    /// The system's error number, 0 when there is none.
    package let errno: Int32

    /// Creates an error from its parts.
    package init(_ code: Code, _ operation: String, _ reason: String, advice: String = "", errno: Int32 = 0) {
        self.code = code
        self.operation = operation
        self.reason = reason
        self.advice = advice
        self.errno = errno
    }

    /// Explains an error number of the system.
    package init(_ operation: String, errno: Int32) {
        let (code, advice) = Self.meaning(of: errno)
        self.init(code, operation, String(cString: strerror(errno)), advice: advice, errno: errno)
    }

    /// For `CustomStringConvertible`.
    package var description: String {
        advice.isEmpty ? "\(operation): \(reason)" : "\(operation): \(reason). \(advice)"
    }

    private static func meaning(of errno: Int32) -> (Code, String) {
        switch errno {
        case EADDRINUSE:
            (.addressInUse, "Stop the program that listens there (see ss -ltnp) or choose another port.")
        case EADDRNOTAVAIL:
            (.badAddress, "This machine has no such address; listen on one that `ip addr` shows.")
        case EACCES, EPERM:
            (.permission, "Choose a port from 1024 up, or a path this user may write.")
        case ECONNREFUSED, ENOENT:
            (.unreachable, "Check that the server runs and listens on this address.")
        case EHOSTUNREACH, ENETUNREACH, EAFNOSUPPORT:
            (.unreachable, "Check the address and the network between.")
        case ETIMEDOUT: (.timedOut, "The peer did not answer; check that it is up.")
        case ECONNRESET, EPIPE: (.disconnected, "")
        case EMFILE, ENFILE: (.system, "Raise the limit of open files (ulimit -n).")
        default: (.system, "")
        }
    }
}
