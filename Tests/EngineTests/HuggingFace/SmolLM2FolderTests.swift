import LMEngine
import TestKit
import Testing

/// The real model, written as a folder, against its own file.
@Suite(.enabled(if: testModelPath != nil, "set LM_TEST_MODEL to SmolLM2's GGUF file"), .serialized)
struct SmolLM2FolderTests {
    @Test func `the folder's ids, logits and tokens are those of the file`() throws {
        let file = try #require(testModelPath)
        let folder = try LlamaFolder.make(fromGGUF: file)  // half a gigabyte, gone with this test
        try compareTokenizers(loadCheckpoint(path: file).tokenizer, loadCheckpoint(path: folder.path).tokenizer)

        let prompt = try #require(SmolLM2Golden.all().first)
        func run(_ path: String) throws -> (logits: [Float], greedy: [Int32]) {
            let backend = try ReferenceBackend(checkpoint: loadCheckpoint(path: path))
            let driver = try Greedy(backend, tokens: 256)
            let logits = backend.forward(driver.plan(prompt.ids, 0..<prompt.ids.count, samples: true))
            return (logits, try driver.generate(prompt.ids, count: 16))
        }
        let (expected, found) = (try run(file), try run(folder.path))
        #expect(found.greedy == expected.greedy)
        #expect(found.greedy == Array(prompt.greedy.prefix(16)))
        #expect(relativeError(found.logits, expected.logits) < 1e-4)
    }

    private func compareTokenizers(_ file: any Tokenizer, _ folder: any Tokenizer) throws {
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
