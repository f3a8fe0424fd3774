/// Which tensors a network of this shape consists of, and their shapes.
extension ModelConfiguration {
    /// The shape of a tensor: a vector has one row.
    package struct TensorShape: Equatable {
        package var rows: Int
        package var columns: Int
    }

    /// All tensors of the model.
    package var tensorRoles: [TensorRole] {
        var roles: [TensorRole] = [.tokenEmbedding, .outputNorm]
        if !tiesEmbeddings { roles.append(.output) }
        let biases: Set<TensorRole.LayerRole> = [.queryBias, .keyBias, .valueBias]
        let layerRoles = TensorRole.LayerRole.allCases.filter { hasAttentionBias || !biases.contains($0) }
        for layer in 0..<layerCount { roles += layerRoles.map { .layer(layer, $0) } }
        return roles
    }

    /// The shape the tensor must have.
    package func shape(of role: TensorRole) -> TensorShape {
        switch role {
        case .tokenEmbedding, .output: TensorShape(rows: vocabularySize, columns: embeddingLength)
        case .outputNorm: TensorShape(rows: 1, columns: embeddingLength)
        case .layer(_, let role): shape(of: role)
        }
    }

    /// Number of weights; embeddings count once when they are tied.
    package var parameterCount: Int {
        tensorRoles.reduce(0) { count, role in
            let shape = shape(of: role)
            return count + shape.rows * shape.columns
        }
    }

    private func shape(of role: TensorRole.LayerRole) -> TensorShape {
        switch role {
        case .attentionNorm, .feedForwardNorm: TensorShape(rows: 1, columns: embeddingLength)
        case .query: TensorShape(rows: queryLength, columns: embeddingLength)
        case .key, .value: TensorShape(rows: keyValueLength, columns: embeddingLength)
        case .queryBias: TensorShape(rows: 1, columns: queryLength)
        case .keyBias, .valueBias: TensorShape(rows: 1, columns: keyValueLength)
        case .attentionOutput: TensorShape(rows: embeddingLength, columns: queryLength)
        case .gate, .up: TensorShape(rows: feedForwardLength, columns: embeddingLength)
        case .down: TensorShape(rows: embeddingLength, columns: feedForwardLength)
        }
    }
}
