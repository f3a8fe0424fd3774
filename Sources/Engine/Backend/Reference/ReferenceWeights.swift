/// All weights of a model in float32, or the numbers of a narrower type.
struct ReferenceWeights {
    let embedding: ReferenceLinear  // (vocabulary, embedding)
    let layers: [ReferenceLayer]
    let outputNorm: [Float]  // (embedding)
    let output: ReferenceLinear  // (vocabulary, embedding)

    /// - Parameter division: how devices share the sums of matrices that are cut by their inputs.
    init(
        _ checkpoint: any Checkpoint, adapters: [Adapter], _ rounding: ReferenceRounding, _ division: AscendDivision
    ) throws(EngineError) {
        let model = checkpoint.configuration
        embedding = ReferenceLinear(try checkpoint.tensor(.tokenEmbedding), rounding)
        outputNorm = rounding(try checkpoint.norm(.outputNorm))
        output = model.tiesEmbeddings ? embedding : ReferenceLinear(try checkpoint.tensor(.output), rounding)
        var layers: [ReferenceLayer] = []
        for index in model.layers.indices {
            layers.append(try ReferenceLayer(checkpoint, index, adapters, rounding, division))
        }
        self.layers = layers
    }
}

/// The weights of one decoder layer; nil is what the family does not have.
struct ReferenceLayer {
    let attentionNorm: [Float]  // (embedding)
    let query: ReferenceLinear  // (heads * headDimension, embedding or query rank)
    let key: ReferenceLinear?  // (keyValueHeads * headDimension, embedding)
    let value: ReferenceLinear?  // (keyValueHeads * headDimension, embedding)
    let queryNorm: [Float]?  // (headDimension)
    let keyNorm: [Float]?  // (headDimension)
    let latent: Latent?
    let attentionOutput: ReferenceLinear  // (embedding, heads * valueDimension)
    let attentionPostNorm: [Float]?  // (embedding)
    let feedForwardNorm: [Float]  // (embedding)
    let dense: FeedForward?
    let mixture: Mixture?
    let feedForwardPostNorm: [Float]?  // (embedding)

    struct Latent {
        let query: ReferenceLinear?  // (query rank, embedding)
        let queryNorm: [Float]?  // (query rank)
        let keyValue: ReferenceLinear  // (rank + rotaryDimension, embedding)
        let norm: [Float]  // (rank)
        let expansion: ReferenceLinear  // (heads * (plainDimension + valueDimension), rank)
    }

    struct FeedForward {
        let gate: ReferenceLinear  // (hidden, embedding)
        let up: ReferenceLinear  // (hidden, embedding)
        let down: ReferenceLinear  // (embedding, hidden)
    }

    struct Mixture {
        let router: ReferenceLinear  // (experts, embedding)
        let correction: [Float]?  // (experts)
        let experts: [FeedForward]
        let shared: FeedForward?
        let sharedWeight: ReferenceLinear?  // (1, embedding)
    }

