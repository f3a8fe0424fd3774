/// Feed-forward blocks of which each row uses a few experts.
extension AscendProgram {
    /// From the norm of the residual stream to what the experts add to it. No size depends on what is chosen, and the host
    /// is not asked, so that steps with experts are captured like others.
    ///
    /// - Throws: `EngineError.unsupportedModel` or `invalidModel` for what the checkpoint holds or lacks.
    mutating func addExperts(
        _ layer: Int, _ mixture: ModelConfiguration.Mixture, _ normed: AscendTensor, _ weights: inout AscendWeights
    ) throws(EngineError) -> AscendTensor {
        let count = mixture.expertsPerToken
        let scores = try addRouter(layer, mixture, normed, &weights)
        let (chosen, shares) = try choose(layer, mixture, scores, &weights)

        let expanded = use(.expanded, model.embeddingLength, .rowsTimes(count))
        let places = list(.expandedPlaces, .rowsTimes(count), room: count)
        let own = rank.experts(of: mixture)
        let hasAll = own.count == mixture.expertCount
        let choices = hasAll ? chosen : try numberByRank(chosen, mixture, own, &weights)
        // Rows whose experts are elsewhere come last, as those of one expert more.
        let kinds = own.count + (hasAll ? 0 : 1)
        let counts = list(.expertCounts, .fixed(kinds), room: kinds)
        let allGroups = list(.groups, .fixed(kinds), room: kinds)
        append(.initRouting(x: normed, chosen: choices, expanded: expanded, places: places, counts: counts))
        append(.cast(x: counts, y: allGroups))
        let groups = allGroups.reshaped([.fixed(own.count)])

        let both = use(.expertGateUp, 2 * mixture.expertLength, .rowsTimes(count))
        multiply(expanded, try weights.experts(layer, mixture, [.gate, .up]), groups, into: both)
        let hidden = use(.expertHidden, mixture.expertLength, .rowsTimes(count))
        trunk.append(.swiGlu(x: both, y: hidden))
        let outputs = use(.expertOutputs, model.embeddingLength, .rowsTimes(count))
        if !hasAll { append(.clear(outputs)) }
        multiply(hidden, try weights.experts(layer, mixture, [.down]), groups, into: outputs)

        let added = use(.added, model.embeddingLength)
        let shared = try addSharedExpert(layer, mixture, normed, &weights)
        append(.finalizeRouting(expanded: outputs, places: places, shared: shared, weights: shares, y: added))
        return added
    }

    // MARK: - Choosing

    /// What the router says of each expert, as float32, so that shares are not rounded again.
    private mutating func addRouter(
        _ layer: Int, _ mixture: ModelConfiguration.Mixture, _ normed: AscendTensor, _ weights: inout AscendWeights
    ) throws(EngineError) -> AscendTensor {
        let routes = use(.routes, mixture.expertCount)
        multiply(normed, try weights.linear([(.layer(layer, .router), nil)]), into: routes)
        let scores = use(.scores, mixture.expertCount)
        append(.cast(x: routes, y: scores))
        return scores
    }

    /// Each row's experts and what their results are multiplied by.
    private mutating func choose(
        _ layer: Int, _ mixture: ModelConfiguration.Mixture, _ scores: AscendTensor, _ weights: inout AscendWeights
    ) throws(EngineError) -> (AscendTensor, weights: AscendTensor) {
        let count = mixture.expertsPerToken
        guard let rule = AscendGating(mixture) else {
            return mixture.normalizesWeights ? chooseNormalized(scores, count) : choose(scores, count)
        }
        let bias = mixture.hasCorrectionBias ? try weights.expertBias(layer) : nil
        let (chosen, shares) = (use(.chosen, count), use(.expertWeights, count))
        append(
            .ruledGating(
                rule, scores: scores, bias: bias, weights: shares, chosen: chosen,
                unused: use(.unusedScores, mixture.expertCount)))
        return (chosen, shares)
    }

