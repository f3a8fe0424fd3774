internal import CAscend

/// An NPU with its share of a model's weights in its memory: what a failure of the device takes away, and a new one brings
/// back.
final class AscendSession: @unchecked Sendable {  // used by one thread at a time
    let device: AscendDevice
    private let program: AscendProgram
    let weights: AscendWeights
    let model: ModelConfiguration
    private let communicator: AscendCommunicator?
    let weightMemory: AscendArena
    private let workspace: AscendArena
    /// Steps as they come.
    private let steps: AscendStepArena
    /// Steps that decode, padded; captured graphs hold addresses in it.
    private let batches: AscendStepArena
    private var graphs: [GraphKey: AscendGraph] = [:]
    private var keptSteps = KeptSteps<KeptStepKey, AscendKeptStep>(
        limit: AscendSession.largestKeptCallCount, patience: AscendSession.patience)
    private var updateStream: aclrtStream?
    /// What ran last, and where its outputs are.
    private var lastStep: (arena: AscendStepArena, size: AscendStepSize)?
    private var graphsFailed = false
    var watch = AscendStepWatch(AscendStepWatch.Limits())
    private let clock = MonotonicClock.system
    private let notice: (String) -> Void
    private var keyValueMemory: AscendArena?
    private var cache: AscendCacheShape?

    /// Sets the device up and copies the weights to it.
    ///
    /// - Parameters:
    ///   - communicator: what joins it to other NPUs that compute the same model; its own from now on.
    ///   - largestBatch: what decoding steps may be padded to.
    ///   - notice: told, for people, what does not work as it should.
    ///   - progress: called with the share copied, 0...1.
    /// - Throws: `EngineError` of the device or of the checkpoint.
    init(
        deviceIndex: Int32, _ share: AscendShare, _ communicator: AscendCommunicator?, largestBatch: Int,
        notice: @escaping (String) -> Void, progress: (Double) -> Void
    ) throws(EngineError) {
        (model, weights, program) = (share.model, share.weights, share.program)
        (self.communicator, self.notice) = (communicator, notice)
        let device: AscendDevice
        do throws(AscendError) {
            device = try AscendDevice(index: deviceIndex)
        } catch {
            communicator?.release()
            throw error.engineError
        }
        self.device = device
        weightMemory = AscendArena(device, capacity: weights.byteCount)
        workspace = AscendArena(device, capacity: AscendStepArena.largestByteCount)
        func arena(_ rows: Int) -> AscendStepArena {
            AscendStepArena(
                device, share.program, share.weights.element,
                smallest: AscendStepSize(
                    rows: rows, samples: rows, hiddenRows: 1, sequences: rows, blockTableStride: 16))
        }
        steps = arena(16)
        batches = arena(max(1, largestBatch))
        do {
            try load(progress)
        } catch {
            close(isForced: error.code == .deviceLost)
            throw error
        }
    }

    /// Gives the device back. `isForced` when it does not answer any more.
    func close(isForced: Bool) {
        try? device.enter()
        dropPlans()
        if let updateStream { device.end(updateStream, isForced: isForced) }
        updateStream = nil
        device.stop(isForced: isForced)
        communicator?.release()
        for arena in [weightMemory, workspace, keyValueMemory] { arena?.release() }
        steps.release()
        batches.release()
        device.close(isForced: isForced)
    }

    /// Milliseconds until a device that says nothing, outside of steps, is taken for lost.
    static let timeout: Int32 = 120_000

    /// Waits a little for what a failed step left on the streams. Returns whether all of it is done.
    func settle() -> Bool {
        do throws(AscendError) {
            try device.enter()
            try device.synchronize(timeout: Self.settlingTime)
            return true
        } catch {
            return false
        }
    }

    private static let settlingTime: Int32 = 2_000

    // MARK: - KV cache

    /// Bytes that are free on the device.
    ///
    /// - Throws: what the runtime returned.
    func freeMemory() throws(AscendError) -> Int {
        try device.enter()
        return try device.memory().free
    }

    /// Reserves the KV pool, with nothing in it.
    ///
    /// - Throws: what the runtime returned.
    func allocate(_ cache: AscendCacheShape) throws(AscendError) {
        try device.enter()
        dropPlans()
        keyValueMemory?.release()
        let arena = AscendArena(device, capacity: cache.byteCount)
        keyValueMemory = arena
        try arena.ensure(cache.byteCount)
        self.cache = cache
    }

