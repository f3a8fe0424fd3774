/// Runs models on Ascend NPUs, one or several together, through CANN's own libraries: fused operators, paged keys and
/// values, one synchronization per step.
///
/// A device that fails takes its keys and values with it: the step throws `EngineError.deviceLost`, and the next step
/// sets the device up anew and loads the weights again.
public final class AscendBackend: Backend, @unchecked Sendable {  // after init: used by one thread at a time
    private let checkpoint: any Checkpoint
    private let model: ModelConfiguration
    private let firstDevice: Int32
    /// Of each rank.
    private let shares: [AscendShare]
    private let deviceName: String
    private var group: AscendGroup?
    private var cache: AscendCacheShape?
    private let batches: BatchBuckets
    private let notice: @Sendable (String) -> Void
    private let monitor: AscendMonitor
    private let devices: DeviceVigil
    private var recovery = AscendRecovery()
    /// How long steps may take; set between two of them.
    package var watch = AscendStepWatch.Limits() { didSet { group?.limit(watch) } }
    private let sampling: AscendSampling

    /// Finds CANN and the devices, and copies the weights to them.
    ///
    /// - Parameters:
    ///   - device: number of the first NPU among those that this process sees; the others follow it.
    ///   - division: how several NPUs share the model.
    ///   - dataType: of float matrices, activations, keys and values; float32 is none of an NPU.
    ///   - batches: numbers of sequences for which a decoding step is captured as a graph; others, and all with none, are
    ///     launched operator by operator.
    ///   - tiling: which matrices lie in tiles, where the operators and the device take them so.
    ///   - threads: that choose tokens on the host, at least 1, the caller of `execute` being one; more than eight are not
    ///     used.
    ///   - hangs: told when a call of the driver does not come back meanwhile.
    ///   - notice: told, for people, what works less well than it should; on the thread that computes.
    ///   - progress: called on this thread with the share of weights copied, 0...1.
    /// - Throws: `EngineError.deviceUnavailable` when CANN or a device is not there, `unsupportedModel` for what it does
    ///   not run, `invalidModel`, `insufficientMemory`.
    public init(
        checkpoint: any Checkpoint, device: Int = 0, division: AscendDivision = .none, dataType: DataType = .auto,
        batches: BatchBuckets = .standard, tiling: AscendTiling = .int8, threads: Int = 1,
        hangs: DeviceHang.Watch = DeviceHang.Watch(),
        notice: @escaping @Sendable (String) -> Void = { _ in },
        progress: @escaping @Sendable (Double) -> Void = { _ in }
    ) throws(EngineError) {
        let model = checkpoint.configuration
        devices = DeviceVigil(devices: division.ranks)
        let start = try StartWatch(devices, "setting the device up", hangs)
        defer { start.end() }
        if let missing = Self.missing { throw EngineError(.deviceUnavailable, "no Ascend NPU: \(missing)") }
        try division.requireDevices()
        let chip = try ascend { () throws(AscendError) in try AscendChip.current() }
        self.batches = AscendGraph.isSupported && chip.capturesGraphs ? batches : .none
        self.notice = notice
        firstDevice = Int32(clamping: device)
        let (first, devices) = (firstDevice, devices)
        let largestBatch = self.batches.sizes.last ?? 0
        let group: AscendGroup
        (shares, group) = try Self.withTilesIfTheyWork(
            AscendTiledForms(tiling, deviceName: chip.name), notice: notice,
            share: { (forms) throws(EngineError) in try Self.shares(of: checkpoint, dataType, division, chip, forms) },
            setUp: { (shares) throws(EngineError) in
                try AscendRequirements.check(shares[0].program, has: AscendLibraries.shared.hasOperator)
                return try AscendGroup(
                    firstDevice: first, shares, devices, largestBatch: largestBatch, notice: notice, progress: progress)
            })
        do throws(EngineError) {
            sampling = try AscendSampling(model, shares[0].weights.element, threads: threads)
            monitor = try AscendMonitor(Array(firstDevice..<firstDevice + Int32(shares.count)))
        } catch {
            group.close(isForced: false)
            throw error
        }
        chip.note(wantsGraphs: !batches.sizes.isEmpty, notice)
        deviceName = group.deviceName
        (self.checkpoint, self.model, self.group) = (checkpoint, model, group)
        if let text = sampling.notice { notice(text) }
    }

