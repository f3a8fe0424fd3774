internal import CKernels
internal import Glibc

/// What all threads of one step share: the plan, the model and where the activations are. Copied by each thread.
struct ForwardStep {
    let model: ModelConfiguration
    let weights: PackedWeights
    let cache: PagedCache
    /// Of layers without an attention window, then of those with one if they differ.
    let frequencies: [RotaryFrequencies]
    let buffers: StepBuffers
    let plan: StepPlan
    let tiles: AttentionTiles
    let runs: AdapterRuns
    /// Sees what matrices multiply, if somebody wants to know.
    let observer: ChannelRanges?
    // Counts of parts, apart from the arrays: a late thread walks through the stages by these alone while the engine
    // fills its plan anew.
    let rowCount: Int
    let sampleCount: Int
    let hiddenCount: Int
    let tileCount: Int
    let isAdapted: Bool

    /// Query heads that share a head of the cache.
    var groupSize: Int { model.headCount / model.cacheHeadCount }
    /// Floats of one query's partial attention.
    var partialLength: Int { headStride + 16 }
    /// Floats between heads of queries, keys and values: heads are packed with padding.
    var headStride: Int { Self.padded(model.cacheHeadDimension) }
    /// Floats between rows of the residual stream: whole panels are written.
    var residualStride: Int { Self.padded(model.embeddingLength) }
    /// Rotated pairs of a head.
    var half: Int { model.rotaryDimension / 2 }

    static func padded(_ columns: Int) -> Int { (columns + 15) / 16 * 16 }

    /// Floats of a row between the two matrices of adapters: at most three matrices are multiplied in one stage.
    static func narrowWidth(_ adapters: PackedAdapters) -> Int { 3 * adapters.rankStride }

    /// What the buffers must hold per row.
    static func widths(_ model: ModelConfiguration, _ adapters: PackedAdapters) -> StepBuffers.Widths {
        let headDimension = padded(model.headDimension)
        let latent = model.latentAttention
        let queries = model.headCount * headDimension
        let attention = max(
            queries + 2 * model.keyValueHeadCount * headDimension,
            padded(latent?.queryRank ?? 0) + queries + padded(model.cacheHeadDimension),
            model.headCount * padded(model.valueDimension))
        let hidden = max(model.feedForwardLength, model.mixture?.sharedLength ?? 0)
        let experts = padded(model.mixture?.expertCount ?? 0)
        return StepBuffers.Widths(
            residual: padded(model.embeddingLength),
            inputs: max(model.embeddingLength, model.attendedLength, hidden, latent?.queryRank ?? 0),
            outputs: max(attention, 2 * padded(hidden) + 16, padded(model.embeddingLength), experts),
            narrow: narrowWidth(adapters),
            latentQueries: latent == nil ? 0 : model.headCount * padded(model.cacheHeadDimension),
            rotary: max(model.rotaryDimension / 2, 1) * (model.windowRotaryBase == nil ? 1 : 2),
            logits: padded(model.vocabularySize), experts: ExpertBuffers.Widths(model))
    }
}

