import LMEngine
import TestKit
import Testing

/// Float models turned to 8-bit integers while they load.
@Suite struct W8A8Tests {
    @Test(arguments: try FamilyModel.all())
    func `the fast back end's logits are those of the oracle, alone and batched`(model: FamilyModel) throws {
        let folder = try model.folder(storage: .bfloat16)
        let checkpoint = try quantized(folder.path, calibrationText: nil)
        let oracle = try ReferenceBackend(checkpoint: checkpoint)
        let driver = try Greedy(oracle, tokens: 80)
        let plan = driver.plan(model.prompt, 0..<model.prompt.count, samples: true)
        let expected = oracle.forward(plan)
        let backend = try CPUBackend(checkpoint: checkpoint, threads: 2, dataType: .float32)
        try backend.allocateKeyValueCache(blockCount: driver.blockCount, blockSize: driver.blockSize)
        let alone = try backend.forward(plan)[0]
        #expect(relativeError(alone, expected) < 0.002)
        let prompts = [Array(model.prompt.reversed()), model.prompt, model.prompt.map { ($0 + 1) % 100 }]
        try backend.allocateKeyValueCache(blockCount: 3 * 3, blockSize: 16)
        #expect(try backend.forward(batch(prompts, rows: 0..<model.prompt.count, stride: 3))[1] == alone)
    }

