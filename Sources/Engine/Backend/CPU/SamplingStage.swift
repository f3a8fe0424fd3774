/// Chooses the tokens of a step from its logits, one row after the other on all threads.
final class SamplingStage {
    private let samplers: SamplerMemory
    private let vocabularySize: Int

    init(vocabularySize: Int, threads: Int) {
        self.vocabularySize = vocabularySize
        samplers = SamplerMemory(vocabularySize: vocabularySize, threads: threads)
    }

    /// Samples every task from row `index * stride` of `logits`, which is overwritten, and appends to `result` in order.
    func sample(
        _ tasks: [SampleTask], from logits: UnsafeMutablePointer<Float>, stride: Int, team: ThreadTeam,
        into result: inout StepResult
    ) {
        samplers.reserveResults(tasks.count)
        team.run(
            SamplingJob(
                tasks: tasks, logits: logits, stride: stride, vocabularySize: vocabularySize, samplers: samplers))
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
    private let logits: UnsafeMutablePointer<Float>
    private let stride: Int
    private let vocabularySize: Int
    private let samplers: UnsafeMutableBufferPointer<Sampler>
    private let results: [UnsafeMutablePointer<StepResult>]
    private let owner: SamplerMemory

    init(
        tasks: [SampleTask], logits: UnsafeMutablePointer<Float>, stride: Int, vocabularySize: Int,
        samplers owner: SamplerMemory
    ) {
        self.tasks = tasks
        taskCount = tasks.count
        self.logits = logits
        self.stride = stride
        self.vocabularySize = vocabularySize
        self.owner = owner
        samplers = owner.samplers
        results = owner.results
    }

    func run(as member: TeamMember) {
        member.share(taskCount) { index in
            let row = UnsafeMutableBufferPointer(start: logits + index * stride, count: vocabularySize)
            results[index].pointee.removeAll()
            samplers[member.index].sample(row, tasks[index], into: &results[index].pointee)
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
