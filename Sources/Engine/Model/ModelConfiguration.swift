/// The shape of a decoder-only transformer, whatever file it was read from.
///
/// One block serves every family. Each difference between families is a property here, named after what it does, and
/// its default is its absence; `Families/` sets them.
public struct ModelConfiguration: Sendable, Equatable {
    /// Families whose files can be read.
    public enum Family: String, Sendable, CaseIterable {
        case llama
        case qwen2
        case qwen3
        case mistral
        case phi3
        case gemma2
        case gemma3 = "gemma3_text"
        case qwen2MoE = "qwen2_moe"
        case qwen3MoE = "qwen3_moe"
        case mixtral
        case deepseekV2 = "deepseek_v2"
        case deepseekV3 = "deepseek_v3"
    }

    /// Which elements of a head the rotary embedding turns together.
    public enum RotaryLayout: Sendable {
        /// Elements (2i, 2i+1): how GGUF files store Llama, and DeepSeek.
        case interleaved
        /// Elements (i, i + d/2): nearly every Hugging Face folder.
        case halves
    }

    /// Which family's names and files the model has; the forward pass never asks.
    public var family: Family
    /// The name the file gives itself; empty when it gives none.
    public var name: String
    /// What each decoder layer does differently from its neighbours, in order.
    public var layers: [Layer]
    /// Width of the residual stream.
    public var embeddingLength: Int
    /// Width of the hidden layer of dense feed-forward blocks.
    public var feedForwardLength: Int
    /// Number of query heads.
    public var headCount: Int
    /// Number of key/value heads; divides `headCount`.
    public var keyValueHeadCount: Int
    /// Elements of one head's query and key.
    public var headDimension: Int
    /// Elements of each head that are rotated; even. The leading ones, but with `latentAttention` the last.
    public var rotaryDimension: Int
    /// Base of the rotary frequencies.
    public var rotaryBase: Float
    /// Scaling of rotary frequencies.
    public var rotaryScaling: RotaryScaling
    /// Base of the rotary frequencies of layers with an attention window, which are not scaled; nil when those of all
    /// layers are alike (Gemma 3 has two kinds).
    public var windowRotaryBase: Float?
    /// Which elements are rotated together.
    public var rotaryLayout: RotaryLayout
    /// Epsilon of every RMS norm but those of latents.
    public var normEpsilon: Float
    /// What is added to the stored weights of every norm: 1 in Gemma's folders.
    public var normWeightOffset: Float = 0
    /// Number of rows of the embedding, and of logits.
    public var vocabularySize: Int
    /// Tokens the model was trained to attend over.
    public var contextLength: Int
    /// Whether query, key and value projections carry a bias (Qwen2).
    public var hasAttentionBias: Bool
    /// Whether the projection behind attention carries a bias.
    public var hasAttentionOutputBias = false
    /// Whether the dense feed-forward block's matrices carry a bias.
    public var hasFeedForwardBias = false
    /// Whether each head's query and key pass an RMS norm before they are rotated (Qwen3, Gemma 3).
    public var hasQueryKeyNorm = false
    /// Whether what attention and feed-forward yield passes an RMS norm before it is added (Gemma 2 and 3).
    public var hasPostNorms = false
    /// Whether the output projection is the embedding itself.
    public var tiesEmbeddings: Bool
    /// What embeddings are multiplied by; 1 but for Gemma.
    public var embeddingScale: Float = 1
    /// What products of queries and keys are multiplied by.
    public var attentionScale: Float
    /// Bound c of scores, by c · tanh(score / c) before the mask; nil for none (Gemma 2).
    public var attentionSoftcap: Float?
    /// Bound c of logits, by c · tanh(logit / c); nil for none (Gemma 2).
    public var logitSoftcap: Float?
    /// The function between the feed-forward block's matrices.
    public var activation: Activation = .silu
    /// Attention over a compressed latent instead of keys and values; nil for the common kind.
    public var latentAttention: LatentAttention?
    /// The experts of layers that have them; nil for dense models.
    public var mixture: Mixture?

    /// Describes a network of equal layers without any of the differences that have a default; nothing is checked
    /// here, readers check what they read.
    package init(
        family: Family, name: String, layerCount: Int, embeddingLength: Int, feedForwardLength: Int, headCount: Int,
        keyValueHeadCount: Int, headDimension: Int, rotaryDimension: Int, rotaryBase: Float,
        rotaryScaling: RotaryScaling, rotaryLayout: RotaryLayout, normEpsilon: Float, vocabularySize: Int,
        contextLength: Int, hasAttentionBias: Bool, tiesEmbeddings: Bool
    ) {
        self.family = family
        self.name = name
        layers = [Layer](repeating: Layer(), count: layerCount)
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
        attentionScale = 1 / Float(headDimension).squareRoot()
    }

    /// Number of decoder layers.
    public var layerCount: Int { layers.count }
    /// Elements of one token's keys in one layer.
    public var keyValueLength: Int { keyValueHeadCount * headDimension }
    /// Elements of one token's queries in one layer.
    public var queryLength: Int { headCount * headDimension }
    /// Elements of one head's value.
    public var valueDimension: Int { latentAttention?.valueDimension ?? headDimension }
    /// Elements of one token's values after attention, all heads together.
    public var attendedLength: Int { headCount * valueDimension }
}