    @Test func `integers and scales are those of the formula, and only matrices have them`() throws {
        let model = try #require(FamilyModel.all().first { $0.family == "qwen2_moe" })
        let folder = try model.folder(storage: .bfloat16)
        let original = try loadCheckpoint(path: folder.path)
        let checkpoint = try quantized(folder.path, calibrationText: nil)
        var count = 0
        for role in original.configuration.tensorRoles {
            let (before, after) = (try original.tensor(role), try checkpoint.tensor(role))
            switch role {
            case .tokenEmbedding, .output, .outputNorm, .layer(_, .router), .layer(_, .sharedWeight):
                #expect(after.type == before.type, "\(role)")
                continue
            default: if role.isVector { continue }
            }
            count += 1
            #expect(after.type == .i8, "\(role)")
            let scales = try #require(after.integers).scales
            for row in 0..<before.rows {
                let weights = elements(of: before, row: row)
                let scale = (weights.map(abs).max() ?? 0) / 127
                #expect(scales[row] == scale)
                let bytes = after.bytes[row * after.columns..<(row + 1) * after.columns]
                #expect(
                    bytes.map { Int8(bitPattern: $0) } == weights.map { Int8(($0 / scale).rounded(.toNearestOrEven)) })
                #expect(elements(of: after, row: row) == bytes.map { Float(Int8(bitPattern: $0)) * scale })
            }
        }
        #expect(count == checkpoint.records.count && count > 0)
        #expect(checkpoint.records.allSatisfy { $0.cosine > 0.9998 && $0.cosine <= 1.000_001 && $0.largestError > 0 })
        #expect(checkpoint.records.map { $0.layer ?? .max } == checkpoint.records.map { $0.layer ?? .max }.sorted())
    }

    @Test(arguments: try FamilyModel.all(), [false, true])
    func `an outline takes what the quantized model takes`(model: FamilyModel, includesHead: Bool) throws {
        let folder = try model.folder(storage: .bfloat16)
        var options = W8A8Checkpoint.Options()
        options.includesHead = includesHead
        let base = try loadCheckpoint(path: folder.path)
        let outline = try W8A8Outline(base, options)
        let made = try W8A8Checkpoint(base, options: options)
        for type in [DataType.auto, .float32] {
            #expect(
                try CPUBackend.packedByteCount(of: outline, dataType: type)
                    == CPUBackend.packedByteCount(of: made, dataType: type))
            #expect(
                try CPUBackend.keyValueBytesPerToken(of: outline, dataType: type)
                    == CPUBackend.keyValueBytesPerToken(of: made, dataType: type))
        }
        #expect(outline.weightByteCount == made.weightByteCount)
        for role in base.configuration.tensorRoles {
            #expect(try outline.tensor(role).type == made.tensor(role).type, "\(role)")
        }
        #expect(throws: EngineError.self) { try W8A8Outline(made, options) }
    }

    @Test(arguments: [false, true])
    func `the head is quantized when asked for, tied to the embedding or not`(isTied: Bool) throws {
        let model = try #require(
            FamilyModel.all().first { $0.family == "qwen2" && ($0.tensors["lm_head.weight"] == nil) == isTied })
        let folder = try model.folder(storage: .bfloat16)
        var options = W8A8Checkpoint.Options()
        options.includesHead = true
        let checkpoint = try W8A8Checkpoint(loadCheckpoint(path: folder.path), options: options)
        #expect(try checkpoint.tensor(isTied ? .tokenEmbedding : .output).type == .i8)
        let embedding = try checkpoint.tensor(.tokenEmbedding)
        #expect(embedding.type == (isTied ? .i8 : .bf16))
        let oracle = try ReferenceBackend(checkpoint: checkpoint)
        let driver = try Greedy(oracle, tokens: 80)
        let plan = driver.plan(model.prompt, 0..<model.prompt.count, samples: true)
        let expected = oracle.forward(plan)
        let backend = try CPUBackend(checkpoint: checkpoint, threads: 1, dataType: .float32)
        try backend.allocateKeyValueCache(blockCount: driver.blockCount, blockSize: driver.blockSize)
        #expect(relativeError(try backend.forward(plan)[0], expected) < 0.002)
        #expect(try quantized(folder.path).origin != checkpoint.origin, "the choice is part of what is kept")
    }

    @Test func `weights that are not finite are refused by name`() throws {
        let model = try FamilyModel.all()[0]
        let folder = try model.folder()
        var writer = model.writer()
        let name = "model.layers.1.mlp.up_proj.weight"
        let index = try #require(writer.entries.firstIndex { $0.name == name })
        let columns = writer.entries[index].shape[1]
        writer.entries[index].data.replaceSubrange(
            (3 * columns + 5) * 4..<(3 * columns + 6) * 4, with: GGUFWriter.bytes(Float.infinity.bitPattern))
        try folder.write("model.safetensors", writer.bytes())
        for (text, place) in [(nil, "in row 3"), (Calibration.text, "element [3, 5]")] {
            let error = #expect(throws: EngineError.self) { try quantized(folder.path, calibrationText: text) }
            #expect(error?.code == .invalidModel)
            let message = error?.message ?? ""
            #expect(message.contains("'\(name)'") && message.contains(place), "\(message)")
        }
        #expect(try kept(in: folder) == [], "nothing is left behind")
    }

    @Test func `a model that is quantized already is refused`() throws {
        let folder = try FamilyModel.all()[0].folder()
        let model = try loadCheckpoint(path: folder.path).configuration
        let error = #expect(throws: EngineError.self) {
            try W8A8Checkpoint(QuantizedCheckpoint(wide(model), .q8_0), options: W8A8Checkpoint.Options())
        }
        #expect(error?.code == .unsupportedModel)
        #expect(error?.message.contains("stored as Q8_0") == true)
    }

    @Test func `progress runs from nothing to all`() throws {
        let folder = try FamilyModel.all()[0].folder()
        var shares: [Double] = []
        _ = try W8A8Checkpoint(loadCheckpoint(path: folder.path), options: W8A8Checkpoint.Options()) {
            shares.append($0)
        }
        #expect(shares.first == 0 && shares.last == 1 && shares == shares.sorted())
    }

    private func wide(_ model: ModelConfiguration) -> ModelConfiguration {
        var model = model
        (model.embeddingLength, model.feedForwardLength) = (256, 256)
        (model.headCount, model.keyValueHeadCount, model.headDimension) = (8, 8, 32)
        return model
    }
}

/// The model in a folder, quantized.
func quantized(
    _ path: String, cacheFolder: String? = nil, calibrationText: String? = Calibration.text
) throws -> W8A8Checkpoint {
    var options = W8A8Checkpoint.Options()
    options.calibrationText = calibrationText
    options.threads = 2
    options.cacheFolder = cacheFolder
    return try W8A8Checkpoint(loadCheckpoint(path: path), options: options)
}

/// Files in the folder that quantizing made.
func kept(in folder: TemporaryFolder) throws -> [String] {
    try ModelFolder(path: folder.path).names().filter { $0.contains(".w8a8") }
}

/// A row as floats.
func elements(of tensor: Tensor, row: Int) -> [Float] {
    var values = [Float](repeating: 0, count: tensor.columns)
    values.withUnsafeMutableBufferPointer { tensor.dequantize(row: row, into: $0) }
    return values
}
