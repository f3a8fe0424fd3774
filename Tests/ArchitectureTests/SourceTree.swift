import FoundationEssentials

/// The text of the files that the rules are about, by path from the package's root.
struct SourceTree {
    var contents: [String: String]

    /// Files whose path starts so, in order.
    func files(under prefix: String) -> [(path: String, text: String)] {
        contents.filter { $0.key.hasPrefix(prefix) && $0.key.hasSuffix(".swift") }
            .sorted { $0.key < $1.key }.map { (path: $0.key, text: $0.value) }
    }

    /// Swift files that are no tests.
    var programText: [(path: String, text: String)] { files(under: "Sources/") + files(under: "Benchmarks/") }

    /// Reads Package.swift and all Swift and C files of this package.
    static func ofThisPackage() throws -> SourceTree {
        // Tests/ArchitectureTests/SourceTree.swift -> the root is three up.
        let root = #filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 }
        let files = FileManager.default
        var contents = ["Package.swift": try text(at: root + "/Package.swift")]
        for folder in ["Sources", "Benchmarks", "Tests"] {
            for path in try files.subpathsOfDirectory(atPath: "\(root)/\(folder)") {
                guard [".swift", ".c", ".h"].contains(where: path.hasSuffix) else { continue }
                contents["\(folder)/\(path)"] = try text(at: "\(root)/\(folder)/\(path)")
            }
        }
        return SourceTree(contents: contents)
    }

    private static func text(at path: String) throws -> String {
        String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
    }
}