extension ModelConfiguration {
    /// Heads of the KV cache: with latent attention all heads share one.
    var cacheHeadCount: Int { latentAttention == nil ? keyValueHeadCount : 1 }
    /// Elements of a head of the KV cache: of a latent with the rotated key behind it, keys and values being the same.
    var cacheHeadDimension: Int { latentAttention.map { $0.keyValueRank + rotaryDimension } ?? headDimension }
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
        for index in step.weights.layers.indices {
            let layer = step.weights.layers[index]
            normalize(by: layer.attentionNorm, as: layer.queryKeyValue.form)
            observe(.attention, width: layer.queryKeyValue.inputs)
            multiply(layer.queryKeyValue, into: step.buffers.outputs, stride: layer.queryKeyValue.width)
            if let latent = layer.latent {
                attendToLatents(index, layer, latent)
            } else {
                rotateAndStore(index, layer)
                attend(index, layer)
                collect(layer)
            }
            observe(.attended, width: layer.attentionOutput.inputs)
            multiply(layer.attentionOutput, addingToResidualBehind: layer.attentionPostNorm)

            switch layer.feedForward {
            case .dense(let block):
                normalize(by: layer.feedForwardNorm, as: block.gateUp.form)
                observe(.feedForward, width: block.gateUp.inputs)
                multiply(block, addingToResidualBehind: layer.feedForwardPostNorm)
            case .mixture(let mixture):
                multiply(mixture, norm: layer.feedForwardNorm)
            }
        }
        normalizeHiddenRows()
        guard step.sampleCount > 0 else { return }
        normalizeSampledRows()
        let output = step.weights.output
        multiply(output, into: step.buffers.logits, stride: output.width, rowCount: step.sampleCount)
        if let bound = step.model.logitSoftcap {
            forEach(step.sampleCount) { sample in
                ck_softcap(step.buffers.logits + sample * output.width, output.width, bound)
            }
        }
    }

    // MARK: - Matrices

    /// outputs[row, column of projection ...] = inputs[row] * matrix (+ bias) (+ outputs when `adding`), and then what the
    /// row's adapter adds.
    func multiply(
        _ group: ProjectionGroup, into outputs: UnsafeMutablePointer<Float>, stride: Int, adding: Bool = false,
        rowCount: Int? = nil
    ) {
        let rows = rowCount ?? step.rowCount
        let split = MatrixSplit(group, rows: rows, threads: member.teamCount)
        let activations = step.buffers.prepared.activations(
            step.buffers.inputs, width: group.inputs, form: group.form)
        let isAdapted = step.isAdapted && !group.corrections.isEmpty
        if isAdapted { narrow(group) }
        member.share(split.chunkCount) { chunk in
            let part = split.part(chunk)
            let projection = group.projections[part.projection]
            var (matrix, activations) = (projection.matrix, activations)
            var output = ck_output(
                y: outputs + projection.column, stride: stride, bias: projection.bias, accumulate: adding)
            ck_matmul(
                &matrix, &activations, part.rows.lowerBound, part.rows.count, part.panels.lowerBound,
                part.panels.count, &output)
            if isAdapted { correct(part, of: group, output) }
        }
    }

    /// residual += inputs * matrix, or the norm of that.
    private func multiply(_ group: ProjectionGroup, addingToResidualBehind norm: UnsafePointer<Float>?) {
        let stride = step.residualStride
        guard let norm else {
            multiply(group, into: step.buffers.residual, stride: stride, adding: true)
            return
        }
        multiply(group, into: step.buffers.outputs, stride: stride)
        let width = step.model.embeddingLength
        forEach(step.rowCount) { row in
            let result = step.buffers.outputs + row * stride
            ck_rms_norm(result, norm, width, step.model.normEpsilon, result)
            let residual = step.buffers.residual + row * stride
            for column in 0..<width { residual[column] += result[column] }
        }
    }

    /// residual += down(f(gate) · up) of the inputs, or the norm of that.
    func multiply(_ block: PackedBlock, addingToResidualBehind norm: UnsafePointer<Float>? = nil) {
        multiply(block.gateUp, into: step.buffers.outputs, stride: block.gateUp.width)
        gate(block)
        observe(.hidden, width: block.hidden)
        multiply(block.down, addingToResidualBehind: norm)
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
        forEach(step.rowCount) { row in
            let token = Int(step.plan.tokens[row])
            let residual = step.buffers.residual + row * step.residualStride
            ck_dequantize(
                embedding.type.storage, embedding.bytes.baseAddress.map { $0 + token * rowByteCount },
                embedding.columns, residual)
            if step.weights.embeddingType != embedding.type {
                for column in 0..<embedding.columns {
                    residual[column] = step.weights.embeddingType.rounded(residual[column])
                }
            }
            let scale = step.model.embeddingScale * (embedding.integers?.weightScale(token) ?? 1)
            if scale != 1 {
                for column in 0..<embedding.columns { residual[column] *= scale }
            }
            step.buffers.faultyLayers[row] = -1
            computeAngles(row)
        }
    }

    private func computeAngles(_ row: Int) {
        let position = Int(step.plan.positions[row])
        for (table, frequencies) in step.frequencies.enumerated() {
            let start = (row * step.frequencies.count + table) * step.half
            for (index, frequency) in frequencies.frequencies(at: position).enumerated() {
                let angle = Float(position) * frequency
                step.buffers.cosines[start + index] = cos(angle) * frequencies.magnitude
                step.buffers.sines[start + index] = sin(angle) * frequencies.magnitude
            }
        }
    }

    /// Where the row's cosines and sines are, from the first of each.
    func angles(_ row: Int, _ layer: PackedLayer) -> Int {
        let table = layer.window > 0 ? step.frequencies.count - 1 : 0
        return (row * step.frequencies.count + table) * step.half
    }

    func normalize(by weight: UnsafePointer<Float>, as form: InputForm) {
        forEach(step.rowCount) { row in normalize(row, into: row, by: weight, as: form) }
    }

    /// Each sampled row becomes row `sample` of the inputs.
    private func normalizeSampledRows() {
        forEach(step.sampleCount) { sample in
            normalize(
                Int(step.plan.samples[sample].row), into: sample, by: step.weights.outputNorm,
                as: step.weights.output.form)
        }
    }

    /// Each row whose hidden state is wanted becomes row `index` of the outputs, which the layers need no more.
    private func normalizeHiddenRows() {
        guard step.hiddenCount > 0 else { return }
        forEach(step.hiddenCount) { index in
            ck_rms_norm(
                step.buffers.residual + Int(step.plan.hiddenRows[index]) * step.residualStride, step.weights.outputNorm,
                step.model.embeddingLength, step.model.normEpsilon, step.buffers.outputs + index * step.residualStride)
        }
    }

    private func normalize(_ row: Int, into input: Int, by weight: UnsafePointer<Float>, as form: InputForm) {
        let width = step.model.embeddingLength
        ck_rms_norm(
            step.buffers.residual + row * step.residualStride, weight, width, step.model.normEpsilon,
            step.buffers.inputs + input * width)
        prepare(input, width: width, as: form)
    }

    /// Normalizes, turns and prepares queries and keys, and writes keys and values to the cache.
    private func rotateAndStore(_ index: Int, _ layer: PackedLayer) {
        let model = step.model
        let group = layer.queryKeyValue
        forEach(step.rowCount) { row in
            let query = step.buffers.outputs + row * group.width
            let key = query + group.projections[1].column
            let value = query + group.projections[2].column
            normalize(query, heads: model.headCount, by: layer.queryNorm)
            normalize(key, heads: model.keyValueHeadCount, by: layer.keyNorm)
            let angles = angles(row, layer)
            let (cosines, sines) = (step.buffers.cosines + angles, step.buffers.sines + angles)
            ck_rotary(query, model.headCount, step.headStride, step.half, cosines, sines)
            step.cache.prepare(queries: query, count: model.headCount * step.headStride)
            ck_rotary(key, model.keyValueHeadCount, step.headStride, step.half, cosines, sines)
            for head in 0..<model.keyValueHeadCount {
                store(
                    key: key + head * step.headStride, value: value + head * step.headStride, layer: index, head: head,
                    row)
            }
        }
    }

    /// Writes a row's key and value of one head to the cache, and notes the layer if they are not finite there.
    func store(key: UnsafePointer<Float>, value: UnsafePointer<Float>, layer: Int, head: Int, _ row: Int) {
        let slot = Int(step.plan.slots[row])
        if step.cache.store(key: key, value: value, layer: layer, head: head, slot: slot) { return }
        if step.buffers.faultyLayers[row] < 0 { step.buffers.faultyLayers[row] = Int32(layer) }
    }

    private func normalize(_ x: UnsafeMutablePointer<Float>, heads: Int, by weight: UnsafePointer<Float>?) {
        guard let weight else { return }
        for head in 0..<heads {
            let own = x + head * step.headStride
            ck_rms_norm(own, weight, step.model.headDimension, step.model.normEpsilon, own)
        }
    }

    /// inputs = f(gate) · up, times the sigmoid of the block's weight if it has one.
    private func gate(_ block: PackedBlock) {
        let width = block.hidden
        let columns = block.gateUp.projections
        forEach(step.rowCount) { row in
            let gate = step.buffers.outputs + row * block.gateUp.width
            let hidden = step.buffers.inputs + row * width
            activate(gate, gate + columns[1].column, width, into: hidden)
            if columns.count > 2 {
                let weight = 1 / (1 + exp(-gate[columns[2].column]))
                for column in 0..<width { hidden[column] *= weight }
            }
            prepare(row, for: block.down)
        }
    }

    /// y = f(gate) · up
    func activate(
        _ gate: UnsafePointer<Float>, _ up: UnsafePointer<Float>, _ width: Int, into y: UnsafeMutablePointer<Float>
    ) {
        switch step.model.activation {
        case .silu: ck_swiglu(gate, up, width, y)
        case .geluTanh: ck_geglu(gate, up, width, y)
        }
    }

    /// Brings row `row` of the inputs into the form that the matrices it goes to need.
    func prepare(_ row: Int, for next: ProjectionGroup) {
        prepare(row, width: next.inputs, as: next.form)
    }

    private func prepare(_ row: Int, width: Int, as form: InputForm) {
        form.prepare(step.buffers.inputs + row * width, width: width, row: row, in: step.buffers.prepared)
    }
}
