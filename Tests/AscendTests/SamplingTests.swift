import LMEngine
import ProgramKit
import TestKit
import Testing

extension SimulatedDevice {
    /// What a step samples is held against the sampler of the CPU, given all logits of the same device.
    @Suite("Sampling on the simulated device")
    struct SamplingTests {
        /// Addresses are given once in a machine's life; back ends of many tests would use them up.
        init() throws { try AscendSimulator.restart() }

        private static func parameters(_ change: (inout SamplingParameters) -> Void) -> SamplingParameters {
            var parameters = SamplingParameters()
            parameters.seed = 5
            change(&parameters)
            return parameters
        }

        private static let topK = parameters { $0.topK = 5 }
        /// Rows of a step: of what is chosen on the device, from candidates, and from all logits.
        private static let mix = [
            StepPlanner.greedy, topK, parameters { ($0.topK, $0.topP) = (40, 0.9) },
            parameters { $0.temperature = 0.8 },
            parameters { ($0.topK, $0.repetitionPenalty, $0.presencePenalty) = (20, 1.1, 0.5) },
            parameters { ($0.minP, $0.temperature) = (0.2, 0.7) },
            parameters { ($0.temperature, $0.repetitionPenalty) = (0, 1.3) },
            parameters { ($0.topK, $0.logprobs) = (3, 2) },
            parameters { ($0.topK, $0.frequencyPenalty) = (9, -0.5) }, parameters { ($0.topK, $0.topP) = (64, 0.5) },
            topP, parameters { ($0.topP, $0.temperature, $0.logprobs) = (0.9, 0.4, 3) }, logprobs,
            parameters { ($0.topP, $0.temperature) = (0.95, 1.3) },
            parameters { ($0.topP, $0.temperature, $0.repetitionPenalty, $0.presencePenalty) = (0.7, 0.3, 1.2, 0.5) },
        ]

        /// So cold that few tokens weigh anything.
        private static let topP = parameters { ($0.topP, $0.temperature) = (0.8, 0.05) }
        private static let logprobs = parameters { ($0.temperature, $0.logprobs) = (0, 20) }

        /// So flat that the last candidate may be kept, and others with it.
        private static let flat = parameters { ($0.minP, $0.temperature) = (0.008, 2) }

        private static let prompts = mix.indices.map { randomTokens(3 + $0, seed: UInt64($0 + 1)) }

        /// A step of one sequence for each row of the mix.
        private static func plan(_ texts: [[Int32]], _ starts: [Int], _ planner: StepPlanner) -> StepPlan {
            var plan = planner.plan(texts.indices.map { ($0, texts[$0], starts[$0]..<texts[$0].count) })
            for (sample, parameters) in mix.enumerated() {
                plan.samples[sample].parameters = parameters
                plan.samples[sample].promptLength = prompts[sample].count
                // A few steps without an end token.
                if sample % 3 == 1 && plan.samples[sample].outputPosition < 4 {
                    plan.samples[sample].bannedTokens = [1, 2]
                }
            }
            return plan
        }

        @Test(
            "Tokens and log-probabilities are those of whole logits, launched and replayed, on one NPU and on two",
            arguments: [BatchBuckets.none, .standard], [1, 2])
        func mixedRows(_ batches: BatchBuckets, _ ranks: Int) throws {
            for model in [AscendModel.qwen2, .mixtral] {
                let backend = try Simulator.backend(
                    model.checkpoint(), division: AscendDivision(ranks: ranks), dataType: .bfloat16, batches: batches)
                try compare(backend)
            }
        }

        @Test("So they are in float16, with CANN 8.1, and on 310P")
        func halves() throws {
            for settings in [[:], ["CANN": "8.1"], ["SOC": "Ascend310P3"]] {
                try AscendSimulator.restart(settings)
                try compare(
                    Simulator.backend(
                        AscendModel.qwen3.checkpoint(), dataType: .float16,
                        batches: settings["SOC"] == nil ? .standard : .none))
            }
        }