    init(
        _ checkpoint: any Checkpoint, _ index: Int, _ adapters: [Adapter], _ rounding: ReferenceRounding,
        _ division: AscendDivision
    ) throws(EngineError) {
        let model = checkpoint.configuration
        let present = Set(model.tensorRoles)
        func linear(
            _ role: TensorRole.LayerRole, bias: TensorRole.LayerRole? = nil, followsSum: Bool = false
        ) throws(EngineError) -> ReferenceLinear? {
            guard present.contains(.layer(index, role)) else { return nil }
            var biasTensor: Tensor?
            if let bias, present.contains(.layer(index, bias)) {
                biasTensor = try checkpoint.tensor(.layer(index, bias))
            }
            return ReferenceLinear(
                try checkpoint.tensor(.layer(index, role)), bias: biasTensor, rounding,
                ranks: [.attentionOutput, .down, .sharedDown].contains(role) ? division.ranks : 1,
                followsSum: followsSum,
                corrections: adapters.map { $0.products[.layer(index, role)].map { ReferenceCorrection($0) } })
        }
        func required(
            _ role: TensorRole.LayerRole, bias: TensorRole.LayerRole? = nil, followsSum: Bool = false
        ) throws(EngineError) -> ReferenceLinear {
            guard let linear = try linear(role, bias: bias, followsSum: followsSum) else {
                preconditionFailure("no role \(role)")
            }
            return linear
        }
        func norm(_ role: TensorRole.LayerRole) throws(EngineError) -> [Float]? {
            present.contains(.layer(index, role)) ? rounding(try checkpoint.norm(.layer(index, role))) : nil
        }
        func correction() throws(EngineError) -> [Float]? {
            guard present.contains(.layer(index, .routerCorrection)) else { return nil }
            return try checkpoint.tensor(.layer(index, .routerCorrection)).dequantized()
        }
        attentionNorm = rounding(try checkpoint.norm(.layer(index, .attentionNorm)))
        // In the first layer the residual stream is no sum yet.
        query = try required(
            .query, bias: .queryBias, followsSum: index > 0 && model.latentAttention?.queryRank == nil)
        key = try linear(.key, bias: .keyBias, followsSum: index > 0)
        value = try linear(.value, bias: .valueBias, followsSum: index > 0)
        queryNorm = try norm(.queryNorm)
        keyNorm = try norm(.keyNorm)
        latent =
            model.latentAttention == nil
            ? nil
            : Latent(
                query: try linear(.queryLatent, followsSum: index > 0), queryNorm: try norm(.queryLatentNorm),
                keyValue: try required(.keyValueLatent, followsSum: index > 0),
                norm: rounding(try checkpoint.norm(.layer(index, .keyValueLatentNorm))),
                expansion: try required(.keyValueExpansion).decoded)
        attentionOutput = try required(.attentionOutput, bias: .attentionOutputBias)
        attentionPostNorm = try norm(.attentionPostNorm)
        feedForwardNorm = rounding(try checkpoint.norm(.layer(index, .feedForwardNorm)))
        feedForwardPostNorm = try norm(.feedForwardPostNorm)
        guard model.layers[index].isMixture, let mixture = model.mixture else {
            dense = FeedForward(
                gate: try required(.gate, bias: .gateBias, followsSum: true),
                up: try required(.up, bias: .upBias, followsSum: true),
                down: try required(.down, bias: .downBias))
            self.mixture = nil
            return
        }
        dense = nil
        var experts: [FeedForward] = []
        for expert in 0..<mixture.expertCount {
            func matrix(_ role: TensorRole.ExpertRole) throws(EngineError) -> ReferenceLinear {
                ReferenceLinear(
                    try checkpoint.tensor(.expert(index, expert, role)), rounding,
                    ranks: role == .down && !division.dividesExperts ? division.ranks : 1)
            }
            experts.append(FeedForward(gate: try matrix(.gate), up: try matrix(.up), down: try matrix(.down)))
        }
        self.mixture = Mixture(
            router: try required(.router), correction: try correction(), experts: experts,
            shared: mixture.sharedLength == 0
                ? nil
                : FeedForward(
                    gate: try required(.sharedGate), up: try required(.sharedUp), down: try required(.sharedDown)),
            sharedWeight: try linear(.sharedWeight))
    }
}

/// y = W x + b with W (outputs, inputs) row after row.
struct ReferenceLinear {
    let outputs: Int
    let inputs: Int
    let elements: [Float]  // (outputs * inputs)
    let bias: [Float]?  // (outputs)
    /// In W8A8: W as signed bytes, and what their products mean.
    private var integers: (weights: [Int8], meaning: IntegerProduct)?
    /// What each adapter adds; nil for nothing.
    private let corrections: [ReferenceCorrection?]
    private let rounded: ReferenceRounding
    private var inputType: TensorType
    /// Devices that form the sums together, each over its share of the inputs.
    private let ranks: Int
    /// Whether inputs are the norm of a sum, whose operator turns them to integers too.
    private let followsSum: Bool

