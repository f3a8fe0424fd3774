import LMEngine
import Synchronization
import TestKit
import Testing

extension SimulatedDevice {
    @Suite("Captured steps on the simulated device")
    struct GraphTests {
        @Test("Replayed steps give the bits of launched ones for every batch size from 1 to 33", arguments: [3])
        func bits(_ decoded: Int) throws {
            let checkpoint = AscendModel.qwen2.checkpoint()
            let eager = try Simulator.backend(checkpoint, blockCount: 66)
            let graph = try Simulator.backend(checkpoint, batches: .standard, blockCount: 66)
            for count in 1...33 {
                let planner = StepPlanner(blocksPerSequence: 2, sequenceCount: count)
                let texts = (0..<count).map { randomTokens(24, seed: UInt64($0 + 100 * count)) }
                // Contexts of different lengths, on both sides of a block's end.
                let starts = (0..<count).map { 1 + ($0 * 5 + count) % 19 }
                let prompts = planner.plan(zip(0..., zip(texts, starts)).map { ($0, $1.0, 0..<$1.1) })
                #expect(try eager.forward(prompts) == graph.forward(prompts))
                for step in 0..<decoded {
                    let plan = planner.plan(
                        zip(0..., zip(texts, starts)).map { ($0, $1.0, $1.1 + step..<$1.1 + step + 1) })
                    #expect(try eager.forward(plan) == graph.forward(plan), "\(count) sequences, step \(step)")
                }
            }
        }
    }
}
