internal import LMJSON

/// A safetensors file whose header was read and checked: the places of the tensors.
///
/// Format: <https://huggingface.co/docs/safetensors>: the length of a JSON header, the header, and bytes that the tensors
/// cover in turn without a gap. The rules are those of the reference implementation, and keys that occur twice are
/// refused as well. Nothing the header says is believed before it is checked; a bad file is an `invalidModel` error.
package struct SafetensorsFile: Sendable {
    /// The mapped bytes.
    package let file: MappedFile
    /// Tensors by name.
    package let tensors: [String: SafetensorsTensor]
    /// Texts that whoever wrote the file left in it.
    package let metadata: [String: String]

    /// What a header may take before it is refused.
    package enum Limits {
        /// Bytes of the header, as in the reference implementation.
        package static let headerByteCount = 100_000_000
        /// Tensors; the largest mixtures of experts have some ten thousand in a file.
        package static let tensorCount = 131_072
        /// JSON values; a tensor has about nine.
        package static let valueCount = 16 * tensorCount
    }

    /// Reads and checks the header.
    package init(_ file: MappedFile) throws(EngineError) {
        let reader = HeaderReader(path: file.path)
        let header = try reader.headerRange(of: file)
        let document = try reader.parse(UnsafeRawBufferPointer(rebasing: file.bytes[header]))
        metadata = try reader.metadata(document)
        var entries = try reader.entries(document)
        entries.sort { ($0.start, $0.end) < ($1.start, $1.end) }
        try reader.checkContiguity(entries, byteCount: file.bytes.count - header.upperBound)
        var tensors: [String: SafetensorsTensor] = [:]
        for entry in entries {
            tensors[entry.name] = SafetensorsTensor(
                name: entry.name, type: entry.type, shape: entry.shape,
                range: header.upperBound + entry.start..<header.upperBound + entry.end)
        }
        self.tensors = tensors
        self.file = file
    }

    /// The bytes of one of the file's tensors; no alignment is promised.
    package func bytes(of tensor: SafetensorsTensor) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: file.bytes[tensor.range])
    }
}

/// A tensor as the header describes it, with its place in the file already checked.
package struct SafetensorsTensor: Sendable {
    /// The tensor's name in the file.
    package let name: String
    /// Storage format.
    package let type: SafetensorsType
    /// Extents, the last of them that of consecutive elements; none for a single number.
    package let shape: [Int]
    /// Where the elements are in the file.
    package let range: Range<Int>
}

/// A description before it is known how the tensors follow each other.
private struct HeaderEntry {
    let name: String
    let type: SafetensorsType
    let shape: [Int]
    /// Relative to the end of the header.
    let start: Int
    let end: Int
}

/// The checks of a header, and the errors that name what was wrong.
private struct HeaderReader {
    let path: String
    private static let metadataKey = "__metadata__"

    func invalid(_ problem: String) -> EngineError { EngineError(.invalidModel, "\(path): \(problem)") }

    func invalid(_ tensor: String, _ problem: String) -> EngineError {
        invalid("header: tensor '\(tensor.printable)': \(problem)")
    }

    func headerRange(of file: MappedFile) throws(EngineError) -> Range<Int> {
        let lengthByteCount = MemoryLayout<UInt64>.size
        guard file.bytes.count >= lengthByteCount else {
            throw invalid("ends after \(file.bytes.count) bytes, within the header's length; it is truncated")
        }
        let length = UInt64(littleEndian: file.bytes.loadUnaligned(as: UInt64.self))
        guard let count = Int(exactly: length), count <= SafetensorsFile.Limits.headerByteCount else {
            throw invalid(
                "byte 0: a header of \(length) bytes exceeds the limit of \(SafetensorsFile.Limits.headerByteCount); "
                    + "this is no safetensors file")
        }
        guard count <= file.bytes.count - lengthByteCount else {
            throw invalid(
                "byte 0: the header has \(count) bytes but the file ends after "
                    + "\(file.bytes.count - lengthByteCount) of them; it is truncated")
        }
        guard count > 0, file.bytes[lengthByteCount] == UInt8(ascii: "{") else {
            throw invalid("byte \(lengthByteCount): the header does not begin with '{'; this is no safetensors file")
        }
        return lengthByteCount..<lengthByteCount + count
    }

    func parse(_ header: UnsafeRawBufferPointer) throws(EngineError) -> JSONObject {
        var limits = JSON.Limits()
        limits.values = SafetensorsFile.Limits.valueCount
        do throws(JSONError) {
            guard let object = try JSON(parsing: header, limits: limits).object else {
                preconditionFailure("the header begins with '{'")
            }
            return object
        } catch {
            throw invalid("byte \(MemoryLayout<UInt64>.size + error.offset): \(error.message)")
        }
    }

