import LMEngine
import Testing

@Suite struct IncrementalDetokenizerTests {
    /// Feeds the parts and returns all output; checks on the way that each output is whole characters.
    private func decode(_ parts: [[UInt8]]) -> [UInt8] {
        var detokenizer = IncrementalDetokenizer()
        var text: [UInt8] = []
        for part in parts {
            var delta: [UInt8] = []
            detokenizer.append(part, into: &delta)
            #expect(String(validating: delta, as: UTF8.self) != nil, "\(part) gave \(delta)")
            text += delta
        }
        detokenizer.finish(into: &text)
        return text
    }

    private func batch(_ bytes: [UInt8]) -> [UInt8] { Array(String(decoding: bytes, as: UTF8.self).utf8) }

    @Test func everyScalarSurvivesBeingCutIntoBytes() {
        var detokenizer = IncrementalDetokenizer()
        var text: [UInt8] = []
        var all = String.UnicodeScalarView()
        for scalar in (UInt32(0)...0x10FFFF).lazy.compactMap(Unicode.Scalar.init) {
            all.append(scalar)
            for byte in String(scalar).utf8 { detokenizer.append([byte], into: &text) }
        }
        detokenizer.finish(into: &text)
        #expect(text == Array(String(all).utf8))
    }

    /// All sequences of up to four bytes from one representative of each class of bytes, cut at every place.
    @Test func invalidBytesAreReplacedAsInABatch() {
        let bytes: [UInt8] = [
            0x41, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC1, 0xC2, 0xE0, 0xE1, 0xED, 0xEF, 0xF0, 0xF1, 0xF4, 0xF5, 0xFF,
        ]
        var failures = 0
        for length in 1...4 {
            var digits = [Int](repeating: 0, count: length)
            repeat {
                let sequence = digits.map { bytes[$0] }
                var detokenizer = IncrementalDetokenizer()
                var text: [UInt8] = []
                for byte in sequence { detokenizer.append([byte], into: &text) }
                detokenizer.finish(into: &text)
                if text != batch(sequence) { failures += 1 }
            } while increment(&digits, base: bytes.count)
        }
        #expect(failures == 0)
    }

    private func increment(_ digits: inout [Int], base: Int) -> Bool {
        for index in digits.indices {
            digits[index] += 1
            if digits[index] < base { return true }
            digits[index] = 0
        }
        return false
    }

    @Test func cutsDoNotMatter() {
        let text = Array("A 世👨‍👩‍👧e\u{301}한".utf8) + [0xF0, 0x9F, 0x91]
        for first in 0...text.count {
            for second in first...text.count {
                let parts = [Array(text[..<first]), Array(text[first..<second]), Array(text[second...])]
                #expect(decode(parts) == batch(text))
            }
        }
    }

    @Test func danglingBytesAreFlushedOnce() {
        var detokenizer = IncrementalDetokenizer()
        var text: [UInt8] = []
        detokenizer.append([0xE4, 0xB8], into: &text)
        #expect(text.isEmpty)
        detokenizer.finish(into: &text)
        detokenizer.finish(into: &text)
        #expect(text == [0xEF, 0xBF, 0xBD])
    }
}
