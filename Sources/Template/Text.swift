/// UTF-8 text that remembers which of its bytes came with the request.
///
/// Equality and order are those of the bytes, as Python compares strings; where the bytes came from does not count.
package struct Text: Sendable {
    /// Valid UTF-8.
    package private(set) var bytes: [UInt8] = []
    /// Ranges of `bytes` that are content: they ascend and do not touch.
    package private(set) var content: [Range<Int>] = []

    init() {}

    init(_ string: String, isContent: Bool = false) {
        bytes = Array(string.utf8)
        if isContent && !bytes.isEmpty { content = [0..<bytes.count] }
    }

    var isEmpty: Bool { bytes.isEmpty }
    var string: String { String(decoding: bytes, as: UTF8.self) }
    /// Bytes of memory.
    var cost: Int { bytes.count + content.count * MemoryLayout<Range<Int>>.size }

    mutating func append(_ other: Text) {
        for range in other.content { mark(range.lowerBound + bytes.count..<range.upperBound + bytes.count) }
        bytes += other.bytes
    }

    mutating func append(_ string: String, isContent: Bool = false) {
        let start = bytes.count
        bytes += string.utf8
        if isContent { mark(start..<bytes.count) }
    }

    mutating func append(_ scalar: Unicode.Scalar, isContent: Bool) {
        let start = bytes.count
        if scalar.isASCII {
            bytes.append(UInt8(truncatingIfNeeded: scalar.value))
        } else {
            bytes += String(scalar).utf8
        }
        if isContent { mark(start..<bytes.count) }
    }

    private mutating func mark(_ range: Range<Int>) {
        if range.isEmpty { return }
        if let last = content.last, last.upperBound == range.lowerBound {
            content[content.count - 1] = last.lowerBound..<range.upperBound
        } else {
            content.append(range)
        }
    }

    /// A part; the bounds are borders of scalars.
    func slice(_ range: Range<Int>) -> Text {
        var result = Text()
        result.bytes = Array(bytes[range])
        // The first range of content that ends after the part begins.
        var low = 0
        var high = content.count
        while low < high {
            let middle = (low + high) / 2
            if content[middle].upperBound <= range.lowerBound { low = middle + 1 } else { high = middle }
        }
        while low < content.count, content[low].lowerBound < range.upperBound {
            let part = content[low].clamped(to: range)
            result.mark(part.lowerBound - range.lowerBound..<part.upperBound - range.lowerBound)
            low += 1
        }
        return result
    }

    /// The scalars in order, each with its range and origin.
    var scalars: Scalars { Scalars(text: self) }

    /// Number of scalars: Python's length.
    var length: Int { bytes.reduce(0) { $1 & 0xC0 == 0x80 ? $0 : $0 + 1 } }

    struct Scalars: Sequence, IteratorProtocol {
        let text: Text
        private var position = 0
        private var range = 0

        init(text: Text) { self.text = text }

        mutating func next() -> (scalar: Unicode.Scalar, range: Range<Int>, isContent: Bool)? {
            guard position < text.bytes.count else { return nil }
            let (scalar, end) = decodeScalar(text.bytes, at: position)
            while range < text.content.count, text.content[range].upperBound <= position { range += 1 }
            let isContent = range < text.content.count && text.content[range].contains(position)
            defer { position = end }
            return (scalar, position..<end, isContent)
        }
    }
}

extension Text: Hashable {
    package static func == (a: Text, b: Text) -> Bool { a.bytes == b.bytes }
    package func hash(into hasher: inout Hasher) { hasher.combine(bytes) }
    static func == (a: Text, b: StaticString) -> Bool {
        a.bytes.elementsEqual(UnsafeBufferPointer(start: b.utf8Start, count: b.utf8CodeUnitCount))
    }
}

/// The scalar that begins at `position` of valid UTF-8, and where the next one does.
func decodeScalar(_ bytes: [UInt8], at position: Int) -> (Unicode.Scalar, end: Int) {
    let first = UInt32(bytes[position])
    if first < 0x80 { return (Unicode.Scalar(UInt8(first)), position + 1) }
    let count = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
    var value = first & (0x7F >> UInt32(count))
    for index in position + 1..<min(position + count, bytes.count) { value = value << 6 | UInt32(bytes[index] & 0x3F) }
    return (Unicode.Scalar(value) ?? "\u{FFFD}", min(position + count, bytes.count))
}

extension Unicode.Scalar {
    /// What Python's `isspace`, `strip` and `split` take for space.
    var isPythonSpace: Bool {
        if isASCII { return value == 0x20 || (0x09...0x0D).contains(value) || (0x1C...0x1F).contains(value) }
        return properties.isWhitespace
    }
}
