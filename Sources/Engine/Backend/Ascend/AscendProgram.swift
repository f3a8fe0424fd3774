/// The forward pass as a list of operator calls: what a step does is in here, its sizes and addresses are not.
struct AscendProgram: Sendable {
    /// From token ids to the rows behind the last norm.
    var trunk: [AscendCall] = []
    /// The same for steps whose residual stream is divided among the ranks; empty where there are none.
    private(set) var scatteredTrunk: [AscendCall] = []
    /// Logits of the sampled rows.
    private(set) var head: [AscendCall] = []
    /// The largest of these, for steps that sample.
    private(set) var candidates: [AscendCall] = []
    /// The sums over all of them, for steps that need these.
    private(set) var sums: [AscendCall] = []
    /// The rows behind the last norm that are wanted as they are.
    private(set) var hidden: [AscendCall] = []
    /// Elements of a row of each activation, by its raw value; 0 for those without use.
    private(set) var widths = [Int](repeating: 0, count: AscendActivation.allCases.count)
    /// One over the deviation of each row before the last norm: not a finite number above zero where the row is not
    /// finite.
    let inverseDeviation: AscendTensor
    /// (rows, vocabulary)
    private(set) var logits: AscendTensor
    /// (samples) the token of each row's largest logit
    let likeliest: AscendTensor
    /// (rows, embedding)
    let wanted: AscendTensor

    private var lastLayerStart = 0
    /// The shape of the part that this rank computes.
    let model: ModelConfiguration
    let rank: AscendRank
    /// Whether the calls that are listed divide the residual stream.
    private var scatters = false
    private let element: AscendElement

    /// Lists the calls for a rank's part of a model and puts what they multiply into `weights`.
    ///
    /// - Throws: `EngineError.unsupportedModel` or `invalidModel` for what the checkpoint holds or lacks.
    init(_ model: ModelConfiguration, _ weights: inout AscendWeights) throws(EngineError) {
        self.model = model
        element = weights.element
        rank = weights.rank
        inverseDeviation = AscendTensor(.activation(.inverseDeviation), .float32, [.rows, 1])
        logits = AscendTensor(.activation(.logits), weights.element, [.samples, .fixed(model.vocabularySize)])
        wanted = AscendTensor(
            .activation(.wanted), weights.element, [.hiddenRows, .fixed(model.embeddingLength)])
        likeliest = AscendTensor(.activation(.likeliest), .int32, [.samples])
        widths[AscendActivation.inverseDeviation.rawValue] = 1

        if rank.division.scatteredRows != nil, rank.count > 1 {
            scatters = true
            _ = try addTrunk(&weights)
            (scatteredTrunk, trunk, scatters) = (trunk, [], false)
        }
        let normed = try addTrunk(&weights)
        if rank.leads { addHead(normed, try weights.output(sharing: try weights.embedding())) }
    }

    /// How many of a row's largest logits the host gets: more than requests usually keep, and some to tell that no others
    /// are as large.
    static func candidateCount(of model: ModelConfiguration) -> Int { min(128, model.vocabularySize) }

    /// Everything up to the rows behind the last norm, which it returns.
    private mutating func addTrunk(_ weights: inout AscendWeights) throws(EngineError) -> AscendTensor {
        let embedding = try weights.embedding()
        let tables = try weights.rotaryTables()
        let mask = try weights.causalMask()
        let residual = use(.residual, model.embeddingLength, streamRows)
        var tokens = input(.tokens, streamRows)
        if scatters { tokens.part = rank.index }
        trunk.append(.indexSelect(source: embedding, indices: tokens, out: residual))
        for (table, rows) in [(tables.cosines, AscendActivation.cosines), (tables.sines, .sines)] {
            let out = use(rows, model.rotaryDimension)
            trunk.append(.indexSelect(source: table, indices: input(.positions, .rows), out: out))
        }
        var stream = Stream(
            current: residual, other: use(.otherResidual, model.embeddingLength, streamRows), added: nil)
        for layer in model.layers.indices {
            lastLayerStart = trunk.count + (layer == 0 ? 0 : 1)
            try addLayer(layer, &stream, mask, &weights)
        }
        if !weights.chip.tellsDeviations, let added = stream.added {
            trunk.append(.inplaceAdd(x: stream.current, other: added))
            stream.added = nil
        }
        let normed = normalize(&stream, by: try weights.norm(.outputNorm))
        if scatters { trunk.append(.collective(.gather(x: streamDeviation, y: inverseDeviation))) }
        return normed
    }

