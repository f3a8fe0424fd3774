internal import Glibc

/// How a `config.json` says that positions are encoded: `rope_theta` and `rope_scaling`, or both in `rope_parameters`.
extension ConfigurationFile {
    /// The object with the rotary parameters, if there is one.
    func rotaryParameters() throws(EngineError) -> ConfigurationFile? {
        for key in ["rope_parameters", "rope_scaling"] {
            guard let parameters = try nested(key) else { continue }
            // Families with two kinds of layers nest the parameters of each.
            return try parameters.nested("full_attention") ?? parameters
        }
        return nil
    }

    /// A number that may stand with the rotary parameters or beside them.
    private func rotaryNumber(_ key: String) throws(EngineError) -> Float? {
        if let number = try rotaryParameters()?.positiveFloat(key) { return number }
        return try positiveFloat(key)
    }

    /// Base of the frequencies.
    func rotaryBase(default base: Float) throws(EngineError) -> Float {
        let key = "rope_theta"
        let base = try rotaryNumber(key) ?? base
        guard base > 1 else { throw invalid(key, "must be above 1") }
        return base
    }

    /// Elements of a head that are rotated.
    func rotaryDimension(of headDimension: Int) throws(EngineError) -> Int {
        let key = "partial_rotary_factor"
        let share = try rotaryNumber(key) ?? 1
        guard share <= 1 else { throw invalid(key, "must be at most 1") }
        let dimension = Int(Float(headDimension) * share)
        guard dimension > 0, dimension % 2 == 0 else {
            throw invalid(key, "leaves \(dimension) of \(headDimension) elements, which must be even and above 0")
        }
        return dimension
    }

    /// Scaling of the frequencies of `rotaryDimension` elements of a head.
    func rotaryScaling(
        rotaryDimension: Int, contextLength: Int
    ) throws(EngineError) -> ModelConfiguration.RotaryScaling {
        guard let parameters = try rotaryParameters() else { return .none }
        func originalContext() throws(EngineError) -> Int {
            let key = "original_max_position_embeddings"
            let range = 2...ModelLimits.context.upperBound
            if let context = try integer(key, in: range) { return context }
            return try parameters.integer(key, in: range) ?? contextLength
        }
        let key = parameters.value("rope_type") == nil ? "type" : "rope_type"
        switch try parameters.string(key) {
        case nil, "default": return .none
        case "linear": return .linear(factor: try parameters.requiredPositiveFloat("factor"))
        case "dynamic":
            guard rotaryDimension > 2 else { throw parameters.unsupported(key, "dynamic needs more than one pair") }
            return .dynamic(factor: try parameters.requiredPositiveFloat("factor"), originalContext: contextLength)
        case "llama3": return try parameters.llama3(originalContext())
        case "yarn": return .yarn(try parameters.yarn(originalContext(), contextLength: contextLength))
        case "longrope", "su":
            return try parameters.longrope(
                originalContext(), contextLength: contextLength, pairs: rotaryDimension / 2)
        case let kind?:
            throw parameters.unsupported(
                key,
                "'\(kind.printable)'; supported are default, linear, dynamic, llama3, yarn and longrope")
        }
    }

    private func llama3(_ originalContext: Int) throws(EngineError) -> ModelConfiguration.RotaryScaling {
        let low = try requiredPositiveFloat("low_freq_factor")
        let high = try requiredPositiveFloat("high_freq_factor")
        guard low < high else { throw invalid("high_freq_factor", "must be above low_freq_factor \(low)") }
        return .llama3(
            factor: try requiredPositiveFloat("factor"), lowFactor: low, highFactor: high,
            originalContext: originalContext)
    }

    private func yarn(
        _ originalContext: Int, contextLength: Int
    ) throws(EngineError) -> ModelConfiguration.Yarn {
        let factor = try positiveFloat("factor") ?? Float(contextLength) / Float(originalContext)
        let fast = try positiveFloat("beta_fast") ?? 32
        let slow = try positiveFloat("beta_slow") ?? 1
        guard slow < fast else { throw invalid("beta_fast", "must be above beta_slow \(slow)") }
        return ModelConfiguration.Yarn(
            factor: factor, fastTurns: fast, slowTurns: slow, originalContext: originalContext,
            roundsBounds: try bool("truncate") ?? true, magnitude: try yarnMagnitude(factor: factor))
    }

    private func yarnMagnitude(factor: Float) throws(EngineError) -> Float {
        if let magnitude = try positiveFloat("attention_factor") { return magnitude }
        guard let scale = try positiveFloat("mscale", zeroIsAbsent: true),
            let all = try positiveFloat("mscale_all_dim", zeroIsAbsent: true)
        else { return yarnLogarithm(of: factor, times: 1) }
        return yarnLogarithm(of: factor, times: scale) / yarnLogarithm(of: factor, times: all)
    }

    private func longrope(
        _ originalContext: Int, contextLength: Int, pairs: Int
    ) throws(EngineError) -> ModelConfiguration.RotaryScaling {
        let factor = try positiveFloat("factor") ?? Float(contextLength) / Float(originalContext)
        let derived = factor <= 1 ? 1 : (1 + log(factor) / log(Float(originalContext))).squareRoot()
        return .longrope(
            short: try requiredPositiveFloats("short_factor", count: pairs),
            long: try requiredPositiveFloats("long_factor", count: pairs), originalContext: originalContext,
            magnitude: try positiveFloat("attention_factor") ?? derived)
    }
}

/// How much YaRN sharpens attention: 1 + scale/10 · ln(factor).
func yarnLogarithm(of factor: Float, times scale: Float) -> Float {
    factor <= 1 ? 1 : Float(0.1 * Double(scale) * log(Double(factor)) + 1)
}
