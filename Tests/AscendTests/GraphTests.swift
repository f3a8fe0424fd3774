import LMEngine
import ProgramKit
import TestKit
import Testing

extension SimulatedDevice {
    @Suite("Captured steps on the simulated device")
    struct GraphTests {
        /// Addresses are given once in a machine's life; back ends of many tests would use them up.
        init() throws { try AscendSimulator.restart() }

        @Test("A replayed step is one call, five for each layer's lengths, and one wait; it allocates nothing")
        func calls() throws {
            let trace = try Trace { try decodeNineTokens() }
            #expect(
                trace.entries.count { $0.name == "aclmdlRIExecuteAsync" } == 8, "the first is launched, then captured")
            let step = try #require(trace.steps.last { $0.contains { $0.name == "aclmdlRIExecuteAsync" } })
            let calls = Dictionary(step.map { ($0.name, 1) }, uniquingKeysWith: +)
            #expect(
                calls == [
                    "aclmdlRIExecuteAsync": 1, "aclmdlRICaptureTaskUpdateBegin": 3,
                    "aclnnFusedInferAttentionScoreV3GetWorkspaceSize": 3, "aclnnFusedInferAttentionScoreV3": 3,
                    "aclmdlRICaptureTaskUpdateEnd": 3, "aclrtRecordEvent": 3,
                    // The lengths of the step before go when those of this one are there.
                    "aclCreateIntArray": 1, "aclDestroyIntArray": 1,
                ])
        }

        private func decodeNineTokens() throws {
            let backend = try Simulator.backend(AscendModel.llama.checkpoint(layers: 3), batches: .standard)
            let tokens = randomTokens(9, seed: 2)
            let planner = StepPlanner(sequenceCount: 1)
            var result = StepResult()
            for position in 0..<9 {
                try backend.execute(planner.plan([(0, tokens, position..<position + 1)]), into: &result)
            }
        }

        @Test("Replayed steps give the bits of launched ones for every batch size from 1 to 33")
        func bits() throws {
            try compare(AscendModel.qwen2.checkpoint(), Array(1...33))
        }

        @Test("So they do with experts, whichever rows a step has", arguments: AscendModel.experts)
        func experts(_ model: AscendModel) throws {
            try compare(model.checkpoint(), [1, 2, 3, 5, 8, 13, 32, 33])
            try compare(model.checkpoint(.perToken), [1, 3, 17])
        }

        private func compare(_ checkpoint: any Checkpoint, _ counts: [Int]) throws {
            let eager = try Simulator.backend(checkpoint, blockCount: 66)
            let graph = try Simulator.backend(checkpoint, batches: .standard, blockCount: 66)
            for count in counts {
                let planner = StepPlanner(blocksPerSequence: 2, sequenceCount: count)
                let texts = (0..<count).map { randomTokens(24, seed: UInt64($0 + 100 * count)) }
                // Contexts of different lengths, on both sides of a block's end.
                let starts = (0..<count).map { 1 + ($0 * 5 + count) % 19 }
                let prompts = planner.plan(zip(0..., zip(texts, starts)).map { ($0, $1.0, 0..<$1.1) })
                #expect(try eager.forward(prompts) == graph.forward(prompts))
                for step in 0..<3 {
                    let plan = planner.plan(
                        zip(0..., zip(texts, starts)).map { ($0, $1.0, $1.1 + step..<$1.1 + step + 1) })
                    #expect(try eager.forward(plan) == graph.forward(plan), "\(count) sequences, step \(step)")
                }
            }
        }
    }
}
