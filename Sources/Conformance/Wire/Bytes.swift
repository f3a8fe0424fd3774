// How numbers and fields are written (protocol sections 2 and 4.1). On purpose not LMProtocol's: a suite that shared its
// encoder with the server would share its mistakes.

/// The bytes of an integer, lowest first.
package func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
}

func u8(_ value: UInt8) -> [UInt8] { [value] }
func u16(_ value: UInt16) -> [UInt8] { littleEndian(value) }
func u32(_ value: UInt32) -> [UInt8] { littleEndian(value) }
func u64(_ value: UInt64) -> [UInt8] { littleEndian(value) }
func f32(_ value: Float) -> [UInt8] { littleEndian(value.bitPattern) }
func ids(_ values: [Int32]) -> [UInt8] { values.flatMap { littleEndian($0) } }
func text(_ value: String) -> [UInt8] { Array(value.utf8) }

/// A field: key, length, bytes. A `length` other than that of the bytes is a lie to be found.
func field(_ key: UInt16, _ value: [UInt8], length: UInt32? = nil) -> [UInt8] {
    u16(key) + u32(length ?? UInt32(value.count)) + value
}

/// A message of a conversation; `roleLength` may lie.
func message(_ role: String, _ content: String, roleLength: UInt8? = nil) -> [UInt8] {
    u8(roleLength ?? UInt8(truncatingIfNeeded: role.utf8.count)) + text(role) + text(content)
}

/// Reads a payload from front to back; what is missing or left over is a failure of the server.
struct Cursor {
    private let bytes: [UInt8]
    private var position = 0
    /// What is read, for messages.
    private let name: String

    init(_ bytes: [UInt8], of name: String) {
        self.bytes = bytes
        self.name = name
    }

    var remaining: Int { bytes.count - position }

    mutating func integer<Value: FixedWidthInteger>(_ type: Value.Type = Value.self) throws -> Value {
        var value: Value = 0
        for (index, byte) in try take(MemoryLayout<Value>.size).enumerated() {
            value |= Value(truncatingIfNeeded: byte) << (8 * index)
        }
        return value
    }

    mutating func take(_ count: Int) throws -> [UInt8] {
        guard count <= remaining else {
            throw Stop.failed("\(name) of \(bytes.count) bytes ends early: byte \(position) begins \(count) more")
        }
        defer { position += count }
        return Array(bytes[position..<position + count])
    }

    mutating func rest() -> [UInt8] {
        defer { position = bytes.count }
        return Array(bytes[position...])
    }

    mutating func reserved(_ count: Int) throws {
        guard try take(count).allSatisfy({ $0 == 0 }) else {
            throw Stop.failed("\(name) has reserved bytes that are not 0")
        }
    }

    func finish() throws {
        guard remaining == 0 else { throw Stop.failed("\(name) has \(remaining) bytes more than its table") }
    }
}

/// The tail of a payload: fields in ascending order of their keys.
struct Fields {
    let values: [(key: UInt16, value: [UInt8])]
    private let name: String

    static let repeatable: UInt16 = 0x4000
    static let critical: UInt16 = 0x8000

    /// Reads to the end of the payload and checks the order.
    init(_ cursor: inout Cursor, of name: String) throws {
        var values: [(key: UInt16, value: [UInt8])] = []
        while cursor.remaining > 0 {
            let key: UInt16 = try cursor.integer()
            let value = try cursor.take(Int(try cursor.integer(UInt32.self)))
            if let last = values.last, key < last.key || (key == last.key && key & Self.repeatable == 0) {
                throw Stop.failed("\(name) has field \(key) after field \(last.key)")
            }
            values.append((key, value))
        }
        self.values = values
        self.name = name
    }

    func bytes(_ key: UInt16) -> [UInt8]? { values.first { $0.key == key }?.value }

    func all(_ key: UInt16) -> [[UInt8]] { values.filter { $0.key == key }.map(\.value) }

    func integer<Value: FixedWidthInteger>(_ key: UInt16, _ type: Value.Type = Value.self) throws -> Value? {
        guard let value = bytes(key) else { return nil }
        var cursor = Cursor(value, of: "\(name)'s field \(key)")
        let number: Value = try cursor.integer()
        try cursor.finish()
        return number
    }

    func text(_ key: UInt16, limit: Int) throws -> String? {
        guard let value = bytes(key) else { return nil }
        guard value.count <= limit else {
            throw Stop.failed("\(name)'s field \(key) has \(value.count) bytes, limit \(limit)")
        }
        guard let text = String(validating: value, as: UTF8.self) else {
            throw Stop.failed("\(name)'s field \(key) is not UTF-8")
        }
        return text
    }
}
