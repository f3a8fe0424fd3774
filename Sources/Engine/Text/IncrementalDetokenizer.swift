/// Turns the bytes of tokens into text, of which it lets out whole characters only.
///
/// All output together is what decoding all bytes at once with replacement gives, however the bytes were cut: each
/// maximal part of a character that cannot be completed becomes one U+FFFD. Each byte is looked at once.
///
/// The states are those of the UTF-8 decoder of <https://encoding.spec.whatwg.org/#utf-8-decoder>.
package struct IncrementalDetokenizer: Sendable {
    /// U+FFFD.
    private static let replacement: [UInt8] = [0xEF, 0xBF, 0xBD]

    /// The beginning of a character, 0 to 3 bytes.
    private var held: [UInt8] = []
    /// Bytes that the held character still lacks.
    private var missing = 0
    /// What the next byte of the held character may be.
    private var allowed: ClosedRange<UInt8> = 0x80...0xBF

    /// Starts with nothing held.
    package init() {}

    /// Appends to `text` the characters that `bytes` complete.
    package mutating func append(_ bytes: [UInt8], into text: inout [UInt8]) {
        for byte in bytes { append(byte, into: &text) }
    }

    /// Appends what is still held, once no more bytes come: an unfinished character becomes U+FFFD.
    package mutating func finish(into text: inout [UInt8]) {
        if missing > 0 { replaceHeld(into: &text) }
    }

    private mutating func append(_ byte: UInt8, into text: inout [UInt8]) {
        if missing > 0 {
            if allowed.contains(byte) { return continueCharacter(byte, into: &text) }
            replaceHeld(into: &text)
        }
        switch byte {
        case 0x00...0x7F: text.append(byte)
        case 0xC2...0xDF: begin(byte, missing: 1)
        case 0xE0: begin(byte, missing: 2, allowed: 0xA0...0xBF)  // shorter forms exist below
        case 0xED: begin(byte, missing: 2, allowed: 0x80...0x9F)  // surrogates above
        case 0xE1...0xEF: begin(byte, missing: 2)
        case 0xF0: begin(byte, missing: 3, allowed: 0x90...0xBF)  // shorter forms exist below
        case 0xF4: begin(byte, missing: 3, allowed: 0x80...0x8F)  // beyond U+10FFFF above
        case 0xF1...0xF3: begin(byte, missing: 3)
        default: text.append(contentsOf: Self.replacement)
        }
    }

    private mutating func begin(_ byte: UInt8, missing: Int, allowed: ClosedRange<UInt8> = 0x80...0xBF) {
        held.append(byte)
        self.missing = missing
        self.allowed = allowed
    }

    private mutating func continueCharacter(_ byte: UInt8, into text: inout [UInt8]) {
        held.append(byte)
        missing -= 1
        allowed = 0x80...0xBF
        guard missing == 0 else { return }
        text.append(contentsOf: held)
        held.removeAll(keepingCapacity: true)
    }

    private mutating func replaceHeld(into text: inout [UInt8]) {
        text.append(contentsOf: Self.replacement)
        held.removeAll(keepingCapacity: true)
        missing = 0
    }
}
