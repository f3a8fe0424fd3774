/// A text on its way through a pre-tokenizer: what it is by now, and where it is cut.
struct PieceList {
    /// The text, changed by the steps so far.
    private(set) var text: [UInt8]
    /// The pieces in order; what lies between them is dropped.
    private(set) var pieces: [Range<Int>]

    init(_ text: UnsafeBufferPointer<UInt8>) {
        self.text = Array(text)
        pieces = [0..<text.count]
    }

    /// Replaces each piece by those that `cut` appends for it; empty ones vanish.
    mutating func cut(_ cut: (Range<Int>, UnsafeBufferPointer<UInt8>, inout [Range<Int>]) -> Void) {
        var result: [Range<Int>] = []
        result.reserveCapacity(pieces.count + text.count / 4)
        text.withUnsafeBufferPointer { text in
            for piece in pieces { cut(piece, text, &result) }
        }
        result.removeAll { $0.isEmpty }
        pieces = result
    }

    /// Replaces the text of each piece by the one that `change` appends for it.
    mutating func change(_ change: (Range<Int>, UnsafeBufferPointer<UInt8>, inout [UInt8]) -> Void) {
        var result: [UInt8] = []
        result.reserveCapacity(text.count + text.count / 2)
        text.withUnsafeBufferPointer { text in
            for index in pieces.indices {
                let start = result.count
                change(pieces[index], text, &result)
                pieces[index] = start..<result.count
            }
        }
        text = result
    }
}