    func metadata(_ document: JSONObject) throws(EngineError) -> [String: String] {
        guard let value = document[Self.metadataKey], !value.isNull else { return [:] }
        guard let object = value.object else {
            throw invalid("header: key '\(Self.metadataKey)' must be an object, is \(value.kind)")
        }
        var metadata: [String: String] = [:]
        for (key, value) in object.members {
            guard let text = value.string else {
                throw invalid(
                    "header: key '\(Self.metadataKey).\(key.printable)' must be a string, is \(value.kind)")
            }
            metadata[key] = text
        }
        return metadata
    }

    func entries(_ document: JSONObject) throws(EngineError) -> [HeaderEntry] {
        let members = document.members.filter { $0.key != Self.metadataKey }
        guard members.count <= SafetensorsFile.Limits.tensorCount else {
            throw invalid("header: \(members.count) tensors exceed the limit of \(SafetensorsFile.Limits.tensorCount)")
        }
        var entries: [HeaderEntry] = []
        entries.reserveCapacity(members.count)
        for (name, value) in members { entries.append(try entry(name, value)) }
        return entries
    }

    private func entry(_ name: String, _ value: JSON) throws(EngineError) -> HeaderEntry {
        guard let object = value.object else { throw invalid(name, "must be an object, is \(value.kind)") }
        guard let typeName = object["dtype"]?.string else { throw invalid(name, "key 'dtype' must be a string") }
        guard let type = SafetensorsType(rawValue: typeName) else {
            throw invalid(name, "dtype '\(typeName.printable)' is unknown")
        }
        let shape = try extents(object["shape"], of: name, key: "shape")
        let offsets = try extents(object["data_offsets"], of: name, key: "data_offsets")
        guard offsets.count == 2 else { throw invalid(name, "key 'data_offsets' must hold two numbers") }
        let (start, end) = (offsets[0], offsets[1])
        guard start <= end else { throw invalid(name, "data_offsets \(offsets): the end lies before the start") }
        let needed = try byteCount(shape, type, of: name)
        guard end - start == needed else {
            throw invalid(
                name, "data_offsets \(offsets) span \(end - start) bytes but \(type.rawValue) \(shape) takes \(needed)")
        }
        return HeaderEntry(name: name, type: type, shape: shape, start: start, end: end)
    }

    private func extents(_ value: JSON?, of name: String, key: String) throws(EngineError) -> [Int] {
        guard let array = value?.array else { throw invalid(name, "key '\(key)' must be an array") }
        var extents: [Int] = []
        for element in array {
            guard case .integer(let integer) = element, let extent = Int(exactly: integer), extent >= 0 else {
                throw invalid(name, "key '\(key)' must hold integers in 0...\(Int.max)")
            }
            extents.append(extent)
        }
        return extents
    }

    private func byteCount(_ shape: [Int], _ type: SafetensorsType, of name: String) throws(EngineError) -> Int {
        var bits = type.bitCount
        var overflows = false
        // The extents alone must not overflow either, whatever comes out behind a zero.
        for extent in shape {
            let (product, overflow) = bits.multipliedReportingOverflow(by: extent)
            overflows = overflows || overflow
            bits = product
        }
        guard !overflows else { throw invalid(name, "\(type.rawValue) \(shape) has more than \(Int.max) bits") }
        guard bits % 8 == 0 else { throw invalid(name, "\(type.rawValue) \(shape) ends within a byte") }
        return bits / 8
    }

    /// Tensors, sorted by place, must cover `byteCount` bytes without gap or overlap.
    func checkContiguity(_ entries: [HeaderEntry], byteCount: Int) throws(EngineError) {
        var previous: HeaderEntry?
        for entry in entries {
            let expected = previous?.end ?? 0
            guard entry.start == expected else {
                let neighbour = previous.map { "tensor '\($0.name.printable)'" } ?? "the header"
                let problem =
                    entry.start < expected
                    ? "overlaps \(neighbour), which ends at \(expected)"
                    : "leaves a gap behind \(neighbour), which ends at \(expected)"
                throw invalid(entry.name, "data offset \(entry.start) \(problem)")
            }
            previous = entry
        }
        let needed = previous?.end ?? 0
        guard needed <= byteCount else {
            throw invalid(
                "is truncated: the header describes \(needed) bytes of data but \(byteCount) are there; "
                    + "download it again")
        }
        guard needed == byteCount else {
            throw invalid("\(byteCount - needed) bytes follow the last tensor, which ends at data offset \(needed)")
        }
    }
}
