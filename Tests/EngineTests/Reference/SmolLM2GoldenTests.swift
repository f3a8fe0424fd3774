import LMEngine
import TestKit
import Testing

/// Tests/Goldens/smollm2.json: a real model, a real file, the reference implementation's answers.
struct SmolLM2Golden: Decodable {
    struct Prompt: Decodable, CustomTestStringConvertible {
        struct Message: Decodable {
            let role, content: String
        }

        let text: String?
        let messages: [Message]?
        let rendered: String?
        let ids: [Int32]
        let greedy: [Int32]
        let top5: [Int32]

        var testDescription: String { text ?? messages?.last?.content ?? "" }
    }

    let prompts: [Prompt]

    static func all() throws -> [Prompt] { try Golden.load("smollm2.json", as: SmolLM2Golden.self).prompts }
}

@Suite(.enabled(if: testModelPath != nil, "set LM_TEST_MODEL to SmolLM2's GGUF file"), .serialized)
struct SmolLM2GoldenTests {
    private static let checkpoint = Result { try loadCheckpoint(path: testModelPath ?? "") }

    @Test("float32 greedy tokens equal transformers'")
    func referenceGreedy() throws {
        let backend = try ReferenceBackend(checkpoint: try Self.checkpoint.get())
        let driver = try Greedy(backend, tokens: 256)
        // The CPU back end is asked for all of them; this one reads half a gigabyte a token.
        for prompt in try SmolLM2Golden.all() where prompt.ids.count < 30 {
            let expected = Array(prompt.greedy.prefix(8))
            #expect(try driver.generate(prompt.ids, count: expected.count) == expected, "\(prompt.testDescription)")
        }
    }
}
