import LMEngine
import ProgramKit
import TestKit
import Testing

extension SimulatedDevice {
    /// What ranks add up is rounded before, so that a model on several NPUs is another rounding of the same model: the
    /// reference cuts its sums in the same places.
    @Suite("A model on several NPUs")
    struct DivisionTests {
        init() throws { try AscendSimulator.restart() }

        @Test(
            "Logits are in every bit those of a reference that forms its sums in as many parts",
            arguments: [2, 4], AscendModel.allCases)
        func floats(_ ranks: Int, _ model: AscendModel) throws {
            try Decoding.expectEqual(model.checkpoint(), division: AscendDivision(ranks: ranks), count: 12)
        }

        @Test(
            "So they are with 8-bit matrices, whichever way inputs are quantized", arguments: [2, 4], AscendModel.dense)
        func integers(_ ranks: Int, _ model: AscendModel) throws {
            for integers in AscendModel.Integers.allCases {
                try Decoding.expectEqual(
                    model.checkpoint(integers), division: AscendDivision(ranks: ranks), count: 6)
            }
        }

        /// Biases of all matrices, those behind heads and hidden elements too, which one rank alone adds.
        @Test("Biases behind sums are added once", arguments: [2, 4])
        func biases(_ ranks: Int) throws {
            var model = AscendModel.qwen2.configuration()
            (model.hasAttentionOutputBias, model.hasFeedForwardBias) = (true, true)
            let division = AscendDivision(ranks: ranks)
            try Decoding.expectEqual(QuantizedCheckpoint(model, .bf16), division: division, count: 6)
            for integers in AscendModel.Integers.allCases {
                try Decoding.expectEqual(
                    AscendModel.checkpoint(of: model, integers), division: division, count: 8)
            }
        }

        @Test("Experts may be cut like the rest, of 8-bit integers too", arguments: AscendModel.experts)
        func integerExperts(_ model: AscendModel) throws {
            try Decoding.expectEqual(
                model.checkpoint(.perToken), division: AscendDivision(ranks: 2), count: 8)
        }

        @Test("Or each is whole on one rank", arguments: [2, 4], AscendModel.experts)
        func wholeExperts(_ ranks: Int, _ model: AscendModel) throws {
            let division = AscendDivision(ranks: ranks, dividesExperts: true)
            try Decoding.expectEqual(model.checkpoint(), division: division, count: 8)
            try Decoding.expectEqual(model.checkpoint(.perToken), division: division, count: 6)
        }

        @Test("Weights of block formats are cut between the elements of a block", arguments: [2, 4])
        func blocks(_ ranks: Int) throws {
            var model = AscendModel.llama.configuration()
            // Shares of 32 hidden elements and less, where blocks have 32.
            model.feedForwardLength = 64
            try Decoding.expectEqual(
                QuantizedCheckpoint(model, .q4_1), division: AscendDivision(ranks: ranks), count: 8)
        }

        /// Sums of bfloat16 addends are rounded once more for each rank; so may experts be others, whose logits are then far away.
        @Test(
            "A token is that of one NPU or as likely there, to a rounding; logits are within a few", arguments: [2, 4])
        func againstOne(_ ranks: Int) throws {
            let cut = AscendModel.allCases.map { ($0, AscendDivision(ranks: ranks)) }
            let whole = AscendModel.experts.map { ($0, AscendDivision(ranks: ranks, dividesExperts: true)) }
            var (same, all) = (0, 0)
            for (model, division) in cut + whole {
                let one = try Simulator.backend(model.checkpoint(), dataType: .bfloat16)
                let several = try Simulator.backend(model.checkpoint(), division: division, dataType: .bfloat16)
                try Decoding.decode(Decoding.prompts, count: 20, by: one) { plan, tokens in
                    let (expected, logits) = (try one.forward(plan), try several.forward(plan))
                    for (sample, row) in expected.enumerated() {
                        let token = likeliest(of: logits[sample])
                        #expect(roundings(of: token, in: row) <= 1, "\(model), sample \(sample)")
                        if token == tokens[sample] { same += 1 }
                        guard AscendModel.dense.contains(model) else { continue }
                        #expect(distance(logits[sample], row) < 0.06, "\(model), sample \(sample)")
                    }
                    all += tokens.count
                }
            }
            #expect(same >= all * 98 / 100, "\(same) of \(all)")
        }

