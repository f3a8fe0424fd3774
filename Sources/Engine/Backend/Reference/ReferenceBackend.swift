internal import Glibc

/// The slow, obvious back end: float32 everywhere, one row after the other. It is the oracle of the fast ones.
///
/// Equals the reference implementation (transformers, float32) token for token in greedy decoding. Weights take four
/// bytes per parameter whatever the file holds.
package final class ReferenceBackend: Backend, @unchecked Sendable {  // engine thread only, after init
    private let model: ModelConfiguration
    private let weights: ReferenceWeights
    private let rotary: ReferenceRotary
    private let windowRotary: ReferenceRotary
    private var cache: ReferenceKeyValueCache
    private var sampler: Sampler
    private let keyValueType: TensorType
    /// What queries and the weights of values are rounded to.
    private let attentionType: TensorType
    private let rounded: ReferenceRounding
    /// Of the elements of a query and a key, and of a value, as they meet in attention.
    private let attended: ReferenceAttention
    private let division: AscendDivision
    private var faults: [StepResult.Fault] = []
    private var hiddenStates: [Float] = []

    /// Dequantizes every weight of the checkpoint to float32.
    ///
    /// - Parameters:
    ///   - dataType: whose numbers float matrices, keys and values are rounded to; with bfloat16 also what float matrices multiply.
    ///   - keyValueDataType: of keys and values, if not that.
    ///   - adapters: what plans may add to the model, in their order.
    ///   - activationType: what the results of every operator of a device are rounded to, and with them all weights that
    ///     are no integers: norms, biases, angles and block formats too. The oracle of a device that keeps them so, and that
    ///     takes queries to latents, not latents to keys and values; adapters are not for it.
    ///   - division: how devices share the model: sums that they divide are formed as they do it, each over its own inputs,
    ///     rounded, and then added up in their order.
    /// - Throws: `EngineError.invalidModel` when a tensor is missing, or holds a float that is not finite.
    package init(
        checkpoint: any Checkpoint, dataType: DataType = .auto, keyValueDataType: KeyValueDataType = .auto,
        adapters: [Adapter] = [],
        activationType: TensorType = .f32, division: AscendDivision = .none
    ) throws(EngineError) {
        self.division = division
        model = checkpoint.configuration
        rounded = ReferenceRounding(type: activationType, inputs: dataType == .bfloat16 ? .bf16 : .f32)
        weights = try ReferenceWeights(
            RoundedCheckpoint(base: checkpoint, dataType: dataType), adapters: adapters.map(checkpoint.fitted), rounded,
            division)
        adapterCount = adapters.count
        keyValueType = try keyValueDataType.stored(checkpoint, floats: dataType == .auto ? .float32 : dataType)
        let isNarrow = keyValueType == .bf16 || keyValueType == .i8
        attentionType = isNarrow && activationType == .f32 ? .bf16 : .f32
        rotary = ReferenceRotary(model.rotaryFrequencies(windowed: false), layout: model.rotaryLayout, rounded)
        windowRotary = ReferenceRotary(model.rotaryFrequencies(windowed: true), layout: model.rotaryLayout, rounded)
        attended = ReferenceAttention(model, overLatents: activationType != .f32)
        cache = ReferenceKeyValueCache(model, attended, type: keyValueType, slotCount: 0, blockSize: 1)
        sampler = Sampler(vocabularySize: model.vocabularySize)
    }

    package let summary = "reference: CPU, float32, 1 thread"
    package let adapterCount: Int

    package var keyValueBytesPerToken: Int {
        model.layerCount * attended.heads * (attended.keyDimension + attended.valueDimension)
            * MemoryLayout<Float>.stride
    }

    package func allocateKeyValueCache(blockCount: Int, blockSize: Int) throws(EngineError) {
        cache = ReferenceKeyValueCache(
            model, attended, type: keyValueType, slotCount: blockCount * blockSize, blockSize: blockSize)
    }

    package func execute(_ plan: borrowing StepPlan, into result: inout StepResult) throws(EngineError) {
        result.removeAll()
        var logits = forward(plan)
        result.faults = faults
        result.hiddenStates = hiddenStates
        let width = model.vocabularySize
        for (index, task) in plan.samples.enumerated() {
            logits.withUnsafeMutableBufferPointer { all in
                let row = UnsafeMutableBufferPointer(rebasing: all[index * width..<(index + 1) * width])
                sampler.sample(row, task, into: &result)
            }
        }
    }

    /// Runs the step and returns the logits of every sampled row: (samples, vocabulary).
    package func forward(_ plan: borrowing StepPlan) -> [Float] {
        faults.removeAll()
        hiddenStates.removeAll()
        var logits = [Float](repeating: 0, count: plan.samples.count * model.vocabularySize)
        for sequence in 0..<plan.sequenceCount {
            let rows = Int(plan.rowStart[sequence])..<Int(plan.rowStart[sequence + 1])
            let firstBlock = sequence * plan.blockTableStride
            let blocks = plan.blockTables[firstBlock..<firstBlock + plan.blockTableStride]
            for row in rows {
                let output = runLayers(
                    row, token: Int(plan.tokens[row]), position: Int(plan.positions[row]),
                    slot: Int(plan.slots[row]), blocks: blocks, adapter: plan.adapter(of: sequence))
                if plan.hiddenRows.contains(Int32(row)) { hiddenStates += norm(output, weights.outputNorm) }
                for (index, task) in plan.samples.enumerated() where Int(task.row) == row {
                    logits.replaceSubrange(
                        index * model.vocabularySize..<(index + 1) * model.vocabularySize, with: project(output))
                }
            }
        }
        return logits
    }

    /// One row through all layers.
    private func runLayers(
        _ row: Int, token: Int, position: Int, slot: Int, blocks: ArraySlice<Int32>, adapter: Int
    ) -> [Float] {
        var residual = weights.embedding.row(token).map { rounded($0 * model.embeddingScale) }
        for (index, layer) in weights.layers.enumerated() {
            let place = Place(
                row: row, layer: index, position: position, slot: slot, blocks: blocks, adapter: adapter)
            // Behind a sum, integers are made of the norm in the same operator.
            let first = layer.latent?.query ?? layer.query
            let mixed = attend(
                layer, norm(residual, layer.attentionNorm, isFused: first.isQuantizedWithNorm), at: place)
            var y = layer.attentionOutput(mixed, adapter: adapter)
            if let weight = layer.attentionPostNorm { y = norm(y, weight) }
            residual = sum(y, residual)

            let isFused = layer.dense?.gate.isQuantizedWithNorm ?? false
            y = feedForward(layer, norm(residual, layer.feedForwardNorm, isFused: isFused), adapter)
            if let weight = layer.feedForwardPostNorm { y = norm(y, weight) }
            residual = sum(y, residual)
        }
        return residual
    }

    /// - Parameter isFused: whether the operator goes on with the norm before it writes anything.
    private func norm(_ x: [Float], _ weight: [Float], isFused: Bool = false) -> [Float] {
        let y = rmsNorm(x, weight, epsilon: model.normEpsilon)
        return isFused ? y : rounded(y)
    }

    private func sum(_ x: [Float], _ y: [Float]) -> [Float] { zip(x, y).map { rounded($0 + $1) } }

    private func project(_ residual: [Float]) -> [Float] {
        let logits = weights.output(norm(residual, weights.outputNorm))
        guard let bound = model.logitSoftcap else { return logits }
        return logits.map { softcap($0, bound) }
    }

    // MARK: - Attention

    /// Where a row is computed.
    private struct Place {
        let row: Int
        let layer: Int
        let position: Int
        let slot: Int
        let blocks: ArraySlice<Int32>
        let adapter: Int
    }

    /// Softmax attention of every query head over the positions it sees; several query heads share one key/value head.
    private func attend(_ layer: ReferenceLayer, _ x: [Float], at place: Place) -> [Float] {
        let query = storeAndQuery(layer, x, at: place).map(attentionType.rounded)
        let window = model.layers[place.layer].attentionWindow ?? .max
        let seen = max(0, place.position - (window - 1))...place.position
        let mixed = (0..<model.headCount).flatMap { head in
            let own = query[head * attended.keyDimension..<(head + 1) * attended.keyDimension]
            let keyValueHead = head / (model.headCount / attended.heads)
            var scores = seen.map { past in
                let slot = cache.slot(past, place.blocks)
                let key = cache.key(layer: place.layer, slot: slot, head: keyValueHead)
                let score = dot(own, key.elements) * key.scale
                return model.attentionSoftcap.map { softcap(score * model.attentionScale, $0) }
                    ?? score * model.attentionScale
            }
            // Of integers, weights are rounded once, with the scales of values.
            let sum = exponentials(&scores, as: keyValueType == .i8 ? .f32 : attentionType)
            var mixed = [Float](repeating: 0, count: attended.valueDimension)
            for (past, weight) in zip(seen, scores) {
                let slot = cache.slot(past, place.blocks)
                let value = cache.value(layer: place.layer, slot: slot, head: keyValueHead)
                let weight = attentionType.rounded(weight * value.scale)
                for (element, x) in value.elements.enumerated() { mixed[element] += weight * x }
            }
            return mixed.map { rounded($0 / sum) }
        }
        guard attended.isOverLatents, let latent = layer.latent else { return mixed }
        return values(latent, ofLatents: mixed)
    }

    /// Writes the row's keys and values to the cache and returns its queries: (heads * headDimension).
    private func storeAndQuery(_ layer: ReferenceLayer, _ x: [Float], at place: Place) -> [Float] {
        let rotary = model.layers[place.layer].attentionWindow == nil ? rotary : windowRotary
        func rotated(_ x: [Float], width: Int, offset: Int = 0) -> [Float] {
            rotary.rotated(x, headDimension: width, offset: offset, position: place.position)
        }
        let width = model.headDimension
        guard let latent = layer.latent else {
            guard var key = layer.key?(x, adapter: place.adapter), let value = layer.value?(x, adapter: place.adapter)
            else { preconditionFailure("no keys") }
            var query = layer.query(x, adapter: place.adapter)
            if let weight = layer.queryNorm { query = rounded(headNorm(query, weight, epsilon: model.normEpsilon)) }
            if let weight = layer.keyNorm { key = rounded(headNorm(key, weight, epsilon: model.normEpsilon)) }
            store(key: rotated(key, width: width), value: value, at: place)
            return rotated(query, width: width)
        }
        let plain = width - model.rotaryDimension
        let query = rotated(layer.query(compressed(x, latent)), width: width, offset: plain)
        let (normed, shared) = latents(latent, x) { rotated($0, width: model.rotaryDimension) }
        guard !attended.isOverLatents else {
            store(key: normed + shared, value: normed, at: place)
            return stride(from: 0, to: query.count, by: width).enumerated().flatMap { head, start in
                latentQuery(latent, query[start..<start + plain], head) + query[start + plain..<start + width]
            }
        }
        let (key, value) = expand(latent, normed, shared)
        store(key: key, value: value, at: place)
        return query
    }

    private func store(key: [Float], value: [Float], at place: Place) {
        if cache.store(key: key, value: value, layer: place.layer, slot: place.slot) { return }
        guard faults.last?.row != Int32(place.row) else { return }
        let message = keyValueType.nonFiniteKeyValues(layer: place.layer)
        faults.append(StepResult.Fault(row: Int32(place.row), message))
    }

    /// What queries are projected from.
    private func compressed(_ x: [Float], _ latent: ReferenceLayer.Latent) -> [Float] {
        guard let query = latent.query, let weight = latent.queryNorm else { return x }
        return rounded(rmsNorm(query(x), weight, epsilon: model.latentAttention?.normEpsilon ?? 0))
    }

    /// The latent of the row `x` and the rotated key beside it.
    private func latents(
        _ latent: ReferenceLayer.Latent, _ x: [Float], rotated: ([Float]) -> [Float]
    ) -> (latent: [Float], key: [Float]) {
        let compressed = latent.keyValue(x)
        let rank = latent.norm.count
        let normed = rmsNorm(
            Array(compressed[..<rank]), latent.norm, epsilon: model.latentAttention?.normEpsilon ?? 0)
        return (rounded(normed), rotated(Array(compressed[rank...])))
    }

    /// What of a head's query meets latents: through the matrix that would make keys of them, the other way round.
    private func latentQuery(
        _ latent: ReferenceLayer.Latent, _ query: ArraySlice<Float>, _ head: Int
    ) -> [Float] {
        var y = [Float](repeating: 0, count: latent.norm.count)
        let first = head * (query.count + model.valueDimension)
        for (index, x) in query.enumerated() {
            for (column, weight) in latent.expansion.row(first + index).enumerated() { y[column] += x * weight }
        }
        return rounded(y)
    }

    /// Values of all heads from the latents that they attended to.
    private func values(_ latent: ReferenceLayer.Latent, ofLatents mixed: [Float]) -> [Float] {
        let (rank, plain) = (latent.norm.count, model.headDimension - model.rotaryDimension)
        return (0..<model.headCount).flatMap { head in
            let first = head * (plain + model.valueDimension) + plain
            return (0..<model.valueDimension).map { element in
                rounded(dot(mixed[head * rank..<(head + 1) * rank], latent.expansion.row(first + element)))
            }
        }
    }

    /// The keys and values of all heads.
    private func expand(
        _ latent: ReferenceLayer.Latent, _ normed: [Float], _ shared: [Float]
    ) -> (key: [Float], value: [Float]) {
        let expanded = latent.expansion(normed)
        let plain = model.headDimension - model.rotaryDimension
        var key: [Float] = []
        var value: [Float] = []
        for start in stride(from: 0, to: expanded.count, by: plain + model.valueDimension) {
            key += expanded[start..<start + plain] + shared
            value += expanded[start + plain..<start + plain + model.valueDimension]
        }
        return (key, value)
    }

    // MARK: - Feed-forward

    private func feedForward(_ layer: ReferenceLayer, _ x: [Float], _ adapter: Int) -> [Float] {
        if let dense = layer.dense { return feedForward(dense, x, adapter) }
        guard let weights = layer.mixture, let mixture = model.mixture else { preconditionFailure("no experts") }
        let chosen = choose(weights, mixture, x)
        var result = [Float](repeating: 0, count: model.embeddingLength)
        for rank in 0..<division.ranks {
            var part = [Float](repeating: 0, count: model.embeddingLength)
            if let shared = weights.shared {
                let weight = weights.sharedWeight.map { rounded(1 / (1 + exp(-$0(x)[0]))) } ?? 1
                add(shared.down.addend(hidden(shared, x), rank: rank).map { rounded($0 * weight) }, to: &part)
            }
            for (number, weight) in chosen {
                let expert = weights.experts[number]
                guard !division.dividesExperts else {
                    let owner = number / (mixture.expertCount / division.ranks)
                    if owner == rank { add(expert.down(hidden(expert, x)).map { $0 * weight }, to: &part) }
                    continue
                }
                add(expert.down.addend(hidden(expert, x), rank: rank).map { $0 * weight }, to: &part)
            }
            add(rounded(part), to: &result)
        }
        return rounded(result)
    }

    private func feedForward(_ weights: ReferenceLayer.FeedForward, _ x: [Float], _ adapter: Int) -> [Float] {
        weights.down(hidden(weights, x, adapter), adapter: adapter)
    }

    private func hidden(_ weights: ReferenceLayer.FeedForward, _ x: [Float], _ adapter: Int = -1) -> [Float] {
        let (gate, up) = (weights.gate(x, adapter: adapter), weights.up(x, adapter: adapter))
        return zip(gate, up).map { rounded(model.activation($0) * $1) }
    }

    private func choose(
        _ weights: ReferenceLayer.Mixture, _ mixture: ModelConfiguration.Mixture, _ x: [Float]
    ) -> [(expert: Int, weight: Float)] {
        var scores = weights.router(x)
        var ranks = scores
        var chosen = [Int32](repeating: 0, count: mixture.expertsPerToken)
        var shares = [Float](repeating: 0, count: mixture.expertsPerToken)
        scores.withUnsafeMutableBufferPointer { scores in
            ranks.withUnsafeMutableBufferPointer { ranks in
                mixture.choose(scores, correction: weights.correction, ranks: ranks, chosen: &chosen, weights: &shares)
            }
        }
        return zip(chosen, shares).map { (Int($0), $1) }
    }
}
