extension Adapter {
    private static let configurationFile = "adapter_config.json"
    private static let weightFile = "adapter_model.safetensors"

    /// Reads an adapter from a folder as PEFT saves it: `adapter_config.json` and `adapter_model.safetensors`. The
    /// weights are mapped, and read once to see that they are finite.
    ///
    /// - Parameters:
    ///   - name: what requests call it.
    ///   - model: the model it was made for, from a folder or a GGUF file.
    /// - Throws: `modelNotFound` when there is no such folder; `invalidModel` or `unsupportedModel` naming the file, and
    ///   the key or tensor in it.
    public init(name: String, path: String, for model: ModelConfiguration) throws(EngineError) {
        let folder = try ModelFolder(path: path)
        let names = try folder.names()
        guard let document = try folder.json(Self.configurationFile) else {
            throw EngineError(
                .invalidModel, "\(folder.path): \(Self.configurationFile) is missing; this is no folder of an adapter")
        }
        guard names.contains(Self.weightFile) else {
            let pickled = names.contains("adapter_model.bin")
            throw EngineError(
                .invalidModel,
                "\(folder.path): \(Self.weightFile) is missing"
                    + (pickled
                        ? "; adapter_model.bin is a program rather than data and is not read: save the adapter as "
                            + "safetensors, as PEFT does by default"
                        : "; the download is incomplete"))
        }
        let configuration = try AdapterConfiguration(
            ConfigurationFile(document, path: folder.path(of: Self.configurationFile)))
        let file = try SafetensorsFile(folder.file(Self.weightFile))
        self.init(name: name, products: try AdapterTensors(file, configuration, model).products())
    }
}
