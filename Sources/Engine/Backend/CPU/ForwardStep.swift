internal import CKernels
internal import Glibc

/// What all threads of one step share: the plan, the model and where the activations are. Copied by each thread.
struct ForwardStep {
    let model: ModelConfiguration
    let weights: PackedWeights
    let cache: PagedCache
    let frequencies: RotaryFrequencies
    let buffers: StepBuffers
    let plan: StepPlan
    let tiles: AttentionTiles
    // Counts of parts, apart from the arrays: a late thread walks through the stages by these alone while the engine
    // fills its plan anew.
    let rowCount: Int
    let sampleCount: Int
    let tileCount: Int

    /// Query heads that share a KV head.
    var groupSize: Int { model.headCount / model.keyValueHeadCount }
    /// Floats of one query's partial attention.
    var partialLength: Int { headStride + 16 }
    /// Floats between heads of queries, keys and values: heads are packed with padding.
    var headStride: Int { Self.padded(model.headDimension) }
    /// Floats between rows of the residual stream: whole panels are written.
    var residualStride: Int { Self.padded(model.embeddingLength) }

    static func padded(_ columns: Int) -> Int { (columns + 15) / 16 * 16 }

    /// What the buffers must hold per row.
    static func widths(_ model: ModelConfiguration) -> StepBuffers.Widths {
        let queryKeyValue = (model.headCount + 2 * model.keyValueHeadCount) * padded(model.headDimension)
        return StepBuffers.Widths(
            residual: padded(model.embeddingLength),
            inputs: max(model.embeddingLength, model.queryLength, model.feedForwardLength),
            outputs: max(queryKeyValue, 2 * padded(model.feedForwardLength)),
            rotary: max(model.rotaryDimension / 2, 1),
            logits: padded(model.vocabularySize))
    }
}

/// The forward pass as one thread runs it: every method is a stage whose parts the threads share out, and ends where
/// all threads have finished it.
struct ForwardWorker {
    let step: ForwardStep
    let member: TeamMember
    let scratch: AttentionScratch

    /// From token ids to the logits of the plan's samples.
    func run() {
        embed()
        for layer in step.weights.layers.indices {
            let weights = step.weights.layers[layer]
            normalize(by: weights.attentionNorm, for: weights.queryKeyValue)
            multiply(weights.queryKeyValue, into: step.buffers.outputs, stride: weights.queryKeyValue.width)
            rotateAndStore(layer)
            attend(layer)
            collect(for: weights.attentionOutput)
            multiply(weights.attentionOutput, into: step.buffers.residual, stride: step.residualStride, adding: true)
            normalize(by: weights.feedForwardNorm, for: weights.gateUp)
            multiply(weights.gateUp, into: step.buffers.outputs, stride: weights.gateUp.width)
            gate(for: weights.down)
            multiply(weights.down, into: step.buffers.residual, stride: step.residualStride, adding: true)
        }
        guard step.sampleCount > 0 else { return }
        normalizeSampledRows()
        let output = step.weights.output
        multiply(output, into: step.buffers.logits, stride: output.width, rowCount: step.sampleCount)
    }

    // MARK: - Matrices

    /// outputs[row, column of projection ...] = inputs[row] * matrix (+ bias) (+ outputs when `adding`).
    private func multiply(
        _ group: ProjectionGroup, into outputs: UnsafeMutablePointer<Float>, stride: Int, adding: Bool = false,
        rowCount: Int? = nil
    ) {
        let rows = rowCount ?? step.rowCount
        let split = MatrixSplit(group, rows: rows, threads: member.teamCount)
        let activations = ck_activations(
            values: step.buffers.inputs, quants: step.buffers.quants, blocks: step.buffers.blocks,
            stride: group.inputs)
        member.share(split.chunkCount) { chunk in
            let part = split.part(chunk)
            let projection = group.projections[part.projection]
            var (matrix, activations) = (projection.matrix, activations)
            var output = ck_output(
                y: outputs + projection.column, stride: stride, bias: projection.bias, accumulate: adding)
            ck_matmul(
                &matrix, &activations, part.rows.lowerBound, part.rows.count, part.panels.lowerBound,
                part.panels.count, &output)
        }
    }

