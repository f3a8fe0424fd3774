internal import CKernels

/// The form in which matrices take their inputs. Float inputs are there in any case.
enum InputForm: Equatable {
    case floats
    /// 8 bits in blocks of 32.
    case blocks
    /// 8 bits with one scale per row.
    case rows
    /// 8 bits with a scale and an offset known before.
    case fixed(scale: Float, offset: Float)

    /// What the matrix of that tensor takes.
    init(_ tensor: Tensor) {
        switch tensor.integers?.inputs {
        case .perToken: self = .rows
        case .fixed(let scale, let offset): self = .fixed(scale: scale, offset: offset)
        case nil: self = ck_is_quantized(tensor.type.format) ? .blocks : .floats
        }
    }

    /// The one that is not `floats`, which stand beside any other.
    init(joining forms: some Sequence<InputForm>) {
        self = forms.first { $0 != .floats } ?? .floats
    }

    /// Whether a quant can be -128.
    var isWide: Bool {
        if case .fixed = self { true } else { false }
    }

    /// Bytes between rows of `width` quants.
    func quantStride(_ width: Int) -> Int { self == .blocks ? width : ck_padded(width) }
    /// Blocks of a row of `width` quants.
    func blockCount(_ width: Int) -> Int { self == .blocks ? width / 32 : 1 }

    /// Quantizes a row to row `row` of `quants` and `blocks`.
    func quantize(
        _ values: UnsafePointer<Float>, width: Int, row: Int, quants: UnsafeMutablePointer<Int8>,
        blocks: UnsafeMutablePointer<ck_block>
    ) {
        let quants = quants + row * quantStride(width)
        let blocks = blocks + row * blockCount(width)
        switch self {
        case .floats: break
        case .blocks: ck_quantize(values, 1, width, width, quants, blocks)
        case .rows: ck_quantize_rows(values, 1, width, width, quants, blocks)
        case .fixed(let scale, let offset): ck_quantize_fixed(values, 1, width, width, scale, offset, quants, blocks)
        }
    }
}
