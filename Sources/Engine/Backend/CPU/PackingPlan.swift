internal import CKernels
internal import Synchronization

/// Where every tensor goes in the memory of `PackedWeights`, and the work of putting it there.
struct PackingPlan {
    /// What of a tensor is packed.
    enum Piece: Hashable {
        case whole
        /// The key matrices of heads out of a `keyValueExpansion`, turned over: (rank, plain dimension) each.
        case keys
        /// The value matrices of heads out of a `keyValueExpansion`: (value dimension, rank) each.
        case values
    }

    fileprivate struct Item: Sendable {
        let tensor: Tensor
        /// What the elements are kept in.
        let type: TensorType
        let offset: Int
        let shape: Shape
    }

    /// How an item's elements are arranged.
    fileprivate enum Shape: Sendable {
        /// Floats in the order of `heads`, each plus `addend`.
        case vector(outputs: Int, heads: HeadLayout?, addend: Float)
        /// Panels of rows in the order of `heads`.
        case matrix(outputs: Int, heads: HeadLayout?)
        /// Panels in float32 for each head by itself.
        case headMatrices(HeadMatrices)
        /// Nothing: elements are read from the file. They are only checked.
        case unpacked
    }

    private struct Key: Hashable {
        let role: TensorRole
        let piece: Piece
    }

    /// Bytes of all packed tensors.
    let byteCount: Int
    private let items: [Key: Item]

    /// - Throws: `EngineError.invalidModel` for a missing tensor, `unsupportedModel` for a mix of quantizations.
    init(_ checkpoint: any Checkpoint, _ dataType: DataType) throws(EngineError) {
        try checkpoint.requireEqualInputs()
        let model = checkpoint.configuration
        var layout = BumpLayout()
        var items: [Key: Item] = [:]
        for role in model.tensorRoles {
            let tensor = try checkpoint.tensor(role)
            for (piece, shape) in Self.pieces(of: role, tensor, model) {
                let type = role.isVector ? .f32 : dataType.stored(tensor.type)
                let offset = layout.reserve(UInt8.self, shape.byteCount(tensor, type))
                items[Key(role: role, piece: piece)] = Item(tensor: tensor, type: type, offset: offset, shape: shape)
            }
        }
        self.items = items
        byteCount = layout.byteCount
    }

    private static func pieces(of role: TensorRole, _ tensor: Tensor, _ model: ModelConfiguration) -> [(Piece, Shape)] {
        if case .layer(_, .keyValueExpansion) = role, let latent = model.latentAttention {
            let keys = HeadMatrices(
                heads: model.headCount, stride: latent.plainDimension + latent.valueDimension, start: 0,
                count: latent.plainDimension, isTurned: true)
            let values = HeadMatrices(
                heads: model.headCount, stride: latent.plainDimension + latent.valueDimension,
                start: latent.plainDimension, count: latent.valueDimension, isTurned: false)
            return [(.keys, .headMatrices(keys)), (.values, .headMatrices(values))]
        }
        if role == .tokenEmbedding && !model.tiesEmbeddings { return [(.whole, .unpacked)] }
        let heads = HeadLayout(model, role)
        let rows = role.isVector ? tensor.columns : tensor.rows
        let outputs = heads?.packedCount(rows) ?? rows
        guard role.isVector else { return [(.whole, .matrix(outputs: outputs, heads: heads))] }
        let addend = role.isNorm ? model.normWeightOffset : 0
        return [(.whole, .vector(outputs: outputs, heads: heads, addend: addend))]
    }

    /// Names every matrix that rows are multiplied with: its format, its bytes once packed and its elements without padding.
    func forEachMatrix(_ body: (_ role: TensorRole, _ format: ck_format, _ bytes: Int, _ elements: Int) -> Void) {
        for (key, item) in items {
            let bytes = item.shape.byteCount(item.tensor, item.type)
            switch item.shape {
            case .vector, .unpacked: break
            case .matrix: body(key.role, item.type.format, bytes, item.tensor.rows * item.tensor.columns)
            case .headMatrices(let matrices):
                body(key.role, CK_PANEL_F32, bytes, matrices.heads * matrices.count * item.tensor.columns)
            }
        }
    }

    /// The packed matrix at `base`.
    func matrix(_ role: TensorRole, _ base: UnsafeMutableRawPointer) -> ck_matrix {
        guard let item = items[Key(role: role, piece: .whole)], case .matrix(let outputs, _) = item.shape else {
            preconditionFailure("\(role) was not planned")
        }
        return ck_matrix(
            panels: base + item.offset, format: item.type.format, k: item.tensor.columns, outputs: outputs)
    }

