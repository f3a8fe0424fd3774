internal import CAscend

/// An NPU with a model's weights in its memory: what a failure of the device takes away, and a new one brings back.
final class AscendSession {
    let device: AscendDevice
    private let program: AscendProgram
    private let weights: AscendWeights
    private let model: ModelConfiguration
    private let weightMemory: AscendArena
    private let stepMemory: AscendArena
    private let workspace: AscendArena
    private var keyValueMemory: AscendArena?
    private var cache: AscendCacheShape?
    private var layout: AscendStepMemory?
    private var hostInputs: AscendHostBuffer?
    private var hostOutputs: AscendHostBuffer?

    /// Sets the device up and copies the weights to it.
    ///
    /// - Parameter progress: called with the share copied, 0...1.
    /// - Throws: `EngineError` of the device or of the checkpoint.
    init(
        deviceIndex: Int32, _ model: ModelConfiguration, _ weights: AscendWeights, _ program: AscendProgram,
        progress: (Double) -> Void
    ) throws(EngineError) {
        (self.model, self.weights, self.program) = (model, weights, program)
        device = try ascend { () throws(AscendError) in try AscendDevice(index: deviceIndex) }
        weightMemory = AscendArena(device, capacity: weights.byteCount)
        stepMemory = AscendArena(device, capacity: Self.largestStepByteCount)
        workspace = AscendArena(device, capacity: Self.largestStepByteCount)
        do {
            try load(progress)
        } catch {
            close(isForced: true)
            throw error
        }
    }

    /// Addresses to reserve for what steps need; memory is put there as it is needed.
    private static let largestStepByteCount = 64 << 30

    /// Gives the device back. `isForced` when it does not answer any more.
    func close(isForced: Bool) {
        device.stop(isForced: isForced)
        for arena in [weightMemory, stepMemory, workspace, keyValueMemory] { arena?.release() }
        hostInputs?.release()
        hostOutputs?.release()
        device.close(isForced: isForced)
    }

    // MARK: - Loading

    private func load(_ progress: (Double) -> Void) throws(EngineError) {
        let memory = try ascend { () throws(AscendError) in try device.memory() }
        guard weights.byteCount < memory.free else {
            throw EngineError(
                .insufficientMemory,
                "the weights take \(weights.byteCount) bytes on the NPU, of which \(memory.free) are free; use "
                    + "--quantization w8a8, a smaller model, or --device cpu")
        }
        try ascend { () throws(AscendError) in try weightMemory.ensure(weights.byteCount) }
        let staging = try ascend { () throws(AscendError) in try AscendHostBuffer(byteCount: Self.stagingByteCount) }
        defer { staging.release() }
        var rows = AscendWeightRows(model)
        var done = 0
        progress(0)
        for entry in weights.entries {
            try upload(entry, &rows, through: staging)
            done += entry.byteCount
            progress(Double(done) / Double(max(1, weights.byteCount)))
        }
    }

    /// Two halves: one is filled while the other is copied.
    private static let stagingByteCount = 32 << 20

    private func upload(
        _ entry: AscendWeights.Entry, _ rows: inout AscendWeightRows, through staging: AscendHostBuffer
    ) throws(EngineError) {
        guard let base = weightMemory.base else { preconditionFailure("weights have memory") }
        let rowByteCount = entry.columns * entry.element.byteCount
        let half = Self.stagingByteCount / 2
        guard rowByteCount <= half else {
            throw EngineError(
                .unsupportedModel, "\(entry.name): rows of \(rowByteCount) bytes; at most \(half) are supported")
        }
        let step = half / rowByteCount
        for (part, first) in stride(from: 0, to: entry.rows, by: step).enumerated() {
            let range = first..<min(entry.rows, first + step)
            let start = part % 2 * half
            let own = UnsafeMutableRawBufferPointer(rebasing: staging.bytes[start..<start + half])
            try rows.write(entry, rows: range, to: own)
            try ascend { () throws(AscendError) in
                guard let source = own.baseAddress else { return }
                try device.synchronize(timeout: Self.timeout)
                try device.upload(
                    source, to: base + entry.offset + range.lowerBound * rowByteCount,
                    count: range.count * rowByteCount)
            }
        }
        try ascend { () throws(AscendError) in try device.synchronize(timeout: Self.timeout) }
    }

    /// Milliseconds until a device that says nothing is taken for lost. The first step loads operators from files.
    static let timeout: Int32 = 120_000

    // MARK: - KV cache

    /// Reserves the KV pool, with nothing in it.
    ///
    /// - Throws: what the runtime returned.
    func allocate(_ cache: AscendCacheShape) throws(AscendError) {
        keyValueMemory?.release()
        let arena = AscendArena(device, capacity: cache.byteCount)
        keyValueMemory = arena
        try arena.ensure(cache.byteCount)
        self.cache = cache
    }

    // MARK: - Steps

    /// What a step left in host memory.
    struct Outputs {
        /// (rows) see `AscendProgram.inverseDeviation`
        let inverseDeviations: UnsafePointer<Float>
        /// (samples, vocabulary) in the pass's type
        let logits: UnsafeRawPointer
        /// (hidden rows, embedding) in the pass's type
        let hiddenStates: UnsafeRawPointer
    }

