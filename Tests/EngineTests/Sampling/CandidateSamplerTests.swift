import Glibc
import LMEngine
import TestKit
import Testing

@Suite("Sampling from the largest logits alone")
struct CandidateSamplerTests {
    private func result(of logits: [Float], _ task: SampleTask) -> StepResult {
        var sampler = Sampler(vocabularySize: logits.count)
        var (row, result) = (logits, StepResult())
        row.withUnsafeMutableBufferPointer { sampler.sample($0, task, into: &result) }
        return result
    }

    private func sample(_ logits: [Float], _ task: SampleTask) -> Int32 { result(of: logits, task).tokens[0] }

    private func choice(
        _ candidates: [(token: Int32, logit: Float)], of vocabularySize: Int, _ task: SampleTask, _ sums: LogSums?
    ) -> CandidateSampler.Choice? {
        var sampler = CandidateSampler(count: candidates.count, vocabularySize: vocabularySize)
        return sampler.choose(task, sums) { candidates[$0] }
    }

    private func choose(
        _ candidates: [(token: Int32, logit: Float)], of vocabularySize: Int, _ task: SampleTask,
        _ sums: LogSums? = nil
    ) -> Int32? {
        choice(candidates, of: vocabularySize, task, sums)?.token
    }

    /// Sums over a row, each off by a share of itself.
    private func sums(of row: [Float], _ temperature: Float, off error: Double = 0) -> LogSums {
        let largest = Double(row.max() ?? 0)
        func sum(_ temperature: Double) -> Float {
            let sum = row.reduce(0.0) { $0 + exp((Double($1) - largest) / temperature) }
            return Float(largest / temperature + log(sum * (1 + error)))
        }
        return LogSums(plain: sum(1), tempered: temperature == 0 ? 0 : sum(Double(temperature)))
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

    @Test("So is what top-p keeps of a whole row, with sums as wrong as they may be, and log-probabilities go with it")
    func againstWholeRowsWithSums() {
        var random = TestRandom(seed: 17)
        var (chosen, all, peaked, cut) = (0, 0, 0, 0)
        for round in 0..<9_000 {
            let size = [40, 300, 2_000][round % 3]
            let isPeaked = round % 2 == 0
            let row = randomRow(size, steps: [0, 0.125, 1][random.below(3)], scale: isPeaked ? 60 : 3, &random)
            var task = randomTask(size, &random)
            if random.below(3) == 0 { task.parameters.logprobs = random.below(21) }
            if random.below(2) == 0 {
                // Nothing but top-p, where it is a close thing.
                let temperature: Float = [0.3, 0.7, 1, 2][random.below(4)]
                task = self.task {
                    ($0.temperature, $0.seed) = (temperature, random.next())
                    $0.topP = edge(of: row, temperature, &random)
                }
            }
            let count = [8, 24, 32, 128][random.below(4)]
            guard count <= size, task.source(candidateCount: count) == .candidatesAndSums else { continue }
            (all, peaked) = (all + 1, peaked + (isPeaked ? 1 : 0))
            let sums = sums(of: row, task.parameters.temperature, off: (random.unit() * 2 - 1) / 520)
            guard let choice = choice(largest(count, of: row, &random), of: size, task, sums) else { continue }
            (chosen, cut) = (chosen + 1, cut + (isPeaked ? 1 : 0))
            let whole = result(of: row, task)
            #expect(choice.token == whole.tokens[0], "round \(round): \(task.parameters)")
            #expect(choice.logprobs.map(\.token) == whole.logprobs.map(\.token), "round \(round)")
            for (own, other) in zip(choice.logprobs, whole.logprobs) {
                #expect(abs(own.logprob - other.logprob) < 0x1p-8, "round \(round)")
            }
        }
        #expect(all > 3_000 && chosen > all / 3, "\(chosen) of \(all)")
        #expect(cut > peaked / 2, "\(cut) of \(peaked)")
    }

    /// A top-p that ends close to the end of a token's part of the sum.
    private func edge(of row: [Float], _ temperature: Float, _ random: inout TestRandom) -> Float {
        let largest = row.max() ?? 0
        let weights = row.map { exp(Double($0 - largest) / Double(temperature)) }
        let first = weights.sorted(by: >).prefix(1 + random.below(8)).reduce(0, +)
        return Float(min(first / weights.reduce(0, +) * (1 + (random.unit() - 0.5) / 250), 1))
    }

    @Test("Top-p ends where it ends of the whole row, or nothing is chosen, however close to a token's end it is")
    func edgesOfTopP() {
        // Weights of 128 together.
        let row = [64, 32, 16, 8, 4, 4].map { log(Float($0)) }
        let candidates = (0..<4).map { (Int32($0), row[$0]) }
        var tokens: [Float: Set<Int32?>] = [:]
        for share: Float in [0.497, 0.4999, 0.5001, 0.503, 0.74, 0.76, 0.87, 0.8749, 0.88] {
            for seed in 0..<200 {
                let task = task { ($0.topP, $0.seed) = (share, UInt64(seed)) }
                for error in [-0.0015, 0, 0.0015] {
                    let token = choose(candidates, of: 6, task, sums(of: row, 1, off: error))
                    #expect(token == nil || token == sample(row, task))
                    tokens[share, default: []].insert(token)
                }
            }
        }
        for share: Float in [0.497, 0.503, 0.74, 0.76, 0.87] {
            #expect(tokens[share]?.contains(nil) == false, "at \(share) the sum tells enough")
        }
        for share: Float in [0.4999, 0.5001, 0.8749, 0.88] {
            #expect(tokens[share] == [nil], "at \(share) the next token may have a part, or the last candidate has one")
        }
        #expect(tokens[0.76] == [0, 1, 2])
    }

    @Test("Top-p behind a top-k or min-p that reaches beyond the candidates")
    func topPBehindWideFilters() {
        let row: [Float] = [9, 8, 7, 1, 0.5, 0, -1, -2]
        let candidates = (0..<4).map { (Int32($0), row[$0]) }
        for seed in 0..<100 {
            for change: (inout SamplingParameters) -> Void in [{ $0.topK = 6 }, { $0.minP = 0.0001 }] {
                let task = task {
                    change(&$0)
                    ($0.topP, $0.seed) = (0.9, UInt64(seed))
                }
                let token = choose(candidates, of: 8, task, sums(of: row, 1))
                #expect(token != nil && token == sample(row, task))
            }
        }
        // How many of the eight light ones are kept decides whether the second is.
        let close: [Float] = [2, 1] + [Float](repeating: 0, count: 8)
        let task = task { ($0.topK, $0.topP) = (4, 0.6) }
        #expect(choose([(0, 2), (1, 1)], of: 10, task, sums(of: close, 1)) == nil)
    }

    @Test("Penalties that make candidates light leave the others' weight as it was, or lighter")
    func topPWithPenalties() {
        var random = TestRandom(seed: 23)
        var (chosen, all) = (0, 0)
        for round in 0..<2_000 {
            let row = randomRow(400, steps: 0, scale: 40, &random)
            let order = row.indices.sorted { row[$0] > row[$1] }
            // Those that would be chosen are what was said already.
            let history =
                order.prefix(random.below(5) + 1).map { Int32($0) }
                + (0..<random.below(200)).map { _ in Int32(random.below(400)) }
            let task = task(history, promptLength: 1, banned: round % 4 == 0 ? [history[0]] : []) { parameters in
                parameters.topP = [0.5, 0.8, 0.95][random.below(3)]
                parameters.temperature = [0.3, 0.7, 1, 1.5][random.below(4)]
                parameters.repetitionPenalty = [1, 1.1, 1.3, 2][random.below(4)]
                parameters.presencePenalty = [0, 1.5][random.below(2)]
                parameters.frequencyPenalty = [0, 0.5][random.below(2)]
                parameters.seed = random.next()
            }
            all += 1
            let sums = sums(of: row, task.parameters.temperature, off: (random.unit() * 2 - 1) / 520)
            guard let token = choose(largest(64, of: row, &random), of: 400, task, sums) else { continue }
            chosen += 1
            #expect(token == sample(row, task), "round \(round): \(task.parameters)")
        }
        #expect(chosen > all / 4, "\(chosen) of \(all)")
    }

    @Test("Log-probabilities are those of the whole row; where another token may be among the likeliest there are none")
    func logprobs() throws {
        let row: [Float] = [3, 5, 3, 4, 3, 2.5]
        func choice(_ count: Int, _ candidates: [(token: Int32, logit: Float)]) -> CandidateSampler.Choice? {
            let task = task { ($0.temperature, $0.logprobs) = (0, count) }
            return self.choice(candidates, of: 6, task, sums(of: row, 0))
        }
        let few: [(token: Int32, logit: Float)] = [(3, 4), (1, 5), (4, 3)]
        for count in 0...2 {
            let own = try #require(choice(count, few)).logprobs
            let whole = result(of: row, task { ($0.temperature, $0.logprobs) = (0, count) }).logprobs
            #expect(own.map(\.token) == whole.map(\.token))
            for (a, b) in zip(own, whole) { #expect(abs(a.logprob - b.logprob) < 1e-6) }
        }
        #expect(choice(3, few) == nil, "token 0 is as likely as token 4, and comes before it")
        #expect(choice(4, few) == nil)
        let all = row.indices.map { (Int32($0), row[$0]) }
        #expect(choice(20, all)?.logprobs.map(\.token) == [1, 1, 3, 0, 2, 4, 5])
        // What is asked for is of the row as the model gave it.
        let penalized = task([1]) { ($0.temperature, $0.logprobs, $0.repetitionPenalty) = (0, 1, 2) }
        let own = self.choice(few, of: 6, penalized, sums(of: row, 0))?.logprobs.map(\.token)
        #expect(own == [3, 1] && own == result(of: row, penalized).logprobs.map(\.token))
    }

    @Test("Sums that a row cannot have are not believed")
    func wrongSums() {
        let row: [Float] = [5, 4, 3, 2, 1, 0, -1, -2]
        let candidates = (0..<4).map { (Int32($0), row[$0]) }
        let task = task { ($0.topP, $0.logprobs) = (0.7, 1) }
        let right = sums(of: row, 1)
        #expect(choose(candidates, of: 8, task, right) != nil)
        #expect(choose(candidates, of: 8, task) == nil)
        // The four candidates weigh 98 % of the sum, and others could weigh an eighth of what these do.
        for wrong: Float in [.nan, .infinity, -.infinity, 0, 1e30, right.plain - 0.04, right.plain + 0.15] {
            #expect(choose(candidates, of: 8, task, LogSums(plain: right.plain, tempered: wrong)) == nil, "\(wrong)")
            #expect(choose(candidates, of: 8, task, LogSums(plain: wrong, tempered: right.plain)) == nil, "\(wrong)")
        }
    }

    @Test("At temperatures so low that the logarithm tells nothing, nothing is chosen from it")
    func lowTemperatures() {
        // Tokens that hardly differ, at 3,000 times the logits: float32 has the logarithm to a thousandth.
        let row = (0..<64).map { 30 - Float($0) * 1e-4 }
        let candidates = (0..<32).map { (Int32($0), row[$0]) }
        for temperature in [0.01, 1e-30, Float.leastNonzeroMagnitude] {
            for seed in 0..<50 {
                let task = task { ($0.temperature, $0.topP, $0.seed) = (temperature, 0.8, UInt64(seed)) }
                let token = choose(candidates, of: 64, task, sums(of: row, temperature))
                #expect(token == nil || token == sample(row, task))
            }
        }
    }

    /// Few are large, as in a model's rows; without steps hardly two are equal.
    private func randomRow(
        _ size: Int, steps: Float, scale: Double = 30, _ random: inout TestRandom
    ) -> [Float] {
        (0..<size).map { _ in
            let value = Float(random.unit() * random.unit() * random.unit() * scale - 10)
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
        #expect(source { $0.temperature = 0.5 } == .logits)
        #expect(source { $0.topP = 0.5 } == .candidatesAndSums)
        #expect(source { ($0.topK, $0.topP) = (128, 0.5) } == .candidatesAndSums)
        #expect(source { ($0.topP, $0.presencePenalty) = (0.5, -0.1) } == .logits)
        #expect(source { $0.minP = 0.01 } == .candidates)
        #expect(source { $0.minP = 0.001 } == .logits)
        #expect(source { ($0.topK, $0.logprobs) = (5, 0) } == .candidatesAndSums)
        #expect(source { ($0.temperature, $0.logprobs) = (0, 0) } == .candidatesAndSums)
        #expect(source { $0.logprobs = 0 } == .logits)
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
