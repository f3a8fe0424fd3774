internal import LMProtocol

/// Which hidden states of a prompt make its embedding.
public enum Pooling: String, Sendable, CaseIterable {
    /// The last token's.
    case last
    /// The mean over all tokens.
    case mean
}

/// What a model makes of a prompt as a whole: hidden states behind its final norm, pooled.
public struct Embedding: Sendable, Equatable {
    /// As many numbers as the model's hidden states have; of length 1 if that was asked for.
    public let vector: [Float]
    /// Tokens of the prompt.
    public let promptTokens: Int
}

extension Embedding {
    init(_ reply: EmbedReply) {
        vector = reply.vector
        promptTokens = Int(reply.promptTokens)
    }
}

extension Pooling {
    var wire: EmbedMessage.Pooling {
        switch self {
        case .last: .last
        case .mean: .mean
        }
    }
}
