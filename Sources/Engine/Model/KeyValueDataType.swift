/// What keys and values are kept as, where that is not left to `DataType`.
public enum KeyValueDataType: String, Sendable, CaseIterable {
    /// Floats, of the type that `DataType` chooses.
    case auto
    /// Integers of 8 bits with a scale for each position and head: about half of the memory of 2-byte floats.
    case int8
}

extension KeyValueDataType {
    /// The type of a model's keys and values.
    ///
    /// - Parameter floats: chooses it among the floats.
    /// - Throws: `EngineError.unsupportedModel` for latents as integers; what reading the checkpoint throws.
    func stored(_ checkpoint: any Checkpoint, floats: DataType) throws(EngineError) -> TensorType {
        guard self == .int8 else { return try floats.keyValueType(of: checkpoint) }
        guard checkpoint.configuration.latentAttention == nil else {
            throw EngineError(
                .unsupportedModel,
                "--kv-cache-dtype int8 does not suit latent attention, where a latent and a rotated key would share a scale; "
                    + "leave it out")
        }
        return .i8
    }
}
