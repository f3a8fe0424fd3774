import LMEngine
import TestKit
import Testing

/// Equality with the reference: `tokenizers` on the same text.
@Suite struct TokenizerGoldenTests {
    struct Pieces: Decodable {
        var texts: [String]
        var pieces: [String: [[Int]]]
    }

    struct Small: Decodable {
        var tokens: [String]
        var merges: [String]
        var pre: String
        var ids: [[Int32]]
    }

    struct SmolLM2: Decodable {
        var plain: [[Int32]]
        var special: [[Int32]]
    }

    @Test(arguments: PreTokenizer.allCases)
    func piecesEqualThoseOfTheReference(_ preTokenizer: PreTokenizer) throws {
        let golden = try Golden.load("pretokenizers.json", as: Pieces.self)
        let expected = try #require(golden.pieces[preTokenizer.rawValue])
        for (text, pieces) in zip(golden.texts, expected) {
            var lengths: [Int] = []
            Array(text.utf8).withUnsafeBufferPointer { bytes in
                preTokenizer.forEachPiece(of: bytes) { lengths.append($0.count) }
            }
            #expect(lengths == pieces, "\(text.debugDescription)")
        }
    }

    @Test func smallVocabularyEqualsTheReference() throws {
        let golden = try Golden.load("tokenizer_small.json", as: Small.self)
        let texts = try Golden.load("pretokenizers.json", as: Pieces.self).texts
        let tokenizer = try BytePairTokenizer(
            tokens: golden.tokens, merges: golden.merges, controlTokens: 2,
            preTokenizer: #require(PreTokenizer(rawValue: golden.pre)))
        for (text, ids) in zip(texts, golden.ids) where !text.contains("<|") {
            #expect(tokenizer.encode(text, parseSpecial: false) == ids, "\(text.debugDescription)")
        }
    }

    @Test(.enabled(if: testModelPath != nil))
    func smolLM2EqualsTheReference() throws {
        let golden = try Golden.load("tokenizer_smollm2.json", as: SmolLM2.self)
        let texts = try Golden.load("pretokenizers.json", as: Pieces.self).texts
        let tokenizer = try loadCheckpoint(path: #require(testModelPath)).tokenizer
        for (text, ids) in zip(texts, golden.plain) {
            #expect(tokenizer.encode(text, parseSpecial: false) == ids, "\(text.debugDescription)")
        }
        for (text, ids) in zip(texts, golden.special) {
            #expect(tokenizer.encode(text, parseSpecial: true) == ids, "\(text.debugDescription)")
        }
    }
}