    /// Sets the devices up. Where matrices in tiles fail, for whatever reason, or are not what they are documented to be,
    /// they lie row by row: nothing depends on tiles.
    private static func withTilesIfTheyWork(
        _ forms: AscendTiledForms, notice: (String) -> Void,
        share: (AscendTiledForms) throws(EngineError) -> [AscendShare],
        setUp: ([AscendShare]) throws(EngineError) -> AscendGroup
    ) throws(EngineError) -> ([AscendShare], AscendGroup) {
        let shares = try share(forms)
        guard shares.contains(where: \.hasTiles) else { return (shares, try setUp(shares)) }
        let failure: String
        do throws(EngineError) {
            let group = try setUp(shares)
            do throws(EngineError) {
                guard let damage = try group.findDamage(ofTilesAlone: true) else { return (shares, group) }
                failure = damage
            } catch {
                group.close(isForced: true)
                throw error
            }
            group.close(isForced: true)
        } catch {
            guard error.code != .invalidModel, error.code != .unsupportedModel else { throw error }
            failure = error.message
        }
        let plain = try share(.none)
        let group = try setUp(plain)
        notice("matrices lie row by row and not as the NPU reads them, which may take longer: \(failure)")
        return (plain, group)
    }

    /// Fails if the model is not one that NPUs run, divided so; no device is needed to know.
    ///
    /// - Parameters:
    ///   - chip: its name, as `chip` has it; nil for one of an Atlas A2.
    ///   - isOnThisMachine: whether this machine's CANN must have the operators too.
    /// - Throws: `EngineError.unsupportedModel` with what it is and what to use instead; `invalidModel`.
    public static func check(
        _ checkpoint: any Checkpoint, dataType: DataType = .auto, division: AscendDivision = .none, chip: String? = nil,
        isOnThisMachine: Bool = false
    ) throws(EngineError) {
        try check(
            checkpoint, dataType: dataType, division: division, chip: chip,
            has: { !isOnThisMachine || AscendLibraries.shared.hasOperator($0) })
    }

    /// The same where CANN has those operators, by their names without prefix, for which `has` says so.
    package static func check(
        _ checkpoint: any Checkpoint, dataType: DataType = .auto, division: AscendDivision = .none, chip: String? = nil,
        has: (String) -> Bool
    ) throws(EngineError) {
        let chip = AscendChip(name: chip ?? AscendChip.standard)
        let shares = try shares(of: checkpoint, dataType, division, chip, .none)
        try AscendRequirements.check(shares[0].program, has: has)
    }

    /// The name of this machine's NPU, as the runtime gives it; nil where there is none that tells.
    public static var chip: String? { try? AscendChip.current().name }

    /// The operators called for each layer, in order: what a step costs in launches.
    package static func operatorsOfLayer(
        _ checkpoint: any Checkpoint, dataType: DataType = .auto
    ) throws(EngineError) -> [String] {
        try shares(of: checkpoint, dataType, .none, AscendChip(name: AscendChip.standard), .none)[0].program.lastLayer
            .compactMap { $0.kind?.names[0] }
    }

    private static func shares(
        of checkpoint: any Checkpoint, _ dataType: DataType, _ division: AscendDivision, _ chip: AscendChip,
        _ tiledForms: AscendTiledForms
    ) throws(EngineError) -> [AscendShare] {
        try AscendRequirements.check(checkpoint.configuration)
        try AscendRank.check(checkpoint.configuration, division)
        let element = try AscendRequirements.element(of: checkpoint, dataType: dataType)
        try chip.check(checkpoint.configuration, element, division)
        var shares: [AscendShare] = []
        for index in 0..<division.ranks {
            shares.append(
                try AscendShare(
                    checkpoint, element: element, AscendRank(index: index, division: division), chip, tiledForms))
        }
        return shares
    }

    private var element: AscendElement { shares[0].weights.element }

    deinit { group?.close(isForced: false) }

