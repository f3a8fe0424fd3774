internal import CKernels

/// Keys and values of all layers in one type, in blocks of `blockSize` positions. Within a layer: (block, head, group of 16
/// positions); how a group holds them says `ck_cache`.
struct PagedCache {
    /// Positions of a block.
    let blockSize: Int
    /// Blocks of the pool.
    let blockCount: Int
    private let type: TensorType
    private let keys: UnsafeMutableRawPointer
    private let values: UnsafeMutableRawPointer
    private let headStride: Int
    private let blockStride: Int
    private let layerStride: Int
    private let headDimension: Int
    /// Elements of a group, as all strides are.
    private let groupLength: Int
    private let scale: Float
    private let bound: Float
    private let memory: HugePages

    /// - Throws: `EngineError.insufficientMemory`; `EngineError.backend` for a block size the kernels cannot use.
    init(_ model: ModelConfiguration, type: TensorType, blockCount: Int, blockSize: Int) throws(EngineError) {
        guard blockSize > 0, blockSize % 16 == 0, blockCount > 0 else {
            throw EngineError(
                .backend,
                "a KV cache of \(blockCount) blocks of \(blockSize) tokens; the CPU back end needs at least one block "
                    + "and a multiple of 16 tokens")
        }
        self.type = type
        self.blockSize = blockSize
        self.blockCount = blockCount
        headDimension = ForwardStep.padded(model.cacheHeadDimension)
        scale = model.attentionScale
        bound = model.attentionSoftcap ?? 0
        groupLength = ck_group_elements(type.storage, headDimension)
        headStride = blockSize / 16 * groupLength
        blockStride = headStride * model.cacheHeadCount
        let (layerStride, overflows) = blockStride.multipliedReportingOverflow(by: blockCount)
        let (bytes, overflowsToo) = layerStride.multipliedReportingOverflow(
            by: model.layerCount * 2 * type.blockByteCount)
        guard !overflows, !overflowsToo else {
            throw EngineError(.insufficientMemory, "a KV cache of \(blockCount) blocks exceeds the address space")
        }
        self.layerStride = layerStride
        memory = try HugePages(byteCount: bytes, purpose: "the KV cache")
        keys = memory.base
        values = keys + layerStride * model.layerCount * type.blockByteCount
    }

    /// Writes one position of one head. Returns whether all of it is finite in the cache's type.
    func store(key: UnsafePointer<Float>, value: UnsafePointer<Float>, layer: Int, head: Int, slot: Int) -> Bool {
        let (block, offset) = slot.quotientAndRemainder(dividingBy: blockSize)
        let group =
            layer * layerStride + block * blockStride + head * headStride + offset / 16 * groupLength
        let start = group * type.blockByteCount
        return ck_store(type.storage, key, value, headDimension, offset % 16, keys + start, values + start)
    }

    /// Brings queries into the form in which they meet keys of this type.
    func prepare(queries: UnsafeMutablePointer<Float>, count: Int) {
        if type == .bf16 || type == .i8 { ck_round(queries, 1, count, count, nil) }
    }

    /// One head as a sequence with this block table sees it.
    ///
    /// - Parameter window: positions a query sees; 0 for all.
    func view(layer: Int, head: Int, window: Int, blockTable: UnsafePointer<Int32>) -> ck_cache {
        let start = (layer * layerStride + head * headStride) * type.blockByteCount
        return ck_cache(
            keys: keys + start, values: values + start, type: type.storage, block_stride: blockStride,
            block_table: blockTable,
            block_size: blockSize, head_dimension: headDimension, scale: scale, bound: bound,
            window: window)
    }
}
