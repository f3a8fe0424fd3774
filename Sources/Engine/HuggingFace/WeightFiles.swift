internal import LMJSON

/// The tensors of a folder: those of `model.safetensors`, or of the shards that `model.safetensors.index.json` names.
package struct WeightFiles: Sendable {
    /// A tensor and the file it is in.
    package struct Entry: Sendable {
        /// What the file's header says about it.
        package let info: SafetensorsTensor
        /// The file's bytes.
        package let file: MappedFile

        /// The elements; no alignment is promised.
        package var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: file.bytes[info.range]) }
    }

    /// All tensors by name.
    package let tensors: [String: Entry]
    /// The file, or the index of files, that says which tensors there are; for messages.
    package let source: String

    /// Maps the files and reads their headers.
    ///
    /// - Parameter stems: what the names of the file, or of the index, can begin with; the first that is there counts.
    /// - Throws: `invalidModel` naming the file that is missing, incomplete or inconsistent.
    package init(_ folder: ModelFolder, stems: [String] = ["model"]) throws(EngineError) {
        func single(_ stem: String) -> String { stem + ".safetensors" }
        func indexFile(_ stem: String) -> String { stem + ".safetensors.index.json" }
        let stem = stems.first { folder.has(single($0)) || folder.has(indexFile($0)) } ?? "model"
        var tensors: [String: Entry] = [:]
        if folder.has(single(stem)) {
            source = folder.path(of: single(stem))
            try Self.add(single(stem), of: folder, to: &tensors)
        } else if let index = try ShardIndex(folder, file: indexFile(stem)) {
            source = folder.path(of: indexFile(stem))
            try index.requireShards(in: folder)
            for shard in index.shards { try Self.add(shard, of: folder, to: &tensors) }
            try index.check(tensors)
        } else {
            throw try MissingWeights(folder).error
        }
        self.tensors = tensors
    }

    private static func add(
        _ name: String, of folder: ModelFolder, to tensors: inout [String: Entry]
    ) throws(EngineError) {
        let shard = try SafetensorsFile(folder.file(name))
        for info in shard.tensors.values {
            let entry = Entry(info: info, file: shard.file)
            guard let other = tensors.updateValue(entry, forKey: info.name) else { continue }
            throw EngineError(
                .invalidModel,
                "\(shard.file.path): tensor '\(info.name.printable)' is in \(other.file.path) as well; "
                    + "the files are not of one model")
        }
    }
}

/// Which shard holds which tensor.
private struct ShardIndex {
    let path: String
    /// Tensor to file, both by name.
    let places: [(tensor: String, shard: String)]
    /// Files in order.
    let shards: [String]

    /// Nil when the folder has no index.
    init?(_ folder: ModelFolder, file: String) throws(EngineError) {
        guard let document = try folder.json(file) else { return nil }
        path = folder.path(of: file)
        guard let map = document["weight_map"]?.object else {
            throw EngineError(.invalidModel, "\(path): key 'weight_map' must be an object")
        }
        var places: [(tensor: String, shard: String)] = []
        var shards: Set<String> = []
        for (tensor, value) in map.members {
            guard let shard = value.string, Self.isFileName(shard) else {
                throw EngineError(
                    .invalidModel,
                    "\(path): key 'weight_map.\(tensor.printable)' must be the name of a .safetensors file in the folder"
                )
            }
            places.append((tensor, shard))
            shards.insert(shard)
        }
        self.places = places
        self.shards = shards.sorted()
    }

    private static func isFileName(_ name: String) -> Bool {
        name.hasSuffix(".safetensors") && !name.utf8.contains { $0 == UInt8(ascii: "/") || $0 == 0 }
    }

    func requireShards(in folder: ModelFolder) throws(EngineError) {
        let missing = shards.filter { !folder.has($0) }
        guard !missing.isEmpty else { return }
        let unfinished = try folder.unfinishedDownloads()
        let hint = unfinished.isEmpty ? "" : "; there are unfinished downloads: \(list(unfinished))"
        throw EngineError(
            .invalidModel,
            "\(path): \(missing.count) of \(shards.count) shards are missing: \(list(missing))\(hint); download them")
    }

    func check(_ tensors: [String: WeightFiles.Entry]) throws(EngineError) {
        for (tensor, shard) in places where tensors[tensor]?.file.path.hasSuffix("/" + shard) != true {
            throw EngineError(
                .invalidModel,
                "\(path): tensor '\(tensor.printable)' is missing in shard \(shard.printable), where it should be; "
                    + "the index and the shards are not of one model")
        }
    }
}

/// Why a folder without safetensors files cannot be read.
private struct MissingWeights {
    private let folder: ModelFolder
    private let names: [String]
    private let unfinished: [String]

    init(_ folder: ModelFolder) throws(EngineError) {
        self.folder = folder
        names = try folder.names()
        unfinished = try folder.unfinishedDownloads()
    }

    var error: EngineError {
        func all(_ suffixes: String...) -> [String] {
            names.filter { name in suffixes.contains { name.hasSuffix($0) } }
        }
        func error(_ problem: String) -> EngineError { EngineError(.invalidModel, "\(folder.path): \(problem)") }
        let shards = all(".safetensors")
        if !unfinished.isEmpty {
            return error(
                "model.safetensors is missing; there are unfinished downloads: \(list(unfinished)); finish them")
        }
        if shards.contains("adapter_model.safetensors") {
            return error("holds an adapter, which is no model by itself; name the model it was made for")
        }
        if !shards.isEmpty {
            return error(
                "model.safetensors.index.json is missing, which says what is in \(list(shards)); download it")
        }
        let pickled = all(".bin", ".pt", ".pth").filter { $0 != "training_args.bin" }
        if !pickled.isEmpty {
            return error(
                "has weights only as \(list(pickled)), which are programs rather than data and are not read; "
                    + "get the model's .safetensors files, or convert it with transformers' save_pretrained")
        }
        let gguf = all(".gguf")
        if !gguf.isEmpty { return error("holds GGUF files; name one of them: \(list(gguf))") }
        return error("holds no weights: neither model.safetensors nor model.safetensors.index.json; download them")
    }
}

/// The first few names.
private func list(_ names: [String]) -> String {
    let shown = names.prefix(3).map(\.printable).joined(separator: ", ")
    return names.count > 3 ? "\(shown) and \(names.count - 3) more" : shown
}
