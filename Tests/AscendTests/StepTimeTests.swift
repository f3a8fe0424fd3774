import LMEngine
import ProgramKit
import TestKit
import Testing

extension SimulatedDevice {
    /// The back end's own steps, by the simulated device's model of costs. Nothing is computed.
    @Suite("What a step costs")
    struct StepTimeTests {
        /// One decoding step.
        private struct Step {
            /// All but those that make and destroy objects, with the wait at its end.
            var calls: Int
            /// All.
            var allCalls: Int
            /// Operators put on a stream by the host.
            var launches: Int
            /// Bytes that the host asks for, with those that a replay brings unasked left out.
            var downloaded: Int
            var milliseconds: Double
        }

        private static let batches = [1, 8, 32]

        /// For each batch a step that is launched operator by operator, and one that is replayed; or, where none is, one whose
        /// plans were kept.
        private static func steps(
            _ model: ModelConfiguration, isInteger: Bool, sampling: SamplingParameters = StepPlanner.greedy,
            graphs: BatchBuckets = .standard
        ) throws -> [(launched: Step, replayed: Step)] {
            let trace = try Trace(["COMPUTE": "0", "DELAY_US": "0"]) {
                // Tiles are looked at when they are made, and here none is.
                let backend = try Simulator.backend(
                    HollowCheckpoint(configuration: model, isInteger: isInteger), batches: graphs, tiling: .none,
                    blockCount: 32 * 9,
                    blockSize: 128)
                let planner = StepPlanner(blockSize: 128, blocksPerSequence: 9, sequenceCount: 32)
                let tokens = [Int32](repeating: 1, count: 1_040)
                var result = StepResult()
                // A prompt of another size, so that the first step of a batch has nothing but itself before it.
                try backend.execute(planner.plan([(0, tokens, 0..<2)]), into: &result)
                for batch in batches {
                    for position in 1_024..<1_028 {
                        let plan = planner.plan(
                            (0..<batch).map { ($0, tokens, position..<position + 1) }, sampling: sampling)
                        try backend.execute(plan, into: &result)
                    }
                }
            }
            let steps = zip(trace.steps, zip(trace.ends, [0] + trace.ends)).suffix(4 * batches.count)
                .map { calls, ends in
                    Step(
                        calls: calls.count { !$0.name.hasPrefix("aclCreate") && !$0.name.hasPrefix("aclDestroy") } + 1,
                        allCalls: calls.count + 1,
                        launches: calls.count { $0.name.hasPrefix("aclnn") && !$0.name.hasSuffix("GetWorkspaceSize") },
                        downloaded: Trace.downloads(calls).reduce(0, +),
                        milliseconds: (ends.0 - ends.1) / 1_000)
                }
            return batches.indices.map { (steps[4 * $0], steps[4 * $0 + 3]) }
        }

        @Test(
            "SmolLM2's replayed step is a replay, a wait and five calls for each attention", arguments: [false, true])
        func smolLM2(isInteger: Bool) throws {
            for step in try Self.steps(.smolLM2, isInteger: isInteger) {
                #expect(step.replayed.calls == 2 + 5 * 30)
                #expect(step.launched.launches <= (isInteger ? 16 : 14) * 30 + 8)
                #expect(step.replayed.milliseconds < step.launched.milliseconds)
            }
        }

