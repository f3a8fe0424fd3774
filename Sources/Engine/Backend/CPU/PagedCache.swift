internal import CKernels

/// Keys and values of all layers as f16, in blocks of `blockSize` positions. Within a layer: (block, head, group of 16
/// positions), a group of keys being (head dimension, 16) and one of values (16, head dimension).
struct PagedCache {
    /// Positions of a block.
    let blockSize: Int
    /// Blocks of the pool.
    let blockCount: Int
    private let keys: UnsafeMutablePointer<UInt16>
    private let values: UnsafeMutablePointer<UInt16>
    private let headStride: Int
    private let blockStride: Int
    private let layerStride: Int
    private let headDimension: Int
    private let scale: Float
    private let bound: Float
    private let memory: HugePages

    /// - Throws: `EngineError.insufficientMemory`; `EngineError.backend` for a block size the kernels cannot use.
    init(_ model: ModelConfiguration, blockCount: Int, blockSize: Int) throws(EngineError) {
        guard blockSize > 0, blockSize % 16 == 0, blockCount > 0 else {
            throw EngineError(
                .backend,
                "a KV cache of \(blockCount) blocks of \(blockSize) tokens; the CPU back end needs at least one block "
                    + "and a multiple of 16 tokens")
        }
        self.blockSize = blockSize
        self.blockCount = blockCount
        headDimension = ForwardStep.padded(model.cacheHeadDimension)
        scale = model.attentionScale
        bound = model.attentionSoftcap ?? 0
        headStride = blockSize * headDimension
        blockStride = headStride * model.cacheHeadCount
        let (layerStride, overflows) = blockStride.multipliedReportingOverflow(by: blockCount)
        let (bytes, overflowsToo) = layerStride.multipliedReportingOverflow(by: model.layerCount * 4)
        guard !overflows, !overflowsToo else {
            throw EngineError(.insufficientMemory, "a KV cache of \(blockCount) blocks exceeds the address space")
        }
        self.layerStride = layerStride
        memory = try HugePages(byteCount: bytes, purpose: "the KV cache")
        keys = memory.base.assumingMemoryBound(to: UInt16.self)
        values = keys + layerStride * model.layerCount
    }

    /// Writes one position of one head.
    func store(key: UnsafePointer<Float>, value: UnsafePointer<Float>, layer: Int, head: Int, slot: Int) {
        let (block, offset) = slot.quotientAndRemainder(dividingBy: blockSize)
        let group =
            layer * layerStride + block * blockStride + head * headStride + offset / 16 * (16 * headDimension)
        ck_store(key, value, headDimension, offset % 16, keys + group, values + group)
    }

    /// One head as a sequence with this block table sees it.
    ///
    /// - Parameter window: positions a query sees; 0 for all.
    func view(layer: Int, head: Int, window: Int, blockTable: UnsafePointer<Int32>) -> ck_cache {
        let start = layer * layerStride + head * headStride
        return ck_cache(
            keys: keys + start, values: values + start, block_stride: blockStride, block_table: blockTable,
            block_size: blockSize, head_dimension: headDimension, scale: scale, bound: bound,
            window: window)
    }
}
