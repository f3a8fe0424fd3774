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
    private let quantization: FolderQuantization
    private let sources: [(role: TensorRole, source: TensorSource)]

    init(_ layout: FolderLayout, _ weights: WeightFiles, _ quantization: FolderQuantization) throws(EngineError) {
        self.layout = layout
        self.weights = weights
        self.quantization = quantization
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
        let needs = try needs()
        var companions: Set<String> = []
        for (name, need) in needs.sorted(by: { $0.key < $1.key }) {
            guard try check(name, need) != .float else { continue }
            companions.formUnion(FolderQuantization.companions.map { FolderQuantization.companion($0, of: name) })
        }
        // A tensor that is not used would silently change what the model says.
        let strangers = weights.tensors.keys.filter {
            needs[$0] == nil && !companions.contains($0) && !layout.ignores(tensor: $0)
        }
        if let name = strangers.min() {
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

    private func needs() throws(EngineError) -> [String: Need] {
        var needs: [String: Need] = [:]
        for (role, source) in sources where try !isFolded(source.name) {
            let shape = layout.configuration.shape(of: role)
            let rows = source.rows?.upperBound ?? shape.rows
            let known = needs[source.name]?.rows ?? 0
            needs[source.name] = Need(rows: max(known, rows), columns: shape.columns, isVector: role.isVector)
        }
        return needs
    }

    /// Whether that is the bias of a matrix whose addends contain it.
    private func isFolded(_ name: String) throws(EngineError) -> Bool {
        guard name.hasSuffix(".bias") else { return false }
        return try quantization.scheme(of: name.dropLast("bias".utf8.count) + "weight", weights) == .modelSlimStatic
    }

    private func check(_ name: String, _ need: Need) throws(EngineError) -> FolderQuantization.Scheme {
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
        let scheme = try quantization.scheme(of: name, weights)
        guard scheme == .float else {
            guard !need.isVector, need.columns <= IntegerProduct.inputCount else {
                throw EngineError(
                    .unsupportedModel,
                    "\(entry.file.path): tensor '\(name)': a quantized tensor must be a matrix of at most "
                        + "\(IntegerProduct.inputCount) columns")
            }
            return scheme
        }
        guard entry.info.type.weightType != nil else {
            throw EngineError(
                .unsupportedModel,
                "\(entry.file.path): tensor '\(name)': weights of dtype \(entry.info.type.rawValue) are not supported; "
                    + "supported are F32, F16 and BF16")
        }
        return .float
    }

    /// A stack of matrices as one.
    private func flattened(_ shape: [Int]) -> [Int] {
        guard shape.count == 3 else { return shape }
        let (rows, overflow) = shape[0].multipliedReportingOverflow(by: shape[1])
        return overflow ? shape : [rows, shape[2]]
    }

    private func tensor(_ role: TensorRole, _ source: TensorSource) throws(EngineError) -> Tensor {
        let shape = layout.configuration.shape(of: role)
        guard try !isFolded(source.name) else {
            let zeros = try MappedFile(zeros: shape.columns * TensorType.f32.blockByteCount, name: source.name)
            return Tensor(
                name: source.name, type: .f32, rows: 1, columns: shape.columns, bytes: zeros.bytes, owner: zeros)
        }
        guard let entry = weights.tensors[source.name] else { preconditionFailure("\(source.name) was checked") }
        let scheme = try quantization.scheme(of: source.name, weights)
        let type = scheme == .float ? entry.info.type.weightType ?? .f32 : .i8
        let rowByteCount = shape.columns * type.blockByteCount
        let first = source.rows?.lowerBound ?? 0
        let bytes = entry.bytes[first * rowByteCount..<(first + shape.rows) * rowByteCount]
        let integers: IntegerProduct? =
            scheme == .float
            ? nil
            : try QuantizedTensors(weights: weights)
                .meaning(of: source.name, scheme, rows: entry.bytes.count / rowByteCount)
                .rows(first..<first + shape.rows)
        return Tensor(
            name: source.name, type: type, rows: shape.rows, columns: shape.columns,
            bytes: UnsafeRawBufferPointer(rebasing: bytes), owner: entry.file, integers: integers)
    }
}
