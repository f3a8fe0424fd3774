/// A GGUF file whose header was read and checked: metadata and the places of the tensors.
///
/// Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3, little endian. Nothing a file
/// says is believed before it is checked; a bad file is an `invalidModel` error, never a trap, and costs memory in
/// proportion to the bytes that were read.
package struct GGUFFile: Sendable {
    /// The mapped bytes.
    package let file: MappedFile
    /// Tensors by name.
    package let tensors: [String: GGUFTensorInfo]
    /// Metadata by key.
    let metadata: [String: Entry]

    /// A metadata value and where it stands in the file, for messages.
    struct Entry: Sendable {
        let value: GGUFValue
        let offset: Int
    }

    /// Reads and checks the header.
    package init(_ file: MappedFile) throws(EngineError) {
        var cursor = GGUFCursor(file)
        try Self.checkMagicAndVersion(&cursor)
        let tensorCount = try cursor.count(limit: GGUFLimits.tensorCount, of: "tensors")
        let keyCount = try cursor.count(limit: GGUFLimits.keyCount, of: "metadata keys")
        self.file = file
        self.metadata = try Self.readMetadata(&cursor, count: keyCount)
        let alignment = try Self.alignment(metadata, file)
        self.tensors = try Self.readTensors(&cursor, count: tensorCount, alignment: alignment)
    }

    private static func checkMagicAndVersion(_ cursor: inout GGUFCursor) throws(EngineError) {
        guard Array(cursor.file.bytes[try cursor.skip(4)]) == Array("GGUF".utf8) else {
            throw cursor.invalid("does not begin with 'GGUF'; this is no GGUF file", at: 0)
        }
        let version = try cursor.integer(UInt32.self)
        guard GGUFLimits.versions.contains(version) else {
            let bigEndian = GGUFLimits.versions.contains(version.byteSwapped)
            let problem = bigEndian ? "the file is big endian" : "version \(version) is unknown"
            throw cursor.invalid("\(problem); versions 2 and 3 in little endian are read", at: 4)
        }
    }

    private static func readMetadata(
        _ cursor: inout GGUFCursor, count: Int
    ) throws(EngineError) -> [String: Entry] {
        var metadata: [String: Entry] = [:]
        for index in 0..<count {
            cursor.subject = .keyNumber(index)
            let start = cursor.offset
            let key = try cursor.string()
            cursor.subject = .key(key)
            let type = try cursor.valueType()
            let offset = cursor.offset
            let entry = Entry(value: try cursor.value(type), offset: offset)
            guard metadata.updateValue(entry, forKey: key) == nil else {
                throw cursor.invalid("the key appears twice", at: start)
            }
        }
        return metadata
    }

    private static func alignment(_ metadata: [String: Entry], _ file: MappedFile) throws(EngineError) -> Int {
        let key = "general.alignment"
        guard let entry = metadata[key] else { return GGUFLimits.defaultAlignment }
        guard case .unsigned(let raw) = entry.value, let alignment = Int(exactly: raw),
            GGUFLimits.alignment.contains(alignment), alignment & (alignment - 1) == 0
        else {
            let range = GGUFLimits.alignment
            throw EngineError(
                .invalidModel,
                "\(file.path): metadata key '\(key)' at byte \(entry.offset): must be a power of two in "
                    + "\(range.lowerBound)...\(range.upperBound)")
        }
        return alignment
    }

    private static func readTensors(
        _ cursor: inout GGUFCursor, count: Int, alignment: Int
    ) throws(EngineError) -> [String: GGUFTensorInfo] {
        var headers: [GGUFTensorHeader] = []
        for index in 0..<count {
            headers.append(try cursor.tensorHeader(index: index, alignment: alignment))
        }
        let padding = (alignment - cursor.offset % alignment) % alignment
        let dataStart = min(cursor.offset + padding, cursor.file.bytes.count)
        let dataCount = cursor.file.bytes.count - dataStart

        headers.sort { $0.dataOffset < $1.dataOffset }
        var tensors: [String: GGUFTensorInfo] = [:]
        var previous: GGUFTensorHeader?
        for header in headers {
            cursor.subject = .tensor(header.name)
            guard header.byteCount <= dataCount - header.dataOffset else {
                throw cursor.invalid(
                    "\(header.byteCount) bytes at data offset \(header.dataOffset) end beyond the file's "
                        + "\(dataCount) bytes of data; the file is truncated or corrupt", at: header.headerOffset)
            }
            if let previous, previous.dataOffset + previous.byteCount > header.dataOffset {
                throw cursor.invalid(
                    "its data overlaps that of tensor '\(previous.name.printable)'", at: header.headerOffset)
            }
            let start = dataStart + header.dataOffset
            let info = GGUFTensorInfo(
                name: header.name, dimensions: header.dimensions, type: header.type,
                headerOffset: header.headerOffset, range: start..<start + header.byteCount)
            guard tensors.updateValue(info, forKey: header.name) == nil else {
                throw cursor.invalid("the name appears twice", at: header.headerOffset)
            }
            previous = header
        }
        return tensors
    }
}
