internal import CKernels

/// Runs models on the processor: quantized weights against 8-bit activations, float weights and a paged KV cache of a
/// chosen type, a fixed team of threads.
///
/// Equal rows give equal bits whatever shares the step, however prompts are cut into steps and whatever the number of
/// threads: every sum has one fixed order, over inputs for matrices and over context positions for attention.
public final class CPUBackend: Backend, @unchecked Sendable {  // after init: used by one thread at a time
    private let model: ModelConfiguration
    private let team: ThreadTeam
    private let forwardPass: ForwardPass
    private let sampling: SamplingStage
    private let keyValueType: TensorType

    /// Adapters that plans may name.
    public let adapterCount: Int

    /// Packs the weights for this processor; the checkpoint's bytes are read once.
    ///
    /// - Parameters:
    ///   - threads: at least 1, the caller of `execute` being one of them; more than there are cores is slower.
    ///   - dataType: of float weights, keys and values.
    ///   - keyValueDataType: of keys and values, if not that.
    ///   - adapters: what plans may add to the model, in their order; kept in float32.
    ///   - progress: called on this thread with the share of weights packed, 0...1.
    /// - Throws: `EngineError.invalidModel`, `unsupportedModel`, `insufficientMemory` or `backend`.
    public init(
        checkpoint: any Checkpoint, threads: Int, dataType: DataType = .auto,
        keyValueDataType: KeyValueDataType = .auto, adapters: [Adapter] = [],
        progress: (Double) -> Void = { _ in }
    ) throws(EngineError) {
        model = checkpoint.configuration
        team = try ThreadTeam(threads: threads)
        keyValueType = try keyValueDataType.stored(checkpoint, floats: dataType)
        let weights = try PackedWeights(
            checkpoint: checkpoint, dataType: dataType, adapters: adapters.map(checkpoint.fitted), team: team,
            progress: progress)
        adapterCount = adapters.count
        forwardPass = try ForwardPass(model, weights: weights, threads: team.count)
        sampling = SamplingStage(vocabularySize: model.vocabularySize, threads: team.count)
    }

    /// Instruction set, threads and the type of keys and values.
    public var summary: String {
        "CPU, \(String(cString: ck_level_name(ck_current()))), \(team.count) thread\(team.count == 1 ? "" : "s"), "
            + "\(keyValueType.dataTypeName) KV cache"
    }

    /// Bytes of KV cache that one token takes.
    public var keyValueBytesPerToken: Int { Self.keyValueBytesPerToken(of: model, keyValueType) }

    /// Reserves the pool; pages take memory when they are first written.
    ///
    /// - Throws: `EngineError.insufficientMemory`; `EngineError.backend` for a block size that is no multiple of 16.
    public func allocateKeyValueCache(blockCount: Int, blockSize: Int) throws(EngineError) {
        forwardPass.cache = try PagedCache(model, type: keyValueType, blockCount: blockCount, blockSize: blockSize)
    }

    /// Runs the forward pass and samples. Token ids, slots and block tables must be in range: the engine checked them.
    public func execute(_ plan: borrowing StepPlan, into result: inout StepResult) throws(EngineError) {
        result.removeAll()
        guard plan.rowCount > 0 else { return }
        let logits = try forwardPass.run(plan, team: team)
        for fault in forwardPass.faults(rowCount: plan.rowCount) {
            result.faults.append(
                StepResult.Fault(row: Int32(fault.row), keyValueType.nonFiniteKeyValues(layer: fault.layer)))
        }
        forwardPass.appendHiddenStates(count: plan.hiddenRows.count, to: &result.hiddenStates)
        guard !plan.samples.isEmpty else { return }
        let (stride, width) = (ForwardStep.padded(model.vocabularySize), model.vocabularySize)
        sampling.sample(plan.samples, team: team, into: &result) { row, _ in
            .logits(UnsafeMutableBufferPointer(start: logits + row * stride, count: width))
        }
    }

    /// The logits of `plan.samples`, in order, without sampling: for comparison with other back ends.
    package func forward(_ plan: borrowing StepPlan) throws(EngineError) -> [[Float]] {
        let logits = try forwardPass.run(plan, team: team)
        let stride = ForwardStep.padded(model.vocabularySize)
        return plan.samples.indices.map { sample in
            Array(UnsafeBufferPointer(start: logits + sample * stride, count: model.vocabularySize))
        }
    }
}
