import LMEngine
import TestKit
import Testing

/// A field out of its range, and what the message must name.
struct RequestFault: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var code = EngineError.Code.invalidRequest
    var mentions: [String]
    var plant: @Sendable (inout GenerationRequest) -> Void

    init(
        _ name: String, _ mentions: String..., code: EngineError.Code = .invalidRequest,
        plant: @escaping @Sendable (inout GenerationRequest) -> Void
    ) {
        testDescription = name
        self.mentions = mentions
        self.code = code
        self.plant = plant
    }
}

@Suite("Request validation")
struct RequestValidationTests {
    static let faults: [RequestFault] = [
        RequestFault("empty prompt", "prompt") { $0.prompt = [] },
        RequestFault("negative token", "prompt[1]", "-1", "0...257") { $0.prompt = [3, -1] },
        RequestFault("token past the vocabulary", "prompt[0]", "258") { $0.prompt = [258] },
        RequestFault("temperature above", "temperature", "2.5", "0.0...2.0") { $0.sampling.temperature = 2.5 },
        RequestFault("temperature below", "temperature") { $0.sampling.temperature = -0.1 },
        RequestFault("temperature NaN", "temperature", "nan") { $0.sampling.temperature = .nan },
        RequestFault("temperature infinite", "temperature", "inf") { $0.sampling.temperature = .infinity },
        RequestFault("top_p 0", "top_p", "(0, 1]") { $0.sampling.topP = 0 },
        RequestFault("top_p above", "top_p") { $0.sampling.topP = 1.01 },
        RequestFault("top_p NaN", "top_p") { $0.sampling.topP = .nan },
        RequestFault("top_k negative", "top_k", "-1") { $0.sampling.topK = -1 },
        RequestFault("min_p above", "min_p") { $0.sampling.minP = 1.5 },
        RequestFault("repetition_penalty 0", "repetition_penalty", "(0, 2]") { $0.sampling.repetitionPenalty = 0 },
        RequestFault("presence_penalty", "presence_penalty") { $0.sampling.presencePenalty = -2.1 },
        RequestFault("frequency_penalty", "frequency_penalty") { $0.sampling.frequencyPenalty = 2.1 },
        RequestFault("logprobs 21", "logprobs", "21", "0...20") { $0.sampling.logprobs = 21 },
        RequestFault("logprobs negative", "logprobs") { $0.sampling.logprobs = -1 },
        RequestFault("max_tokens 0", "max_tokens", "0") { $0.stop.maxTokens = 0 },
        RequestFault("min_tokens above max_tokens", "min_tokens", "9", "8") { $0.stop.minTokens = 9 },
        RequestFault("17 stop strings", "17", "16") { $0.stop.stopStrings = (0..<17).map(String.init) },
        RequestFault("empty stop string", "stop[1]") { $0.stop.stopStrings = ["a", ""] },
        RequestFault("long stop string", "stop[0]", "257") {
            $0.stop.stopStrings = [String(repeating: "x", count: 257)]
        },
        RequestFault("65 stop tokens", "65", "64") { $0.stop.stopTokenIDs = [Int32](repeating: 1, count: 65) },
        RequestFault("stop token past the vocabulary", "stop_token_ids[0]") { $0.stop.stopTokenIDs = [300] },
        RequestFault("adapter below", "adapter", "-1", "2") { $0.adapter = -1 },
        RequestFault("adapter that is not there", "adapter", "2, counted from 0") { $0.adapter = 2 },
        RequestFault("priority below", "priority", "-1", "0...7") { $0.priority = -1 },
        RequestFault("priority above", "priority", "8") { $0.priority = 8 },
        RequestFault("context", "93", "8", "100", "--max-model-len", code: .tooLarge) {
            $0.prompt = [Int32](repeating: 1, count: 93)
        },
        RequestFault("embedding beyond the KV cache", "65", "64", "--kv-cache-memory", code: .tooLarge) {
            $0.prompt = [Int32](repeating: 1, count: 65)
            $0.embedding = EmbeddingOptions()
        },
        RequestFault("embedding of no token", "prompt") {
            $0.prompt = []
            $0.embedding = EmbeddingOptions()
        },
        RequestFault("huge max_tokens", "--max-model-len", code: .tooLarge) { $0.stop.maxTokens = .max },
        RequestFault("KV pool", "80", "8", "64", "--kv-cache-memory", code: .tooLarge) {
            $0.prompt = [Int32](repeating: 1, count: 80)
        },
    ]

    private func engine() throws -> InferenceEngine {
        var options = EngineOptions()
        options.keyValueCacheBytes = 8 * 16 * 4
        let tokenizer = FakeTokenizer()
        return try InferenceEngine(
            backend: FakeBackend(vocabularySize: tokenizer.vocabularySize), tokenizer: tokenizer,
            model: .fake(vocabularySize: tokenizer.vocabularySize, contextLength: 100), options: options)
    }

    @Test("A field out of range is refused at once by a message that names it", arguments: faults)
    func refusal(fault: RequestFault) throws {
        var request = GenerationRequest.test(maxTokens: 8)
        fault.plant(&request)
        let engine = try engine()
        let mailbox = EventMailbox {}
        let error = #expect(throws: EngineError.self) { try engine.submit(request, tag: 0, to: mailbox) }
        #expect(error?.code == fault.code)
        for word in fault.mentions { #expect(error?.message.contains(word) == true, "\(error?.message ?? "")") }
    }

    @Test("The ends of all ranges are accepted")
    func limits() throws {
        let engine = try engine()
        let mailbox = EventMailbox {}
        var request = GenerationRequest(prompt: [0, 257])
        request.sampling.temperature = 2
        request.sampling.topP = .leastNonzeroMagnitude
        request.sampling.topK = .max
        request.sampling.minP = 1
        request.sampling.repetitionPenalty = 2
        request.sampling.presencePenalty = -2
        request.sampling.frequencyPenalty = 2
        request.sampling.logprobs = 20
        request.adapter = 1
        request.stop.maxTokens = 8
        request.stop.minTokens = 8
        request.stop.stopStrings = (0..<16).map { _ in String(repeating: "x", count: 256) }
        request.stop.stopTokenIDs = [Int32](repeating: 257, count: 64)
        _ = try engine.submit(request, tag: 0, to: mailbox)
        // 58 + 7 tokens, of which the last takes no room, fill the pool of 64.
        request.prompt = [Int32](repeating: 1, count: 57)
        _ = try engine.submit(request, tag: 0, to: mailbox)
        request.prompt = [Int32](repeating: 1, count: 64)
        request.embedding = EmbeddingOptions()
        _ = try engine.submit(request, tag: 0, to: mailbox)
    }
}