        @Test("So is that of a 7B model, which takes little longer than reading its weights", arguments: [false, true])
        func qwen7B(isInteger: Bool) throws {
            let (few, more) = (
                try Self.steps(.qwen7B(layers: 1), isInteger: isInteger),
                try Self.steps(.qwen7B(layers: 3), isInteger: isInteger)
            )
            let eager = try [1, 3].map {
                try Self.steps(.qwen7B(layers: $0), isInteger: isInteger, graphs: .none).map(\.replayed)
            }
            let bound = Self.weightByteCount(isInteger: isInteger) / 1.6e9
            for (index, (one, three)) in zip(few, more).enumerated() {
                #expect(one.replayed.calls == 2 + 5 && three.replayed.calls == 2 + 5 * 3)
                let launches = (three.launched.launches - one.launched.launches) / 2
                #expect(launches <= (isInteger ? 16 : 14))
                // A layer is what two more of them add.
                func whole(_ one: Step, _ three: Step) -> Double {
                    one.milliseconds + (three.milliseconds - one.milliseconds) / 2 * 27
                }
                let launched = whole(one.launched, three.launched)
                let replayed = whole(one.replayed, three.replayed)
                let kept = whole(eager[0][index], eager[1][index])
                #expect(bound < replayed && replayed < kept && kept < launched && launched < 2.5 * bound)
                print(
                    "Qwen2.5-7B on Ascend910B3, \(isInteger ? "W8A8" : "bf16"), batch \(Self.batches[index]): bound "
                        + "\(bound) ms, replayed \(replayed) ms, plans kept \(kept) ms, launched \(launched) ms; "
                        + "\(launches) launches a layer")
            }
        }

        @Test("A replayed step of DeepSeek-V2-Lite takes as many calls for a layer as any, of 25 launches")
        func deepseekV2Lite() throws {
            let (few, more) = (
                try Self.steps(.deepseekV2Lite(layers: 2), isInteger: false),
                try Self.steps(.deepseekV2Lite(layers: 4), isInteger: false)
            )
            for (batch, (two, four)) in zip(Self.batches, zip(few, more)) {
                #expect(two.replayed.calls == 2 + 5 * 2 && four.replayed.calls == 2 + 5 * 4)
                let launches = (four.launched.launches - two.launched.launches) / 2
                #expect(launches == 25)
                // A layer with experts is what two more of them add; there are 26, and one without.
                func whole(_ two: Step, _ four: Step) -> Double {
                    two.milliseconds + (four.milliseconds - two.milliseconds) / 2 * 25
                }
                let launched = whole(two.launched, four.launched)
                let replayed = whole(two.replayed, four.replayed)
                let bound = Self.latentWeightByteCount(batch: batch) / 1.6e9
                #expect(bound < replayed && replayed <= launched)
                print(
                    "DeepSeek-V2-Lite on Ascend910B3, bf16, batch \(batch): bound \(bound) ms, replayed \(replayed) "
                        + "ms, launched \(launched) ms; \(launches) launches a layer")
            }
        }

        @Test("Plans that were kept halve what a step without graphs costs the host", arguments: [false, true])
        func keptPlans(isInteger: Bool) throws {
            for (name, model, layers) in [
                ("SmolLM2-135M", ModelConfiguration.smolLM2, 30), ("Qwen2.5-0.5B", .qwenHalfB, 24),
                ("three layers of Qwen2.5-7B", .qwen7B(layers: 3), 3),
            ] {
                let steps = try Self.steps(model, isInteger: isInteger, graphs: .none)
                let graphs = try Self.steps(model, isInteger: isInteger)
                for (batch, (step, graph)) in zip(Self.batches, zip(steps, graphs)) {
                    let (first, kept) = (step.launched, step.replayed)
                    // Two copies, a wait, and attention, whose plan is made anew.
                    #expect(kept.launches == first.launches && kept.calls == kept.launches + 3 + layers)
                    #expect(kept.milliseconds <= first.milliseconds)
                    print(
                        "\(name), \(isInteger ? "W8A8" : "bf16"), batch \(batch), without graphs: "
                            + "\(graph.launched.allCalls) calls planned once, \(first.allCalls) planned to be kept, "
                            + "\(kept.allCalls) kept; \(graph.launched.milliseconds), \(first.milliseconds) and "
                            + "\(kept.milliseconds) ms; replayed \(graph.replayed.milliseconds) ms")
                }
            }
        }

