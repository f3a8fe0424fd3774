internal import CKernels

/// What an adapter adds to the outputs of one matrix: up (down x).
struct Correction {
    /// (rank, inputs)
    let down: ck_matrix
    /// (outputs in the order of the matrix, rank), the adapter's scale in it
    let up: ck_matrix
}

/// The matrices of all adapters in float32, arranged as those of the model that they correct.
final class PackedAdapters: @unchecked Sendable {  // immutable after init
    /// Number of adapters.
    let count: Int
    /// Floats that hold what any matrix `down` yields; 0 without adapters.
    let rankStride: Int
    /// By adapter.
    private let corrections: [[TensorRole: Correction]]
    private let memory: HugePages

    /// - Throws: `EngineError.insufficientMemory`.
    init(_ adapters: [Adapter], _ model: ModelConfiguration) throws(EngineError) {
        var layout = BumpLayout()
        var plan: [(adapter: Int, role: TensorRole, down: PackedFactor, up: PackedFactor)] = []
        for (index, adapter) in adapters.enumerated() {
            for (role, product) in adapter.products {
                let down = PackedFactor(product.down, scale: 1, heads: nil, &layout)
                let up = PackedFactor(product.up, scale: product.scale, heads: HeadLayout(model, role), &layout)
                plan.append((index, role, down, up))
            }
        }
        memory = try HugePages(byteCount: layout.byteCount, purpose: "adapters")
        var corrections = [[TensorRole: Correction]](repeating: [:], count: adapters.count)
        for (adapter, role, down, up) in plan {
            corrections[adapter][role] = Correction(down: down.pack(memory.base), up: up.pack(memory.base))
        }
        self.corrections = corrections
        count = adapters.count
        rankStride = ForwardStep.padded(adapters.reduce(0) { max($0, $1.rank) })
    }

    /// (adapters, matrices) what is added to each of `matrices`; nothing when no adapter changes one of them.
    func corrections(of matrices: [TensorRole]) -> [Correction?] {
        let all = corrections.flatMap { own in matrices.map { own[$0] } }
        return all.contains { $0 != nil } ? all : []
    }
}

/// One of the two matrices of a product, and where its panels go.
private struct PackedFactor {
    private let tensor: Tensor
    private let scale: Float
    private let heads: HeadLayout?
    private let outputs: Int
    private let offset: Int

    private var panelCount: Int { (outputs + 15) / 16 }
    private var panelByteCount: Int { ck_panel_bytes(CK_PANEL_F32, tensor.columns) }

    init(_ tensor: Tensor, scale: Float, heads: HeadLayout?, _ layout: inout BumpLayout) {
        (self.tensor, self.scale, self.heads) = (tensor, scale, heads)
        outputs = heads?.packedCount(tensor.rows) ?? tensor.rows
        offset = layout.reserve(UInt8.self, (outputs + 15) / 16 * ck_panel_bytes(CK_PANEL_F32, tensor.columns))
    }

    func pack(_ base: UnsafeMutableRawPointer) -> ck_matrix {
        let rowByteCount = tensor.bytes.count / tensor.rows
        for panel in 0..<panelCount {
            let target = base + offset + panel * panelByteCount
            let rows = (panel * 16..<panel * 16 + 16).map { index -> UnsafeRawPointer? in
                guard index < outputs, let row = heads.map({ $0.source(of: index) }) ?? index else { return nil }
                return tensor.bytes.baseAddress.map { $0 + row * rowByteCount }
            }
            _ = ck_pack_floats(tensor.type.storage, rows, tensor.columns, CK_PANEL_F32, target)
            guard scale != 1 else { continue }
            let elements = target.assumingMemoryBound(to: Float.self)
            for index in 0..<tensor.columns * 16 { elements[index] *= scale }
        }
        return ck_matrix(panels: base + offset, format: CK_PANEL_F32, k: tensor.columns, outputs: outputs)
    }
}
