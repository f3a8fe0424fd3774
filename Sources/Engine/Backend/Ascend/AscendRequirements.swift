/// What a model may have to run on an NPU; everything else is refused by name before a weight is loaded.
enum AscendRequirements {
    /// Fails if the model, or the type its numbers are to have, is beyond the NPU's operators.
    ///
    /// - Throws: `EngineError.unsupportedModel` with what it is and what to use instead.
    static func check(_ model: ModelConfiguration) throws(EngineError) {
        let experts = model.mixture?.expertCount ?? 0
        let choice = model.mixture.flatMap(AscendGating.obstacle)
        let refusals: [(Bool, String)] = [
            (choice != nil, choice ?? ""),
            (experts > 1_024, "\(experts) experts, where at most 1024 are possible"),
            (model.layers.contains { $0.attentionWindow != nil }, "an attention window"),
            (model.attentionSoftcap != nil || model.logitSoftcap != nil, "soft caps"),
            (model.activation != .silu, "an activation other than SiLU"),
            (model.hasPostNorms, "norms behind attention and feed-forward blocks"),
            (model.embeddingScale != 1, "scaled embeddings"),
            (model.headCount > 256, "\(model.headCount) heads, where at most 256 are possible"),
        ]
        let ofHeads = model.latentAttention.map { refusalsOfLatents(model, $0) } ?? refusalsOfHeads(model)
        guard let refusal = (refusals + ofHeads).first(where: \.0) else { return }
        throw EngineError(
            .unsupportedModel,
            "the model has \(refusal.1), which the NPU back end does not run; use --device cpu")
    }

    private static func refusalsOfHeads(_ model: ModelConfiguration) -> [(Bool, String)] {
        let heads = model.headDimension
        let isGrouped = model.headCount != model.keyValueHeadCount
        return [
            (model.rotaryDimension != heads, "heads of which only a part is rotated"),
            (heads % 16 != 0 || heads > 256, "heads of \(heads) elements, where a multiple of 16 up to 256 is needed"),
            (
                !isGrouped && heads != 64 && heads != 128,
                "a key for each query with heads of \(heads) elements, where 64 or 128 are needed"
            ),
            (
                model.keyValueLength > 65_535,
                "keys of \(model.keyValueLength) elements a token, where at most 65535 are possible"
            ),
        ]
    }

    private static func refusalsOfLatents(
        _ model: ModelConfiguration, _ shape: ModelConfiguration.LatentAttention
    ) -> [(Bool, String)] {
        let heads = model.headCount
        return [
            (shape.keyValueRank != 512, "latents of \(shape.keyValueRank) elements, where 512 are needed"),
            (
                model.rotaryDimension != 64,
                "\(model.rotaryDimension) rotated elements beside latents, where 64 are needed"
            ),
            (
                heads > 128 || heads & (heads - 1) != 0,
                "\(heads) heads over latents on each NPU, where 1, 2, 4, 8, 16, 32, 64 or 128 are possible"
            ),
        ]
    }

    /// Fails if a step needs an operator that not every release has, and this machine's has not.
    ///
    /// - Throws: `EngineError.unsupportedModel` with its name, and the release that has it.
    static func check(_ program: AscendProgram, has: (String) -> Bool) throws(EngineError) {
        let kinds = Set(program.trunk.compactMap(\.kind))
        for kind in AscendOperator.allCases where kinds.contains(kind) {
            guard let release = kind.firstRelease, !kind.names.contains(where: has) else { continue }
            throw EngineError(
                .unsupportedModel,
                "the model needs aclnn\(kind.names[0]), which the installed CANN lacks; install \(release) or later, or use "
                    + "--device cpu")
        }
    }

    /// The type that activations, float matrices, keys and values have.
    ///
    /// - Throws: `EngineError.unsupportedModel` for float32.
    static func element(
        of checkpoint: any Checkpoint, dataType: DataType
    ) throws(EngineError) -> AscendElement {
        switch dataType {
        case .bfloat16: return .bfloat16
        case .float16: return .float16
        case .float32:
            throw EngineError(
                .unsupportedModel, "an NPU does not multiply float32; use --dtype bfloat16, or --device cpu")
        case .auto:
            // Block formats carry half scales, but were made from bfloat16 as often as not; the wider range is safe.
            return try checkpoint.tensor(.layer(0, .query)).type == .f16 ? .float16 : .bfloat16
        }
    }
}
