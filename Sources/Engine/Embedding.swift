/// Which hidden states of a prompt make its embedding.
public enum Pooling: Sendable, Equatable {
    /// The last token's: what models whose tokens see only those before them are trained for.
    case last
    /// The mean over all tokens.
    case mean
}

/// Asks for the embedding of a prompt in place of its continuation: hidden states behind the model's final norm, pooled.
public struct EmbeddingOptions: Sendable, Equatable {
    /// Which hidden states count.
    public var pooling = Pooling.last
    /// Whether the vector is scaled to the length 1; one of length 0 stays as it is.
    public var isNormalized = false

    /// The last token's hidden state as it is.
    public init() {}
}
