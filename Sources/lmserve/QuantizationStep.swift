import LMEngine
import LMSupport

/// Quantizes a model as the command line asks, and says what came of it.
struct QuantizationStep {
    private let settings: ModelSettings
    private let name: String

    private static let calibrationByteLimit = 1 << 20

    /// - Parameter name: the model's, for what is shown meanwhile.
    init(_ settings: ModelSettings, name: String) {
        (self.settings, self.name) = (settings, name)
    }

    /// The model as it is to be run.
    func apply(to checkpoint: any Checkpoint) throws(ProgramError) -> any Checkpoint {
        guard try isAskedFor() else { return checkpoint }
        let quantized = try quantize(checkpoint)
        describe(quantized)
        if let file = settings.quantizationReportFile { try write(quantized.records, to: file) }
        return quantized
    }

    /// The model as it would be run, for its sizes alone.
    func outline(of checkpoint: any Checkpoint) throws(ProgramError) -> any Checkpoint {
        guard try isAskedFor() else { return checkpoint }
        let options = try options()
        do {
            return try W8A8Outline(checkpoint, options)
        } catch {
            throw ProgramError(error)
        }
    }

    private func isAskedFor() throws(ProgramError) -> Bool {
        guard settings.quantization != .w8a8 else { return true }
        guard !settings.quantizesHead, settings.quantizationReportFile == nil, settings.calibration == nil else {
            throw .usage("--quantize-head, --calibration and --quantization-report need --quantization w8a8")
        }
        return false
    }

    private func options() throws(ProgramError) -> W8A8Checkpoint.Options {
        var options = W8A8Checkpoint.Options()
        options.includesHead = settings.quantizesHead
        options.cacheFolder = ModelSource.cacheFolder.map { $0 + "/quantized" }
        options.threads = settings.threads ?? availableProcessorCount()
        switch settings.calibration {
        case nil: break
        case "none": options.calibrationText = nil
        case let file?:
            let bytes = try InputText.bytes(of: file, limit: Self.calibrationByteLimit)
            options.calibrationText = try InputText.text(bytes, source: file)
        }
        return options
    }

    private func quantize(_ checkpoint: any Checkpoint) throws(ProgramError) -> W8A8Checkpoint {
        let options = try options()
        let progress = ProgressLine()
        defer { progress.clear() }
        do {
            return try W8A8Checkpoint(checkpoint, options: options) { fraction in
                progress.show("quantizing \(name): \(Int(fraction * 100)) %")
            }
        } catch {
            throw ProgramError(error)
        }
    }

    private func describe(_ quantized: W8A8Checkpoint) {
        if let rejected = quantized.rejected { StandardStream.error.note(rejected) }
        switch quantized.origin {
        case .kept(let path): StandardStream.error.note("quantization: w8a8 from \(path)")
        case .made(let path): StandardStream.error.note("quantization: w8a8, kept in \(path)")
        case .madeInMemory:
            StandardStream.error.note(
                "quantization: w8a8, not kept: neither the model's folder nor the cache can be written to")
        }
        let worst = quantized.records.min { $0.cosine < $1.cosine }
        let largest = quantized.records.max { $0.largestError < $1.largestError }
        guard let worst, let largest else { return }
        StandardStream.error.note(
            "quantization: \(quantized.records.count) matrices, lowest cosine \(worst.cosine) in \(worst.name), "
                + "largest error \(largest.largestError) in \(largest.name)")
    }

    private func write(_ records: [QuantizationRecord], to path: String) throws(ProgramError) {
        let rows = records.map { record in
            JSONValue.object([
                "tensor": .string(record.name), "layer": record.layer.map { .integer($0) } ?? .null,
                "cosine": .number(Double(record.cosine)), "max_abs_error": .number(Double(record.largestError)),
            ])
        }
        let report = JSONValue.object(["scheme": .string("w8a8"), "tensors": .array(rows)])
        try saveText(JSONText.pretty(report) + "\n", to: path)
    }
}
