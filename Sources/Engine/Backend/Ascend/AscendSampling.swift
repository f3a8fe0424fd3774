internal import CKernels

/// Chooses the tokens of a step on the host from what the device yields. The device has nothing to do until the last is
/// chosen, so that rows are shared out to several threads.
final class AscendSampling {
    private let team: ThreadTeam
    private let stage: SamplingStage
    private let memory: AscendSamplerMemory

    /// Whether the device finds the largest logits; else all of a row are copied.
    let findsCandidates = AscendOperator.topK.names.contains(where: AscendLibraries.shared.hasOperator)

    /// Most threads: more than this save little, and belong to others.
    static let threadLimit = 8
    /// Rows with candidates, of some 26 µs each, from which on it pays to wake the other threads.
    private static let fewestCandidates = 4

    /// - Parameters:
    ///   - element: the type of logits.
    ///   - threads: at least 1, the caller being one of them.
    /// - Throws: `EngineError.backend` when the system refuses a thread.
    init(_ model: ModelConfiguration, _ element: AscendElement, threads: Int) throws(EngineError) {
        let threads = min(threads, Self.threadLimit)
        team = try ThreadTeam(threads: threads)
        stage = SamplingStage(vocabularySize: model.vocabularySize, threads: team.count)
        memory = AscendSamplerMemory(model, element, threads: team.count)
    }

    /// What the tokens of samples are chosen from.
    func sources(of samples: [SampleTask]) -> [SampleSource] {
        samples.map { sample in
            let source = sample.source(candidateCount: memory.candidateCount)
            return source == .candidates && !findsCandidates ? .logits : source
        }
    }

    /// The tokens that are known without all logits; nil for others.
    func known(_ samples: [SampleTask], _ sources: [SampleSource], of outputs: AscendOutputs) -> [Int32?] {
        var tokens = [Int32?](repeating: nil, count: samples.count)
        let rows = sources.indices.filter { sources[$0] == .candidates }
        for sample in sources.indices where sources[sample] == .likeliest {
            let isFinite = outputs.isFinite(row: Int(samples[sample].row))
            tokens[sample] = isFinite ? outputs.likeliest[sample] : StepResult.nonFinite
        }
        if rows.count < Self.fewestCandidates || team.count == 1 {
            for row in rows { tokens[row] = memory.choose(samples[row], row, of: outputs, thread: 0) }
        } else {
            memory.reserve(rows.count)
            team.run(CandidateJob(samples, rows, outputs, memory))
            for (place, row) in rows.enumerated() { tokens[row] = memory.chosen[place] }
        }
        return tokens
    }

    /// Appends all tokens: those that are known, others from all logits of their rows.
    func sample(
        _ samples: [SampleTask], known: [Int32?], of outputs: AscendOutputs, into result: inout StepResult
    ) {
        guard known.contains(where: { $0 == nil }) else {
            for token in known { result.append(token ?? StepResult.nonFinite) }
            return
        }
        stage.sample(samples, team: team, into: &result) { [memory] sample, thread in
            known[sample].map { .token($0) } ?? .logits(memory.row(sample, of: outputs, thread: thread))
        }
    }
}

private final class CandidateJob: TeamJob, @unchecked Sendable {  // immutable; each place has one writer
    private let samples: [SampleTask]
    private let rows: [Int]
    private let count: Int  // apart from the arrays, which a late thread does not touch
    private let outputs: AscendOutputs
    private let memory: AscendSamplerMemory

    init(_ samples: [SampleTask], _ rows: [Int], _ outputs: AscendOutputs, _ memory: AscendSamplerMemory) {
        (self.samples, self.rows, count) = (samples, rows, rows.count)
        (self.outputs, self.memory) = (outputs, memory)
    }

    func run(as member: TeamMember) {
        member.share(count) { place in
            memory.chosen[place] = memory.choose(samples[rows[place]], rows[place], of: outputs, thread: member.index)
        }
    }
}

/// What each thread needs, kept from step to step.
private final class AscendSamplerMemory: @unchecked Sendable {  // each thread and each place has one writer
    let candidateCount: Int
    /// What candidates gave, in the order of their rows; as many places as were reserved.
    private(set) var chosen = UnsafeMutableBufferPointer<Int32?>(start: nil, count: 0)
    private let element: AscendElement
    private let width: Int
    private let samplers: UnsafeMutableBufferPointer<CandidateSampler>
    /// (threads, vocabulary)
    private let rows: UnsafeMutableBufferPointer<Float>

    init(_ model: ModelConfiguration, _ element: AscendElement, threads: Int) {
        candidateCount = AscendProgram.candidateCount(of: model)
        (self.element, width) = (element, model.vocabularySize)
        samplers = .allocate(capacity: threads)
        for thread in samplers.indices {
            samplers.initializeElement(
                at: thread, to: CandidateSampler(count: candidateCount, vocabularySize: model.vocabularySize))
        }
        rows = .allocate(capacity: threads * model.vocabularySize)
        rows.initialize(repeating: 0)
    }

    deinit {
        samplers.deinitialize()
        samplers.deallocate()
        rows.deallocate()
        chosen.deallocate()
    }

    /// Makes places for what candidates give; no thread is at it.
    func reserve(_ count: Int) {
        guard count > chosen.count else { return }
        chosen.deallocate()
        chosen = .allocate(capacity: count)
        chosen.initialize(repeating: nil)
    }

    /// A token from a row's candidates; nil where they do not tell.
    func choose(_ task: SampleTask, _ sample: Int, of outputs: AscendOutputs, thread: Int) -> Int32? {
        guard outputs.isFinite(row: Int(task.row)) else { return StepResult.nonFinite }
        return samplers[thread].choose(task) { candidate in
            let index = sample * candidateCount + candidate
            return (Int32(clamping: outputs.candidateTokens[index]), element.load(outputs.candidateLogits, index))
        }
    }

    /// All logits of a sample, until the thread asks for the next.
    func row(_ sample: Int, of outputs: AscendOutputs, thread: Int) -> UnsafeMutableBufferPointer<Float> {
        let row = UnsafeMutableBufferPointer(rebasing: rows[thread * width..<(thread + 1) * width])
        ck_dequantize(
            element.tensorType.storage, outputs.logits + sample * width * element.byteCount, width, row.baseAddress)
        return row
    }
}