    init(
        _ weight: Tensor, bias: Tensor? = nil, _ rounding: ReferenceRounding = .none, ranks: Int = 1,
        followsSum: Bool = false, corrections: [ReferenceCorrection?] = []
    ) {
        outputs = weight.rows
        inputs = weight.columns
        elements = rounding(weight.dequantized())
        self.bias = bias.map { rounding($0.dequantized()) }
        self.corrections = corrections
        rounded = rounding
        inputType = weight.type.isFloat ? rounding.inputs : .f32
        self.ranks = ranks
        self.followsSum = followsSum
        integers = weight.integers.map { (weight.bytes.map { Int8(bitPattern: $0) }, $0) }
    }

    /// The same with inputs that are neither quantized nor rounded.
    var decoded: ReferenceLinear {
        var decoded = self
        decoded.integers = nil
        decoded.inputType = .f32
        return decoded
    }

    /// - Parameter adapter: -1 for none.
    func callAsFunction(_ x: [Float], adapter: Int) -> [Float] {
        let x = x.map(inputType.rounded)
        var y = self(x)
        if corrections.indices.contains(adapter), let correction = corrections[adapter] {
            add(correction(x), to: &y)
        }
        return y
    }

    /// Whether the operator of the norm goes on to integers before it writes anything.
    var isQuantizedWithNorm: Bool { followsSum && integers != nil }

    /// Whether each row of inputs becomes integers by a scale of its own.
    private var takesIntegersByRow: Bool { integers?.meaning.inputs == .perToken }

    func callAsFunction(_ x: [Float]) -> [Float] {
        var sum = addend(x, rank: 0)
        for rank in 1..<max(1, ranks) { add(addend(x, rank: rank), to: &sum) }
        return ranks > 1 ? rounded(sum) : sum
    }

    /// What one of the devices that form the sums together has of them: all where there is one. The first adds biases.
    func addend(_ x: [Float], rank: Int) -> [Float] {
        let own = rank * inputs / ranks..<(rank + 1) * inputs / ranks
        func biased(_ product: Float, _ output: Int) -> Float {
            rounded(product + (rank == 0 ? bias?[output] ?? 0 : 0))
        }
        guard let (weights, meaning) = integers else {
            let x = x.map(inputType.rounded)
            return (0..<outputs).map { output in
                let first = output * inputs
                return biased(
                    rounded(dot(x[own], elements[first + own.lowerBound..<first + own.upperBound])), output)
            }
        }
        let (quants, scale) = meaning.inputs.quantized(Array(x[own]), rounded, followsSum: followsSum)
        return (0..<outputs).map { output in
            var sum = meaning.addends.isEmpty || rank > 0 ? 0 : Int64(meaning.addends[output])
            for index in own { sum += Int64(weights[output * inputs + index]) * quants[index - own.lowerBound] }
            let product = Float(sum) * (meaning.scales[output] * scale)
            // Products by row add the bias themselves, the others leave it to the next operator.
            return biased(takesIntegersByRow ? product : rounded(product), output)
        }
    }

    func row(_ index: Int) -> ArraySlice<Float> { elements[index * inputs..<(index + 1) * inputs] }
}

/// scale · up (down x)
struct ReferenceCorrection {
    private let down: ReferenceLinear  // (rank, inputs)
    private let up: ReferenceLinear  // (outputs, rank)
    private let scale: Float

    init(_ product: LowRankProduct) {
        down = ReferenceLinear(product.down)
        up = ReferenceLinear(product.up)
        scale = product.scale
    }

    func callAsFunction(_ x: [Float]) -> [Float] { up(down(x)).map { $0 * scale } }
}

extension Checkpoint {
    /// The weight of a norm, the family's offset added.
    fileprivate func norm(_ role: TensorRole) throws(EngineError) -> [Float] {
        try tensor(role).dequantized().map { $0 + configuration.normWeightOffset }
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
