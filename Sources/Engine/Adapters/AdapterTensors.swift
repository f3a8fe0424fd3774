/// Finds an adapter's matrices among the tensors of its `adapter_model.safetensors`: each belongs to a matrix of the
/// model and fits it, and none is left over.
struct AdapterTensors {
    /// The two matrices for one module of the model.
    private struct Pair {
        var down: SafetensorsTensor?
        var up: SafetensorsTensor?
    }

    /// Rows of a module's matrix that a role has.
    private struct Part {
        let role: TensorRole
        let rows: Range<Int>
    }

    private static let prefix = "base_model.model."
    private static let downSuffix = ".lora_A.weight"
    private static let upSuffix = ".lora_B.weight"
    private static let supported =
        "the projections q, k, v, o, gate, up and down of layers without experts and without latent attention"

    private let file: SafetensorsFile
    private let configuration: AdapterConfiguration
    private let model: ModelConfiguration
    /// The parts of each module that can be adapted, by its name.
    private let modules: [String: [Part]]

    init(_ file: SafetensorsFile, _ configuration: AdapterConfiguration, _ model: ModelConfiguration) {
        (self.file, self.configuration, self.model) = (file, configuration, model)
        var modules: [String: [Part]] = [:]
        for role in model.adaptableRoles {
            let source = model.family.reader.source(of: role, in: model)
            let rows = source.rows ?? 0..<model.shape(of: role).rows
            modules[String(source.name.dropLast(".weight".count)), default: []].append(Part(role: role, rows: rows))
        }
        self.modules = modules
    }

    func products() throws(EngineError) -> [TensorRole: LowRankProduct] {
        var products: [TensorRole: LowRankProduct] = [:]
        for (module, pair) in try pairs().sorted(by: { $0.key < $1.key }) {
            guard let parts = modules[module] else { throw stranger(module) }
            guard let down = pair.down, let up = pair.up else {
                let names = [Self.downSuffix, Self.upSuffix].map { Self.prefix + module + $0 }
                let (there, missing) = pair.down == nil ? (names[1], names[0]) : (names[0], names[1])
                throw invalid(there, "is there without '\(missing.printable)'")
            }
            let rank = configuration.rank(of: module)
            let columns = model.shape(of: parts[0].role).columns
            try check(down, [rank, columns])
            try check(up, [parts.reduce(0) { max($0, $1.rows.upperBound) }, rank])
            let scale = configuration.scale(of: module)
            for part in parts {
                let ordered = try inOrder(of: part.role, try tensor(up, part.rows))
                products[part.role] = LowRankProduct(down: try tensor(down, 0..<rank), up: ordered, scale: scale)
            }
        }
        guard !products.isEmpty else {
            throw EngineError(.invalidModel, "\(file.file.path): holds no tensor, so there is nothing to adapt")
        }
        return products
    }

    private func pairs() throws(EngineError) -> [String: Pair] {
        var pairs: [String: Pair] = [:]
        for tensor in file.tensors.values.sorted(by: { $0.name < $1.name }) {
            let module = tensor.name.dropFirst(Self.prefix.count)
            if tensor.name.hasPrefix(Self.prefix), module.hasSuffix(Self.downSuffix) {
                pairs[String(module.dropLast(Self.downSuffix.count)), default: Pair()].down = tensor
            } else if tensor.name.hasPrefix(Self.prefix), module.hasSuffix(Self.upSuffix) {
                pairs[String(module.dropLast(Self.upSuffix.count)), default: Pair()].up = tensor
            } else {
                throw unsupported(
                    tensor.name,
                    "is not supported in an adapter; names are \(Self.prefix)MODULE\(Self.downSuffix) and "
                        + "\(Self.prefix)MODULE\(Self.upSuffix), and MODULE is one of \(Self.supported)")
            }
        }
        return pairs
    }

    private func check(_ tensor: SafetensorsTensor, _ needed: [Int]) throws(EngineError) {
        guard tensor.shape == needed else {
            throw invalid(
                tensor.name,
                "shape \(tensor.shape) but the model and adapter_config.json need \(needed); the adapter was made for "
                    + "another model, or the files are not of one adapter")
        }
        guard tensor.type.weightType != nil else {
            throw unsupported(
                tensor.name,
                "weights of dtype \(tensor.type.rawValue) are not supported; supported are F32, F16 and BF16")
        }
    }

