internal import FoundationEssentials

/// Recorded results in Tests/Goldens; the scripts beside them say how they were made.
public enum Golden {
    /// Decodes a JSON file.
    public static func load<T: Decodable>(_ name: String, as type: T.Type = T.self) throws -> T {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let file = folder.appending(path: "Goldens").appending(path: name)
        return try JSONDecoder().decode(type, from: Data(contentsOf: file))
    }
}

/// The path of the model that larger tests run on: environment variable `LM_TEST_MODEL`, the file
/// SmolLM2-135M-Instruct.Q4_1.gguf. Tests that need it are skipped without.
public let testModelPath = ProcessInfo.processInfo.environment["LM_TEST_MODEL"]
