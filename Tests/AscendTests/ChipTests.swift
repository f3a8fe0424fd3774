import Glibc
import LMEngine
import ProgramKit
import Synchronization
import TestKit
import Testing

extension SimulatedDevice {
    /// Chips beside those of an Atlas A2: A3, which is programmed alike, and 310P, which has other operators.
    @Suite("Other chips than those of an Atlas A2")
    struct ChipTests {
        private static func restart(_ chip: String, _ settings: [String: String] = [:]) throws {
            try AscendSimulator.restart(settings.merging(["SOC": chip]) { $1 })
        }

        @Test("A3 runs what A2 runs, captured steps included, and nothing is said of it")
        func a3() throws {
            try Self.restart("Ascend910_9391")
            try Decoding.expectEqual(AscendModel.qwen3.checkpoint(), count: 12)
            try Decoding.expectEqual(AscendModel.qwen2.checkpoint(.perToken), count: 12)
            try Decoding.expectEqual(
                AscendModel.mixtral.checkpoint(), division: AscendDivision(ranks: 2), count: 12)
            try Decoding.expectEqual(
                AscendModel.deepseekV2.checkpoint(), division: AscendDivision(ranks: 2), count: 12)
        }

        @Test("On 310P every bit of the logits in float16 is the reference's", arguments: AscendModel.dense)
        func halves(_ model: AscendModel) throws {
            try Self.restart("Ascend310P3")
            try Decoding.expectEqual(model.checkpoint(), dataType: .float16, batches: .none, count: 20)
        }

        @Test(
            "On 310P a whole model decodes as the reference does, with the same logits",
            .enabled(if: testModelPath != nil, "set LM_TEST_MODEL to SmolLM2's GGUF file"))
        func smolLM2() throws {
            try Self.restart("Ascend310P3")
            let checkpoint = try loadCheckpoint(path: testModelPath ?? "")
            // "Once upon a time, in a small village by the sea,"
            let text: [Int32] = [6403, 1980, 253, 655, 28, 281, 253, 1165, 6560, 411, 260, 3426, 28]
            try Decoding.expectEqual(checkpoint, dataType: .float16, batches: .none, texts: [text], count: 6)
        }

        /// The first step has more rows than attention takes at a time, the second goes on with prompts and decodes beside.
        @Test("On 310P steps of any length are those of the reference, chunk by chunk")
        func longSteps() throws {
            try Self.restart("Ascend310P3")
            let checkpoint = AscendModel.qwen2.checkpoint()
            let backend = try Simulator.backend(checkpoint, dataType: .float16, blockCount: 80)
            let reference = try ReferenceBackend(checkpoint: checkpoint, dataType: .float16, activationType: .f16)
            try reference.allocateKeyValueCache(blockCount: 80, blockSize: 16)
            let planner = StepPlanner(blocksPerSequence: 16, sequenceCount: 5)
            let texts = (0..<5).map { randomTokens(160, seed: UInt64($0 + 40)) }
            let first = texts.indices.map { ($0, texts[$0], 0..<70 + $0) }
            let second = texts.indices.map { ($0, texts[$0], 70 + $0..<($0 == 2 ? 71 + $0 : 130)) }
            #expect(planner.plan(first).rowCount > 256)
            for step in [first, second] {
                let plan = planner.plan(step)
                let logits = try backend.forward(plan)
                #expect(logits.flatMap(\.self) == Array(reference.forward(plan)))
            }
        }

        @Test("A 310P that is lost in the middle is set up anew, and the same tokens follow")
        func lost() throws {
            let checkpoint = AscendModel.qwen3.checkpoint()
            func tokens(_ faults: String) throws -> [Int32] {
                try Self.restart("Ascend310P3", ["FAULTS": faults])
                let backend = try Simulator.backend(checkpoint, dataType: .float16)
                let planner = StepPlanner(sequenceCount: 1)
                var (text, computed, failures) = (randomTokens(9, seed: 3), 0, 0)
                var result = StepResult()
                while text.count < 15, failures < 3 {
                    do throws(EngineError) {
                        try backend.execute(planner.plan([(0, text, computed..<text.count)]), into: &result)
                        computed = text.count
                        text.append(result.tokens[0])
                    } catch {
                        #expect(error.code == .deviceLost)
                        (computed, failures) = (0, failures + 1)
                    }
                }
                #expect(failures == (faults.isEmpty ? 0 : 1))
                return text
            }
            let expected = try tokens("")
            #expect(try tokens("fail call=aclnnIncreFlashAttentionV4 nth=6 code=507015 async=true") == expected)
        }

