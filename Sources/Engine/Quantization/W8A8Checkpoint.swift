internal import Glibc

/// A float model whose matrices are turned to 8-bit integers, or taken from where that was done before.
package struct W8A8Checkpoint: Checkpoint {
    /// What can be chosen.
    package struct Options: Sendable {
        /// Whether the output matrix is quantized as well; with tied embeddings that is the embedding.
        package var includesHead = false
        /// What the model reads so that the channels of its layers can be evened out first (`Smoothing`); nil for not doing
        /// that.
        package var calibrationText: String? = Calibration.text
        /// Where results are kept when the model's own folder cannot be written to; nil for nowhere.
        package var cacheFolder: String?
        /// Threads to work with.
        package var threads = 1

        /// The defaults.
        package init() {}

        /// Where the factors of a model's layers are; nil when its channels are left as they are.
        func smoothingLayout(_ base: any Checkpoint) -> SmoothingLayout? {
            calibrationText == nil ? nil : SmoothingLayout(base.configuration)
        }
    }

    /// Where the integers came from.
    package enum Origin: Sendable, Equatable {
        /// An earlier result in this file.
        case kept(String)
        /// Made now, and kept in this file for the next time.
        case made(String)
        /// Made now, and lost with the process: no place to keep them could be written to.
        case madeInMemory
    }

    /// The shape of the network.
    package let configuration: ModelConfiguration
    /// The tokenizer of the float model.
    package let tokenizer: any Tokenizer
    /// The chat template and the tokens it writes, if the model has one.
    package let chatTemplate: ChatTemplateSource?
    /// Bytes of all weights.
    package let weightByteCount: Int
    /// Where the integers came from.
    package let origin: Origin
    /// Why an earlier result was not used; nil when there was none, or it was.
    package let rejected: String?
    /// How well every matrix is stood for, layer by layer.
    package let records: [QuantizationRecord]
    private let base: any Checkpoint
    private let tensors: [TensorRole: Tensor]
    private let smoothing: Smoothing?

    /// Quantizes the model, unless a result for exactly these weights is there.
    ///
    /// - Parameter progress: called on this thread with the share of weights quantized, 0...1.
    /// - Throws: `unsupportedModel` for a model that is quantized already, `invalidModel` naming a tensor that holds NaN
    ///   or infinity, `invalidRequest` for a calibration text without a token.
    package init(
        _ base: any Checkpoint, options: Options, progress: (Double) -> Void = { _ in }
    ) throws(EngineError) {
        let matrices = try Self.matrices(of: base, options)
        let layout = QuantizedFile(
            matrices, smoothing: options.smoothingLayout(base), key: Self.key(matrices.map(\.tensor), options))
        let team = try ThreadTeam(threads: options.threads)
        let maker = QuantizedFileMaker(base: base, layout: layout, calibrationText: options.calibrationText, team: team)
        let (file, origin, rejected) = try maker.file(Self.places(matrices, options), progress)

        var tensors: [TensorRole: Tensor] = [:]
        var records: [QuantizationRecord] = []
        for entry in layout.entries {
            let (tensor, record) = layout.read(entry, from: file)
            tensors[entry.role] = tensor
            records.append(record)
        }
        smoothing =
            layout.factorCount > 0 ? Smoothing(base.configuration, factors: layout.readFactors(from: file)) : nil
        let floatByteCount = matrices.reduce(0) { $0 + $1.tensor.bytes.count }
        weightByteCount = base.weightByteCount - floatByteCount + layout.byteCount
        (self.tensors, self.records, self.origin, self.rejected) = (tensors, records, origin, rejected)
        (configuration, tokenizer) = (base.configuration, base.tokenizer)
        chatTemplate = base.chatTemplate
        self.base = base
    }

    /// The tensor with that role.
    package func tensor(_ role: TensorRole) throws(EngineError) -> Tensor {
        if let tensor = tensors[role] { return tensor }
        let tensor = try base.tensor(role)
        return smoothing?.vector(role, tensor) ?? tensor
    }

    /// Adapters for the evened out channels.
    package func fitted(_ adapter: Adapter) -> Adapter { smoothing.map { adapter.fitted(to: $0) } ?? adapter }

    /// What is quantized of a model.
    ///
    /// - Throws: `unsupportedModel` for a model that is quantized already.
    static func matrices(
        of base: any Checkpoint, _ options: Options
    ) throws(EngineError) -> [(role: TensorRole, tensor: Tensor)] {
        let head: TensorRole = base.configuration.tiesEmbeddings ? .tokenEmbedding : .output
        var matrices: [(role: TensorRole, tensor: Tensor)] = []
        for role in base.configuration.tensorRoles where role.isQuantized(head: options.includesHead ? head : nil) {
            let tensor = try base.tensor(role)
            guard [.f32, .f16, .bf16].contains(tensor.type) else {
                throw EngineError(
                    .unsupportedModel,
                    "tensor '\(tensor.name.printable)' is stored as \(tensor.type.rawValue): the model is quantized "
                        + "already; w8a8 needs F32, F16 or BF16 weights, so use the original model or leave it as it is"
                )
            }
            guard tensor.columns <= IntegerProduct.inputCount else {
                throw EngineError(
                    .unsupportedModel,
                    "tensor '\(tensor.name.printable)' has \(tensor.columns) inputs; w8a8 sums up to "
                        + "\(IntegerProduct.inputCount)")
            }
            matrices.append((role, tensor))
        }
        return matrices.sorted { ($0.role.layer ?? .max) < ($1.role.layer ?? .max) }
    }

    /// Stands for the weights without reading them all, which is what an earlier result is to save: names, types, shapes
    /// and places of all matrices, size and time of their files, and samples of their contents.
    private static func key(_ tensors: [Tensor], _ options: Options) -> UInt64 {
        var hash = ContentHash()
        hash.add(options.calibrationText ?? "")
        var seen: Set<String> = []
        for tensor in tensors {
            hash.add("\(tensor.name) \(tensor.type.rawValue) \(tensor.rows) \(tensor.columns)")
            let sampleCount = 4
            let length = min(512, tensor.bytes.count)
            for sample in 0..<sampleCount {
                let start = (tensor.bytes.count - length) / (sampleCount - 1) * sample
                hash.add(UnsafeRawBufferPointer(rebasing: tensor.bytes[start..<start + length]))
            }
            tensor.discard()
            guard let file = tensor.file else { continue }
            hash.add(tensor.bytes.baseAddress.map { $0 - (file.bytes.baseAddress ?? $0) } ?? 0)
            guard seen.insert(file.path).inserted else { continue }
            hash.add(file.bytes.count)
            hash.add(file.modified)
        }
        return hash.value
    }

    /// Where a result may be: beside the model's first file, then in the folder for all models.
    private static func places(_ matrices: [(role: TensorRole, tensor: Tensor)], _ options: Options) -> [String] {
        guard let path = matrices.first?.tensor.file?.path else { return [] }
        let suffix = options.includesHead ? ".w8a8-head" : ".w8a8"
        guard let folder = options.cacheFolder else { return [path + suffix] }
        var hash = ContentHash()
        hash.add(
            realpath(path, nil).map { resolved in
                defer { free(resolved) }
                return String(cString: resolved)
            } ?? path)
        let name = path.split(separator: "/").last ?? ""
        return [path + suffix, "\(folder)/\(name)-\(hash.value.hexadecimal)\(suffix)"]
    }
}
