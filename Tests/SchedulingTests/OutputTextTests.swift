import LMEngine
import TestKit
import Testing

@Suite("Ends and text of a sequence")
struct OutputTextTests {
    /// The output of a request whose model says these tokens, one after the other.
    private func output(
        of tokens: [Int32], pieces: [String] = [], _ adjust: @escaping (inout GenerationRequest) -> Void
    ) throws -> Output {
        var script = FakeBackend.Script()
        script.output = { history, promptLength in
            let position = history.count - promptLength
            return position < tokens.count ? .token(tokens[position]) : .natural
        }
        let request = GenerationRequest.test(maxTokens: tokens.count) { request in
            request.sampling.temperature = 0
            adjust(&request)
        }
        let tokenizer = FakeTokenizer(pieces: pieces.map { Array($0.utf8) })
        return try SchedulerHarness.alone(request, tokenizer: tokenizer, script: script)
    }

    private func bytes(_ text: String) -> [Int32] { text.utf8.map(Int32.init) }

    @Test(
        "A stop string ends the output wherever tokens cut it; nothing of it gets out",
        arguments: [
            (["ab STO", "P cd", "ef"], ["STOP"], "ab ", 2),
            (["ab", " STOP", "ef"], ["STOP"], "ab ", 2),
            (["S", "T", "O", "P"], ["STOP"], "", 4),
            (["S", "T", "O", "X", "S"], ["STOP"], "STOXS", 5),
            (["aSTSTO", "P"], ["STOP"], "aST", 2),
            (["one", " two", " three"], ["three", " t"], "one", 2),
            (["\u{1F600}", "é", "x"], ["é"], "\u{1F600}", 2),
        ])
    func stopStrings(pieces: [String], stops: [String], text: String, tokens: Int) throws {
        let said = pieces.indices.map { FakeTokenizer.firstPiece + Int32($0) }
        let output = try output(of: said, pieces: pieces) { $0.stop.stopStrings = stops }
        #expect(output.string == text)
        #expect(output.tokens.count == tokens)
        #expect(output.reason == (tokens < pieces.count || text != pieces.joined() ? .stop : .length))
    }

    @Test("Characters of several tokens come whole, with the token that completes them")
    func characters() throws {
        let output = try output(of: bytes("a\u{1F600}é")) { _ in }
        #expect(output.string == "a\u{1F600}é")
        #expect(output.tokens == bytes("a\u{1F600}é"))
        let cut = try self.output(of: [97, 0xF0, 0x9F]) { _ in }
        #expect(cut.string == "a\u{FFFD}")
    }

    @Test("Text that may become a stop string comes out at any other end")
    func heldText() throws {
        let byLength = try output(of: bytes("abST")) { $0.stop.stopStrings = ["STOP"] }
        #expect(byLength.string == "abST" && byLength.reason == .length)
        let byEnd = try output(of: bytes("abST") + [FakeTokenizer.end, 97]) { $0.stop.stopStrings = ["STOP"] }
        #expect(byEnd.string == "abST" && byEnd.reason == .stop)
    }

    @Test(
        "Bytes of an unfinished character come out as U+FFFD at any end, after text that was held",
        arguments: [[], ["STOP"]])
    func danglingBytes(stops: [String]) throws {
        let said = bytes("abST") + [0xF0, 0x9F]
        let byLength = try output(of: said) { $0.stop.stopStrings = stops }
        #expect(byLength.string == "abST\u{FFFD}" && byLength.reason == .length)
        let byEnd = try output(of: said + [FakeTokenizer.end, 97]) { $0.stop.stopStrings = stops }
        #expect(byEnd.string == "abST\u{FFFD}" && byEnd.reason == .stop)
    }

    @Test("End and stop tokens end the output and have no text")
    func endTokens() throws {
        let said = bytes("abc") + [FakeTokenizer.end] + bytes("de")
        let byEnd = try output(of: said) { _ in }
        #expect(byEnd.tokens == bytes("abc") + [FakeTokenizer.end])
        #expect(byEnd.string == "abc" && byEnd.reason == .stop)
        let byToken = try output(of: said) { $0.stop.stopTokenIDs = [98] }
        #expect(byToken.tokens == bytes("ab") && byToken.string == "a" && byToken.reason == .stop)
        let through = try output(of: said) { $0.stop.ignoreEndOfSequence = true }
        #expect(through.tokens == said && through.string == "abcde" && through.reason == .length)
        let lastToken = try output(of: bytes("ab") + [FakeTokenizer.end]) { _ in }
        #expect(lastToken.reason == .stop, "a stop wins over the length")
    }

    @Test("Nothing stops before minTokens: end tokens are not chosen, stop strings pass")
    func minTokens() throws {
        let early = try output(of: [FakeTokenizer.end, 97, FakeTokenizer.end, 98, FakeTokenizer.end, 99]) {
            $0.stop.minTokens = 3
        }
        #expect(early.tokens.count == 5)
        #expect(!early.tokens.prefix(3).contains(FakeTokenizer.end))
        #expect(early.reason == .stop)
        let text = try output(of: bytes("xxSTOPyySTOPzz")) { ($0.stop.minTokens, $0.stop.stopStrings) = (7, ["STOP"]) }
        #expect(text.string == "xxSTOPyy")
    }

    @Test("Log-probabilities come with each token that asks for them, the chosen first", arguments: [nil, 0, 1, 20])
    func logprobs(count: Int?) throws {
        let output = try output(of: bytes("abc")) { $0.sampling.logprobs = count }
        let each = count.map { $0 + 1 } ?? 0
        #expect(output.logprobs.count == 3 * each)
        if each > 0 {
            let chosen = stride(from: 0, to: output.logprobs.count, by: each).map { output.logprobs[$0].token }
            #expect(chosen == bytes("abc"))
            #expect(output.logprobs.allSatisfy { $0.logprob <= 0 })
        }
    }

    @Test("Usage counts the tokens and adds up the times")
    func usage() throws {
        let usage = try #require(try output(of: bytes("abcd")) { _ in }.usage)
        #expect(usage.promptTokens == 5 && usage.completionTokens == 4 && usage.preemptions == 0)
        // The harness's clock moves 1,000 a step: submitted at 1,000, one prefill step at 2,000, the last at 5,000.
        #expect(usage.queueNanoseconds == 1_000)
        #expect(usage.prefillNanoseconds == 0)
        #expect(usage.decodeNanoseconds == 3_000)
    }
}
