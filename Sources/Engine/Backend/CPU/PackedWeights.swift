internal import CKernels

/// All weights, rearranged for the kernels (see `ckernels.h`) in memory of their own.
final class PackedWeights: @unchecked Sendable {  // immutable after init
    let layers: UnsafeBufferPointer<PackedLayer>
    let outputNorm: UnsafePointer<Float>
    let output: ProjectionGroup
    /// Stays in the model file: rows are looked up, not multiplied.
    let embedding: Tensor
    /// What the elements of its rows are rounded to.
    let embeddingType: TensorType
    /// What requests can add to the matrices.
    let adapters: PackedAdapters

    private let memory: HugePages
    private let parts: PackedParts

    /// Packs on all threads of the team.
    ///
    /// - Parameter progress: called on the calling thread with the share done so far, 0...1.
    init(
        checkpoint: any Checkpoint, dataType: DataType, adapters: [Adapter], team: ThreadTeam,
        progress: (Double) -> Void
    ) throws(EngineError) {
        let plan = try PackingPlan(checkpoint, dataType)
        let memory = try HugePages(byteCount: plan.byteCount, purpose: "the packed weights")
        try plan.pack(into: memory.base, team: team, progress: progress)

        let model = checkpoint.configuration
        self.adapters = try PackedAdapters(adapters, model)
        var builder = LayerBuilder(model, plan: plan, base: memory.base, adapters: self.adapters)
        for layer in model.layers.indices { builder.addLayer(layer) }
        outputNorm = plan.vector(.outputNorm, memory.base)
        output = builder.group([(model.tiesEmbeddings ? .tokenEmbedding : .output, nil)])
        embedding = try checkpoint.tensor(.tokenEmbedding)
        embeddingType = dataType.stored(embedding.type)
        parts = builder.parts
        layers = UnsafeBufferPointer(parts.layers.elements)
        self.memory = memory
    }
}

/// The arrays that layers point into.
private final class PackedParts {
    var layers: Arena<PackedLayer>
    var projections: Arena<Projection>
    var experts: Arena<PackedBlock>
    var headMatrices: Arena<ck_matrix>
    var corrections: Arena<Correction?>

    init(_ model: ModelConfiguration, adapterCount: Int) {
        layers = Arena(capacity: model.layerCount)
        projections = Arena(capacity: model.tensorRoles.count + 1)
        experts = Arena(capacity: model.layerCount * (model.mixture?.expertCount ?? 0))
        headMatrices = Arena(capacity: model.latentAttention == nil ? 0 : model.layerCount * model.headCount * 2)
        corrections = Arena(capacity: model.layerCount * TensorRole.LayerRole.allCases.count * adapterCount)
    }

    deinit {
        layers.elements.deallocate()
        projections.elements.deallocate()
        experts.elements.deallocate()
        headMatrices.elements.deallocate()
        corrections.elements.deallocate()
    }
}

/// An array that does not move while it grows, of elements that need no destruction.
private struct Arena<Element> {
    let elements: UnsafeMutableBufferPointer<Element>
    private var count = 0

    init(capacity: Int) { elements = .allocate(capacity: capacity) }

    mutating func append(_ new: [Element]) -> UnsafeBufferPointer<Element> {
        let first = count
        for element in new {
            elements.initializeElement(at: count, to: element)
            count += 1
        }
        return UnsafeBufferPointer(rebasing: elements[first..<count])
    }
}

/// Joins packed tensors to layers.
private struct LayerBuilder {
    let parts: PackedParts
    private let model: ModelConfiguration
    private let plan: PackingPlan
    private let base: UnsafeMutableRawPointer
    private let adapters: PackedAdapters

    init(
        _ model: ModelConfiguration, plan: PackingPlan, base: UnsafeMutableRawPointer, adapters: PackedAdapters
    ) {
        parts = PackedParts(model, adapterCount: adapters.count)
        (self.model, self.plan, self.base, self.adapters) = (model, plan, base, adapters)
    }

