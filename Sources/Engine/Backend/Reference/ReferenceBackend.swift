/// The slow, obvious back end: float32 everywhere, one row after the other. It is the oracle of the fast ones.
///
/// Equals the reference implementation (transformers, float32) token for token in greedy decoding. Weights take four
/// bytes per parameter whatever the file holds.
package final class ReferenceBackend: Backend, @unchecked Sendable {  // engine thread only, after init
    private let model: ModelConfiguration
    private let weights: ReferenceWeights
    private let rotary: ReferenceRotary
    private var cache: ReferenceKeyValueCache
    private var state: RowState
    private var sampler: Sampler

    /// Dequantizes every weight of the checkpoint to float32.
    ///
    /// - Throws: `EngineError.invalidModel` when a tensor is missing.
    package init(checkpoint: any Checkpoint) throws(EngineError) {
        model = checkpoint.configuration
        weights = try ReferenceWeights(checkpoint)
        rotary = ReferenceRotary(model.rotaryFrequencies(windowed: false), layout: model.rotaryLayout)
        cache = ReferenceKeyValueCache(model, slotCount: 0, blockSize: 1)
        state = RowState(model)
        sampler = Sampler(vocabularySize: model.vocabularySize)
    }

    package let summary = "reference: CPU, float32, 1 thread"

    package var keyValueBytesPerToken: Int { 2 * model.layerCount * model.keyValueLength * MemoryLayout<Float>.stride }

    package func allocateKeyValueCache(blockCount: Int, blockSize: Int) throws(EngineError) {
        cache = ReferenceKeyValueCache(model, slotCount: blockCount * blockSize, blockSize: blockSize)
    }

    package func execute(_ plan: borrowing StepPlan, into result: inout StepResult) throws(EngineError) {
        result.removeAll()
        var logits = forward(plan)
        let width = model.vocabularySize
        for (index, task) in plan.samples.enumerated() {
            logits.withUnsafeMutableBufferPointer { all in
                let row = UnsafeMutableBufferPointer(rebasing: all[index * width..<(index + 1) * width])
                sampler.sample(row, task, into: &result)
            }
        }
    }

    /// Runs the step and returns the logits of every sampled sequence's last row: (samples, vocabulary).
    package func forward(_ plan: borrowing StepPlan) -> [Float] {
        var logits = [Float](repeating: 0, count: plan.samples.count * model.vocabularySize)
        for sequence in 0..<plan.sequenceCount {
            let rows = Int(plan.rowStart[sequence])..<Int(plan.rowStart[sequence + 1])
            let firstBlock = sequence * plan.blockTableStride
            let blocks = plan.blockTables[firstBlock..<firstBlock + plan.blockTableStride]
            for row in rows {
                runLayers(
                    token: Int(plan.tokens[row]), position: Int(plan.positions[row]), slot: Int(plan.slots[row]),
                    blocks: blocks)
                guard row == rows.upperBound - 1 else { continue }
                for (index, task) in plan.samples.enumerated() where Int(task.sequence) == sequence {
                    project(into: &logits, at: index * model.vocabularySize)
                }
            }
        }
        return logits
    }

    /// One row through all layers: `state.residual` becomes the last layer's output.
    private func runLayers(token: Int, position: Int, slot: Int, blocks: ArraySlice<Int32>) {
        weights.embedding.copyRow(token, to: &state.residual)
        for index in 0..<model.layerCount {
            let layer = weights.layers[index]
            rmsNorm(state.residual, layer.attentionNorm, epsilon: model.normEpsilon, into: &state.normed)
            layer.query.multiply(state.normed, into: &state.query)
            layer.key.multiply(state.normed, into: &state.key)
            layer.value.multiply(state.normed, into: &state.value)
            let width = model.headDimension
            rotary.rotate(&state.query, heads: model.headCount, headDimension: width, offset: 0, position: position)
            rotary.rotate(
                &state.key, heads: model.keyValueHeadCount, headDimension: width, offset: 0, position: position)
            cache.store(key: state.key, value: state.value, layer: index, slot: slot)
            attend(layer: index, position: position, blocks: blocks)
            layer.attentionOutput.multiply(state.attended, into: &state.projected)
            add(state.projected, to: &state.residual)

            rmsNorm(state.residual, layer.feedForwardNorm, epsilon: model.normEpsilon, into: &state.normed)
            layer.gate.multiply(state.normed, into: &state.gate)
            layer.up.multiply(state.normed, into: &state.up)
            swiGLU(&state.gate, state.up)
            layer.down.multiply(state.gate, into: &state.projected)
            add(state.projected, to: &state.residual)
        }
    }

    /// Softmax attention of every query head over positions 0...position; several query heads share one key/value head.
    private func attend(layer: Int, position: Int, blocks: ArraySlice<Int32>) {
        let width = model.headDimension
        let group = model.headCount / model.keyValueHeadCount
        let scale = 1 / Float(width).squareRoot()
        for head in 0..<model.headCount {
            let query = state.query[head * width..<(head + 1) * width]
            let keyValueHead = head / group
            var scores = [Float](repeating: 0, count: position + 1)
            for past in 0...position {
                let key = cache.key(layer: layer, slot: cache.slot(past, blocks), head: keyValueHead)
                scores[past] = dot(query, key) * scale
            }
            softmax(&scores)
            var mixed = [Float](repeating: 0, count: width)
            for past in 0...position {
                let value = cache.value(layer: layer, slot: cache.slot(past, blocks), head: keyValueHead)
                for (element, x) in value.enumerated() { mixed[element] += scores[past] * x }
            }
            for element in 0..<width { state.attended[head * width + element] = mixed[element] }
        }
    }

    private func project(into logits: inout [Float], at offset: Int) {
        rmsNorm(state.residual, weights.outputNorm, epsilon: model.normEpsilon, into: &state.normed)
        weights.output.multiply(state.normed, into: &logits, at: offset)
    }
}

/// The vectors of the row being computed.
private struct RowState {
    var residual: [Float]  // (embedding)
    var normed: [Float]  // (embedding)
    var query: [Float]  // (heads * headDimension)
    var key: [Float]  // (keyValueHeads * headDimension)
    var value: [Float]  // (keyValueHeads * headDimension)
    var attended: [Float]  // (heads * headDimension)
    var projected: [Float]  // (embedding)
    var gate: [Float]  // (feedForward)
    var up: [Float]  // (feedForward)

    init(_ model: ModelConfiguration) {
        func zeros(_ count: Int) -> [Float] { [Float](repeating: 0, count: count) }
        residual = zeros(model.embeddingLength)
        normed = zeros(model.embeddingLength)
        query = zeros(model.queryLength)
        key = zeros(model.keyValueLength)
        value = zeros(model.keyValueLength)
        attended = zeros(model.queryLength)
        projected = zeros(model.embeddingLength)
        gate = zeros(model.feedForwardLength)
        up = zeros(model.feedForwardLength)
    }
}