        @Test("A row of a 310P that is not finite fails alone")
        func fault() throws {
            try Self.restart("Ascend310P3", ["FAULTS": "nan op=aclnnSwiGlu row=11"])
            let backend = try Simulator.backend(AscendModel.qwen3.checkpoint(), dataType: .float16)
            let planner = StepPlanner(sequenceCount: 2)
            let texts = (0..<2).map { randomTokens(9, seed: UInt64($0 + 3)) }
            var result = StepResult()
            try backend.execute(planner.plan(texts.indices.map { ($0, texts[$0], 0..<9) }), into: &result)
            #expect(Set(result.faults.map(\.row)).isSubset(of: Set(11..<18)) && result.faults.first?.row == 11)
            #expect(result.tokens[0] >= 0)
        }

        @Test("That a 310P captures no steps is said once, and not when nobody wants it")
        func graphs() throws {
            try Self.restart("Ascend310P3")
            let told = Mutex<[String]>([])
            for batches in [BatchBuckets.standard, .none] {
                _ = try Simulator.backend(AscendModel.llama.checkpoint(), dataType: .float16, batches: batches) {
                    text in
                    told.withLock { $0.append(text) }
                }
            }
            let text = "an Ascend310P3 is given every step operator by operator: steps are not captured as graphs there"
            #expect(told.withLock(\.self) == [text])
        }

        @Test("What a 310P does not run is refused by name before a weight is copied")
        func refusals() throws {
            let chip = "Ascend310P3"
            func refusal(
                _ checkpoint: any Checkpoint, _ dataType: DataType = .float16, _ division: AscendDivision = .none
            ) -> String {
                let error = #expect(throws: EngineError.self) {
                    try AscendBackend.check(checkpoint, dataType: dataType, division: division, chip: chip)
                }
                #expect(error?.code == .unsupportedModel)
                return error?.message ?? ""
            }
            let llama = AscendModel.llama.checkpoint()
            #expect(refusal(llama, .bfloat16).contains("an Ascend310P3 has no bfloat16"))
            #expect(refusal(llama, .auto).contains("use --dtype float16"))
            #expect(refusal(llama, .float32).contains("an NPU does not multiply float32"))
            #expect(refusal(llama, .float16, AscendDivision(ranks: 2)).contains("--tensor-parallel-size"))
            #expect(refusal(AscendModel.deepseekV2.checkpoint()).contains("attention over latents, which"))
            #expect(refusal(AscendModel.mixtral.checkpoint()).contains("experts, which an Ascend310P3 does not run"))
            #expect(
                refusal(try AscendModel.llama.checkpoint(.perToken)).contains("8-bit integers, which an Ascend310P3"))
            #expect(refusal(try AscendModel.llama.checkpoint(.fixed)).contains("8-bit integers, which an Ascend310P3"))
            var wide = AscendModel.llama.configuration()
            (wide.headDimension, wide.rotaryDimension) = (160, 160)
            #expect(refusal(QuantizedCheckpoint(wide, .bf16)).contains("heads of 160 elements"))
            var odd = AscendModel.llama.configuration()
            odd.feedForwardLength = 176
            #expect(refusal(QuantizedCheckpoint(odd, .bf16)).contains("176 hidden elements"))
            try AscendBackend.check(llama, dataType: .float16, chip: chip)
            // None of it concerns others.
            for chip in [nil, "Ascend910B2", "Ascend910_9362", "Ascend1"] {
                for checkpoint in [llama, QuantizedCheckpoint(wide, .bf16), QuantizedCheckpoint(odd, .bf16)] {
                    try AscendBackend.check(checkpoint, chip: chip)
                }
            }
        }

        @Test("A server says what to do instead, and with auto takes the CPU")
        func server() throws {
            try AscendSimulator.restart()
            let folder = try ServerTests.folder()
            let library = try Programs.path("libAscendSim.so")
            let refused = try Programs.run(
                "lmserve", ["--model", folder.path, "--device", "npu"],
                environment: ["LM_ASCEND_LIBRARY": library, "LM_ASCENDSIM_SOC": "Ascend310P3"])
            #expect(refused.status == 65)
            #expect(refused.errors.contains("an Ascend310P3 has no bfloat16"), "\(refused.errors)")
            #expect(refused.errors.contains("use --dtype float16"))
            let server = try ServerTests.start(folder, ["SOC": "Ascend310P3"], ["--device", "auto"])
            server.process.send(SIGTERM)
            let errors = try server.process.finish().errors
            #expect(
                errors.contains("device: cpu (the NPU does not run it: an Ascend310P3 has no bfloat16"), "\(errors)")
        }

        @Test("The doctor looks for the operators that a 310P needs")
        func doctor() throws {
            let outcome = try Programs.run(
                "lmserve", ["doctor", "--npu"],
                environment: [
                    "LM_ASCEND_LIBRARY": try Programs.path("libAscendSim.so"), "LM_ASCENDSIM_SOC": "Ascend310P3",
                ])
            #expect(outcome.status == 0, "\(outcome.output)")
            #expect(outcome.output.contains("IncreFlashAttentionV4") && outcome.output.contains("float16 only"))
            #expect(outcome.output.contains("cannot be captured") && !outcome.output.contains("8-bit integers"))
        }
    }
}