    private func tensor(_ info: SafetensorsTensor, _ rows: Range<Int>) throws(EngineError) -> Tensor {
        let columns = info.shape[1]
        let type = info.type.weightType ?? .f32
        let rowByteCount = columns * type.blockByteCount
        let tensor = Tensor(
            name: info.name, type: type, rows: rows.count, columns: columns,
            bytes: UnsafeRawBufferPointer(
                rebasing: file.bytes(of: info)[rows.lowerBound * rowByteCount..<rows.upperBound * rowByteCount]),
            owner: file.file)
        do throws(EngineError) {
            try tensor.requireFinite(storedAs: .f32)
        } catch {
            throw EngineError(error.code, "\(file.file.path): \(error.message)")
        }
        return tensor
    }

    /// The rows in the order of the model's matrix: GGUF files of Llama have the rows of a head's queries and keys so that
    /// those which are rotated together are neighbours, and adapters are made for folders, which have not.
    private func inOrder(of role: TensorRole, _ tensor: Tensor) throws(EngineError) -> Tensor {
        guard model.rotaryLayout == .interleaved, case .layer(_, let part) = role, part == .query || part == .key else {
            return tensor
        }
        let copy = try MappedFile(zeros: tensor.bytes.count, name: tensor.name)
        let rowByteCount = tensor.bytes.count / tensor.rows
        for row in 0..<tensor.rows {
            let (head, element) = row.quotientAndRemainder(dividingBy: model.headDimension)
            let (pair, half) = element.quotientAndRemainder(dividingBy: 2)
            let isRotated = element < model.rotaryDimension
            let source = head * model.headDimension + (isRotated ? half * model.rotaryDimension / 2 + pair : element)
            UnsafeMutableRawBufferPointer(mutating: copy.bytes)[row * rowByteCount..<(row + 1) * rowByteCount]
                .copyBytes(from: tensor.bytes[source * rowByteCount..<(source + 1) * rowByteCount])
        }
        return Tensor(
            name: tensor.name, type: tensor.type, rows: tensor.rows, columns: tensor.columns, bytes: copy.bytes,
            owner: copy)
    }

    /// Why a module has no place in the model, or none for an adapter.
    private func stranger(_ module: String) -> EngineError {
        let name = file.tensors.keys.filter { $0.hasPrefix("\(Self.prefix)\(module).lora_") }.min() ?? module
        let layers = "model.layers."
        if module.hasPrefix(layers), let layer = Int(module.dropFirst(layers.count).prefix { $0 != "." }),
            !model.layers.indices.contains(layer)
        {
            return invalid(name, "there is no layer \(layer); the model has \(model.layerCount), counted from 0")
        }
        let isKnown = model.tensorRoles.contains {
            model.family.reader.source(of: $0, in: model).name == module + ".weight"
        }
        guard isKnown else {
            return invalid(name, "a \(model.family.rawValue) model has no matrix '\(module.printable)'")
        }
        return unsupported(name, "adapters of '\(module.printable)' are not supported; supported are \(Self.supported)")
    }

    private func invalid(_ tensor: String, _ problem: String) -> EngineError {
        EngineError(.invalidModel, "\(file.file.path): tensor '\(tensor.printable)': \(problem)")
    }

    private func unsupported(_ tensor: String, _ problem: String) -> EngineError {
        EngineError(.unsupportedModel, "\(file.file.path): tensor '\(tensor.printable)': \(problem)")
    }
}

extension ModelConfiguration {
    /// The matrices to whose outputs an adapter can add.
    fileprivate var adaptableRoles: [TensorRole] {
        let attention: [TensorRole.LayerRole] =
            latentAttention == nil ? [.query, .key, .value, .attentionOutput] : []
        return layers.indices.flatMap { layer -> [TensorRole] in
            let feedForward: [TensorRole.LayerRole] = layers[layer].isMixture ? [] : [.gate, .up, .down]
            return (attention + feedForward).map { .layer(layer, $0) }
        }
    }
}
