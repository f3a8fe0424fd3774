import LMEngine
import TestKit
import Testing

@Suite("Sampling from the largest logits alone")
struct CandidateSamplerTests {
    private func sample(_ logits: [Float], _ task: SampleTask) -> Int32 {
        var sampler = Sampler(vocabularySize: logits.count)
        var (row, result) = (logits, StepResult())
        row.withUnsafeMutableBufferPointer { sampler.sample($0, task, into: &result) }
        return result.tokens[0]
    }

    private func choose(
        _ candidates: [(token: Int32, logit: Float)], of vocabularySize: Int, _ task: SampleTask
    ) -> Int32? {
        var sampler = CandidateSampler(count: candidates.count, vocabularySize: vocabularySize)
        return sampler.choose(task) { candidates[$0] }
    }

    /// The largest logits in any order; which of equal ones, is left to chance.
    private func largest(_ count: Int, of row: [Float], _ random: inout TestRandom) -> [(token: Int32, logit: Float)] {
        let order = row.indices.shuffled(using: &random).sorted { row[$0] > row[$1] }
        return order.prefix(count).shuffled(using: &random).map { (Int32($0), row[$0]) }
    }

    private func task(
        _ history: [Int32] = [0], promptLength: Int = 1, banned: [Int32] = [],
        _ change: (inout SamplingParameters) -> Void = { _ in }
    ) -> SampleTask {
        var parameters = SamplingParameters()
        parameters.seed = 7
        change(&parameters)
        return SampleTask(
            row: 0, parameters: parameters, history: history, promptLength: promptLength, bannedTokens: banned)
    }

    @Test("What is chosen is chosen from the whole row too, whichever of equal logits are there")
    func againstWholeRows() {
        var random = TestRandom(seed: 11)
        var (chosen, all) = (0, 0)
        for round in 0..<6_000 {
            let size = [40, 300, 1_000][round % 3]
            let row = randomRow(size, steps: [0, 0.125, 1][random.below(3)], &random)
            let task = randomTask(size, &random)
            let count = [8, 24, 32][random.below(3)]
            guard task.source(candidateCount: count) == .candidates else { continue }
            all += 1
            guard let token = choose(largest(count, of: row, &random), of: size, task) else { continue }
            chosen += 1
            #expect(token == sample(row, task), "round \(round): \(task.parameters)")
        }
        #expect(all > 2_000 && chosen > all / 2, "\(chosen) of \(all)")
    }

    /// Few are large, as in a model's rows; without steps hardly two are equal.
    private func randomRow(_ size: Int, steps: Float, _ random: inout TestRandom) -> [Float] {
        (0..<size).map { _ in
            let value = Float(random.unit() * random.unit() * random.unit() * 30 - 10)
            return steps == 0 ? value : (value / steps).rounded() * steps
        }
    }

    private func randomTask(_ size: Int, _ random: inout TestRandom) -> SampleTask {
        let history = (0..<random.below(40) + 1).map { _ in Int32(random.below(size)) }
        return task(
            history, promptLength: random.below(history.count) + 1, banned: random.below(3) == 0 ? [history[0]] : []
        ) { parameters in
            parameters.temperature = [0, 0.05, 0.7, 1, 2][random.below(5)]
            parameters.topK = [0, 1, 5, 7, 20][random.below(5)]
            parameters.topP = [1, 0.999, 0.9, 0.5, 0.01][random.below(5)]
            parameters.minP = [0, 0, 0.05, 0.5, 1][random.below(5)]
            parameters.repetitionPenalty = [1, 1, 1.1, 2][random.below(4)]
            parameters.presencePenalty = [0, 0, 1.5][random.below(3)]
            parameters.frequencyPenalty = [0, 0, 0.25][random.below(3)]
            parameters.seed = random.next()
        }
    }

    @Test("Where the last that top-k keeps may have an equal outside, nothing is chosen")
    func ties() {
        let row: [Float] = [3, 5, 3, 4, 3, 3]
        let candidates: [(token: Int32, logit: Float)] = [(1, 5), (3, 4), (4, 3), (0, 3)]
        #expect(choose(candidates, of: 6, task { $0.topK = 3 }) == nil)
        for seed in 0..<50 {
            let task = task { ($0.topK, $0.seed) = (2, UInt64(seed)) }
            #expect(choose(candidates, of: 6, task) == sample(row, task))
        }
        // Logits that differ, and weights that do not: what the maximum is away from them is rounded.
        let close: [(token: Int32, logit: Float)] = [(0, 9), (1, 1e-9), (2, 1e-10)]
        #expect(choose(close, of: 4, task { $0.topK = 2 }) == nil)
    }

