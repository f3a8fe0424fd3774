import LMEngine
import ProgramKit
import TestKit
import Testing

extension SimulatedDevice {
    /// The reference rounds what each operator of the device writes, and sums in the same order, so that nothing is left to
    /// chance: tokens need no allowance for ties.
    @Suite("Greedy decoding on the simulated device")
    struct GreedyTests {
        /// Addresses are given once in a machine's life; back ends of many tests would use them up.
        init() throws { try AscendSimulator.restart() }

        @Test(
            "Logits are in every bit those of a reference that rounds as the operators do, and tokens are the same",
            arguments: AscendModel.allCases)
        func floats(_ model: AscendModel) throws {
            try Decoding.expectEqual(model.checkpoint())
        }

        @Test("So they are with 8-bit matrices, whichever way inputs are quantized", arguments: AscendModel.dense)
        func integers(_ model: AscendModel) throws {
            for integers in AscendModel.Integers.allCases { try Decoding.expectEqual(model.checkpoint(integers)) }
        }

        @Test("So they are with experts of 8-bit matrices", arguments: AscendModel.experts)
        func integerExperts(_ model: AscendModel) throws {
            let checkpoint = try model.checkpoint(.perToken)
            #expect(try checkpoint.tensor(.expert(1, 0, .down)).type == .i8)
            try Decoding.expectEqual(checkpoint)
        }

        /// Experts take inputs with a scale of their own alone, and so this is without.
        @Test(
            "So they are over latents behind long prompts, and with 8-bit matrices, whichever way inputs are quantized",
            arguments: AscendModel.latents)
        func latents(_ model: AscendModel) throws {
            let texts = [randomTokens(43, seed: 51), randomTokens(20, seed: 52)]
            try Decoding.expectEqual(model.checkpoint(), texts: texts, count: 8)
            for integers in AscendModel.Integers.allCases {
                let checkpoint = try AscendModel.checkpoint(of: model.denseConfiguration(), integers)
                #expect(try checkpoint.tensor(.layer(0, .keyValueLatent)).type == .i8)
                try Decoding.expectEqual(checkpoint, texts: texts, count: 8)
            }
        }

        @Test("So they are in float16", arguments: [AscendModel.qwen2, .qwen3Experts, .deepseekV3])
        func halves(_ model: AscendModel) throws {
            try Decoding.expectEqual(model.checkpoint(), dataType: .float16, count: 8)
        }

        @Test(
            "A whole model decodes seventeen tokens as the reference does, with the same logits",
            .enabled(if: testModelPath != nil, "set LM_TEST_MODEL to SmolLM2's GGUF file"))
        func smolLM2() throws {
            let checkpoint = try loadCheckpoint(path: testModelPath ?? "")
            // "Once upon a time, in a small village by the sea,"
            let text: [Int32] = [6403, 1980, 253, 655, 28, 281, 253, 1165, 6560, 411, 260, 3426, 28]
            try Decoding.expectEqual(checkpoint, texts: [text], count: 17)
        }

        /// The CPU keeps activations in float32, so that the two quantize alike nowhere behind the first norm: what is nearly
        /// half between two integers, or the largest of its row, becomes another one.
        @Test("With 8-bit matrices the CPU back end's token is the device's or one as likely there, to two roundings")
        func cpu() throws {
            var (same, all) = (0, 0)
            for model in AscendModel.dense {
                let checkpoint = try model.checkpoint(.perToken)
                let backend = try Simulator.backend(checkpoint, dataType: .bfloat16, batches: .standard)
                let cpu = try CPUBackend(checkpoint: checkpoint, threads: 1, dataType: .bfloat16)
                try cpu.allocateKeyValueCache(blockCount: 64, blockSize: 16)
                try Decoding.decode(Decoding.prompts, count: 40, by: backend) { plan, tokens in
                    var result = StepResult()
                    try cpu.execute(plan, into: &result)
                    for (sample, row) in try backend.forward(plan).enumerated() {
                        #expect(roundings(of: result.tokens[sample], in: row) <= 2, "\(model), sample \(sample)")
                    }
                    same += zip(result.tokens, tokens).count { $0 == $1 }
                    all += tokens.count
                }
            }
            #expect(same > all * 9 / 10, "\(same) of \(all)")
        }
    }
}
