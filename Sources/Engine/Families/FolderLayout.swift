package import LMJSON

/// What a folder's `config.json` says: which network it holds, and where in the folder each of its tensors is.
package struct FolderLayout {
    /// The shape of the network.
    package let configuration: ModelConfiguration
    /// Whether `quantization_config` says that matrices are 8-bit integers.
    let isQuantized: Bool
    private let reader: any ModelFamily.Type

    /// - Parameters:
    ///   - document: the parsed `config.json`.
    ///   - path: that file, for messages.
    /// - Throws: `EngineError.invalidModel` for values that contradict or exceed a limit, `unsupportedModel` for what
    ///   the engine does not run; both name file and key.
    package init(_ document: JSON, path: String) throws(EngineError) {
        let file = try ConfigurationFile(document, path: path)
        try Self.rejectOtherModels(file)
        isQuantized = try Self.readQuantization(file)
        guard let name = try file.string("model_type") else { throw file.invalid("model_type", "is missing") }
        guard let family = ModelConfiguration.Family(rawValue: name) else {
            let supported = ModelConfiguration.Family.allCases.map(\.rawValue).joined(separator: ", ")
            throw file.unsupported("model_type", "'\(name.printable)'; supported are \(supported)")
        }
        reader = family.reader
        configuration = try reader.configuration(file)
    }

    /// Where the tensor with that role is.
    package func source(of role: TensorRole) -> TensorSource { reader.source(of: role, in: configuration) }

    /// Whether a tensor of that name may be in the folder although no role asks for it.
    package func ignores(tensor name: String) -> Bool { reader.ignores(tensor: name, in: configuration) }

    /// Models that do more than continue text, or less.
    private static func rejectOtherModels(_ file: ConfigurationFile) throws(EngineError) {
        if file.value("vision_config") != nil {
            throw file.unsupported("vision_config", "models that see are not supported; use a text model")
        }
        if let name = try file.strings("architectures")?.first, !name.hasSuffix("ForCausalLM") {
            throw file.unsupported("architectures", "'\(name.printable)'; supported are those that end in ForCausalLM")
        }
    }

    /// Whether matrices are 8-bit integers; other quantizations are refused.
    private static func readQuantization(_ file: ConfigurationFile) throws(EngineError) -> Bool {
        guard let quantization = try file.nested("quantization_config") else { return false }
        try CompressedTensors.check(quantization)
        return true
    }
}
