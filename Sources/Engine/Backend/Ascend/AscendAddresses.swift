internal import CAscend

/// Where the tensors of a step are: what turns a program's views into addresses and numbers.
struct AscendAddresses {
    let weights: UnsafeMutableRawPointer
    let weightOffsets: [Int]
    let activations: UnsafeMutableRawPointer
    let inputs: UnsafeMutableRawPointer
    let keyValues: UnsafeMutableRawPointer
    let cache: AscendCacheShape
    let memory: AscendStepMemory

    /// The first byte of what `place` names in a step of `size`.
    func address(of place: AscendPlace, _ size: AscendStepSize) -> UnsafeMutableRawPointer {
        switch place {
        case .weight(let entry): weights + weightOffsets[entry]
        case .activation(let activation): activations + memory.offset(of: activation, size)
        case .input(let input): inputs + memory.offset(of: input)
        case .keys(let layer): keyValues + cache.offset(ofKeys: layer)
        case .values(let layer): keyValues + cache.offset(ofValues: layer)
        }
    }

    /// The length of a dimension in a step of `size`.
    func length(of extent: AscendExtent, _ size: AscendStepSize) -> Int64 {
        switch extent {
        case .fixed(let length): Int64(length)
        case .blocks: Int64(cache.blockCount)
        case .blockSize: Int64(cache.blockSize)
        default: Int64(size.count(of: extent))
        }
    }

    /// Elements of a tensor without gaps in a step of `size`.
    func count(of tensor: AscendTensor, _ size: AscendStepSize) -> Int {
        precondition(
            tensor.strides == nil && tensor.offset == 0 && tensor.part == 0, "a view with gaps has no count of its own")
        return tensor.shape.reduce(1) { $0 * Int(length(of: $1, size)) }
    }

    /// The library's object for a view in a step of `size`, to be destroyed by the caller.
    ///
    /// - Throws: when the library makes none.
    func object(_ tensor: AscendTensor, _ size: AscendStepSize) throws(AscendError) -> OpaquePointer {
        let lengths = tensor.shape.map { length(of: $0, size) }
        var strides = [Int64](repeating: 1, count: lengths.count)
        if let own = tensor.strides {
            strides = own.map { Int64($0) }
        } else {
            for index in lengths.indices.dropLast().reversed() {
                strides[index] = strides[index + 1] * lengths[index + 1]
            }
        }
        let offset = Int64(tensor.offset) + Int64(tensor.part) * lengths[0] * strides[0]
        let storage = tensor.tiles?.storage ?? [zip(lengths, strides).reduce(offset + 1) { $0 + ($1.0 - 1) * $1.1 }]
        let object = AscendLibraries.shared.objects.aclCreateTensor?(
            lengths, UInt64(lengths.count), aclDataType(tensor.element.rawValue), strides, offset,
            tensor.tiles == nil ? ACL_FORMAT_ND : ACL_FORMAT_FRACTAL_NZ, storage, UInt64(storage.count),
            address(of: tensor.place, size))
        guard let object else { throw .objectNotMade("aclCreateTensor") }
        return object
    }

    /// A list of one view, which destroys it when it is destroyed by the caller.
    ///
    /// - Throws: when the library makes none.
    func list(_ tensor: AscendTensor, _ size: AscendStepSize) throws(AscendError) -> OpaquePointer {
        let objects = AscendLibraries.shared.objects
        let member = try object(tensor, size)
        var members: OpaquePointer? = member
        guard let list = objects.aclCreateTensorList?(&members, 1) else {
            _ = objects.aclDestroyTensor?(member)
            throw .objectNotMade("aclCreateTensorList")
        }
        return list
    }
}

/// The KV pool: per layer its keys, then its values, each (block, position, head, element); or latents, then rotated keys.
struct AscendCacheShape: Sendable, Equatable {
    /// Blocks, with those at the end that take what rows of padding write.
    let blockCount: Int
    /// Positions of a block.
    let blockSize: Int
    /// Bytes of all layers.
    let byteCount: Int
    /// The first slot that no sequence owns.
    let spareSlot: Int
    /// Bytes of a layer's keys, and of all of it.
    private let keyByteCount: Int
    private let layerByteCount: Int

    /// - Parameters:
    ///   - blockCount: blocks that sequences may own.
    ///   - paddingRows: most rows of padding in a step.
    /// - Throws: `EngineError.backend` for a block size that the operators do not take, `insufficientMemory` for a pool
    ///   of more bytes than can be counted.
    init(
        _ model: ModelConfiguration, _ element: AscendElement, blockCount: Int, blockSize: Int, paddingRows: Int
    ) throws(EngineError) {
        guard blockCount > 0, blockSize > 0, blockSize % 16 == 0, blockSize <= 128 else {
            throw EngineError(
                .backend,
                "a KV cache of \(blockCount) blocks of \(blockSize) tokens; the NPU back end needs at least one block, "
                    + "and a multiple of 16 tokens up to 128")
        }
        guard model.latentAttention == nil || blockSize == 16 || blockSize == 128 else {
            throw EngineError(
                .backend, "KV blocks of \(blockSize) tokens; latents lie in blocks of 16 or of 128 in an NPU's memory")
        }
        let spares = (paddingRows + blockSize - 1) / blockSize + 1
        (self.blockCount, self.blockSize) = (blockCount + spares, blockSize)
        spareSlot = blockCount * blockSize
        var layout = AscendArenaLayout()
        let elements = model.cachedElements
        _ = try layout.reserve(element, self.blockCount, blockSize, elements.keys)
        keyByteCount = try layout.reserve(element, self.blockCount, blockSize, elements.values)
        layerByteCount = layout.byteCount
        let (bytes, overflow) = layerByteCount.multipliedReportingOverflow(by: model.layerCount)
        guard !overflow, self.blockCount * blockSize <= Int(Int32.max) else {
            throw EngineError(.insufficientMemory, "a KV cache of \(blockCount) blocks exceeds what can be addressed")
        }
        byteCount = bytes
    }

    func offset(ofKeys layer: Int) -> Int { layer * layerByteCount }
    func offset(ofValues layer: Int) -> Int { layer * layerByteCount + keyByteCount }
}

extension ModelConfiguration {
    /// Elements of one token in the cache of a layer: of keys and of values, or of its latent and its rotated key.
    var cachedElements: (keys: Int, values: Int) {
        latentAttention.map { ($0.keyValueRank, rotaryDimension) } ?? (keyValueLength, keyValueLength)
    }
}
