internal import CKernels

/// Chooses the tokens of a step on the host from what the device yields. The device has nothing to do until the last is
/// chosen, so that rows are shared out to several threads.
final class AscendSampling {
    private let team: ThreadTeam
    private let stage: SamplingStage
    private let memory: AscendSamplerMemory

    /// What of the operators is not there that find the largest logits; else all of a row are copied.
    private let missingForCandidates = missing([.topK])
    /// And what of those that sum them.
    private let missingForSums = missing([.mul, .logSumExp])

    /// Most threads: more than this save little, and belong to others.
    static let threadLimit = 8
    /// Rows with candidates, of some 20 µs each, from which on it pays to wake the other threads.
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

    private static func missing(_ operators: [AscendOperator]) -> String? {
        operators.first { !$0.names.contains(where: AscendLibraries.shared.hasOperator) }.map { "aclnn" + $0.names[0] }
    }

    /// What takes longer than it must with the installed CANN, for people; nil for nothing.
    var notice: String? {
        if let missingForCandidates { return Self.notice(missingForCandidates, "that sample") }
        return missingForSums.map { Self.notice($0, "with top-p or log-probabilities") }
    }

    private static func notice(_ missing: String, _ rows: String) -> String {
        "the installed CANN lacks \(missing): of rows \(rows) all logits are copied, which takes longer"
    }

    /// What the tokens of samples are chosen from.
    func sources(of samples: [SampleTask]) -> [SampleSource] {
        samples.map { sample in
            let source = sample.source(candidateCount: memory.candidateCount)
            return switch source {
            case .candidates where missingForCandidates != nil: .logits
            case .candidatesAndSums where missingForCandidates != nil || missingForSums != nil: .logits
            default: source
            }
        }
    }

    /// What is known without all logits; nil for other samples.
    func known(
        _ samples: [SampleTask], _ sources: [SampleSource], of outputs: AscendOutputs
    ) -> [CandidateSampler.Choice?] {
        var choices = [CandidateSampler.Choice?](repeating: nil, count: samples.count)
        let rows = sources.indices.filter { sources[$0].isOfCandidates }
        for sample in sources.indices where sources[sample] == .likeliest {
            let isFinite = outputs.isFinite(row: Int(samples[sample].row))
            choices[sample] = CandidateSampler.Choice(
                token: isFinite ? outputs.likeliest[sample] : StepResult.nonFinite)
        }
        if rows.count < Self.fewestCandidates || team.count == 1 {
            for row in rows { choices[row] = memory.choose(samples[row], sources[row], row, of: outputs, thread: 0) }
        } else {
            memory.reserve(rows.count)
            team.run(CandidateJob(samples, sources, rows, outputs, memory))
            for (place, row) in rows.enumerated() { choices[row] = memory.chosen[place] }
        }
        return choices
    }

    /// Appends all tokens: those that are known, others from all logits of their rows.
    func sample(
        _ samples: [SampleTask], known: [CandidateSampler.Choice?], of outputs: AscendOutputs,
        into result: inout StepResult
    ) {
        guard known.contains(where: { $0 == nil }) else {
            for case let choice? in known { result.append(choice) }
            return
        }
        stage.sample(samples, team: team, into: &result) { [memory] sample, thread in
            known[sample].map { .choice($0) } ?? .logits(memory.row(sample, of: outputs, thread: thread))
        }
    }
}

extension SampleSource {
    /// Whether the token is chosen from the largest logits, unless these do not suffice.
    var isOfCandidates: Bool { self == .candidates || self == .candidatesAndSums }
}

private final class CandidateJob: TeamJob, @unchecked Sendable {  // immutable; each place has one writer
    private let samples: [SampleTask]
    private let sources: [SampleSource]
    private let rows: [Int]
    private let count: Int  // apart from the arrays, which a late thread does not touch
    private let outputs: AscendOutputs
    private let memory: AscendSamplerMemory

    init(
        _ samples: [SampleTask], _ sources: [SampleSource], _ rows: [Int], _ outputs: AscendOutputs,
        _ memory: AscendSamplerMemory
    ) {
        (self.samples, self.sources, self.rows, count) = (samples, sources, rows, rows.count)
        (self.outputs, self.memory) = (outputs, memory)
    }

    func run(as member: TeamMember) {
        member.share(count) { place in
            let row = rows[place]
            memory.chosen[place] = memory.choose(samples[row], sources[row], row, of: outputs, thread: member.index)
        }
    }
}

/// What each thread needs, kept from step to step.
private final class AscendSamplerMemory: @unchecked Sendable {  // each thread and each place has one writer
    let candidateCount: Int
    /// What candidates gave, in the order of their rows; as many places as were reserved.
    private(set) var chosen = UnsafeMutableBufferPointer<CandidateSampler.Choice?>(start: nil, count: 0)
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
        chosen.deinitialize()
        chosen.deallocate()
    }

    /// Makes places for what candidates give; no thread is at it.
    func reserve(_ count: Int) {
        guard count > chosen.count else { return }
        chosen.deinitialize()
        chosen.deallocate()
        chosen = .allocate(capacity: count)
        chosen.initialize(repeating: nil)
    }

    /// A token from a row's candidates; nil where they do not tell.
    ///
    /// Sums that are there because another row wants them are left alone: a row's way is its own.
    func choose(
        _ task: SampleTask, _ source: SampleSource, _ sample: Int, of outputs: AscendOutputs, thread: Int
    ) -> CandidateSampler.Choice? {
        guard outputs.isFinite(row: Int(task.row)) else {
            return CandidateSampler.Choice(token: StepResult.nonFinite)
        }
        let sums = LogSums(plain: outputs.logSums[sample], tempered: outputs.temperedLogSums[sample])
        return samplers[thread].choose(task, source == .candidatesAndSums ? sums : nil) { candidate in
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