    /// Calls of the last layer; the norm at its end is counted, and that at its beginning to the layer before.
    var lastLayer: ArraySlice<AscendCall> { trunk[lastLayerStart...] }

    // MARK: - Layers

    /// The residual stream as calls see it: a sum that is not formed yet is `current` and `added`.
    private struct Stream {
        var current: AscendTensor
        var other: AscendTensor
        var added: AscendTensor?
    }

    /// Rows of it that this rank has.
    private var streamRows: AscendExtent { scatters ? .rankRows(of: rank.count) : .rows }

    /// `inverseDeviation` of those.
    private var streamDeviation: AscendTensor {
        scatters ? AscendTensor(.activation(.ownDeviation), .float32, [streamRows, 1]) : inverseDeviation
    }

    private mutating func addLayer(
        _ layer: Int, _ stream: inout Stream, _ mask: AscendTensor, _ weights: inout AscendWeights
    ) throws(EngineError) {
        let attentionNorm = try weights.norm(.layer(layer, .attentionNorm))
        let queryKeyValue =
            if let shape = model.latentAttention {
                try weights.latents(layer, shape, followsSum: stream.added != nil)
            } else {
                try weights.linear(
                    layer, [(.query, .queryBias), (.key, .keyBias), (.value, .valueBias)],
                    followsSum: stream.added != nil)
            }
        let product = use(.queryKeyValue, queryKeyValue.outputs)
        multiply(&stream, normalizedBy: attentionNorm, queryKeyValue, into: product)
        let attended =
            if let shape = model.latentAttention {
                try addLatentAttention(layer, shape, product, width: queryKeyValue.outputs, mask, &weights)
            } else {
                try addAttention(layer, product, mask, &weights)
            }
        let attentionOutput = try weights.linear(layer, [(.attentionOutput, .attentionOutputBias)])
        let attention = use(.added, model.embeddingLength)
        multiply(attended, attentionOutput, into: attention)
        stream.added = addUp(attention)

        let feedForwardNorm = try weights.norm(.layer(layer, .feedForwardNorm))
        if model.layers[layer].isMixture, let mixture = model.mixture {
            let normed = normalize(&stream, by: feedForwardNorm)
            stream.added = addUp(try addExperts(layer, mixture, normed, &weights))
            return
        }
        let gateUp = try weights.linear(layer, [(.gate, .gateBias), (.up, .upBias)], followsSum: true)
        let both = use(.gateUp, gateUp.outputs)
        multiply(&stream, normalizedBy: feedForwardNorm, gateUp, into: both)
        let hidden = use(.hidden, model.feedForwardLength)
        trunk.append(.swiGlu(x: both, y: hidden))
        let down = try weights.linear(layer, [(.down, .downBias)])
        let feedForward = use(.added, model.embeddingLength)
        multiply(hidden, down, into: feedForward)
        stream.added = addUp(feedForward)
    }

    /// The sum over all ranks of what each has an addend of: this rank's rows of it where the residual stream is divided.
    private mutating func addUp(_ addend: AscendTensor) -> AscendTensor {
        guard rank.count > 1 else { return addend }
        guard scatters else {
            trunk.append(.collective(.sum(addend)))
            return addend
        }
        let own = use(.ownAdded, model.embeddingLength, streamRows)
        trunk.append(.collective(.sumRows(x: addend, y: own)))
        return own
    }

    /// All ranks' rows of what each has its own of.
    private mutating func gathered(_ own: AscendTensor, into all: AscendTensor) -> AscendTensor {
        guard scatters else { return own }
        trunk.append(.collective(.gather(x: own, y: all)))
        return all
    }

