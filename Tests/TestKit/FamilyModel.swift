internal import Foundation

/// A case of Tests/Goldens/families.json: a small random model as a Hugging Face folder holds it, and what transformers
/// computes with it in float32.
public struct FamilyModel: Decodable, Sendable, CustomStringConvertible {
    /// What the case is about.
    public let name: String
    /// `model_type` of its configuration.
    public let family: String
    /// The text of `config.json`.
    public let config: String
    /// Shapes of the tensors by name.
    public let tensors: [String: [Int]]
    /// Token ids.
    public let prompt: [Int32]
    /// Positions of the prompt whose logits are known.
    public let positions: [Int]
    /// The 32 tokens of greatest logits that follow.
    public let greedy: [Int32]
    private let seed: Int
    private let checksum: String
    private let logits: String

    /// The name.
    public var description: String { name }

    /// Every case.
    public static func all() throws -> [FamilyModel] { try Golden.load("families.json") }

    /// The logits behind each of `positions`.
    public func expectedLogits() -> [[Float]] {
        let values = Self.floats(logits)
        let width = values.count / positions.count
        return positions.indices.map { Array(values[$0 * width..<($0 + 1) * width]) }
    }

    /// Numbers as the goldens have them: base64 of float32.
    public static func floats(_ text: String) -> [Float] {
        let bytes = Golden.base64(text) ?? []
        return stride(from: 0, to: bytes.count, by: 4).map { start in
            Float(bitPattern: (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[start + $1]) << (8 * $1) })
        }
    }

    /// Whether all elements are those that the script had.
    public func hasSameElements() -> Bool {
        var sum: UInt64 = 0
        var number: UInt64 = 1
        for name in tensors.keys.sorted() {
            for element in elements(of: name) {
                sum &+= UInt64(element.bitPattern) &* number
                number += 1
            }
        }
        return UInt64(checksum, radix: 16) == sum
    }

    /// The elements of a tensor: `elements` of Tests/Goldens/make_families.py.
    public func elements(of name: String) -> [Float] {
        let shape = tensors[name] ?? []
        let isGemma = family.hasPrefix("gemma")
        let start = "\(seed)/\(name)".utf8.reduce(UInt64(0xCBF2_9CE4_8422_2325)) {
            ($0 ^ UInt64($1)) &* 0x100_0000_01B3
        }
        let numbers = (0..<shape.reduce(1, *)).map { Self.number(start &+ UInt64($0) &* 0x9E37_79B9_7F4A_7C15) }
        if name.hasSuffix("norm.weight") {
            return numbers.map { (isGemma ? 0 : 1) + Float($0 >> 2) / 128 }
        }
        guard shape.count > 1, let columns = shape.last else { return numbers.map { Float($0) / 256 } }
        let logarithm = Int(log2(Double(columns).squareRoot() / 2).rounded(.toNearestOrEven))
        var scale = Float(sign: .plus, exponent: -logarithm - 7, significand: 1)
        if isGemma && name == "model.embed_tokens.weight" { scale /= 4 }
        return numbers.map { Float($0) * scale }
    }

    /// SplitMix64's finalizer; its top 8 bits, -128...127.
    private static func number(_ state: UInt64) -> Int {
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        z ^= z >> 31
        return Int(z >> 56) - 128
    }
}

extension FamilyModel {
    /// How weights are stored.
    public enum Storage: String, Sendable, CaseIterable {
        case float32 = "F32"
        case bfloat16 = "BF16"
        case float16 = "F16"
    }

    /// A folder with the model and a tokenizer, as the hub would have it.
    ///
    /// - Parameter shards: number of weight files; with more than one there is an index.
    public func folder(storage: Storage = .float32, shards: Int = 1) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        try folder.write("config.json", config)
        try folder.write("tokenizer.json", TinyTokenizer.json)
        try folder.write("tokenizer_config.json", TinyTokenizer.configuration)
        try folder.write("generation_config.json", #"{"bos_token_id":99,"eos_token_id":[100]}"#)
        try writeWeights(to: folder, storage: storage, shards: shards)
        return folder
    }

    /// All tensors in one file.
    public func writer(storage: Storage = .float32) -> SafetensorsWriter {
        var writer = SafetensorsWriter()
        for (name, shape) in tensors.sorted(by: { $0.key < $1.key }) {
            writer.add(name, shape, elements(of: name), type: storage.rawValue)
        }
        return writer
    }

    private func writeWeights(to folder: TemporaryFolder, storage: Storage, shards: Int) throws {
        let entries = writer(storage: storage).entries
        var writers = [SafetensorsWriter](repeating: SafetensorsWriter(), count: shards)
        var map: [String] = []
        func fileName(_ shard: Int) -> String {
            shards == 1 ? "model.safetensors" : "model-0000\(shard + 1)-of-0000\(shards).safetensors"
        }
        for (index, entry) in entries.enumerated() {
            let shard = index * shards / entries.count
            writers[shard].entries.append(entry)
            map.append("\"\(entry.name)\":\"\(fileName(shard))\"")
        }
        for (shard, writer) in writers.enumerated() { try folder.write(fileName(shard), writer.bytes()) }
        guard shards > 1 else { return }
        try folder.write(
            "model.safetensors.index.json",
            #"{"metadata":{"total_size":0},"weight_map":{"# + map.joined(separator: ",") + "}}")
    }
}
