import LMEngine
import TestKit
import Testing

@Suite struct DataTypeTests {
    private static let shapes = ["llama", "qwen2"]

    private func golden(_ family: String) throws -> SyntheticGolden {
        try #require(SyntheticGolden.all().first { $0.family == family && !$0.tied })
    }

    private func logits(_ backend: CPUBackend, _ prompt: [Int32]) throws -> [Float] {
        let driver = try Greedy(backend, tokens: prompt.count)
        return try backend.forward(driver.plan(prompt, 0..<prompt.count, samples: true))[0]
    }

    @Test(arguments: [DataType.float32, .float16, .bfloat16], shapes)
    func `weights, keys and values are rounded as the reference rounds them`(type: DataType, family: String) throws {
        let golden = try golden(family)
        let checkpoint = SyntheticCheckpoint(golden.configuration)
        let reference = try ReferenceBackend(checkpoint: checkpoint, dataType: type)
        let driver = try Greedy(reference, tokens: golden.prompt.count)
        let expected = reference.forward(driver.plan(golden.prompt, 0..<golden.prompt.count, samples: true))
        let own = try logits(CPUBackend(checkpoint: checkpoint, threads: 2, dataType: type), golden.prompt)
        // A key whose rounding differs by a step of bfloat16 is 2^-8 off.
        #expect(relativeError(own, expected) < (type == .float32 ? 1e-5 : type == .float16 ? 3e-4 : 2e-3))
        // And the type matters: the distance to float32 is that of its precision.
        let distance = relativeError(own, golden.logits)
        switch type {
        case .bfloat16: #expect(distance > 1e-3 && distance < 0.05)
        case .float16: #expect(distance > 5e-5 && distance < 0.005)
        default: #expect(distance < 1e-5)
        }
    }

    @Test(arguments: [DataType.float32, .bfloat16], shapes)
    func `integers of the cache are those of the reference, whatever the weights are`(
        type: DataType, family: String
    ) throws {
        let golden = try golden(family)
        let checkpoint = SyntheticCheckpoint(golden.configuration)
        let reference = try ReferenceBackend(checkpoint: checkpoint, dataType: type, keyValueDataType: .int8)
        let driver = try Greedy(reference, tokens: golden.prompt.count)
        let expected = reference.forward(driver.plan(golden.prompt, 0..<golden.prompt.count, samples: true))
        let backend = try CPUBackend(checkpoint: checkpoint, threads: 2, dataType: type, keyValueDataType: .int8)
        let own = try logits(backend, golden.prompt)
        let floats = try logits(CPUBackend(checkpoint: checkpoint, threads: 2, dataType: type), golden.prompt)
        let (error, distance) = (relativeError(own, expected), relativeError(own, floats))
        #expect(error < 2e-3, "\(error) from the reference, \(distance) from floats")
        #expect(distance > 1e-3 && distance < 0.05, "\(error) from the reference, \(distance) from floats")
        #expect(backend.summary.hasSuffix("int8 KV cache"))
    }

    @Test func `integers take half of the cache, and latents are refused as integers`() throws {
        let checkpoint = SyntheticCheckpoint(try golden("llama").configuration)
        let (model, heads) = (checkpoint.configuration, checkpoint.configuration.keyValueHeadCount)
        let bytes = try CPUBackend.keyValueBytesPerToken(of: checkpoint, keyValueDataType: .int8)
        let padded = (model.headDimension + 15) / 16 * 16
        #expect(bytes == model.layerCount * heads * 2 * (padded + 4))
        let backend = try CPUBackend(checkpoint: checkpoint, threads: 1, keyValueDataType: .int8)
        #expect(backend.keyValueBytesPerToken == bytes)

        let latents = try #require(try FamilyModel.all().first { $0.family == "deepseek_v2" }).folder()
        let opened = try loadCheckpoint(path: latents.path)
        func refusal(_ load: () throws -> Void) -> EngineError? {
            #expect(throws: EngineError.self) { try load() }
        }
        let refusals = [
            refusal { _ = try CPUBackend(checkpoint: opened, threads: 1, keyValueDataType: .int8) },
            refusal { _ = try ReferenceBackend(checkpoint: opened, keyValueDataType: .int8) },
            refusal { _ = try CPUBackend.keyValueBytesPerToken(of: opened, keyValueDataType: .int8) },
        ]
        for error in refusals {
            #expect(error?.code == .unsupportedModel)
            #expect(error?.message.contains("--kv-cache-dtype int8 does not suit latent attention") == true)
        }
    }

