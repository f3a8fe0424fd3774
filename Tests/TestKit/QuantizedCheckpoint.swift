package import LMEngine

/// A random model whose matrices are stored in one of the block formats.
package struct QuantizedCheckpoint: Checkpoint {
    /// The shape it was made for.
    package let configuration: ModelConfiguration
    /// Of no use; the network alone matters.
    package let tokenizer: any Tokenizer
    /// None.
    package let chatTemplate: ChatTemplateSource? = nil
    /// Nobody asks.
    package let weightByteCount = 0
    private let type: TensorType

    /// Weights are made when asked for, each from its own seed.
    package init(_ configuration: ModelConfiguration, _ type: TensorType) {
        self.configuration = configuration
        self.type = type
        tokenizer = FakeTokenizer()
    }

    /// Random blocks; norms and biases in float32 around one.
    package func tensor(_ role: TensorRole) throws(EngineError) -> Tensor {
        let shape = configuration.shape(of: role)
        let isVector = role.isVector
        let seed = UInt64(bitPattern: Int64("\(role)".utf8.reduce(7) { $0 &* 31 &+ Int($1) }))
        var random = TestRandom(seed: seed)
        let bytes =
            isVector
            ? (0..<shape.columns).flatMap { _ in little(Float(random.unit() + 0.5).bitPattern) }
            : (0..<shape.rows * shape.columns / type.blockLength).flatMap { _ in block(type, &random) }
        let storage = ByteStorage(bytes)
        return Tensor(
            name: "\(role)", type: isVector ? .f32 : type, rows: shape.rows, columns: shape.columns,
            bytes: UnsafeRawBufferPointer(storage.bytes), owner: storage)
    }
}

private final class ByteStorage {
    let bytes: UnsafeMutableBufferPointer<UInt8>

    init(_ values: [UInt8]) {
        bytes = .allocate(capacity: values.count)
        _ = bytes.initialize(from: values)
    }

    deinit { bytes.deallocate() }
}

private func little(_ bits: some FixedWidthInteger) -> [UInt8] {
    (0..<bits.bitWidth / 8).map { UInt8(truncatingIfNeeded: bits >> ($0 * 8)) }
}

/// One block of random quants whose values have a spread of about 0.1 around zero.
private func block(_ type: TensorType, _ random: inout TestRandom) -> [UInt8] {
    func half(_ value: Float) -> [UInt8] { little(Float16(value).bitPattern) }
    func quants(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) } }
    let unit = Float(random.unit())
    switch type {
    case .f32: return little((unit * 0.2 - 0.1).bitPattern)
    case .f16: return half(unit * 0.2 - 0.1)
    case .bf16: return little(UInt16((unit * 0.2 - 0.1).bitPattern >> 16))
    case .q8_0: return half(0.0008 + unit * 0.0004) + quants(32)
    case .q4_0: return half(0.01 + unit * 0.01) + quants(16)
    case .q4_1: return half(0.02) + half(-0.15) + quants(16)
    case .q4_K: return half(0.0004) + half(0.003) + quants(140)
    case .q5_K: return half(0.0002) + half(0.003) + quants(172)
    case .q6_K: return quants(208) + half(0.00003)
    case .i8: preconditionFailure("bytes alone mean nothing")
    }
}