    /// What the matrix multiplies.
    func form(_ role: TensorRole) -> InputForm {
        guard let item = items[Key(role: role, piece: .whole)] else { preconditionFailure("\(role) was not planned") }
        return InputForm(item.tensor, packedIn: item.type.format)
    }

    /// The packed matrices of all heads at `base`.
    func headMatrices(_ role: TensorRole, _ piece: Piece, _ base: UnsafeMutableRawPointer) -> [ck_matrix] {
        guard let item = items[Key(role: role, piece: piece)], case .headMatrices(let matrices) = item.shape else {
            preconditionFailure("\(role) was not planned")
        }
        return (0..<matrices.heads).map { head in
            ck_matrix(
                panels: base + item.offset + head * matrices.byteCount(item.tensor), format: CK_PANEL_F32,
                k: matrices.inputs(item.tensor), outputs: matrices.outputs(item.tensor))
        }
    }

    /// The vector as floats at `base`.
    func vector(_ role: TensorRole, _ base: UnsafeMutableRawPointer) -> UnsafePointer<Float> {
        guard let vector = optionalVector(role, base) else { preconditionFailure("\(role) was not planned") }
        return vector
    }

    /// The vector as floats at `base`; nil when the model has none.
    func optionalVector(_ role: TensorRole, _ base: UnsafeMutableRawPointer) -> UnsafePointer<Float>? {
        items[Key(role: role, piece: .whole)].map {
            UnsafePointer((base + $0.offset).assumingMemoryBound(to: Float.self))
        }
    }

    /// Packs everything, biggest tensors first so that the threads finish together.
    ///
    /// - Throws: `EngineError.invalidModel` for floats that are not finite, in the file or as they are kept.
    func pack(
        into base: UnsafeMutableRawPointer, team: ThreadTeam, progress: (Double) -> Void
    ) throws(EngineError) {
        let ordered = items.values.sorted { ($0.tensor.bytes.count, $0.offset) > ($1.tensor.bytes.count, $1.offset) }
        let total = ordered.reduce(0) { $0 + $1.tensor.bytes.count }
        var done = 0
        progress(0)
        for (index, item) in ordered.enumerated() {
            if index + 1 < ordered.count { ordered[index + 1].tensor.prefetch() }
            let job = PackingJob(item: item, destination: base + item.offset)
            team.run(job)
            if !item.type.rounded(job.largestMagnitude).isFinite {
                try item.tensor.requireFinite(storedAs: item.type)
            }
            item.tensor.discard()  // so that no more than a tensor is in memory twice
            done += item.tensor.bytes.count
            progress(Double(done) / Double(max(total, 1)))
        }
        // A file may be mapped in pages of 2 MiB, where reading a tensor brought back its neighbours.
        for item in ordered { item.tensor.discard() }
    }
}

extension PackingPlan.Shape {
    func byteCount(_ tensor: Tensor, _ type: TensorType) -> Int {
        switch self {
        case .vector(let outputs, _, _): (outputs + 15) / 16 * 64
        case .matrix(let outputs, _): (outputs + 15) / 16 * ck_panel_bytes(type.format, tensor.columns)
        case .headMatrices(let matrices): matrices.heads * matrices.byteCount(tensor)
        case .unpacked: 0
        }
    }

    /// Parts that threads can pack by themselves.
    func partCount(_ tensor: Tensor) -> Int {
        switch self {
        case .unpacked: tensor.type.isFloat ? (tensor.rows + 15) / 16 : 0
        case .vector: 1
        case .matrix(let outputs, _): (outputs + 15) / 16
        case .headMatrices(let matrices): matrices.heads
        }
    }
}

/// Rows of each head that are a matrix of their own.
private struct HeadMatrices: Sendable {
    let heads: Int
    /// Rows of a head.
    let stride: Int
    /// First row of the matrix among those of its head.
    let start: Int
    /// Rows of the matrix.
    let count: Int
    /// Whether rows become inputs.
    let isTurned: Bool

    func inputs(_ tensor: Tensor) -> Int { isTurned ? count : tensor.columns }
    func outputs(_ tensor: Tensor) -> Int { isTurned ? tensor.columns : count }
    /// Bytes of one head's panels.
    func byteCount(_ tensor: Tensor) -> Int {
        (outputs(tensor) + 15) / 16 * ck_panel_bytes(CK_PANEL_F32, inputs(tensor))
    }
}

/// Packs one tensor, its parts shared out among the threads.
private final class PackingJob: TeamJob {
    private let item: PackingPlan.Item
    private let largest = Atomic<UInt32>(0)
    private nonisolated(unsafe) let destination: UnsafeMutableRawPointer  // each part is written by one thread

