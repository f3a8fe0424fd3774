import Glibc
import LMEngine
import TestKit
import Testing

@Suite("Sampler")
struct SamplerTests {
    private func sample(_ logits: [Float], _ task: SampleTask) -> StepResult {
        var sampler = Sampler(vocabularySize: logits.count)
        var result = StepResult()
        sample(logits, task, &sampler, into: &result)
        return result
    }

    private func sample(
        _ logits: [Float], _ task: SampleTask, _ sampler: inout Sampler, into result: inout StepResult
    ) {
        var row = logits
        row.withUnsafeMutableBufferPointer { sampler.sample($0, task, into: &result) }
    }

    private func task(
        _ parameters: SamplingParameters = SamplingParameters(), prompt: [Int32] = [0], output: [Int32] = [],
        banned: [Int32] = []
    ) -> SampleTask {
        var parameters = parameters
        parameters.seed = parameters.seed ?? 1
        return SampleTask(
            row: 0, parameters: parameters, history: prompt + output, promptLength: prompt.count,
            bannedTokens: banned)
    }

    private var greedy: SamplingParameters {
        var parameters = SamplingParameters()
        parameters.temperature = 0
        return parameters
    }

    @Test("Greedy takes the largest logit and of equals the lowest id", arguments: [1, 7, 8, 9, 100])
    func greedyTies(size: Int) {
        var logits = [Float](repeating: -3, count: size)
        #expect(sample(logits, task(greedy)).tokens == [0])
        logits[size - 1] = -1
        #expect(sample(logits, task(greedy)).tokens == [Int32(size - 1)])
        logits[size / 2] = -1
        #expect(sample(logits, task(greedy)).tokens == [Int32(size / 2)])
    }

    @Test("Random parameters and rows choose what the sorting oracle chooses")
    func oracle() {
        var random = TestRandom(seed: 42)
        for round in 0..<4_000 {
            let size = [3, 17, 64, 500][round % 4]
            var sampler = Sampler(vocabularySize: size)
            let logits = randomRow(size, &random)
            let task = randomTask(size, &random)
            var result = StepResult()
            sample(logits, task, &sampler, into: &result)
            let expected = SamplerOracle.sample(logits, task)
            #expect(result.tokens == [expected.token], "round \(round): \(task.parameters)")
            #expect(result.logprobs.map(\.token) == expected.logprobs.map(\.token), "round \(round)")
            for (mine, other) in zip(result.logprobs, expected.logprobs) where other.logprob > -80 {
                #expect(abs(mine.logprob - other.logprob) < 1e-5 * max(1, -other.logprob), "round \(round)")
            }
            #expect(result.logprobCounts == [Int32(expected.logprobs.count)])
        }
    }

    /// Every third row has many equal logits, every fifth masked ones.
    private func randomRow(_ size: Int, _ random: inout TestRandom) -> [Float] {
        let shape = random.below(15)
        var row = (0..<size).map { _ -> Float in
            let value = Float(random.unit() * 24 - 12)
            if shape % 5 == 0 && random.below(4) == 0 { return -.infinity }
            return shape % 3 == 0 ? value.rounded() : value
        }
        row[random.below(size)] = 12.5
        return row
    }

    private func randomTask(_ size: Int, _ random: inout TestRandom) -> SampleTask {
        var parameters = SamplingParameters()
        parameters.temperature = [0, 0.1, 0.7, 1, 2][random.below(5)]
        parameters.topK = [0, 1, 2, 5, size, 10_000][random.below(6)]
        parameters.topP = [1, 0.999, 0.9, 0.5, 0.01][random.below(5)]
        parameters.minP = [0, 0, 0.02, 0.5, 1][random.below(5)]
        parameters.repetitionPenalty = [1, 1, 1.3, 0.5, 2][random.below(5)]
        parameters.presencePenalty = [0, 0, 1.5, -2][random.below(4)]
        parameters.frequencyPenalty = [0, 0, 0.25, -1][random.below(4)]
        parameters.seed = random.next()
        parameters.logprobs = [nil, 0, 1, 5, 20][random.below(5)].map { min($0, size) }
        let history = (0..<random.below(40) + 1).map { _ in Int32(random.below(size)) }
        let promptLength = random.below(history.count) + 1
        let banned: [Int32] = random.below(3) == 0 ? [history[0]] : []
        return SampleTask(
            row: 0, parameters: parameters, history: history, promptLength: promptLength, bannedTokens: banned)
    }

