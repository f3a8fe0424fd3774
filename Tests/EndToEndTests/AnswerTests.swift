import Glibc
import LMSupport
import ProgramKit
import Testing

extension RealModelTests {
    /// Answers of the real model through the real programs.
    @Suite struct AnswerTests {
        private struct Answer: Decodable {
            struct Logprob: Decodable {
                struct Alternative: Decodable {
                    let token_id: Int32
                    let logprob: Float
                }
                let token_id: Int32
                let logprob: Float
                let top: [Alternative]
            }
            struct Usage: Decodable {
                let prompt, cached, completion: Int
            }
            struct Timing: Decodable {
                let queue, prefill, decode, total: Double
                let ttft: Double?
            }
            let id: String?
            let model: String
            let text: String
            let token_ids: [Int32]
            let logprobs: [Logprob]?
            let finish_reason: String
            let usage: Usage
            let timing_ms: Timing
        }

        private func decode<Value: Decodable>(_ text: some StringProtocol, as type: Value.Type = Value.self) throws
            -> Value
        {
            try JSONText.decode(type, from: Array(text.utf8), source: "output")
        }

        @Test func everyFormatCarriesTheSameAnswer() throws {
            let server = try Server()
            let question = "Name three primary colors."

            let text = try server.call("-T", "0", "--max-tokens", "24", question)
            #expect(text.status == 0, "\(text.errors)")
            #expect(!text.output.isEmpty && !text.output.contains("\u{1B}"))
            #expect(text.errors.isEmpty)

            let json = try server.call("-T0", "--max-tokens=24", "--format", "json", "--logprobs", "2", question)
            let answer: Answer = try decode(json.output)
            #expect(json.output.filter { $0 == "\n" }.count == 1)
            #expect(answer.text == text.output)
            #expect(["stop", "length"].contains(answer.finish_reason))
            #expect(answer.token_ids.count == answer.usage.completion)
            #expect(answer.usage.prompt > 0 && answer.timing_ms.total > 0)
            let logprobs = try #require(answer.logprobs)
            #expect(logprobs.map(\.token_id) == answer.token_ids)
            for entry in logprobs {
                // Greedy: the chosen token is the likeliest.
                #expect(entry.top.count == 2 && entry.top.first?.token_id == entry.token_id && entry.logprob <= 0)
            }

            let lines = try server.call("-T0", "--max-tokens=24", "--format", "ndjson", question).output
                .split(separator: "\n")
            struct Line: Decodable {
                let t: String
                let seq: Int?
                let text: String?
                let ids: [Int32]?
            }
            let events = try lines.map { try decode($0, as: Line.self) }
            #expect(events.first?.t == "open" && events.last?.t == "end")
            #expect(events.compactMap(\.text).joined() == text.output)
            #expect(events.compactMap(\.ids).flatMap { $0 } == answer.token_ids)
        }

        @Test func promptsComeFromStandardInputIdsAndMessages() throws {
            let server = try Server()
            let whole = try server.call("-T0", "--max-tokens", "8", "Say hello.")
            #expect(try server.call("-T0", "--max-tokens", "8", input: Array("Say hello.".utf8)).output == whole.output)

            let joined = try server.call("-T0", "--max-tokens", "8", "one\n\ntwo")
            #expect(
                try server.call("-T0", "--max-tokens", "8", "two", input: Array("one".utf8)).output == joined.output)

            let messages = #"[{"role": "user", "content": "Say hello."}]"#
            let conversation = try server.call(
                "-T0", "--max-tokens", "8", "--messages", "/dev/stdin", input: Array(messages.utf8))
            #expect(conversation.output == whole.output, "\(conversation.errors)")

            let ids = try server.call("tokenize", "--raw", "The capital of France is").output
            let numbers = ids.split { !$0.isNumber }.joined(separator: ",")
            let raw = try server.call("-T0", "--max-tokens", "8", "--raw", "The capital of France is")
            #expect(try server.call("-T0", "--max-tokens", "8", "--ids", numbers).output == raw.output)
            #expect(try server.call("detokenize", numbers).output == "The capital of France is")
        }

        /// The first tokens of the float32 oracle are the reference implementation's; all of them are compared in the
        /// engine's own tests.
        @Test func theReferenceBackEndGivesTheRecordedTokens() throws {
            let server = try Server(["--backend", "reference", "--max-model-len", "64", "--max-num-seqs", "1"])
            let answer: Answer = try decode(
                try server.call("-T0", "--max-tokens", "8", "--format", "json", "--ids", "504,3575,282,4649,314").output
            )
            #expect(answer.token_ids == [7042, 30, 198, 198, 504, 2988, 314, 42])
            #expect(answer.finish_reason == "length")
        }

        @Test func aServerSaysWhatItIs() throws {
            let server = try Server(["--served-model-name", "tiny"], listen: "unix:/tmp/lmcall-test-\(getpid()).sock")
            #expect(server.address.hasPrefix("unix:"))
            #expect(try server.call("health").output.contains("ready"))
            #expect(try server.call("models").output.contains("tiny"))
            #expect(try server.statistic("requests_running") ?? 0 == 0)
        }

        @Test(arguments: [
            (["--ids", "1,2000000000"], 65, "2000000000"),
            (["--max-tokens", "100000", "hi"], 65, "100000"),
            (["--ids", Array(repeating: "5", count: 9000).joined(separator: ",")], 65, "9000"),
            (["--model", "other", "hi"], 5, "other"),
        ])
        func aRequestThatCannotBeServedSaysWhy(arguments: [String], status: Int32, message: String) throws {
            let server = try Server()
            let outcome = try Programs.run("lmcall", arguments, environment: ["LMCALL_HOST": server.address])
            #expect(outcome.status == status, "\(outcome.errors)")
            #expect(outcome.errors.contains(message), "\(outcome.errors)")
            #expect(try server.call("-T0", "--max-tokens", "2", "Still there?").status == 0)
        }
    }
}
