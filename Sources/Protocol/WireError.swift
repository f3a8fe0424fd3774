/// The one error type of this module: what is wrong with received bytes, or why a frame cannot be sent now.
package struct WireError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What to tell the peer, or the caller.
    package var code: ErrorCode
    /// What was wrong, where, and which limit.
    package var message: String

    /// Creates an error from its kind and its sentence.
    package init(_ code: ErrorCode, _ message: String) {
        self.code = code
        self.message = message
    }

    /// Bytes that no correct peer sends.
    static func malformed(_ message: String) -> WireError { WireError(.protocolViolation, message) }

    /// The same error, saying in which frame.
    func located(_ kind: FrameKind, _ stream: UInt32) -> WireError {
        WireError(code, "\(kind) frame on stream \(stream): \(message)")
    }

    /// For `CustomStringConvertible`.
    package var description: String { "\(code): \(message)" }
}
