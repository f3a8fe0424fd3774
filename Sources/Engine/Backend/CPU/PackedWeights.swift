internal import CKernels

/// One packed matrix and where its outputs stand among those of its group.
struct Projection {
    let matrix: ck_matrix
    /// (outputs rounded up to 16) or nil.
    let bias: UnsafePointer<Float>?
    /// First output column in the rows of the group, a multiple of 16.
    let column: Int

    var panelCount: Int { (matrix.outputs + 15) / 16 }
}

/// Matrices that are applied to the same rows in one stage.
struct ProjectionGroup {
    /// Owned by `PackedWeights`.
    let projections: UnsafeBufferPointer<Projection>
    /// Columns of an output row, padding included.
    let width: Int
    /// Whether some matrix needs quantized activations.
    let needsQuants: Bool

    var inputs: Int { projections[0].matrix.k }
}

/// One decoder layer; everything in it lives as long as `PackedWeights`.
struct PackedLayer {
    let attentionNorm: UnsafePointer<Float>
    let queryKeyValue: ProjectionGroup
    let attentionOutput: ProjectionGroup
    let feedForwardNorm: UnsafePointer<Float>
    let gateUp: ProjectionGroup
    let down: ProjectionGroup
}

/// All weights, rearranged for the kernels (see `ckernels.h`) in memory of their own.
final class PackedWeights: @unchecked Sendable {  // immutable after init
    let layers: UnsafeBufferPointer<PackedLayer>
    let outputNorm: UnsafePointer<Float>
    let output: ProjectionGroup
    /// Stays in the model file: rows are looked up, not multiplied.
    let embedding: Tensor

    private let memory: HugePages
    private let projections: UnsafeMutableBufferPointer<Projection>

    /// Packs on all threads of the team.
    ///
    /// - Parameter progress: called on the calling thread with the share done so far, 0...1.
    init(
        checkpoint: any Checkpoint, team: ThreadTeam, progress: (Double) -> Void
    ) throws(EngineError) {
        let plan = try PackingPlan(checkpoint)
        let memory = try HugePages(byteCount: plan.byteCount, purpose: "the packed weights")
        plan.pack(into: memory.base, team: team, progress: progress)

        let model = checkpoint.configuration
        var builder = GroupBuilder(plan: plan, base: memory.base, capacity: model.layerCount * 7 + 1)
        let layers = UnsafeMutableBufferPointer<PackedLayer>.allocate(capacity: model.layerCount)
        for layer in 0..<model.layerCount {
            layers.initializeElement(
                at: layer,
                to: PackedLayer(
                    attentionNorm: plan.vector(.layer(layer, .attentionNorm), memory.base),
                    queryKeyValue: builder.group([
                        (.layer(layer, .query), .layer(layer, .queryBias)),
                        (.layer(layer, .key), .layer(layer, .keyBias)),
                        (.layer(layer, .value), .layer(layer, .valueBias)),
                    ]),
                    attentionOutput: builder.group([(.layer(layer, .attentionOutput), nil)]),
                    feedForwardNorm: plan.vector(.layer(layer, .feedForwardNorm), memory.base),
                    gateUp: builder.group([(.layer(layer, .gate), nil), (.layer(layer, .up), nil)]),
                    down: builder.group([(.layer(layer, .down), nil)])))
        }
        self.layers = UnsafeBufferPointer(layers)
        outputNorm = plan.vector(.outputNorm, memory.base)
        output = builder.group([(model.tiesEmbeddings ? .tokenEmbedding : .output, nil)])
        embedding = try checkpoint.tensor(.tokenEmbedding)
        projections = builder.projections
        self.memory = memory
    }

    deinit {
        layers.deallocate()
        projections.deallocate()
    }
}

/// Appends projections to one array and makes groups of consecutive ones.
private struct GroupBuilder {
    let plan: PackingPlan
    let base: UnsafeMutableRawPointer
    let projections: UnsafeMutableBufferPointer<Projection>
    private var count = 0

    init(plan: PackingPlan, base: UnsafeMutableRawPointer, capacity: Int) {
        self.plan = plan
        self.base = base
        projections = .allocate(capacity: capacity)
    }

    mutating func group(_ parts: [(matrix: TensorRole, bias: TensorRole?)]) -> ProjectionGroup {
        let first = count
        var width = 0
        var needsQuants = false
        for part in parts {
            let matrix = plan.matrix(part.matrix, base)
            let bias = part.bias.flatMap { plan.optionalVector($0, base) }
            projections.initializeElement(at: count, to: Projection(matrix: matrix, bias: bias, column: width))
            count += 1
            width += (matrix.outputs + 15) / 16 * 16
            needsQuants = needsQuants || ck_is_quantized(matrix.format)
        }
        return ProjectionGroup(
            projections: UnsafeBufferPointer(rebasing: projections[first..<count]), width: width,
            needsQuants: needsQuants)
    }
}