    mutating func addLayer(_ index: Int) {
        func vector(_ role: TensorRole.LayerRole) -> UnsafePointer<Float>? {
            plan.optionalVector(.layer(index, role), base)
        }
        let layer = PackedLayer(
            attentionNorm: plan.vector(.layer(index, .attentionNorm), base), queryKeyValue: queryKeyValue(index),
            queryNorm: vector(.queryNorm), keyNorm: vector(.keyNorm), latent: latent(index),
            window: model.layers[index].attentionWindow ?? 0,
            attentionOutput: group(index, [(.attentionOutput, .attentionOutputBias)]),
            attentionPostNorm: vector(.attentionPostNorm),
            feedForwardNorm: plan.vector(.layer(index, .feedForwardNorm), base), feedForward: feedForward(index),
            feedForwardPostNorm: vector(.feedForwardPostNorm))
        _ = parts.layers.append([layer])
    }

    func group(_ members: [(matrix: TensorRole, bias: TensorRole?)]) -> ProjectionGroup {
        var projections: [Projection] = []
        var width = 0
        for member in members {
            let matrix = plan.matrix(member.matrix, base)
            let bias = member.bias.flatMap { plan.optionalVector($0, base) }
            projections.append(Projection(matrix: matrix, bias: bias, column: width))
            width += (matrix.outputs + 15) / 16 * 16
        }
        return ProjectionGroup(
            projections: parts.projections.append(projections), width: width,
            form: InputForm(joining: members.map { plan.form($0.matrix) }),
            corrections: parts.corrections.append(adapters.corrections(of: members.map(\.matrix))))
    }

    private func group(
        _ layer: Int, _ members: [(matrix: TensorRole.LayerRole, bias: TensorRole.LayerRole?)]
    ) -> ProjectionGroup {
        group(members.map { (.layer(layer, $0.matrix), $0.bias.map { .layer(layer, $0) }) })
    }

    private func queryKeyValue(_ layer: Int) -> ProjectionGroup {
        guard let latent = model.latentAttention else {
            return group(layer, [(.query, .queryBias), (.key, .keyBias), (.value, .valueBias)])
        }
        return group(layer, [(latent.queryRank == nil ? .query : .queryLatent, nil), (.keyValueLatent, nil)])
    }

    private func latent(_ layer: Int) -> PackedLatent? {
        guard let latent = model.latentAttention else { return nil }
        let role = TensorRole.layer(layer, .keyValueExpansion)
        return PackedLatent(
            queryNorm: plan.optionalVector(.layer(layer, .queryLatentNorm), base),
            query: latent.queryRank == nil ? nil : group(layer, [(.query, nil)]),
            norm: plan.vector(.layer(layer, .keyValueLatentNorm), base),
            keys: parts.headMatrices.append(plan.headMatrices(role, .keys, base)),
            values: parts.headMatrices.append(plan.headMatrices(role, .values, base)))
    }

    private func feedForward(_ layer: Int) -> PackedFeedForward {
        guard model.layers[layer].isMixture, let mixture = model.mixture else {
            return .dense(
                PackedBlock(
                    gateUp: group(layer, [(.gate, .gateBias), (.up, .upBias)]),
                    down: group(layer, [(.down, .downBias)])))
        }
        let experts = (0..<mixture.expertCount).map { expert in
            PackedBlock(
                gateUp: group([(.expert(layer, expert, .gate), nil), (.expert(layer, expert, .up), nil)]),
                down: group([(.expert(layer, expert, .down), nil)]))
        }
        let router = group(layer, [(.router, nil)])
        let shared = mixture.sharedLength == 0 ? nil : shared(layer)
        let groups = [router] + experts.map(\.gateUp) + (shared.map { [$0.gateUp] } ?? [])
        return .mixture(
            PackedMixture(
                router: router, correction: plan.optionalVector(.layer(layer, .routerCorrection), base),
                experts: parts.experts.append(experts), shared: shared,
                form: InputForm(joining: groups.map(\.form)),
                downForm: InputForm(joining: experts.map(\.down.form))))
    }

    private func shared(_ layer: Int) -> PackedBlock {
        let weight: [(TensorRole.LayerRole, TensorRole.LayerRole?)] =
            model.mixture?.hasSharedGate == true ? [(.sharedWeight, nil)] : []
        return PackedBlock(
            gateUp: group(layer, [(.sharedGate, nil), (.sharedUp, nil)] + weight),
            down: group(layer, [(.sharedDown, nil)]))
    }
}
