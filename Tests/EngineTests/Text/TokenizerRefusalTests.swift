import LMEngine
import LMJSON
import TestKit
import Testing

/// What a tokenizer.json may not hold, and what is said about it.
@Suite struct TokenizerRefusalTests {
    /// A whole tokenizer of two letters, with some of its members replaced.
    static func file(_ members: [String: String] = [:], model: [String: String] = [:]) -> String {
        let parts: [String: String] = [
            "type": #""BPE""#, "vocab": #"{"a": 0, "b": 1, "ab": 2}"#, "merges": #"["a b"]"#,
        ].merging(model) { $1 }
        let whole: [String: String] = [
            "model": object(parts), "decoder": #"{"type": "Fuse"}"#,
            "added_tokens": #"[{"id": 3, "content": "<s>", "special": true, "normalized": false}]"#,
        ].merging(members) { $1 }
        return object(whole)
    }

    private static func object(_ members: [String: String]) -> String {
        "{" + members.sorted { $0.key < $1.key }.map { "\"\($0)\": \($1)" }.joined(separator: ", ") + "}"
    }

    @Test func theSmallestFileIsATokenizer() throws {
        let tokenizer = try HuggingFaceTokenizerTests.tokenizer(Self.file())
        #expect(tokenizer.encode("abba<s>", parseSpecial: true) == [2, 1, 0, 3])
        #expect(tokenizer.vocabularySize == 4)
    }

