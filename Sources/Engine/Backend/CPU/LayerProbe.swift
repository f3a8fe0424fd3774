/// Runs a float model layer by layer over one text and shows how large the inputs of each layer's matrices get. One layer
/// is packed at a time, so that a model is probed that would not fit into memory.
struct LayerProbe: ~Copyable {
    private let checkpoint: any Checkpoint
    private let team: ThreadTeam
    private let rowCount: Int
    /// (rows, embedding) what the next layer reads.
    private var residual: [Float]
    private var nextLayer = 0

    private static let blockSize = 16

    /// - Parameter tokens: at least one, at most as many as the model's context.
    init(_ checkpoint: any Checkpoint, tokens: [Int32], team: ThreadTeam) throws(EngineError) {
        (self.checkpoint, self.team, rowCount) = (checkpoint, team, tokens.count)
        let embedding = try checkpoint.tensor(.tokenEmbedding)
        let width = embedding.columns
        let scale = checkpoint.configuration.embeddingScale
        residual = [Float](repeating: 0, count: tokens.count * width)
        residual.withUnsafeMutableBufferPointer { residual in
            for (row, token) in tokens.enumerated() {
                let values = UnsafeMutableBufferPointer(rebasing: residual[row * width..<(row + 1) * width])
                embedding.dequantize(row: Int(token), into: values)
                for column in 0..<width { values[column] *= scale }
            }
        }
    }

    /// Runs the next layer.
    ///
    /// - Throws: what packing the layer's weights throws.
    mutating func runLayer() throws(EngineError) -> ChannelRanges {
        let layer = SingleLayer(checkpoint, layer: nextLayer, residual: residual, rowCount: rowCount)
        let weights = try PackedWeights(
            checkpoint: layer, dataType: .auto, adapters: [], team: team, progress: { _ in })
        let pass = try ForwardPass(layer.configuration, weights: weights, threads: team.count)
        pass.cache = try PagedCache(
            layer.configuration, type: .f32, blockCount: (rowCount + Self.blockSize - 1) / Self.blockSize,
            blockSize: Self.blockSize)
        let ranges = ChannelRanges(layer.configuration)
        pass.observer = ranges
        _ = try pass.run(plan(), team: team)
        residual = pass.residual(rowCount: rowCount)
        nextLayer += 1
        return ranges
    }

    /// All rows as one sequence; row r is token r of a layer's embedding.
    private func plan() -> StepPlan {
        var plan = StepPlan()
        plan.tokens = (0..<rowCount).map { Int32($0) }
        plan.positions = plan.tokens
        plan.slots = plan.tokens
        plan.rowStart.append(Int32(rowCount))
        plan.contextLengths = [Int32(rowCount)]
        plan.blockTableStride = (rowCount + Self.blockSize - 1) / Self.blockSize
        plan.blockTables = (0..<plan.blockTableStride).map { Int32($0) }
        return plan
    }
}

/// One layer of a model as a model of its own, whose embedding is what the layers before made of a text.
private struct SingleLayer: Checkpoint {
    let configuration: ModelConfiguration
    let tokenizer: any Tokenizer
    let chatTemplate: ChatTemplateSource? = nil
    let weightByteCount = 0
    private let base: any Checkpoint
    private let layer: Int
    private let embedding: Tensor

    init(_ base: any Checkpoint, layer: Int, residual: [Float], rowCount: Int) {
        (self.base, self.layer, tokenizer) = (base, layer, base.tokenizer)
        var model = base.configuration
        model.layers = [model.layers[layer]]
        model.vocabularySize = rowCount
        model.embeddingScale = 1
        model.tiesEmbeddings = true
        configuration = model
        embedding = Tensor(name: "residual", floats: residual, rows: rowCount)
    }

    func tensor(_ role: TensorRole) throws(EngineError) -> Tensor {
        switch role {
        case .tokenEmbedding, .output: embedding
        case .outputNorm: try base.tensor(role)
        case .layer(_, let role): try base.tensor(.layer(layer, role))
        case .expert(_, let expert, let role): try base.tensor(.expert(layer, expert, role))
        }
    }
}
