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
        return Tensor(name: tensor.name, floats: tensor.floats().map(type.rounded), rows: tensor.rows)
    }
}
