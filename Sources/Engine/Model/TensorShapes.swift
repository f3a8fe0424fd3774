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
        for layer in layers.indices {
            roles += (attentionRoles + feedForwardRoles(of: layer)).map { .layer(layer, $0) }
            guard layers[layer].isMixture, let mixture else { continue }
            for expert in 0..<mixture.expertCount {
                roles += TensorRole.ExpertRole.allCases.map { .expert(layer, expert, $0) }
            }
        }
        return roles
    }

    private var attentionRoles: [TensorRole.LayerRole] {
        var roles: [TensorRole.LayerRole] = [.attentionNorm, .attentionOutput]
        if let latentAttention {
            roles += [.query, .keyValueLatent, .keyValueLatentNorm, .keyValueExpansion]
            if latentAttention.queryRank != nil { roles += [.queryLatent, .queryLatentNorm] }
        } else {
            roles += [.query, .key, .value]
        }
        if hasAttentionBias { roles += [.queryBias, .keyBias, .valueBias] }
        if hasAttentionOutputBias { roles.append(.attentionOutputBias) }
        if hasQueryKeyNorm { roles += [.queryNorm, .keyNorm] }
        if hasPostNorms { roles.append(.attentionPostNorm) }
        return roles
    }

    private func feedForwardRoles(of layer: Int) -> [TensorRole.LayerRole] {
        var roles: [TensorRole.LayerRole] = [.feedForwardNorm]
        if hasPostNorms { roles.append(.feedForwardPostNorm) }
        guard layers[layer].isMixture, let mixture else {
            return roles + [.gate, .up, .down] + (hasFeedForwardBias ? [.gateBias, .upBias, .downBias] : [])
        }
        roles.append(.router)
        if mixture.hasCorrectionBias { roles.append(.routerCorrection) }
        if mixture.sharedLength > 0 { roles += [.sharedGate, .sharedUp, .sharedDown] }
        if mixture.hasSharedGate { roles.append(.sharedWeight) }
        return roles
    }

    /// The shape the tensor must have.
    package func shape(of role: TensorRole) -> TensorShape {
        switch role {
        case .tokenEmbedding, .output: TensorShape(rows: vocabularySize, columns: embeddingLength)
        case .outputNorm: vector(embeddingLength)
        case .layer(_, let role): shape(of: role)
        case .expert(_, _, .down): TensorShape(rows: embeddingLength, columns: mixture?.expertLength ?? 0)
        case .expert: TensorShape(rows: mixture?.expertLength ?? 0, columns: embeddingLength)
        }
    }

    /// Number of weights; embeddings count once when they are tied.
    package var parameterCount: Int {
        tensorRoles.reduce(0) { count, role in
            let shape = shape(of: role)
            return count + shape.rows * shape.columns
        }
    }

    private func vector(_ count: Int) -> TensorShape { TensorShape(rows: 1, columns: count) }

    private func shape(of role: TensorRole.LayerRole) -> TensorShape {
        switch role {
        case .attentionNorm, .feedForwardNorm, .attentionPostNorm, .feedForwardPostNorm: vector(embeddingLength)
        case .query: TensorShape(rows: queryLength, columns: latentAttention?.queryRank ?? embeddingLength)
        case .key, .value: TensorShape(rows: keyValueLength, columns: embeddingLength)
        case .queryBias: vector(queryLength)
        case .keyBias, .valueBias: vector(keyValueLength)
        case .queryNorm, .keyNorm: vector(headDimension)
        case .attentionOutput: TensorShape(rows: embeddingLength, columns: attendedLength)
        case .attentionOutputBias, .downBias: vector(embeddingLength)
        case .gate, .up: TensorShape(rows: feedForwardLength, columns: embeddingLength)
        case .down: TensorShape(rows: embeddingLength, columns: feedForwardLength)
        case .gateBias, .upBias: vector(feedForwardLength)
        case .queryLatent, .queryLatentNorm, .keyValueLatent, .keyValueLatentNorm, .keyValueExpansion:
            latentShape(of: role)
        case .router, .routerCorrection, .sharedGate, .sharedUp, .sharedDown, .sharedWeight: mixtureShape(of: role)
        }
    }

    private func latentShape(of role: TensorRole.LayerRole) -> TensorShape {
        let queryRank = latentAttention?.queryRank ?? 0
        let rank = latentAttention?.keyValueRank ?? 0
        let plain = latentAttention?.plainDimension ?? 0
        return switch role {
        case .queryLatent: TensorShape(rows: queryRank, columns: embeddingLength)
        case .queryLatentNorm: vector(queryRank)
        case .keyValueLatent: TensorShape(rows: rank + rotaryDimension, columns: embeddingLength)
        case .keyValueLatentNorm: vector(rank)
        default: TensorShape(rows: headCount * (plain + valueDimension), columns: rank)
        }
    }

    private func mixtureShape(of role: TensorRole.LayerRole) -> TensorShape {
        let experts = mixture?.expertCount ?? 0
        let shared = mixture?.sharedLength ?? 0
        return switch role {
        case .router: TensorShape(rows: experts, columns: embeddingLength)
        case .routerCorrection: vector(experts)
        case .sharedDown: TensorShape(rows: embeddingLength, columns: shared)
        case .sharedWeight: TensorShape(rows: 1, columns: embeddingLength)
        default: TensorShape(rows: shared, columns: embeddingLength)
        }
    }
}
