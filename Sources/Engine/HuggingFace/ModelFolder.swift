internal import Glibc
package import LMJSON

/// A folder as the Hugging Face hub holds models, and the reading of its smaller files.
package struct ModelFolder: Sendable {
    /// The folder that holds the files themselves.
    package let path: String

    /// Most bytes of a file that is read whole; vocabularies reach 35 MB.
    package static let textByteCount = 256 << 20

    /// - Parameter path: the folder, or that of a model in the hub's cache (`models--org--name`), of which the snapshot is
    ///   taken that `refs/main` names.
    /// - Throws: `invalidModel` when a cache folder holds no snapshot.
    package init(path: String) throws(EngineError) {
        let path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
        let folder = ModelFolder(files: path)
        let snapshots = try folder.has("snapshots") ? ModelFolder(files: path + "/snapshots").names() : []
        guard !folder.has("config.json"), !snapshots.isEmpty else {
            self = folder
            return
        }
        let reference = try folder.has("refs/main") ? folder.text("refs/main") : ""
        let named = reference.prefix { !$0.isWhitespace }
        guard let snapshot = snapshots.first(where: { $0 == named }) ?? (snapshots.count == 1 ? snapshots[0] : nil)
        else {
            throw EngineError(
                .invalidModel,
                "\(path): holds \(snapshots.count) snapshots and 'refs/main' names none of them; "
                    + "name the folder of one: \(path)/snapshots/\(snapshots[0].printable)")
        }
        self.init(files: "\(path)/snapshots/\(snapshot)")
    }

    private init(files path: String) { self.path = path }

    /// The path of a file in the folder.
    package func path(of name: String) -> String { "\(path)/\(name)" }

    /// Whether there is a file or folder of that name.
    package func has(_ name: String) -> Bool { access(path(of: name), F_OK) == 0 }

    /// The names of all files and folders in it, in order.
    package func names() throws(EngineError) -> [String] {
        guard let directory = opendir(path) else {
            throw EngineError(
                .modelNotFound, "\(path): cannot be listed: \(strerror(errno).map { String(cString: $0) } ?? "")")
        }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: $0.pointee)) {
                    String(cString: $0)
                }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// The names of files that a download has not finished, in the folder or where the hub's tools keep them meanwhile.
    func unfinishedDownloads() throws(EngineError) -> [String] {
        let suffixes = [".incomplete", ".part", ".aria2", ".tmp", ".crdownload"]
        let places = ["", "/.cache/huggingface/download"] + (path.contains("/snapshots/") ? ["/../../blobs"] : [])
        var found: [String] = []
        for place in places where place.isEmpty || has(String(place.dropFirst())) {
            let names = try ModelFolder(files: path + place).names()
            found += names.filter { name in suffixes.contains { name.hasSuffix($0) } }
        }
        return found
    }

    /// Maps a file.
    ///
    /// - Throws: `modelNotFound` or `invalidModel`, the latter also when only a pointer to the file was downloaded.
    package func file(_ name: String) throws(EngineError) -> MappedFile {
        let file = try MappedFile(path: path(of: name))
        let pointer = "version https://git-lfs.github.com/spec/"
        guard !file.bytes.starts(with: pointer.utf8) else {
            let size =
                String(decoding: file.bytes.prefix(1024), as: UTF8.self).split(separator: "\n")
                .first { $0.hasPrefix("size ") }.map { " of \($0.dropFirst(5)) bytes" } ?? ""
            throw EngineError(
                .invalidModel,
                "\(file.path): is a Git LFS pointer, not the file\(size.printable) itself; run 'git lfs pull' in the "
                    + "folder, or download the file")
        }
        return file
    }

    /// A JSON file; nil when it is not there.
    package func json(_ name: String) throws(EngineError) -> JSON? {
        guard has(name) else { return nil }
        let file = try smallFile(name)
        do throws(JSONError) {
            return try withExtendedLifetime(file) { file throws(JSONError) in try JSON(parsing: file.bytes) }
        } catch {
            throw EngineError(.invalidModel, "\(file.path): byte \(error.offset): \(error.message)")
        }
    }

    /// A text file, its invalid bytes replaced.
    package func text(_ name: String) throws(EngineError) -> String {
        withExtendedLifetime(try smallFile(name)) { String(decoding: $0.bytes, as: UTF8.self) }
    }

    private func smallFile(_ name: String) throws(EngineError) -> MappedFile {
        let file = try file(name)
        guard file.bytes.count <= Self.textByteCount else {
            throw EngineError(
                .invalidModel, "\(file.path): \(file.bytes.count) bytes exceed the limit of \(Self.textByteCount)")
        }
        return file
    }
}
