import LMEngine
import ProgramKit
import TestKit
import Testing

@Suite("What is kept of steps that come again")
struct KeptStepsTests {
    @Test("It is found again, within a limit, and what did not come for long makes room")
    func limit() {
        var steps = KeptSteps<Int, String>(limit: 10, patience: 3)
        func expect(_ key: Int, _ step: String?, _ comment: Comment? = nil) {
            let found = steps.find(key)
            #expect(found == step, comment)
        }
        func expect(room weight: Int, _ isThere: Bool, _ comment: Comment? = nil) {
            let hasRoom = steps.makeRoom(for: weight)
            #expect(hasRoom == isThere, comment)
        }
        expect(1, nil)
        expect(room: 6, true)
        steps.keep("one", for: 1, weight: 6)
        expect(1, "one")
        expect(room: 5, false, "the first came just now")
        expect(room: 4, true)
        steps.keep("two", for: 2, weight: 4)
        expect(room: 1, false)
        for _ in 0..<3 { expect(2, "two") }
        expect(room: 5, false, "the first came three steps ago")
        expect(2, "two")
        expect(room: 7, false, "it makes room for six")
        expect(room: 6, true)
        expect(1, nil)
        expect(2, "two")
        steps.removeAll()
        expect(2, nil)
        expect(room: 10, true)
    }
}

extension SimulatedDevice {
    @Suite("Steps launched operator by operator on the simulated device")
    struct KeptStepTests {
        /// Addresses are given once in a machine's life; back ends of many tests would use them up.
        init() throws { try AscendSimulator.restart() }

        /// Decodes one sequence token by token, without graphs if there is no word of them.
        private func decode(
            _ count: Int, _ checkpoint: any Checkpoint = AscendModel.llama.checkpoint(layers: 3),
            division: AscendDivision = .none, batches: BatchBuckets = .none,
            notice: @escaping @Sendable (String) -> Void = { Issue.record("\($0)") }
        ) throws {
            let backend = try Simulator.backend(checkpoint, division: division, batches: batches, notice: notice)
            let tokens = randomTokens(count, seed: 2)
            let planner = StepPlanner(sequenceCount: 1)
            var result = StepResult()
            for position in 0..<count {
                try backend.execute(planner.plan([(0, tokens, position..<position + 1)]), into: &result)
            }
        }

        private func calls(of step: [Trace.Entry]) -> [Substring: Int] {
            Dictionary(step.map { ($0.name, 1) }, uniquingKeysWith: +)
        }

        @Test("One that came before is a launch for each operator, a plan for each attention, and one object")
        func trace() throws {
            let trace = try Trace { try decode(9) }
            let step = try #require(trace.steps.last { $0.contains { $0.name == "aclnnMm" } })
            #expect(
                calls(of: step) == [
                    "aclrtMemcpyAsync": 2, "aclnnIndexSelect": 4, "aclnnRmsNorm": 1, "aclnnAddRmsNorm": 6,
                    "aclnnMm": 13,
                    "aclnnRotaryPositionEmbedding": 6, "aclnnInplaceCopy": 3, "aclnnScatterPaKvCache": 3,
                    "aclnnSwiGlu": 3, "aclnnArgMax": 1, "aclnnFusedInferAttentionScoreV3GetWorkspaceSize": 3,
                    "aclnnFusedInferAttentionScoreV3": 3,
                    // The lengths of the step before go when those of this one are there.
                    "aclCreateIntArray": 1, "aclDestroyIntArray": 1,
                ])
        }

