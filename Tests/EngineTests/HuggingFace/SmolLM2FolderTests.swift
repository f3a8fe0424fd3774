import LMEngine
import TestKit
import Testing

/// The real model, written as a folder, against its own file.
@Suite(.enabled(if: testModelPath != nil, "set LM_TEST_MODEL to SmolLM2's GGUF file"), .serialized)
struct SmolLM2FolderTests {
    private static let folder = Result { try LlamaFolder.make(fromGGUF: testModelPath ?? "") }

    @Test func `the folder's logits and tokens are those of the file`() throws {
        let prompt = try #require(SmolLM2Golden.all().first)
        func run(_ path: String) throws -> (logits: [Float], greedy: [Int32]) {
            let backend = try ReferenceBackend(checkpoint: loadCheckpoint(path: path))
            let driver = try Greedy(backend, tokens: 256)
            let logits = backend.forward(driver.plan(prompt.ids, 0..<prompt.ids.count, samples: true))
            return (logits, try driver.generate(prompt.ids, count: 16))
        }
        let file = try run(testModelPath ?? "")
        let folder = try run(Self.folder.get().path)
        #expect(folder.greedy == file.greedy)
        #expect(folder.greedy == Array(prompt.greedy.prefix(16)))
        #expect(relativeError(folder.logits, file.logits) < 1e-4)
    }

    @Test func `the folder's tokenizer yields the ids of the file's`() throws {
        let file = try loadCheckpoint(path: testModelPath ?? "").tokenizer
        let folder = try loadCheckpoint(path: Self.folder.get().path).tokenizer
        #expect(folder.vocabularySize == file.vocabularySize && folder.endTokens == file.endTokens)
        let texts = ["", "Hello, world!", "x = 3.1415926; // ünïcödé 你好 🙂\n\n\tdone", "<|im_start|>user 1234567"]
        for text in texts + (try SmolLM2Golden.all().compactMap(\.text)) {
            for parsesSpecial in [false, true] {
                var ids: [[Int32]] = [[], []]
                let bytes = Array(text.utf8)
                file.encode(bytes.span, parseSpecial: parsesSpecial, into: &ids[0])
                folder.encode(bytes.span, parseSpecial: parsesSpecial, into: &ids[1])
                #expect(ids[0] == ids[1], "\(text)")
            }
        }
    }
}
