import Glibc
import LMEngine

/// The sampler as the formulas say it: every filter sorts the whole vocabulary, all arithmetic in Double.
enum SamplerOracle {
    static func sample(_ logits: [Float], _ task: SampleTask) -> (token: Int32, logprobs: [TokenLogprob]) {
        let adjusted = penalized(logits, task)
        let parameters = task.parameters
        let token: Int32
        if parameters.isGreedy {
            token = Int32(order(adjusted)[0])
        } else {
            let maximum = adjusted.max() ?? 0
            var weights = adjusted.map { exp((Double($0) - Double(maximum)) / Double(parameters.temperature)) }
            minP(&weights, parameters.minP)
            topK(&weights, parameters.topK)
            topP(&weights, parameters.topP)
            token = draw(weights, CounterRandom.bits(seed: parameters.seed ?? 0, position: task.outputPosition))
        }
        return (token, logprobs(logits, token, parameters.logprobs))
    }

    private static func penalized(_ logits: [Float], _ task: SampleTask) -> [Float] {
        var logits = logits
        for token in task.bannedTokens { logits[Int(token)] = -.infinity }
        let output = task.history[task.promptLength...]
        for token in Set(task.history) {
            let rate = task.parameters.repetitionPenalty
            logits[Int(token)] = logits[Int(token)] > 0 ? logits[Int(token)] / rate : logits[Int(token)] * rate
        }
        for token in Set(output) {
            let count = Float(output.count { $0 == token })
            logits[Int(token)] -= task.parameters.frequencyPenalty * count
            logits[Int(token)] -= task.parameters.presencePenalty
        }
        return logits
    }

    /// Ids in descending order of value, the lower id first among equals.
    private static func order<T: Comparable>(_ values: [T]) -> [Int] {
        values.indices.sorted { values[$0] > values[$1] || (values[$0] == values[$1] && $0 < $1) }
    }

    private static func minP(_ weights: inout [Double], _ share: Float) {
        let largest = weights.max() ?? 0
        for index in weights.indices where weights[index] < Double(share) * largest { weights[index] = 0 }
    }

    private static func topK(_ weights: inout [Double], _ count: Int) {
        guard count > 0, count < weights.count else { return }
        let last = weights[order(weights)[count - 1]]
        for index in weights.indices where weights[index] < last { weights[index] = 0 }
    }

    /// vLLM sorts ascending and drops what lies in the first 1 - p of the cumulative sum, but never the last.
    private static func topP(_ weights: inout [Double], _ share: Float) {
        guard share < 1 else { return }
        let total = weights.reduce(0, +)
        var cumulative = 0.0
        for index in order(weights).dropFirst().reversed() {
            cumulative += weights[index] / total
            if cumulative <= 1 - Double(share) { weights[index] = 0 }
        }
    }

    private static func draw(_ weights: [Double], _ random: UInt64) -> Int32 {
        var remaining = weights.reduce(0, +) * (Double(random) / 0x1p64)
        for (token, weight) in weights.enumerated() {
            if remaining < weight { return Int32(token) }
            remaining -= weight
        }
        return Int32(weights.lastIndex { $0 > 0 } ?? 0)
    }

    private static func logprobs(_ logits: [Float], _ token: Int32, _ count: Int?) -> [TokenLogprob] {
        guard let count else { return [] }
        let maximum = Double(logits.max() ?? 0)
        let logarithmOfSum = log(logits.reduce(0.0) { $0 + exp(Double($1) - maximum) })
        let ids = [Int(token)] + order(logits).prefix(count)
        return ids.map {
            TokenLogprob(token: Int32($0), logprob: Float(Double(logits[$0]) - maximum - logarithmOfSum))
        }
    }
}
