/// What `W8A8Checkpoint` would make of a model, without the work: matrices of the same types, shapes and sizes, whose
/// elements mean nothing. For what a model takes.
package struct W8A8Outline: Checkpoint {
    /// The shape of the network.
    package let configuration: ModelConfiguration
    /// The tokenizer of the float model.
    package let tokenizer: any Tokenizer
    /// The chat template and the tokens it writes, if the model has one.
    package let chatTemplate: ChatTemplateSource?
    /// Bytes that all weights would have.
    package let weightByteCount: Int
    private let base: any Checkpoint
    private let quantized: Set<TensorRole>
    private let smoothing: Smoothing?

    /// Outlines the quantization of a model; its weights stay untouched.
    ///
    /// - Throws: `unsupportedModel` for a model that is quantized already.
    package init(_ base: any Checkpoint, _ options: W8A8Checkpoint.Options) throws(EngineError) {
        let matrices = try W8A8Checkpoint.matrices(of: base, options)
        let layout = options.smoothingLayout(base)
        smoothing = layout == nil ? nil : Smoothing(base.configuration)
        let floatByteCount = matrices.reduce(0) { $0 + $1.tensor.bytes.count }
        weightByteCount =
            base.weightByteCount - floatByteCount + QuantizedFile(matrices, smoothing: layout, key: 0).byteCount
        quantized = Set(matrices.map(\.role))
        (configuration, tokenizer) = (base.configuration, base.tokenizer)
        chatTemplate = base.chatTemplate
        self.base = base
    }

    /// A tensor with that role, of the size it would have.
    package func tensor(_ role: TensorRole) throws(EngineError) -> Tensor {
        let tensor = try base.tensor(role)
        guard quantized.contains(role) else { return smoothing?.vector(role, tensor) ?? tensor }
        // An element takes one byte instead of two or four.
        let bytes = UnsafeRawBufferPointer(rebasing: tensor.bytes[..<(tensor.rows * tensor.columns)])
        let scales = [Float](repeating: 1, count: tensor.rows)
        return Tensor(
            name: tensor.name, type: .i8, rows: tensor.rows, columns: tensor.columns, bytes: bytes,
            owner: Owner(tensor: tensor), integers: IntegerProduct(scales: scales))
    }

    /// Keeps the bytes mapped.
    private final class Owner {
        let tensor: Tensor

        init(tensor: Tensor) { self.tensor = tensor }
    }
}
