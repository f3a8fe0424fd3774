/// All weights of a model in float32.
struct ReferenceWeights {
    let embedding: ReferenceLinear  // (vocabulary, embedding)
    let layers: [Layer]
    let outputNorm: [Float]  // (embedding)
    let output: ReferenceLinear  // (vocabulary, embedding)

    struct Layer {
        let attentionNorm: [Float]  // (embedding)
        let query: ReferenceLinear  // (heads * headDimension, embedding)
        let key: ReferenceLinear  // (keyValueHeads * headDimension, embedding)
        let value: ReferenceLinear  // (keyValueHeads * headDimension, embedding)
        let attentionOutput: ReferenceLinear  // (embedding, heads * headDimension)
        let feedForwardNorm: [Float]  // (embedding)
        let gate: ReferenceLinear  // (feedForward, embedding)
        let up: ReferenceLinear  // (feedForward, embedding)
        let down: ReferenceLinear  // (embedding, feedForward)
    }

    init(_ checkpoint: any Checkpoint) throws(EngineError) {
        let model = checkpoint.configuration
        embedding = ReferenceLinear(try checkpoint.tensor(.tokenEmbedding))
        outputNorm = ReferenceLinear(try checkpoint.tensor(.outputNorm)).elements
        output = model.tiesEmbeddings ? embedding : ReferenceLinear(try checkpoint.tensor(.output))
        var layers: [Layer] = []
        for index in 0..<model.layerCount {
            func linear(
                _ role: TensorRole.LayerRole, bias: TensorRole.LayerRole? = nil
            ) throws(EngineError) -> ReferenceLinear {
                var bias = bias
                if !model.hasAttentionBias { bias = nil }
                let biasTensor: Tensor? = if let bias { try checkpoint.tensor(.layer(index, bias)) } else { nil }
                return ReferenceLinear(try checkpoint.tensor(.layer(index, role)), bias: biasTensor)
            }
            layers.append(
                Layer(
                    attentionNorm: try linear(.attentionNorm).elements,
                    query: try linear(.query, bias: .queryBias),
                    key: try linear(.key, bias: .keyBias),
                    value: try linear(.value, bias: .valueBias),
                    attentionOutput: try linear(.attentionOutput),
                    feedForwardNorm: try linear(.feedForwardNorm).elements,
                    gate: try linear(.gate), up: try linear(.up), down: try linear(.down)))
        }
        self.layers = layers
    }
}

/// y = W x + b with W (outputs, inputs) row after row.
struct ReferenceLinear {
    let outputs: Int
    let inputs: Int
    let elements: [Float]  // (outputs * inputs)
    let bias: [Float]?  // (outputs)

    init(_ weight: Tensor, bias: Tensor? = nil) {
        outputs = weight.rows
        inputs = weight.columns
        elements = weight.dequantized()
        self.bias = bias?.dequantized()
    }

    func multiply(_ x: [Float], into y: inout [Float], at offset: Int = 0) {
        for row in 0..<outputs {
            y[offset + row] = dot(x[...], elements[row * inputs..<(row + 1) * inputs]) + (bias?[row] ?? 0)
        }
    }

    func copyRow(_ row: Int, to x: inout [Float]) {
        for column in 0..<inputs { x[column] = elements[row * inputs + column] }
    }
}

extension Tensor {
    fileprivate func dequantized() -> [Float] {
        [Float](unsafeUninitializedCapacity: rows * columns) { buffer, count in
            for row in 0..<rows {
                let target = UnsafeMutableBufferPointer(rebasing: buffer[row * columns..<(row + 1) * columns])
                dequantize(row: row, into: target)
            }
            count = rows * columns
        }
    }
}

/// Keys and values of all layers in float32, addressed by slot.
struct ReferenceKeyValueCache {
    private let width: Int  // keyValueHeads * headDimension
    private let headDimension: Int
    private let slotCount: Int
    private let blockSize: Int
    private var keys: [Float]  // (layers, slots, keyValueHeads, headDimension)
    private var values: [Float]  // as keys

    init(_ model: ModelConfiguration, slotCount: Int, blockSize: Int) {
        width = model.keyValueLength
        headDimension = model.headDimension
        self.slotCount = slotCount
        self.blockSize = blockSize
        keys = [Float](repeating: 0, count: model.layerCount * slotCount * width)
        values = keys
    }

    /// The slot of an absolute position, by the sequence's block table.
    func slot(_ position: Int, _ blocks: ArraySlice<Int32>) -> Int {
        Int(blocks[blocks.startIndex + position / blockSize]) * blockSize + position % blockSize
    }

    mutating func store(key: [Float], value: [Float], layer: Int, slot: Int) {
        let start = (layer * slotCount + slot) * width
        for element in 0..<width {
            keys[start + element] = key[element]
            values[start + element] = value[element]
        }
    }

    func key(layer: Int, slot: Int, head: Int) -> ArraySlice<Float> {
        keys[range(layer: layer, slot: slot, head: head)]
    }

    func value(layer: Int, slot: Int, head: Int) -> ArraySlice<Float> {
        values[range(layer: layer, slot: slot, head: head)]
    }

    private func range(layer: Int, slot: Int, head: Int) -> Range<Int> {
        let start = (layer * slotCount + slot) * width + head * headDimension
        return start..<start + headDimension
    }
}