    // MARK: - Steps

    /// What captured steps differ in.
    private struct GraphKey: Hashable {
        let batch: Int
        let findings: AscendFindings
    }

    /// What steps differ in that decode and are not captured; block tables alone may differ besides.
    private struct KeptStepKey: Hashable {
        let rows: Int
        let findings: AscendFindings
        /// Whether its memory is that of padded steps.
        let isBatch: Bool
    }

    /// Most calls that are kept planned: those of some 20 sizes of a step of a 7B model. What the library holds for each is
    /// not documented.
    private static let largestKeptCallCount = 8_192
    /// Steps after which a size that did not come makes room for another.
    private static let patience = 4_096

    /// Drops what holds addresses of steps, or of keys and values.
    private func dropPlans() {
        graphs.removeAll()
        keptSteps.removeAll()
    }

    /// Computes the step of a plan and waits for it.
    ///
    /// - Parameters:
    ///   - demand: what is wanted besides the likeliest tokens.
    ///   - batch: what the step is padded to and prepared for, if it is one that decodes; nil to run it as it is.
    /// - Throws: `AscendError`, after which nothing the step wrote is to be trusted.
    func run(
        _ plan: borrowing StepPlan, _ demand: AscendDemand, batch: Int?
    ) throws(AscendError) -> AscendOutputs {
        try device.chip.attendsByRows
            ? compute(plan.apart(), demand, batch: batch) : compute(plan, demand, batch: batch)
    }

    private func compute(
        _ plan: borrowing StepPlan, _ demand: AscendDemand, batch: Int?
    ) throws(AscendError) -> AscendOutputs {
        guard let cache else { preconditionFailure("the KV pool is there before the first step") }
        try device.enter()
        let start = clock.now()
        let arena = batch == nil ? steps : batches
        let scatters = batch == nil && program.rank.scatters(rows: plan.rowCount)
        var size = AscendStepSize(plan, paddedTo: batch, multipleOf: scatters ? program.rank.count : 1)
        if try !arena.reserve(size) { batch == nil ? keptSteps.removeAll() : dropPlans() }
        if batch != nil { size.blockTableStride = arena.layout?.capacity.blockTableStride ?? size.blockTableStride }
        arena.write(plan, size, cache)
        let key = batch.map { GraphKey(batch: $0, findings: demand.findings) }
        let graph = key.flatMap { graphs[$0] }
        let repeated =
            (batch == nil || graphsFailed) && size.decodes && !scatters && !device.chip.attendsByRows
            ? KeptStepKey(rows: size.rows, findings: demand.findings, isBatch: batch != nil) : nil
        let kept = repeated.flatMap { keptSteps.find($0) }
        let lengths = try AscendLengths(
            plan, paddedTo: size.sequences, rowEnds: graph?.rowEnds ?? kept?.rowEnds)
        if let graph {
            try graph.replay(lengths)
        } else {
            try arena.upload(size)
            let rows = device.chip.attendsByRows ? AscendStepRows(plan) : nil
            let launcher = try launcher(size, arena, lengths, cache, rows)
            if let kept {
                try launch(kept, launcher)
            } else {
                let calls = program.calls(size, scatters: scatters, demand.findings)
                try launch(calls, launcher, keptFor: repeated)
            }
            try arena.downloadResults(size, demand.findings)
        }
        for rows in demand.logits.ranges { try arena.download(.logits, rows: rows, size) }
        try arena.download(.wanted, rows: 0..<size.hiddenRows, size)
        try wait()
        watch.learn(milliseconds: Double(clock.now() - start) / 1e6)
        if let key, graph == nil, !graphsFailed { try capture(key, size, lengths, cache) }
        lastStep = (arena, size)
        return arena.outputs(size)
    }

    /// Launches calls one by one, and keeps their plans if they will come again.
    private func launch(
        _ calls: [AscendCall], _ launcher: AscendLauncher, keptFor key: KeptStepKey?
    ) throws(AscendError) {
        if let key, keptSteps.makeRoom(for: calls.count) {
            return keptSteps.keep(try AscendKeptStep(calls, launcher), for: key, weight: calls.count)
        }
        var launcher = launcher
        for call in calls { try launcher.launch(call) }
    }

