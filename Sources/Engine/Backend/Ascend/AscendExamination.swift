/// The self-test of devices that are suspected, or were set up anew: samples of the weights against the checkpoint, then a
/// small step whose numbers must be finite. It changes nothing that sequences have.
extension AscendGroup {
    /// Which weight, or which of those in tiles, is not as it was copied; nil when none was found.
    ///
    /// - Throws: `EngineError` when a device cannot even be asked.
    func findDamage(ofTilesAlone: Bool = false) throws(EngineError) -> String? {
        let damaged = onAllRanks { (session) throws(EngineError) in
            try session.damagedWeight { $0.tiles != nil || !ofTilesAlone }
        }
        for (rank, result) in damaged.enumerated() {
            guard let name = try result.get() else { continue }
            let place = damaged.count == 1 ? "the device" : "NPU \(rank) of \(damaged.count)"
            return "\(name) is in the memory of \(place) not as it was copied there"
        }
        return nil
    }

    /// What is wrong; nil when nothing was found.
    ///
    /// - Throws: `EngineError` when a device cannot even be asked.
    func findFault(_ cache: AscendCacheShape, vocabularySize: Int, contextLength: Int) throws(EngineError) -> String? {
        if let damage = try findDamage() { return damage }
        let plan = StepPlan.examination(cache, vocabularySize: vocabularySize, contextLength: contextLength)
        let outputs = try ascend { () throws(AscendError) in try run(plan, AscendDemand(), batch: nil) }
        let row = (0..<plan.rowCount).first { !outputs.isFinite(row: $0) }
        return row.map { "a small step yields numbers that are not finite, in row \($0)" }
    }
}

extension AscendSession {
    /// The name of a weight that is not as it was copied, of rows of each that are drawn by lot; nil when none is found.
    ///
    /// - Throws: `EngineError` of the device or of the checkpoint.
    fileprivate func damagedWeight(
        among isIncluded: (AscendWeights.Entry) -> Bool
    ) throws(EngineError) -> String? {
        let samples = weights.entries.filter(isIncluded).map { WeightSample($0) }
        let largest = samples.map(\.byteCount).max() ?? 0
        let expected = UnsafeMutableRawBufferPointer.allocate(byteCount: largest, alignment: 64)
        let plain = UnsafeMutableRawBufferPointer.allocate(
            byteCount: samples.map(\.plainByteCount).max() ?? 0, alignment: 64)
        defer {
            expected.deallocate()
            plain.deallocate()
        }
        let found = try ascend { () throws(AscendError) -> AscendHostBuffer in
            try device.enter()
            return try AscendHostBuffer(byteCount: largest)
        }
        defer { found.release() }
        var rows = AscendWeightRows(model)
        for sample in samples {
            if let tiles = sample.entry.tiles {
                try rows.write(sample.entry, rows: sample.rows, to: plain)
                tiles.writeTiles(of: UnsafeRawBufferPointer(plain), rowCount: sample.rows.count, to: expected)
            } else {
                try rows.write(sample.entry, rows: sample.rows, to: expected)
            }
            try ascend { () throws(AscendError) in try download(sample, to: found) }
            let isSame = expected.prefix(sample.byteCount).elementsEqual(found.bytes.prefix(sample.byteCount))
            guard isSame else { return sample.entry.name }
        }
        return nil
    }

    private func download(_ sample: WeightSample, to target: AscendHostBuffer) throws(AscendError) {
        guard let base = weightMemory.base, let target = target.bytes.baseAddress else { return }
        for run in sample.runs {
            try device.download(base + run.offset, to: target + run.place, count: run.byteCount)
        }
        try device.synchronize(timeout: Self.timeout)
    }
}

/// Some rows of a weight: of one in tiles whole rows of these.
private struct WeightSample {
    let entry: AscendWeights.Entry
    let rows: Range<Int>
    /// Where it lies: bytes before each run of bytes among all weights, and before it in the sample.
    let runs: [(offset: Int, place: Int, byteCount: Int)]

    private static let largestByteCount = 64 << 10

    var byteCount: Int { runs.reduce(0) { $0 + $1.byteCount } }
    /// Bytes of the rows themselves.
    var plainByteCount: Int { rows.count * entry.columns * entry.element.byteCount }

    init(_ entry: AscendWeights.Entry) {
        self.entry = entry
        if let tiles = entry.tiles {
            let count = min(tiles.down, max(1, Self.largestByteCount / (tiles.across * AscendTileShape.byteCount)))
            let row = Int.random(in: 0...tiles.down - count)
            let piece = entry.pieces[Int.random(in: 0..<tiles.matrices)]
            let first = piece.rows.lowerBound + row * AscendTileShape.height
            rows = first..<min(first + count * AscendTileShape.height, piece.rows.upperBound)
            let byteCount = count * AscendTileShape.byteCount
            runs = (0..<tiles.across).map {
                (piece.offset + tiles.offset(across: $0, down: row), $0 * byteCount, byteCount)
            }
            return
        }
        let rowByteCount = entry.columns * entry.element.byteCount
        let count = min(entry.rows, max(1, Self.largestByteCount / max(1, rowByteCount)))
        let first = Int.random(in: 0...entry.rows - count)
        rows = first..<first + count
        runs = [(entry.offset + first * rowByteCount, 0, count * rowByteCount)]
    }
}

extension StepPlan {
    /// A text of tokens from all over the vocabulary, in a block that no sequence owns.
    fileprivate static func examination(
        _ cache: AscendCacheShape, vocabularySize: Int, contextLength: Int
    ) -> StepPlan {
        let count = min(cache.blockSize, contextLength, 16)
        var plan = StepPlan()
        for row in 0..<count {
            plan.tokens.append(Int32(row * vocabularySize / count))
            plan.positions.append(Int32(row))
            plan.slots.append(Int32(cache.spareSlot + row))
        }
        plan.rowStart.append(Int32(count))
        plan.contextLengths.append(Int32(count))
        plan.blockTables.append(Int32(cache.spareSlot / cache.blockSize))
        plan.blockTableStride = 1
        var greedy = SamplingParameters()
        (greedy.temperature, greedy.seed) = (0, 0)
        plan.samples.append(
            SampleTask(
                row: Int32(count - 1), parameters: greedy, history: plan.tokens, promptLength: count, bannedTokens: []))
        return plan
    }
}