    /// From the product of all three matrices to what the heads attended to.
    private mutating func addAttention(
        _ layer: Int, _ product: AscendTensor, _ mask: AscendTensor, _ weights: inout AscendWeights
    ) throws(EngineError) -> AscendTensor {
        let (heads, keyHeads, dimension) = (model.headCount, model.keyValueHeadCount, model.headDimension)
        let width = model.queryLength + 2 * model.keyValueLength
        let queries = product.heads(heads, of: dimension, from: 0, width: width)
        let keys = product.heads(keyHeads, of: dimension, from: model.queryLength, width: width)
        let values = product.heads(
            keyHeads, of: dimension, from: model.queryLength + model.keyValueLength, width: width)

        let query = try rotate(queries, layer, .queryNorm, through: .normedQuery, into: .query, heads, &weights)
        let key = try rotate(keys, layer, .keyNorm, through: .normedKey, into: .key, keyHeads, &weights)
        let value = use(.value, heads: keyHeads)
        trunk.append(.inplaceCopy(target: value, source: values))

        let keyCache = cache(.keys(layer), keyHeads, dimension)
        let valueCache = cache(.values(layer), keyHeads, dimension)
        trunk.append(
            .storeKeyValue(
                key: key, value: value, keyCache: keyCache, valueCache: valueCache, slots: input(.slots, .rows)))
        let attended = use(.attended, heads: heads)
        let joined: [AscendExtent] = [.blocks, .blockSize, .fixed(model.keyValueLength)]
        trunk.append(
            .attention(
                AscendAttention(
                    layer: layer, query: query, keyCache: keyCache.reshaped(joined),
                    valueCache: valueCache.reshaped(joined), blockTables: blockTables, mask: mask,
                    out: attended, headCount: heads, keyValueHeadCount: keyHeads,
                    scale: Double(model.attentionScale))))
        return attended.reshaped([.rows, .fixed(model.queryLength)])
    }

    /// Heads turned by their position, behind their norm if the family has one.
    private mutating func rotate(
        _ heads: AscendTensor, _ layer: Int, _ norm: TensorRole.LayerRole, through normed: AscendActivation,
        into target: AscendActivation, _ count: Int, _ weights: inout AscendWeights
    ) throws(EngineError) -> AscendTensor {
        var x = heads
        if let gamma = try weights.optionalNorm(layer, norm) {
            x = use(normed, heads: count)
            reserve(.inverseDeviation, count)
            trunk.append(
                .rmsNorm(
                    x: heads, gamma: gamma, y: x,
                    inverseDeviation: AscendTensor(
                        .activation(.inverseDeviation), .float32, [.rows, .fixed(count), 1])))
        }
        let y = use(target, heads: count)
        rotate(x, into: y)
        return y
    }

    /// y = x turned by the positions of its rows
    mutating func rotate(_ x: AscendTensor, into y: AscendTensor) {
        let angles: [AscendExtent] = [.rows, 1, .fixed(model.rotaryDimension)]
        trunk.append(
            .rotaryPositionEmbedding(
                x: x, cosines: use(.cosines, model.rotaryDimension).reshaped(angles),
                sines: use(.sines, model.rotaryDimension).reshaped(angles), y: y))
    }

    private mutating func addHead(_ normed: AscendTensor, _ output: AscendWeights.Linear) {
        let sampled = use(.sampled, model.embeddingLength, .samples)
        head.append(.indexSelect(source: normed, indices: input(.sampledRows, .samples), out: sampled))
        logits = use(.logits, model.vocabularySize, .samples)
        multiply(sampled, output, into: logits, in: \.head)
        reserve(.likeliest, 1)
        head.append(.argMax(x: logits, y: likeliest))
        let count = Self.candidateCount(of: model)
        candidates.append(
            .topK(
                x: logits, values: use(.candidateLogits, count, .samples),
                places: use(.candidateTokens, count, .samples)))
        addSums()
        _ = use(.wanted, model.embeddingLength, .hiddenRows)
        hidden.append(.indexSelect(source: normed, indices: input(.hiddenRows, .hiddenRows), out: wanted))
    }

