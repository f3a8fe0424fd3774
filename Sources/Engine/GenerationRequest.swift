/// Names a request inside one engine; never reused.
public struct RequestID: Hashable, BitwiseCopyable, Sendable, CustomStringConvertible {
    /// Counts from 1 in order of submission.
    public let rawValue: UInt64

    package init(rawValue: UInt64) { self.rawValue = rawValue }

    /// For `CustomStringConvertible`.
    public var description: String { String(rawValue) }
}

/// Everything the engine needs to know about one generation.
public struct GenerationRequest: Sendable {
    /// The prompt; ids in 0..<vocabularySize, at least one.
    public var prompt: [Int32]
    /// How tokens are chosen.
    public var sampling = SamplingParameters()
    /// When the sequence ends.
    public var stop = StopConditions()
    /// Asks for the prompt's embedding: nothing is sampled or generated, and the request ends with `embedded`.
    public var embedding: EmbeddingOptions?
    /// 0 (most urgent) to 7. More urgent requests are admitted first and keep their memory longest; among equals, the
    /// older ones. What a request yields does not depend on it.
    public var priority = 3
    /// Absolute credit: the sequence is scheduled only while fewer tokens than this were produced. Grows by
    /// `InferenceEngine.grant`.
    public var creditLimit: UInt32 = .max
    /// Monotonic nanoseconds after which the request fails with `deadlineExceeded`; nil for none.
    public var deadline: UInt64?
    /// Monotonic nanoseconds after which the request fails in the same way if it has no token yet; nil for none.
    public var firstTokenDeadline: UInt64?
    /// Nanoseconds that may pass between two tokens while there is credit for the second; nil for any number.
    public var idleTimeout: UInt64?
    /// Cached prefixes are shared only among requests of the same scope. A server gives each tenant its own, so that no
    /// tenant learns another's prompt from how soon its own is answered.
    public var cacheScope: UInt64 = 0
    /// The adapter to generate with, by its index in the back end; nil for the model as it is.
    public var adapter: Int?

    /// Creates a request with default sampling and stop conditions.
    public init(prompt: [Int32]) { self.prompt = prompt }

    /// Tokens of prompt and answer together, if nothing ends it before.
    package var largestTokenCount: Int { prompt.count + (embedding == nil ? stop.maxTokens : 0) }
}