        @Test("All plans are destroyed when the device is given back, and none twice", arguments: [1, 2])
        func destruction(_ ranks: Int) throws {
            let trace = try Trace {
                try decode(4, AscendModel.qwen2Experts.checkpoint(.perToken), division: AscendDivision(ranks: ranks))
            }
            let calls = calls(of: trace.entries)
            #expect(try #require(calls["aclSetAclOpExecutorRepeatable"]) > 40)
            #expect(calls["aclDestroyAclOpExecutor"] == calls["aclSetAclOpExecutorRepeatable"])
            let (tensors, lists) = (calls["aclDestroyTensor"] ?? 0, calls["aclDestroyTensorList"] ?? 0)
            #expect(calls["aclCreateTensor"] == tensors + lists, "a list destroys its one tensor")
            #expect(calls["aclCreateScalar"] == calls["aclDestroyScalar"])
            #expect(!trace.entries.contains { $0.note.hasPrefix("-> ") && $0.name != "aclInit" }, "no call fails")
        }

        @Test("They give the bits of other steps, beside longer and shorter ones, and when memory moves")
        func bits() throws {
            for model in [AscendModel.qwen2, .mixtral] {
                let kept = try Simulator.backend(model.checkpoint(), blockCount: 100)
                let anew = try Simulator.backend(model.checkpoint(), batches: .standard, blockCount: 100)
                let tokens = (0..<5).map { randomTokens(40, seed: UInt64($0)) }
                var positions = [Int](repeating: 4, count: 5)
                for step in 0..<24 {
                    // Tables grow by blocks; two steps of many rows need more memory than those before.
                    let planner = StepPlanner(blocksPerSequence: 2 + step * 2 % 17, sequenceCount: 5)
                    let own = 0..<(step % 13 == 0 ? 5 : [1, 3, 3, 1, 5][step % 5])
                    let plan = planner.plan(
                        own.map {
                            ($0, tokens[$0], step % 13 == 0 ? 0..<4 + step : positions[$0]..<positions[$0] + 1)
                        })
                    #expect(try kept.forward(plan) == anew.forward(plan), "\(model), step \(step)")
                    for sequence in own where step % 13 != 0 { positions[sequence] += 1 }
                }
            }
        }

        @Test("So are steps whose capture failed")
        func captureFails() throws {
            let trace = try Trace(["FAULTS": "fail call=aclmdlRICaptureBegin every=true code=207008"]) {
                try decode(9, batches: .standard) { #expect($0.contains("captur")) }
            }
            let step = try #require(trace.steps.last { $0.contains { $0.name == "aclnnMm" } })
            #expect(calls(of: step)["aclnnMm"] == 13)
            #expect(calls(of: step)["aclnnMmGetWorkspaceSize"] == nil, "their plans are kept")
        }

        @Test("What the library does not let be kept is planned anew in every step")
        func refused() throws {
            let trace = try Trace(["FAULTS": "fail call=aclSetAclOpExecutorRepeatable nth=1 every=true code=561000"]) {
                try decode(4)
            }
            let step = try #require(trace.steps.last { $0.contains { $0.name == "aclnnMm" } })
            let calls = calls(of: step)
            #expect(calls["aclnnMmGetWorkspaceSize"] == 13 && calls["aclnnMm"] == 13)
            #expect(calls["aclSetAclOpExecutorRepeatable"] == nil, "it is asked once")
            #expect(calls["aclDestroyAclOpExecutor"] == nil)
        }

        @Test("A launch that fails costs the step and its plans; the next step makes them anew")
        func failure() throws {
            let trace = try Trace(["FAULTS": "fail call=aclnnSwiGlu nth=7 code=107020"]) {
                let backend = try Simulator.backend(AscendModel.llama.checkpoint(layers: 3))
                let tokens = randomTokens(6, seed: 2)
                let planner = StepPlanner(sequenceCount: 1)
                var (result, failures) = (StepResult(), 0)
                for position in [0, 1, 2, 2, 3] {
                    do {
                        try backend.execute(planner.plan([(0, tokens, position..<position + 1)]), into: &result)
                    } catch {
                        failures += 1
                    }
                }
                #expect(failures == 1)
            }
            // Planned in the first step, and once more behind the failure.
            #expect(trace.entries.count { $0.name == "aclnnMmGetWorkspaceSize" } == 26)
        }
    }
}
