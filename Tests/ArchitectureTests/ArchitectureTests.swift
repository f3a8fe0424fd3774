import Testing

@Suite struct ArchitectureTests {
    @Test func everyImportIsOnTheMap() throws {
        let tree = try SourceTree.ofThisPackage()
        #expect(tree.files(under: "Sources/").count > Map.rooms.count)
        #expect(Rules.imports(in: tree) == [])
    }

    @Test func theManifestIsTheMap() throws {
        #expect(Rules.manifest(in: try SourceTree.ofThisPackage()) == [])
    }

    @Test func whatIsUncheckedIsExplained() throws {
        #expect(Rules.uncheckedConcurrency(in: try SourceTree.ofThisPackage()) == [])
    }

    @Test func noFileIsTooLong() throws {
        #expect(Rules.fileLength(in: try SourceTree.ofThisPackage()) == [])
    }

    @Test func noTestNeedsTestable() throws {
        #expect(Rules.testableImports(in: try SourceTree.ofThisPackage()) == [])
    }
}

/// A rule that cannot fail protects nothing: each is shown a planted mistake.
@Suite struct RulesCatchPlantedMistakes {
    @Test(arguments: [
        ("Protocol", "import Glibc", "LMProtocol must not import Glibc"),
        ("Protocol", "  internal import Synchronization", "LMProtocol must not import Synchronization"),
        ("Transport", "public import Foundation", "LMTransport must not import Foundation"),
        ("Engine", "import LMProtocol", "LMEngine must not import LMProtocol"),
        ("Client", "@preconcurrency import LMEngine", "LMClient must not import LMEngine"),
        ("Server", "package import struct FoundationEssentials.Data", "LMServer must not import FoundationEssentials"),
        ("lmcall", "@_spi(Tests) import LMServer", "lmcall must not import LMServer"),
        ("Support", "import LMClient", "LMSupport must not import LMClient"),
    ])
    func forbiddenImport(folder: String, line: String, problem: String) {
        let path = "Sources/\(folder)/Sub/Planted.swift"
        let tree = SourceTree(contents: [path: "/// Text.\n\(line)\n"])
        #expect(Rules.imports(in: tree).contains("\(path):2: \(problem)"))
    }

    @Test func unknownFolder() {
        let tree = SourceTree(contents: ["Sources/Utilities/Misc.swift": ""])
        #expect(Rules.imports(in: tree) == ["Sources/Utilities/Misc.swift: folder Utilities is not on the map"])
    }

    @Test func wordsThatLookLikeImportsAreNot() {
        let tree = SourceTree(contents: ["Sources/Protocol/A.swift": "// import Glibc\nlet important = 1\n"])
        #expect(Rules.imports(in: tree) == [])
    }

    @Test func manifestEdges() throws {
        var tree = try SourceTree.ofThisPackage()
        let manifest = try #require(tree.contents["Package.swift"])
        let planted = manifest.replacing(
            #"room("Client", ["LMProtocol", "LMTransport"])"#, with: #"room("Client", ["LMProtocol", "LMEngine"])"#)
        #expect(planted != manifest)
        tree.contents["Package.swift"] = planted + #"// .package(url: "https://example.com")"#
        #expect(
            Rules.manifest(in: tree) == [
                "Package.swift: no package dependencies",
                "Package.swift: LMClient must not depend on LMEngine",
                "Package.swift: the map says that LMClient depends on LMTransport",
            ])
    }

    @Test func unexplainedUnchecked() {
        let tree = SourceTree(contents: [
            "Sources/Engine/A.swift": """
            final class Bare: @unchecked Sendable {
                let a = 1

                nonisolated(unsafe) var b = 2

            }
            // immutable after init
            final class Explained: @unchecked Sendable {}
            struct S: @unchecked Sendable {  // behind the lock
            }
            // A word about @unchecked Sendable.
            """
        ])
        #expect(
            Rules.uncheckedConcurrency(in: tree).map { $0.prefix(24) } == [
                "Sources/Engine/A.swift:1", "Sources/Engine/A.swift:4",
            ])
    }

    @Test func longFileAndTestable() {
        let long = String(repeating: "\n", count: 601)
        #expect(Rules.fileLength(in: SourceTree(contents: ["Sources/A.c": long])).count == 1)
        #expect(Rules.fileLength(in: SourceTree(contents: ["Sources/A.c": String(long.dropLast())])) == [])
        let tree = SourceTree(contents: ["Tests/T/A.swift": "import Testing\n@testable import LMEngine\n"])
        #expect(Rules.testableImports(in: tree).count == 1)
    }
}
