/// A checkpoint whose float matrices are rounded to a type, as float32.
struct RoundedCheckpoint: Checkpoint {
    let base: any Checkpoint
    let dataType: DataType

    var configuration: ModelConfiguration { base.configuration }
    var tokenizer: any Tokenizer { base.tokenizer }
    var chatTemplate: ChatTemplateSource? { base.chatTemplate }
    var weightByteCount: Int { base.weightByteCount }

    func tensor(_ role: TensorRole) throws(EngineError) -> Tensor {
        let tensor = try base.tensor(role)
        guard tensor.type.isFloat else { return tensor }
        let type = role.isVector ? tensor.type : dataType.stored(tensor.type)
        try tensor.requireFinite(storedAs: type)
        guard type != tensor.type else { return tensor }
        let rounded = RoundedElements(tensor, type)
        return Tensor(
            name: tensor.name, type: .f32, rows: tensor.rows, columns: tensor.columns,
            bytes: UnsafeRawBufferPointer(rounded.elements), owner: rounded)
    }
}

private final class RoundedElements {
    let elements: UnsafeMutableBufferPointer<Float>

    init(_ tensor: Tensor, _ type: TensorType) {
        elements = .allocate(capacity: tensor.rows * tensor.columns)
        elements.initialize(repeating: 0)
        for row in 0..<tensor.rows {
            let own = UnsafeMutableBufferPointer(
                rebasing: elements[row * tensor.columns..<(row + 1) * tensor.columns])
            tensor.dequantize(row: row, into: own)
            for column in own.indices { own[column] = type.rounded(own[column]) }
        }
    }

    deinit { elements.deallocate() }
}
