/// A cursor over one payload. Every read checks what is left first, so bytes from outside cannot trap; the compiler
/// forbids keeping the reader longer than the bytes.
package struct ByteReader: ~Escapable {
    private let bytes: RawSpan
    private var offset = 0

    /// Reads `bytes` from the start.
    @_lifetime(copy bytes)
    package init(_ bytes: RawSpan) { self.bytes = bytes }

    /// Bytes not yet read.
    package var remaining: Int { bytes.byteCount - offset }

    /// The next `count` bytes.
    @_lifetime(copy self)
    package mutating func take(_ count: Int) throws(WireError) -> RawSpan {
        guard count >= 0, count <= remaining else {
            throw .malformed("needs \(count) bytes at offset \(offset) of \(bytes.byteCount)")
        }
        defer { offset += count }
        return bytes.extracting(offset..<offset + count)
    }

    /// The next integer, little endian.
    package mutating func integer<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type = T.self) throws(WireError)
        -> T
    {
        T(littleEndian: try take(MemoryLayout<T>.size).unsafeLoadUnaligned(as: T.self))
    }

    /// The next IEEE 754 number of 32 bits.
    package mutating func float() throws(WireError) -> Float {
        Float(bitPattern: try integer())
    }

    /// Everything left, as 32-bit integers.
    package mutating func integers() throws(WireError) -> [Int32] {
        try list { (reader) throws(WireError) in try reader.integer() }
    }

    /// Everything left, as 32-bit IEEE 754 numbers.
    package mutating func floats() throws(WireError) -> [Float] {
        try list { (reader) throws(WireError) in Float(bitPattern: try reader.integer()) }
    }

    private mutating func list<Element>(
        of element: (inout ByteReader) throws(WireError) -> Element
    ) throws(WireError) -> [Element] {
        guard remaining.isMultiple(of: 4) else {
            throw .malformed("\(remaining) bytes are no array of elements of 4 bytes")
        }
        var values: [Element] = []
        values.reserveCapacity(remaining / 4)
        while remaining > 0 { values.append(try element(&self)) }
        return values
    }

    /// Everything left, as text.
    ///
    /// Malformed UTF-8 is `invalid`: the application's fault, not the protocol's.
    package mutating func text(_ name: String, limit: Int = .max) throws(WireError) -> String {
        guard remaining <= limit else { throw WireError(.invalid, "\(name) has \(remaining) bytes, limit \(limit)") }
        let text = try take(remaining).withUnsafeBytes { String(validating: $0, as: UTF8.self) }
        guard let text else { throw WireError(.invalid, "\(name) is not UTF-8") }
        return text
    }

    /// Throws unless all was read: payloads of fixed layout have no tail.
    package func finish() throws(WireError) {
        guard remaining == 0 else { throw .malformed("\(remaining) bytes after the end of the payload") }
    }
}
