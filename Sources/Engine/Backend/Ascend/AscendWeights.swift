/// Which tensors the NPU holds for a model, where they lie in its memory and what fills them.
struct AscendWeights: Sendable {
    /// What the rows of an entry are made of.
    enum Source: Sendable {
        /// Rows of matrices of the checkpoint, one after the other; or vectors, joined to one row.
        case tensors([Part])
        /// What the integers of matrices are multiplied by, joined.
        case scales([Part])
        /// What is added to the sums of integers, joined.
        case addends([Part])
        /// The same number everywhere.
        case constant(Float)
        /// 1 where a position must not be seen: above the diagonal.
        case causalMask
        /// Cosines of each position's angles, those of a head's first half and again for the second.
        case cosines
        case sines
        /// The number of each of the model's experts among those of a rank; that behind its last for all others.
        case expertPlaces(own: Range<Int>)
    }

    /// One tensor of an entry, or what of it is this rank's.
    struct Part: Sendable {
        let role: TensorRole
        let tensor: Tensor
        let rows: Range<Int>
        let columns: Range<Int>
    }

    /// A tensor in device memory.
    struct Entry: Sendable {
        let name: String
        let source: Source
        let element: AscendElement
        let rows: Int
        let columns: Int
        /// Bytes before it in the arena.
        let offset: Int
        /// How its matrices lie in tiles; nil for rows one after the other.
        let tiles: AscendTileShape?

        var byteCount: Int {
            tiles.map { $0.matrices * $0.matrixByteCount } ?? rows * columns * element.byteCount
        }

        /// Rows that lie together, and bytes before them in the arena.
        var pieces: [(rows: Range<Int>, offset: Int)] {
            guard let tiles else { return [(0..<rows, offset)] }
            return (0..<tiles.matrices).map {
                ($0 * tiles.rows..<($0 + 1) * tiles.rows, offset + $0 * tiles.matrixByteCount)
            }
        }
    }

    private struct Key: Hashable {
        let name: String
        let element: AscendElement
    }

    /// A matrix, or several that multiply the same inputs, and what surrounds the product.
    struct Linear: Sendable {
        /// How inputs become integers; nil for a product of floats.
        let inputs: Inputs?
        /// (outputs, inputs)
        let weight: AscendTensor
        /// Added to the outputs.
        let bias: AscendTensor?
        /// Outputs of all its matrices.
        let outputs: Int

        enum Inputs: Sendable {
            /// Each row by its own scale; products are multiplied by `scale` (outputs).
            case perToken(scale: AscendTensor)
            /// By one scale and offset known before; `addend` (outputs) of integers is added to the sums.
            case fixed(quantization: Fixed, scale: AscendTensor, addend: AscendTensor?)
        }

        enum Fixed: Sendable {
            /// x · factor + offset, one of each.
            case alone(factor: AscendTensor, offset: AscendTensor)
            /// In the operator of the norm before: norm / scales + offsets, (inputs) of each.
            case behindNorm(scales: AscendTensor, offsets: AscendTensor)
        }
    }

    private(set) var entries: [Entry] = []
    /// Where each entry is, so that what is asked for twice is held once.
    private var numbers: [Key: Int] = [:]
    private var layout = AscendArenaLayout()
    /// Type of float matrices, activations, keys and values.
    let element: AscendElement
    /// Whose these are.
    let rank: AscendRank
    /// What may lie in tiles.
    let tiledForms: AscendTiledForms
    let chip: AscendChip
    /// How often each head of keys and values is held, so that every query has one of its own.
    private let keyCopies: Int
    private let checkpoint: any Checkpoint
    private let present: Set<TensorRole>
    private let model: ModelConfiguration

    /// Bytes of all entries in device memory.
    var byteCount: Int { layout.byteCount }
    /// Bytes of the largest matrix in tiles; 0 where there is none.
    var largestTiledByteCount: Int { entries.map { $0.tiles?.matrixByteCount ?? 0 }.max() ?? 0 }

    /// Nothing yet; the program of the forward pass asks for what it needs.
    init(
        _ checkpoint: any Checkpoint, element: AscendElement, rank: AscendRank, chip: AscendChip, keyCopies: Int,
        tiledForms: AscendTiledForms
    ) {
        (self.chip, self.keyCopies) = (chip, keyCopies)
        self.checkpoint = checkpoint
        self.element = element
        self.rank = rank
        self.tiledForms = tiledForms
        model = checkpoint.configuration
        present = Set(model.tensorRoles)
    }