    private mutating func addSums() {
        reserve(.logSums, 2)
        let plain = AscendTensor(.activation(.logSums), .float32, [.samples])
        var tempered = plain
        tempered.part = 1
        sums.append(
            .logSums(
                AscendLogSums(
                    x: logits, factors: AscendTensor(.input(.temperatureFactors), .float32, [.samples, 1]),
                    scaled: use(.scaledLogits, model.vocabularySize, AscendActivation.scaledLogits.rows),
                    plain: plain, tempered: tempered)))
    }

    // MARK: - Products

    /// Forms the residual stream's sum and its norm.
    private mutating func normalize(_ stream: inout Stream, by gamma: AscendTensor) -> AscendTensor {
        let all = use(.normed, model.embeddingLength)
        let y = scatters ? use(.ownNormed, model.embeddingLength, streamRows) : all
        reserve(.ownDeviation, scatters ? 1 : 0)
        guard let added = stream.added else {
            trunk.append(.rmsNorm(x: stream.current, gamma: gamma, y: y, inverseDeviation: streamDeviation))
            return gathered(y, into: all)
        }
        trunk.append(
            .addRmsNorm(
                x1: added, x2: stream.current, gamma: gamma, y: y, inverseDeviation: streamDeviation,
                sum: stream.other))
        stream = Stream(current: stream.other, other: stream.current, added: nil)
        return gathered(y, into: all)
    }

    /// y = linear(norm(stream)), sum, norm and quantization in one call where there is one.
    private mutating func multiply(
        _ stream: inout Stream, normalizedBy gamma: AscendTensor, _ linear: AscendWeights.Linear,
        into y: AscendTensor
    ) {
        switch (linear.inputs, stream.added) {
        case (.perToken(let scale), let added?):
            let (allQuants, allScales) = quantized(model.embeddingLength, .rows)
            let own = scatters ? ownQuantized(model.embeddingLength) : (allQuants, scales: allScales)
            trunk.append(
                .addRmsNormDynamicQuant(
                    x1: added, x2: stream.current, gamma: gamma, y: own.0, scale: own.scales, sum: stream.other))
            stream = Stream(current: stream.other, other: stream.current, added: nil)
            let quants = gathered(own.0, into: allQuants)
            let scales = gathered(own.scales, into: allScales)
            trunk.append(
                .quantMatmul(
                    x: quants, weight: linear.weight, scale: scale, tokenScale: scales, bias: linear.bias, y: y))
        case (.fixed(.behindNorm(let scales, let offsets), let scale, let addend), let added?):
            let (allQuants, _) = quantized(model.embeddingLength, .rows)
            let own = scatters ? ownQuantized(model.embeddingLength).0 : allQuants
            var unused =
                scatters ? use(.ownNormed, model.embeddingLength, streamRows) : use(.normed, model.embeddingLength)
            unused.element = .int8
            trunk.append(
                .addRmsNormQuant(
                    x1: added, x2: stream.current, gamma: gamma, scales: scales, offsets: offsets, y: own,
                    unused: unused, sum: stream.other))
            stream = Stream(current: stream.other, other: stream.current, added: nil)
            multiply(gathered(own, into: allQuants), linear, scale, addend, into: y, in: \.trunk)
        default: multiply(normalize(&stream, by: gamma), linear, into: y)
        }
    }

    /// y = linear(x)
    mutating func multiply(
        _ x: AscendTensor, _ linear: AscendWeights.Linear, into y: AscendTensor,
        in list: WritableKeyPath<AscendProgram, [AscendCall]> = \.trunk
    ) {
        guard case .fixed(let inputs) = linear.weight.shape[1] else { preconditionFailure("weights have sizes") }
        switch linear.inputs {
        case nil:
            self[keyPath: list].append(.matmul(x: x, weight: linear.weight.transposed, y: y))
            if let bias = linear.bias { self[keyPath: list].append(.inplaceAdd(x: y, other: bias)) }
        case .perToken(let scale):
            let (quants, scales) = quantized(inputs, x.shape[0])
            self[keyPath: list].append(.dynamicQuant(x: x, y: quants, scale: scales))
            self[keyPath: list].append(
                .quantMatmul(
                    x: quants, weight: linear.weight, scale: scale, tokenScale: scales, bias: linear.bias, y: y))
        case .fixed(.alone(let factor, let offset), let scale, let addend):
            let (quants, _) = quantized(inputs, x.shape[0])
            self[keyPath: list].append(.ascendQuant(x: x, factor: factor, offset: offset, y: quants))
            multiply(quants, linear, scale, addend, into: y, in: list)
        case .fixed(.behindNorm, _, _): preconditionFailure("inputs of this are quantized with their norm")
        }
    }

