/// One call of an operator. Names are the operators' own, without their prefix.
enum AscendCall: Sendable {
    /// out[i] = source[indices[i]]
    case indexSelect(source: AscendTensor, indices: AscendTensor, out: AscendTensor)
    /// Epsilon is the model's if nil.
    case rmsNorm(
        x: AscendTensor, gamma: AscendTensor, y: AscendTensor, inverseDeviation: AscendTensor, epsilon: Float? = nil)
    /// sum = x1 + x2, y = norm of it.
    case addRmsNorm(
        x1: AscendTensor, x2: AscendTensor, gamma: AscendTensor, y: AscendTensor, inverseDeviation: AscendTensor,
        sum: AscendTensor)
    /// The same, y as 8-bit integers with a scale for each row.
    case addRmsNormDynamicQuant(
        x1: AscendTensor, x2: AscendTensor, gamma: AscendTensor, y: AscendTensor, scale: AscendTensor,
        sum: AscendTensor)
    /// The same, y as norm / scales + offsets in 8-bit integers. A second result, which nobody wants, has to have a place.
    case addRmsNormQuant(
        x1: AscendTensor, x2: AscendTensor, gamma: AscendTensor, scales: AscendTensor, offsets: AscendTensor,
        y: AscendTensor, unused: AscendTensor, sum: AscendTensor)
    case matmul(x: AscendTensor, weight: AscendTensor, y: AscendTensor)
    /// y[i] = x[i] · weight[i]
    case batchMatmul(x: AscendTensor, weight: AscendTensor, y: AscendTensor)
    /// x += other
    case inplaceAdd(x: AscendTensor, other: AscendTensor)
    case inplaceCopy(target: AscendTensor, source: AscendTensor)
    case rotaryPositionEmbedding(x: AscendTensor, cosines: AscendTensor, sines: AscendTensor, y: AscendTensor)
    /// Writes each row's key and value to its slot.
    case storeKeyValue(
        key: AscendTensor, value: AscendTensor, keyCache: AscendTensor, valueCache: AscendTensor, slots: AscendTensor)
    case attention(AscendAttention)
    /// y = the index of each row's largest element
    case argMax(x: AscendTensor, y: AscendTensor)
    /// The largest elements of each row, the best first, and where they are.
    case topK(x: AscendTensor, values: AscendTensor, places: AscendTensor)
    /// The logarithms of the sums of exp over rows.
    case logSums(AscendLogSums)
    case swiGlu(x: AscendTensor, y: AscendTensor)
    /// y = x as 8-bit integers with a scale for each row.
    case dynamicQuant(x: AscendTensor, y: AscendTensor, scale: AscendTensor)
    /// y = x · factor + offset as 8-bit integers.
    case ascendQuant(x: AscendTensor, factor: AscendTensor, offset: AscendTensor, y: AscendTensor)
    /// y = (x weightᵀ + bias) · scale · tokenScale; a bias of floats is added behind the scales.
    case quantMatmul(
        x: AscendTensor, weight: AscendTensor, scale: AscendTensor, tokenScale: AscendTensor?, bias: AscendTensor?,
        y: AscendTensor)
    /// One of those that rows need on their way to experts and back.
    case expert(AscendExpertCall)
    /// What all ranks do together.
    case collective(AscendCollective)

    /// The operator that is called; nil for what is none.
    var kind: AscendOperator? {
        switch self {
        case .indexSelect: .indexSelect
        case .rmsNorm: .rmsNorm
        case .addRmsNorm: .addRmsNorm
        case .addRmsNormDynamicQuant: .addRmsNormDynamicQuant
        case .addRmsNormQuant: .addRmsNormQuant
        case .matmul: .matmul
        case .batchMatmul: .batchMatmul
        case .inplaceAdd: .inplaceAdd
        case .inplaceCopy: .inplaceCopy
        case .rotaryPositionEmbedding: .rotaryPositionEmbedding
        case .storeKeyValue: .storeKeyValue
        case .attention(let attention): attention.latents == nil ? .attention : .latentAttention
        case .argMax: .argMax
        case .topK: .topK
        case .logSums: .logSumExp
        case .swiGlu: .swiGlu
        case .dynamicQuant: .dynamicQuant
        case .ascendQuant: .ascendQuant
        case .quantMatmul: .quantMatmul
        case .expert(let call): call.kind
        case .collective: nil
        }
    }
}

/// What the ranks of a model do together.
enum AscendCollective: Sendable {
    /// x = the sum of x over all ranks
    case sum(AscendTensor)
    /// y = this rank's rows of the sum of x over all ranks
    case sumRows(x: AscendTensor, y: AscendTensor)
    /// y = the rows x of all ranks, in their order
    case gather(x: AscendTensor, y: AscendTensor)
}

