import LMEngine
import TestKit
import Testing

@Suite("What an NPU is asked to do")
struct AscendPlanTests {
    @Test("A layer takes at most fourteen operators in bfloat16", arguments: AscendModel.dense)
    func launches(_ model: AscendModel) throws {
        let operators = try AscendBackend.operatorsOfLayer(model.checkpoint())
        #expect(operators.count <= 14, "\(operators)")
        #expect(operators.last == "AddRmsNorm", "the norm behind a layer is one call with the sum before it")
        #expect(operators.count { $0 == "FusedInferAttentionScoreV3" } == 1)
        #expect(operators.count { $0 == "Mm" } == 4, "matrices of equal inputs are one")
    }

    @Test("A layer with experts takes eight to twelve more", arguments: AscendModel.experts)
    func launchesOfExperts(_ model: AscendModel) throws {
        let operators = try AscendBackend.operatorsOfLayer(model.checkpoint())
        let dense: [AscendModel: Int] = [
            .mixtral: 12, .qwen2Experts: 13, .qwen3Experts: 14, .deepseekV2: 16, .deepseekV3: 18,
        ]
        let added: [AscendModel: Int] = [.mixtral: 8, .qwen2Experts: 12, .qwen3Experts: 8]
        #expect(operators.count == (dense[model] ?? 12) + (added[model] ?? 9), "\(operators)")
        #expect(operators.contains("MoeGatingTopK") == (added[model] == nil))
        #expect(operators.count { $0 == "GroupedMatmulV5" } == 2, "the matrices of all experts are one")
        #expect(operators.contains("Sigmoid") == (model == .qwen2Experts), "a shared expert has a gate")
    }

    @Test("A layer of 8-bit matrices takes at most sixteen", arguments: AscendModel.dense)
    func launchesOfIntegers(_ model: AscendModel) throws {
        let operators = try AscendBackend.operatorsOfLayer(model.checkpoint(.perToken))
        #expect(operators.count <= 16, "\(operators)")
        #expect(operators.count { $0 == "AddRmsNormDynamicQuant" } == 1, "sum, norm and quantization are one")
        #expect(operators.contains("Mm") == false)
    }

    @Test("So it does where the scale of inputs is fixed", arguments: AscendModel.dense)
    func launchesOfFixedInputs(_ model: AscendModel) throws {
        let operators = try AscendBackend.operatorsOfLayer(model.checkpoint(.fixed))
        #expect(operators.count <= 16, "\(operators)")
        #expect(operators.count { $0 == "AddRmsNormQuant" } == 1)
        #expect(operators.count { $0 == "AscendQuant" } == 2, "of what attention and the gate yield")
    }

