/// Finds the tensors of a network among those of a folder: each is there, is of the expected shape, and none is left
/// over.
struct FolderTensors {
    /// What the roles that share a stored tensor need of it.
    private struct Need {
        var rows: Int
        let columns: Int
        let isVector: Bool

        var shape: [Int] { isVector ? [columns] : [rows, columns] }
    }

    /// Experts in all layers together; DeepSeek-V3 has 14,848. Roles are listed before any is looked for.
    private static let expertCount = 131_072

    private let layout: FolderLayout
    private let weights: WeightFiles
    private let sources: [(role: TensorRole, source: TensorSource)]

    init(_ layout: FolderLayout, _ weights: WeightFiles) throws(EngineError) {
        self.layout = layout
        self.weights = weights
        let model = layout.configuration
        let experts = model.layerCount * (model.mixture?.expertCount ?? 0)  // both have limits
        guard experts <= Self.expertCount else {
            throw EngineError(
                .unsupportedModel,
                "\(weights.source): config.json means \(experts) experts; the limit is \(Self.expertCount)")
        }
        sources = model.tensorRoles.map { ($0, layout.source(of: $0)) }
    }

    func tensors() throws(EngineError) -> [TensorRole: Tensor] {
        let needs = needs()
        for (name, need) in needs.sorted(by: { $0.key < $1.key }) { try check(name, need) }
        // A tensor that is not used would silently change what the model says.
        if let name = weights.tensors.keys.filter({ needs[$0] == nil && !layout.ignores(tensor: $0) }).min() {
            throw EngineError(
                .unsupportedModel,
                "\(weights.tensors[name]?.file.path ?? weights.source): tensor '\(name.printable)' has no place in a "
                    + "\(layout.configuration.family.rawValue) model; this variant is not supported")
        }
        var tensors: [TensorRole: Tensor] = [:]
        tensors.reserveCapacity(sources.count)
        for (role, source) in sources { tensors[role] = try tensor(role, source) }
        return tensors
    }

    private func needs() -> [String: Need] {
        var needs: [String: Need] = [:]
        for (role, source) in sources {
            let shape = layout.configuration.shape(of: role)
            let rows = source.rows?.upperBound ?? shape.rows
            let known = needs[source.name]?.rows ?? 0
            needs[source.name] = Need(rows: max(known, rows), columns: shape.columns, isVector: role.isVector)
        }
        return needs
    }

    private func check(_ name: String, _ need: Need) throws(EngineError) {
        guard let entry = weights.tensors[name] else {
            throw EngineError(
                .invalidModel,
                "\(weights.source): tensor '\(name)' is missing, which the model needs with shape \(need.shape); "
                    + "the files are incomplete or not those of this config.json")
        }
        let shape = entry.info.shape
        let isRightShape = need.isVector ? shape == need.shape : flattened(shape) == need.shape
        guard isRightShape else {
            throw EngineError(
                .invalidModel,
                "\(entry.file.path): tensor '\(name)': shape \(shape) but config.json needs \(need.shape)")
        }
        guard entry.info.type.weightType != nil else {
            throw EngineError(
                .unsupportedModel,
                "\(entry.file.path): tensor '\(name)': weights of dtype \(entry.info.type.rawValue) are not supported; "
                    + "supported are F32, F16 and BF16")
        }
    }

    /// A stack of matrices as one.
    private func flattened(_ shape: [Int]) -> [Int] {
        guard shape.count == 3 else { return shape }
        let (rows, overflow) = shape[0].multipliedReportingOverflow(by: shape[1])
        return overflow ? shape : [rows, shape[2]]
    }

    private func tensor(_ role: TensorRole, _ source: TensorSource) throws(EngineError) -> Tensor {
        guard let entry = weights.tensors[source.name], let type = entry.info.type.weightType else {
            preconditionFailure("\(source.name) was checked")
        }
        let shape = layout.configuration.shape(of: role)
        let rowByteCount = shape.columns * type.blockByteCount
        let start = (source.rows?.lowerBound ?? 0) * rowByteCount
        return Tensor(
            name: source.name, type: type, rows: shape.rows, columns: shape.columns,
            bytes: UnsafeRawBufferPointer(rebasing: entry.bytes[start..<start + shape.rows * rowByteCount]),
            owner: entry.file)
    }
}
