/// What a tensor is for, independent of the names a file format gives it.
public enum TensorRole: Sendable, Hashable {
    /// (vocabulary, embedding)
    case tokenEmbedding
    /// (embedding): weight of the norm before the output projection
    case outputNorm
    /// (vocabulary, embedding); absent when embeddings are tied
    case output
    /// A tensor of decoder layer `layer`.
    case layer(Int, LayerRole)

    /// The tensors of one decoder layer; shapes are (outputs, inputs).
    public enum LayerRole: String, Sendable, CaseIterable {
        case attentionNorm
        case query
        case key
        case value
        case queryBias
        case keyBias
        case valueBias
        case attentionOutput
        case feedForwardNorm
        case gate
        case up
        case down
    }
}

/// A model as read from disk: its shape, its weights and its text parts, not yet arranged for any device.
public protocol Checkpoint: Sendable {
    /// The shape of the network.
    var configuration: ModelConfiguration { get }
    /// The tokenizer the file carries.
    var tokenizer: any Tokenizer { get }
    /// The chat template's source text, if the file carries one.
    var chatTemplateSource: String? { get }
    /// Bytes the weights take on disk.
    var weightByteCount: Int { get }
    /// The tensor with that role, its shape already checked against `configuration`.
    ///
    /// - Throws: `EngineError.invalidModel` naming the tensor when it is absent.
    func tensor(_ role: TensorRole) throws(EngineError) -> Tensor
}
