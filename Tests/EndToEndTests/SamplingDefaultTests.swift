import LMSupport
import ProgramKit
import TestKit
import Testing

/// `generation_config.json` of a served folder, where requests do not say how to sample.
@Suite struct SamplingDefaultTests {
    private let model: FamilyModel
    private let folder: TemporaryFolder

    init() throws {
        model = try #require(try FamilyModel.all().first { $0.name.hasPrefix("qwen2, seven heads on one") })
        folder = try model.folder()
        try folder.write("generation_config.json", #"{"do_sample": false, "max_new_tokens": 5}"#)
    }

    private func serve(_ options: String...) throws -> Server {
        try Server(["--backend", "reference"] + options, model: folder.path)
    }

    private func ask(_ server: Server, _ options: String...) throws -> [Int32] {
        let ids = model.prompt.map { String($0) }.joined(separator: ",")
        let outcome = try Programs.run(
            "lmcall", ["--host", server.address, "--ids", ids, "--ignore-eos", "--format", "json"] + options)
        #expect(outcome.status == 0, "\(outcome.errors)")
        struct Answer: Decodable { let token_ids: [Int32] }
        return try JSONText.decode(Answer.self, from: Array(outcome.output.utf8), source: "answer").token_ids
    }

    @Test func `what a request does not say is as the model recommends, and what it says wins`() throws {
        let server = try serve()
        #expect(try ask(server) == Array(model.greedy.prefix(5)))
        #expect(try ask(server, "--max-tokens", "9") == Array(model.greedy.prefix(9)))
        #expect(try ask(server, "--temperature", "2", "--seed", "1", "--max-tokens", "32") != model.greedy)
    }

    @Test func `the recommendation can be ignored`() throws {
        let server = try serve("--generation-config", "none")
        let answer = try ask(server, "--seed", "1", "--max-tokens", "32")
        #expect(answer.count == 32 && answer != model.greedy)
        #expect(try ask(server, "--seed", "1", "--max-tokens", "32", "--temperature", "1") == answer)
        #expect(try ask(server, "--temperature", "0").count > 5)
    }

    @Test func `it is limited by the server, told by inspect, and refused when it is out of range`() throws {
        #expect(try ask(serve("--limit", "default-max-tokens=3")).count == 3)
        try folder.write("generation_config.json", #"{"temperature": 0.7, "top_p": 0.8, "top_k": 20}"#)
        let text = try Programs.run("lmserve", ["inspect", folder.path]).output
        #expect(text.contains("temperature 0.7, top_p 0.8, top_k 20"), "\(text)")
        let json = try Programs.run("lmserve", ["inspect", folder.path, "--json"]).output
        #expect(json.contains(#""sampling":{"temperature":0.7"#), "\(json)")

        try folder.write("generation_config.json", #"{"temperature": 9}"#)
        let outcome = try Programs.run("lmserve", ["--model", folder.path, "--listen", "127.0.0.1:0"])
        #expect(outcome.status == 65 && outcome.errors.contains("generation_config.json: temperature is 9"))
    }
}