    /// A norm's weight.
    ///
    /// - Throws: as `Checkpoint.tensor`.
    mutating func norm(_ role: TensorRole) throws(EngineError) -> AscendTensor {
        let part = try part(role)
        return try vector("\(role)", .tensors([part]), element, count: part.columns.count)
    }

    /// The norm's weight if the family has it.
    mutating func optionalNorm(_ layer: Int, _ role: TensorRole.LayerRole) throws(EngineError) -> AscendTensor? {
        present.contains(.layer(layer, role)) ? try norm(.layer(layer, role)) : nil
    }

    /// The embedding as a table of floats.
    mutating func embedding() throws(EngineError) -> AscendTensor {
        try table("\(TensorRole.tokenEmbedding)", [try part(.tokenEmbedding)], element)
    }

    /// The matrix behind the last norm; `embedding` where it is the same.
    mutating func output(sharing embedding: AscendTensor) throws(EngineError) -> Linear {
        let role = model.tiesEmbeddings ? TensorRole.tokenEmbedding : .output
        if model.tiesEmbeddings, try part(role).tensor.integers == nil {
            return Linear(inputs: nil, weight: embedding, bias: nil, outputs: model.vocabularySize)
        }
        return try linear([(role, nil)])
    }

    /// Matrices of a layer that multiply the same inputs.
    ///
    /// - Parameter followsSum: whether the inputs are the norm of a sum.
    mutating func linear(
        _ layer: Int, _ members: [(TensorRole.LayerRole, bias: TensorRole.LayerRole)], followsSum: Bool = false
    ) throws(EngineError) -> Linear {
        try linear(members.map { (.layer(layer, $0.0), .layer(layer, $0.bias)) }, followsSum: followsSum)
    }

    /// The mask of attention: what a position later than a query's own is marked by, in a square that the operator moves
    /// along the diagonal.
    mutating func causalMask() throws(EngineError) -> AscendTensor {
        let side = Self.maskSide
        return try add("causal mask", .causalMask, .int8, rows: side, columns: side)
    }

    /// Cosines and sines of every position, by which rows are looked up.
    mutating func rotaryTables() throws(EngineError) -> (cosines: AscendTensor, sines: AscendTensor) {
        let (rows, columns) = (model.contextLength, model.rotaryDimension)
        return (
            try add("cosines", .cosines, element, rows: rows, columns: columns),
            try add("sines", .sines, element, rows: rows, columns: columns)
        )
    }

    /// (experts, 1) by which a rank that has some of the experts finds its own.
    mutating func expertPlaces(
        _ mixture: ModelConfiguration.Mixture, own: Range<Int>
    ) throws(EngineError) -> AscendTensor {
        try add("places of experts", .expertPlaces(own: own), .int32, rows: mixture.expertCount, columns: 1)
    }

    /// Rows and columns of the mask, as the attention operator demands.
    static let maskSide = 2_048

    // MARK: - Entries

    func part(_ role: TensorRole) throws(EngineError) -> Part {
        let tensor = try checkpoint.tensor(role)
        let own = rank.part(of: tensor, role, model)
        return Part(role: role, tensor: tensor, rows: own.rows, columns: own.columns)
    }

    /// The part of a tensor as one, or each of its heads as often as it is held.
    private func parts(_ role: TensorRole) throws(EngineError) -> [Part] {
        let whole = try part(role)
        guard keyCopies > 1, role.cut == .keyValueOutputs else { return [whole] }
        let all = role.isVector ? whole.columns : whole.rows
        return stride(from: all.lowerBound, to: all.upperBound, by: model.headDimension).flatMap { start in
            let head = start..<start + model.headDimension
            let part = Part(
                role: role, tensor: whole.tensor, rows: role.isVector ? whole.rows : head,
                columns: role.isVector ? head : whole.columns)
            return repeatElement(part, count: keyCopies)
        }
    }

