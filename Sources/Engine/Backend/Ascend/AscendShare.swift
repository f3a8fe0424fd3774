/// What one NPU holds of a model, and what it computes.
struct AscendShare: Sendable {
    let rank: AscendRank
    /// The shape of its part.
    let model: ModelConfiguration
    let weights: AscendWeights
    let program: AscendProgram

    /// Whether some of its matrices lie in tiles.
    var hasTiles: Bool { weights.entries.contains { $0.tiles != nil } }

    /// - Throws: `EngineError.unsupportedModel` for a part that the operators do not compute, or that cannot be cut so;
    ///   `invalidModel` for what the checkpoint lacks.
    init(
        _ checkpoint: any Checkpoint, element: AscendElement, _ rank: AscendRank, _ chip: AscendChip,
        _ tiledForms: AscendTiledForms
    ) throws(EngineError) {
        self.rank = rank
        var model = rank.part(of: checkpoint.configuration)
        try AscendRequirements.check(model)
        let copies = chip.attendsByRows ? model.headCount / model.keyValueHeadCount : 1
        model.keyValueHeadCount *= copies
        self.model = model
        var weights = AscendWeights(
            checkpoint, element: element, rank: rank, chip: chip, keyCopies: copies, tiledForms: tiledForms)
        program = try AscendProgram(model, &weights)
        self.weights = weights
    }
}
