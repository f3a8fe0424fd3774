/// Types of elements on an NPU.
enum AscendElement: Int32, Sendable {
    // As `aclDataType` numbers them.
    case float32 = 0
    case float16 = 1
    case int8 = 2
    case int32 = 3
    case int64 = 9
    case bfloat16 = 27

    var byteCount: Int {
        switch self {
        case .int8: 1
        case .float16, .bfloat16: 2
        case .float32, .int32: 4
        case .int64: 8
        }
    }

    /// The type of elements in files that is rounded alike.
    var tensorType: TensorType {
        switch self {
        case .float16: .f16
        case .bfloat16: .bf16
        case .float32: .f32
        case .int8: .i8
        case .int32, .int64: preconditionFailure("no file holds wide integers")
        }
    }
}

/// The sizes that one step gives to the calls of a program.
struct AscendStepSize: Sendable, Equatable {
    /// Rows computed, padding included.
    var rows: Int
    /// Rows whose logits are computed.
    var samples: Int
    /// Rows whose hidden states are wanted.
    var hiddenRows = 0
    /// Sequences that the rows belong to.
    var sequences: Int
    /// Entries of one sequence's block table.
    var blockTableStride: Int
}

/// The length of a dimension: known with the model, or with the step.
enum AscendExtent: Sendable, Equatable, ExpressibleByIntegerLiteral {
    case fixed(Int)
    case rows
    /// So many for each row.
    case rowsTimes(Int)
    /// A rank's of the rows, of which there is a multiple of the ranks then.
    case rankRows(of: Int)
    case samples
    case hiddenRows
    case sequences
    case blockTableStride
    case blocks
    case blockSize

    init(integerLiteral value: Int) { self = .fixed(value) }
}

/// Where the elements of a tensor are.
enum AscendPlace: Sendable, Hashable {
    /// An entry of `AscendWeights`.
    case weight(Int)
    case activation(AscendActivation)
    case input(AscendInput)
    /// Keys of a layer.
    case keys(Int)
    /// Values of a layer.
    case values(Int)
}

/// What a step leaves in device memory between two of its calls.
enum AscendActivation: Int, Sendable, CaseIterable {
    /// The residual stream; calls write one of the two from the other.
    case residual, otherResidual
    case normed
    /// A rank's rows of what is gathered or was scattered.
    case ownNormed, ownAdded, ownDeviation, ownQuants, ownQuantScales
    case queryKeyValue
    case normedQuery, normedKey
    case query, key, value
    /// Of attention over latents: what queries are made of, they themselves, their rotated parts, what one product for each
    /// head yields, head after head, and what attention yields.
    case queryLatent, projectedQuery, rotatedQuery, byHeads, attendedLatents
    case attended
    /// What attention or the feed-forward block adds to the residual stream.
    case added
    case gateUp
    case hidden
    /// What the router says of each expert, and the same as float32.
    case routes, scores
    /// The scores of each row's experts and where they are among all.
    case bestScores, bestPlaces
    /// Each row's experts, what their results are multiplied by, and numbers of which nobody has a use.
    case chosen, expertWeights, unusedRows, unusedScores
    /// Each row's experts by their numbers on the rank.
    case ownChoices
    /// Rows once for each of their experts, sorted by expert, and where each of a row's choices is.
    case expanded, expandedPlaces
    /// How many rows each expert has, and the same as 64-bit integers: of a step, but given room by the row.
    case expertCounts, groups
    case expertGateUp, expertHidden, expertOutputs
    /// What the expert of all rows says, and its share.
    case shared, sharedShare
    case inverseDeviation
    case cosines, sines
    /// Inputs of 8-bit matrices, and the scale of each row.
    case quants, quantScales
    /// The rows behind the last norm that are sampled, or wanted as they are.
    case sampled, wanted
    case logits
    /// The likeliest token of each sampled row.
    case likeliest
    /// The largest logits of each sampled row, and their tokens.
    case candidateLogits, candidateTokens
    /// Logits divided by the temperature, of some rows at a time.
    case scaledLogits
    /// The logarithms of the sums of exp over sampled rows: of all logits, behind them of all divided by the temperature.
    case logSums
}

/// Arrays of 32-bit numbers that the host hands to each step, in the order in which they lie.
enum AscendInput: Int, Sendable, CaseIterable {
    case tokens
    case positions
    case slots
    case sampledRows
    /// One over the temperature of each sampled row, float32; 1 where there is none.
    case temperatureFactors
    case hiddenRows
    case blockTables
}

/// A tensor as a call takes it: a view of device memory whose sizes a step fills in.
struct AscendTensor: Sendable, Equatable {
    var place: AscendPlace
    var element: AscendElement
    var shape: [AscendExtent]
    /// Elements from one index to the next of each dimension; nil without gaps.
    var strides: [Int]?
    /// Elements before the first.
    var offset = 0
    /// How often the length of the first dimension is skipped before that: a rank's part of what all have.
    var part = 0
    /// How the matrices that are stored lie in tiles; nil for elements row by row.
    var tiles: AscendTileShape?

    init(_ place: AscendPlace, _ element: AscendElement, _ shape: [AscendExtent]) {
        (self.place, self.element, self.shape) = (place, element, shape)
    }

    /// Some columns of rows that are `width` long, taken as heads that begin `distance` columns apart; side by side if nil.
    func heads(
        _ count: Int, of dimension: Int, from column: Int, width: Int, distance: Int? = nil
    ) -> AscendTensor {
        var view = self
        view.shape = [shape[0], .fixed(count), .fixed(dimension)]
        view.strides = [width, distance ?? dimension, 1]
        view.offset = column
        return view
    }

    /// Some columns of rows that are `width` long.
    func columns(_ range: Range<Int>, width: Int) -> AscendTensor {
        var view = self
        view.shape = [shape[0], .fixed(range.count)]
        view.strides = [width, 1]
        view.offset = range.lowerBound
        return view
    }

    /// Heads of rows as rows of heads: the view (heads, rows, elements) of (rows, heads, elements).
    var byHeads: AscendTensor {
        guard case .fixed(let heads) = shape[1], case .fixed(let elements) = shape[2] else {
            preconditionFailure("heads have sizes")
        }
        let own = strides ?? [heads * elements, elements, 1]
        var view = self
        view.shape = [shape[1], shape[0], shape[2]]
        view.strides = [own[1], own[0], own[2]]
        return view
    }

    /// The same elements, all in one order, in another shape.
    func reshaped(_ shape: [AscendExtent]) -> AscendTensor {
        precondition(strides == nil, "a view with gaps keeps its shape")
        var view = self
        view.shape = shape
        return view
    }

    /// A matrix (outputs, inputs) as (inputs, outputs), without moving an element.
    var transposed: AscendTensor {
        guard case .fixed(let inputs) = shape[1], strides == nil else { preconditionFailure("no matrix of a model") }
        var view = self
        view.shape = [shape[1], shape[0]]
        view.strides = [1, inputs]
        return view
    }
}
