import Foundation
import TestKit

/// `swift run -c release model-folder GGUF FOLDER [float32|bfloat16|float16]`: writes SmolLM2's file as the Hugging Face
/// folder it would be, for comparisons of number formats.
@main enum ModelFolder {
    static func main() throws {
        let arguments = Array(CommandLine.arguments.dropFirst())
        let storages: [String: FamilyModel.Storage] = [
            "float32": .float32, "bfloat16": .bfloat16, "float16": .float16,
        ]
        guard (2...3).contains(arguments.count), let storage = storages[arguments.count > 2 ? arguments[2] : "bfloat16"]
        else {
            FileHandle.standardError.write(
                Data("usage: model-folder GGUF FOLDER [float32|bfloat16|float16]\n".utf8))
            exit(2)
        }
        try FileManager.default.createDirectory(atPath: arguments[1], withIntermediateDirectories: true)
        try LlamaFolder.write(to: arguments[1], fromGGUF: arguments[0], storage: storage)
    }
}
