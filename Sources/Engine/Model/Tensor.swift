/// How the elements of a tensor are stored. Block formats are those of GGML, byte for byte.
public enum TensorType: String, Sendable, CaseIterable {
    case f32 = "F32"
    case f16 = "F16"
    case bf16 = "BF16"
    case q8_0 = "Q8_0"
    case q4_0 = "Q4_0"
    case q4_1 = "Q4_1"
    case q4_K = "Q4_K"
    case q5_K = "Q5_K"
    case q6_K = "Q6_K"
    /// Signed bytes, whose meaning is in `Tensor.integers`.
    case i8 = "I8"

    /// Elements that are stored together.
    public var blockLength: Int {
        switch self {
        case .f32, .f16, .bf16, .i8: 1
        case .q8_0, .q4_0, .q4_1: 32
        case .q4_K, .q5_K, .q6_K: 256
        }
    }

    /// Bytes of one block.
    public var blockByteCount: Int {
        switch self {
        case .f32: 4
        case .f16, .bf16: 2
        case .q8_0: 34
        case .q4_0: 18
        case .q4_1: 20
        case .q4_K: 144
        case .q5_K: 176
        case .q6_K: 210
        case .i8: 1
        }
    }
}

/// A read-only matrix or vector inside a mapped model file: `rows` rows of `columns` consecutive elements.
///
/// A linear layer's weight is (outputs, inputs); an embedding is (vocabulary, width); a vector has one row.
public struct Tensor: @unchecked Sendable {  // the bytes are immutable and `owner` keeps them mapped
    /// The tensor's name in its file, for messages.
    public let name: String
    /// Storage format of the elements.
    public let type: TensorType
    /// Number of rows; at least 1.
    public let rows: Int
    /// Elements of a row; a multiple of `type.blockLength`.
    public let columns: Int
    /// Exactly `rows * columns / blockLength * blockByteCount` bytes; no alignment is promised.
    public let bytes: UnsafeRawBufferPointer
    /// What the products of an `i8` matrix mean; nil for all other types.
    package let integers: IntegerProduct?
    private let owner: AnyObject

    /// Creates a view; `owner` is retained for as long as the view lives.
    package init(
        name: String, type: TensorType, rows: Int, columns: Int, bytes: UnsafeRawBufferPointer, owner: AnyObject,
        integers: IntegerProduct? = nil
    ) {
        precondition((type == .i8) == (integers != nil) && integers.map { $0.scales.count == rows } ?? true)
        precondition(bytes.count == rows * (columns / type.blockLength) * type.blockByteCount)
        self.name = name
        self.type = type
        self.rows = rows
        self.columns = columns
        self.bytes = bytes
        self.owner = owner
        self.integers = integers
    }

    /// The mapped file the elements are in, if they are in one.
    var file: MappedFile? { owner as? MappedFile }

    /// Asks the system to read the elements ahead of their use, when a file stands behind them.
    package func prefetch() { file?.prefetch(bytes) }

    /// Gives back the memory that reading the elements took, when a file stands behind them: for a tensor of which a copy
    /// was made. It can still be read.
    package func discard() { file?.discard(bytes) }
}

extension Tensor {
    /// A tensor of float32 elements in memory of its own.
    ///
    /// - Parameter floats: (rows, columns), at least one.
    package init(name: String, floats: [Float], rows: Int) {
        let memory = FloatMemory(floats)
        self.init(
            name: name, type: .f32, rows: rows, columns: floats.count / rows,
            bytes: UnsafeRawBufferPointer(memory.values), owner: memory)
    }

    /// All elements as float32, row after row.
    func floats() -> [Float] {
        [Float](unsafeUninitializedCapacity: rows * columns) { values, count in
            for row in 0..<rows {
                dequantize(
                    row: row, into: UnsafeMutableBufferPointer(rebasing: values[row * columns..<(row + 1) * columns]))
            }
            count = rows * columns
        }
    }
}

/// Elements that stay where they are for as long as a tensor shows them.
private final class FloatMemory {
    let values: UnsafeMutableBufferPointer<Float>

    init(_ floats: [Float]) {
        values = .allocate(capacity: floats.count)
        _ = values.initialize(from: floats)
    }

    deinit { values.deallocate() }
}