        @Test("Of many sizes some are kept and the others planned anew; nothing is lost by it")
        func manySizes() throws {
            let trace = try Trace(["COMPUTE": "0", "DELAY_US": "0"]) {
                let backend = try Simulator.backend(
                    HollowCheckpoint(configuration: .smolLM2, isInteger: false), blockCount: 64 * 2, blockSize: 128)
                let planner = StepPlanner(blockSize: 128, blocksPerSequence: 2, sequenceCount: 64)
                let tokens = [Int32](repeating: 1, count: 130)
                var result = StepResult()
                // The largest first, so that nothing is dropped because memory moves.
                for batch in [64] + Array(1...40) {
                    let plan = planner.plan((0..<batch).map { ($0, tokens, 128..<129) })
                    try backend.execute(plan, into: &result)
                }
            }
            let kept = trace.entries.count { $0.name == "aclSetAclOpExecutorRepeatable" }
            #expect((6_000...8_192).contains(kept))
            #expect(trace.entries.count { $0.name == "aclDestroyAclOpExecutor" } == kept)
            let last = trace.steps.last { $0.contains { $0.name == "aclnnMm" } } ?? []
            #expect(last.contains { $0.name == "aclnnMmGetWorkspaceSize" })
            #expect(!last.contains { $0.name == "aclSetAclOpExecutorRepeatable" })
        }

        @Test("Sampling the best few brings the host a small part of the logits, and takes a step no call more")
        func sampling() throws {
            func steps(_ change: (inout SamplingParameters) -> Void) throws -> [(launched: Step, replayed: Step)] {
                var parameters = SamplingParameters()
                parameters.seed = 1
                change(&parameters)
                return try Self.steps(.qwen7B(layers: 1), isInteger: false, sampling: parameters)
            }
            let (greedy, best, whole) = (
                try steps { $0.temperature = 0 }, try steps { $0.topK = 20 }, try steps { $0.temperature = 0.7 }
            )
            let (topP, logprobs) = (
                try steps { $0.topP = 0.8 }, try steps { ($0.temperature, $0.logprobs) = (0, 5) }
            )
            for (index, batch) in Self.batches.enumerated() {
                let (greedy, best, whole) = (greedy[index], best[index], whole[index])
                #expect(best.replayed.calls == greedy.replayed.calls)
                #expect(best.launched.launches == greedy.launched.launches + 1)
                for summed in [topP[index], logprobs[index]] {
                    #expect(summed.replayed.calls == greedy.replayed.calls)
                    #expect(summed.launched.launches == best.launched.launches + 3)
                    // Two logarithms of 4 bytes, and what lies between two arrays.
                    #expect((0...128).contains(summed.launched.downloaded - best.launched.downloaded - batch * 8))
                }
                #expect(whole.launched.downloaded == greedy.launched.downloaded + batch * 152_064 * 2)
                // A token of 8 bytes and a logit of 2 for each of 128, and what lies between two arrays.
                let added = best.launched.downloaded - greedy.launched.downloaded
                #expect((0...256).contains(added - batch * 128 * 10))
                print(
                    "Sampling in a step of \(batch) rows: \(best.launched.downloaded) bytes, "
                        + "\(whole.launched.downloaded) with all logits, \(greedy.launched.downloaded) greedy; replayed "
                        + "\(best.replayed.milliseconds), \(whole.replayed.milliseconds) and "
                        + "\(greedy.replayed.milliseconds) ms; with sums \(topP[index].launched.downloaded) bytes and "
                        + "\(topP[index].replayed.milliseconds) ms")
            }
        }

        /// Bytes of weights that a step of DeepSeek-V2-Lite reads if no two rows use the same expert.
        private static func latentWeightByteCount(batch: Int) -> Double {
            let (hidden, heads, words) = (2_048, 16, 102_400)
            let attention = hidden * (heads * 192 + 576) + 512 * heads * 256 + heads * 128 * hidden
            let experts = 3 * hidden * (1_408 * min(64, 6 * batch) + 2_816) + 64 * hidden
            return Double(2 * (27 * attention + 26 * experts + 3 * hidden * 10_944 + hidden * words))
        }

        /// Bytes of weights that every step of the whole model reads.
        private static func weightByteCount(isInteger: Bool) -> Double {
            let (hidden, inner, queries, keys, words) = (3_584, 18_944, 3_584, 512, 152_064)
            let layer = hidden * (2 * queries + 2 * keys) + 3 * hidden * inner
            return Double(28 * layer * (isInteger ? 1 : 2) + 2 * hidden * words)
        }
    }
}
