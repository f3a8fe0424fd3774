import Foundation
import FuzzProperties
import Testing

/// Repeats what `scripts/fuzz` has kept: the corpus, and every input that once broke a property.
@Suite("What the fuzzer has kept") struct ReplayTests {
    @Test("holds to its property", arguments: FuzzTarget.allCases) func replay(target: FuzzTarget) throws {
        let corpus = try inputs(in: "Corpus/\(target)")
        #expect(!corpus.isEmpty, "a corpus of nothing tests nothing")
        for (file, input) in corpus + (try inputs(in: "Failures/\(target)")) {
            if let broken = target.check(input) { Issue.record("\(file): \(broken)") }
        }
    }

    /// All inputs there, each with its name; none where there is no folder.
    private func inputs(in folder: String) throws -> [(file: String, bytes: [UInt8])] {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let folder = root.appendingPathComponent("Fuzz").appendingPathComponent(folder)
        guard FileManager.default.fileExists(atPath: folder.path) else { return [] }
        return try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil).map {
            ($0.lastPathComponent, Array(try Data(contentsOf: $0)))
        }
    }
}
