import LMEngine

/// The same model with the elements that are turned together half a head apart, as the device holds them, so that sums over
/// the elements of a head are formed in the same order.
struct HalvesCheckpoint: Checkpoint {
    let base: any Checkpoint

    var configuration: ModelConfiguration {
        var configuration = base.configuration
        configuration.rotaryLayout = .halves
        return configuration
    }
    var tokenizer: any Tokenizer { base.tokenizer }
    var chatTemplate: ChatTemplateSource? { nil }
    var weightByteCount: Int { base.weightByteCount }

    /// Queries and keys with their rows moved, and what makes latents, without biases and norms of which Llama has none;
    /// others as they are.
    func tensor(_ role: TensorRole) throws(EngineError) -> Tensor {
        let tensor = try base.tensor(role)
        guard base.configuration.rotaryLayout == .interleaved, case .layer(_, let part) = role,
            [.query, .key, .keyValueLatent].contains(part)
        else { return tensor }
        let (half, latents) = (base.configuration.rotaryDimension / 2, base.configuration.latentAttention)
        let first = (part == .keyValueLatent ? latents?.keyValueRank : latents?.plainDimension) ?? 0
        let sources = (0..<tensor.rows).map { row in
            let place = row % (first + 2 * half) - first
            guard place >= 0 else { return row }
            return row - place + (place < half ? 2 * place : 2 * (place - half) + 1)
        }
        let length = tensor.bytes.count / tensor.rows
        let storage = Storage(sources.flatMap { tensor.bytes[$0 * length..<($0 + 1) * length] })
        return Tensor(
            name: tensor.name, type: tensor.type, rows: tensor.rows, columns: tensor.columns,
            bytes: UnsafeRawBufferPointer(storage.bytes), owner: storage,
            integers: tensor.integers.map { integers in
                IntegerProduct(
                    inputs: integers.inputs, scales: sources.map { integers.scales[$0] },
                    addends: integers.addends.isEmpty ? [] : sources.map { integers.addends[$0] })
            })
    }

    private final class Storage {
        let bytes: UnsafeMutableBufferPointer<UInt8>

        init(_ values: [UInt8]) {
            bytes = .allocate(capacity: values.count)
            _ = bytes.initialize(from: values)
        }

        deinit { bytes.deallocate() }
    }
}
