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
            try expectEqual(model.checkpoint())
        }

        @Test("So they are with 8-bit matrices, whichever way inputs are quantized", arguments: AscendModel.dense)
        func integers(_ model: AscendModel) throws {
            for integers in AscendModel.Integers.allCases { try expectEqual(model.checkpoint(integers)) }
        }

        @Test("So they are with experts of 8-bit matrices", arguments: AscendModel.experts)
        func integerExperts(_ model: AscendModel) throws {
            let checkpoint = try model.checkpoint(.perToken)
            #expect(try checkpoint.tensor(.expert(1, 0, .down)).type == .i8)
            try expectEqual(checkpoint)
        }

        @Test("So they are in float16", arguments: [AscendModel.qwen2, .qwen3Experts])
        func halves(_ model: AscendModel) throws {
            try expectEqual(model.checkpoint(), dataType: .float16, count: 8)
        }

        @Test(
            "A whole model decodes seventeen tokens as the reference does, with the same logits",
            .enabled(if: testModelPath != nil, "set LM_TEST_MODEL to SmolLM2's GGUF file"))
        func smolLM2() throws {
            let checkpoint = try loadCheckpoint(path: testModelPath ?? "")
            // "Once upon a time, in a small village by the sea,"
            let text: [Int32] = [6403, 1980, 253, 655, 28, 281, 253, 1165, 6560, 411, 260, 3426, 28]
            try expectEqual(checkpoint, texts: [text], count: 17)
        }

        /// The CPU keeps activations in float32, so that the two quantize alike nowhere behind the first norm: what is nearly
        /// half between two integers, or the largest of its row, becomes another one. They part where logits are close.
        @Test("With 8-bit matrices nine of ten tokens are the CPU back end's, each given the same text before it")
        func cpu() throws {
            var (same, all) = (0, 0)
            for model in AscendModel.dense {
                let checkpoint = try model.checkpoint(.perToken)
                let backend = try Simulator.backend(checkpoint, dataType: .bfloat16, batches: .standard)
                let cpu = try CPUBackend(checkpoint: checkpoint, threads: 1, dataType: .bfloat16)
                try cpu.allocateKeyValueCache(blockCount: 64, blockSize: 16)
                try decode(Self.prompts, count: 40, by: backend) { plan, tokens in
                    var result = StepResult()
                    try cpu.execute(plan, into: &result)
                    same += zip(result.tokens, tokens).count { $0 == $1 }
                    all += tokens.count
                }
            }
            #expect(same > all * 9 / 10, "\(same) of \(all)")
        }

        // MARK: - Decoding

        private static let prompts = (0..<4).map { randomTokens(3 + 4 * $0, seed: UInt64($0 + 1)) }

        /// Lets the device decode greedily, and the reference beside it compute the same steps.
        private func expectEqual(
            _ checkpoint: any Checkpoint, dataType: DataType = .bfloat16, texts: [[Int32]] = prompts, count: Int = 40
        ) throws {
            let backend = try Simulator.backend(checkpoint, dataType: dataType, batches: .standard)
            let reference = try ReferenceBackend(
                checkpoint: HalvesCheckpoint(base: checkpoint), dataType: dataType,
                activationType: dataType == .float16 ? .f16 : .bf16)
            try reference.allocateKeyValueCache(blockCount: 64, blockSize: 16)
            let width = checkpoint.configuration.vocabularySize
            try decode(texts, count: count, by: backend) { plan, tokens in
                let logits = try backend.forward(plan)
                let expected = reference.forward(plan)
                for (sample, token) in tokens.enumerated() {
                    let row = Array(expected[sample * width..<(sample + 1) * width])
                    #expect(
                        logits[sample] == row,
                        "\(plan.contextLengths[sample]) tokens: apart by \(distance(logits[sample], row)) deviations")
                    // Of equal logits the first.
                    #expect(token == row.indices.max { row[$0] < row[$1] }.map { Int32($0) })
                }
            }
        }

        /// Lets a back end continue each text by so many tokens, all in the same steps; each step is shown with its tokens.
        private func decode(
            _ texts: [[Int32]], count: Int, by backend: AscendBackend, _ show: (StepPlan, [Int32]) throws -> Void
        ) throws {
            let planner = StepPlanner(sequenceCount: texts.count)
            var texts = texts
            var starts = texts.map { _ in 0 }
            for _ in 0..<count {
                let plan = planner.plan(texts.indices.map { ($0, texts[$0], starts[$0]..<texts[$0].count) })
                var result = StepResult()
                try backend.execute(plan, into: &result)
                #expect(result.faults.isEmpty)
                try show(plan, result.tokens)
                for index in texts.indices {
                    starts[index] = texts[index].count
                    texts[index].append(result.tokens[index])
                }
            }
        }
    }
}
