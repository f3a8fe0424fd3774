/// Keys and values of all layers, addressed by slot: float32 rounded to the numbers of a type, or integers with a scale for each
/// head's key and value.
struct ReferenceKeyValueCache {
    private let type: TensorType
    private let heads: Int
    private let keyDimension: Int
    private let valueDimension: Int
    private let slotCount: Int
    private let blockSize: Int
    private var keys: [Float]  // (layers, slots, heads, keyDimension)
    private var values: [Float]  // (layers, slots, heads, valueDimension)
    private var keyScales: [Float]  // (layers, slots, heads); 1 for floats
    private var valueScales: [Float]  // (layers, slots, heads); 1 for floats

    init(
        _ model: ModelConfiguration, _ attended: ReferenceAttention, type: TensorType, slotCount: Int, blockSize: Int
    ) {
        self.type = type
        (heads, keyDimension, valueDimension) = (attended.heads, attended.keyDimension, attended.valueDimension)
        self.slotCount = slotCount
        self.blockSize = blockSize
        let rows = model.layerCount * slotCount * heads
        keys = [Float](repeating: 0, count: rows * keyDimension)
        values = [Float](repeating: 0, count: rows * valueDimension)
        keyScales = [Float](repeating: 1, count: rows)
        valueScales = keyScales
    }

    /// The slot of an absolute position, by the sequence's block table.
    func slot(_ position: Int, _ blocks: ArraySlice<Int32>) -> Int {
        Int(blocks[blocks.startIndex + position / blockSize]) * blockSize + position % blockSize
    }

    /// Returns whether all is finite in the cache's type.
    mutating func store(key: [Float], value: [Float], layer: Int, slot: Int) -> Bool {
        let first = (layer * slotCount + slot) * heads
        for row in first..<first + heads {
            let ownKey = key[(row - first) * keyDimension..<(row - first + 1) * keyDimension]
            let ownValue = value[(row - first) * valueDimension..<(row - first + 1) * valueDimension]
            let (storedKey, storedValue) = (stored(ownKey), stored(ownValue))
            keys.replaceSubrange(row * keyDimension..<(row + 1) * keyDimension, with: storedKey.elements)
            values.replaceSubrange(row * valueDimension..<(row + 1) * valueDimension, with: storedValue.elements)
            (keyScales[row], valueScales[row]) = (storedKey.scale, storedValue.scale)
        }
        return (key + value).allSatisfy { type.rounded($0).isFinite }
    }

    /// One head's key or value as it is kept: elements are those times the scale.
    private func stored(_ row: ArraySlice<Float>) -> (elements: [Float], scale: Float) {
        guard type == .i8 else { return (row.map(type.rounded), 1) }
        let (integers, scale) = IntegerProduct.Inputs.perToken.quantized(Array(row), .none)
        return (integers.map { Float($0) }, scale)
    }

    /// The elements of a key, and what multiplies them.
    func key(layer: Int, slot: Int, head: Int) -> (elements: ArraySlice<Float>, scale: Float) {
        let row = (layer * slotCount + slot) * heads + head
        return (keys[row * keyDimension..<(row + 1) * keyDimension], keyScales[row])
    }

    /// The elements of a value, and what multiplies them.
    func value(layer: Int, slot: Int, head: Int) -> (elements: ArraySlice<Float>, scale: Float) {
        let row = (layer * slotCount + slot) * heads + head
        return (values[row * valueDimension..<(row + 1) * valueDimension], valueScales[row])
    }
}

/// What queries meet in attention: keys and values of heads, or latents with a rotated key behind each.
struct ReferenceAttention {
    let isOverLatents: Bool
    /// Heads of keys and values.
    let heads: Int
    let keyDimension: Int
    let valueDimension: Int

    /// - Parameter overLatents: whether latents, where there are some, stay what they are.
    init(_ model: ModelConfiguration, overLatents: Bool) {
        guard overLatents, let latents = model.latentAttention else {
            isOverLatents = false
            heads = model.keyValueHeadCount
            (keyDimension, valueDimension) = (model.headDimension, model.valueDimension)
            return
        }
        (isOverLatents, heads) = (true, 1)
        (keyDimension, valueDimension) = (latents.keyValueRank + model.rotaryDimension, latents.keyValueRank)
    }
}
