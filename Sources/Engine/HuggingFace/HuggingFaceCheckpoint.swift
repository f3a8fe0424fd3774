internal import LMJSON

/// A model in a Hugging Face folder: `config.json`, safetensors files, `tokenizer.json` and what lies beside them.
///
/// Files are mapped and headers read; the weights themselves are not touched.
package struct HuggingFaceCheckpoint: Checkpoint {
    /// The shape of the network.
    package let configuration: ModelConfiguration
    /// The tokenizer of `tokenizer.json`.
    package let tokenizer: any Tokenizer
    /// The chat template and the tokens it writes, if the folder has one.
    package let chatTemplate: ChatTemplateSource?
    /// Bytes the weights take on disk.
    package let weightByteCount: Int
    private let folder: ModelFolder
    private let tensors: [TensorRole: Tensor]

    /// Reads the model from a folder.
    ///
    /// - Throws: `invalidModel` or `unsupportedModel` naming the file, and the key or tensor in it.
    package init(_ folder: ModelFolder) throws(EngineError) {
        guard let document = try folder.json("config.json") else {
            throw EngineError(
                .invalidModel,
                "\(folder.path): config.json is missing; this is no folder of a model, or its download is incomplete")
        }
        let layout = try FolderLayout(document, path: folder.path(of: "config.json"))
        let texts = FolderTexts(folder, configuration: document)
        let quantization = try FolderQuantization(folder, isCompressed: layout.isQuantized)
        let weights = try WeightFiles(folder, stems: quantization.stems)
        tensors = try FolderTensors(layout, weights, quantization).tensors()
        tokenizer = try texts.tokenizer(rows: layout.configuration.vocabularySize)
        chatTemplate = try texts.chatTemplate()
        configuration = layout.configuration
        weightByteCount = tensors.values.reduce(0) { $0 + $1.bytes.count }
        self.folder = folder
    }

    /// The tensor with that role.
    package func tensor(_ role: TensorRole) throws(EngineError) -> Tensor {
        guard let tensor = tensors[role] else {
            throw EngineError(.invalidModel, "\(folder.path): the model has no tensor for \(role)")
        }
        return tensor
    }
}
