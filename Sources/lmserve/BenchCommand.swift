import LMEngine
import LMSupport

/// `lmserve bench`: times the back end on steps of a known shape.
struct BenchCommand {
    let settings: BenchSettings

    private static let blockSize = 16

    func run() throws {
        let wish = try DeviceChoice(settings.model)
        guard settings.promptLength > 0 || settings.generateLength > 0 else {
            throw ProgramError.usage("--prompt 0 and --generate 0 leave nothing to measure")
        }
        let source = try ModelSource(settings.model)
        let device = try wish.settled(for: source, settings.model).device
        source.announce()
        let workloads = settings.batches.flatMap { batch in
            settings.depths.map { depth in
                BenchWorkload(
                    batch: batch, depth: depth, promptLength: settings.promptLength,
                    generateLength: settings.generateLength, blockSize: Self.blockSize,
                    vocabularySize: source.checkpoint.configuration.vocabularySize)
            }
        }
        if settings.format == .text { try StandardStream.output.write(BenchRow.heading) }
        for threads in settings.threads.isEmpty ? [availableProcessorCount()] : settings.threads {
            do {
                let work = try work(of: source, on: device, threads: threads)
                let backend = try source.makeBackend(settings.model, on: device, threads: threads)
                let blockCount = workloads.map(\.blockCount).max() ?? 1
                try backend.allocateKeyValueCache(blockCount: blockCount, blockSize: Self.blockSize)
                for workload in workloads {
                    try measure(workload, on: backend, against: work, threads: threads, model: source.name)
                }
            } catch let error as EngineError {
                throw ProgramError(error)
            }
        }
    }

    /// What steps cost at least; nil for other devices, and for the back end that is not made for
    /// speed. Before the weights are in memory.
    private func work(
        of source: ModelSource, on device: DeviceChoice.Device, threads: Int
    ) throws -> CPUWork? {
        guard settings.model.backend == .cpu, device == .cpu else { return nil }
        let weights = try CPUBackend.packedByteCount(of: source.checkpoint, dataType: settings.model.dataType)
        let ceilings = try CPUCeilings(threads: threads, reading: weights)
        let speed = (ceilings.bytesPerSecond / 1e9).fixed(1)
        StandardStream.error.note("\(threads) thread\(threads == 1 ? " reads" : "s read") \(speed) GB/s")
        return try CPUWork(of: source.checkpoint, dataType: settings.model.dataType, ceilings: ceilings)
    }

    private func measure(
        _ workload: BenchWorkload, on backend: any Backend, against work: CPUWork?, threads: Int, model: String
    ) throws {
        let limit = settings.maxNumBatchedTokens
        let kinds = [
            (name: "prefill", tokens: workload.promptLength, plans: workload.prefillPlans(limit: limit)),
            (name: "decode", tokens: workload.generateLength, plans: workload.decodePlans()),
        ].filter { $0.tokens > 0 }
        var samples = kinds.map { _ in [Double]() }
        try execute(workload.fillPlans(limit: limit), on: backend)
        // One step of each kind first, so that no sample pays for pages touched for the first time.
        for kind in kinds { try execute(kind.plans.prefix(1), on: backend) }
        for _ in 0..<settings.repetitions {
            for (index, kind) in kinds.enumerated() {
                samples[index].append(try time { try execute(kind.plans, on: backend) })
            }
        }
        for (kind, seconds) in zip(kinds, samples) {
            let row = BenchRow(
                kind: kind.name, model: model, backend: backend.summary, threads: threads, batch: workload.batch,
                depth: workload.depth, tokens: kind.tokens, seconds: seconds,
                bounds: kind.plans.compactMap { work?.bound(rows: $0.rowCount, samples: $0.samples.count) })
            switch settings.format {
            case .json: try StandardStream.output.write(try JSONText.line(row) + "\n")
            case .text: try StandardStream.output.write(row.line)
            }
        }
    }

    private func execute(_ plans: some Sequence<StepPlan>, on backend: any Backend) throws(EngineError) {
        var result = StepResult()
        for plan in plans {
            try backend.execute(plan, into: &result)
            if let fault = result.faults.first { throw EngineError(.nonFiniteLogits, fault.message) }
            guard !result.tokens.contains(StepResult.nonFinite) else {
                throw EngineError(.nonFiniteLogits, "the model's output is not finite; is the file damaged?")
            }
        }
    }

    private func time(_ body: () throws -> Void) rethrows -> Double {
        let start = ContinuousClock.now
        try body()
        return (ContinuousClock.now - start) / .seconds(1)
    }
}
