/// Keys and values of all layers, addressed by slot: float32 rounded to the numbers of a type.
struct ReferenceKeyValueCache {
    private let type: TensorType
    private let heads: Int
    private let keyDimension: Int
    private let valueDimension: Int
    private let slotCount: Int
    private let blockSize: Int
    private var keys: [Float]  // (layers, slots, heads, keyDimension)
    private var values: [Float]  // (layers, slots, heads, valueDimension)

    init(_ model: ModelConfiguration, type: TensorType, slotCount: Int, blockSize: Int) {
        self.type = type
        heads = model.keyValueHeadCount
        keyDimension = model.headDimension
        valueDimension = model.valueDimension
        self.slotCount = slotCount
        self.blockSize = blockSize
        let rows = model.layerCount * slotCount * heads
        keys = [Float](repeating: 0, count: rows * keyDimension)
        values = [Float](repeating: 0, count: rows * valueDimension)
    }

    /// The slot of an absolute position, by the sequence's block table.
    func slot(_ position: Int, _ blocks: ArraySlice<Int32>) -> Int {
        Int(blocks[blocks.startIndex + position / blockSize]) * blockSize + position % blockSize
    }

    /// Returns whether all is finite in the cache's type.
    mutating func store(key: [Float], value: [Float], layer: Int, slot: Int) -> Bool {
        let (key, value) = (key.map(type.rounded), value.map(type.rounded))
        let row = (layer * slotCount + slot) * heads
        for (element, x) in key.enumerated() { keys[row * keyDimension + element] = x }
        for (element, x) in value.enumerated() { values[row * valueDimension + element] = x }
        return (key + value).allSatisfy(\.isFinite)
    }

    func key(layer: Int, slot: Int, head: Int) -> ArraySlice<Float> {
        let start = ((layer * slotCount + slot) * heads + head) * keyDimension
        return keys[start..<start + keyDimension]
    }

    func value(layer: Int, slot: Int, head: Int) -> ArraySlice<Float> {
        let start = ((layer * slotCount + slot) * heads + head) * valueDimension
        return values[start..<start + valueDimension]
    }
}