        @Test("So they are of more rows than are summed at a time", arguments: [.none, try BatchBuckets([96])])
        func manyRows(_ batches: BatchBuckets) throws {
            let backend = try Simulator.backend(
                AscendModel.llama.checkpoint(), dataType: .bfloat16, batches: batches, blockCount: 80)
            let planner = StepPlanner(blocksPerSequence: 1, sequenceCount: 75)
            let texts = (0..<75).map { randomTokens(4, seed: UInt64($0 + 7)) }
            for position in 0..<4 {
                var plan = planner.plan(texts.indices.map { ($0, texts[$0], position..<position + 1) })
                for sample in plan.samples.indices {
                    plan.samples[sample].parameters = Self.parameters {
                        ($0.topP, $0.seed, $0.logprobs) = (0.9, UInt64(sample), 1)
                        $0.temperature = 0.1 + 0.01 * Float(sample)
                    }
                }
                try expectEqual(backend, plan, "position \(position)")
            }
        }

        @Test("Sums that are none have all logits copied, and the tokens are the same")
        func damagedSums() throws {
            let row = 320 * 2
            for sampling in [Self.topP, Self.logprobs] {
                var tokens: [[Int32]] = []
                for faults in ["", "nan op=aclnnLogSumExp row=0 every=true"] {
                    let trace = try Trace(["FAULTS": faults]) {
                        let backend = try Simulator.backend(AscendModel.llama.checkpoint(layers: 3))
                        tokens.append(try sample(sampling, by: backend))
                    }
                    // Rows side by side are copied at once.
                    let copies = trace.steps.flatMap(Trace.downloads)
                    let whole = copies.count { [row, 2 * row, 3 * row].contains($0) }
                    // Some of the cold rows are known without.
                    let expected = faults.isEmpty ? 0...0 : sampling.logprobs == nil ? 1...27 : 9...9
                    #expect(expected.contains(whole))
                }
                #expect(tokens[0] == tokens[1])
            }
        }

        private func compare(_ backend: AscendBackend) throws {
            let planner = StepPlanner(sequenceCount: Self.mix.count)
            var (texts, starts) = (Self.prompts, Self.prompts.map { _ in 0 })
            for step in 0..<16 {
                let tokens = try expectEqual(backend, Self.plan(texts, starts, planner), "step \(step)")
                for index in texts.indices {
                    starts[index] = texts[index].count
                    texts[index].append(tokens[index])
                }
            }
        }

