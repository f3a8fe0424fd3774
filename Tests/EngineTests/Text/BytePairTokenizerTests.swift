import LMEngine
import TestKit
import Testing

@Suite struct BytePairTokenizerTests {
    /// A token for each byte, and merges that join runs of 'a' by doubling, runs of spaces, and some pairs.
    private static func vocabulary() throws -> (tokens: [String], merges: [String]) {
        var next: UInt32 = 0x100
        var tokens: [String] = ["<|control|>"]
        for byte in UInt32(0)..<256 {
            let isPrintable = (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || byte >= 0xAE
            tokens.append(try String(#require(Unicode.Scalar(isPrintable ? byte : next))))
            if !isPrintable { next += 1 }
        }
        let merges = ["a b", "b a", "a a", "aa aa", "aaaa aaaa", "ab ab", "Ġ Ġ", "ĠĠ ĠĠ", "Ġ a", "Ì ģ", "1 1", "Ċ Ċ"]
        for merge in merges { tokens.append(merge.split(separator: " ").joined()) }
        return (tokens, merges)
    }

    private static func tokenizer(_ preTokenizer: PreTokenizer) throws -> BytePairTokenizer {
        let (tokens, merges) = try vocabulary()
        return try BytePairTokenizer(tokens: tokens, merges: merges, controlTokens: 1, preTokenizer: preTokenizer)
    }

    private static func merger() throws -> PieceMerger {
        let (tokens, merges) = try vocabulary()
        var table = TokenTable()
        for token in tokens {
            _ = Array(token.utf8).withUnsafeBytes { table.append($0, kind: .normal, spelling: .byteAlphabet) }
        }
        var vocabulary = BytePairVocabulary(table, mergeCapacity: merges.count)
        for merge in merges { #expect(Array(merge.utf8).withUnsafeBytes { vocabulary.appendMerge($0) }) }
        return PieceMerger(vocabulary.merges)
    }

    @Test(arguments: PreTokenizer.allCases)
    func textSurvivesTheRoundTrip(_ preTokenizer: PreTokenizer) throws {
        let tokenizer = try Self.tokenizer(preTokenizer)
        var random = TestRandom(seed: 3)
        let characters = Array("aab 1\n\r\t'sLé世👍\u{301}\u{A0}.$")
        for _ in 0..<500 {
            let text = String((0..<random.below(40)).map { _ in characters[random.below(characters.count)] })
            let expected =
                preTokenizer == .qwen2
                ? Array(tokenizer.decode(tokenizer.encode(text, parseSpecial: true))) : Array(text.utf8)
            #expect(tokenizer.decode(tokenizer.encode(text, parseSpecial: false)) == expected)
        }
    }

    @Test(arguments: PreTokenizer.allCases)
    func bytesThatAreNoTextDoNotTrap(_ preTokenizer: PreTokenizer) throws {
        let tokenizer = try Self.tokenizer(preTokenizer)
        var random = TestRandom(seed: 4)
        let bytes: [UInt8] = [
            0x20, 0x27, 0x31, 0x61, 0x80, 0xBF, 0xC2, 0xC5, 0xCC, 0xE4, 0xED, 0xF0, 0xF4, 0xFF, 0x0A, 0x73,
        ]
        for _ in 0..<2000 {
            let text = (0..<random.below(12)).map { _ in bytes[random.below(bytes.count)] }
            let decoded = tokenizer.decode(tokenizer.encode(text, parseSpecial: true))
            if preTokenizer != .qwen2 { #expect(decoded == text) }
        }
    }

    @Test func theHeapGivesTheTokensOfTheScan() throws {
        var merger = try Self.merger()
        var random = TestRandom(seed: 5)
        for _ in 0..<2000 {
            let piece = (0..<random.below(80)).map { _ in Array("aaab 1".utf8)[random.below(6)] }
            var scanned: [Int32] = []
            var heaped: [Int32] = []
            piece.withUnsafeBufferPointer {
                merger.merge($0, into: &scanned, scanLimit: .max)
                merger.merge($0, into: &heaped, scanLimit: 0)
            }
            #expect(scanned == heaped, "\(String(decoding: piece, as: UTF8.self))")
        }
    }

    /// Twelve shapes that made tokenizers quadratic; the pieces are given whole, which is the worst case.
    @Test(arguments: [
        "a", " ", "ab", "aab", "\u{301}", "1", "\n", "é", "👍", "a ", "  a", "\u{0}",
    ])
    func workGrowsLikeTheLength(_ unit: String) throws {
        func work(_ count: Int) throws -> Int {
            var merger = try Self.merger()
            var tokens: [Int32] = []
            let bytes = Array(repeatElement(unit.utf8, count: count / unit.utf8.count).joined())
            bytes.withUnsafeBufferPointer { merger.merge($0, into: &tokens) }
            return merger.examinedPairs
        }
        let small = try work(1 << 14)
        let large = try work(1 << 15)
        #expect(small >= 1 << 13 && small < 3 * 14 << 14)  // 3 n log n
        #expect(Double(large) / Double(small) <= 2.3)
    }

    @Test func specialTokensAreRecognisedOnlyWhenAsked() throws {
        let writer = TinyModel.writer()
        let file = try GGUFFile(MappedFile(contents: writer.bytes(), name: "tiny"))
        let tokenizer = try GGUFCheckpoint(file).tokenizer
        let text = "a<|im_start|><|im_end|<|im_end|>"
        let parsed = tokenizer.encode(text, parseSpecial: true)
        #expect(parsed.filter(tokenizer.isSpecial) == [TinyModel.openingToken, TinyModel.endToken])
        let plain = tokenizer.encode(text, parseSpecial: false)
        #expect(plain.allSatisfy { !tokenizer.isSpecial($0) })
        #expect(tokenizer.decode(plain) == Array(text.utf8))
        #expect(tokenizer.decode(parsed) == Array("a<|im_end|".utf8))
    }

    @Test func idsOutsideTheVocabularyAreNothing() throws {
        let tokenizer = try Self.tokenizer(.gpt2)
        for token in [Int32.min, -1, Int32(tokenizer.vocabularySize), Int32.max] {
            #expect(tokenizer.isSpecial(token))
            #expect(tokenizer.decode([token]).isEmpty)
        }
    }
}
