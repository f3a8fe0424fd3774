import LMEngine
import LMSupport

/// `lmserve bench`: times the back end on steps of a known shape.
struct BenchCommand {
    let settings: BenchSettings

    /// One line of the result.
    struct Row: Encodable {
        /// "prefill" or "decode".
        let kind: String
        let model: String
        let backend: String
        let threads: Int
        let batch: Int
        let prompt: Int
        let generate: Int
        /// The median of `samples`.
        let tokensPerSecond: Double
        let samples: [Double]
    }

    func run() throws {
        let wish = try DeviceChoice(settings.model)
        let source = try ModelSource(settings.model)
        let device = try wish.settled(for: source, settings.model).device
        source.announce()
        let blockSize = 16
        let workloads = settings.batches.map { batch in
            BenchWorkload(
                batch: batch, promptLength: settings.promptLength, generateLength: settings.generateLength,
                blockSize: blockSize, vocabularySize: source.checkpoint.configuration.vocabularySize)
        }
        if settings.format == .text {
            try StandardStream.output.write("threads  batch  kind     tokens/s\n")
        }
        for threads in settings.threads.isEmpty ? [availableProcessorCount()] : settings.threads {
            let backend = try source.makeBackend(settings.model, on: device, threads: threads)
            do {
                let blockCount = workloads.map(\.blockCount).max() ?? 1
                try backend.allocateKeyValueCache(blockCount: blockCount, blockSize: blockSize)
                for workload in workloads {
                    try measure(workload, on: backend, threads: threads, model: source.name)
                }
            } catch let error as EngineError {
                throw ProgramError(error)
            }
        }
    }

    private func measure(_ workload: BenchWorkload, on backend: any Backend, threads: Int, model: String) throws {
        let prefill = workload.prefillPlans(limit: settings.maxNumBatchedTokens)
        let decode = (0..<workload.generateLength).map { workload.decodePlan(position: workload.promptLength + $0) }
        let promptTokens = workload.batch * workload.promptLength
        let outputTokens = workload.batch * workload.generateLength
        var samples: (prefill: [Double], decode: [Double]) = ([], [])
        // One step of each kind first, so that no sample pays for pages touched for the first time.
        try execute(prefill.prefix(1) + decode.prefix(1), on: backend)
        for _ in 0..<settings.repetitions {
            samples.prefill.append(Double(promptTokens) / (try time { try execute(prefill, on: backend) }))
            samples.decode.append(Double(outputTokens) / (try time { try execute(decode, on: backend) }))
        }
        for (kind, samples) in [("prefill", samples.prefill), ("decode", samples.decode)] {
            try show(
                Row(
                    kind: kind, model: model, backend: backend.summary, threads: threads, batch: workload.batch,
                    prompt: workload.promptLength, generate: workload.generateLength,
                    tokensPerSecond: SampleSummary(samples).median, samples: samples))
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

    private func show(_ row: Row) throws {
        switch settings.format {
        case .json: try StandardStream.output.write(try JSONText.line(row) + "\n")
        case .text:
            let columns = ["\(row.threads)".padded(to: 7), "\(row.batch)".padded(to: 5), row.kind.padded(to: 7)]
            try StandardStream.output.write(
                columns.joined(separator: "  ") + "  \(row.tokensPerSecond.fixed(1))\n")
        }
    }
}
