/// Requests of random token ids, like vLLM's `random` data set. Ids are sent as they are, so no tokenizer changes their
/// number on the way.
package struct RandomWorkload: Sendable {
    /// Mean tokens of a prompt; at least 1.
    package var inputLength: Int
    /// Mean tokens of an answer; at least 1.
    package var outputLength: Int
    /// Lengths are uniform in `length * (1 - ratio) ... length * (1 + ratio)`; 0 ..< 1.
    package var rangeRatio: Double
    /// Ids are in 0 ..< this.
    package var vocabularySize: Int

    /// Creates a workload.
    package init(inputLength: Int, outputLength: Int, rangeRatio: Double, vocabularySize: Int) {
        precondition(inputLength >= 1 && outputLength >= 1, "lengths are positive")
        precondition(vocabularySize >= 1, "a vocabulary has an id")
        precondition((0..<1).contains(rangeRatio), "the range ratio is below 1")
        self.inputLength = inputLength
        self.outputLength = outputLength
        self.rangeRatio = rangeRatio
        self.vocabularySize = vocabularySize
    }

    /// One request to send.
    package struct Request: Sendable, Equatable {
        /// The prompt's token ids.
        package let prompt: [Int32]
        /// Tokens to generate.
        package let outputLength: Int
    }

    /// Draws `count` requests.
    package func requests(count: Int, using random: inout SeededRandom) -> [Request] {
        (0..<count).map { _ in
            let inputs = length(around: inputLength, using: &random)
            let outputs = length(around: outputLength, using: &random)
            let prompt = (0..<inputs).map { _ in Int32.random(in: 0..<Int32(clamping: vocabularySize), using: &random) }
            return Request(prompt: prompt, outputLength: outputs)
        }
    }

    private func length(around mean: Int, using random: inout SeededRandom) -> Int {
        let low = Int((Double(mean) * (1 - rangeRatio)).rounded(.down))
        let high = Int((Double(mean) * (1 + rangeRatio)).rounded(.up))
        return Int.random(in: max(1, low)...max(1, high), using: &random)
    }
}
