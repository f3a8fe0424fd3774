import Foundation
import LMEngine
import TestKit
import Testing

@Suite struct PerplexityTests {
    private static let text: [Int32] = (0..<90).map { Int32($0 * 37 % 96 + 3) }

    /// -ln p of `tokens[position]` given all before it from `start` on, from logits of one sequence at a time.
    private func loss(
        _ backend: ReferenceBackend, _ tokens: [Int32], from start: Int, at position: Int, beginning: Int32?
    ) throws -> Double {
        let history = (beginning.map { [$0] } ?? []) + tokens[start..<position]
        let driver = try Greedy(backend, tokens: history.count)
        let logits = backend.forward(driver.plan(history, 0..<history.count, samples: true)).map(Double.init)
        let largest = logits.max() ?? 0
        return largest + log(logits.reduce(0) { $0 + exp($1 - largest) }) - logits[Int(tokens[position])]
    }

    private func model(_ family: String) throws -> FamilyModel {
        try #require(FamilyModel.all().first { $0.family == family })
    }

    @Test(arguments: [nil, 1] as [Int32?])
    func `perplexity in one window is what the logits say`(beginning: Int32?) throws {
        let folder = try model("llama").folder()
        let checkpoint = try loadCheckpoint(path: folder.path)
        let backend = try ReferenceBackend(checkpoint: checkpoint)
        let text = Array(Self.text.prefix(20))
        let first = beginning == nil ? 1 : 0
        let losses = try (first..<20).map { try loss(backend, text, from: 0, at: $0, beginning: beginning) }
        let result = try PerplexityEvaluation(
            backend: backend, vocabularySize: checkpoint.configuration.vocabularySize, text: text,
            beginning: beginning, context: 64
        ).run()
        let mean = losses.reduce(0, +) / Double(losses.count)
        let variance = losses.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(losses.count - 1)
        #expect(result.tokens == 20 - first)
        #expect(abs(result.meanNegativeLogLikelihood - mean) < 1e-5)
        #expect(abs(result.standardError - (variance / Double(losses.count)).squareRoot()) < 1e-5)
        #expect(abs(result.value - exp(mean)) < 1e-3)
    }

    @Test(arguments: [nil, 1] as [Int32?])
    func `windows overlap by half and foretell each token once`(beginning: Int32?) throws {
        let folder = try model("qwen2").folder()
        let checkpoint = try loadCheckpoint(path: folder.path)
        let backend = try ReferenceBackend(checkpoint: checkpoint)
        let window = 24 - (beginning == nil ? 0 : 1)
        let first = beginning == nil ? 1 : 0
        let losses = try (first..<Self.text.count).map { position in
            // The first window that holds the token.
            let start = position < window ? 0 : ((position - window) / (window / 2) + 1) * (window / 2)
            return try loss(backend, Self.text, from: start, at: position, beginning: beginning)
        }
        let evaluation = try PerplexityEvaluation(
            backend: backend, vocabularySize: checkpoint.configuration.vocabularySize, text: Self.text,
            beginning: beginning, context: 24)
        var done: [Int] = []
        let result = try evaluation.run { tokens, total in
            #expect(total == losses.count)
            done.append(tokens)
        }
        #expect(result.tokens == losses.count && done.last == losses.count && done == done.sorted())
        #expect(abs(result.meanNegativeLogLikelihood - losses.reduce(0, +) / Double(losses.count)) < 1e-5)
    }

    @Test func `logits that transformers computed give the same likelihood of the text`() throws {
        let model = try model("qwen2")
        let golden = zip(model.positions, model.expectedLogits()).compactMap { position, logits -> (Int, Double)? in
            guard position + 1 < model.prompt.count else { return nil }
            let largest = Double(logits.max() ?? 0)
            let sum = logits.reduce(0) { $0 + exp(Double($1) - largest) }
            return (position, largest + log(sum) - Double(logits[Int(model.prompt[position + 1])]))
        }
        try #require(!golden.isEmpty)
        let folder = try model.folder()
        let checkpoint = try loadCheckpoint(path: folder.path)
        let reference = try ReferenceBackend(checkpoint: checkpoint)
        let fast = try CPUBackend(checkpoint: checkpoint, threads: 2)
        func total(_ backend: any Backend, _ count: Int) throws -> Double {
            guard count > 1 else { return 0 }
            let result = try PerplexityEvaluation(
                backend: backend, vocabularySize: checkpoint.configuration.vocabularySize,
                text: Array(model.prompt.prefix(count)), beginning: nil, context: 128
            ).run()
            return result.meanNegativeLogLikelihood * Double(result.tokens)
        }
        for (position, expected) in golden {
            for (backend, tolerance) in [(reference as any Backend, 1e-4), (fast as any Backend, 1e-2)] {
                let own = try total(backend, position + 2) - total(backend, position + 1)
                #expect(abs(own - expected) < tolerance, "\(backend.summary), position \(position)")
            }
        }
    }

    @Test(arguments: FamilyModel.Storage.allCases)
    func `the fast back end's perplexity is close to the reference's`(storage: FamilyModel.Storage) throws {
        let folder = try model("llama").folder(storage: storage)
        let checkpoint = try loadCheckpoint(path: folder.path)
        func value(_ backend: any Backend) throws -> Double {
            try PerplexityEvaluation(
                backend: backend, vocabularySize: checkpoint.configuration.vocabularySize, text: Self.text,
                beginning: 1, context: 40
            ).run().meanNegativeLogLikelihood
        }
        let expected = try value(ReferenceBackend(checkpoint: checkpoint))
        #expect(abs(try value(CPUBackend(checkpoint: checkpoint, threads: 2)) - expected) < 2e-3)
    }

    @Test func `a text with nothing to foretell is refused, and a context too short`() throws {
        let fake = FakeBackend(vocabularySize: 50)
        for (text, context) in [([], 8), ([3], 8), ([3, 4, 5], 3)] as [([Int32], Int)] {
            #expect(throws: EngineError.self) {
                try PerplexityEvaluation(
                    backend: fake, vocabularySize: 50, text: text, beginning: nil, context: context)
            }
        }
    }
}
