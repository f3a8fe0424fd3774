import LMEngine

/// Tokens 0...255 are single bytes, 256 ends the answer, 257 is special and has no text; pieces of text follow.
package struct FakeTokenizer: Tokenizer {
    /// The token that ends an answer.
    package static let end: Int32 = 256
    /// The id of the first piece.
    package static let firstPiece: Int32 = 258

    private let pieces: [[UInt8]]

    /// - Parameter pieces: bytes of the tokens from `firstPiece`; whole characters or not.
    package init(pieces: [[UInt8]] = []) { self.pieces = pieces }

    package var vocabularySize: Int { Int(Self.firstPiece) + pieces.count }
    package var beginningOfSequence: Int32? { nil }
    package var endTokens: [Int32] { [Self.end] }

    package func encode(_ utf8: Span<UInt8>, parseSpecial: Bool, into tokens: inout [Int32]) {
        for index in utf8.indices { tokens.append(Int32(utf8[index])) }
    }

    package func appendBytes(of token: Int32, to bytes: inout [UInt8]) {
        if token < 256 {
            bytes.append(UInt8(token))
        } else if token >= Self.firstPiece {
            bytes.append(contentsOf: pieces[Int(token - Self.firstPiece)])
        }
    }

    package func isSpecial(_ token: Int32) -> Bool { token == Self.end || token == 257 }
}
