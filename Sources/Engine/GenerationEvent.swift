/// Why a sequence ended without a failure.
public enum FinishReason: String, Sendable {
    /// An end token, stop token or stop string.
    case stop
    /// `maxTokens` or the context was reached.
    case length
    /// `InferenceEngine.cancel`.
    case cancelled
}

/// What a request consumed.
public struct Usage: Sendable, Equatable {
    /// Tokens of the prompt.
    public var promptTokens: Int = 0
    /// Prompt tokens whose keys and values were found in the prefix cache.
    public var cachedTokens: Int = 0
    /// Tokens produced.
    public var completionTokens: Int = 0
    /// Times the sequence lost its KV blocks and was recomputed.
    public var preemptions: Int = 0
    /// Nanoseconds from submission to the first step that carried the request.
    public var queueNanoseconds: UInt64 = 0
    /// Nanoseconds from that step to the first token.
    public var prefillNanoseconds: UInt64 = 0
    /// Nanoseconds from the first token to the last.
    public var decodeNanoseconds: UInt64 = 0

    /// All zero.
    public init() {}
}

/// A token and the log-probability the raw distribution gives it.
public struct TokenLogprob: Sendable, Equatable {
    /// The token.
    public var token: Int32
    /// Natural logarithm of its probability before penalties and temperature.
    public var logprob: Float

    /// Pairs a token with its log-probability.
    public init(token: Int32, logprob: Float) {
        self.token = token
        self.logprob = logprob
    }
}

/// One thing that happened to one request. Events of a request arrive in order: tokens 0, 1, 2, … then exactly one of
/// `finished` or `failed`.
public struct GenerationEvent: Sendable {
    /// What happened.
    public enum Kind: Sendable {
        /// A token was produced. Its text is `textLength` bytes of the batch's `text`, whole characters only; bytes of
        /// an unfinished character, or of what may become a stop string, come with a later token.
        case token(id: Int32, index: UInt32, textLength: Int)
        /// The sequence ended; its KV blocks are free.
        case finished(FinishReason, Usage)
        /// The sequence failed; its KV blocks are free.
        case failed(EngineError, Usage)
    }

    /// The request's id.
    public var request: RequestID
    /// The value given to `submit`, so that a receiver finds its stream without a table.
    public var tag: UInt64
    /// What happened.
    public var kind: Kind
    /// Log-probabilities that belong to this token: `logprobCount` entries of the batch's `logprobs`, the chosen token
    /// first.
    public var logprobCount: Int

    /// Pairs what happened with the request it happened to.
    package init(request: RequestID, tag: UInt64, kind: Kind, logprobCount: Int) {
        self.request = request
        self.tag = tag
        self.kind = kind
        self.logprobCount = logprobCount
    }
}

/// Events of one or more steps with their variable parts in two shared buffers, so that a token costs no allocation.
/// Walk `events` in order and advance through `text` and `logprobs` by each event's lengths.
public struct EventBatch: Sendable {
    /// In the order they happened.
    public var events: [GenerationEvent] = []
    /// UTF-8 of all token texts, one after the other.
    public var text: [UInt8] = []
    /// All log-probabilities, one token's after the other's.
    public var logprobs: [TokenLogprob] = []

    /// An empty batch.
    public init() {}

    /// Forgets the contents and keeps the memory.
    public mutating func removeAll() {
        events.removeAll(keepingCapacity: true)
        text.removeAll(keepingCapacity: true)
        logprobs.removeAll(keepingCapacity: true)
    }
}