    /// y = linear(quants), of inputs that were quantized by a fixed scale.
    private mutating func multiply(
        _ quants: AscendTensor, _ linear: AscendWeights.Linear, _ scale: AscendTensor, _ addend: AscendTensor?,
        into y: AscendTensor, in list: WritableKeyPath<AscendProgram, [AscendCall]>
    ) {
        self[keyPath: list].append(
            .quantMatmul(x: quants, weight: linear.weight, scale: scale, tokenScale: nil, bias: addend, y: y))
        if let bias = linear.bias { self[keyPath: list].append(.inplaceAdd(x: y, other: bias)) }
    }

    /// Integers and scales of rows, or of so many for each.
    mutating func quantized(_ width: Int, _ rows: AscendExtent) -> (AscendTensor, scales: AscendTensor) {
        let count = if case .rowsTimes(let count) = rows { count } else { 1 }
        reserve(.quants, count * width)
        reserve(.quantScales, count)
        return (
            AscendTensor(.activation(.quants), .int8, [rows, .fixed(width)]),
            AscendTensor(.activation(.quantScales), .float32, [rows])
        )
    }

    /// Integers and scales of this rank's rows.
    private mutating func ownQuantized(_ width: Int) -> (AscendTensor, scales: AscendTensor) {
        (use(.ownQuants, width, streamRows), use(.ownQuantScales, 1, streamRows).reshaped([streamRows]))
    }

    // MARK: - Tensors

    mutating func reserve(_ activation: AscendActivation, _ width: Int) {
        widths[activation.rawValue] = max(widths[activation.rawValue], width)
    }

    mutating func use(
        _ activation: AscendActivation, _ width: Int, _ rows: AscendExtent = .rows
    ) -> AscendTensor {
        let count = if case .rowsTimes(let count) = rows { count } else { 1 }
        reserve(activation, count * width)
        return AscendTensor(.activation(activation), activation.element(element), [rows, .fixed(width)])
    }

    private mutating func use(_ activation: AscendActivation, heads: Int) -> AscendTensor {
        use(activation, heads * model.headDimension)
            .reshaped([.rows, .fixed(heads), .fixed(model.headDimension)])
    }

    func input(_ input: AscendInput, _ count: AscendExtent) -> AscendTensor {
        AscendTensor(.input(input), .int32, [count])
    }

    var blockTables: AscendTensor {
        AscendTensor(.input(.blockTables), .int32, [.sequences, .blockTableStride])
    }

    func cache(_ place: AscendPlace, _ heads: Int, _ dimension: Int) -> AscendTensor {
        AscendTensor(place, element, [.blocks, .blockSize, .fixed(heads), .fixed(dimension)])
    }
}

extension AscendActivation {
    /// What its rows are counted by.
    var rows: AscendExtent {
        switch self {
        case .sampled, .logits, .likeliest, .candidateLogits, .candidateTokens, .logSums: .samples
        case .scaledLogits: 32
        case .wanted: .hiddenRows
        default: .rows
        }
    }

    /// The type of its elements in a pass of `element`.
    func element(_ element: AscendElement) -> AscendElement {
        switch self {
        case .quants, .ownQuants: .int8
        case .likeliest, .chosen, .ownChoices, .unusedRows, .expandedPlaces, .expertCounts: .int32
        case .bestPlaces, .groups, .candidateTokens: .int64
        case .quantScales, .ownQuantScales, .inverseDeviation, .ownDeviation, .scores, .bestScores, .expertWeights,
            .unusedScores, .scaledLogits, .logSums:
            .float32
        default: element
        }
    }
}