    // MARK: - Rows

    /// Runs `body` for each index, shared out among the threads.
    @inline(__always)
    func forEach(_ count: Int, _ body: (Int) -> Void) {
        let grain = max(1, min(16, count / (member.teamCount * 4)))
        member.share((count + grain - 1) / grain) { chunk in
            for index in chunk * grain..<min(count, (chunk + 1) * grain) { body(index) }
        }
    }

    private func embed() {
        let embedding = step.weights.embedding
        let rowByteCount = embedding.bytes.count / embedding.rows
        let half = step.model.rotaryDimension / 2
        forEach(step.rowCount) { row in
            let token = Int(step.plan.tokens[row])
            ck_dequantize(
                embedding.type.storage, embedding.bytes.baseAddress.map { $0 + token * rowByteCount },
                embedding.columns, step.buffers.residual + row * step.residualStride)
            let position = Int(step.plan.positions[row])
            for (index, frequency) in step.frequencies.frequencies(at: position).enumerated() {
                let angle = Float(position) * frequency
                step.buffers.cosines[row * half + index] = cos(angle) * step.frequencies.magnitude
                step.buffers.sines[row * half + index] = sin(angle) * step.frequencies.magnitude
            }
        }
    }

    private func normalize(by weight: UnsafePointer<Float>, for next: ProjectionGroup) {
        forEach(step.rowCount) { row in normalize(row, into: row, by: weight, for: next) }
    }

    /// The last row of each sampled sequence becomes row `sample` of the inputs.
    private func normalizeSampledRows() {
        forEach(step.sampleCount) { sample in
            let sequence = Int(step.plan.samples[sample].sequence)
            let row = Int(step.plan.rowStart[sequence + 1]) - 1
            normalize(row, into: sample, by: step.weights.outputNorm, for: step.weights.output)
        }
    }

    private func normalize(_ row: Int, into input: Int, by weight: UnsafePointer<Float>, for next: ProjectionGroup) {
        let width = step.model.embeddingLength
        ck_rms_norm(
            step.buffers.residual + row * step.residualStride, weight, width, step.model.normEpsilon,
            step.buffers.inputs + input * width)
        quantize(input, for: next)
    }

    /// Turns queries and keys, and writes keys and values to the cache.
    private func rotateAndStore(_ layer: Int) {
        let model = step.model
        let group = step.weights.layers[layer].queryKeyValue
        let half = model.rotaryDimension / 2
        forEach(step.rowCount) { row in
            let query = step.buffers.outputs + row * group.width
            let key = query + group.projections[1].column
            let value = query + group.projections[2].column
            let cosines = step.buffers.cosines + row * half
            let sines = step.buffers.sines + row * half
            ck_rotary(query, model.headCount, step.headStride, half, cosines, sines)
            ck_rotary(key, model.keyValueHeadCount, step.headStride, half, cosines, sines)
            for head in 0..<model.keyValueHeadCount {
                step.cache.store(
                    key: key + head * step.headStride, value: value + head * step.headStride, layer: layer, head: head,
                    slot: Int(step.plan.slots[row]))
            }
        }
    }

    private func gate(for next: ProjectionGroup) {
        let width = step.model.feedForwardLength
        let stride = 2 * ForwardStep.padded(width)
        forEach(step.rowCount) { row in
            let gate = step.buffers.outputs + row * stride
            ck_swiglu(gate, gate + stride / 2, width, step.buffers.inputs + row * width)
            quantize(row, for: next)
        }
    }

    /// Quantizes row `row` of the inputs if the matrices it goes to need that.
    func quantize(_ row: Int, for next: ProjectionGroup) {
        guard next.needsQuants else { return }
        let k = next.inputs
        ck_quantize(
            step.buffers.inputs + row * k, 1, k, k, step.buffers.quants + row * k, step.buffers.blocks + row * (k / 32))
    }
}