    @Test(
        arguments: try FamilyModel.all().filter {
            ["deepseek_v2", "deepseek_v3", "qwen3_moe", "gemma2"].contains($0.family)
        })
    func `every part of a model takes a type`(model: FamilyModel) throws {
        let folder = try model.folder()
        let checkpoint = try loadCheckpoint(path: folder.path)
        let expected = try #require(model.expectedLogits().last)
        for (type, tolerance) in [(DataType.float32, Float(1e-4)), (.float16, 0.01), (.bfloat16, 0.08)] {
            let backend = try CPUBackend(checkpoint: checkpoint, threads: 2, dataType: type)
            #expect(relativeError(try logits(backend, model.prompt), expected) < tolerance, "\(type)")
        }
    }

    @Test func `a type halves the weights and the cache, and leaves block formats alone`() throws {
        let model = SyntheticCheckpoint(try golden("qwen2").configuration)
        func bytes(_ checkpoint: any Checkpoint, _ type: DataType) throws -> (weights: Int, cache: Int) {
            (
                try CPUBackend.packedByteCount(of: checkpoint, dataType: type),
                try CPUBackend.keyValueBytesPerToken(of: checkpoint, dataType: type)
            )
        }
        let (full, half) = (try bytes(model, .float32), try bytes(model, .bfloat16))
        #expect(half.weights < full.weights * 6 / 10 && half.cache * 2 == full.cache)
        #expect(try bytes(model, .auto) == full && bytes(model, .float16) == half)
        let backend = try CPUBackend(checkpoint: model, threads: 1, dataType: .bfloat16)
        #expect(backend.keyValueBytesPerToken == half.cache && backend.summary.contains("bfloat16"))

        let blocks = QuantizedCheckpoint(
            ModelConfiguration(
                family: .llama, name: "blocks", layerCount: 1, embeddingLength: 64, feedForwardLength: 64, headCount: 2,
                keyValueHeadCount: 2, headDimension: 32, rotaryDimension: 32, rotaryBase: 10000, rotaryScaling: .none,
                rotaryLayout: .halves, normEpsilon: 1e-5, vocabularySize: 40, contextLength: 64,
                hasAttentionBias: false,
                tiesEmbeddings: true), .q8_0)
        let (own, wide) = (try bytes(blocks, .auto), try bytes(blocks, .float32))
        #expect(own.weights == wide.weights && own.cache * 2 == wide.cache)
    }

    // MARK: Nothing overflows silently

    /// Loads with both back ends and returns what each says.
    private func refusals(_ checkpoint: any Checkpoint, _ type: DataType) -> [EngineError?] {
        func error(_ load: () throws(EngineError) -> Void) -> EngineError? {
            do throws(EngineError) {
                try load()
                return nil
            } catch {
                return error
            }
        }
        return [
            error { () throws(EngineError) in
                _ = try CPUBackend(checkpoint: checkpoint, threads: 2, dataType: type)
            },
            error { () throws(EngineError) in _ = try ReferenceBackend(checkpoint: checkpoint, dataType: type) },
        ]
    }

    @Test(arguments: [TensorRole.layer(1, .down), .layer(0, .query), .tokenEmbedding, .output])
    func `a weight beyond float16 is refused by name, value and remedy`(role: TensorRole) throws {
        let base = SyntheticCheckpoint(try golden("qwen2").configuration)
        try #require(base.configuration.tensorRoles.contains(role))
        let checkpoint = AlteredCheckpoint(base: base) { own, elements in
            if own == role { elements[7] = -65520 }
        }
        for error in refusals(checkpoint, .float16) {
            #expect(error?.code == .invalidModel)
            for part in ["'\(try base.tensor(role).name)'", "65520", "float16", "--dtype bfloat16", "[0, 7]"] {
                #expect(error?.message.contains(part) == true, "\(error?.message ?? "loaded")")
            }
        }
        #expect(refusals(checkpoint, .bfloat16) == [nil, nil] && refusals(checkpoint, .auto) == [nil, nil])
        let largest = AlteredCheckpoint(base: base) { own, elements in
            if own == role { elements[7] = 65519 }
        }
        #expect(refusals(largest, .float16) == [nil, nil])
    }