    @Test("What the operators do not compute is refused by name")
    func refusals() {
        func refusal(_ change: (inout ModelConfiguration) -> Void) -> String? {
            var model = AscendModel.llama.configuration()
            change(&model)
            do throws(EngineError) {
                try AscendBackend.check(QuantizedCheckpoint(model, .bf16))
                return nil
            } catch {
                return error.code == .unsupportedModel ? error.message : "wrong code: \(error)"
            }
        }
        #expect(refusal { _ in } == nil)
        #expect(refusal { $0.layers[1].attentionWindow = 8 }?.contains("an attention window") == true)
        #expect(refusal { $0.attentionSoftcap = 50 }?.contains("soft caps") == true)
        #expect(refusal { $0.activation = .geluTanh }?.contains("SiLU") == true)
        #expect(refusal { $0.hasPostNorms = true }?.contains("norms behind") == true)
        #expect(refusal { $0.embeddingScale = 2 }?.contains("scaled embeddings") == true)
        func experts(_ change: (inout ModelConfiguration.Mixture) -> Void) -> String? {
            refusal { model in
                var mixture = ModelConfiguration.Mixture(expertCount: 8, expertsPerToken: 2, expertLength: 64)
                change(&mixture)
                model.mixture = mixture
                for layer in model.layers.indices { model.layers[layer].isMixture = true }
            }
        }
        #expect(experts { _ in } == nil)
        #expect(experts { $0.scoring = .sigmoid }?.contains("weighed by sigmoids that are not divided") == true)
        #expect(experts { ($0.scoring, $0.normalizesWeights) = (.sigmoid, true) } == nil)
        #expect(experts { $0.expertCount = 2_000 }?.contains("2000 experts") == true)
        #expect(experts { $0.weightScale = 2 } == nil)
        #expect(
            experts { ($0.weightScale, $0.normalizesWeights) = (2, true) }?.contains("or weights multiplied") == true)
        #expect(experts { ($0.groupCount, $0.groupsPerToken) = (4, 2) } == nil)
        #expect(
            experts { ($0.expertCount, $0.groupCount, $0.groupsPerToken) = (1_000, 100, 2) }?
                .contains("100 groups of 10 experts, which exceed 2048") == true)
        func latents(
            _ change: (inout ModelConfiguration, inout ModelConfiguration.LatentAttention) -> Void
        ) -> String? {
            refusal { model in
                model = AscendModel.deepseekV3.configuration()
                guard var shape = model.latentAttention else { return }
                change(&model, &shape)
                model.latentAttention = shape
            }
        }
        #expect(latents { _, _ in } == nil)
        #expect(latents { $1.keyValueRank = 256 }?.contains("latents of 256 elements, where 512") == true)
        #expect(
            latents { model, _ in (model.rotaryDimension, model.headDimension) = (32, 64) }?
                .contains("32 rotated elements beside latents") == true)
        #expect(
            latents { model, _ in (model.headCount, model.keyValueHeadCount) = (6, 6) }?
                .contains("6 heads over latents on each NPU") == true)
        #expect(refusal { $0.rotaryDimension = 32 }?.contains("only a part") == true)
        #expect(refusal { ($0.headDimension, $0.rotaryDimension) = (72, 72) }?.contains("72") == true)
        #expect(
            refusal { ($0.headDimension, $0.rotaryDimension, $0.keyValueHeadCount) = (32, 32, 4) }?
                .contains("a key for each query") == true)
    }

    @Test("Experts whose operator CANN lacks are refused with the release that has it")
    func olderReleases() throws {
        let needs: [(String, [AscendModel])] = [
            ("MoeGatingTopK", [.groupedExperts, .correctedExperts, .deepseekV2, .deepseekV3]),
            ("FusedInferAttentionScoreV4", [.deepseekV2, .deepseekV3]),
        ]
        for (absent, models) in needs {
            for model in AscendModel.allCases {
                do throws(EngineError) {
                    try AscendBackend.check(model.checkpoint(), has: { $0 != absent })
                    #expect(!models.contains(model))
                } catch {
                    #expect(models.contains(model) && error.code == .unsupportedModel)
                    #expect(error.message.contains("needs aclnn\(absent)"), "\(error.message)")
                    #expect(error.message.contains("install CANN 8.5 or later"), "\(error.message)")
                }
            }
        }
    }

    @Test("Float32 is refused, the other types are not")
    func types() throws {
        let checkpoint = AscendModel.llama.checkpoint()
        for type in [DataType.auto, .bfloat16, .float16] { try AscendBackend.check(checkpoint, dataType: type) }
        #expect(throws: EngineError.self) { try AscendBackend.check(checkpoint, dataType: .float32) }
    }

    @Test("A batch is padded to the smallest size that holds it, and larger ones to none")
    func buckets() throws {
        let buckets = try BatchBuckets([8, 1, 4, 8])
        #expect(buckets.sizes == [1, 4, 8])
        #expect((1...9).map { buckets.size(for: $0) } == [1, 4, 4, 4, 8, 8, 8, 8, nil])
        #expect(BatchBuckets.none.size(for: 1) == nil)
        #expect(throws: EngineError.self) { try BatchBuckets([0]) }
        #expect(throws: EngineError.self) { try BatchBuckets([BatchBuckets.largest + 1]) }
        #expect(throws: EngineError.self) { try BatchBuckets(Array(1...BatchBuckets.maximumCount + 1)) }
    }

    @Test(
        "Codes of the runtime mean what is to happen next",
        arguments: [
            (107_019, AscendError.Consequence.retry), (507_012, .retry), (207_001, .outOfMemory),
            (207_018, .outOfMemory),
            (507_046, .rebuild), (507_014, .rebuild), (507_015, .rebuild), (507_018, .rebuild), (507_034, .rebuild),
            (507_048, .rebuild), (361_001, .rebuild), (507_010, .lost), (507_899, .lost), (507_901, .lost),
            (207_004, .lost), (507_054, .lost), (507_042, .lost), (561_003, .unsupported), (207_000, .unsupported),
            (161_002, .misuse), (107_002, .misuse),
        ])
    func consequences(_ code: Int, _ consequence: AscendError.Consequence) {
        let error = AscendError("aclrtX", code: Int32(code), text: "EE9999: words")
        #expect(error.consequence == consequence)
        #expect(error.losesDevice == [.rebuild, .lost].contains(consequence))
        let code: EngineError.Code =
            error.losesDevice
            ? .deviceLost
            : [.unsupported: .deviceUnavailable, .outOfMemory: .deviceMemory][consequence] ?? .backend
        #expect(error.stepError.code == code)
        #expect(error.message.hasPrefix("the Ascend NPU: aclrtX returned \(error.code) (EE9999: words)"))
    }
}
