package import LMEngine

extension ModelConfiguration {
    /// The shape of a model that only `FakeBackend` runs.
    package static func fake(vocabularySize: Int, contextLength: Int = 512) -> ModelConfiguration {
        ModelConfiguration(
            family: .llama, name: "fake", layerCount: 1, embeddingLength: 2, feedForwardLength: 2, headCount: 1,
            keyValueHeadCount: 1, headDimension: 2, rotaryDimension: 2, rotaryBase: 10_000, rotaryScaling: .none,
            rotaryLayout: .halves, normEpsilon: 1e-5, vocabularySize: vocabularySize, contextLength: contextLength,
            hasAttentionBias: false, tiesEmbeddings: true)
    }
}
