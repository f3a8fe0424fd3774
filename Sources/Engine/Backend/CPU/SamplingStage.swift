/// Chooses the tokens of a step from its logits, one row after the other on all threads.
final class SamplingStage: TeamJob, @unchecked Sendable {
    // Set between jobs only; during a job each thread has its own sampler and each sample its own result.
    private let samplers: UnsafeMutableBufferPointer<Sampler>
    private var results: [UnsafeMutablePointer<StepResult>] = []
    private var tasks: [SampleTask] = []
    private var logits: UnsafeMutablePointer<Float>?
    private var stride = 0
    private let vocabularySize: Int

    init(vocabularySize: Int, threads: Int) {
        self.vocabularySize = vocabularySize
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

    /// Samples every task from row `index * stride` of `logits`, which is overwritten, and appends to `result` in order.
    func sample(
        _ tasks: [SampleTask], from logits: UnsafeMutablePointer<Float>, stride: Int, team: ThreadTeam,
        into result: inout StepResult
    ) {
        while results.count < tasks.count {
            let fresh = UnsafeMutablePointer<StepResult>.allocate(capacity: 1)
            fresh.initialize(to: StepResult())
            results.append(fresh)
        }
        (self.tasks, self.logits, self.stride) = (tasks, logits, stride)
        team.run(self)
        self.tasks = []
        for index in tasks.indices {
            result.tokens.append(contentsOf: results[index].pointee.tokens)
            result.logprobs.append(contentsOf: results[index].pointee.logprobs)
            result.logprobCounts.append(contentsOf: results[index].pointee.logprobCounts)
        }
    }

    func run(_ member: Int, of team: ThreadTeam) {
        guard let logits else { return }
        while let index = team.nextChunk(of: tasks.count) {
            let row = UnsafeMutableBufferPointer(start: logits + index * stride, count: vocabularySize)
            results[index].pointee.removeAll()
            samplers[member].sample(row, tasks[index], into: &results[index].pointee)
        }
    }
}