    /// What of CANN, or which device, is not on this machine, and where it was looked for; nil when all that is needed was
    /// found.
    public static var missing: String? { AscendLibraries.shared.missing }

    /// Tokens of a KV block that the attention operator is fastest with.
    public static let preferredBlockSize = 128

    /// The devices and the type of keys and values.
    public var summary: String {
        let last = Int(firstDevice) + shares.count - 1
        let devices = shares.count == 1 ? "NPU \(firstDevice)" : "NPUs \(firstDevice) to \(last)"
        return "\(devices), \(deviceName), \(element.tensorType.dataTypeName) KV cache"
            + (shares.contains(where: \.hasTiles) ? ", matrices in NZ" : "")
    }

    /// What the runtime, its management library or `npu-smi` say of each device.
    public var deviceReadings: [DeviceReadings] { monitor.readings }

    /// What is under way on the devices.
    public var vigil: DeviceVigil? { devices }

    /// Bytes of KV cache that one token takes on each device.
    public var keyValueBytesPerToken: Int {
        let elements = shares[0].model.cachedElements
        return model.layerCount * (elements.keys + elements.values) * element.byteCount
    }

    /// What the weights leave of each device's memory, less a tenth for what steps need.
    public var keyValueMemory: Int? {
        guard let free = try? group?.freeMemory() else { return nil }
        return free / 10 * 9
    }

    /// Reserves the pool, and some blocks more for rows of padding.
    ///
    /// - Throws: `EngineError.insufficientMemory`; `EngineError.backend` for a block size that the operators do not take.
    public func allocateKeyValueCache(blockCount: Int, blockSize: Int) throws(EngineError) {
        let cache = try AscendCacheShape(
            shares[0].model, element, blockCount: blockCount, blockSize: blockSize, paddingRows: BatchBuckets.largest)
        try ascend { () throws(AscendError) in try group?.allocate(cache) }
        self.cache = cache
    }

    /// Runs the forward pass and samples. Token ids, slots and block tables must be in range: the engine checked them.
    public func execute(_ plan: borrowing StepPlan, into result: inout StepResult) throws(EngineError) {
        result.removeAll()
        guard plan.rowCount > 0 else { return }
        let sources = sampling.sources(of: plan.samples)
        let outputs = try run(plan, AscendDemand(sources))
        appendFaults(outputs, rows: plan.rowCount, to: &result)
        for index in 0..<plan.hiddenRows.count * model.embeddingLength {
            result.hiddenStates.append(element.load(outputs.hiddenStates, index))
        }
        let known = sampling.known(plan.samples, sources, of: outputs)
        try fetchLogits(of: known.indices.filter { known[$0] == nil && sources[$0].isOfCandidates })
        sampling.sample(plan.samples, known: known, of: outputs, into: &result)
    }

    /// Gets the logits of samples whose candidates did not suffice.
    private func fetchLogits(of samples: [Int]) throws(EngineError) {
        guard !samples.isEmpty else { return }
        try onDevices("a copy of logits") { (group) throws(AscendError) in
            try group.fetchLogits(of: RangeSet(samples.map { $0..<$0 + 1 }))
        }
    }

    /// The logits of `plan.samples`, in order, without sampling: for comparison with other back ends.
    package func forward(_ plan: borrowing StepPlan) throws(EngineError) -> [[Float]] {
        let outputs = try run(plan, AscendDemand(plan.samples.map { _ in .logits }))
        let width = model.vocabularySize
        return plan.samples.indices.map { sample in
            (0..<width).map { element.load(outputs.logits, sample * width + $0) }
        }
    }

    /// A row that is not finite anywhere is not finite before the last norm: it attends to its own key and value.
    private func appendFaults(_ outputs: AscendOutputs, rows: Int, to result: inout StepResult) {
        for row in 0..<rows where !outputs.isFinite(row: row) {
            result.faults.append(
                StepResult.Fault(
                    row: Int32(row),
                    "a hidden state is not finite in \(element.tensorType.dataTypeName); the model is damaged or "
                        + "does not suit this type"))
        }
    }

    // MARK: - The device

