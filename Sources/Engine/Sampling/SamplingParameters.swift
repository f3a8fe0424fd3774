/// How the next token is chosen. Names, meanings and order of application are vLLM's:
/// penalties, then temperature, then min-p, top-k, top-p.
public struct SamplingParameters: Sendable, Equatable {
    /// 0 is greedy; 0...2.
    public var temperature: Float = 1
    /// Smallest set of tokens whose probability reaches this; (0, 1].
    public var topP: Float = 1
    /// Number of likeliest tokens kept; 0 keeps all.
    public var topK: Int = 0
    /// Tokens below this share of the likeliest one's probability are dropped; 0...1.
    public var minP: Float = 0
    /// Divides (positive) or multiplies (negative) logits of tokens seen in prompt or output; above 0, at most 2.
    public var repetitionPenalty: Float = 1
    /// Subtracted once from tokens already in the output; -2...2.
    public var presencePenalty: Float = 0
    /// Subtracted per occurrence in the output; -2...2.
    public var frequencyPenalty: Float = 0
    /// Random numbers are a function of (seed, position) alone; nil lets the engine draw a seed. Who wants to report the
    /// seed draws it before submitting.
    public var seed: UInt64?
    /// Number of likeliest alternatives reported per token with log-probabilities of the raw distribution (before
    /// penalties and temperature); nil reports none, 0 only the chosen token's; at most 20.
    public var logprobs: Int?

    /// Most alternatives that `logprobs` may ask for.
    package static let maximumLogprobs = 20

    /// Greedy when temperature is 0.
    public var isGreedy: Bool { temperature == 0 }

    /// Creates parameters with vLLM's defaults.
    public init() {}
}

/// When a sequence ends.
public struct StopConditions: Sendable, Equatable {
    /// Most tokens generated; at least 1.
    public var maxTokens: Int = 16
    /// No stop token or stop string ends the sequence before this many tokens.
    public var minTokens: Int = 0
    /// Texts that end the output; not part of it. At most 16 of at most 256 bytes, none empty.
    public var stopStrings: [String] = []
    /// Token ids that end the output besides the model's own end tokens. At most 64.
    public var stopTokenIDs: [Int32] = []
    /// Keep generating through the model's end tokens.
    public var ignoreEndOfSequence = false

    /// Creates the default conditions.
    public init() {}
}
