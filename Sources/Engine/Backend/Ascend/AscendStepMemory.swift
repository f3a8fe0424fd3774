/// Where the inputs and activations of steps up to some size lie, and how the inputs look on the host.
struct AscendStepMemory: Sendable {
    /// Sizes that it has room for.
    let capacity: AscendStepSize
    /// Bytes of activations.
    let activationByteCount: Int
    /// Bytes of inputs, on the device as on the host.
    let inputByteCount: Int
    /// Bytes of what the host reads.
    let outputByteCount: Int
    /// Results that there are, and bytes of a row of each.
    private let results: [(activation: AscendActivation, rowByteCount: Int)]
    private var outputs = [Int](repeating: 0, count: AscendActivation.allCases.count)
    private var activations = [Int](repeating: 0, count: AscendActivation.allCases.count)
    private var inputs = [Int](repeating: 0, count: AscendInput.allCases.count)

    /// - Throws: `EngineError.insufficientMemory` for sizes that cannot be.
    init(_ program: AscendProgram, _ element: AscendElement, capacity: AscendStepSize) throws(EngineError) {
        self.capacity = capacity
        results = AscendActivation.results
            .map { ($0, program.widths[$0.rawValue] * $0.element(element).byteCount) }.filter { $0.1 > 0 }
        var layout = AscendArenaLayout()
        let others = AscendActivation.allCases.filter { !AscendActivation.results.contains($0) }
        for activation in AscendActivation.results + others {
            let width = program.widths[activation.rawValue]
            guard width > 0 else { continue }
            activations[activation.rawValue] = try layout.reserve(
                activation.element(element), capacity.count(of: activation.rows), width)
        }
        activationByteCount = layout.byteCount
        var outputLayout = AscendArenaLayout()
        for output in AscendActivation.outputs {
            outputs[output.rawValue] = try outputLayout.reserve(
                output.element(element), capacity.count(of: output.rows), program.widths[output.rawValue])
        }
        outputByteCount = outputLayout.byteCount
        var inputLayout = AscendArenaLayout()
        for input in AscendInput.allCases {
            inputs[input.rawValue] = try inputLayout.reserve(.int32, capacity.count(of: input))
        }
        inputByteCount = inputLayout.byteCount
    }

    /// Bytes before an activation in a step of `size`.
    func offset(of activation: AscendActivation, _ size: AscendStepSize) -> Int {
        resultOffset(of: activation, size) ?? activations[activation.rawValue]
    }

    /// Bytes before a result, on the device as on the host; nil for what is none. They lie as close as they can in a step
    /// of `size`, so that one copy brings what it yields and little else.
    private func resultOffset(of activation: AscendActivation, _ size: AscendStepSize) -> Int? {
        var offset = 0
        for result in results {
            if result.activation == activation { return offset }
            offset += AscendArenaLayout.room(for: size.count(of: result.activation.rows) * result.rowByteCount)
        }
        return nil
    }

    /// Bytes before an input.
    func offset(of input: AscendInput) -> Int { inputs[input.rawValue] }

    /// Bytes before an output in the host's memory in a step of `size`.
    func outputOffset(of output: AscendActivation, _ size: AscendStepSize) -> Int {
        resultOffset(of: output, size) ?? outputs[output.rawValue]
    }

    /// Where the results of a step of `size` lie, on the device as on the host.
    func resultBytes(_ size: AscendStepSize, _ findings: AscendFindings) -> Range<Int> {
        let end = offset(of: .inverseDeviation, size) + size.rows * AscendElement.float32.byteCount
        return offset(of: findings.firstResult, size)..<end
    }

    /// Whether a step of `size` fits.
    func holds(_ size: AscendStepSize) -> Bool {
        size.rows <= capacity.rows && size.samples <= capacity.samples && size.hiddenRows <= capacity.hiddenRows
            && size.sequences <= capacity.sequences && size.blockTableStride <= capacity.blockTableStride
    }

    /// Bytes from the first input of a step of `size` to the end of its last.
    func usedInputByteCount(_ size: AscendStepSize) -> Int {
        offset(of: .blockTables) + size.sequences * size.blockTableStride * AscendElement.int32.byteCount
    }
}

extension StepPlan {
    /// Writes the plan's arrays to `target`, which is laid out like the device's, and pads them to `size`.
    ///
    /// Rows of padding have token 0 at position 0, belong each to a sequence of its own, and write to slots that no other
    /// sequence owns.
    func write(
        _ size: AscendStepSize, _ memory: AscendStepMemory, _ cache: AscendCacheShape,
        to target: UnsafeMutableRawBufferPointer
    ) {
        precondition(memory.holds(size) && target.count >= memory.inputByteCount)
        func array(_ input: AscendInput) -> UnsafeMutablePointer<Int32> {
            guard let base = target.baseAddress else { preconditionFailure("inputs without memory") }
            return (base + memory.offset(of: input)).assumingMemoryBound(to: Int32.self)
        }
        let (tokenArray, positionArray, slotArray) = (array(.tokens), array(.positions), array(.slots))
        for row in 0..<size.rows {
            let isPadding = row >= rowCount
            tokenArray[row] = isPadding ? 0 : tokens[row]
            positionArray[row] = isPadding ? 0 : positions[row]
            slotArray[row] = isPadding ? Int32(cache.spareSlot + row - rowCount) : slots[row]
        }
        let sampled = array(.sampledRows)
        for sample in 0..<size.samples { sampled[sample] = sample < samples.count ? samples[sample].row : 0 }
        let factors = UnsafeMutableRawPointer(array(.temperatureFactors)).assumingMemoryBound(to: Float.self)
        for sample in 0..<size.samples {
            factors[sample] = sample < samples.count ? samples[sample].parameters.temperatureFactor : 1
        }
        let wanted = array(.hiddenRows)
        for (index, row) in hiddenRows.enumerated() { wanted[index] = row }
        let tables = array(.blockTables)
        for sequence in 0..<size.sequences {
            let spare = Int32((cache.spareSlot + max(0, sequence - sequenceCount)) / cache.blockSize)
            for entry in 0..<size.blockTableStride {
                let isOwned = sequence < sequenceCount && entry < blockTableStride
                let block = isOwned ? blockTables[sequence * blockTableStride + entry] : spare
                // Entries that no length reaches name a block all the same.
                tables[sequence * size.blockTableStride + entry] = block < 0 ? spare : block
            }
        }
    }
}

extension SamplingParameters {
    /// What logits are multiplied by; 1 where they are taken as they are.
    fileprivate var temperatureFactor: Float { isGreedy ? 1 : 1 / temperature }
}

extension AscendStepSize {
    /// What an extent counts in a step.
    func count(of extent: AscendExtent) -> Int {
        switch extent {
        case .rows: rows
        case .rowsTimes(let count): rows * count
        case .rankRows(let ranks): rows / ranks
        case .samples: samples
        case .hiddenRows: hiddenRows
        case .sequences: sequences
        case .blockTableStride: blockTableStride
        case .fixed(let count): count
        case .blocks, .blockSize: preconditionFailure("the same in every step")
        }
    }

    /// Elements of an input.
    func count(of input: AscendInput) -> Int {
        switch input {
        case .tokens, .positions, .slots: rows
        case .sampledRows, .temperatureFactors: samples
        case .hiddenRows: hiddenRows
        case .blockTables: sequences * blockTableStride
        }
    }
}
