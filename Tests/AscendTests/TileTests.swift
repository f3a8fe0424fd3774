import LMEngine
import ProgramKit
import Synchronization
import TestKit
import Testing

extension SimulatedDevice {
    /// Matrices in tiles (FRACTAL_NZ) against the same row by row.
    @Suite("Weights in tiles on the simulated device")
    struct TileTests {
        /// Addresses are given once in a machine's life; back ends of many tests would use them up.
        init() throws { try AscendSimulator.restart() }

        /// Logits behind prompts and of some steps that decode.
        private func logits(_ backend: AscendBackend) throws -> [[Float]] {
            let planner = StepPlanner(blocksPerSequence: 2, sequenceCount: 3)
            let texts = (0..<3).map { randomTokens(20, seed: UInt64($0 + 7)) }
            var rows: [[Float]] = []
            for step in 0..<4 {
                let plan = planner.plan(
                    texts.indices.map { ($0, texts[$0], step == 0 ? 0..<9 + $0 : 8 + $0 + step..<9 + $0 + step) })
                rows += try backend.forward(plan)
            }
            return rows
        }

        private func compare(
            _ checkpoint: any Checkpoint, _ division: AscendDivision = .none, dataType: DataType = .bfloat16,
            batches: BatchBuckets = .none
        ) throws {
            try AscendSimulator.restart()
            func backend(_ tiling: AscendTiling) throws -> AscendBackend {
                try Simulator.backend(
                    checkpoint, division: division, dataType: dataType, batches: batches, tiling: tiling)
            }
            let (plain, tiled) = (try backend(.none), try backend(.all))
            #expect(tiled.summary == plain.summary + ", matrices in NZ")
            #expect(try logits(tiled) == logits(plain))
        }

        @Test("Every bit of the logits is that of matrices row by row", arguments: AscendModel.allCases)
        func bits(_ model: AscendModel) throws {
            try compare(model.checkpoint())
            // Inputs of experts have no fixed scale.
            let forms = AscendModel.dense.contains(model) ? AscendModel.Integers.allCases : [.perToken]
            for integers in forms {
                try compare(model.checkpoint(integers), batches: .standard)
            }
        }

        @Test("So it is in float16, on two NPUs, and on four, whose parts of a matrix leave tiles half empty")
        func parts() throws {
            try compare(AscendModel.qwen3.checkpoint(), dataType: .float16)
            for ranks in [2, 4] {
                try compare(AscendModel.llama.checkpoint(.perToken), AscendDivision(ranks: ranks), batches: .standard)
                try compare(AscendModel.mixtral.checkpoint(.perToken), AscendDivision(ranks: ranks))
                try compare(
                    AscendModel.qwen2Experts.checkpoint(),
                    AscendDivision(ranks: ranks, dividesExperts: true, scatteredRows: 8))
            }
        }

        /// The operators that a step launches, and those that loading does.
        private func operators(
            _ checkpoint: any Checkpoint, _ tiling: AscendTiling
        ) throws -> (loading: Int, step: [Substring: Int]) {
            let trace = try Trace { _ = try logits(Simulator.backend(checkpoint, tiling: tiling)) }
            let step = try #require(trace.steps.last { $0.contains { $0.name == "aclnnIndexSelect" } })
            return (
                trace.entries.count { $0.name == "aclnnTransMatmulWeight" },
                Dictionary(step.filter { $0.name.hasPrefix("aclnn") }.map { ($0.name, 1) }, uniquingKeysWith: +)
            )
        }

        @Test("By default it is the matrices of integers that lie in tiles, each turned into them once")
        func choice() throws {
            // Two layers of four matrices; the output matrix, of floats, is the embedding too.
            let integers = try AscendModel.llama.checkpoint(.perToken)
            let standard = try operators(integers, .int8)
            #expect(standard.loading == 8)
            #expect(standard.step["aclnnQuantMatmulWeightNz"] == 8 && standard.step["aclnnMm"] == 1)
            #expect(standard.step["aclnnQuantMatmulV5"] == nil)
            let rows = try operators(integers, .none)
            #expect(rows.loading == 0 && rows.step["aclnnQuantMatmulV5"] == 8)
            let floats = AscendModel.qwen3.checkpoint()
            #expect(try operators(floats, .int8).loading == 0)
            // Of these the output matrix is one of its own.
            let all = try operators(floats, .all)
            #expect(all.loading == 9 && all.step["aclnnMatmulWeightNz"] == 9 && all.step["aclnnMm"] == nil)
            // Eight experts in each of two layers, each with two matrices; attention, and the router.
            let experts = try operators(AscendModel.mixtral.checkpoint(), .all)
            #expect(experts.loading == 2 * (8 * 2 + 2 + 1))
            #expect(experts.step["aclnnGroupedMatmulV5"] == 4)
        }

        @Test("What turning matrices into tiles takes is given back; full tiles take no more than rows")
        func memory() throws {
            let checkpoint = AscendModel.qwen3.checkpoint()
            try AscendSimulator.announce()
            let memory = try [AscendTiling.none, .all].map { tiling in
                try AscendBackend(checkpoint: checkpoint, tiling: tiling).keyValueMemory
            }
            #expect(memory[0] != nil && memory[0] == memory[1])
        }

        @Test(
            "Where tiles cannot be made, or are not what they should be, matrices lie row by row, which is said",
            arguments: [
                "fail call=aclnnTransMatmulWeight nth=3 code=561003", "nan op=aclnnTransMatmulWeight row=1 nth=2",
            ])
        func fallback(_ fault: String) throws {
            let checkpoint = try AscendModel.qwen3.checkpoint(.perToken)
            let expected = try logits(Simulator.backend(checkpoint, tiling: .none))
            try AscendSimulator.restart(["FAULTS": fault])
            let notices = Mutex<[String]>([])
            let backend = try Simulator.backend(
                checkpoint, notice: { text in notices.withLock { $0.append(text) } })
            #expect(!backend.summary.contains("NZ"))
            #expect(notices.withLock { $0.count == 1 && $0[0].hasPrefix("matrices lie row by row") })
            #expect(try logits(backend) == expected)
        }

        @Test("The self-test finds tiles as they were made, and tells when they are not", arguments: [1, 2])
        func examination(_ ranks: Int) throws {
            func room(_ count: Int) -> Int { (count + 126) / 64 * 64 }
            let model = AscendModel.qwen3.configuration()
            let (embedding, half) = (model.embeddingLength, 2)
            // What lies before the first layer's first matrix, and that one.
            let tables = room(model.contextLength * model.headDimension * half)
            let before =
                room(model.vocabularySize * embedding * half) + 2 * tables + room(2_048 * 2_048)
                + room(embedding * half)
            let bytes = (model.queryLength + 2 * model.keyValueLength) / ranks * embedding
            try AscendSimulator.restart(["FAULTS": "rot after=400 offset=\(before) bytes=\(bytes)"])
            let backend = try Simulator.backend(
                AscendModel.qwen3.checkpoint(.perToken), division: AscendDivision(ranks: ranks),
                notice: { _ in })
            let expected = try logits(backend)
            try backend.examine()
            while try logits(backend) == expected {}
            let error = #expect(throws: EngineError.self) { try backend.examine() }
            #expect(error?.code == .deviceLost)
            #expect(error?.message.contains("query") == true, "\(String(describing: error))")
            // Set up anew, with a self-test before anything else.
            #expect(try logits(backend) == expected)
        }
    }
}
