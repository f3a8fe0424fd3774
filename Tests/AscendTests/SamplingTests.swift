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
        ]

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

        @Test("So they are in float16")
        func halves() throws {
            try compare(Simulator.backend(AscendModel.qwen3.checkpoint(), dataType: .float16, batches: .standard))
        }

        private func compare(_ backend: AscendBackend) throws {
            let planner = StepPlanner(sequenceCount: Self.mix.count)
            var (texts, starts) = (Self.prompts, Self.prompts.map { _ in 0 })
            var sampler = Sampler(vocabularySize: 320)
            for step in 0..<16 {
                let plan = Self.plan(texts, starts, planner)
                var (own, expected) = (StepResult(), StepResult())
                try backend.execute(plan, into: &own)
                for (task, logits) in zip(plan.samples, try backend.forward(plan)) {
                    var row = logits
                    row.withUnsafeMutableBufferPointer { sampler.sample($0, task, into: &expected) }
                }
                #expect(own.tokens == expected.tokens, "step \(step)")
                #expect(own.logprobs.map(\.token) == expected.logprobs.map(\.token))
                #expect(own.logprobs.map(\.logprob) == expected.logprobs.map(\.logprob))
                #expect(own.logprobCounts == expected.logprobCounts && own.faults.isEmpty)
                for index in texts.indices {
                    starts[index] = texts[index].count
                    texts[index].append(own.tokens[index])
                }
            }
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

        @Test("A replayed step that keeps the best few is the calls of a greedy one: one copy brings all")
        func callsOfTopK() throws {
            let (greedy, topK) = (try trace(StepPlanner.greedy), try trace(Self.topK))
            func replay(_ trace: Trace) throws -> [Substring: Int] {
                let step = try #require(trace.steps.last { $0.contains { $0.name == "aclmdlRIExecuteAsync" } })
                return Dictionary(step.map { ($0.name, 1) }, uniquingKeysWith: +)
            }
            #expect(try replay(topK) == replay(greedy))
            #expect(topK.ends.count == greedy.ends.count, "nothing is waited for twice")
            #expect(topK.entries.count { $0.name == "aclmdlRIExecuteAsync" } == 8)
            #expect(greedy.entries.contains { $0.name == "aclnnTopk" } == false)
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
