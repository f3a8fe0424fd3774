/// The place of an NPU among those that compute one model together, and which part of the model is its own.
///
/// Heads and the hidden elements of feed-forward blocks are divided. Matrices that yield them are cut by their outputs, those
/// behind them by their inputs, so that what a rank computes of the latter is one addend of a sum over all ranks. Experts are
/// cut in the same way, or each is whole on one rank. The rest is whole on every rank.
struct AscendRank: Sendable, Equatable {
    let index: Int
    let division: AscendDivision

    /// Ranks of the model.
    var count: Int { division.ranks }

    /// Whether this rank adds what is to be added to a sum once, and yields what the step is computed for.
    var leads: Bool { index == 0 }

    /// Whether the residual stream of a step of so many rows is divided.
    func scatters(rows: Int) -> Bool {
        guard let least = division.scatteredRows, count > 1 else { return false }
        return rows >= least
    }

    /// The shape of this rank's part.
    func part(of model: ModelConfiguration) -> ModelConfiguration {
        var part = model
        part.headCount /= count
        part.keyValueHeadCount = max(1, model.keyValueHeadCount / count)
        part.feedForwardLength /= count
        if !division.dividesExperts { part.mixture?.expertLength /= count }
        part.mixture?.sharedLength /= count
        return part
    }

    /// The experts that this rank has.
    func experts(of mixture: ModelConfiguration.Mixture) -> Range<Int> {
        division.dividesExperts
            ? share(of: mixture.expertCount, units: count) : 0..<mixture.expertCount
    }

    /// Fails if a model cannot be divided so.
    ///
    /// - Throws: `EngineError.unsupportedModel` with what stands against it.
    static func check(_ model: ModelConfiguration, _ division: AscendDivision) throws(EngineError) {
        let (count, keys) = (division.ranks, model.keyValueHeadCount)
        guard !division.dividesExperts || model.mixture != nil else {
            throw EngineError(
                .unsupportedModel, "--enable-expert-parallel: the model has no experts to divide; leave it out")
        }
        let experts = division.dividesExperts ? model.mixture?.expertCount : model.mixture?.expertLength
        let hasDense = model.layers.contains { !$0.isMixture }
        let obstacles: [(Bool, String)] = [
            (model.headCount % count != 0, "\(model.headCount) heads"),
            (keys % count != 0 && count % keys != 0, "\(keys) heads of keys"),
            (hasDense && model.feedForwardLength % count != 0, "\(model.feedForwardLength) hidden elements"),
            (
                (experts ?? 0) % count != 0,
                division.dividesExperts ? "\(experts ?? 0) experts" : "experts of \(experts ?? 0) elements"
            ),
            (
                (model.mixture?.sharedLength ?? 0) % count != 0,
                "a shared expert of \(model.mixture?.sharedLength ?? 0) elements"
            ),
        ]
        guard let obstacle = obstacles.first(where: \.0) else { return }
        throw EngineError(
            .unsupportedModel,
            "the model has \(obstacle.1), which \(count) NPUs cannot divide among them; choose another "
                + "--tensor-parallel-size")
    }

    // MARK: - Tensors

    /// The rows and columns of a tensor of `model` that are this rank's; no columns of what another rank adds.
    func part(
        of tensor: Tensor, _ role: TensorRole, _ model: ModelConfiguration
    ) -> (rows: Range<Int>, columns: Range<Int>) {
        let (rows, columns) = (0..<tensor.rows, 0..<tensor.columns)
        func outputs(_ units: Int) -> (Range<Int>, Range<Int>) {
            role.isVector
                ? (rows, share(of: tensor.columns, units: units)) : (share(of: tensor.rows, units: units), columns)
        }
        switch role.cut {
        case .none: return (rows, columns)
        case .expert where division.dividesExperts: return (rows, columns)
        case .outputs, .expert(isBehind: false): return outputs(count)
        case .keyValueOutputs: return outputs(model.keyValueHeadCount)
        case .inputs, .expert: return (rows, share(of: tensor.columns, units: count))
        case .once: return (rows, leads ? columns : 0..<0)
        }
    }

    /// This rank's of `length` elements in units that are not divided; several ranks have the same where there are fewer
    /// units than ranks.
    private func share(of length: Int, units: Int) -> Range<Int> {
        let unit = length / units
        let first = index * units / count
        return first * unit..<(first + max(1, units / count)) * unit
    }
}

extension TensorRole {
    /// How the ranks of a model divide a tensor.
    enum Cut: Equatable {
        case none
        case outputs
        /// By heads of keys and values, of which there may be fewer than ranks.
        case keyValueOutputs
        case inputs
        /// As those before or behind hidden elements, unless it is whole on one rank.
        case expert(isBehind: Bool)
        /// Added by the first rank.
        case once
    }

    /// How the ranks of a model divide this tensor.
    var cut: Cut {
        switch self {
        case .tokenEmbedding, .outputNorm, .output: .none
        case .expert(_, _, let role): .expert(isBehind: role == .down)
        case .layer(_, let role):
            switch role {
            case .query, .queryBias, .keyValueExpansion, .gate, .up, .gateBias, .upBias, .sharedGate, .sharedUp:
                .outputs
            case .key, .value, .keyBias, .valueBias: .keyValueOutputs
            case .attentionOutput, .down, .sharedDown: .inputs
            case .attentionOutputBias, .downBias: .once
            default: .none
            }
        }
    }
}
