import LMEngine
import TestKit
import Testing

@Suite struct StopMatcherTests {
    /// What has been let out after each part, and whether a stop string was met.
    private func run(_ stops: [String], _ parts: [String]) -> (deltas: [String], matched: Bool) {
        var matcher = StopMatcher(stops)
        var deltas: [String] = []
        for part in parts {
            var delta: [UInt8] = []
            let matched = matcher.append(Array(part.utf8), into: &delta)
            deltas.append(String(decoding: delta, as: UTF8.self))
            if matched { return (deltas, true) }
        }
        var rest: [UInt8] = []
        matcher.finish(into: &rest)
        deltas.append(String(decoding: rest, as: UTF8.self))
        return (deltas, false)
    }

    @Test(
        arguments: [
            (["STOP"], ["a ST", "OP b"], ["a ", ""], true),
            (["STOP"], ["a ST", "ART"], ["a ", "START", ""], false),
            (["STOP"], ["a ST"], ["a ", "ST"], false),
            (["aab"], ["aaa", "aab"], ["a", "aa"], true),
            (["abcd", "bc"], ["abcd"], ["a"], true),
            (["bc", "abc"], ["xabc"], ["x"], true),
            (["\n\n"], ["one\n", "two\n", "\nthree"], ["one", "\ntwo", ""], true),
            (["世界"], ["你世", "世界!"], ["你", "世"], true),
            ([], ["x", "y"], ["x", "y", ""], false),
            (["x"], ["", "x"], ["", ""], true),
        ] as [([String], [String], [String], Bool)])
    func releasesWhatIsSafe(_ stops: [String], _ parts: [String], _ deltas: [String], _ matched: Bool) {
        let result = run(stops, parts)
        #expect(result.deltas == deltas)
        #expect(result.matched == matched)
    }

    /// Against a search that looks at everything anew after each byte.
    @Test func equalsTheNaiveSearch() {
        var random = TestRandom(seed: 1)
        for _ in 0..<4000 {
            func word(_ length: ClosedRange<Int>) -> String {
                String(
                    (0..<Int.random(in: length, using: &random)).map { _ in "abc".randomElement(using: &random) ?? "a" }
                )
            }
            let stops = (0..<Int.random(in: 0...3, using: &random)).map { _ in word(1...5) }
            let parts = (0..<Int.random(in: 1...6, using: &random)).map { _ in word(0...5) }
            let expected = naive(stops, parts)
            let actual = run(stops, parts)
            #expect(actual.deltas == expected.deltas && actual.matched == expected.matched, "\(stops) \(parts)")
        }
    }

    private func naive(_ stops: [String], _ parts: [String]) -> (deltas: [String], matched: Bool) {
        var text = ""
        var released = 0
        var deltas: [String] = []
        func release(to end: Int) {
            deltas.append(String(text.dropFirst(released).prefix(max(0, end - released))))
            released = max(released, end)
        }
        for part in parts {
            for character in part {
                text.append(character)
                if let longest = stops.filter({ text.hasSuffix($0) }).map(\.count).max() {
                    release(to: text.count - longest)
                    return (deltas, true)
                }
            }
            let held = (0...text.count).last { length in
                stops.contains { $0.count > length && $0.hasPrefix(text.suffix(length)) }
            }
            release(to: text.count - (held ?? 0))
        }
        release(to: text.count)
        return (deltas, false)
    }
}
