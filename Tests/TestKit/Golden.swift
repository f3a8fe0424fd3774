internal import FoundationEssentials

/// Recorded results in Tests/Goldens; the scripts beside them say how they were made.
public enum Golden {
    /// Decodes a JSON file.
    public static func load<T: Decodable>(_ name: String, as type: T.Type = T.self) throws -> T {
        try JSONDecoder().decode(type, from: Data(contentsOf: file(name)))
    }

    /// Reads a file of text.
    public static func text(_ name: String) throws -> String {
        try String(contentsOf: file(name), encoding: .utf8)
    }

    private static func file(_ name: String) -> URL {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        return folder.appending(path: "Goldens").appending(path: name)
    }

    /// The bytes that base64 text stands for; nil when it is none.
    public static func base64(_ text: String) -> [UInt8]? { Data(base64Encoded: text).map { Array($0) } }

    /// The text of a file.
    public static func text(path: String) throws -> String {
        try String(contentsOf: URL(filePath: path), encoding: .utf8)
    }
}

/// The path of the model that larger tests run on: environment variable `LM_TEST_MODEL`, the file
/// SmolLM2-135M-Instruct.Q4_1.gguf. Tests that need it are skipped without.
public let testModelPath = ProcessInfo.processInfo.environment["LM_TEST_MODEL"]

/// The path of Qwen's tokenizer.json, as `scripts/test` makes it: environment variable `LM_TEST_QWEN`. The test that needs
/// it is skipped without.
public let testQwenPath = ProcessInfo.processInfo.environment["LM_TEST_QWEN"]
