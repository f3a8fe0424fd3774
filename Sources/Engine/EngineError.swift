/// The one error type that leaves the engine.
///
/// `code` decides what a server answers and whether a retry can help; `message` is a sentence for a person: what was
/// wrong, where, and what to do about it.
public struct EngineError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What kind of failure this is.
    public enum Code: Sendable, Hashable {
        /// A field of the request is out of range or contradicts another.
        case invalidRequest
        /// Prompt plus requested tokens can never fit the context or the KV pool.
        case tooLarge
        /// No such model file or name.
        case modelNotFound
        /// The model file is truncated, corrupt or inconsistent.
        case invalidModel
        /// The file is sound but holds something this engine does not run.
        case unsupportedModel
        /// The requested device is not on this machine.
        case deviceUnavailable
        /// The configuration asks for more memory than there is.
        case insufficientMemory
        /// The queue is full; try again later.
        case overloaded
        /// The engine is shutting down; try another server.
        case draining
        /// The request's deadline passed.
        case deadlineExceeded
        /// The model produced NaN or infinity for this sequence.
        case nonFiniteLogits
        /// The back end failed while executing a step.
        case backend
        /// The device has no memory for a step; a smaller one may fit.
        case deviceMemory
        /// The device failed, and all keys and values with it; it is set up anew.
        case deviceLost
    }

    /// What kind of failure this is.
    public let code: Code
    /// What was wrong, where, and what to do about it.
    public let message: String

    /// Creates an error from its kind and its sentence.
    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    /// For `CustomStringConvertible`.
    public var description: String { message }
}
