/// What the products of signed bytes mean in W8A8: with weights `w` of a row and quantized inputs `q`,
/// y = (w · q + addend) · scale · (scale of the inputs), the sum exact in 32 bits.
package struct IntegerProduct: Sendable, Equatable {
    /// How inputs become signed bytes.
    package enum Inputs: Sendable, Equatable {
        /// By their own largest magnitude: s = max|x| / 127, q = x / s rounded to nearest even.
        case perToken
        /// q = x / scale rounded to nearest even, plus offset, within -128...127. The inputs' scale is part of the
        /// rows' `scales`, and counts as 1 above.
        case fixed(scale: Float, offset: Float)
    }

    /// How inputs become signed bytes.
    package var inputs: Inputs
    /// One per row.
    package var scales: [Float]
    /// One per row, or none for zeros.
    package var addends: [Int32]

    /// Weights with a scale per row, for inputs with a scale per token.
    package init(scales: [Float]) {
        self.init(inputs: .perToken, scales: scales, addends: [])
    }

    /// Creates a meaning from its parts.
    package init(inputs: Inputs, scales: [Float], addends: [Int32]) {
        self.inputs = inputs
        self.scales = scales
        self.addends = addends
    }

    /// That of some of the rows.
    package func rows(_ range: Range<Int>) -> IntegerProduct {
        IntegerProduct(
            inputs: inputs, scales: Array(scales[range]), addends: addends.isEmpty ? [] : Array(addends[range]))
    }

    /// What a weight of that row is multiplied by to be the number it stands for.
    package func weightScale(_ row: Int) -> Float {
        switch inputs {
        case .perToken: scales[row]
        case .fixed(let scale, _): scales[row] / scale
        }
    }

    /// Most inputs whose sum fits 32 bits.
    package static let inputCount = (1 << 17) - 1
}

extension Checkpoint {
    /// Refuses models whose matrices need the same inputs in different forms.
    ///
    /// - Throws: `EngineError.unsupportedModel` naming two of them.
    func requireEqualInputs() throws(EngineError) {
        let present = Set(configuration.tensorRoles)
        for layer in configuration.layers.indices {
            func roles(_ roles: [TensorRole.LayerRole]) -> [TensorRole] { roles.map { .layer(layer, $0) } }
            let isLatent = configuration.latentAttention?.queryRank != nil
            let experts = 0..<(configuration.layers[layer].isMixture ? configuration.mixture?.expertCount ?? 0 : 0)
            let groups: [[TensorRole]] = [
                roles(isLatent ? [.queryLatent, .keyValueLatent] : [.query, .key, .value, .keyValueLatent]),
                roles([.gate, .up]),
                roles([.router, .sharedGate, .sharedUp, .sharedWeight])
                    + experts.flatMap { [.expert(layer, $0, .gate), .expert(layer, $0, .up)] },
                experts.map { .expert(layer, $0, .down) },
            ]
            for group in groups { try requireEqualInputs(group.filter(present.contains)) }
        }
    }

    private func requireEqualInputs(_ roles: [TensorRole]) throws(EngineError) {
        var first: (form: InputForm.Quantization, name: String)?
        for role in roles {
            let tensor = try tensor(role)
            let form = InputForm(tensor, packedIn: tensor.type.format).quantization
            guard form != .none else { continue }
            if let first, first.form != form {
                throw EngineError(
                    .unsupportedModel,
                    "tensors '\(first.name.printable)' and '\(tensor.name.printable)' multiply the same inputs but "
                        + "quantize them differently; this mix is not supported")
            }
            first = (form, tensor.name)
        }
    }
}
