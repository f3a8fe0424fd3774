/// GPT-2's way to write arbitrary bytes as printable text: each byte is one character, and the 68 bytes that are not
/// printable in Latin-1 become U+0100, U+0101, … in order. Vocabularies and merges in model files are written so.
enum ByteAlphabet {
    /// Scalars below this may stand for a byte.
    private static let scalarLimit = 0x100 + 68

    /// (scalarLimit) the byte a scalar stands for; -1 for none.
    private static let byteOfScalar: [Int16] = {
        var table = [Int16](repeating: -1, count: scalarLimit)
        var next = 0x100
        for byte in 0..<256 {
            let isPrintable = (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || byte >= 0xAE
            table[isPrintable ? byte : next] = Int16(byte)
            if !isPrintable { next += 1 }
        }
        return table
    }()

    /// Appends the bytes that `text` writes and returns true; appends nothing and returns false when a character of it
    /// stands for no byte.
    static func decode(_ text: UnsafeRawBufferPointer, to bytes: inout [UInt8]) -> Bool {
        let start = bytes.count
        var index = 0
        while index < text.count {
            var scalar = Int(text[index])
            index += 1
            if scalar & 0xE0 == 0xC0, index < text.count {  // all of the alphabet is one or two bytes of UTF-8
                scalar = (scalar & 0x1F) << 6 | Int(text[index] & 0x3F)
                index += 1
            } else if scalar >= 0x80 {
                scalar = scalarLimit
            }
            guard scalar < scalarLimit, byteOfScalar[scalar] >= 0 else {
                bytes.removeSubrange(start...)
                return false
            }
            bytes.append(UInt8(byteOfScalar[scalar]))
        }
        return true
    }
}
