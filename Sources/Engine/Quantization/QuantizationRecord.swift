/// How well the integers of one matrix stand for its weights.
package struct QuantizationRecord: Sendable, Equatable {
    /// The tensor's name in its file.
    package let name: String
    /// The layer it belongs to; nil for the output matrix.
    package let layer: Int?
    /// Cosine of the angle between the weights and what the integers mean, 1 being equal.
    package let cosine: Float
    /// The largest difference of a weight.
    package let largestError: Float
}

extension TensorRole {
    /// The layer it belongs to, if any.
    var layer: Int? {
        switch self {
        case .tokenEmbedding, .outputNorm, .output: nil
        case .layer(let layer, _), .expert(let layer, _, _): layer
        }
    }

    /// Whether W8A8 stores it as integers. Embeddings, norms, biases, routers and gates stay as they are, and so do the
    /// latents' expansions, of which attention uses each head's rows turned over.
    func isQuantized(head: TensorRole?) -> Bool {
        if isVector { return false }
        return switch self {
        case .layer(_, .router), .layer(_, .sharedWeight), .layer(_, .keyValueExpansion): false
        case .tokenEmbedding, .output, .outputNorm: self == head
        case .layer, .expert: true
        }
    }
}
