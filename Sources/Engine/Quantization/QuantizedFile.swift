/// The layout of a file of quantized matrices: a safetensors file whose header follows from the model, so that it is
/// never parsed but compared, byte for byte, with the one that would be written.
///
/// For every matrix its integers (I8), the scales of its rows and two numbers about its errors (F32); at the end one
/// checksum per matrix over all three.
struct QuantizedFile {
    /// One matrix and where it is.
    struct Entry {
        let role: TensorRole
        let tensor: Tensor
        /// From the file's start.
        let offset: Int

        var weightByteCount: Int { tensor.rows * tensor.columns }
        /// Of the integers, scales and errors.
        var byteCount: Int { weightByteCount + tensor.rows * 4 + 8 }
    }

    /// The matrices in order.
    let entries: [Entry]
    /// The header with its length before it.
    let header: [UInt8]
    /// Of the checksums, one per entry in 8 bytes.
    let checksumsOffset: Int
    /// Of the whole file.
    var byteCount: Int { checksumsOffset + entries.count * 8 }

    /// Changes with anything that would make older files wrong.
    private static let version = 1

    /// - Parameter key: what stands for the contents of the model's files.
    init(_ matrices: [(role: TensorRole, tensor: Tensor)], key: UInt64) {
        var members = [
            #""__metadata__":{"format":"lmcall w8a8","version":"\#(Self.version)","source":"\#(key.hexadecimal)"}"#
        ]
        var end = 0
        func add(_ name: String, _ type: String, _ shape: [Int], _ byteCount: Int) {
            members.append(
                #""\#(name)":{"dtype":"\#(type)","shape":["# + shape.map { String($0) }.joined(separator: ",")
                    + #"],"data_offsets":[\#(end),\#(end + byteCount)]}"#)
            end += byteCount
        }
        for (role, tensor) in matrices {
            let name = role.cacheName
            add(name, "I8", [tensor.rows, tensor.columns], tensor.rows * tensor.columns)
            add(name + ".scale", "F32", [tensor.rows], tensor.rows * 4)
            add(name + ".error", "F32", [2], 8)
        }
        let checksums = end
        add("checksums", "U64", [matrices.count], matrices.count * 8)

        var text = "{" + members.joined(separator: ",") + "}"
        text += String(repeating: " ", count: (8 - text.utf8.count % 8) % 8)
        header = withUnsafeBytes(of: UInt64(text.utf8.count).littleEndian) { Array($0) } + Array(text.utf8)
        var offset = header.count
        var entries: [Entry] = []
        for (role, tensor) in matrices {
            entries.append(Entry(role: role, tensor: tensor, offset: offset))
            offset += entries[entries.count - 1].byteCount
        }
        self.entries = entries
        checksumsOffset = header.count + checksums
    }

    /// The scales and errors of a matrix as they stand behind its integers.
    static func trailer(scales: [Float], record: QuantizationRecord) -> [UInt8] {
        (scales + [record.cosine, record.largestError]).flatMap { value in
            withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) }
        }
    }

    /// The matrix and its errors out of a file that was checked.
    func read(_ entry: Entry, from file: MappedFile) -> (tensor: Tensor, record: QuantizationRecord) {
        func float(_ index: Int) -> Float {
            let offset = entry.offset + entry.weightByteCount + index * 4
            return Float(
                bitPattern: UInt32(littleEndian: file.bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
        }
        let rows = entry.tensor.rows
        let weights = file.bytes[entry.offset..<entry.offset + entry.weightByteCount]
        let tensor = Tensor(
            name: entry.tensor.name, type: .i8, rows: rows, columns: entry.tensor.columns,
            bytes: UnsafeRawBufferPointer(rebasing: weights), owner: file,
            integers: IntegerProduct(scales: (0..<rows).map(float)))
        let record = QuantizationRecord(
            name: entry.tensor.name, layer: entry.role.layer, cosine: float(rows), largestError: float(rows + 1))
        return (tensor, record)
    }

    /// What is wrong with a file; nil when nothing is.
    func problem(with file: MappedFile, team: ThreadTeam) -> String? {
        guard file.bytes.count >= header.count, file.bytes.prefix(header.count).elementsEqual(header) else {
            return "it was made from other weights, or by another version"
        }
        guard file.bytes.count == byteCount else {
            return "it has \(file.bytes.count) bytes instead of \(byteCount)"
        }
        let job = ChecksumJob(self, file)
        team.run(job)
        for (index, entry) in entries.enumerated() {
            let expected = file.bytes.loadUnaligned(fromByteOffset: checksumsOffset + index * 8, as: UInt64.self)
            guard UInt64(littleEndian: expected) == job.checksums[index] else {
                return "the checksum of '\(entry.role.cacheName)' at byte \(entry.offset) is wrong"
            }
        }
        return nil
    }
}

/// Computes the checksums of all entries, shared out among the threads.
private final class ChecksumJob: TeamJob {
    nonisolated(unsafe) let checksums: UnsafeMutableBufferPointer<UInt64>  // each is written by one thread
    private let layout: QuantizedFile
    private let file: MappedFile

    init(_ layout: QuantizedFile, _ file: MappedFile) {
        self.layout = layout
        self.file = file
        checksums = .allocate(capacity: layout.entries.count)
        checksums.initialize(repeating: 0)
    }

    deinit { checksums.deallocate() }

    func run(as member: TeamMember) {
        guard !layout.entries.isEmpty else { return }
        member.share(layout.entries.count) { index in
            let entry = layout.entries[index]
            let bytes = UnsafeRawBufferPointer(rebasing: file.bytes[entry.offset..<entry.offset + entry.byteCount])
            var hash = ContentHash()
            hash.add(UnsafeRawBufferPointer(rebasing: bytes[..<entry.weightByteCount]))
            hash.add(UnsafeRawBufferPointer(rebasing: bytes[entry.weightByteCount...]))
            checksums[index] = hash.value
            file.discard(bytes)
        }
    }
}

extension TensorRole {
    /// Its name in files of quantized matrices.
    var cacheName: String {
        switch self {
        case .tokenEmbedding: "tokenEmbedding"
        case .outputNorm: "outputNorm"
        case .output: "output"
        case .layer(let layer, let role): "layers.\(layer).\(role.rawValue)"
        case .expert(let layer, let expert, let role): "layers.\(layer).experts.\(expert).\(role.rawValue)"
        }
    }
}
