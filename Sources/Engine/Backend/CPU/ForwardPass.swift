internal import CKernels

/// Prepares steps and runs them on the team; owns what outlives a step.
final class ForwardPass {
    var cache: PagedCache?
    /// Sees what matrices multiply in the steps to come.
    var observer: ChannelRanges?
    private var buffers: StepBuffers
    private var tiles = AttentionTiles()
    private var runs = AdapterRuns()
    private let model: ModelConfiguration
    private let weights: PackedWeights
    private let frequencies: [RotaryFrequencies]
    private let scratch: ScratchMemory

    init(_ model: ModelConfiguration, weights: PackedWeights, threads: Int) throws(EngineError) {
        self.model = model
        self.weights = weights
        frequencies =
            [model.rotaryFrequencies(windowed: false)]
            + (model.windowRotaryBase == nil ? [] : [model.rotaryFrequencies(windowed: true)])
        buffers = try StepBuffers(ForwardStep.widths(model, weights.adapters))
        scratch = ScratchMemory(model, threads: threads)
    }

    /// Computes the logits of the plan's samples: (samples, padded vocabulary), valid until the next step.
    ///
    /// - Throws: `EngineError.insufficientMemory` when a step larger than all before finds no memory.
    func run(_ plan: borrowing StepPlan, team: ThreadTeam) throws(EngineError) -> UnsafeMutablePointer<Float> {
        guard let cache else { preconditionFailure("allocateKeyValueCache comes before the first step") }
        check(plan, cache)
        tiles.cut(plan, rowsPerTile: AttentionScratch.rowsPerTile(model))
        runs.cut(plan)
        let partialLength = ForwardStep.padded(model.cacheHeadDimension) + 16
        try buffers.reserve(
            rows: max(plan.rowCount, plan.samples.count), samples: plan.samples.count,
            partials: tiles.isSplit ? plan.rowCount * model.headCount * tiles.segmentCount * partialLength : 0)
        let step = ForwardStep(
            model: model, weights: weights, cache: cache, frequencies: frequencies, buffers: buffers,
            plan: copy plan, tiles: tiles, runs: runs, observer: observer, rowCount: plan.rowCount,
            sampleCount: plan.samples.count, hiddenCount: plan.hiddenRows.count, tileCount: tiles.tiles.count,
            isAdapted: !runs.runs.isEmpty)
        team.run(ForwardJob(step: step, scratch: scratch))
        return buffers.logits
    }

    /// Appends the hidden states that the last step was asked for, as they lie behind the final norm.
    func appendHiddenStates(count: Int, to states: inout [Float]) {
        for index in 0..<count {
            let row = buffers.outputs + index * ForwardStep.padded(model.embeddingLength)
            states.append(contentsOf: UnsafeBufferPointer(start: row, count: model.embeddingLength))
        }
    }

    /// The residual stream behind the last layer, as the last step left it: (rows, embedding).
    func residual(rowCount: Int) -> [Float] {
        (0..<rowCount).flatMap { row in
            let start = buffers.residual + row * ForwardStep.padded(model.embeddingLength)
            return Array(UnsafeBufferPointer(start: start, count: model.embeddingLength))
        }
    }

    /// Rows of the last step whose keys or values were not finite in the cache, and the first layer of each.
    func faults(rowCount: Int) -> [(row: Int, layer: Int)] {
        (0..<rowCount).compactMap { row in
            let layer = buffers.faultyLayers[row]
            return layer < 0 ? nil : (row, Int(layer))
        }
    }

    /// The scheduler's promises; a kernel with a wrong index would write anywhere.
    private func check(_ plan: borrowing StepPlan, _ cache: PagedCache) {
        let slotCount = cache.blockCount * cache.blockSize
        precondition(
            plan.positions.count == plan.rowCount && plan.slots.count == plan.rowCount
                && plan.rowStart.count == plan.sequenceCount + 1 && plan.rowStart.last == Int32(plan.rowCount)
                && plan.blockTables.count >= plan.sequenceCount * plan.blockTableStride
                && (plan.adapters.isEmpty || plan.adapters.count == plan.sequenceCount),
            "a step plan whose arrays differ in length")
        for row in 0..<plan.rowCount {
            precondition(
                plan.tokens[row] >= 0 && plan.tokens[row] < model.vocabularySize, "a token id out of range in a plan")
            precondition(plan.slots[row] >= 0 && plan.slots[row] < slotCount, "a KV slot out of range in a plan")
        }
        for sequence in 0..<plan.sequenceCount {
            precondition(plan.rowStart[sequence] < plan.rowStart[sequence + 1], "a sequence without rows in a plan")
            precondition(
                (-1..<weights.adapters.count).contains(plan.adapter(of: sequence)), "an adapter out of range in a plan")
            let last = Int(plan.positions[Int(plan.rowStart[sequence + 1]) - 1])
            precondition(last + 1 == Int(plan.contextLengths[sequence]), "a context length that is not its rows' end")
            let blocks = last / cache.blockSize + 1
            precondition(blocks <= plan.blockTableStride, "a block table shorter than its context")
            for index in 0..<blocks {
                let block = plan.blockTables[sequence * plan.blockTableStride + index]
                precondition(block >= 0 && block < cache.blockCount, "a KV block out of range in a plan")
            }
        }
        for sample in plan.samples {
            precondition(sample.row >= 0 && sample.row < plan.rowCount, "a sample of no row")
        }
        precondition(plan.hiddenRows.count <= plan.rowCount, "more hidden states than rows")
        for row in plan.hiddenRows {
            precondition(row >= 0 && row < plan.rowCount, "a hidden state of no row")
        }
    }
}

/// One step on all threads.
private final class ForwardJob: TeamJob, @unchecked Sendable {  // immutable; each part of the buffers has one writer
    private let step: ForwardStep
    private let scratch: ScratchMemory

    init(step: ForwardStep, scratch: ScratchMemory) {
        self.step = step
        self.scratch = scratch
    }

    func run(as member: TeamMember) {
        ForwardWorker(step: step, member: member, scratch: scratch.threads[member.index]).run()
    }
}

/// The scratch of every thread.
private final class ScratchMemory {
    let threads: [AttentionScratch]

    init(_ model: ModelConfiguration, threads: Int) {
        self.threads = (0..<threads).map { _ in AttentionScratch(model) }
    }

    deinit {
        for scratch in threads { scratch.deallocate() }
    }
}
