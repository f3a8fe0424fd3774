/// A model as read from disk: its shape, its weights and its text parts, not yet arranged for any device.
public protocol Checkpoint: Sendable {
    /// The shape of the network.
    var configuration: ModelConfiguration { get }
    /// The tokenizer the file carries.
    var tokenizer: any Tokenizer { get }
    /// The chat template and the tokens it writes, if the file carries one.
    var chatTemplate: ChatTemplateSource? { get }
    /// Bytes the weights take on disk.
    var weightByteCount: Int { get }
    /// The tensor with that role, its shape already checked against `configuration`.
    ///
    /// - Throws: `EngineError.invalidModel` naming the tensor when it is absent.
    func tensor(_ role: TensorRole) throws(EngineError) -> Tensor
    /// An adapter made for the model, as it is to be used with the tensors at hand.
    func fitted(_ adapter: Adapter) -> Adapter
}

extension Checkpoint {
    /// For tensors that are the model's own.
    public func fitted(_ adapter: Adapter) -> Adapter { adapter }
}