    @Test("Tokens that weigh nothing are not missed")
    func lightTokens() {
        let row: [Float] = [9, 8, 1, 1, 0, 0, 0, 0]
        for seed in 0..<50 {
            let task = task { ($0.temperature, $0.topK, $0.seed) = (0.2, 3, UInt64(seed)) }
            let token = choose([(3, 1), (1, 8), (0, 9), (2, 1)], of: 8, task)
            #expect(token != nil && token == sample(row, task))
        }
        // At 10 times the temperature they do weigh something.
        #expect(choose([(3, 1), (1, 8), (0, 9), (2, 1)], of: 8, task { ($0.temperature, $0.topK) = (2, 3) }) == nil)
    }

    @Test("Of penalized rows the largest is chosen if no other can be as large")
    func greedyPenalties() {
        let candidates: [(token: Int32, logit: Float)] = [(5, 8), (2, 6), (7, 4)]
        func greedy(_ penalty: Float, _ banned: [Int32] = []) -> SampleTask {
            task([5], banned: banned) { ($0.temperature, $0.repetitionPenalty) = (0, penalty) }
        }
        #expect(greedy(1).source(candidateCount: 3) == .likeliest)
        #expect(greedy(2).source(candidateCount: 3) == .candidates)
        #expect(choose(candidates, of: 9, greedy(1.2)) == 5)
        #expect(choose(candidates, of: 9, greedy(1.5)) == 2)
        #expect(choose(candidates, of: 9, greedy(1.2, [5])) == 2)
        #expect(choose(candidates, of: 9, greedy(1.2, [5, 2])) == nil, "another token may be as large as the third")
        #expect(choose(candidates, of: 9, greedy(1.2, [5, 2, 7])) == nil)
    }

    @Test("What needs all logits is not asked of some")
    func sources() {
        func source(_ change: (inout SamplingParameters) -> Void) -> SampleSource {
            task { change(&$0) }.source(candidateCount: 128)
        }
        #expect(source { $0.topK = 127 } == .candidates)
        #expect(source { $0.topK = 128 } == .logits)
        #expect(source { $0.topP = 0.5 } == .logits)
        #expect(source { $0.minP = 0.01 } == .candidates)
        #expect(source { $0.minP = 0.001 } == .logits)
        #expect(source { ($0.topK, $0.logprobs) = (5, 0) } == .logits)
        #expect(source { ($0.topK, $0.presencePenalty) = (5, -0.1) } == .logits)
        #expect(source { ($0.topK, $0.frequencyPenalty) = (5, -0.1) } == .logits)
        #expect(source { ($0.topK, $0.repetitionPenalty) = (5, 0.9) } == .logits)
        #expect(source { ($0.topK, $0.repetitionPenalty) = (5, 1.1) } == .candidates)
        var forced = task { $0.topK = 5 }
        forced.expected = 3
        #expect(forced.source(candidateCount: 128) == .logits)
    }

    @Test("What is no row of candidates yields nothing")
    func damaged() {
        let task = task { $0.topK = 1 }
        #expect(choose([(0, 5), (1, 4)], of: 4, task) == 0)
        for logit in [Float.nan, .infinity] { #expect(choose([(0, logit), (1, 4)], of: 4, task) == nil) }
        #expect(choose([(0, 5), (0, 4)], of: 4, task) == nil)
        #expect(choose([(4, 5), (1, 4)], of: 4, task) == nil)
        #expect(choose([(-1, 5), (1, 4)], of: 4, task) == nil)
        #expect(choose([(0, -.infinity), (1, -.infinity)], of: 4, task) == nil)
    }

    @Test("No token weighs more than its logit allows")
    func bound() {
        var random = TestRandom(seed: 3)
        var weights = TokenWeights(vocabularySize: 64)
        for _ in 0..<2_000 {
            let (smallest, temperature) = (Float(-random.unit() * 40), Float(random.unit() * 2 + 0.01))
            var logit = smallest
            let row = (0..<64).map { place -> Float in
                if place > 0 { logit = logit.nextDown }
                return logit
            }
            row.withUnsafeBufferPointer { weights.fill($0, maximum: 0, temperature: temperature) }
            let most = TokenWeights.most(atLogit: smallest, maximum: 0, temperature: temperature)
            #expect(weights.values.allSatisfy { $0 <= most })
            #expect(most <= weights.values[0] + weights.values[0] >> 15 + 1)
        }
    }
}