    /// Computes a step of `size`, which a plan fills or is padded to, and waits for it.
    ///
    /// - Throws: `AscendError`, after which nothing the step wrote is to be trusted.
    func run(_ plan: borrowing StepPlan, _ size: AscendStepSize) throws(AscendError) -> Outputs {
        guard let cache else { preconditionFailure("the KV pool is there before the first step") }
        try device.enter()
        let layout = try reserve(size)
        guard let hostInputs, let source = hostInputs.bytes.baseAddress, let base = stepMemory.base else {
            preconditionFailure("steps have memory")
        }
        plan.write(size, layout, cache, to: hostInputs.bytes)
        try device.upload(source, to: base, count: layout.usedInputByteCount(size))
        var launcher = try launcher(plan, size, layout, cache)
        for call in program.trunk { try launcher.launch(call) }
        if size.samples > 0 { for call in program.head { try launcher.launch(call) } }
        if size.hiddenRows > 0 { for call in program.hidden { try launcher.launch(call) } }
        let outputs = try download(size, layout, launcher.addresses)
        try device.synchronize(timeout: Self.timeout)
        return outputs
    }

    private func launcher(
        _ plan: borrowing StepPlan, _ size: AscendStepSize, _ layout: AscendStepMemory, _ cache: AscendCacheShape
    ) throws(AscendError) -> AscendLauncher {
        guard let weights = weightMemory.base, let keyValues = keyValueMemory?.base, let steps = stepMemory.base else {
            preconditionFailure("everything has memory before the first step")
        }
        let addresses = AscendAddresses(
            weights: weights, weightOffsets: self.weights.entries.map(\.offset),
            activations: steps + layout.inputByteCount, inputs: steps, keyValues: keyValues, cache: cache,
            memory: layout)
        var ends = plan.rowStart.dropFirst().map { Int64($0) }
        var lengths = plan.contextLengths.map { Int64($0) }
        while ends.count < size.sequences {
            ends.append(Int64(plan.rowCount + ends.count + 1 - plan.sequenceCount))
            lengths.append(1)
        }
        return AscendLauncher(
            addresses, size, rowEnds: ends, contextLengths: lengths, epsilon: Double(model.normEpsilon),
            device: device, workspace: workspace)
    }

    /// Makes room for steps of `size`; only one that is larger than all before takes memory, and then twice its own.
    private func reserve(_ size: AscendStepSize) throws(AscendError) -> AscendStepMemory {
        if let layout, layout.holds(size) { return layout }
        let old = layout?.capacity
        var capacity = AscendStepSize(rows: 16, samples: 16, hiddenRows: 1, sequences: 16, blockTableStride: 16)
        if let old { capacity = old }
        capacity.grow(toHold: size)
        let layout: AscendStepMemory
        do throws(EngineError) {
            layout = try AscendStepMemory(program, weights.element, capacity: capacity)
        } catch {
            throw AscendError("a step", code: Int32(ACL_ERROR_RT_MEMORY_ALLOCATION), text: error.message)
        }
        try stepMemory.ensure(layout.inputByteCount + layout.activationByteCount)
        hostInputs?.release()
        hostOutputs?.release()
        (hostInputs, hostOutputs) = (nil, nil)
        hostInputs = try AscendHostBuffer(byteCount: layout.inputByteCount)
        hostOutputs = try AscendHostBuffer(byteCount: outputByteCount(capacity))
        self.layout = layout
        return layout
    }

    private func outputByteCount(_ size: AscendStepSize) -> Int {
        let element = weights.element.byteCount
        return size.rows * MemoryLayout<Float>.stride + size.samples * model.vocabularySize * element
            + size.hiddenRows * model.embeddingLength * element
    }

    private func download(
        _ size: AscendStepSize, _ layout: AscendStepMemory, _ addresses: AscendAddresses
    ) throws(AscendError) -> Outputs {
        guard let target = hostOutputs?.bytes.baseAddress else { preconditionFailure("steps have memory") }
        let element = weights.element.byteCount
        let logits = target + size.rows * MemoryLayout<Float>.stride
        let logitsByteCount = size.samples * model.vocabularySize * element
        let hidden = logits + logitsByteCount
        let hiddenByteCount = size.hiddenRows * model.embeddingLength * element
        let parts = [
            (program.inverseDeviation.place, target, size.rows * MemoryLayout<Float>.stride),
            (program.logits.place, logits, logitsByteCount), (program.wanted.place, hidden, hiddenByteCount),
        ]
        for (place, target, count) in parts where count > 0 {
            try device.download(addresses.address(of: place), to: target, count: count)
        }
        return Outputs(
            inverseDeviations: UnsafePointer(target.assumingMemoryBound(to: Float.self)),
            logits: UnsafeRawPointer(logits), hiddenStates: UnsafeRawPointer(hidden))
    }
}

/// Runs what calls the device while a model is loaded.
func ascend<Result>(_ body: () throws(AscendError) -> Result) throws(EngineError) -> Result {
    do throws(AscendError) { return try body() } catch { throw error.engineError }
}

extension AscendStepSize {
    /// Doubles what is too small for `size`.
    mutating func grow(toHold size: AscendStepSize) {
        func grown(_ own: Int, _ needed: Int) -> Int { needed > own ? max(needed, 2 * own) : own }
        rows = grown(rows, size.rows)
        samples = grown(samples, size.samples)
        hiddenRows = grown(hiddenRows, size.hiddenRows)
        blockTableStride = grown(blockTableStride, size.blockTableStride)
        sequences = grown(sequences, size.sequences)
    }
}
