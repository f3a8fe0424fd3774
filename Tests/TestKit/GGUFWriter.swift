/// Builds GGUF files in memory, wrong ones too: every field that a reader must check can be set to anything.
public struct GGUFWriter {
    /// A metadata value with the type codes of the format.
    public indirect enum Value {
        case uint32(UInt32)
        case float32(Float)
        case bool(Bool)
        case string(String)
        case strings([String])
        case int32s([Int32])
        /// A type code and the bytes that follow it.
        case raw(UInt32, [UInt8])
    }

    /// A tensor; `offset` nil places it after the one before.
    public struct TensorEntry {
        /// The name in the header.
        public var name: String
        /// The extents in the header.
        public var dimensions: [UInt64]
        /// The type code in the header.
        public var type: UInt32
        /// The offset in the header.
        public var offset: UInt64?
        /// The bytes in the data section, whatever the header says.
        public var data: [UInt8]
    }

    /// The first four bytes.
    public var magic = Array("GGUF".utf8)
    /// The version of the format.
    public var version: UInt32 = 3
    /// Metadata, in order.
    public var keys: [(name: String, value: Value)] = []
    /// Tensors, in order.
    public var tensors: [TensorEntry] = []
    /// What the data is padded to; not written as a key.
    public var alignment = 32
    /// What the header says instead of the real number of keys.
    public var declaredKeyCount: UInt64?
    /// What the header says instead of the real number of tensors.
    public var declaredTensorCount: UInt64?

    /// An empty file.
    public init() {}

    /// Adds a float32 tensor; the first dimension is the length of a row.
    public mutating func addTensor(_ name: String, _ dimensions: [Int], _ elements: [Float]) {
        tensors.append(
            TensorEntry(
                name: name, dimensions: dimensions.map { UInt64($0) }, type: 0, offset: nil,
                data: elements.flatMap { Self.bytes($0.bitPattern) }))
    }

    /// Replaces a key's value, or removes the key.
    public mutating func setKey(_ name: String, _ value: Value?) {
        keys.removeAll { $0.name == name }
        if let value { keys.append((name, value)) }
    }

    /// The file.
    public func bytes() -> [UInt8] {
        var file = header()
        while file.count % alignment != 0 { file.append(0) }
        for tensor in tensors {
            file += tensor.data
            while file.count % alignment != 0 { file.append(0) }
        }
        return file
    }

    /// The file up to the padding before the tensors' data.
    public func header() -> [UInt8] {
        var file = magic + Self.bytes(version)
        file += Self.bytes(declaredTensorCount ?? UInt64(tensors.count))
        file += Self.bytes(declaredKeyCount ?? UInt64(keys.count))
        for (name, value) in keys { file += Self.bytes(name) + Self.bytes(value) }
        var next: UInt64 = 0
        for tensor in tensors {
            file += Self.bytes(tensor.name) + Self.bytes(UInt32(tensor.dimensions.count))
            file += tensor.dimensions.flatMap { Self.bytes($0) }
            file += Self.bytes(tensor.type) + Self.bytes(tensor.offset ?? next)
            next += UInt64((tensor.data.count + alignment - 1) / alignment * alignment)
        }
        return file
    }

    /// An integer in little endian.
    public static func bytes<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
        (0..<T.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> T($0 * 8)) }
    }

    /// A string with its length before it.
    public static func bytes(_ text: String) -> [UInt8] {
        bytes(UInt64(text.utf8.count)) + Array(text.utf8)
    }

    private static func bytes(_ value: Value) -> [UInt8] {
        switch value {
        case .uint32(let value): bytes(UInt32(4)) + bytes(value)
        case .float32(let value): bytes(UInt32(6)) + bytes(value.bitPattern)
        case .bool(let value): bytes(UInt32(7)) + [value ? 1 : 0]
        case .string(let text): bytes(UInt32(8)) + bytes(text)
        case .strings(let texts):
            bytes(UInt32(9)) + bytes(UInt32(8)) + bytes(UInt64(texts.count)) + texts.flatMap { bytes($0) }
        case .int32s(let values):
            bytes(UInt32(9)) + bytes(UInt32(5)) + bytes(UInt64(values.count)) + values.flatMap { bytes($0) }
        case .raw(let type, let content): bytes(type) + content
        }
    }
}
