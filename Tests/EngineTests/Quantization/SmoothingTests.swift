import LMEngine
import TestKit
import Testing

/// Channels evened out between the inputs of matrices and the matrices before they are turned to 8-bit integers.
@Suite struct SmoothingTests {
    @Test(arguments: try FamilyModel.all())
    func `in real numbers nothing changes`(model: FamilyModel) throws {
        let folder = try model.folder(storage: .bfloat16)
        let expected = try logits(of: loadCheckpoint(path: folder.path), model.prompt)
        let plain = try logits(of: quantized(folder.path, calibrationText: nil), model.prompt)
        let checkpoint = try quantized(folder.path)
        let even = try logits(of: checkpoint, model.prompt)
        #expect(even != plain)
        // So few channels leave much to chance; a factor in the wrong place costs far more.
        #expect(relativeError(even, expected) < 2 * relativeError(plain, expected) + 0.02)
        let backend = try CPUBackend(checkpoint: checkpoint, threads: 2, dataType: .float32)
        let driver = try Greedy(backend, tokens: 80)
        let fast = try backend.forward(driver.plan(model.prompt, 0..<model.prompt.count, samples: true))[0]
        #expect(relativeError(fast, even) < 0.02)
    }

    @Test(arguments: ["qwen2", "llama", "qwen3"])
    func `channels that reach far cost little once they are evened out`(family: String) throws {
        let model = try #require(FamilyModel.all().first { $0.family == family })
        let folder = try model.folder()
        try folder.write("model.safetensors", withFarChannels(model.writer(), model).bytes())
        let expected = try logits(of: loadCheckpoint(path: folder.path), model.prompt)
        let plain = try relativeError(logits(of: quantized(folder.path, calibrationText: nil), model.prompt), expected)
        let even = try relativeError(logits(of: quantized(folder.path), model.prompt), expected)
        #expect(even < plain / 4, "\(even) beside \(plain)")
    }

    @Test(arguments: try AdaptedModel.all())
    func `adapters are added as if nothing had been evened out`(model: AdaptedModel) throws {
        let folder = try model.model.folder()
        try folder.write("model.safetensors", withFarChannels(model.model.writer(), model.model).bytes())
        let original = try loadCheckpoint(path: folder.path)
        let checkpoint = try quantized(folder.path)
        let adapters = try model.load(for: original.configuration)
        for adapter in adapters.indices {
            let prompt = model.adapters[adapter].prompt
            let expected = try logits(of: original, prompt, adapters, adapter)
            let without = try relativeError(logits(of: original, prompt), expected)
            let error = try relativeError(logits(of: checkpoint, prompt, adapters, adapter), expected)
            #expect(error < 0.1 && error < without / 2, "\(error), without the adapter \(without)")
            let backend = try CPUBackend(checkpoint: checkpoint, threads: 2, dataType: .float32, adapters: adapters)
            let driver = try Greedy(backend, tokens: 80, adapter: adapter)
            let fast = try backend.forward(driver.plan(prompt, 0..<prompt.count, samples: true))[0]
            #expect(relativeError(fast, expected) < 0.1)
        }
    }

    @Test func `another text, or none, makes another result`() throws {
        let folder = try FamilyModel.all()[0].folder(storage: .bfloat16)
        let texts: [String?] = [Calibration.text, nil, "a"]
        for text in texts {
            let made = try quantized(folder.path, calibrationText: text)
            let place = folder.path + "/model.safetensors.w8a8"
            #expect(made.origin == .made(place), "\(text ?? "none")")
            #expect(try quantized(folder.path, calibrationText: text).origin == .kept(place))
        }
        let error = #expect(throws: EngineError.self) { try quantized(folder.path, calibrationText: "") }
        #expect(error?.code == .invalidRequest && error?.message.contains("holds no token") == true)
    }

    private func logits(
        of checkpoint: any Checkpoint, _ prompt: [Int32], _ adapters: [Adapter] = [], _ adapter: Int = -1
    ) throws -> [Float] {
        let backend = try ReferenceBackend(checkpoint: checkpoint, adapters: adapters)
        let driver = try Greedy(backend, tokens: 80, adapter: adapter)
        return backend.forward(driver.plan(prompt, 0..<prompt.count, samples: true))
    }

    /// The same model with a channel before every matrix that reaches 64 times as far, and columns that make up for it.
    private func withFarChannels(_ writer: SafetensorsWriter, _ model: FamilyModel) -> SafetensorsWriter {
        let channel = 5
        let factor: Float = 64
        var writer = writer
        for index in writer.entries.indices {
            let entry = writer.entries[index]
            var elements = model.elements(of: entry.name)
            let columns = entry.shape.last ?? 1
            if entry.name.hasSuffix("input_layernorm.weight") || entry.name.hasSuffix("post_attention_layernorm.weight")
            {
                elements[channel] *= factor
            } else if ["q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"].contains(where: entry.name.contains) {
                guard entry.shape.count == 2 else { continue }
                for place in stride(from: channel, to: elements.count, by: columns) { elements[place] /= factor }
                if entry.name.contains("up_proj") {
                    for place in channel * columns..<(channel + 1) * columns { elements[place] *= factor }
                }
            } else if entry.name.contains("down_proj") {
                for place in stride(from: channel, to: elements.count, by: columns) { elements[place] /= factor }
            } else {
                continue
            }
            writer.entries[index].data = elements.flatMap { GGUFWriter.bytes($0.bitPattern) }
        }
        return writer
    }
}
