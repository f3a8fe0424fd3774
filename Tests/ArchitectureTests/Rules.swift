/// Checks of the source tree. Each takes the text of the files and returns a sentence per violation, so that the rules
/// themselves are tested with planted mistakes.
enum Rules {
    /// Folders, and imports in every Swift file under Sources and Benchmarks, against the map.
    static func imports(in tree: SourceTree) -> [String] {
        tree.programText.flatMap { path, text -> [String] in
            let folder = String(path.split(separator: "/")[1])
            if Map.cFolders.contains(folder) { return [] }
            guard let room = Map.rooms[folder] else { return ["\(path): folder \(folder) is not on the map"] }
            // Every file imports the standard library, whether it says so or not.
            let allowed = room.dependencies.union(room.system).union(["Swift"])
            return importedModules(in: text).filter { !allowed.contains($0.module) }.map {
                "\(path):\($0.line): \(room.module) must not import \($0.module)"
            }
        }
    }

    /// Dependencies that Package.swift declares, against the map: no more, no less, and no package from outside.
    static func manifest(in tree: SourceTree) -> [String] {
        guard let manifest = tree.contents["Package.swift"] else { return ["Package.swift is missing"] }
        var problems: [String] = []
        if manifest.contains(".package(") { problems.append("Package.swift: no package dependencies") }
        var declared: Set<String> = []
        for match in manifest.matches(of: /(?:room|program|benchmark|simulator)\("(\w+)"(?:, \[([^\]]*)\])?\)/) {
            let folder = String(match.1)
            declared.insert(folder)
            let listed = (match.2 ?? "").split(separator: ",").map { $0.filter { $0.isLetter || $0.isNumber } }
            guard let room = Map.rooms[folder] else {
                problems.append("Package.swift: \(folder) is not on the map")
                continue
            }
            for extra in Set(listed).subtracting(room.dependencies).sorted() {
                problems.append("Package.swift: \(room.module) must not depend on \(extra)")
            }
            for missing in room.dependencies.subtracting(listed).sorted() {
                problems.append("Package.swift: the map says that \(room.module) depends on \(missing)")
            }
        }
        for missing in Set(Map.rooms.keys).subtracting(declared).sorted() {
            problems.append("Package.swift: \(missing) is on the map only")
        }
        return problems
    }

    /// Where the compiler's checks are switched off, a comment on the line or next to it says what replaces them.
    static func uncheckedConcurrency(in tree: SourceTree) -> [String] {
        tree.programText.flatMap { path, text -> [String] in
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            return lines.indices.filter { index in
                let code = lines[index].prefix(
                    upTo: lines[index].firstRange(of: "//")?.lowerBound ?? lines[index].endIndex)
                guard code.contains("@unchecked Sendable") || code.contains("nonisolated(unsafe)") else { return false }
                let neighbours = max(0, index - 1)...min(lines.count - 1, index + 1)
                return !lines[neighbours].contains { $0.contains("//") }
            }.map { "\(path):\($0 + 1): says nowhere what protects it" }
        }
    }

    /// No file so long that it must hold more than one idea.
    static func fileLength(in tree: SourceTree, limit: Int = 600) -> [String] {
        tree.contents.sorted { $0.key < $1.key }.compactMap { path, text in
            let count = text.split(separator: "\n", omittingEmptySubsequences: false).count
            return count > limit + 1 ? "\(path): \(count - 1) lines, the limit is \(limit)" : nil
        }
    }

    /// Tests are built with optimisation, where `@testable` does not exist.
    static func testableImports(in tree: SourceTree) -> [String] {
        tree.files(under: "Tests/").compactMap { path, text in
            text.contains(/(?m)^@testable import/) ? "\(path): use package access instead of @testable" : nil
        }
    }

    private static func importedModules(in text: String) -> [(line: Int, module: String)] {
        let pattern =
            /^\s*(?:@\w+(?:\(\w+\))?\s+)*(?:(?:public|package|internal|private|fileprivate)\s+)?import\s+(?:(?:struct|class|enum|protocol|typealias|func|let|var)\s+)?(\w+)/
        return text.split(separator: "\n", omittingEmptySubsequences: false).enumerated().compactMap { index, line in
            line.firstMatch(of: pattern).map { (index + 1, String($0.1)) }
        }
    }
}
