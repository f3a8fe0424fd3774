/// Chooses the tokens of a step from its logits, one row after the other on all threads.
final class SamplingStage {
    /// What a token is chosen from.
    enum Row {
        /// One row, which is overwritten.
        case logits(UnsafeMutableBufferPointer<Float>)
        /// Nothing: it is known.
        case choice(CandidateSampler.Choice)
    }

    private let samplers: SamplerMemory

    init(vocabularySize: Int, threads: Int) {
        samplers = SamplerMemory(vocabularySize: vocabularySize, threads: threads)
    }

    /// Samples every task and appends to `result` in order.
    ///
    /// - Parameter row: called on the thread that samples, with the number of the task and that of the thread.
    func sample(
        _ tasks: [SampleTask], team: ThreadTeam, into result: inout StepResult,
        from row: @escaping (_ task: Int, _ thread: Int) -> Row
    ) {
        samplers.reserveResults(tasks.count)
        team.run(SamplingJob(tasks: tasks, samplers: samplers, row: row))
        for one in samplers.results.prefix(tasks.count) {
            result.tokens.append(contentsOf: one.pointee.tokens)
            result.logprobs.append(contentsOf: one.pointee.logprobs)
            result.logprobCounts.append(contentsOf: one.pointee.logprobCounts)
        }
    }
}

private final class SamplingJob: TeamJob, @unchecked Sendable {  // immutable; each row and result has one writer
    private let tasks: [SampleTask]
    private let taskCount: Int  // apart from the array, which a late thread does not touch
    private let row: (Int, Int) -> SamplingStage.Row
    private let samplers: UnsafeMutableBufferPointer<Sampler>
    private let results: [UnsafeMutablePointer<StepResult>]
    private let owner: SamplerMemory

    init(tasks: [SampleTask], samplers owner: SamplerMemory, row: @escaping (Int, Int) -> SamplingStage.Row) {
        self.tasks = tasks
        taskCount = tasks.count
        self.row = row
        self.owner = owner
        samplers = owner.samplers
        results = owner.results
    }

    func run(as member: TeamMember) {
        member.share(taskCount) { index in
            results[index].pointee.removeAll()
            switch row(index, member.index) {
            case .logits(let row): samplers[member.index].sample(row, tasks[index], into: &results[index].pointee)
            case .choice(let choice): results[index].pointee.append(choice)
            }
        }
    }
}

/// A sampler for each thread and a result for each sample, kept from step to step.
private final class SamplerMemory {
    let samplers: UnsafeMutableBufferPointer<Sampler>
    private(set) var results: [UnsafeMutablePointer<StepResult>] = []

    init(vocabularySize: Int, threads: Int) {
        samplers = .allocate(capacity: threads)
        for index in samplers.indices {
            samplers.initializeElement(at: index, to: Sampler(vocabularySize: vocabularySize))
        }
    }

    deinit {
        samplers.deinitialize()
        samplers.deallocate()
        for result in results {
            result.deinitialize(count: 1)
            result.deallocate()
        }
    }

    func reserveResults(_ count: Int) {
        while results.count < count {
            let fresh = UnsafeMutablePointer<StepResult>.allocate(capacity: 1)
            fresh.initialize(to: StepResult())
            results.append(fresh)
        }
    }
}
