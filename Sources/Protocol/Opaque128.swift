/// Sixteen bytes that mean something to the end that chose them only: a resume token, an idempotency key.
package struct Opaque128: Sendable, Hashable {
    private let low: UInt64
    private let high: UInt64

    /// Size on the wire.
    static let byteCount = 16

    /// Puts the bytes together from two random words.
    package init(_ low: UInt64, _ high: UInt64) {
        self.low = low
        self.high = high
    }

    init(_ reader: inout ByteReader) throws(WireError) {
        self.init(try reader.integer(), try reader.integer())
    }

    func encode(into bytes: inout [UInt8]) {
        bytes.append(integer: low)
        bytes.append(integer: high)
    }
}

extension FieldReader {
    /// The value as sixteen opaque bytes.
    mutating func opaque() throws(WireError) -> Opaque128 {
        var reader = self.reader
        let result = try Opaque128(&reader)
        try reader.finish()
        return result
    }
}

extension [UInt8] {
    /// Appends a field with sixteen opaque bytes.
    mutating func appendField(_ key: UInt16, opaque value: Opaque128?) {
        guard let value else { return }
        appendField(key) { value.encode(into: &$0) }
    }
}