    init(item: PackingPlan.Item, destination: UnsafeMutableRawPointer) {
        self.item = item
        self.destination = destination
    }

    func run(as member: TeamMember) {
        member.share(item.shape.partCount(item.tensor)) { part in
            switch item.shape {
            case .vector(let outputs, let heads, let addend): packVector(outputs, heads, addend)
            case .matrix(let outputs, let heads): pack(part, outputs, heads)
            case .headMatrices(let matrices): pack(head: part, matrices)
            case .unpacked:
                for index in part * 16..<min(item.tensor.rows, part * 16 + 16) { _ = row(index) }
            }
        }
    }

    /// Of the floats read so far: NaN if one is NaN.
    var largestMagnitude: Float { Float(bitPattern: largest.load(ordering: .relaxed)) }

    /// As integers, magnitudes order NaN above infinity above every number.
    private func note(_ magnitude: Float) { largest.max(magnitude.bitPattern, ordering: .relaxed) }

    private func packVector(_ outputs: Int, _ heads: HeadLayout?, _ addend: Float) {
        let packed = destination.assumingMemoryBound(to: Float.self)
        let values = row(0)
        for index in 0..<outputs {
            packed[index] = source(of: index, outputs, heads).map { values[$0] + addend } ?? 0
        }
    }

    /// The row of the file that becomes row `index`; nil for padding.
    private func source(of index: Int, _ outputs: Int, _ heads: HeadLayout?) -> Int? {
        guard index < outputs else { return nil }
        guard let heads else { return index }
        return heads.source(of: index)
    }

    private func pack(_ panel: Int, _ outputs: Int, _ heads: HeadLayout?) {
        let tensor = item.tensor
        let rowByteCount = tensor.bytes.count / tensor.rows
        withUnsafeTemporaryAllocation(of: UnsafeRawPointer?.self, capacity: 16) { rows in
            for column in 0..<16 {
                let row = source(of: panel * 16 + column, outputs, heads).flatMap { source in
                    tensor.bytes.baseAddress.map { $0 + source * rowByteCount }
                }
                rows.initializeElement(at: column, to: row)
            }
            let format = item.type.format
            let target = destination + panel * ck_panel_bytes(format, tensor.columns)
            if tensor.type.isFloat {
                note(ck_pack_floats(tensor.type.storage, rows.baseAddress, tensor.columns, format, target))
            } else {
                ck_pack_panel(tensor.type.storage, rows.baseAddress, tensor.columns, target)
            }
            guard let integers = tensor.integers else { return }
            let sources = (0..<16).map { source(of: panel * 16 + $0, outputs, heads) }
            ck_scale_panel(
                sources.map { $0.map { integers.scales[$0] } ?? 0 },
                sources.map { source in source.flatMap { integers.addends.isEmpty ? nil : integers.addends[$0] } ?? 0 },
                target)
        }
    }

    private func pack(head: Int, _ matrices: HeadMatrices) {
        let rows = (0..<matrices.count).map { index in
            let row = row(head * matrices.stride + matrices.start + index)
            return item.type == item.tensor.type ? row : row.map(item.type.rounded)
        }
        let inputs = matrices.inputs(item.tensor)
        let outputs = matrices.outputs(item.tensor)
        let panels = (destination + head * matrices.byteCount(item.tensor)).assumingMemoryBound(to: Float.self)
        // A float32 panel is (inputs, 16).
        for panel in 0..<(outputs + 15) / 16 {
            for input in 0..<inputs {
                for column in 0..<16 {
                    let output = panel * 16 + column
                    let value = output >= outputs ? 0 : matrices.isTurned ? rows[input][output] : rows[output][input]
                    panels[(panel * inputs + input) * 16 + column] = value
                }
            }
        }
    }

    private func row(_ index: Int) -> [Float] {
        let tensor = item.tensor
        let rowByteCount = tensor.bytes.count / tensor.rows
        return [Float](unsafeUninitializedCapacity: tensor.columns) { buffer, count in
            ck_dequantize(
                tensor.type.storage, tensor.bytes.baseAddress.map { $0 + index * rowByteCount }, tensor.columns,
                buffer.baseAddress)
            count = tensor.columns
            if tensor.type.isFloat { note(ck_largest(buffer.baseAddress, tensor.columns)) }
            guard let scale = tensor.integers?.weightScale(index) else { return }
            for column in 0..<count { buffer[column] *= scale }
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
        case .i8: CK_I8
        }
    }

    /// The panel format its matrices are packed in.
    var format: ck_format { ck_format_of(storage) }
}
