import Glibc
import LMSupport
import ProgramKit
import Testing

extension RealModelTests {
    /// Embeddings of the real model through the real programs.
    @Suite struct EmbeddingTests {
        private struct Line: Decodable {
            struct Failure: Decodable {
                let code: String
            }
            let index: Int
            let embedding: [Float]?
            let prompt_tokens: Int?
            let error: Failure?
        }

        private func lines(_ outcome: ChildProcess.Outcome) throws -> [Line] {
            try outcome.output.split(separator: "\n").map {
                try JSONText.decode(Line.self, from: Array($0.utf8), source: "output")
            }
        }

        private func cosine(_ one: Line, _ other: Line) throws -> Float {
            let (one, other) = (try #require(one.embedding), try #require(other.embedding))
            func dot(_ a: [Float], _ b: [Float]) -> Float { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
            return dot(one, other) / (dot(one, one) * dot(other, other)).squareRoot()
        }

        @Test func `related sentences lie closer than unrelated ones`() throws {
            let server = try Server()
            let texts = [
                "The cat sleeps on the warm sofa.", "A kitten is napping on the couch.",
                "The central bank raised its interest rates again.", "Interest rates went up, the bank announced.",
            ]
            let input = Array(texts.joined(separator: "\n").utf8)
            let outcome = try server.call("embed", "--lines", "--pooling", "mean", "--normalize", input: input)
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(outcome.errors.isEmpty)
            let lines = try lines(outcome)
            #expect(lines.map(\.index) == [0, 1, 2, 3])
            for line in lines {
                let vector = try #require(line.embedding)
                #expect(vector.count == 576)
                #expect(abs(vector.reduce(0) { $0 + $1 * $1 } - 1) < 1e-4)
                #expect((line.prompt_tokens ?? 0) > 4)
            }
            let related = try min(cosine(lines[0], lines[1]), cosine(lines[2], lines[3]))
            for (one, other) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
                #expect(try cosine(lines[one], lines[other]) < related - 0.02, "\(one) and \(other), \(related)")
            }

            // The last token's vector is another one, and not of length 1.
            let last = try self.lines(try server.call("embed", texts[0]))
            #expect(last.count == 1 && last[0].index == 0 && last[0].prompt_tokens == lines[0].prompt_tokens)
            #expect(try cosine(last[0], lines[0]) < 0.99)
            #expect(try #require(last[0].embedding).reduce(0) { $0 + $1 * $1 } > 2)
        }

        @Test func `a text that the server refuses costs the others nothing`() throws {
            let model = try TinyModelFile()
            let server = try Server(["--max-model-len", "64"], model: model.path)
            let path = "/tmp/lmcall-embed-\(server.process.id).txt"
            let long = String(repeating: "many words ", count: 100)
            let texts = (0..<70).map { $0 == 40 ? long : "text \($0)" }
            try saveText(texts.joined(separator: "\n") + "\n", to: path)
            defer { unlink(path) }
            let outcome = try server.call("embed", "--lines", "--file", path)
            #expect(outcome.status == 65, "\(outcome.errors)")
            #expect(outcome.errors.contains("context"), "\(outcome.errors)")
            let lines = try lines(outcome)
            #expect(lines.map(\.index) == Array(0..<70))
            for line in lines {
                #expect((line.error?.code == "TOO_LARGE") == (line.index == 40))
                #expect((line.embedding == nil) == (line.index == 40))
            }
            let wrong = try server.call("embed", "--model", "nonexistent", "a")
            #expect(wrong.status == 5 && wrong.errors.contains("nonexistent"), "\(wrong.errors)")
            #expect(try self.lines(wrong).first?.error?.code == "NOT_FOUND")
        }
    }
}
