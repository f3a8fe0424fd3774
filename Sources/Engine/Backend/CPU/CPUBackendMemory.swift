internal import CKernels

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
    /// 2-byte floats. The scales of integers are counted in.
    ///
    /// - Throws: as `init` for a type that does not suit the model.
    public static func keyValueBytesPerToken(
        of checkpoint: any Checkpoint, dataType: DataType = .auto, keyValueDataType: KeyValueDataType = .auto
    ) throws(EngineError) -> Int {
        keyValueBytesPerToken(
            of: checkpoint.configuration, try keyValueDataType.stored(checkpoint, floats: dataType))
    }

    static func keyValueBytesPerToken(of model: ModelConfiguration, _ type: TensorType) -> Int {
        let group = ck_group_elements(type.storage, ForwardStep.padded(model.cacheHeadDimension)) * type.blockByteCount
        return model.layerCount * model.cacheHeadCount * 2 * group / Int(CK_GROUP)
    }
}
