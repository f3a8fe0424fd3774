internal import CAscend

/// Device and host memory of steps, one after the other.
final class AscendStepArena {
    private(set) var layout: AscendStepMemory?
    private let arena: AscendArena
    private let program: AscendProgram
    private let element: AscendElement
    private let device: AscendDevice
    private var hostInputs: AscendHostBuffer?
    private var hostOutputs: AscendHostBuffer?
    private var smallest: AscendStepSize

    /// - Parameter smallest: what there shall be room for in any case.
    init(_ device: AscendDevice, _ program: AscendProgram, _ element: AscendElement, smallest: AscendStepSize) {
        (self.device, self.program, self.element, self.smallest) = (device, program, element, smallest)
        arena = AscendArena(device, capacity: Self.largestByteCount)
    }

    /// Addresses to reserve; memory is put there as it is needed.
    static let largestByteCount = 8 << 30

    /// Where inputs, and behind them activations, begin on the device.
    var base: UnsafeMutableRawPointer {
        guard let base = arena.base else { preconditionFailure("room was made") }
        return base
    }

    /// Gives everything back.
    func release() {
        arena.release()
        hostInputs?.release()
        hostOutputs?.release()
        (hostInputs, hostOutputs, layout) = (nil, nil, nil)
    }

    /// Makes room for steps of `size`; only one that is larger than all before takes memory, and then twice its own.
    ///
    /// - Returns: whether everything is where it was.
    /// - Throws: what the runtime returned.
    func reserve(_ size: AscendStepSize) throws(AscendError) -> Bool {
        if let layout, layout.holds(size) { return true }
        var capacity = layout?.capacity ?? smallest
        capacity.grow(toHold: size)
        let layout: AscendStepMemory
        do throws(EngineError) {
            layout = try AscendStepMemory(program, element, capacity: capacity)
        } catch {
            throw AscendError("a step", code: Int32(ACL_ERROR_RT_MEMORY_ALLOCATION), text: error.message)
        }
        try arena.ensure(layout.inputByteCount + layout.activationByteCount)
        hostInputs?.release()
        hostOutputs?.release()
        (hostInputs, hostOutputs, self.layout) = (nil, nil, nil)
        hostInputs = try AscendHostBuffer(byteCount: layout.inputByteCount)
        hostOutputs = try AscendHostBuffer(byteCount: layout.outputByteCount)
        self.layout = layout
        return false
    }

    /// Writes a plan's arrays where `upload` copies from; no step may be under way.
    func write(_ plan: borrowing StepPlan, _ size: AscendStepSize, _ cache: AscendCacheShape) {
        guard let layout, let hostInputs else { preconditionFailure("room was made") }
        plan.write(size, layout, cache, to: hostInputs.bytes)
    }

    /// Puts the copy of a plan's arrays on the stream.
    ///
    /// - Throws: what the runtime returned.
    func upload(_ size: AscendStepSize) throws(AscendError) {
        guard let layout, let source = hostInputs?.bytes.baseAddress else { preconditionFailure("room was made") }
        try device.upload(source, to: base, count: layout.usedInputByteCount(size))
    }

    /// Puts the copy of what a step yields besides logits and hidden states on the stream.
    ///
    /// - Throws: what the runtime returned.
    func downloadResults(_ size: AscendStepSize, _ findings: AscendFindings) throws(AscendError) {
        guard let layout, let target = hostOutputs?.bytes.baseAddress else { preconditionFailure("room was made") }
        let bytes = layout.resultBytes(size, findings)
        try device.download(
            base + layout.inputByteCount + bytes.lowerBound, to: target + bytes.lowerBound, count: bytes.count)
    }

    /// Puts the copy of rows of logits or hidden states on the stream.
    ///
    /// - Throws: what the runtime returned.
    func download(_ output: AscendActivation, rows: Range<Int>, _ size: AscendStepSize) throws(AscendError) {
        guard let layout, let target = hostOutputs?.bytes.baseAddress else { preconditionFailure("room was made") }
        let rowByteCount = program.widths[output.rawValue] * output.element(element).byteCount
        guard !rows.isEmpty, rowByteCount > 0 else { return }
        let start = rows.lowerBound * rowByteCount
        try device.download(
            base + layout.inputByteCount + layout.offset(of: output, size) + start,
            to: target + layout.outputOffset(of: output, size) + start, count: rows.count * rowByteCount)
    }

    /// Where the outputs of a step of `size` are once the stream was waited for.
    func outputs(_ size: AscendStepSize) -> AscendOutputs {
        guard let layout, let target = hostOutputs?.bytes.baseAddress else { preconditionFailure("room was made") }
        func place(_ output: AscendActivation) -> UnsafeRawPointer {
            UnsafeRawPointer(target + layout.outputOffset(of: output, size))
        }
        let logSums = place(.logSums).assumingMemoryBound(to: Float.self)
        return AscendOutputs(
            inverseDeviations: place(.inverseDeviation).assumingMemoryBound(to: Float.self),
            likeliest: place(.likeliest).assumingMemoryBound(to: Int32.self),
            candidateTokens: place(.candidateTokens).assumingMemoryBound(to: Int64.self),
            candidateLogits: place(.candidateLogits), logSums: logSums, temperedLogSums: logSums + size.samples,
            logits: place(.logits), hiddenStates: place(.wanted))
    }
}

/// What a step left in host memory, until the next one.
struct AscendOutputs {
    /// (rows) see `AscendProgram.inverseDeviation`
    let inverseDeviations: UnsafePointer<Float>
    /// (samples)
    let likeliest: UnsafePointer<Int32>
    /// (samples, candidates) the tokens of a row's largest logits, if they were asked for
    let candidateTokens: UnsafePointer<Int64>
    /// (samples, candidates) these logits in the pass's type
    let candidateLogits: UnsafeRawPointer
    /// (samples) see `LogSums`, if they were asked for
    let logSums: UnsafePointer<Float>
    let temperedLogSums: UnsafePointer<Float>
    /// (samples, vocabulary) in the pass's type; of rows for which they were asked
    let logits: UnsafeRawPointer
    /// (hidden rows, embedding) in the pass's type
    let hiddenStates: UnsafeRawPointer
}

extension AscendActivation {
    /// Those that the host reads after every step, behind those of steps that sample, as `AscendFindings` has them; they lie
    /// first, side by side, so that one copy brings them. Of the last no more than its first column is copied.
    static let results: [AscendActivation] = [
        .logSums, .candidateTokens, .candidateLogits, .likeliest, .inverseDeviation,
    ]
    /// Those that the host reads.
    static let outputs: [AscendActivation] = results + [.logits, .wanted]
}

extension AscendFindings {
    /// The first of the results that are copied.
    var firstResult: AscendActivation {
        switch self {
        case .likeliest: .likeliest
        case .candidates: .candidateTokens
        case .sums: .logSums
        }
    }
}

extension AscendStepSize {
    /// Doubles what is too small for `size`.
    fileprivate mutating func grow(toHold size: AscendStepSize) {
        func grown(_ own: Int, _ needed: Int) -> Int { needed > own ? max(needed, 2 * own) : own }
        rows = grown(rows, size.rows)
        samples = grown(samples, size.samples)
        hiddenRows = grown(hiddenRows, size.hiddenRows)
        blockTableStride = grown(blockTableStride, size.blockTableStride)
        sequences = grown(sequences, size.sequences)
    }
}