        @Test(
            "Sums that are scattered and gathered give the bits of those that all ranks have, whatever the number of rows",
            arguments: [2, 4], [AscendModel.qwen2, .qwen3, .mixtral, .qwen2Experts, .deepseekV3])
        func scattered(_ ranks: Int, _ model: AscendModel) throws {
            let hasExperts = AscendModel.experts.contains(model)
            for checkpoint in [model.checkpoint(), try model.checkpoint(.perToken)] as [any Checkpoint] {
                try compareScattered(checkpoint, ranks: ranks, dividesExperts: hasExperts && ranks == 2)
            }
            if !hasExperts { try compareScattered(model.checkpoint(.fixed), ranks: ranks) }
        }

        private func compareScattered(_ checkpoint: any Checkpoint, ranks: Int, dividesExperts: Bool = false) throws {
            let all = AscendDivision(ranks: ranks, dividesExperts: dividesExperts)
            var scattered = all
            scattered.scatteredRows = 2
            let planner = StepPlanner(sequenceCount: 3)
            let texts = (0..<3).map { randomTokens(40, seed: UInt64($0 + 7)) }
            // 23, 24, 25, 2 and 1 rows: the last are too few.
            var steps = [
                planner.plan([(0, texts[0], 0..<17), (1, texts[1], 0..<6)]),
                planner.plan([(0, texts[0], 17..<18), (1, texts[1], 6..<28), (2, texts[2], 0..<1)]),
                planner.plan([(0, texts[0], 18..<20), (1, texts[1], 28..<30), (2, texts[2], 1..<22)]),
                planner.plan([(0, texts[0], 20..<21), (1, texts[1], 30..<31)]),
                planner.plan([(2, texts[2], 22..<23)]),
            ]
            steps[2].hiddenRows = [0, 3, 24]
            let backends = try [all, scattered].map {
                try Simulator.backend(checkpoint, division: $0, dataType: .bfloat16)
            }
            for plan in steps {
                #expect(try backends[0].forward(plan) == backends[1].forward(plan), "\(plan.rowCount) rows")
                var (expected, own) = (StepResult(), StepResult())
                try backends[0].execute(plan, into: &expected)
                try backends[1].execute(plan, into: &own)
                #expect(own.tokens == expected.tokens && own.hiddenStates == expected.hiddenStates)
                #expect(own.faults.isEmpty)
            }
        }

        @Test("What cannot be divided, or for which there are too few NPUs, is refused by name")
        func refusals() throws {
            func refusal(_ division: AscendDivision, _ change: (inout ModelConfiguration) -> Void = { _ in }) -> String?
            {
                var model = AscendModel.mixtral.configuration()
                change(&model)
                do throws(EngineError) {
                    try AscendBackend.check(QuantizedCheckpoint(model, .bf16), division: division)
                    return nil
                } catch {
                    return error.code == .unsupportedModel ? error.message : "wrong code: \(error)"
                }
            }
            #expect(refusal(AscendDivision(ranks: 2)) == nil)
            #expect(refusal(AscendDivision(ranks: 3))?.contains("4 heads, which 3 NPUs cannot divide") == true)
            #expect(refusal(AscendDivision(ranks: 4, dividesExperts: true)) == nil)
            #expect(
                refusal(AscendDivision(ranks: 4, dividesExperts: true)) { $0.mixture?.expertCount = 6 }?
                    .contains("6 experts, which 4") == true)
            #expect(
                refusal(AscendDivision(ranks: 4)) { $0.mixture?.expertLength = 66 }?.contains("66 elements") == true)
            #expect(
                refusal(AscendDivision(ranks: 2, dividesExperts: true)) { model in
                    model.mixture = nil
                    for layer in model.layers.indices { model.layers[layer].isMixture = false }
                }?.contains("no experts to divide") == true)

            try AscendSimulator.restart(["DEVICES": "2"])
            let error = #expect(throws: EngineError.self) {
                try Simulator.backend(AscendModel.llama.checkpoint(), division: AscendDivision(ranks: 4))
            }
            #expect(error?.code == .deviceUnavailable)
            #expect(error?.message.contains("--tensor-parallel-size 4 needs 4 NPUs, but this process sees 2") == true)
        }
    }
}
