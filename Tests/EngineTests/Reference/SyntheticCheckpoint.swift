import LMEngine

/// A small random model whose weights are a function of tensor name and element index, the same function as in
/// Tests/Goldens/make_synthetic_golden.py, so that no weight file is kept.
struct SyntheticCheckpoint: Checkpoint {
    let configuration: ModelConfiguration
    let tokenizer: any Tokenizer
    let chatTemplateSource: String? = nil
    let weightByteCount = 0

    init(_ configuration: ModelConfiguration) {
        self.configuration = configuration
        tokenizer = NumberTokenizer(vocabularySize: configuration.vocabularySize)
    }

    func tensor(_ role: TensorRole) throws(EngineError) -> Tensor {
        let model = configuration
        switch role {
        case .tokenEmbedding: return matrix("embedding", model.vocabularySize, model.embeddingLength)
        case .outputNorm: return norm("output_norm", model.embeddingLength)
        case .output: return matrix("output", model.vocabularySize, model.embeddingLength)
        case .layer(let index, let part): return layerTensor(part, name: "layer.\(index).\(part.rawValue)")
        }
    }

    private func layerTensor(_ part: TensorRole.LayerRole, name: String) -> Tensor {
        let model = configuration
        return switch part {
        case .attentionNorm, .feedForwardNorm: norm(name, model.embeddingLength)
        case .query: matrix(name, model.queryLength, model.embeddingLength)
        case .key, .value: matrix(name, model.keyValueLength, model.embeddingLength)
        case .queryBias: bias(name, model.queryLength)
        case .keyBias, .valueBias: bias(name, model.keyValueLength)
        case .attentionOutput: matrix(name, model.embeddingLength, model.queryLength)
        case .gate, .up: matrix(name, model.feedForwardLength, model.embeddingLength)
        case .down: matrix(name, model.embeddingLength, model.feedForwardLength)
        }
    }

    private func matrix(_ name: String, _ rows: Int, _ columns: Int) -> Tensor {
        let scale = Float(2 / Double(columns).squareRoot())
        return tensor(name, rows, columns) { $0 * scale }
    }

    private func norm(_ name: String, _ count: Int) -> Tensor { tensor(name, 1, count) { 1 + $0 * 0.25 } }

    private func bias(_ name: String, _ count: Int) -> Tensor { tensor(name, 1, count) { $0 * 0.5 } }

    private func tensor(_ name: String, _ rows: Int, _ columns: Int, _ element: (Float) -> Float) -> Tensor {
        let storage = Storage(uniform(name, count: rows * columns).map(element))
        return Tensor(
            name: name, type: .f32, rows: rows, columns: columns, bytes: UnsafeRawBufferPointer(storage.elements),
            owner: storage)
    }
}

/// Elements in [-1, 1): the finalizer of MurmurHash3 over FNV-1a(name) + index * golden ratio, all modulo 2^32.
private func uniform(_ name: String, count: Int) -> [Float] {
    let seed = name.utf8.reduce(UInt32(2_166_136_261)) { ($0 ^ UInt32($1)) &* 16_777_619 }
    return (0..<UInt32(count)).map { index in
        var x = seed &+ index &* 0x9E37_79B9
        x ^= x >> 16
        x = x &* 0x85EB_CA6B
        x ^= x >> 13
        x = x &* 0xC2B2_AE35
        x ^= x >> 16
        return Float(Double(x) / 2_147_483_648 - 1)
    }
}

private final class Storage {
    let elements: UnsafeMutableBufferPointer<Float>

    init(_ values: [Float]) {
        elements = .allocate(capacity: values.count)
        _ = elements.initialize(from: values)
    }

    deinit { elements.deallocate() }
}

/// Text is decimal ids separated by spaces: a tokenizer for models that have no words.
struct NumberTokenizer: Tokenizer {
    let vocabularySize: Int
    let beginningOfSequence: Int32? = nil
    let endTokens: [Int32] = []

    func encode(_ utf8: Span<UInt8>, parseSpecial: Bool, into tokens: inout [Int32]) {
        var bytes: [UInt8] = []
        for index in utf8.indices { bytes.append(utf8[index]) }
        tokens += bytes.split(separator: UInt8(ascii: " ")).compactMap { Int32(String(decoding: $0, as: UTF8.self)) }
    }

    func appendBytes(of token: Int32, to bytes: inout [UInt8]) { bytes += Array(" \(token)".utf8) }

    func isSpecial(_ token: Int32) -> Bool { false }
}
