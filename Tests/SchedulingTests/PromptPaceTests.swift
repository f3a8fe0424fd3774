import LMEngine
import TestKit
import Testing

@Suite("Prompts beside running streams")
struct PromptPaceTests {
    /// Nanoseconds of a step: what the model's weights take, and each row.
    private static let times: [(base: UInt64, row: UInt64)] = [
        (5_000_000, 300_000), (40_000_000, 100_000), (100, 1_000_000),
    ]

    private func endless(_ salt: UInt64, prompt: Int, _ count: Int = 3_000) -> GenerationRequest {
        .test(prompt: prompt, salt: salt, maxTokens: count) { $0.stop.ignoreEndOfSequence = true }
    }

    private func harness(_ time: (base: UInt64, row: UInt64)) throws -> SchedulerHarness {
        var harness = try SchedulerHarness(blocks: 4_000, blockSize: 16, maxNumBatchedTokens: 512)
        harness.stepTime = time
        return harness
    }

    @Test("A long prompt makes a step three times as long, or as long as 16 rows make it", arguments: times)
    func longPrompt(base: UInt64, row: UInt64) throws {
        var harness = try harness((base, row))
        _ = harness.add(endless(0, prompt: 8))
        for _ in 0..<10 { harness.step() }
        let late = harness.add(endless(1, prompt: 2_000, 10))
        var longest: UInt64 = 0
        var steps = 0
        while harness.collector[late].tokens.isEmpty {
            let start = harness.now
            harness.step()
            longest = max(longest, harness.now - start)
            steps += 1
        }
        let least = base + 17 * row
        #expect(longest <= max(3 * (base + row), least) * 21 / 20)
        // It is let through as fast as that allows.
        let rows = max(16, 2 * (base + row) / row)
        #expect(UInt64(steps) <= 2_000 / min(rows, 511) + 8, "\(steps) steps of \(rows) rows")
    }

    @Test("A step that something else delayed makes no room for a longer one")
    func delayedStep() throws {
        var harness = try harness((5_000_000, 300_000))
        _ = harness.add(endless(0, prompt: 8))
        for _ in 0..<10 { harness.step() }
        harness.stepTime.base = 25_000_000
        harness.step()
        harness.stepTime.base = 5_000_000
        let late = harness.add(endless(1, prompt: 2_000, 10))
        var longest: UInt64 = 0
        while harness.collector[late].tokens.isEmpty {
            let start = harness.now
            harness.step()
            longest = max(longest, harness.now - start)
        }
        #expect(longest < 4 * 5_300_000)
    }

    @Test("Without a running stream a prompt has the whole step")
    func nobodyWaits() throws {
        var harness = try harness((5_000_000, 300_000))
        _ = harness.add(endless(0, prompt: 8, 5))
        harness.run()
        _ = harness.add(endless(1, prompt: 2_000, 2))
        harness.run()
        #expect(harness.backend.steps.map(\.rows).suffix(5) == [512, 512, 512, 464, 1])
    }

    @Test("Many streams leave room for more prompt rows than one does")
    func manyStreams() throws {
        var rows: [Int] = []
        for streams in [1, 24] {
            var harness = try harness((5_000_000, 300_000))
            for salt in 0..<streams { _ = harness.add(endless(UInt64(salt), prompt: 8)) }
            for _ in 0..<10 { harness.step() }
            _ = harness.add(endless(99, prompt: 2_000, 10))
            for _ in 0..<8 { harness.step() }
            rows.append(try #require(harness.backend.steps.last).rows - streams)
        }
        #expect(rows[0] == 35 && rows[1] == 81, "\(rows)")
    }

    @Test("A clock that stands still limits nothing")
    func standingClock() throws {
        var harness = try harness((0, 0))
        _ = harness.add(endless(0, prompt: 8))
        for _ in 0..<10 { harness.step() }
        _ = harness.add(endless(1, prompt: 2_000, 10))
        harness.step()
        harness.step()
        #expect(harness.backend.steps.last?.rows == 512)
    }
}