    /// Weights are shares among all experts.
    private mutating func choose(_ scores: AscendTensor, _ count: Int) -> (AscendTensor, weights: AscendTensor) {
        let (chosen, weights) = (use(.chosen, count), use(.expertWeights, count))
        append(.gating(scores: scores, weights: weights, chosen: chosen, unused: use(.unusedRows, count)))
        return (chosen, weights)
    }

    /// Weights are shares among those chosen: the softmax of their scores alone.
    private mutating func chooseNormalized(
        _ scores: AscendTensor, _ count: Int
    ) -> (AscendTensor, weights: AscendTensor) {
        let (best, places) = (use(.bestScores, count), use(.bestPlaces, count))
        let (chosen, weights) = (use(.chosen, count), use(.expertWeights, count))
        trunk.append(.topK(x: scores, values: best, places: places))
        append(.softmax(x: best, y: weights))
        append(.cast(x: places, y: chosen))
        return (chosen, weights)
    }

    /// Each row's experts as the rank numbers them: those that it does not have are one, behind its last.
    private mutating func numberByRank(
        _ chosen: AscendTensor, _ mixture: ModelConfiguration.Mixture, _ own: Range<Int>, _ weights: inout AscendWeights
    ) throws(EngineError) -> AscendTensor {
        let count = mixture.expertsPerToken
        let choices = use(.ownChoices, count)
        trunk.append(
            .indexSelect(
                source: try weights.expertPlaces(mixture, own: own), indices: chosen.reshaped([.rowsTimes(count)]),
                out: choices.reshaped([.rowsTimes(count), 1])))
        return choices
    }

    // MARK: - Products

    /// y = x times the matrices of each group of rows.
    private mutating func multiply(
        _ x: AscendTensor, _ experts: AscendWeights.Experts, _ groups: AscendTensor, into y: AscendTensor
    ) {
        guard let scale = experts.scale, case .fixed(let width) = x.shape[1] else {
            append(
                .groupedMatmul(x: x, weight: experts.weight, scale: nil, tokenScale: nil, groups: groups, y: y))
            return
        }
        let (quants, scales) = quantized(width, x.shape[0])
        trunk.append(.dynamicQuant(x: x, y: quants, scale: scales))
        append(
            .groupedMatmul(x: quants, weight: experts.weight, scale: scale, tokenScale: scales, groups: groups, y: y))
    }

    /// What the expert that all rows use says, times its share if it has one; nil without such an expert.
    private mutating func addSharedExpert(
        _ layer: Int, _ mixture: ModelConfiguration.Mixture, _ normed: AscendTensor, _ weights: inout AscendWeights
    ) throws(EngineError) -> AscendTensor? {
        guard mixture.sharedLength > 0 else { return nil }
        let both = use(.gateUp, 2 * mixture.sharedLength)
        multiply(
            normed, try weights.linear([(.layer(layer, .sharedGate), nil), (.layer(layer, .sharedUp), nil)]), into: both
        )
        let hidden = use(.hidden, mixture.sharedLength)
        trunk.append(.swiGlu(x: both, y: hidden))
        let shared = use(.shared, model.embeddingLength)
        multiply(hidden, try weights.linear([(.layer(layer, .sharedDown), nil)]), into: shared)
        guard mixture.hasSharedGate else { return shared }
        let share = use(.sharedShare, 1)
        multiply(normed, try weights.linear([(.layer(layer, .sharedWeight), nil)]), into: share)
        append(.sigmoid(x: share, y: share))
        append(.mul(x: shared, factor: share, y: shared))
        return shared
    }

    // MARK: - Tensors

    private mutating func append(_ call: AscendExpertCall) { trunk.append(.expert(call)) }

    /// One number for each of `count`.
    private mutating func list(_ activation: AscendActivation, _ count: AscendExtent, room: Int) -> AscendTensor {
        use(activation, room).reshaped([count])
    }
}
