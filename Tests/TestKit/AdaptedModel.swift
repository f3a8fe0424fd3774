package import LMEngine

/// A case of Tests/Goldens/lora.json: a small random model and adapters of it, and what transformers and PEFT compute.
public struct AdaptedModel: Decodable, Sendable, CustomStringConvertible {
    /// The model by itself.
    public let model: FamilyModel
    /// What each adapter makes of it: the configuration is adapter_config.json, the tensors are the adapter's.
    public let adapters: [FamilyModel]

    /// The model's name.
    public var description: String { model.name }

    /// Every case.
    public static func all() throws -> [AdaptedModel] { try Golden.load("lora.json") }

    /// The adapters as the engine reads them, from folders of their own.
    package func load(storage: FamilyModel.Storage = .float32, for model: ModelConfiguration) throws -> [Adapter] {
        try adapters.map { adapter in
            let folder = try adapter.adapterFolder(storage: storage)
            return try Adapter(name: adapter.name, path: folder.path, for: model)
        }
    }
}

extension FamilyModel {
    /// A folder with the adapter that this stands for, as PEFT saves it.
    ///
    /// - Parameters:
    ///   - config: changes adapter_config.json.
    ///   - tensors: changes the tensors before they are written.
    public func adapterFolder(
        storage: Storage = .float32, config edit: (String) -> String = { $0 },
        tensors change: (inout SafetensorsWriter) -> Void = { _ in }
    ) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        try folder.write("adapter_config.json", edit(config))
        var writer = writer(storage: storage)
        change(&writer)
        try folder.write("adapter_model.safetensors", writer.bytes())
        return folder
    }
}
