/// Why a server cannot start: a configuration that contradicts itself, or something it names that is not there.
public struct ServerError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What is wrong, where, and the fix.
    public let message: String

    /// Creates an error from its sentence.
    public init(_ message: String) { self.message = message }

    /// For `CustomStringConvertible`.
    public var description: String { message }
}
