extension AscendWeights {
    /// A matrix, or several that multiply the same inputs, of every expert of a layer that the rank has.
    struct Experts: Sendable {
        /// (experts, inputs, outputs); elements lie as those of (experts, outputs, inputs)
        let weight: AscendTensor
        /// (experts, outputs) what sums of integers are multiplied by, beside the scale of each row; nil for floats
        let scale: AscendTensor?
    }

    /// What is added to the scores of a layer's experts for choosing, exactly as the file has it: (experts).
    ///
    /// - Throws: as `Checkpoint.tensor`.
    mutating func expertBias(_ layer: Int) throws(EngineError) -> AscendTensor {
        let part = try part(.layer(layer, .routerCorrection))
        return try vector("\(part.role)", .tensors([part]), .float32, count: part.columns.count)
    }

    /// Matrices of all experts of a layer that the rank has.
    ///
    /// - Throws: `EngineError.unsupportedModel` for experts that are quantized differently, or whose inputs have a fixed
    ///   scale; as `Checkpoint.tensor`.
    mutating func experts(
        _ layer: Int, _ mixture: ModelConfiguration.Mixture, _ roles: [TensorRole.ExpertRole]
    ) throws(EngineError) -> Experts {
        var parts: [Part] = []
        let own = rank.experts(of: mixture)
        for expert in own {
            for role in roles { parts.append(try part(.expert(layer, expert, role))) }
        }
        let name = "\(parts[0].role) and its like"
        let inputs = parts[0].tensor.integers?.inputs
        guard parts.allSatisfy({ $0.tensor.integers?.inputs == inputs }), inputs == nil || inputs == .perToken else {
            throw EngineError(
                .unsupportedModel,
                "\(name): quantized differently, or for inputs of a fixed scale; the NPU back end quantizes those of "
                    + "experts row by row")
        }
        let (width, outputs) = (parts[0].columns.count, parts[..<roles.count].reduce(0) { $0 + $1.rows.count })
        let type = inputs == nil ? element : .int8
        let tiles = tiledForms.shape(type, matrices: own.count, rows: outputs, columns: width, isGrouped: true)
        let table = try table(name, parts, type, tiles)
        var weight = table.reshaped([.fixed(own.count), .fixed(width), .fixed(outputs)])
        weight.strides = [outputs * width, 1, width]
        let scale =
            inputs == nil
            ? nil
            : try vector("scales of \(name)", .scales(parts), .float32, count: own.count * outputs)
                .reshaped([.fixed(own.count), .fixed(outputs)])
        return Experts(weight: weight, scale: scale)
    }
}
