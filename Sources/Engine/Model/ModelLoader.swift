internal import Glibc

/// Reads a model by path or by name.
///
/// - Parameter path: a GGUF file or a Hugging Face folder, or the name of one (of a file with or without `.gguf`) in a
///   directory of the environment variable `LM_MODELS`, a colon-separated list. A name never contains a slash.
/// - Throws: `modelNotFound` with everything that was looked for; `invalidModel` or `unsupportedModel` with what was
///   wrong and where.
public func loadCheckpoint(path: String) throws(EngineError) -> any Checkpoint {
    let directories = getenv("LM_MODELS").map { String(cString: $0) } ?? ""
    let located = try locateModel(path, directories: directories.split(separator: ":").map { String($0) })
    if kind(of: located) == .folder { return try HuggingFaceCheckpoint(ModelFolder(path: located)) }
    for suffix in [".safetensors", ".json", ".bin"] where located.hasSuffix(suffix) {
        throw EngineError(.invalidModel, "\(located): is a part of a model; name the folder it is in")
    }
    return try GGUFCheckpoint(GGUFFile(MappedFile(path: located)))
}

/// The path that `name` means: itself if it is a file or folder, else the first match in `directories`.
package func locateModel(_ name: String, directories: [String]) throws(EngineError) -> String {
    guard !name.isEmpty, !name.utf8.contains(0) else {
        throw EngineError(.modelNotFound, "the model's name is empty or holds a NUL; name a folder or a GGUF file")
    }
    var candidates = [name]
    if !name.utf8.contains(UInt8(ascii: "/")) {
        for directory in directories {
            candidates += ["\(directory)/\(name)", "\(directory)/\(name).gguf"]
        }
    }
    if let found = candidates.first(where: { kind(of: $0) != nil }) { return found }
    let hint =
        directories.isEmpty
        ? "; name a folder or a GGUF file, or set LM_MODELS to the directories that hold models" : ""
    throw EngineError(
        .modelNotFound,
        "model '\(name.printable)' not found; looked for \(candidates.joined(separator: ", "))\(hint)")
}

private enum ModelKind {
    case file
    case folder
}

private func kind(of path: String) -> ModelKind? {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    return switch status.st_mode & S_IFMT {
    case S_IFREG: .file
    case S_IFDIR: .folder
    default: nil
    }
}
