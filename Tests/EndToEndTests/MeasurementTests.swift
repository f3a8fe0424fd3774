import Glibc
import LMSupport
import ProgramKit
import Testing

extension RealModelTests {
    /// The two ways to measure: the whole service with lmload, the engine alone with lmserve bench.
    @Suite struct MeasurementTests {
        @Test func lmloadReportsAsVLLMDoes() throws {
            let server = try Server()
            let file = "/tmp/lmload-test-\(getpid()).json"
            defer { unlink(file) }
            let outcome = try Programs.run(
                "lmload",
                [
                    "--host", server.address, "--num-prompts", "6", "--max-concurrency", "3", "--random-input-len",
                    "16",
                    "--random-output-len", "8", "--save-result", file,
                ])
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(outcome.output.contains("Successful requests:                     6"))
            #expect(outcome.output.contains("Total generated tokens:                  48"))
            struct Result: Decodable {
                let completed: Int
                let output_lens: [Int]
                let ttfts: [Double]
            }
            let result = try JSONText.decode(Result.self, from: InputText.bytes(of: file, limit: 1 << 20), source: file)
            #expect(result.completed == 6 && result.output_lens == Array(repeating: 8, count: 6))
            #expect(result.ttfts.allSatisfy { $0 > 0 })
        }

        @Test func benchPrintsOneObjectALine() throws {
            let model = try #require(Programs.model)
            let outcome = try Programs.run(
                "lmserve",
                [
                    "bench", "--model", model, "--prompt", "8", "--generate", "4", "--batch", "1,2", "--depth", "0,20",
                    "--threads", "1", "--repetitions", "1", "--format", "json",
                ])
            #expect(outcome.status == 0, "\(outcome.errors)")
            struct Row: Decodable {
                let kind: String
                let batch: Int
                let depth: Int
                let tokens_per_second: Double
                let operations_per_byte: Double
                let percent_of_ceiling: Double
            }
            let rows = try outcome.output.split(separator: "\n").map {
                try JSONText.decode(Row.self, from: Array($0.utf8), source: "bench")
            }
            let kinds = Array(repeating: ["prefill", "decode"], count: 4).flatMap { $0 }
            #expect(rows.map(\.kind) == kinds)
            #expect(rows.map(\.batch) == [1, 1, 1, 1, 2, 2, 2, 2])
            #expect(rows.map(\.depth) == [0, 0, 20, 20, 0, 0, 20, 20])
            #expect(rows.allSatisfy { $0.tokens_per_second > 0 && $0.percent_of_ceiling > 0 })
            // Weights serve all rows of a step: twice the batch, twice the products for every byte.
            #expect(abs(rows[5].operations_per_byte / rows[1].operations_per_byte - 2) < 1e-6)
        }

        @Test func benchSkipsWhatHasNoTokens() throws {
            let model = try #require(Programs.model)
            let outcome = try Programs.run(
                "lmserve",
                ["bench", "--model", model, "--prompt", "0", "--generate", "1", "--threads", "1", "--repetitions", "1"])
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(outcome.output.contains("decode") && !outcome.output.contains("prefill"))
        }
    }
}
