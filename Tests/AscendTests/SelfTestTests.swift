import LMEngine
import ProgramKit
import Synchronization
import TestKit
import Testing

extension SimulatedDevice {
    @Suite("The self-test of a device")
    struct SelfTestTests {
        private static let planner = StepPlanner(sequenceCount: 1)

        /// A back end on a device with such faults, and what it says to people.
        private struct Rig {
            let backend: AscendBackend
            let notices: Notices

            final class Notices: Sendable {
                let texts = Mutex<[String]>([])
            }

            init(_ faults: String, ranks: Int = 1) throws {
                let notices = Notices()
                try AscendSimulator.restart(["FAULTS": faults])
                backend = try Simulator.backend(
                    AscendModel.qwen3.checkpoint(), division: AscendDivision(ranks: ranks)
                ) { text in notices.texts.withLock { $0.append(text) } }
                self.notices = notices
            }

            /// The token after a prompt; nil where it is not finite.
            func token(after prompt: [Int32]) throws -> Int32? {
                var result = StepResult()
                try backend.execute(SelfTestTests.planner.plan([(0, prompt, 0..<prompt.count)]), into: &result)
                return result.tokens[0] == StepResult.nonFinite ? nil : result.tokens[0]
            }
        }

        private static let prompt: [Int32] = [3, 7, 11, 15]

        @Test("One that is sound passes it, and keeps what it has", arguments: [1, 2])
        func sound(_ ranks: Int) throws {
            let rig = try Rig("nan op=aclnnSwiGlu row=3 nth=5", ranks: ranks)
            let expected = try rig.token(after: Self.prompt)
            #expect(expected != nil)
            let isStruck = try (0..<2).contains { _ in try rig.token(after: Self.prompt) == nil }
            #expect(isStruck)
            try rig.backend.examine()
            #expect(rig.notices.texts.withLock { $0.count == 1 && $0[0].contains("the self-test passes") })
            #expect(try rig.token(after: Self.prompt) == expected)
        }

        @Test("One whose numbers stay bad fails it, and is set up anew", arguments: [1, 2])
        func badNumbers(_ ranks: Int) throws {
            let rig = try Rig("nan op=aclnnSwiGlu row=3 nth=\(2 * ranks + 1) every=true", ranks: ranks)
            let expected = try rig.token(after: Self.prompt)
            #expect(expected != nil)
            #expect(try rig.token(after: Self.prompt) == nil)
            let error = #expect(throws: EngineError.self) { try rig.backend.examine() }
            #expect(error?.code == .deviceLost)
            #expect(error?.message.contains("a small step yields numbers that are not finite") == true)
            #expect(try rig.token(after: Self.prompt) == expected)
        }

        /// Token 7 is none of the self-test's step, whose numbers are finite therefore.
        @Test("One that has lost a weight fails it, and is set up anew", arguments: [1, 2])
        func damagedWeight(_ ranks: Int) throws {
            let row = AscendModel.qwen3.configuration().embeddingLength * 2
            let rig = try Rig("rot after=100 offset=\(7 * row) bytes=\(row)", ranks: ranks)
            let expected = try rig.token(after: Self.prompt)
            #expect(expected != nil)
            let isStruck = try (0..<20).contains { _ in try rig.token(after: Self.prompt) == nil }
            #expect(isStruck)
            let error = #expect(throws: EngineError.self) { try rig.backend.examine() }
            #expect(error?.code == .deviceLost)
            #expect(error?.message.contains("not as it was copied there") == true, "\(String(describing: error))")
            #expect(try rig.token(after: Self.prompt) == expected)
        }

        @Test("One that fails it again when it was set up anew is lost, and tried again later")
        func failsAgain() throws {
            let rig = try Rig("nan op=aclnnSwiGlu row=3 nth=3 every=true; nan op=aclnnSwiGlu row=3 nth=5")
            let expected = try rig.token(after: Self.prompt)
            #expect(throws: EngineError.self) { try rig.backend.examine() }
            let error = #expect(throws: EngineError.self) { try rig.token(after: Self.prompt) }
            #expect(error?.code == .deviceLost)
            let text = "set up anew and fails its self-test"
            #expect(error?.message.contains(text) == true, "\(String(describing: error))")
            let early = #expect(throws: EngineError.self) { try rig.token(after: Self.prompt) }
            #expect(early?.message.contains("the next attempt is not due yet") == true, "\(String(describing: early))")
            #expect(expected != nil)
        }
    }
}
