package import LMEngine

/// A small random model whose weights are a function of tensor name and element index, the same function as in
/// Tests/Goldens/make_synthetic_golden.py, so that no weight file is kept.
package struct SyntheticCheckpoint: Checkpoint {
    /// The shape it was made for.
    package let configuration: ModelConfiguration
    /// Numbers for words.
    package let tokenizer: any Tokenizer
    /// None.
    package let chatTemplate: ChatTemplateSource? = nil
    /// Nobody asks.
    package let weightByteCount = 0

    /// A model of the shape.
    package init(_ configuration: ModelConfiguration) {
        self.configuration = configuration
        tokenizer = NumberTokenizer(vocabularySize: configuration.vocabularySize)
    }

    /// Made anew each time.
    package func tensor(_ role: TensorRole) throws(EngineError) -> Tensor {
        let name =
            switch role {
            case .tokenEmbedding: "embedding"
            case .outputNorm: "output_norm"
            case .output: "output"
            case .layer(let layer, let part): "layer.\(layer).\(part.rawValue)"
            case .expert(let layer, let expert, let part): "layer.\(layer).\(expert).\(part.rawValue)"
            }
        let shape = configuration.shape(of: role)
        if role.isNorm { return norm(name, shape.columns) }
        return role.isVector ? bias(name, shape.columns) : matrix(name, shape.rows, shape.columns)
    }

    private func matrix(_ name: String, _ rows: Int, _ columns: Int) -> Tensor {
        let scale = Float(2 / Double(columns).squareRoot())
        return tensor(name, rows, columns) { $0 * scale }
    }

    private func norm(_ name: String, _ count: Int) -> Tensor { tensor(name, 1, count) { 1 + $0 * 0.25 } }

    private func bias(_ name: String, _ count: Int) -> Tensor { tensor(name, 1, count) { $0 * 0.5 } }

    private func tensor(_ name: String, _ rows: Int, _ columns: Int, _ element: (Float) -> Float) -> Tensor {
        Tensor(name: name, floats: uniform(name, count: rows * columns).map(element), rows: rows)
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

/// Text is decimal ids separated by spaces: a tokenizer for models that have no words.
private struct NumberTokenizer: Tokenizer {
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
