internal import CKernels

/// Where every tensor goes in the memory of `PackedWeights`, and the work of putting it there.
struct PackingPlan {
    fileprivate struct Item: Sendable {
        let tensor: Tensor
        let offset: Int
        /// Rows (elements of a vector) once packed.
        let outputs: Int
        /// Where packed rows come from, when heads are rearranged.
        let heads: HeadLayout?
        let isVector: Bool

        var panelCount: Int { isVector ? 1 : (outputs + 15) / 16 }
    }

    /// Bytes of all packed tensors.
    let byteCount: Int
    private let items: [TensorRole: Item]

    /// - Throws: `EngineError.invalidModel` for a missing tensor.
    init(_ checkpoint: any Checkpoint) throws(EngineError) {
        let model = checkpoint.configuration
        var layout = BumpLayout()
        var items: [TensorRole: Item] = [:]
        for role in model.tensorRoles where role != .tokenEmbedding || model.tiesEmbeddings {
            let tensor = try checkpoint.tensor(role)
            let isVector = role.isVector
            let heads = role.headPart.map { HeadLayout(model, isRotated: $0 == .rotated) }
            let rows = isVector ? tensor.columns : tensor.rows
            let outputs = heads?.packedCount(rows) ?? rows
            let offset =
                isVector
                ? layout.reserve(Float.self, (outputs + 15) / 16 * 16)
                : layout.reserve(
                    UInt8.self, (outputs + 15) / 16 * ck_panel_bytes(tensor.type.format, tensor.columns))
            items[role] = Item(tensor: tensor, offset: offset, outputs: outputs, heads: heads, isVector: isVector)
        }
        self.items = items
        byteCount = layout.byteCount
    }

    /// The packed matrix at `base`.
    func matrix(_ role: TensorRole, _ base: UnsafeMutableRawPointer) -> ck_matrix {
        guard let item = items[role] else { preconditionFailure("\(role) was not planned") }
        return ck_matrix(
            panels: base + item.offset, format: item.tensor.type.format, k: item.tensor.columns,
            outputs: item.outputs)
    }

    /// The vector as floats at `base`.
    func vector(_ role: TensorRole, _ base: UnsafeMutableRawPointer) -> UnsafePointer<Float> {
        guard let vector = optionalVector(role, base) else { preconditionFailure("\(role) was not planned") }
        return vector
    }

    /// The vector as floats at `base`; nil when the model has none.
    func optionalVector(_ role: TensorRole, _ base: UnsafeMutableRawPointer) -> UnsafePointer<Float>? {
        items[role].map { UnsafePointer((base + $0.offset).assumingMemoryBound(to: Float.self)) }
    }

    /// Packs everything, biggest tensors first so that the threads finish together.
    func pack(into base: UnsafeMutableRawPointer, team: ThreadTeam, progress: (Double) -> Void) {
        let ordered = items.values.sorted { ($0.tensor.bytes.count, $0.offset) > ($1.tensor.bytes.count, $1.offset) }
        let total = ordered.reduce(0) { $0 + $1.tensor.bytes.count }
        var done = 0
        progress(0)
        for item in ordered {
            team.run(PackingJob(item: item, destination: base + item.offset))
            done += item.tensor.bytes.count
            progress(Double(done) / Double(max(total, 1)))
        }
    }
}

/// Packs one tensor, its panels shared out among the threads.
private final class PackingJob: TeamJob {
    private let item: PackingPlan.Item
    private nonisolated(unsafe) let destination: UnsafeMutableRawPointer  // each panel is written by one thread

    init(item: PackingPlan.Item, destination: UnsafeMutableRawPointer) {
        self.item = item
        self.destination = destination
    }

    func run(as member: TeamMember) {
        member.share(item.panelCount) { panel in
            if item.isVector { packVector() } else { pack(panel) }
        }
    }

    private func packVector() {
        let packed = destination.assumingMemoryBound(to: Float.self)
        let values = [Float](unsafeUninitializedCapacity: item.tensor.columns) { buffer, count in
            ck_dequantize(
                item.tensor.type.storage, item.tensor.bytes.baseAddress, item.tensor.columns, buffer.baseAddress)
            count = item.tensor.columns
        }
        for index in 0..<item.outputs { packed[index] = source(of: index).map { values[$0] } ?? 0 }
    }

    /// The row of the file that becomes row `index`; nil for padding.
    private func source(of index: Int) -> Int? {
        guard index < item.outputs else { return nil }
        guard let heads = item.heads else { return index }
        return heads.source(of: index)
    }

    private func pack(_ panel: Int) {
        let tensor = item.tensor
        let rowByteCount = tensor.bytes.count / tensor.rows
        withUnsafeTemporaryAllocation(of: UnsafeRawPointer?.self, capacity: 16) { rows in
            for column in 0..<16 {
                let row = source(of: panel * 16 + column).flatMap { source in
                    tensor.bytes.baseAddress.map { $0 + source * rowByteCount }
                }
                rows.initializeElement(at: column, to: row)
            }
            let panelByteCount = ck_panel_bytes(tensor.type.format, tensor.columns)
            ck_pack_panel(
                tensor.type.storage, rows.baseAddress, tensor.columns, destination + panel * panelByteCount)
        }
    }
}

/// How the rows of a head are packed: padded with zeros to whole lanes, which changes no product, and with interleaved
/// rotary pairs (2i, 2i + 1) moved to (i, i + half), queries and keys alike, so that the kernels need one layout only.
struct HeadLayout: Sendable {
    /// Rows of a packed head.
    let packedDimension: Int
    private let dimension: Int
    private let movedHalf: Int

    init(_ model: ModelConfiguration, isRotated: Bool) {
        dimension = model.headDimension
        packedDimension = (model.headDimension + 15) / 16 * 16
        movedHalf = isRotated && model.rotaryLayout == .interleaved ? model.rotaryDimension / 2 : 0
    }

    /// Rows of all heads once packed.
    func packedCount(_ rows: Int) -> Int { rows / dimension * packedDimension }

    /// The row of the file that becomes row `row`; nil for padding.
    func source(of row: Int) -> Int? {
        let (head, element) = row.quotientAndRemainder(dividingBy: packedDimension)
        guard element < dimension else { return nil }
        let source =
            if element < movedHalf {
                2 * element
            } else if element < 2 * movedHalf {
                2 * (element - movedHalf) + 1
            } else {
                element
            }
        return head * dimension + source
    }
}

extension TensorRole {
    fileprivate enum HeadPart {
        case rotated
        case plain
    }

    /// Whether the rows are those of heads, and whether rotary embedding turns them.
    fileprivate var headPart: HeadPart? {
        guard case .layer(_, let role) = self else { return nil }
        switch role {
        case .query, .key, .queryBias, .keyBias: return .rotated
        case .value, .valueBias: return .plain
        default: return nil
        }
    }
}

extension TensorType {
    /// The same type by its name in the kernels.
    var storage: ck_type {
        switch self {
        case .f32: CK_F32
        case .f16: CK_F16
        case .bf16: CK_BF16
        case .q8_0: CK_Q8_0
        case .q4_0: CK_Q4_0
        case .q4_1: CK_Q4_1
        case .q4_K: CK_Q4_K
        case .q5_K: CK_Q5_K
        case .q6_K: CK_Q6_K
        }
    }

    /// The panel format its matrices are packed in.
    var format: ck_format { ck_format_of(storage) }
}
