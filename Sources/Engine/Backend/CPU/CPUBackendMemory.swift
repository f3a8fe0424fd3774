/// What a model takes here, before anything is loaded.
extension CPUBackend {
    /// Bytes of the packed weights; the checkpoint's are not touched.
    ///
    /// - Throws: as `init(checkpoint:threads:progress:)` for what the checkpoint lacks.
    public static func packedByteCount(of checkpoint: any Checkpoint) throws(EngineError) -> Int {
        try PackingPlan(checkpoint).byteCount
    }

    /// Bytes of KV cache that one token takes: keys and values as 2-byte floats in all layers, heads padded to 16
    /// elements. With latent attention there is one head, as long as a latent and a rotated key: 2,304 bytes a layer for
    /// DeepSeek-V2 and V3.
    public static func keyValueBytesPerToken(of model: ModelConfiguration) -> Int {
        model.layerCount * model.cacheHeadCount * ForwardStep.padded(model.cacheHeadDimension) * 2 * 2
    }
}
