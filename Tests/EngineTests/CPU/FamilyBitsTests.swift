import LMEngine
import TestKit
import Testing

/// Models that differ from Llama in what the processor's kernels and buffers must get right over long contexts.
private enum Variant: String {
    /// Windows shorter and longer than a segment of attention, bounds, norms everywhere, two rotary bases.
    case windows
    /// Routed experts in groups and a shared one with a weight of its own.
    case experts
    /// Keys and values in a latent whose length is no multiple of 16.
    case latent

    var configuration: ModelConfiguration {
        var model = ModelConfiguration(
            family: .llama, name: rawValue, layerCount: 3, embeddingLength: 256, feedForwardLength: 256, headCount: 8,
            keyValueHeadCount: 2, headDimension: 40, rotaryDimension: 40, rotaryBase: 10000, rotaryScaling: .none,
            rotaryLayout: .interleaved, normEpsilon: 1e-5, vocabularySize: 301, contextLength: 1024,
            hasAttentionBias: false, tiesEmbeddings: true)
        switch self {
        case .windows:
            model.layers[0].attentionWindow = 50
            model.layers[1].attentionWindow = 270
            model.windowRotaryBase = 500
            model.hasQueryKeyNorm = true
            model.hasPostNorms = true
            model.attentionSoftcap = 5
            model.logitSoftcap = 10
            model.activation = .geluTanh
            model.embeddingScale = 16
        case .experts:
            var mixture = ModelConfiguration.Mixture(expertCount: 12, expertsPerToken: 3, expertLength: 96)
            mixture.sharedLength = 64
            mixture.hasSharedGate = true
            mixture.hasCorrectionBias = true
            (mixture.groupCount, mixture.groupsPerToken, mixture.groupScore) = (4, 2, .bestTwo)
            model.mixture = mixture
            for layer in 1..<3 { model.layers[layer].isMixture = true }
        case .latent:
            model.keyValueHeadCount = model.headCount
            model.latentAttention = ModelConfiguration.LatentAttention(
                queryRank: 96, keyValueRank: 72, plainDimension: 24, valueDimension: 32)
            model.rotaryDimension = 16
        }
        return model
    }
}

@Suite struct FamilyBitsTests {
    // The heads' matrices of latents have no whole blocks.
    private static let cases: [(Variant, TensorType, KeyValueDataType)] = [
        (.windows, .f32, .auto), (.windows, .f32, .int8), (.windows, .q8_0, .auto), (.experts, .f32, .auto),
        (.experts, .q8_0, .auto), (.latent, .f16, .auto),
    ]

    @Test(arguments: cases)
    private func `logits are the reference's, and the same bits alone, batched, chunked and on more threads`(
        variant: Variant, type: TensorType, cache: KeyValueDataType
    ) throws {
        let checkpoint = QuantizedCheckpoint(variant.configuration, type)
        let sequences = unlikeSequences(9, length: 330, vocabulary: 301)
        let backends = try [1, 2].map {
            try CPUBackend(checkpoint: checkpoint, threads: $0, keyValueDataType: cache)
        }
        for backend in backends { try backend.allocateKeyValueCache(blockCount: 9 * 21, blockSize: 16) }
        let whole = batch([sequences[5]], rows: 0..<330)
        let expected = try backends[0].forward(whole)[0]

        if variant == .latent {
            // 72 + 16 elements, padded, as keys and as values.
            let bytes = try CPUBackend.keyValueBytesPerToken(of: checkpoint, dataType: .float16)
            #expect(bytes == 3 * 96 * 2 * 2)
        }
        // A rounded key may change a choice of experts; FamilyTests compare those where none is close.
        if variant != .experts, type != .q8_0 {
            let reference = try ReferenceBackend(checkpoint: checkpoint, keyValueDataType: cache)
            try reference.allocateKeyValueCache(blockCount: 21, blockSize: 16)
            #expect(relativeError(expected, reference.forward(whole)) < (cache == .int8 ? 0.005 : 0.003))
        }
        for backend in backends {
            for chunk in [47, 330] {
                var logits: [Float] = []
                for start in stride(from: 0, to: 330, by: chunk) {
                    logits = try backend.forward(batch([sequences[5]], rows: start..<min(330, start + chunk)))[0]
                }
                #expect(logits == expected, "\(backend.summary), chunks of \(chunk)")
            }
            _ = try backend.forward(batch(sequences, rows: 0..<329))
            #expect(try backend.forward(batch(sequences, rows: 329..<330))[5] == expected, "\(backend.summary), 9")
            _ = try backend.forward(batch(Array(sequences[3..<7]), rows: 0..<329))
            let few = try backend.forward(batch(Array(sequences[3..<7]), rows: 329..<330))
            #expect(few[2] == expected, "\(backend.summary), 4")
        }
    }
}
