extension GGUFFile {
    /// The shape of the network, from the keys under the architecture's name. The vocabulary's size and the presence
    /// of biases and of an output matrix are read from the tensors.
    func configuration() throws(EngineError) -> ModelConfiguration {
        let family = try family()
        let prefix = family.rawValue + "."
        try rejectMixtureOfExperts(prefix)
        let embeddingLength = try requiredInteger(prefix + "embedding_length", in: ModelLimits.width)
        let headCount = try requiredInteger(prefix + "attention.head_count", in: ModelLimits.heads)
        let keyValueHeadCount = try integer(prefix + "attention.head_count_kv", in: ModelLimits.heads) ?? headCount
        guard headCount % keyValueHeadCount == 0 else {
            throw invalid(key: prefix + "attention.head_count_kv", "must divide the \(headCount) query heads")
        }
        let headDimension = try headDimension(prefix, embeddingLength: embeddingLength, headCount: headCount)
        let rotaryDimension = try rotaryDimension(prefix, headDimension)
        var model = ModelConfiguration(
            family: family,
            name: try string("general.name") ?? "",
            layerCount: try requiredInteger(prefix + "block_count", in: ModelLimits.layers),
            embeddingLength: embeddingLength,
            feedForwardLength: try requiredInteger(prefix + "feed_forward_length", in: ModelLimits.width),
            headCount: headCount,
            keyValueHeadCount: keyValueHeadCount,
            headDimension: headDimension,
            rotaryDimension: rotaryDimension,
            rotaryBase: try positiveFloat(prefix + "rope.freq_base") ?? 10_000,
            rotaryScaling: try rotaryScaling(prefix, rotaryDimension),
            rotaryLayout: family == .llama ? .interleaved : .halves,
            normEpsilon: try normEpsilon(prefix),
            vocabularySize: try vocabularySize(),
            contextLength: try requiredInteger(prefix + "context_length", in: ModelLimits.context),
            hasAttentionBias: family == .qwen2 || tensors["blk.0.attn_q.bias"] != nil,
            tiesEmbeddings: tensors["output.weight"] == nil)
        model.hasQueryKeyNorm = family == .qwen3
        return model
    }

    private func family() throws(EngineError) -> ModelConfiguration.Family {
        let key = "general.architecture"
        guard let name = try string(key) else { throw invalid(key: key, "is missing") }
        let families: [ModelConfiguration.Family] = [.llama, .qwen2, .qwen3]
        guard let family = families.first(where: { $0.rawValue == name }) else {
            let supported = families.map(\.rawValue).joined(separator: ", ")
            throw unsupported(key, "'\(name.printable)'; supported are \(supported)")
        }
        return family
    }

    private func rejectMixtureOfExperts(_ prefix: String) throws(EngineError) {
        let key = prefix + "expert_count"
        guard try integer(key, in: 0...Int.max) ?? 0 == 0 else {
            throw unsupported(key, "not 0; mixtures of experts are not supported")
        }
    }

    private func headDimension(
        _ prefix: String, embeddingLength: Int, headCount: Int
    ) throws(EngineError) -> Int {
        let key = prefix + "attention.key_length"
        if let length = try integer(key, in: ModelLimits.headDimension) {
            let valueKey = prefix + "attention.value_length"
            guard try integer(valueKey, in: ModelLimits.headDimension) ?? length == length else {
                throw unsupported(valueKey, "not equal to attention.key_length; only equal lengths are supported")
            }
            return length
        }
        guard embeddingLength % headCount == 0, ModelLimits.headDimension.contains(embeddingLength / headCount) else {
            throw invalid(key: prefix + "attention.head_count", "must divide the embedding length \(embeddingLength)")
        }
        return embeddingLength / headCount
    }

    private func rotaryDimension(_ prefix: String, _ headDimension: Int) throws(EngineError) -> Int {
        let key = prefix + "rope.dimension_count"
        let dimension = try integer(key, in: 2...headDimension) ?? headDimension
        guard dimension % 2 == 0 else { throw invalid(key: key, "must be even, is \(dimension)") }
        return dimension
    }

    private func rotaryScaling(
        _ prefix: String, _ rotaryDimension: Int
    ) throws(EngineError) -> ModelConfiguration.RotaryScaling {
        if let frequencies = tensors[GGUFTensorNames.rotaryFrequencies] {
            return .perFrequency(try rotaryFrequencies(frequencies, count: rotaryDimension / 2))
        }
        let key = prefix + "rope.scaling.type"
        switch try string(key) {
        case nil, "none": return .none
        case "linear":
            let factorKey = prefix + "rope.scaling.factor"
            guard let factor = try positiveFloat(factorKey) else { throw invalid(key: factorKey, "is missing") }
            return .linear(factor: factor)
        case let name?:
            throw unsupported(key, "'\(name.printable)'; supported are none, linear and rope_freqs.weight")
        }
    }

    private func rotaryFrequencies(_ info: GGUFTensorInfo, count: Int) throws(EngineError) -> [Float] {
        guard info.type == .f32, info.dimensions == [count] else {
            throw EngineError(
                .invalidModel,
                "\(file.path): tensor '\(info.name)' at byte \(info.headerOffset): is \(info.type.rawValue) "
                    + "\(info.dimensions) but must be F32 [\(count)]")
        }
        let divisors = (0..<count).map { index in
            Float(
                bitPattern: UInt32(
                    littleEndian: file.bytes.loadUnaligned(
                        fromByteOffset: info.range.lowerBound + index * 4, as: UInt32.self)))
        }
        guard divisors.allSatisfy({ $0.isFinite && $0 > 0 }) else {
            throw EngineError(
                .invalidModel,
                "\(file.path): tensor '\(info.name)' at byte \(info.range.lowerBound): "
                    + "holds a divisor that is not a finite number above 0")
        }
        return divisors
    }

    private func normEpsilon(_ prefix: String) throws(EngineError) -> Float {
        let key = prefix + "attention.layer_norm_rms_epsilon"
        guard let epsilon = try positiveFloat(key) else { throw invalid(key: key, "is missing") }
        return epsilon
    }

    private func vocabularySize() throws(EngineError) -> Int {
        let name = GGUFTensorNames.name(of: .tokenEmbedding)
        guard let info = tensors[name] else { throw missing(tensor: name) }
        guard info.dimensions.count == 2, ModelLimits.vocabulary.contains(info.dimensions[1]) else {
            throw EngineError(
                .invalidModel,
                "\(file.path): tensor '\(name)' at byte \(info.headerOffset): shape \(info.dimensions) "
                    + "is not (width, 1...\(ModelLimits.vocabulary.upperBound) tokens)")
        }
        return info.dimensions[1]
    }

    /// An error about a tensor that is not in the file.
    func missing(tensor name: String) -> EngineError {
        EngineError(.invalidModel, "\(file.path): tensor '\(name)' is missing; the file is incomplete")
    }
}
