import LMEngine
import LMSupport

/// `lmserve doctor --npu`: looks at what an NPU needs, and compares its numbers with the processor's.
struct DoctorCommand {
    var model = ModelSettings()
    var looksAtNPU = false

    private static let modelOptions = ["--model", "--dtype", "--quantization", "--quantize-head", "--nz-weights"]

    static var table: OptionTable<DoctorCommand> {
        OptionTable(
            usage: "lmserve doctor --npu [--model PATH|NAME]",
            summary: """
                Looks at the libraries, operators and memory that serving from an Ascend NPU needs, and says of each whether it
                is there. With a model, computes a prompt on the NPU and on the CPU and compares the logits.
                """,
            groups: [
                OptionGroup("What", [.flag("--npu", set: \.looksAtNPU, "the Ascend NPU")]),
                OptionGroup(
                    "Model",
                    ModelSettings.options(at: \DoctorCommand.model).filter { modelOptions.contains($0.names[0]) }),
            ])
    }

    private var hangs: DeviceHang.Watch { HungDevices(engines: 1).watch() }

    func run() throws -> ExitCode {
        guard looksAtNPU else { throw ProgramError.usage("doctor of what? --npu is missing") }
        let diagnosis = try diagnosis()
        var isGood = diagnosis.isGood
        for finding in diagnosis.findings { try write(finding.isGood, finding.subject, finding.text) }
        if isGood && !model.name.isEmpty { isGood = try compare() }
        return isGood ? .success : .failure
    }

    private func diagnosis() throws(ProgramError) -> AscendDiagnosis {
        do throws(EngineError) {
            return try hangs.watching("looking at the NPU") { AscendDiagnosis() }
        } catch {
            throw ProgramError(error)
        }
    }

    private func write(_ isGood: Bool, _ subject: String, _ text: String) throws {
        let column = subject + String(repeating: " ", count: max(0, 24 - subject.count))
        try StandardStream.output.write("\(isGood ? "ok  " : "FAIL")  \(column)  \(text)\n")
    }

    private func compare() throws -> Bool {
        let source = try ModelSource(model)
        let distance: Float
        do throws(EngineError) {
            distance = try self.distance(of: source.checkpoint)
        } catch {
            throw ProgramError(error)
        }
        try write(
            distance < Self.bound, "logits of \(source.name)",
            "at most \(distance) standard deviations from the CPU's; below \(Self.bound) is rounding")
        return distance < Self.bound
    }

    /// The largest difference of logits behind a prompt, in standard deviations.
    private func distance(of checkpoint: any Checkpoint) throws(EngineError) -> Float {
        let npu = try AscendBackend(
            checkpoint: checkpoint, dataType: model.dataType, tiling: model.tiling, hangs: hangs)
        let cpu = try CPUBackend(
            checkpoint: checkpoint, threads: availableProcessorCount(), dataType: model.dataType)
        let workload = BenchWorkload(
            batch: 1, depth: 0, promptLength: 32, generateLength: 1, blockSize: 16,
            vocabularySize: checkpoint.configuration.vocabularySize)
        for backend in [npu, cpu] as [any Backend] {
            try backend.allocateKeyValueCache(blockCount: workload.blockCount, blockSize: 16)
        }
        let plan = workload.prefillPlans(limit: 32)[0]
        let (own, expected) = (try npu.forward(plan)[0], try cpu.forward(plan)[0])
        let mean = expected.reduce(0, +) / Float(expected.count)
        var (squares, largest): (Float, Float) = (0, 0)
        for (own, expected) in zip(own, expected) {
            guard own.isFinite else { return .infinity }
            squares += (expected - mean) * (expected - mean)
            largest = max(largest, abs(own - expected))
        }
        return largest / (squares / Float(expected.count)).squareRoot()
    }

    /// Activations are rounded to 8 bits of mantissa after every operator of an NPU, and not at all on the CPU.
    private static let bound: Float = 0.5
}
