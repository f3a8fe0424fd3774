internal import CKernels

/// The forms in which matrices take their inputs. Float inputs are there in any case.
struct InputForm: Equatable {
    /// How inputs are quantized to 8 bits.
    enum Quantization: Equatable {
        case none
        /// In blocks of 32.
        case blocks
        /// With one scale per row.
        case rows
        /// With a scale and an offset known before.
        case fixed(scale: Float, offset: Float)
    }

    let quantization: Quantization
    /// Whether the floats are rounded to bfloat16, once they have been quantized.
    let isRounded: Bool

    /// What the matrix of that tensor takes once it is packed in `format`.
    init(_ tensor: Tensor, packedIn format: ck_format) {
        isRounded = format == CK_PANEL_BF16
        switch tensor.integers?.inputs {
        case .perToken: quantization = .rows
        case .fixed(let scale, let offset): quantization = .fixed(scale: scale, offset: offset)
        case nil: quantization = ck_is_quantized(format) ? .blocks : .none
        }
    }

    /// What serves matrices of all these forms, of which at most one kind quantizes.
    init(joining forms: [InputForm]) {
        quantization = forms.map(\.quantization).first { $0 != .none } ?? .none
        isRounded = forms.contains(where: \.isRounded)
    }

    /// Whether a quant can be -128.
    var isWide: Bool {
        if case .fixed = quantization { true } else { false }
    }

    /// Bytes between rows of `width` quants.
    func quantStride(_ width: Int) -> Int { quantization == .blocks ? width : ck_padded(width) }
    /// Blocks of a row of `width` quants.
    func blockCount(_ width: Int) -> Int { quantization == .blocks ? width / 32 : 1 }

    /// Brings a row of inputs into this form: quantizes it to row `row` of `quants` and `blocks`, and rounds it, where it stands
    /// and in row `row` of `bfloats`.
    func prepare(_ values: UnsafeMutablePointer<Float>, width: Int, row: Int, in prepared: PreparedInputs) {
        let quants = prepared.quants + row * quantStride(width)
        let blocks = prepared.blocks + row * blockCount(width)
        switch quantization {
        case .none: break
        case .blocks: ck_quantize(values, 1, width, width, quants, blocks)
        case .rows: ck_quantize_rows(values, 1, width, width, quants, blocks)
        case .fixed(let scale, let offset): ck_quantize_fixed(values, 1, width, width, scale, offset, quants, blocks)
        }
        if isRounded { ck_round(values, 1, width, width, prepared.bfloats + row * ck_padded_pairs(width)) }
    }

    /// Copies row `row` of other inputs of this form, without the floats.
    func copy(_ row: Int, of inputs: PreparedInputs, width: Int, to copy: Int, in prepared: PreparedInputs) {
        if quantization != .none {
            let (stride, blockCount) = (quantStride(width), blockCount(width))
            (prepared.quants + copy * stride).update(from: inputs.quants + row * stride, count: stride)
            (prepared.blocks + copy * blockCount).update(from: inputs.blocks + row * blockCount, count: blockCount)
        }
        if isRounded {
            let stride = ck_padded_pairs(width)
            (prepared.bfloats + copy * stride).update(from: inputs.bfloats + row * stride, count: stride)
        }
    }
}

/// Memory of what matrices multiply besides floats; widths are those of the form.
struct PreparedInputs {
    /// (rows, k or more)
    let quants: UnsafeMutablePointer<Int8>
    /// (rows, k / 32 or 1)
    let blocks: UnsafeMutablePointer<ck_block>
    /// (rows, k or more)
    let bfloats: UnsafeMutablePointer<UInt16>

    /// Where they are behind a base address.
    struct Layout {
        private let quants, blocks, bfloats: Int

        /// Makes room for so many rows of at most `width` inputs.
        init(_ layout: inout BumpLayout, rows: Int, width: Int) {
            quants = layout.reserve(Int8.self, rows * ck_padded(width))
            blocks = layout.reserve(ck_block.self, rows * (width / 32 + 1))
            bfloats = layout.reserve(UInt16.self, rows * ck_padded_pairs(width))
        }

        func at(_ base: UnsafeMutableRawPointer) -> PreparedInputs {
            PreparedInputs(
                quants: (base + quants).assumingMemoryBound(to: Int8.self),
                blocks: (base + blocks).assumingMemoryBound(to: ck_block.self),
                bfloats: (base + bfloats).assumingMemoryBound(to: UInt16.self))
        }
    }

    /// What a product reads of them and of the floats.
    func activations(_ values: UnsafePointer<Float>, width: Int, form: InputForm) -> ck_activations {
        ck_activations(
            values: values, quants: quants, blocks: blocks, bfloats: bfloats, stride: width, is_wide: form.isWide)
    }
}

extension ck_activations {
    /// Rows of floats alone.
    init(floats: UnsafePointer<Float>, stride: Int) {
        self.init(values: floats, quants: nil, blocks: nil, bfloats: nil, stride: stride, is_wide: false)
    }
}
