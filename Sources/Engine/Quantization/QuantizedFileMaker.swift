internal import Glibc

/// Finds a file of quantized matrices that was made before, or makes it.
struct QuantizedFileMaker {
    let base: any Checkpoint
    let layout: QuantizedFile
    /// As in `W8A8Checkpoint.Options`.
    let calibrationText: String?
    let team: ThreadTeam

    /// Finding the factors and using them take about as long.
    private static let calibrationShare = 0.5

    /// - Parameters:
    ///   - places: where the file may be, the best place first.
    ///   - progress: called on this thread with the share of the work done, 0...1.
    /// - Returns: the file, where it came from, and why an earlier one was not used.
    func file(
        _ places: [String], _ progress: (Double) -> Void
    ) throws(EngineError) -> (MappedFile, W8A8Checkpoint.Origin, rejected: String?) {
        var rejected: String?
        for place in places {
            guard access(place, F_OK) == 0, let file = try? MappedFile(path: place) else { continue }
            guard let problem = layout.problem(with: file, team: team) else { return (file, .kept(place), rejected) }
            rejected = "\(place) is not used: \(problem)"
        }
        progress(0)
        let smoothing = try calibrationText.map { text throws(EngineError) in
            let calibration = try Calibration(base, text: text, team: team)
            return try calibration.run { progress($0 * Self.calibrationShare) }
        }
        for place in places {
            Self.makeFolder(of: place)
            guard let writer = QuantizedFileWriter(layout, path: place) else { continue }
            if let file = try write(writer, smoothing, progress) { return (file, .made(place), rejected) }
        }
        let writer = try QuantizedFileWriter(inMemory: layout)
        guard let file = try write(writer, smoothing, progress) else { preconditionFailure("memory has room") }
        return (file, .madeInMemory, rejected)
    }

    /// - Returns: nil when there is no room.
    private func write(
        _ writer: consuming QuantizedFileWriter, _ smoothing: Smoothing?, _ progress: (Double) -> Void
    ) throws(EngineError) -> MappedFile? {
        let total = max(1, layout.entries.reduce(0) { $0 + $1.weightByteCount })
        let quantizer = WeightQuantizer(team: team, largest: layout.entries.map(\.weightByteCount).max() ?? 0)
        let begin = smoothing == nil ? 0 : Self.calibrationShare
        var done = 0
        for entry in layout.entries {
            let record: QuantizationRecord
            do throws(EngineError) {
                record = try quantizer.quantize(
                    entry.tensor, layer: entry.role.layer, columnFactors: smoothing?.columnFactors(entry.role),
                    rowDivisors: smoothing?.rowFactors(entry.role))
            } catch {
                writer.abandon()
                throw error
            }
            guard writer.write(quantizer.weights, scales: quantizer.scales, record: record) else {
                writer.abandon()
                return nil
            }
            entry.tensor.discard()
            done += entry.weightByteCount
            progress(begin + (1 - begin) * Double(done) / Double(total))
        }
        let isComplete = smoothing.map { writer.write($0) } ?? true
        if isComplete, let file = writer.finish() { return file }
        writer.abandon()
        return nil
    }

    private static func makeFolder(of path: String) {
        guard let slash = path.lastIndex(of: "/"), slash > path.startIndex else { return }
        let folder = String(path[..<slash])
        guard access(folder, F_OK) != 0 else { return }
        makeFolder(of: folder)
        mkdir(folder, 0o755)
    }
}
