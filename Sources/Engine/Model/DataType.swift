/// The float type of matrices that the checkpoint holds as floats, and of keys and values. Sums are formed in float32
/// whatever it is, and so are norms and biases kept.
public enum DataType: String, Sendable, CaseIterable {
    /// Each tensor's own type. Keys and values have that of the first query matrix; where that is of 8-bit integers, that
    /// of the embedding, or of the last norm if the embedding is too; float16 beside block formats.
    case auto
    case bfloat16, float16, float32

    /// The type asked for; nil for the checkpoint's own.
    private var tensorType: TensorType? {
        switch self {
        case .auto: nil
        case .bfloat16: .bf16
        case .float16: .f16
        case .float32: .f32
        }
    }

    /// What matrices of `type` are kept in; block formats stay as they are.
    package func stored(_ type: TensorType) -> TensorType { type.isFloat ? tensorType ?? type : type }

    /// What keys and values are kept in.
    func keyValueType(of checkpoint: any Checkpoint) throws(EngineError) -> TensorType {
        if let tensorType { return tensorType }
        var own = try checkpoint.tensor(.layer(0, .query)).type
        if own == .i8 { own = try checkpoint.tensor(.tokenEmbedding).type }
        if own == .i8 { own = try checkpoint.tensor(.outputNorm).type }
        return own.isFloat ? own : .f16
    }
}

extension TensorType {
    /// Whether elements are floats that stand by themselves.
    package var isFloat: Bool {
        switch self {
        case .f32, .f16, .bf16: true
        default: false
        }
    }

    /// The number of this float type that is nearest to `x`, of two the even one; what is too large becomes infinite.
    package func rounded(_ x: Float) -> Float {
        switch self {
        case .f16: return Float(Float16(x))
        case .bf16:
            guard !x.isNaN else { return x }
            let bits = x.bitPattern
            return Float(bitPattern: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) & 0xFFFF_0000)
        default: return x
        }
    }

    /// The type's name where it is chosen.
    var dataTypeName: String {
        switch self {
        case .f16: "float16"
        case .bf16: "bfloat16"
        case .i8: "int8"
        default: "float32"
        }
    }

    /// What to say of keys and values of `layer` that are not finite in this type.
    func nonFiniteKeyValues(layer: Int) -> String {
        let subject = "the keys or values of layer \(layer) are not finite in \(dataTypeName)"
        return self == .f16
            ? subject + ", whose largest number is 65504; let the server use --dtype bfloat16 or float32"
            : subject + "; the model is damaged or does not suit this type"
    }
}

extension Tensor {
    /// Fails if an element is not a finite number, or is none once it is kept as `type`. Reads every element.
    ///
    /// - Throws: `EngineError.invalidModel` naming the tensor, the element and what to do.
    func requireFinite(storedAs type: TensorType) throws(EngineError) {
        var largest: (magnitude: Float, place: String) = (0, "")
        var elements = [Float](repeating: 0, count: columns)
        for row in 0..<rows {
            elements.withUnsafeMutableBufferPointer { dequantize(row: row, into: $0) }
            for (column, x) in elements.enumerated() where !(x.magnitude <= largest.magnitude) {
                largest = (x.magnitude, "[\(row), \(column)]")
                guard x.isFinite else {
                    throw EngineError(
                        .invalidModel,
                        "tensor '\(name)': element \(largest.place) is \(x.isNaN ? "NaN" : "infinite"); the file is "
                            + "damaged, or was converted to a type too small for the model")
                }
            }
        }
        guard type.rounded(largest.magnitude).isFinite else {
            throw EngineError(
                .invalidModel,
                "tensor '\(name)': element \(largest.place), \(largest.magnitude) in magnitude, is beyond the range of "
                    + "\(type.dataTypeName); use --dtype bfloat16 or float32")
        }
    }
}