/// The operators that calls are made of.
enum AscendOperator: CaseIterable {
    case indexSelect, rmsNorm, addRmsNorm, addRmsNormDynamicQuant, addRmsNormQuant, matmul, inplaceAdd,
        inplaceCopy, rotaryPositionEmbedding, storeKeyValue, attention, argMax, topK, logSumExp, swiGlu,
        dynamicQuant, ascendQuant, quantMatmul, batchMatmul, latentAttention,
        cast, moeGatingTopKSoftmax, moeGatingTopK, softmax, moeInitRouting, groupedMatmul, inplaceZero, sigmoid, mul,
        moeFinalizeRouting

    /// What does not work without it, for people; nil if nothing does.
    var consequenceOfAbsence: String? {
        switch self {
        case .cast, .moeGatingTopKSoftmax, .softmax, .moeInitRouting, .groupedMatmul, .inplaceZero, .sigmoid,
            .moeFinalizeRouting:
            "models with experts do not run"
        case .batchMatmul, .latentAttention: "models with attention over latents do not run"
        case .moeGatingTopK: "models whose experts are chosen by groups or sigmoids do not run"
        case .topK: "models with experts do not run, and of rows that sample all logits are copied"
        case .mul: "models with experts do not run, and of rows with top-p or log-probabilities all logits are copied"
        case .logSumExp: "of rows with top-p or log-probabilities all logits are copied"
        default: nil
        }
    }

    /// The release of CANN without which it is not there; nil for what all have.
    var firstRelease: String? { self == .moeGatingTopK || self == .latentAttention ? "CANN 8.5" : nil }

    /// Their names in the library without the prefix, of which the first that is there is called.
    var names: [String] {
        switch self {
        case .indexSelect: ["IndexSelect"]
        case .rmsNorm: ["RmsNorm"]
        case .addRmsNorm: ["AddRmsNorm"]
        case .addRmsNormDynamicQuant: ["AddRmsNormDynamicQuant"]
        case .addRmsNormQuant: ["AddRmsNormQuant"]
        case .matmul: ["Mm"]
        case .inplaceAdd: ["InplaceAdd"]
        case .inplaceCopy: ["InplaceCopy"]
        case .rotaryPositionEmbedding: ["RotaryPositionEmbedding"]
        case .storeKeyValue: ["ScatterPaKvCache", "InplaceIndexCopy"]
        case .attention: ["FusedInferAttentionScoreV3"]
        case .argMax: ["ArgMax"]
        case .topK: ["Topk"]
        case .logSumExp: ["LogSumExp"]
        case .swiGlu: ["SwiGlu"]
        case .dynamicQuant: ["DynamicQuant"]
        case .ascendQuant: ["AscendQuant"]
        case .quantMatmul: ["QuantMatmulV5", "QuantMatmulV4"]
        case .batchMatmul: ["BatchMatMul"]
        case .latentAttention: ["FusedInferAttentionScoreV4"]
        case .cast: ["Cast"]
        case .moeGatingTopKSoftmax: ["MoeGatingTopKSoftmax"]
        case .moeGatingTopK: ["MoeGatingTopK"]
        case .softmax: ["Softmax"]
        case .moeInitRouting: ["MoeInitRoutingV2"]
        case .groupedMatmul: ["GroupedMatmulV5", "GroupedMatmulV4"]
        case .inplaceZero: ["InplaceZero"]
        case .sigmoid: ["Sigmoid"]
        case .mul: ["Mul"]
        case .moeFinalizeRouting: ["MoeFinalizeRoutingV2"]
        }
    }
}

/// Sums over the logits of rows.
struct AscendLogSums: Sendable {
    let x: AscendTensor
    /// One over the temperature of each row, as a column.
    let factors: AscendTensor
    /// Where rows are multiplied, so many at a time as it has: in float32, those of a whole step could take gigabytes.
    let scaled: AscendTensor
    /// Of x as it is.
    let plain: AscendTensor
    /// Of x · factors.
    let tempered: AscendTensor
}

/// Attention of all rows of a step over the KV blocks of their sequences.
struct AscendAttention: Sendable {
    let layer: Int
    let query: AscendTensor
    let keyCache: AscendTensor
    let valueCache: AscendTensor
    let blockTables: AscendTensor
    let mask: AscendTensor
    let out: AscendTensor
    let headCount: Int
    let keyValueHeadCount: Int
    let scale: Double
    /// What of queries and keys is rotated, where keys are latents, which are values too; nil for others.
    var latents: Latents?

    struct Latents: Sendable {
        /// (rows, heads, elements)
        let query: AscendTensor
        /// (blocks, positions, elements)
        let keyCache: AscendTensor
    }
}