    @Test(arguments: [
        ("normalizer", #"{"type": "NFKC"}"#, "normalizer.type"),
        (
            "normalizer", #"{"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Nmt"}]}"#,
            "normalizer.normalizers[1].type"
        ),
        ("pre_tokenizer", #"{"type": "BertPreTokenizer"}"#, "pre_tokenizer.type"),
        (
            "pre_tokenizer", #"{"type": "Split", "pattern": {"Regex": "(?<=a)b"}, "behavior": "Isolated"}"#,
            "pre_tokenizer.pattern.Regex"
        ),
        (
            "pre_tokenizer", #"{"type": "Split", "pattern": {"String": "a"}, "behavior": "Other"}"#,
            "pre_tokenizer.behavior"
        ),
        ("decoder", #"{"type": "WordPiece"}"#, "decoder.type"),
        ("decoder", #"{"type": "Strip", "content": " ", "start": 1, "stop": 0}"#, "decoder.type"),
        ("post_processor", #"{"type": "BertProcessing"}"#, "post_processor.type"),
        ("model", #"{"type": "Unigram", "vocab": []}"#, "model.type"),
        (
            "pre_tokenizer", #"{"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}, {"type": "Whitespace"}]}"#,
            "pre_tokenizer.pretokenizers[0].type"
        ),
    ])
    func whatIsNotRunIsRefusedByItsKey(member: String, value: String, key: String) {
        let error = #expect(throws: EngineError.self) {
            try HuggingFaceTokenizerTests.tokenizer(Self.file([member: value]))
        }
        #expect(error?.code == .unsupportedModel)
        #expect(error?.message.hasPrefix("m/tokenizer.json: \(key) is ") == true, "\(error?.message ?? "")")
    }

    @Test(arguments: [
        ("vocab", #"["a"]"#, "model.vocab is an array"), ("vocab", #"{"a": -1}"#, "model.vocab gives 'a' no id"),
        ("vocab", #"{"a": 0, "b": 0, "ab": 1}"#, "model.vocab gives id 0 to 'b' and to 'a'"),
        ("vocab", #"{"a": 2000000, "b": 1, "ab": 2}"#, "model.vocab gives 'a' no id in 0...1999999"),
        ("vocab", #"{"a": 0, "b": 1, "ab": 2, "x": 3}"#, "the file gives id 3 to '<s>' in added_tokens and to 'x'"),
        (
            "vocab", #"{"a": 0, "b": 1, "ab": 2, "<s>": 4}"#,
            "added_tokens[0] has id 3, and model.vocab gives '<s>' id 4"
        ),
        ("merges", "{}", "model.merges is an object"), ("merges", #"["ab"]"#, "model.merges[0] is not two tokens"),
        ("merges", #"["a b", "a c"]"#, "model.merges[1] names 'c'"),
        ("merges", #"["a b", ["b", "b"]]"#, "model.merges[1] names 'bb'"),
        ("merges", #"[["a"]]"#, "model.merges[0] is not two tokens"),
        ("unk_token", #""<unk>""#, "model.unk_token is '<unk>'"),
        ("byte_fallback", "1", "model.byte_fallback is a number"),
    ])
    func whatContradictsItselfIsNamed(member: String, value: String, message: String) {
        let error = #expect(throws: EngineError.self) {
            try HuggingFaceTokenizerTests.tokenizer(Self.file(model: [member: value]))
        }
        #expect(error?.code == .invalidModel)
        #expect(error?.message.hasPrefix("m/tokenizer.json: " + message) == true, "\(error?.message ?? "")")
    }

    @Test func textsCannotGrowWithoutBound() {
        let replace = #"{"type": "Replace", "pattern": {"String": "a"}, "content": "aaaa"}"#
        let steps = { (count: Int) in
            #"{"type": "Sequence", "normalizers": ["# + Array(repeating: replace, count: count).joined(separator: ",")
                + "]}"
        }
        #expect(throws: Never.self) { try HuggingFaceTokenizerTests.tokenizer(Self.file(["normalizer": steps(3)])) }
        #expect(throws: EngineError.self) {
            try HuggingFaceTokenizerTests.tokenizer(Self.file(["normalizer": steps(4)]))
        }
        let many =
            #"{"type": "Sequence", "normalizers": ["#
            + Array(repeating: #"{"type": "NFC"}"#, count: 65).joined(separator: ",") + "]}"
        #expect(throws: EngineError.self) { try HuggingFaceTokenizerTests.tokenizer(Self.file(["normalizer": many])) }
        let long = #"[{"id": 3, "content": "\#(String(repeating: "x", count: 1_025))"}]"#
        #expect(throws: EngineError.self) { try HuggingFaceTokenizerTests.tokenizer(Self.file(["added_tokens": long])) }
    }

    /// Files with bytes changed, cut out and repeated: they are refused, or they tokenize anything.
    @Test(arguments: HuggingFaceTokenizerTests.names)
    func noFileTraps(_ name: String) throws {
        let goldens = try Golden.load("tokenizers.json", as: HuggingFaceTokenizerTests.Goldens.self)
        let file = Array(try #require(goldens.tokenizers.first { $0.name == name }).tokenizer.utf8)
        var random = TestRandom(seed: 14)
        for _ in 0..<20 {
            var mutated = file
            for _ in 0...random.below(3) {
                let place = random.below(random.below(2) == 0 ? min(1_500, file.count) : file.count)
                switch random.below(3) {
                case 0: mutated[min(place, mutated.count - 1)] = UInt8(random.below(256))
                case 1: mutated.removeSubrange(min(place, mutated.count)..<min(place + random.below(20), mutated.count))
                default:
                    mutated.insert(contentsOf: file[place..<min(place + 20, file.count)], at: min(place, mutated.count))
                }
            }
            guard let json = try? mutated.withUnsafeBytes({ try JSON(parsing: $0) }) else { continue }
            guard
                let tokenizer = try? BytePairTokenizer(
                    tokenizerJSON: json, configuration: nil, endTokens: [], source: "mutated")
            else { continue }
            for text in ["Hello, wörld 123!  \n", "<|im_end|> <s>\u{301}", "▁▁a "] {
                let tokens = tokenizer.encode(text, parseSpecial: true)
                #expect(tokens.allSatisfy { (0..<Int32(tokenizer.vocabularySize)).contains($0) })
                _ = tokenizer.decode(tokens + [-1, Int32.max])
            }
        }
    }
}
