/// Finds the factors of `Smoothing` for a model: how far the channels of every layer's inputs reach is seen while the
/// model reads a text, in floats.
package struct Calibration {
    private let checkpoint: any Checkpoint
    private let team: ThreadTeam
    private let tokens: [Int32]

    /// More tokens take longer and change little.
    private static let mostTokens = 512

    /// - Parameter text: what the model reads, from its beginning on.
    /// - Throws: `invalidRequest` for a text without a token.
    init(_ checkpoint: any Checkpoint, text: String, team: ThreadTeam) throws(EngineError) {
        (self.checkpoint, self.team) = (checkpoint, team)
        tokens = Self.tokens(of: text, checkpoint)
        guard !tokens.isEmpty else {
            throw EngineError(
                .invalidRequest, "the calibration text holds no token of the model; give a page of text, or none at all"
            )
        }
    }

    private static func tokens(of text: String, _ checkpoint: any Checkpoint) -> [Int32] {
        let model = checkpoint.configuration
        var tokens: [Int32] = []
        checkpoint.tokenizer.encode(text.utf8Span.span, parseSpecial: false, into: &tokens)
        tokens.removeAll { $0 >= model.vocabularySize }
        guard !tokens.isEmpty else { return [] }
        let beginning = checkpoint.tokenizer.beginningOfSequence.map { [$0] } ?? []
        return Array((beginning + tokens).prefix(min(mostTokens, model.contextLength)))
    }

    /// - Parameter progress: called on this thread with the share of layers done, 0...1.
    /// - Throws: what packing a layer's weights throws.
    func run(progress: (Double) -> Void) throws(EngineError) -> Smoothing {
        let model = checkpoint.configuration
        var smoothing = Smoothing(model)
        var probe = try LayerProbe(checkpoint, tokens: tokens, team: team)
        for layer in model.layers.indices {
            let ranges = try probe.runLayer()
            // What is divided by a site's factors has to be known where the sites before it are balanced.
            for site in [ChannelRanges.Site.hidden, .attended, .feedForward, .attention] {
                try balance(site, ranges[site], layer: layer, &smoothing)
            }
            progress(Double(layer + 1) / Double(model.layerCount))
        }
        return smoothing
    }

    private func balance(
        _ site: ChannelRanges.Site, _ inputs: [Float], layer: Int, _ smoothing: inout Smoothing
    ) throws(EngineError) {
        let layout = smoothing.layout
        guard let range = layout.range(layer, site) else { return }
        var matrices: [(tensor: Tensor, divisors: [Float]?)] = []
        for role in checkpoint.configuration.tensorRoles where !role.isVector {
            guard case .layer(layer, let own) = role, layout.siteBefore(own) == site else { continue }
            matrices.append((try checkpoint.tensor(role), smoothing.rowFactors(role)))
        }
        let columns = ColumnMaxima(team: team)(matrices)
        if site == .attended {
            smoothing.balance(
                layout.largestOfHeads(inputs), layout.largestOfHeads(columns), layer: layer, at: site)
        } else {
            smoothing.balance(Array(inputs.prefix(range.count)), columns, layer: layer, at: site)
        }
    }
}
