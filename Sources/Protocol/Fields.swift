/// The extensible tail of a message: fields of u16 key, u32 length and bytes, with ascending keys.
///
/// Two bits of a key tell a receiver that does not know it what to do. Keys without them are skipped, and occur once.
package enum FieldKey {
    /// An unknown key with this bit fails the message: its sender must not be understood without it.
    package static let criticalBit: UInt16 = 0x8000
    /// A key with this bit may follow itself.
    package static let repeatableBit: UInt16 = 0x4000
}

/// Walks the fields of a message: `while let key = try fields.next()`, then exactly one of the value readers.
package struct FieldReader: ~Escapable {
    private var rest: ByteReader
    private var value: ByteReader
    private var key: UInt16?

    /// Reads fields from what is left of `reader`.
    @_lifetime(copy reader)
    package init(_ reader: consuming ByteReader) throws(WireError) {
        value = ByteReader(try reader.take(0))
        rest = reader
    }

    /// Moves to the next field; nil after the last.
    package mutating func next() throws(WireError) -> UInt16? {
        guard rest.remaining > 0 else { return nil }
        let next: UInt16 = try rest.integer()
        if let key {
            let isRepeat = next == key && next & FieldKey.repeatableBit != 0
            guard next > key || isRepeat else { throw .malformed("field \(next) after field \(key)") }
        }
        let length: UInt32 = try rest.integer()
        guard length <= rest.remaining else {
            throw .malformed("field \(next) of \(length) bytes with \(rest.remaining) left")
        }
        value = ByteReader(try rest.take(Int(length)))
        key = next
        return next
    }

    /// The value as an integer of exactly this size.
    package mutating func integer<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type = T.self) throws(WireError)
        -> T
    {
        let result: T = try value.integer()
        try value.finish()
        return result
    }

    /// The value as a 32-bit IEEE 754 number.
    package mutating func float() throws(WireError) -> Float { Float(bitPattern: try integer()) }

    /// The value as UTF-8 of at most `limit` bytes.
    package mutating func text(_ name: String, limit: Int = .max) throws(WireError) -> String {
        try value.text(name, limit: limit)
    }

    /// The value as an array of ids.
    package mutating func integers() throws(WireError) -> [Int32] { try value.integers() }

    /// The value as an array of 32-bit IEEE 754 numbers.
    package mutating func floats() throws(WireError) -> [Float] { try value.floats() }

    /// The value, to be read in pieces.
    package var reader: ByteReader {
        @_lifetime(copy self) get { value }
    }

    /// Passes over a field that this version does not know.
    package func skip() throws(WireError) {
        guard let key, key & FieldKey.criticalBit != 0 else { return }
        throw WireError(.invalid, "field \(key) is critical and this version does not know it")
    }
}

extension [UInt8] {
    /// Appends a field with an integer.
    package mutating func appendField<T: FixedWidthInteger>(_ key: UInt16, integer value: T?) {
        guard let value else { return }
        appendFieldHeader(key, length: MemoryLayout<T>.size)
        append(integer: value)
    }

    /// Appends a field with a 32-bit IEEE 754 number.
    package mutating func appendField(_ key: UInt16, float value: Float?) {
        appendField(key, integer: value?.bitPattern)
    }

    /// Appends a field with text.
    package mutating func appendField(_ key: UInt16, text: String?) {
        guard var text else { return }
        text.withUTF8 {
            appendFieldHeader(key, length: $0.count)
            append(contentsOf: $0)
        }
    }

    /// Appends a field with an array of ids.
    package mutating func appendField(_ key: UInt16, integers values: [Int32]) {
        appendFieldHeader(key, length: 4 * values.count)
        for value in values { append(integer: value) }
    }

    /// Appends a field with an array of 32-bit IEEE 754 numbers.
    package mutating func appendField(_ key: UInt16, floats values: [Float]) {
        appendFieldHeader(key, length: 4 * values.count)
        for value in values { append(float: value) }
    }

    /// Appends a field whose value `body` appends.
    package mutating func appendField(_ key: UInt16, _ body: (inout [UInt8]) -> Void) {
        appendFieldHeader(key, length: 0)
        let start = count
        body(&self)
        backfill(length: count - start, bytes: 4, at: start - 4)
    }

    private mutating func appendFieldHeader(_ key: UInt16, length: Int) {
        append(integer: key)
        // A longer value than u32 can say also exceeds the limit of any frame, which is checked when the frame is whole.
        append(integer: UInt32(truncatingIfNeeded: length))
    }
}
