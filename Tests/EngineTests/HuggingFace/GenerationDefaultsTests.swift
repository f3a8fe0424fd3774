import LMEngine
import TestKit
import Testing

/// `generation_config.json` as what holds where a request does not say.
@Suite struct GenerationDefaultsTests {
    private func read(_ json: String) throws -> GenerationDefaults {
        let folder = try TemporaryFolder()
        try folder.write("generation_config.json", json)
        return try GenerationDefaults(modelPath: folder.path)
    }

    @Test func `every value of the file is read, and others are left to the engine`() throws {
        let all = try read(
            """
            {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "min_p": 0.05, "repetition_penalty": 1.05,
             "max_new_tokens": 2048, "do_sample": true, "eos_token_id": [1, 2], "max_length": 4096}
            """)
        #expect(all.sampling.temperature == 0.7 && all.sampling.topP == 0.8 && all.sampling.topK == 20)
        #expect(all.sampling.minP == 0.05 && all.sampling.repetitionPenalty == 1.05 && all.maxTokens == 2048)
        let one = try read(#"{"top_k": 50, "temperature": null}"#)
        var expected = SamplingParameters()
        expected.topK = 50
        #expect(one.sampling == expected && one.maxTokens == nil)
        #expect(try read("{}") == GenerationDefaults())
    }

    @Test func `do_sample false is greedy, whatever the temperature`() throws {
        #expect(try read(#"{"do_sample": false, "temperature": 0.6}"#).sampling.isGreedy)
        #expect(try !read(#"{"do_sample": true}"#).sampling.isGreedy)
    }

    @Test func `a folder without the file and a file of one model recommend nothing`() throws {
        let folder = try TemporaryFolder()
        #expect(try GenerationDefaults(modelPath: folder.path) == GenerationDefaults())
        try folder.write("model.gguf", "x")
        #expect(try GenerationDefaults(modelPath: folder.path + "/model.gguf") == GenerationDefaults())
    }

    @Test(arguments: [
        (#"{"temperature": 2.5}"#, "temperature is 2.5"), (#"{"temperature": -0.1}"#, "temperature is -0.1"),
        (#"{"temperature": 1e300}"#, "temperature is inf"), (#"{"temperature": "hot"}"#, "temperature is a string"),
        (#"{"top_p": 0}"#, "top_p is 0"), (#"{"top_p": 1.5}"#, "top_p is 1.5"), (#"{"top_k": -1}"#, "top_k is -1"),
        (#"{"top_k": 1.5}"#, "top_k is 1.5"), (#"{"min_p": 2}"#, "min_p is 2"),
        (#"{"repetition_penalty": 0}"#, "repetition_penalty is 0"), (#"{"max_new_tokens": 0}"#, "max_new_tokens is 0"),
    ])
    func `a value out of its range is named with the file`(_ json: String, _ message: String) {
        let error = #expect(throws: EngineError.self) { try read(json) }
        #expect(error?.code == .invalidModel)
        for part in [message, "/generation_config.json: ", "--generation-config none"] {
            #expect(error?.message.contains(part) == true, "\(error?.message ?? "")")
        }
    }
}
