import LMEngine
import TestKit
import Testing

/// A model whose configuration says something else than its folder.
private struct AlteredCheckpoint: Checkpoint {
    let base: any Checkpoint
    let configuration: ModelConfiguration
    var tokenizer: any Tokenizer { base.tokenizer }
    var chatTemplate: ChatTemplateSource? { base.chatTemplate }
    var weightByteCount: Int { base.weightByteCount }

    func tensor(_ role: TensorRole) throws(EngineError) -> Tensor { try base.tensor(role) }
}

/// One difference of a family taken away or bent, and the case of Tests/Goldens/families.json that must notice.
private struct Alteration: CustomTestStringConvertible {
    let testDescription: String
    let model: String
    let alter: @Sendable (inout ModelConfiguration) -> Void

    init(_ name: String, in model: String, _ alter: @escaping @Sendable (inout ModelConfiguration) -> Void) {
        (testDescription, self.model, self.alter) = (name, model, alter)
    }

    static let all = [
        Alteration("halves as pairs", in: "llama, grouped heads, tied") { $0.rotaryLayout = .interleaved },
        Alteration("no attention bias", in: "llama with biases") { $0.hasAttentionBias = false },
        Alteration("no bias behind attention", in: "llama with biases") { $0.hasAttentionOutputBias = false },
        Alteration("no feed-forward bias", in: "llama with biases") { $0.hasFeedForwardBias = false },
        Alteration("no linear scaling", in: "llama, linear rotary scaling") { $0.rotaryScaling = .none },
        Alteration("no dynamic scaling", in: "llama, dynamic rotary scaling") { $0.rotaryScaling = .none },
        Alteration("dynamic a token late", in: "llama, dynamic rotary scaling") {
            $0.rotaryScaling = .dynamic(factor: 2, originalContext: 25)
        },
        Alteration("no llama 3 scaling", in: "llama 3 rotary scaling") { $0.rotaryScaling = .none },
        Alteration("yarn without magnitude", in: "llama, yarn") {
            if case .yarn(var yarn) = $0.rotaryScaling {
                yarn.magnitude = 1
                $0.rotaryScaling = .yarn(yarn)
            }
        },
        Alteration("a window one wider", in: "mistral, window of 8") {
            for layer in $0.layers.indices { $0.layers[layer].attentionWindow = 9 }
        },
        Alteration("windows in all layers", in: "qwen2, window in the last layers") {
            for layer in $0.layers.indices { $0.layers[layer].attentionWindow = 8 }
        },
        Alteration("no norm of queries and keys", in: "qwen3, wide heads, tied") { $0.hasQueryKeyNorm = false },
        Alteration("short factors alone", in: "phi3, longrope beyond the original context") {
            if case .longrope(let short, _, let context, let magnitude) = $0.rotaryScaling {
                $0.rotaryScaling = .longrope(
                    short: short, long: short, originalContext: context, magnitude: magnitude)
            }
        },
        Alteration("longrope without magnitude", in: "phi3, part of each head rotated, longrope, tied") {
            if case .longrope(let short, let long, let context, _) = $0.rotaryScaling {
                $0.rotaryScaling = .longrope(short: short, long: long, originalContext: context, magnitude: 1)
            }
        },
        Alteration("norms without the 1", in: "gemma2, tight soft caps, wide heads") { $0.normWeightOffset = 0 },
        Alteration("no norms behind blocks", in: "gemma2, tight soft caps, wide heads") { $0.hasPostNorms = false },
        Alteration("embeddings as they are", in: "gemma2, tight soft caps, wide heads") { $0.embeddingScale = 1 },
        Alteration("no bound of scores", in: "gemma2, tight soft caps, wide heads") { $0.attentionSoftcap = nil },
        Alteration("no bound of logits", in: "gemma2, tight soft caps, wide heads") { $0.logitSoftcap = nil },
        Alteration("scores by head dimension", in: "gemma2, tight soft caps, wide heads") {
            $0.attentionScale = 1 / Float($0.headDimension).squareRoot() * 1.01
        },
        Alteration("silu", in: "gemma3, window in every other layer") { $0.activation = .silu },
        Alteration("one base for all layers", in: "gemma3, window in every other layer") {
            $0.windowRotaryBase = nil
        },
        Alteration("weights as they are", in: "mixtral, two of four experts") {
            $0.mixture?.normalizesWeights = false
        },
        Alteration("one expert fewer", in: "mixtral, three of four experts, three heads on one") {
            $0.mixture?.expertsPerToken = 2
        },
        Alteration("the shared expert in full", in: "qwen2-moe, shared expert") {
            $0.mixture?.hasSharedGate = false
        },
        Alteration("no shared expert", in: "deepseek-v2 lite, direct queries") { $0.mixture?.sharedLength = 0 },
        Alteration("pairs as halves", in: "deepseek-v2 lite, direct queries") { $0.rotaryLayout = .halves },
        Alteration("latents' norms with another epsilon", in: "deepseek-v2 lite, direct queries") {
            $0.latentAttention?.normEpsilon = 1e-2
        },
        Alteration("experts of all groups", in: "deepseek-v2, groups of experts, yarn") {
            let groups = $0.mixture?.groupCount ?? 0
            $0.mixture?.groupsPerToken = groups
        },
        Alteration("unscaled weights", in: "deepseek-v2, groups of experts, yarn") { $0.mixture?.weightScale = 1 },
        Alteration("attention not sharpened", in: "deepseek-v2, groups of experts, yarn") {
            $0.attentionScale = 1 / Float($0.headDimension).squareRoot()
        },
        Alteration("softmax scores", in: "deepseek-v3, groups of experts") { $0.mixture?.scoring = .softmax },
        Alteration("no correction", in: "deepseek-v3, groups of experts") { $0.mixture?.hasCorrectionBias = false },
        Alteration("groups by their best", in: "deepseek-v3, groups of experts") { $0.mixture?.groupScore = .best },
    ]
}

/// The goldens see every difference between families: a model without it is wrong.
@Suite struct FamilyDifferenceTests {
    @Test(arguments: Alteration.all)
    private func `a model that lacks a difference is not the reference's`(alteration: Alteration) throws {
        let model = try #require(try FamilyModel.all().first { $0.name == alteration.model })
        let folder = try model.folder()
        let base = try loadCheckpoint(path: folder.path)
        var configuration = base.configuration
        alteration.alter(&configuration)
        try #require(configuration != base.configuration)
        for (name, altered) in [("unaltered", base.configuration), ("altered", configuration)] {
            let backend = try ReferenceBackend(checkpoint: AlteredCheckpoint(base: base, configuration: altered))
            let driver = try Greedy(backend, tokens: 80)
            var worst: Float = 0
            var computed = 0
            for (position, expected) in zip(model.positions, model.expectedLogits()) {
                let logits = backend.forward(driver.plan(model.prompt, computed..<position + 1, samples: true))
                worst = max(worst, relativeError(logits, expected))
                computed = position + 1
            }
            #expect((worst < 1e-4) == (name == "unaltered"), "\(name): \(worst)")
        }
    }
}
