package import LMEngine

extension GenerationRequest {
    /// A request for tests: a prompt of hashed tokens, and conditions set in place.
    package static func test(
        prompt length: Int = 5, salt: UInt64 = 0, maxTokens: Int = 8,
        _ adjust: (inout GenerationRequest) -> Void = { _ in }
    ) -> GenerationRequest {
        var random = TestRandom(seed: salt)
        var request = GenerationRequest(prompt: (0..<length).map { _ in Int32(random.below(256)) })
        request.stop.maxTokens = maxTokens
        request.sampling.seed = salt
        adjust(&request)
        return request
    }

    /// Asks for an embedding.
    package static func embedding(_ prompt: [Int32], _ pooling: Pooling) -> GenerationRequest {
        var request = GenerationRequest(prompt: prompt)
        var options = EmbeddingOptions()
        options.pooling = pooling
        request.embedding = options
        return request
    }
}
