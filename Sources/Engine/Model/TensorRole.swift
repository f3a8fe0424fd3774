/// What a tensor is for, independent of the names a file format gives it.
public enum TensorRole: Sendable, Hashable {
    /// (vocabulary, embedding)
    case tokenEmbedding
    /// (embedding): weight of the norm before the output projection
    case outputNorm
    /// (vocabulary, embedding); absent when embeddings are tied
    case output
    /// A tensor of decoder layer `layer`.
    case layer(Int, LayerRole)
    /// A matrix of a routed expert: layer, expert, which.
    case expert(Int, Int, ExpertRole)

    /// The tensors of one decoder layer; shapes are (outputs, inputs).
    public enum LayerRole: String, Sendable, CaseIterable {
        case attentionNorm
        case query
        case key
        case value
        case queryBias
        case keyBias
        case valueBias
        /// (headDimension): weight of the norm of each head's query
        case queryNorm
        /// (headDimension): weight of the norm of each head's key
        case keyNorm
        case attentionOutput
        case attentionOutputBias
        /// (embedding): weight of the norm behind attention
        case attentionPostNorm
        case feedForwardNorm
        case gate
        case up
        case down
        case gateBias
        case upBias
        case downBias
        /// (embedding): weight of the norm behind the feed-forward block
        case feedForwardPostNorm

        /// (query rank, embedding)
        case queryLatent
        /// (query rank)
        case queryLatentNorm
        /// (keyValueRank + rotaryDimension, embedding): the latent, and behind it the rotated key of all heads
        case keyValueLatent
        /// (keyValueRank)
        case keyValueLatentNorm
        /// (heads · (plainDimension + valueDimension), keyValueRank): per head its keys' rows, then its values'
        case keyValueExpansion

        /// (experts, embedding)
        case router
        /// (experts)
        case routerCorrection
        case sharedGate
        case sharedUp
        case sharedDown
        /// (1, embedding): what weighs the shared expert
        case sharedWeight
    }

    /// The matrices of one expert; shapes are (outputs, inputs).
    public enum ExpertRole: String, Sendable, CaseIterable {
        case gate
        case up
        case down
    }
}

extension TensorRole {
    /// Whether this is a vector, which files hold with one dimension, and not a matrix.
    package var isVector: Bool {
        switch self {
        case .tokenEmbedding, .output, .expert: false
        case .outputNorm: true
        case .layer(_, let role): role.isNorm || role.isBias
        }
    }

    /// Whether this is the weight of a norm.
    package var isNorm: Bool {
        switch self {
        case .outputNorm: true
        case .layer(_, let role): role.isNorm
        default: false
        }
    }
}

extension TensorRole.LayerRole {
    fileprivate var isNorm: Bool {
        switch self {
        case .attentionNorm, .queryNorm, .keyNorm, .attentionPostNorm, .feedForwardNorm, .feedForwardPostNorm,
            .queryLatentNorm, .keyValueLatentNorm:
            true
        default: false
        }
    }

    fileprivate var isBias: Bool {
        switch self {
        case .queryBias, .keyBias, .valueBias, .attentionOutputBias, .gateBias, .upBias, .downBias, .routerCorrection:
            true
        default: false
        }
    }
}