    /// Matrices that multiply the same inputs.
    ///
    /// - Parameter followsSum: whether the inputs are the norm of a sum.
    mutating func linear(
        _ members: [(TensorRole, bias: TensorRole?)], followsSum: Bool = false
    ) throws(EngineError) -> Linear {
        var matrices: [Part] = []
        for member in members { matrices += try parts(member.0) }
        let name = members.map { "\($0.0)" }.joined(separator: ", ")
        let forms = matrices.map(\.tensor.integers)
        guard forms.allSatisfy({ ($0 == nil) == (forms[0] == nil) && $0?.inputs == forms[0]?.inputs }) else {
            throw EngineError(
                .unsupportedModel,
                "\(name): quantized differently, or only in part; the NPU back end multiplies them as one")
        }
        let type = forms[0] == nil ? element : .int8
        let outputs = matrices.reduce(0) { $0 + $1.rows.count }
        let tiles = tiledForms.shape(type, rows: outputs, columns: matrices[0].columns.count)
        let weight = try table(name, matrices, type, tiles)
        return Linear(
            inputs: try inputs(name, matrices, outputs, followsSum), weight: weight,
            bias: try bias(name, members.compactMap(\.bias), outputs), outputs: outputs)
    }

    private mutating func inputs(
        _ name: String, _ matrices: [Part], _ outputs: Int, _ followsSum: Bool
    ) throws(EngineError) -> Linear.Inputs? {
        guard let meaning = matrices[0].tensor.integers else { return nil }
        try chip.checkIntegers(name)
        let scale = try vector("scales of \(name)", .scales(matrices), .float32, count: outputs)
        guard case .fixed(let inputScale, let offset) = meaning.inputs else { return .perToken(scale: scale) }
        let isMine = rank.leads || matrices[0].role.cut != .inputs
        let hasAddends = isMine && matrices.contains { $0.tensor.integers?.addends.isEmpty == false }
        return .fixed(
            quantization: followsSum
                ? try quantizationBehindNorm(name, inputScale, offset, count: matrices[0].columns.count)
                : .alone(
                    factor: try vector("input factor of \(name)", .constant(1 / inputScale), element, count: 1),
                    offset: try vector("input offset of \(name)", .constant(offset), element, count: 1)),
            scale: scale,
            addend: hasAddends
                ? try vector("addends of \(name)", .addends(matrices), .int32, count: outputs) : nil)
    }

    /// The types are those that AddRmsNormQuant wants beside bfloat16 and beside float16.
    private mutating func quantizationBehindNorm(
        _ name: String, _ scale: Float, _ offset: Float, count: Int
    ) throws(EngineError) -> Linear.Fixed {
        let isHalf = element == .float16
        return .behindNorm(
            scales: try vector("input scales of \(name)", .constant(scale), isHalf ? .float32 : element, count: count),
            offsets: try vector("input offsets of \(name)", .constant(offset), isHalf ? .int32 : element, count: count))
    }

    private mutating func bias(
        _ name: String, _ roles: [TensorRole], _ outputs: Int
    ) throws(EngineError) -> AscendTensor? {
        let roles = roles.filter(present.contains)
        guard !roles.isEmpty else { return nil }
        var parts: [Part] = []
        for role in roles { parts += try self.parts(role) }
        parts.removeAll(where: \.columns.isEmpty)
        guard !parts.isEmpty else { return nil }
        precondition(parts.reduce(0) { $0 + $1.columns.count } == outputs, "all of a group have a bias, or none")
        return try vector("bias of \(name)", .tensors(parts), element, count: outputs)
    }

    mutating func table(
        _ name: String, _ parts: [Part], _ element: AscendElement, _ tiles: AscendTileShape? = nil
    ) throws(EngineError) -> AscendTensor {
        try add(
            name, .tensors(parts), element, rows: parts.reduce(0) { $0 + $1.rows.count },
            columns: parts[0].columns.count, tiles)
    }

    mutating func vector(
        _ name: String, _ source: Source, _ element: AscendElement, count: Int
    ) throws(EngineError) -> AscendTensor {
        try add(name, source, element, rows: 1, columns: count).reshaped([.fixed(count)])
    }

    private mutating func add(
        _ name: String, _ source: Source, _ element: AscendElement, rows: Int, columns: Int,
        _ tiles: AscendTileShape? = nil
    ) throws(EngineError) -> AscendTensor {
        let key = Key(name: name, element: element)
        let index = numbers[key] ?? entries.count
        if index == entries.count {
            let offset =
                if let tiles {
                    try layout.reserve(element, tiles.matrices, tiles.elementCount)
                } else {
                    try layout.reserve(element, rows, columns)
                }
            entries.append(
                Entry(
                    name: name, source: source, element: element, rows: rows, columns: columns, offset: offset,
                    tiles: tiles))
            numbers[key] = index
        }
        var tensor = AscendTensor(.weight(index), element, [.fixed(rows), .fixed(columns)])
        tensor.tiles = tiles
        return tensor
    }
}
