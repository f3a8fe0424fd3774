internal import CAscend

/// What chips without attention over grouped heads must know of a step's rows on the host.
struct AscendStepRows {
    /// Where the key and value of each row go.
    private let slots: [Int32]
    /// Tokens that each row sees, its own included.
    fileprivate let lengths: [Int64]

    /// Those of a plan of which every row is a sequence of its own.
    init(_ plan: borrowing StepPlan) {
        slots = plan.slots
        lengths = plan.contextLengths.map { Int64($0) }
    }

    /// Rows that go to slots which follow each other, as many at a time as there are.
    var runs: [(row: Int, slot: Int, count: Int)] {
        var runs: [(row: Int, slot: Int, count: Int)] = []
        for (row, slot) in slots.enumerated() {
            if let last = runs.last, last.slot + last.count == Int(slot) {
                runs[runs.count - 1].count += 1
            } else {
                runs.append((row, Int(slot), 1))
            }
        }
        return runs
    }
}

extension StepPlan {
    /// The same rows, each as a sequence of its own that sees what it saw: once keys and values are in the cache, a row of a
    /// prompt attends as one that decodes.
    func apart() -> StepPlan {
        var plan = self
        plan.rowStart = (0...Int32(rowCount)).map(\.self)
        plan.contextLengths = positions.map { $0 + 1 }
        plan.blockTables.removeAll(keepingCapacity: true)
        for sequence in 0..<sequenceCount {
            let table = blockTables[sequence * blockTableStride..<(sequence + 1) * blockTableStride]
            for _ in rowStart[sequence]..<rowStart[sequence + 1] { plan.blockTables += table }
        }
        plan.adapters.removeAll()
        return plan
    }
}

extension AscendLauncher {
    /// Copies keys, or values, to their slots.
    ///
    /// - Throws: what the operator or the runtime returned.
    mutating func launchCopies(
        _ source: AscendTensor, to cache: AscendTensor, _ rows: AscendStepRows
    ) throws(AscendError) {
        let width = cache.shape[2...].reduce(1) { $0 * Int(addresses.length(of: $1, size)) }
        for run in rows.runs {
            let shape: [AscendExtent] = [.fixed(run.count), .fixed(width)]
            var (target, source) = (cache.reshaped(shape), source.reshaped(shape))
            (target.offset, source.offset) = (run.slot * width, run.row * width)
            try launchCopy(target, source)
        }
    }

    /// Attention of each row by itself, so many at a time as the operator takes.
    ///
    /// - Throws: what the operator or the runtime returned.
    mutating func launch(_ attention: AscendAttention, _ rows: AscendStepRows) throws(AscendError) {
        precondition(attention.headCount == attention.keyValueHeadCount, "every query has a key of its own")
        let width = attention.query.shape[1...].reduce(1) { $0 * Int(addresses.length(of: $1, size)) }
        let count = rows.lengths.count
        for start in stride(from: 0, to: count, by: AscendChip.largestBatch) {
            let part = start..<min(count, start + AscendChip.largestBatch)
            func some(_ tensor: AscendTensor, _ width: Int, _ shape: [AscendExtent]) -> AscendTensor {
                var view = tensor.reshaped([.fixed(part.count)] + shape)
                view.offset = part.lowerBound * width
                return view
            }
            let query: OpaquePointer = try make(some(attention.query, width, [1, .fixed(width)]))
            let out: OpaquePointer = try make(some(attention.out, width, [1, .fixed(width)]))
            let stride = size.blockTableStride
            let blocks: OpaquePointer = try make(some(attention.blockTables, stride, [.fixed(stride)]))
            let (keys, values) = (try makeList(attention.keyCache), try makeList(attention.valueCache))
            let lengths = try AscendIntegers(Array(rows.lengths[part]))
            let table = libraries.operators
            try operators.run(
                "aclnnIncreFlashAttentionV4", table.aclnnIncreFlashAttentionV4GetWorkspaceSize,
                table.aclnnIncreFlashAttentionV4
            ) {
                $0(
                    query, keys, values, nil, nil, lengths.object, nil, nil, nil, nil, nil, nil, nil, blocks, nil,
                    Int64(attention.headCount), attention.scale, Self.rowLayout, 0, Int64(addresses.cache.blockSize), 0,
                    out, $1, $2)
            }
            objects.destroy()
        }
    }

    /// A batch of rows, heads side by side. Attributes must stay where they are behind stage 1.
    private static nonisolated(unsafe) let rowLayout: UnsafeMutablePointer<CChar> = {  // never written after this
        let text = UnsafeMutablePointer<CChar>.allocate(capacity: 4)
        for (index, byte) in "BSH".utf8.enumerated() { text[index] = CChar(byte) }
        text[3] = 0
        return text
    }()
}
