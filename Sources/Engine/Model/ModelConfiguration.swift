/// The shape of a decoder-only transformer, whatever file it was read from.
public struct ModelConfiguration: Sendable, Equatable {
    /// Families whose differences the forward pass knows.
    public enum Family: String, Sendable, CaseIterable {
        case llama
        case qwen2
    }

    /// Which elements of a head the rotary embedding turns together.
    public enum RotaryLayout: Sendable {
        /// Elements (2i, 2i+1): how GGUF files store Llama.
        case interleaved
        /// Elements (i, i + d/2): Qwen2 and every Hugging Face folder.
        case halves
    }

    /// How positions beyond the trained context are scaled.
    public enum RotaryScaling: Sendable, Equatable {
        case none
        /// Positions divided by `factor`.
        case linear(factor: Float)
        /// Per-frequency divisors from the file (`rope_freqs.weight`, Llama 3.1); count is rotary dimension / 2.
        case perFrequency([Float])
    }

    /// Which family's block the layers are.
    public var family: Family
    /// The name the file gives itself; empty when it gives none.
    public var name: String
    /// Number of decoder layers.
    public var layerCount: Int
    /// Width of the residual stream.
    public var embeddingLength: Int
    /// Width of the feed-forward hidden layer.
    public var feedForwardLength: Int
    /// Number of query heads.
    public var headCount: Int
    /// Number of key/value heads; divides `headCount`.
    public var keyValueHeadCount: Int
    /// Elements of one head.
    public var headDimension: Int
    /// Leading elements of each head that are rotated; even.
    public var rotaryDimension: Int
    /// Base of the rotary frequencies.
    public var rotaryBase: Float
    /// Scaling of rotary frequencies.
    public var rotaryScaling: RotaryScaling
    /// Which elements are rotated together.
    public var rotaryLayout: RotaryLayout
    /// Epsilon of every RMS norm.
    public var normEpsilon: Float
    /// Number of rows of the embedding, and of logits.
    public var vocabularySize: Int
    /// Tokens the model was trained to attend over.
    public var contextLength: Int
    /// Whether query, key and value projections carry a bias (Qwen2).
    public var hasAttentionBias: Bool
    /// Whether the output projection is the embedding itself.
    public var tiesEmbeddings: Bool

    /// Describes a network; nothing is checked here, checkpoints check what they read.
    package init(
        family: Family, name: String, layerCount: Int, embeddingLength: Int, feedForwardLength: Int, headCount: Int,
        keyValueHeadCount: Int, headDimension: Int, rotaryDimension: Int, rotaryBase: Float,
        rotaryScaling: RotaryScaling, rotaryLayout: RotaryLayout, normEpsilon: Float, vocabularySize: Int,
        contextLength: Int, hasAttentionBias: Bool, tiesEmbeddings: Bool
    ) {
        self.family = family
        self.name = name
        self.layerCount = layerCount
        self.embeddingLength = embeddingLength
        self.feedForwardLength = feedForwardLength
        self.headCount = headCount
        self.keyValueHeadCount = keyValueHeadCount
        self.headDimension = headDimension
        self.rotaryDimension = rotaryDimension
        self.rotaryBase = rotaryBase
        self.rotaryScaling = rotaryScaling
        self.rotaryLayout = rotaryLayout
        self.normEpsilon = normEpsilon
        self.vocabularySize = vocabularySize
        self.contextLength = contextLength
        self.hasAttentionBias = hasAttentionBias
        self.tiesEmbeddings = tiesEmbeddings
    }

    /// Elements of one token's keys (or values) in one layer.
    public var keyValueLength: Int { keyValueHeadCount * headDimension }
    /// Elements of one token's queries in one layer.
    public var queryLength: Int { headCount * headDimension }
}
