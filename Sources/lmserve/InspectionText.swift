import LMEngine
import LMSupport

extension Inspection {
    /// A line for each part, for people.
    var text: String {
        let rows = [
            ("model", "\(name) (\(path))"), ("family", family), ("shape", shape.text),
            ("parameters", describeCount(parameters)), ("weights", weightsText), ("tokenizer", tokenizer.text),
            ("chat template", chatTemplate?.text ?? "none; requests send raw text"),
            ("sampling", sampling.text.isEmpty ? "the server's own defaults" : sampling.text),
            ("context", "\(contextLength) tokens"), ("memory", server.memoryText), ("server", server.text),
        ]
        return rows.map { $0.0 + String(repeating: " ", count: 15 - $0.0.utf8.count) + $0.1 }.joined(separator: "\n")
    }

    private var weightsText: String {
        let parts = types.map { "\($0.tensors) \($0.type) (\(describeBytes($0.bytes)))" }
        return "\(describeBytes(weightBytes)): \(parts.joined(separator: ", "))"
    }
}

extension Inspection.Shape {
    fileprivate var text: String {
        var parts = [
            "\(layers) layers of \(embedding)",
            "\(heads) query and \(keyValueHeads) key/value heads of \(headDimension)",
            "feed-forward \(feedForward)",
        ]
        if let experts, let expertsPerToken { parts.append("\(expertsPerToken) of \(experts) experts a token") }
        if let attentionWindow { parts.append("window \(attentionWindow)") }
        return parts.joined(separator: ", ") + "; vocabulary \(vocabulary)\(tiedEmbeddings ? ", embeddings tied" : "")"
    }
}

extension Inspection.TokenizerFacts {
    fileprivate var text: String {
        let beginning = beginningOfSequence.map { "begins with \($0), " } ?? ""
        let ends = endTokens.map { String($0) }.joined(separator: ", ")
        return "\(kind), \(tokens) tokens, \(specialTokens) of them special; \(beginning)ends with \(ends)"
    }
}

extension Inspection.TemplateFacts {
    fileprivate var text: String {
        describeBytes(bytes) + (problem.map { ", not usable: \($0)" } ?? ", usable")
    }
}

extension GenerationDefaults {
    /// What is recommended, under the names of `generation_config.json`; empty when nothing is.
    var text: String {
        let values: [(String, (any CustomStringConvertible)?)] = [
            ("temperature", temperature), ("top_p", topP), ("top_k", topK), ("min_p", minP),
            ("repetition_penalty", repetitionPenalty), ("max_new_tokens", maxTokens),
        ]
        return values.compactMap { name, value in value.map { "\(name) \($0)" } }.joined(separator: ", ")
    }
}

extension Inspection.Choices {
    fileprivate var memoryText: String {
        "\(describeBytes(memoryBytes)): weights \(describeBytes(packedWeightBytes)), KV cache "
            + "\(describeBytes(keyValueBytes)) at \(describeBytes(keyValueBytesPerToken)) a token"
            + (availableBytes.map { "; \(describeBytes($0)) are free" } ?? "")
    }

    fileprivate var text: String {
        "\(device), \(threads) threads; --max-model-len \(maxModelLen), --max-num-seqs \(maxNumSeqs), "
            + "room for \(keyValueTokens) tokens"
    }
}

/// A count with its unit of a thousand, million or billion.
private func describeCount(_ count: Int) -> String {
    for (unit, size) in [("billion", 1e9), ("million", 1e6), ("thousand", 1e3)] where Double(count) >= size {
        return "\((Double(count) / size).fixed(2)) \(unit)"
    }
    return "\(count)"
}