        /// Holds a step against the sampler of the CPU. Returns its tokens.
        @discardableResult
        private func expectEqual(
            _ backend: AscendBackend, _ plan: StepPlan, _ comment: Comment
        ) throws -> [Int32] {
            var sampler = Sampler(vocabularySize: 320)
            var (own, expected) = (StepResult(), StepResult())
            try backend.execute(plan, into: &own)
            for (task, logits) in zip(plan.samples, try backend.forward(plan)) {
                var row = logits
                row.withUnsafeMutableBufferPointer { sampler.sample($0, task, into: &expected) }
            }
            #expect(own.tokens == expected.tokens, comment)
            #expect(own.logprobs.map(\.token) == expected.logprobs.map(\.token), comment)
            // The device's sum is of 32 bits, the sampler's one of integers.
            for (a, b) in zip(own.logprobs, expected.logprobs) { #expect(abs(a.logprob - b.logprob) < 2e-6, comment) }
            #expect(own.logprobCounts == expected.logprobCounts && own.faults.isEmpty)
            return own.tokens
        }

        /// Samples behind each of nine tokens of three sequences.
        private func sample(
            _ sampling: SamplingParameters, by backend: AscendBackend
        ) throws(EngineError) -> [Int32] {
            let texts = (0..<3).map { randomTokens(9, seed: UInt64($0 + 2)) }
            let planner = StepPlanner(sequenceCount: texts.count)
            var (result, sampled) = (StepResult(), [Int32]())
            for position in 0..<9 {
                let shares = texts.indices.map { ($0, texts[$0], position..<position + 1) }
                try backend.execute(planner.plan(shares, sampling: sampling), into: &result)
                sampled += result.tokens
            }
            return sampled
        }

        /// The calls that this takes.
        private func trace(_ sampling: SamplingParameters) throws -> Trace {
            try Trace {
                let checkpoint = AscendModel.llama.checkpoint(layers: 3)
                let sampled = try sample(sampling, by: Simulator.backend(checkpoint, batches: .standard))
                #expect(sampled.allSatisfy { $0 >= 0 })
            }
        }

        @Test("A replayed step that keeps few tokens, or tells their probabilities, is the calls of a greedy one")
        func callsOfReplays() throws {
            let greedy = try trace(StepPlanner.greedy)
            func replay(_ trace: Trace) throws -> [Substring: Int] {
                let step = try #require(trace.steps.last { $0.contains { $0.name == "aclmdlRIExecuteAsync" } })
                return Dictionary(step.map { ($0.name, 1) }, uniquingKeysWith: +)
            }
            #expect(greedy.entries.contains { $0.name == "aclnnTopk" } == false)
            for (sampling, sums) in [(Self.topK, 0), (Self.topP, 2), (Self.logprobs, 2)] {
                let trace = try trace(sampling)
                #expect(try replay(trace) == replay(greedy), "one copy brings all")
                #expect(trace.ends.count == greedy.ends.count, "nothing is waited for twice")
                #expect(trace.entries.count { $0.name == "aclmdlRIExecuteAsync" } == 8)
                // In the step that is launched, and when it is captured.
                #expect(trace.entries.count { $0.name == "aclnnLogSumExp" } == 2 * sums)
            }
        }

        @Test("Where steps are not captured the plans of the sums are kept")
        func keptSums() throws {
            let trace = try Trace {
                _ = try sample(Self.topP, by: Simulator.backend(AscendModel.llama.checkpoint(layers: 3)))
            }
            func count(_ step: [Trace.Entry], _ name: String) -> Int { step.count { $0.name == name } }
            let step = try #require(trace.steps.last { count($0, "aclnnLogSumExp") > 0 })
            #expect(count(step, "aclnnLogSumExp") == 2 && count(step, "aclnnMul") == 1)
            #expect(count(step, "aclnnLogSumExpGetWorkspaceSize") == 0 && count(step, "aclCreateIntArray") == 1)
            let all = trace.entries
            #expect(count(all, "aclCreateIntArray") == count(all, "aclDestroyIntArray"))
        }

        @Test("Logits are copied of the rows that need them, before the wait if that is known")
        func copiesOfLogits() throws {
            let rows = 3 * 320 * 2
            let whole = try trace(Self.parameters { $0.temperature = 1 })
            let step = try #require(whole.steps.last { $0.contains { $0.name == "aclmdlRIExecuteAsync" } })
            #expect(Trace.downloads(step) == [rows])
            let late = try trace(Self.flat)
            let steps = late.steps.suffix(3).dropLast()
            #expect(steps.first?.contains { $0.name == "aclmdlRIExecuteAsync" } == true)
            #expect(steps.map(Trace.downloads) == [[], [rows]])
            // So flat that top-p ends behind the candidates.
            let flat = try trace(Self.parameters { ($0.topP, $0.temperature) = (0.9, 2) })
            #expect(flat.steps.suffix(3).dropLast().map(Trace.downloads) == [[], [rows]])
        }

        @Test("A device that is lost between a step and its logits is set up anew, and yields the same")
        func lostBeforeLogits() throws {
            let copies = try trace(Self.flat).entries.count { $0.name == "aclrtMemcpyAsync" }
            try AscendSimulator.restart(["FAULTS": "fail call=aclrtMemcpyAsync nth=\(copies) code=507899"])
            let backend = try Simulator.backend(AscendModel.llama.checkpoint(layers: 3), batches: .standard)
            let error = #expect(throws: EngineError.self) { try sample(Self.flat, by: backend) }
            #expect(error?.code == .deviceLost)
            let again = try sample(Self.flat, by: backend)
            try AscendSimulator.restart()
            let expected = try sample(
                Self.flat, by: Simulator.backend(AscendModel.llama.checkpoint(layers: 3), batches: .standard))
            #expect(again == expected)
        }
    }
}
