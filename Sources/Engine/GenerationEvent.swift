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

/// How a request ended; its KV blocks are free.
public enum GenerationEnd: Sendable, Equatable {
    /// The sequence ended well.
    case finished(FinishReason, Usage)
    /// The embedding that was asked for.
    case embedded([Float], Usage)
    /// The sequence failed.
    case failed(EngineError, Usage)
}

/// One thing that happened to one request. Events of a request arrive in order: tokens 0, 1, 2, … then exactly one end.
/// Plain bytes, so that batches are copied as such.
public struct GenerationEvent: BitwiseCopyable, Sendable {
    /// What happened.
    public enum Kind: BitwiseCopyable, Sendable {
        /// A token was produced. Its text is `textLength` bytes of the batch's `text`, whole characters only; bytes of
        /// an unfinished character, or of what may become a stop string, come with a later token. Its log-probabilities
        /// are `logprobCount` entries of the batch's `logprobs`, the chosen token's first.
        case token(id: Int32, index: UInt32, textLength: UInt32, logprobCount: UInt16)
        /// The request ended, as the next of the batch's `ends` says.
        case ended
    }

    /// The request's id.
    public var request: RequestID
    /// The value given to `submit`, so that a receiver finds its stream without a table.
    public var tag: UInt64
    /// What happened.
    public var kind: Kind
}

/// Events of one or more steps with their variable parts in shared buffers, so that a token costs no allocation. Walk
/// `events` in order and advance through `text`, `logprobs` and `ends` by what each event says.
public struct EventBatch: Sendable {
    /// In the order they happened.
    public private(set) var events: [GenerationEvent] = []
    /// UTF-8 of all token texts, one after the other.
    public private(set) var text: [UInt8] = []
    /// All log-probabilities, one token's after the other's.
    public private(set) var logprobs: [TokenLogprob] = []
    /// How requests ended, one for each event that says so.
    public private(set) var ends: [GenerationEnd] = []

    /// An empty batch.
    public init() {}

    /// Forgets the contents and keeps the memory.
    public mutating func removeAll() {
        events.removeAll(keepingCapacity: true)
        text.removeAll(keepingCapacity: true)
        logprobs.removeAll(keepingCapacity: true)
        ends.removeAll(keepingCapacity: true)
    }

    /// Adds a token.
    package mutating func appendToken(
        _ id: Int32, index: UInt32, of request: RequestID, tag: UInt64, text piece: Span<UInt8>,
        logprobs entries: Span<TokenLogprob>
    ) {
        piece.withUnsafeBufferPointer { text.append(contentsOf: $0) }
        if !entries.isEmpty { entries.withUnsafeBufferPointer { logprobs.append(contentsOf: $0) } }
        let kind = GenerationEvent.Kind.token(
            id: id, index: index, textLength: UInt32(piece.count), logprobCount: UInt16(entries.count))
        events.append(GenerationEvent(request: request, tag: tag, kind: kind))
    }

    /// Adds a request's last event.
    package mutating func appendEnd(_ end: GenerationEnd, of request: RequestID, tag: UInt64) {
        ends.append(end)
        events.append(GenerationEvent(request: request, tag: tag, kind: .ended))
    }

    /// Adds what happened later.
    mutating func append(_ later: borrowing EventBatch) {
        events.append(contentsOf: later.events)
        text.append(contentsOf: later.text)
        logprobs.append(contentsOf: later.logprobs)
        ends.append(contentsOf: later.ends)
    }
}
