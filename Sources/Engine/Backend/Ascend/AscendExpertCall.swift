/// One call of an operator that brings rows to their experts, lets these compute, or brings the results back.
enum AscendExpertCall: Sendable {
    /// y = x in the type of y
    case cast(x: AscendTensor, y: AscendTensor)
    /// The largest shares of a softmax over all experts, the best first, and whose they are.
    case gating(scores: AscendTensor, weights: AscendTensor, chosen: AscendTensor, unused: AscendTensor)
    /// The best experts by a rule, the best first, and their weights; of the bias, which is for choosing alone, one each.
    case ruledGating(
        AscendGating, scores: AscendTensor, bias: AscendTensor?, weights: AscendTensor, chosen: AscendTensor,
        unused: AscendTensor)
    case softmax(x: AscendTensor, y: AscendTensor)
    /// Copies each row once for each of its experts, sorted by expert: where choices went, and how many each expert has.
    case initRouting(
        x: AscendTensor, chosen: AscendTensor, expanded: AscendTensor, places: AscendTensor, counts: AscendTensor)
    /// y = x · weight, of each group of rows its own; with integers times both scales.
    case groupedMatmul(
        x: AscendTensor, weight: AscendTensor, scale: AscendTensor?, tokenScale: AscendTensor?, groups: AscendTensor,
        y: AscendTensor)
    /// x = 0
    case clear(AscendTensor)
    case sigmoid(x: AscendTensor, y: AscendTensor)
    /// y = x · factor, one factor a row
    case mul(x: AscendTensor, factor: AscendTensor, y: AscendTensor)
    /// y = shared + the sum of what each row's experts said, each times its weight.
    case finalizeRouting(
        expanded: AscendTensor, places: AscendTensor, shared: AscendTensor?, weights: AscendTensor, y: AscendTensor)

    /// What is called.
    var kind: AscendOperator {
        switch self {
        case .cast: .cast
        case .gating: .moeGatingTopKSoftmax
        case .ruledGating: .moeGatingTopK
        case .softmax: .softmax
        case .initRouting: .moeInitRouting
        case .groupedMatmul: .groupedMatmul
        case .clear: .inplaceZero
        case .sigmoid: .sigmoid
        case .mul: .mul
        case .finalizeRouting: .moeFinalizeRouting
        }
    }
}
