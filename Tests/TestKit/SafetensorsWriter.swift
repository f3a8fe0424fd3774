/// Builds safetensors files in memory, wrong ones too: every field that a reader must check can be set to anything.
public struct SafetensorsWriter {
    /// A tensor; `offsets` nil places it after the one before.
    public struct Entry {
        /// The name in the header.
        public var name: String
        /// The type in the header.
        public var type: String
        /// The extents in the header.
        public var shape: [Int]
        /// The place in the header.
        public var offsets: [Int]?
        /// The bytes in the data section, whatever the header says.
        public var data: [UInt8]
    }

    /// Tensors, in order.
    public var entries: [Entry] = []
    /// The value of `__metadata__` as JSON; nil leaves it out.
    public var metadata: String? = #"{"format":"pt"}"#
    /// What the header's length says instead of the real one.
    public var declaredHeaderByteCount: UInt64?
    /// JSON to stand instead of the header that follows from the entries.
    public var header: String?
    /// Bytes behind the last tensor.
    public var trailer: [UInt8] = []

    /// An empty file.
    public init() {}

    /// Adds a tensor whose elements are stored as `type`: "F32", "BF16" or "F16".
    public mutating func add(_ name: String, _ shape: [Int], _ elements: [Float], type: String = "F32") {
        entries.append(
            Entry(name: name, type: type, shape: shape, offsets: nil, data: Self.bytes(elements, type: type)))
    }

    /// The elements as a type that represents them exactly.
    public static func bytes(_ elements: [Float], type: String) -> [UInt8] {
        switch type {
        case "F16": elements.flatMap { GGUFWriter.bytes(Float16($0).bitPattern) }
        case "BF16": elements.flatMap { GGUFWriter.bytes(UInt16($0.bitPattern >> 16)) }
        default: elements.flatMap { GGUFWriter.bytes($0.bitPattern) }
        }
    }

    /// The file.
    public func bytes() -> [UInt8] {
        var text = header ?? headerText()
        text += String(repeating: " ", count: (8 - text.utf8.count % 8) % 8)
        let length = declaredHeaderByteCount ?? UInt64(text.utf8.count)
        return GGUFWriter.bytes(length) + Array(text.utf8) + entries.flatMap(\.data) + trailer
    }

    private func headerText() -> String {
        var members = metadata.map { ["\"__metadata__\":\($0)"] } ?? []
        var next = 0
        for entry in entries {
            let offsets = entry.offsets ?? [next, next + entry.data.count]
            next += entry.data.count
            members.append(
                "\"\(entry.name)\":{\"dtype\":\"\(entry.type)\",\"shape\":\(Self.list(entry.shape)),"
                    + "\"data_offsets\":\(Self.list(offsets))}")
        }
        return "{" + members.joined(separator: ",") + "}"
    }

    private static func list(_ numbers: [Int]) -> String {
        "[" + numbers.map { String($0) }.joined(separator: ",") + "]"
    }
}