    @Test(arguments: [
        TensorRole.layer(1, .down), .layer(1, .attentionNorm), .layer(0, .queryBias), .tokenEmbedding, .output,
    ])
    func `a weight that is no number is refused by name and place`(role: TensorRole) throws {
        let base = SyntheticCheckpoint(try golden("qwen2").configuration)
        for (value, word) in [(Float.nan, "NaN"), (-.infinity, "infinite")] {
            let checkpoint = AlteredCheckpoint(base: base) { own, elements in
                if own == role { elements[5] = value }
            }
            for error in refusals(checkpoint, .auto) {
                #expect(error?.code == .invalidModel)
                for part in ["'\(try base.tensor(role).name)'", "[0, 5]", word] {
                    #expect(error?.message.contains(part) == true, "\(error?.message ?? "loaded")")
                }
            }
        }
    }

    @Test func `keys or values beyond their type fail the row by layer, and not in a wider one`() throws {
        let golden = try golden("llama")
        func checkpoint(valuesTimes factor: Float) -> AlteredCheckpoint {
            AlteredCheckpoint(base: SyntheticCheckpoint(golden.configuration)) { role, elements in
                guard role == .layer(1, .value) else { return }
                for index in elements.indices { elements[index] *= factor }
            }
        }
        func faults(_ backend: any Backend) throws -> [StepResult.Fault] {
            let driver = try Greedy(backend, tokens: golden.prompt.count)
            var result = StepResult()
            let plan = driver.plan(golden.prompt, 0..<golden.prompt.count, samples: false)
            try backend.execute(plan, into: &result)
            return result.faults
        }
        func expectFaults(
            _ checkpoint: AlteredCheckpoint, _ type: DataType, _ cache: KeyValueDataType, say parts: [String]
        ) throws {
            let own = try faults(
                CPUBackend(checkpoint: checkpoint, threads: 2, dataType: type, keyValueDataType: cache))
            let reference = try faults(
                ReferenceBackend(checkpoint: checkpoint, dataType: type, keyValueDataType: cache))
            #expect(!own.isEmpty && own.map(\.row) == reference.map(\.row))
            for fault in own + reference {
                for part in parts { #expect(fault.message.contains(part), "\(fault.message)") }
            }
        }
        let large = checkpoint(valuesTimes: 5e4)
        try expectFaults(large, .float16, .auto, say: ["layer 1", "float16", "65504", "--dtype bfloat16"])
        for (type, cache) in [(DataType.bfloat16, KeyValueDataType.auto), (.float32, .auto), (.float32, .int8)] {
            #expect(
                try faults(CPUBackend(checkpoint: large, threads: 2, dataType: type, keyValueDataType: cache)).isEmpty)
        }
        try expectFaults(checkpoint(valuesTimes: 1e38), .float32, .int8, say: ["of layer", "not finite in int8"])
    }
}

/// A checkpoint with other elements.
private struct AlteredCheckpoint: Checkpoint {
    let base: SyntheticCheckpoint
    let alter: @Sendable (TensorRole, UnsafeMutableBufferPointer<Float>) -> Void
    var configuration: ModelConfiguration { base.configuration }
    var tokenizer: any Tokenizer { base.tokenizer }
    var chatTemplate: ChatTemplateSource? { nil }
    var weightByteCount: Int { 0 }

    func tensor(_ role: TensorRole) throws(EngineError) -> Tensor {
        let tensor = try base.tensor(role)
        let copy = Copy(tensor.bytes)
        alter(role, copy.elements)
        return Tensor(
            name: tensor.name, type: .f32, rows: tensor.rows, columns: tensor.columns,
            bytes: UnsafeRawBufferPointer(copy.elements), owner: copy)
    }

    private final class Copy {
        let elements: UnsafeMutableBufferPointer<Float>

        init(_ source: UnsafeRawBufferPointer) {
            elements = .allocate(capacity: source.count / 4)
            UnsafeMutableRawBufferPointer(elements).copyMemory(from: source)
        }

        deinit { elements.deallocate() }
    }
}