    private func launch(_ kept: AscendKeptStep, _ launcher: AscendLauncher) throws(AscendError) {
        do throws(AscendError) {
            try kept.launch(launcher)
        } catch {
            // What a plan is good for after a failure is not documented.
            keptSteps.removeAll()
            throw error
        }
    }

    /// Copies the logits of some samples of the step that ran last to its outputs, and waits for them.
    ///
    /// - Throws: `AscendError`, as the step itself.
    func fetchLogits(of samples: RangeSet<Int>) throws(AscendError) {
        guard let (arena, size) = lastStep else { preconditionFailure("a step ran before") }
        try device.enter()
        for rows in samples.ranges { try arena.download(.logits, rows: rows, size) }
        try wait()
    }

    private func wait() throws(AscendError) {
        if let communicator {
            try communicator.wait(for: device, timeout: watch.timeout)
        } else {
            try device.synchronize(timeout: watch.timeout)
        }
    }

    private func launcher(
        _ size: AscendStepSize, _ arena: AscendStepArena, _ lengths: AscendLengths, _ cache: AscendCacheShape,
        _ rows: AscendStepRows? = nil
    ) throws(AscendError) -> AscendLauncher {
        guard let weightBase = weightMemory.base, let keyValues = keyValueMemory?.base, let layout = arena.layout else {
            preconditionFailure("everything has memory before the first step")
        }
        let addresses = AscendAddresses(
            weights: weightBase, weightOffsets: weights.entries.map(\.offset),
            activations: arena.base + layout.inputByteCount, inputs: arena.base, keyValues: keyValues, cache: cache,
            memory: layout)
        return AscendLauncher(
            addresses, size, lengths, epsilon: Double(model.normEpsilon),
            AscendOperators(stream: device.stream, workspace: workspace), communicator, rows)
    }

    /// Captures the step that has just run, for those that follow. Without graphs everything works, only slower: a
    /// failure is told once.
    private func capture(
        _ key: GraphKey, _ size: AscendStepSize, _ lengths: AscendLengths, _ cache: AscendCacheShape
    ) throws(AscendError) {
        do throws(AscendError) {
            guard workspace.isVirtual else { throw .absent("aclrtReserveMemAddress") }
            if updateStream == nil { updateStream = try device.makeStream() }
            graphs[key] = try AscendGraph(
                program.calls(size, scatters: false, key.findings),
                launcher(size, batches, lengths, cache), updateStream: updateStream,
                before: { () throws(AscendError) in try batches.upload(size) },
                after: { () throws(AscendError) in try batches.downloadResults(size, key.findings) })
        } catch {
            guard !error.losesDevice else { throw error }
            graphsFailed = true
            graphs.removeAll()
            try device.renewStream()
            notice(
                "steps are not captured as graphs from now on, and take more time on the host: \(error.message)")
        }
    }
}

/// Runs what calls the device while a model is loaded.
func ascend<Result>(_ body: () throws(AscendError) -> Result) throws(EngineError) -> Result {
    do throws(AscendError) { return try body() } catch { throw error.engineError }
}

extension AscendStepSize {
    /// Whether every sequence has one row, and each is sampled.
    fileprivate var decodes: Bool { rows == sequences && rows == samples && hiddenRows == 0 }

    /// What a plan needs, its rows padded to a multiple, or the sizes of a batch that it is padded to.
    fileprivate init(_ plan: borrowing StepPlan, paddedTo batch: Int?, multipleOf step: Int) {
        let padding = (step - plan.rowCount % step) % step
        self.init(
            rows: batch ?? plan.rowCount + padding, samples: batch ?? plan.samples.count,
            hiddenRows: plan.hiddenRows.count, sequences: batch ?? plan.sequenceCount + padding,
            blockTableStride: max(1, plan.blockTableStride))
    }
}

extension AscendProgram {
    /// The calls of a step of `size`.
    fileprivate func calls(_ size: AscendStepSize, scatters: Bool, _ findings: AscendFindings) -> [AscendCall] {
        (scatters ? scatteredTrunk : trunk) + (size.samples > 0 ? head : [])
            + (findings >= .candidates ? candidates : []) + (findings >= .sums ? sums : [])
            + (size.hiddenRows > 0 ? hidden : [])
    }
}