    private func run(_ plan: borrowing StepPlan, _ demand: AscendDemand) throws(EngineError) -> AscendOutputs {
        let batch = plan.onlyDecodes ? batches.size(for: plan.rowCount) : nil
        return try onDevices("a step") { (group) throws(AscendError) in
            try group.run(plan, demand, batch: batch)
        }
    }

    private func onDevices<Result>(
        _ work: String, _ body: (AscendGroup) throws(AscendError) -> Result
    ) throws(EngineError) -> Result {
        defer { devices.end() }
        let group = try liveGroup()
        devices.begin(work, milliseconds: group.timeout)
        do throws(AscendError) {
            let result = try body(group)
            recovery.succeeded()
            return result
        } catch {
            // What was launched before may still be at work in memory that is about to be used again, or given back.
            devices.begin("what follows a step that failed", milliseconds: watch.giveBack)
            let isSettled = group.settle()
            guard error.losesDevice || !isSettled else { throw error.stepError }
            giveBack()
            recovery.failed()
            throw EngineError(.deviceLost, error.stepError.message)
        }
    }

    /// Gives the devices back, whatever state they are in, and sets them up anew.
    ///
    /// - Throws: `EngineError.deviceLost`.
    public func renew() throws(EngineError) {
        defer { devices.end() }
        giveBack()
        _ = try liveGroup()
    }

    /// The self-test: samples of the weights, and a small step.
    ///
    /// - Throws: `EngineError.deviceLost` when it fails; the next step sets the devices up anew.
    public func examine() throws(EngineError) {
        guard let group else { return }
        defer { devices.end() }
        guard let fault = fault(of: group) else {
            notice(
                "numbers of several requests were not finite, but the self-test passes: the model is damaged, or does not "
                    + "suit \(element.tensorType.dataTypeName)")
            return
        }
        notice("numbers of several requests were not finite, and the self-test fails: \(fault)")
        giveBack()
        recovery.failed()
        throw EngineError(.deviceLost, "the NPU failed its self-test: \(fault); the device is set up anew")
    }

    /// What the self-test finds; nil for nothing.
    private func fault(of group: AscendGroup) -> String? {
        guard let cache else { return nil }
        devices.begin("the self-test", milliseconds: watch.setUp)
        do throws(EngineError) {
            return try group.findFault(
                cache, vocabularySize: model.vocabularySize, contextLength: model.contextLength)
        } catch {
            return error.message
        }
    }

    private func giveBack() {
        devices.begin("giving the device back", milliseconds: watch.giveBack)
        group?.close(isForced: true)
        group = nil
    }

    /// The devices as they are, or set up anew after one was lost.
    private func liveGroup() throws(EngineError) -> AscendGroup {
        if let group { return group }
        guard recovery.mayTry else {
            throw EngineError(
                .deviceLost, "the NPU was lost and is set up anew in a moment; the next attempt is not due yet")
        }
        let (devices, limit) = (devices, watch.setUp)
        devices.begin("setting the device up", milliseconds: limit)
        do throws(EngineError) {
            let group = try AscendGroup(
                firstDevice: firstDevice, shares, devices, largestBatch: batches.sizes.last ?? 0, notice: notice,
                progress: { _ in devices.extend(milliseconds: limit) })
            do throws(EngineError) {
                if let cache { try ascend { () throws(AscendError) in try group.allocate(cache) } }
            } catch {
                group.close(isForced: true)
                throw error
            }
            group.limit(watch)
            if let fault = fault(of: group) {
                group.close(isForced: true)
                throw EngineError(
                    .deviceLost, "the NPU was set up anew and fails its self-test: \(fault); see npu-smi info")
            }
            self.group = group
            return group
        } catch {
            recovery.failed()
            throw EngineError(.deviceLost, error.message)
        }
    }
}

extension AscendOutputs {
    /// Whether all of a row's hidden state is finite.
    func isFinite(row: Int) -> Bool { inverseDeviations[row].isFinite && inverseDeviations[row] > 0 }
}

extension StepPlan {
    /// Whether every sequence has one row, and each is sampled.
    fileprivate var onlyDecodes: Bool {
        rowCount == sequenceCount && samples.count == rowCount && hiddenRows.isEmpty
            && samples.enumerated().allSatisfy { Int($1.row) == $0 }
    }
}
