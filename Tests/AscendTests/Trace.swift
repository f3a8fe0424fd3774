import Foundation
import ProgramKit
import TestKit

/// What the simulated device was asked, call by call.
struct Trace {
    /// A call's name and what the device says of it; tasks are named "task".
    typealias Entry = (name: Substring, note: Substring)

    let entries: [Entry]

    /// Runs `body` on a machine started anew that writes down every call.
    init(_ settings: [String: String] = [:], _ body: () throws -> Void) throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/trace"
        try AscendSimulator.restart(settings.merging(["TRACE": path]) { $1 })
        try body()
        // The file is whole when the machine has let it go.
        try AscendSimulator.restart()
        let text = try String(contentsOf: URL(fileURLWithPath: path), encoding: .utf8)
        let entries = text.split(separator: "\n").map { line -> Entry in
            let name = line.prefix { $0 != " " }
            return (name, line.dropFirst(name.count + 1))
        }
        // What a thread for the statistics asks now and then.
        self.entries = entries.filter { $0.name != "aclrtGetDeviceUtilizationRate" }
    }

    /// The calls of each step, without what the device did; a step ends where it is waited for.
    var steps: [[Entry]] {
        entries.filter { $0.name != "task" }
            .split(omittingEmptySubsequences: false) { $0.name == Self.wait }
            .map(Array.init)
    }

    /// Microseconds on the host, by the model of costs, at the end of each step.
    var ends: [Double] {
        entries.filter { $0.name == Self.wait }.compactMap { entry in
            Double(entry.note.dropFirst("host ".count).prefix { $0 != " " })
        }
    }

    private static let wait = "aclrtSynchronizeStreamWithTimeout"

    /// Bytes that each of the calls copies from the device to the host.
    static func downloads(_ calls: [Entry]) -> [Int] {
        calls.filter { $0.name == "aclrtMemcpyAsync" && $0.note.hasSuffix(" D2H") }
            .compactMap { Int($0.note.prefix { $0 != " " }) }
    }
}
