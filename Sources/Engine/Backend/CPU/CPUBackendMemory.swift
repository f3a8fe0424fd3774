/// What a model takes here, before anything is loaded.
extension CPUBackend {
    /// Bytes of the packed weights; the checkpoint's are not touched.
    ///
    /// - Throws: as `init(checkpoint:threads:dataType:progress:)` for what the checkpoint lacks.
    public static func packedByteCount(
        of checkpoint: any Checkpoint, dataType: DataType = .auto
    ) throws(EngineError) -> Int {
        try PackingPlan(checkpoint, dataType).byteCount
    }

    /// Bytes of KV cache that one token takes: keys and values in all layers, heads padded to 16 elements. With latent
    /// attention there is one head, as long as a latent and a rotated key: 2,304 bytes a layer for DeepSeek-V2 and V3 in
    /// 2-byte floats.
    public static func keyValueBytesPerToken(
        of checkpoint: any Checkpoint, dataType: DataType = .auto
    ) throws(EngineError) -> Int {
        keyValueBytesPerToken(of: checkpoint.configuration, try dataType.keyValueType(of: checkpoint))
    }

    static func keyValueBytesPerToken(of model: ModelConfiguration, _ type: TensorType) -> Int {
        model.layerCount * model.cacheHeadCount * ForwardStep.padded(model.cacheHeadDimension) * 2
            * type.blockByteCount
    }
}
