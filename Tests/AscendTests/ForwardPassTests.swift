import LMEngine
import TestKit
import Testing

extension SimulatedDevice {
    @Suite("The forward pass on the simulated device")
    struct ForwardPassTests {
        @Test("Logits are the reference's within the rounding of bfloat16", arguments: AscendModel.dense)
        func logits(_ model: AscendModel) throws {
            try compare(model.checkpoint(), within: 0.06)
        }

        /// Without experts, of which a rounding may choose others.
        @Test(
            "Over latents too, which the reference expands to the keys and values of heads",
            arguments: AscendModel.latents)
        func latents(_ model: AscendModel) throws {
            try compare(QuantizedCheckpoint(model.denseConfiguration(), .bf16), within: 0.06)
        }

        @Test(
            "With 8-bit matrices they are so too, whichever way inputs are quantized", arguments: AscendModel.dense)
        func integers(_ model: AscendModel) throws {
            for integers in AscendModel.Integers.allCases {
                let checkpoint = try model.checkpoint(integers)
                #expect(try checkpoint.tensor(.layer(0, .query)).type == .i8)
                // Inputs are rounded to bfloat16 before they become integers, some of which then are others.
                try compare(checkpoint, within: 0.3)
            }
        }

        @Test("Greedy tokens found on the device are those of the largest logits, and hidden states the reference's")
        func outputs() throws {
            let checkpoint = AscendModel.qwen2.checkpoint()
            let backend = try Simulator.backend(checkpoint)
            let reference = try ReferenceBackend(checkpoint: checkpoint, dataType: .bfloat16)
            try reference.allocateKeyValueCache(blockCount: 64, blockSize: 16)
            let planner = StepPlanner(sequenceCount: 2)
            let texts = (0..<2).map { randomTokens(20, seed: UInt64($0 + 30)) }
            var plan = planner.plan([(0, texts[0], 0..<20), (1, texts[1], 0..<7)])
            let logits = try backend.forward(plan)
            var (own, expected) = (StepResult(), StepResult())
            plan.hiddenRows = [3, 19, 26]
            try backend.execute(plan, into: &own)
            try reference.execute(plan, into: &expected)
            #expect(own.tokens == logits.map { row in Int32(row.indices.max { row[$0] < row[$1] } ?? -1) })
            #expect(own.hiddenStates.count == 3 * 96)
            #expect(distance(own.hiddenStates, expected.hiddenStates) < 0.06)
            #expect(own.faults.isEmpty)
            // What needs the logits is sampled on the host, by the same rules as elsewhere.
            var parameters = StepPlanner.greedy
            parameters.logprobs = 2
            var detailed = StepResult()
            try backend.execute(planner.plan([(0, texts[0], 0..<20)], sampling: parameters), into: &detailed)
            #expect(detailed.tokens == [own.tokens[0]])
            #expect(detailed.logprobs.map(\.token).first == own.tokens[0] && detailed.logprobCounts == [3])
        }

        private func compare(_ checkpoint: any Checkpoint, within bound: Float) throws {
            let backend = try Simulator.backend(checkpoint, dataType: .bfloat16)
            let reference = try ReferenceBackend(checkpoint: checkpoint, dataType: .bfloat16)
            try reference.allocateKeyValueCache(blockCount: 64, blockSize: 16)
            let planner = StepPlanner(sequenceCount: 3)
            let texts = (0..<3).map { randomTokens(40, seed: UInt64($0 + 1)) }
            // Prefill, chunked prefill and decoding, together in a step.
            let steps = [
                [(0, texts[0], 0..<17), (1, texts[1], 0..<5)],
                [(0, texts[0], 17..<18), (1, texts[1], 5..<33), (2, texts[2], 0..<1)],
                [(0, texts[0], 18..<19), (1, texts[1], 33..<34), (2, texts[2], 1..<2)],
            ]
            for step in steps {
                let plan = planner.plan(step)
                let own = try backend.forward(plan)
                let expected = reference.forward(plan)
                for (sample, logits) in own.enumerated() {
                    let width = logits.count
                    let row = Array(expected[sample * width..<(sample + 1) * width])
                    #expect(distance(logits, row) < bound, "sample \(sample) of \(step)")
                }
            }
        }
    }
}

/// All that runs on the simulated device.
@Suite("On a simulated NPU", .serialized)
enum SimulatedDevice {}
