/// How a session's weights come to its device.
extension AscendSession {
    /// Copies the weights, and turns those that lie in tiles into these.
    ///
    /// - Throws: `EngineError` of the device or of the checkpoint.
    func load(_ progress: (Double) -> Void) throws(EngineError) {
        let memory = try ascend { () throws(AscendError) in try device.memory() }
        guard weights.byteCount + weights.largestTiledByteCount < memory.free else {
            throw EngineError(
                .insufficientMemory,
                "the weights take \(weights.byteCount) bytes on the NPU, and \(weights.largestTiledByteCount) more while "
                    + "they are loaded; \(memory.free) are free; use --quantization w8a8, a smaller model, or "
                    + "--device cpu")
        }
        try ascend { () throws(AscendError) in try weightMemory.ensure(weights.byteCount) }
        let staging = try ascend { () throws(AscendError) in try AscendHostBuffer(byteCount: Self.stagingByteCount) }
        defer { staging.release() }
        // Conversions work in about as much memory as a matrix takes, which is of no use afterwards.
        let largest = weights.largestTiledByteCount
        let scratch = largest > 0 ? AscendArena(device, capacity: 4 * largest + Self.stagingByteCount) : nil
        defer { scratch?.release() }
        var rows = AscendWeightRows(model)
        var done = 0
        progress(0)
        for entry in weights.entries {
            for piece in entry.pieces {
                try upload(entry, piece, &rows, through: staging)
                guard let tiles = entry.tiles, let scratch, let base = weightMemory.base else { continue }
                try ascend { () throws(AscendError) in
                    try AscendTiler(device, workspace: scratch).tile(tiles, at: base + piece.offset)
                }
            }
            done += entry.byteCount
            progress(Double(done) / Double(max(1, weights.byteCount)))
        }
        try ascend { () throws(AscendError) in try device.synchronize(timeout: Self.timeout) }
    }

    /// Two halves: one is filled while the other is copied.
    private static let stagingByteCount = 32 << 20

    private func upload(
        _ entry: AscendWeights.Entry, _ piece: (rows: Range<Int>, offset: Int), _ rows: inout AscendWeightRows,
        through staging: AscendHostBuffer
    ) throws(EngineError) {
        guard let base = weightMemory.base else { preconditionFailure("weights have memory") }
        let rowByteCount = entry.columns * entry.element.byteCount
        let half = Self.stagingByteCount / 2
        guard rowByteCount <= half else {
            throw EngineError(
                .unsupportedModel, "\(entry.name): rows of \(rowByteCount) bytes; at most \(half) are supported")
        }
        let step = half / rowByteCount
        for (part, first) in stride(from: piece.rows.lowerBound, to: piece.rows.upperBound, by: step).enumerated() {
            let range = first..<min(piece.rows.upperBound, first + step)
            let start = part % 2 * half
            let own = UnsafeMutableRawBufferPointer(rebasing: staging.bytes[start..<start + half])
            try rows.write(entry, rows: range, to: own)
            try ascend { () throws(AscendError) in
                guard let source = own.baseAddress else { return }
                try device.synchronize(timeout: Self.timeout)
                try device.upload(
                    source, to: base + piece.offset + (first - piece.rows.lowerBound) * rowByteCount,
                    count: range.count * rowByteCount)
            }
        }
        try ascend { () throws(AscendError) in try device.synchronize(timeout: Self.timeout) }
    }
}
