/// A model in a GGUF file: every tensor is there, is of the expected shape, and none is left over.
package struct GGUFCheckpoint: Checkpoint {
    /// The shape of the network.
    package let configuration: ModelConfiguration
    /// The tokenizer the file carries.
    package let tokenizer: any Tokenizer
    /// The chat template and the tokens it writes, if the file carries one.
    package let chatTemplate: ChatTemplateSource?
    /// Bytes the weights take on disk.
    package let weightByteCount: Int
    private let tensors: [TensorRole: Tensor]

    /// Reads the model from a file.
    package init(_ gguf: GGUFFile) throws(EngineError) {
        let configuration = try gguf.configuration()
        let tokenizer = try gguf.tokenizer()
        guard tokenizer.vocabularySize == configuration.vocabularySize else {
            throw gguf.invalid(
                key: "tokenizer.ggml.tokens",
                "has \(tokenizer.vocabularySize) tokens but the embedding has \(configuration.vocabularySize) rows")
        }
        self.configuration = configuration
        self.tokenizer = tokenizer
        self.chatTemplate = try gguf.chatTemplate()
        self.tensors = try gguf.tensors(of: configuration)
        self.weightByteCount = tensors.values.reduce(0) { $0 + $1.bytes.count }
    }

    /// The tensor with that role.
    package func tensor(_ role: TensorRole) throws(EngineError) -> Tensor {
        guard let tensor = tensors[role] else {
            throw EngineError(.invalidModel, "\(configuration.name.printable): the model has no tensor for \(role)")
        }
        return tensor
    }
}

extension GGUFFile {
    fileprivate func tensors(of configuration: ModelConfiguration) throws(EngineError) -> [TensorRole: Tensor] {
        var unused = Set(tensors.keys)
        unused.remove(GGUFTensorNames.rotaryFrequencies)
        var result: [TensorRole: Tensor] = [:]
        for role in configuration.tensorRoles {
            let name = GGUFTensorNames.name(of: role)
            result[role] = try tensor(name, shape: configuration.shape(of: role))
            unused.remove(name)
        }
        // A tensor that is not used would silently change what the model says.
        if let name = unused.min() {
            throw EngineError(
                .unsupportedModel,
                "\(file.path): tensor '\(name.printable)' has no place in a \(configuration.family.rawValue) model; "
                    + "this variant is not supported")
        }
        return result
    }

    private func tensor(_ name: String, shape: ModelConfiguration.TensorShape) throws(EngineError) -> Tensor {
        guard let info = tensors[name] else { throw missing(tensor: name) }
        let expected = shape.rows == 1 ? [shape.columns] : [shape.columns, shape.rows]
        guard info.dimensions == expected else {
            throw EngineError(
                .invalidModel,
                "\(file.path): tensor '\(name)' at byte \(info.headerOffset): shape \(info.dimensions) "
                    + "but the configuration needs \(expected)")
        }
        return Tensor(
            name: name, type: info.type, rows: shape.rows, columns: shape.columns,
            bytes: UnsafeRawBufferPointer(rebasing: file.bytes[info.range]), owner: file)
    }
}