    @Test("Penalties of vLLM by hand: prompt and output for repetition, output alone for the others")
    func penalties() {
        var parameters = greedy
        parameters.logprobs = 0
        parameters.repetitionPenalty = 2
        parameters.presencePenalty = 1
        parameters.frequencyPenalty = 0.5
        // Token 0 (prompt): 8 / 2 = 4. Token 1 (twice in the output): 12 / 2 - 2 * 0.5 - 1 = 4. Token 2: 4.5.
        let penalized = task(parameters, prompt: [0, 0], output: [1, 1])
        #expect(sample([8, 12, 4.5], penalized).tokens == [2])
        #expect(sample([8, 12, 3.9], penalized).tokens == [0])
        #expect(sample([7.9, 12, 3.9], penalized).tokens == [1])
        // A negative logit is multiplied: token 0 becomes -2.
        #expect(sample([-1, -9, -1.9], penalized).tokens == [2])
        // The reported log-probability is the raw one.
        let result = sample([0, 0, 0], penalized)
        #expect(abs(result.logprobs[0].logprob + Float(log(3.0))) < 1e-6)
    }

    @Test("A banned token is never chosen")
    func banned() {
        #expect(sample([1, 9, 2], task(greedy, banned: [1])).tokens == [2])
        #expect(sample([1, 9, 2], task(greedy, banned: [0, 1, 2])).tokens == [StepResult.nonFinite])
        for seed in 0..<100 {
            var parameters = SamplingParameters()
            parameters.seed = UInt64(seed)
            #expect(sample([0, 9, 0], task(parameters, banned: [1])).tokens != [1])
        }
    }

    @Test("NaN or +infinity anywhere, or nothing finite, is reported", arguments: [1, 2, 8, 13])
    func nonFinite(size: Int) {
        for parameters in [greedy, SamplingParameters()] {
            for value in [Float.nan, .infinity, -.nan, .signalingNaN] {
                for place in 0..<size {
                    var logits = [Float](repeating: 1, count: size)
                    logits[place] = value
                    let result = sample(logits, task(parameters))
                    #expect(result.tokens == [StepResult.nonFinite])
                    #expect(result.logprobCounts == [0])
                }
            }
            let masked = [Float](repeating: -.infinity, count: size)
            #expect(sample(masked, task(parameters)).tokens == [StepResult.nonFinite])
        }
    }

    @Test("Extreme logits and temperatures stay finite")
    func extremes() {
        let huge = Float.greatestFiniteMagnitude
        for temperature: Float in [.leastNonzeroMagnitude, 1e-20, 1e-5, 2] {
            var parameters = SamplingParameters()
            parameters.temperature = temperature
            parameters.logprobs = 2
            #expect(sample([-huge, huge, -.infinity], task(parameters)).tokens == [1])
        }
    }

    @Test("A seed and a position decide, nothing else; 1,000 seeds differ")
    func seeds() {
        let logits = (0..<4_096).map { Float($0 % 13) * 0.01 }
        var parameters = SamplingParameters()
        var tokens: [Int32] = []
        var used = Sampler(vocabularySize: logits.count)
        for seed in 0..<1_000 {
            parameters.seed = UInt64(seed)
            var result = StepResult()
            sample(logits, task(parameters), &used, into: &result)
            #expect(result.tokens == sample(logits, task(parameters)).tokens)
            tokens += result.tokens
        }
        #expect(Set(tokens).count > 850)  // 1,000 draws from 4,096 give 887 distinct on average

        parameters.seed = 7
        let positions = (0..<100).map { position in
            sample(logits, task(parameters, output: Array(repeating: 5, count: position))).tokens
        }
        #expect(Set(positions).count > 90)
    }

    @Test("Draws follow the distribution")
    func distribution() {
        let logits: [Float] = [0, 1, 2, -1, 0.5]
        let weights = logits.map { exp(Double($0) / 0.8) }
        let total = weights.reduce(0, +)
        var parameters = SamplingParameters()
        parameters.temperature = 0.8
        parameters.seed = 99
        var counts = [Double](repeating: 0, count: logits.count)
        var sampler = Sampler(vocabularySize: logits.count)
        var result = StepResult()
        let draws = 40_000
        var task = task(parameters)
        for _ in 0..<draws {
            result.removeAll()
            sample(logits, task, &sampler, into: &result)
            counts[Int(result.tokens[0])] += 1
            task.history.append(0)
        }
        var chiSquare = 0.0
        for (count, weight) in zip(counts, weights) {
            let expected = weight / total * Double(draws)
            chiSquare += (count - expected) * (count - expected) / expected
        }
        #expect(chiSquare < 18.5)  // 0.1 % point of chi-square with 4 degrees of freedom
    }

    @Test("Weights are within 2^-40 or 4 units in the last place of exp")
    func exponentialAccuracy() {
        let logits = (0...30_000).map { Float($0) * -0.001 }
        var weights = TokenWeights(vocabularySize: logits.count)
        logits.withUnsafeBufferPointer { weights.fill($0, maximum: 0, temperature: 1) }
        for (logit, weight) in zip(logits, weights.values) {
            let exact = exp(Double(logit)) * Double(TokenWeights.one)
            #expect(abs(Double(weight) - exact) <= 1 + exact * 4 * 0x1p-24)
        }
        #expect(weights.total == weights.values.reduce(0, +))
    }
}
