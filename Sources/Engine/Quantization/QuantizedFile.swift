/// The layout of a file of quantized matrices: a safetensors file whose header follows from the model, so that it is
/// never parsed but compared, byte for byte, with the one that would be written.
///
/// For every matrix its integers (I8), the scales of its rows and two numbers about its errors (F32); then the factors
/// of `Smoothing`, if there are any (F32); at the end one checksum per matrix over all three, and one over the factors.
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
    /// Factors of `Smoothing`; 0 for a model that is not evened out.
    let factorCount: Int
    /// Of the factors.
    let factorsOffset: Int
    /// The header with its length before it.
    let header: [UInt8]
    /// Of the checksums, in 8 bytes each.
    let checksumsOffset: Int
    /// The parts that each checksum is about: of every entry, and the factors.
    var checkedParts: [[Range<Int>]] {
        entries.map { entry in
            let border = entry.offset + entry.weightByteCount
            return [entry.offset..<border, border..<entry.offset + entry.byteCount]
        } + (factorCount > 0 ? [[factorsOffset..<checksumsOffset]] : [])
    }
    /// Of the whole file.
    var byteCount: Int { checksumsOffset + (entries.count + (factorCount > 0 ? 1 : 0)) * 8 }

    /// Changes with anything that would make older files wrong.
    private static let version = 2

    /// - Parameters:
    ///   - smoothing: where the factors of all layers are; nil for a model that is not evened out.
    ///   - key: what stands for the contents of the model's files, and for what decides the factors.
    init(_ matrices: [(role: TensorRole, tensor: Tensor)], smoothing: SmoothingLayout?, key: UInt64) {
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
        let factors = end
        for (name, count) in smoothing?.names ?? [] { add(name, "F32", [count], count * 4) }
        let checksums = end
        let checksumCount = matrices.count + (checksums > factors ? 1 : 0)
        add("checksums", "U64", [checksumCount], checksumCount * 8)

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
        factorCount = (checksums - factors) / 4
        factorsOffset = header.count + factors
        checksumsOffset = header.count + checksums
    }

    /// The scales and errors of a matrix as they stand behind its integers.
    static func trailer(scales: [Float], record: QuantizationRecord) -> [UInt8] {
        bytes(of: scales + [record.cosine, record.largestError])
    }

    /// Floats as they stand in the file.
    static func bytes(of values: [Float]) -> [UInt8] {
        values.flatMap { value in withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) } }
    }

    /// The matrix and its errors out of a file that was checked.
    func read(_ entry: Entry, from file: MappedFile) -> (tensor: Tensor, record: QuantizationRecord) {
        let rows = entry.tensor.rows
        let numbers = Self.floats(rows + 2, at: entry.offset + entry.weightByteCount, of: file)
        let weights = file.bytes[entry.offset..<entry.offset + entry.weightByteCount]
        let tensor = Tensor(
            name: entry.tensor.name, type: .i8, rows: rows, columns: entry.tensor.columns,
            bytes: UnsafeRawBufferPointer(rebasing: weights), owner: file,
            integers: IntegerProduct(scales: Array(numbers[..<rows])))
        let record = QuantizationRecord(
            name: entry.tensor.name, layer: entry.role.layer, cosine: numbers[rows],
            largestError: numbers[rows + 1])
        return (tensor, record)
    }

    /// The factors out of a file that was checked.
    func readFactors(from file: MappedFile) -> [Float] { Self.floats(factorCount, at: factorsOffset, of: file) }

    private static func floats(_ count: Int, at offset: Int, of file: MappedFile) -> [Float] {
        (0..<count).map { index in
            let bits = file.bytes.loadUnaligned(fromByteOffset: offset + index * 4, as: UInt32.self)
            return Float(bitPattern: UInt32(littleEndian: bits))
        }
    }

    /// What is wrong with a file; nil when nothing is.
    func problem(with file: MappedFile, team: ThreadTeam) -> String? {
        guard file.bytes.count >= header.count, file.bytes.prefix(header.count).elementsEqual(header) else {
            return "it was made from other weights, with another calibration, or by another version"
        }
        guard file.bytes.count == byteCount else {
            return "it has \(file.bytes.count) bytes instead of \(byteCount)"
        }
        let job = ChecksumJob(self, file)
        team.run(job)
        for (index, parts) in checkedParts.enumerated() {
            let expected = file.bytes.loadUnaligned(fromByteOffset: checksumsOffset + index * 8, as: UInt64.self)
            guard UInt64(littleEndian: expected) == job.checksums[index] else {
                let name = index < entries.count ? "'\(entries[index].role.cacheName)'" : "the smoothing factors"
                return "the checksum of \(name) at byte \(parts[0].lowerBound) is wrong"
            }
        }
        return nil
    }
}

/// Computes all checksums, shared out among the threads.
private final class ChecksumJob: TeamJob {
    nonisolated(unsafe) let checksums: UnsafeMutableBufferPointer<UInt64>  // each is written by one thread
    private let parts: [[Range<Int>]]
    private let file: MappedFile

    init(_ layout: QuantizedFile, _ file: MappedFile) {
        parts = layout.checkedParts
        self.file = file
        checksums = .allocate(capacity: parts.count)
        checksums.initialize(repeating: 0)
    }

    deinit { checksums.deallocate() }

    func run(as member: TeamMember) {
        guard !parts.isEmpty else { return }
        member.share(parts.count) { index in
            var hash = ContentHash()
            for part in parts[index] {
                let bytes = UnsafeRawBufferPointer(rebasing: file.bytes[part])
                hash.add(bytes)
                file.discard(bytes)
            }
            checksums[index] = hash.value
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
