import ProgramKit
import TestKit
import Testing

/// The programs with a small model and adapters of it.
@Suite struct AdapterServingTests {
    @Test func `adapters are listed as models and answer side by side with the reference's tokens`() throws {
        let golden = try AdaptedModel.all()[1]
        let base = try golden.model.folder(shards: 2)
        let folders = try golden.adapters.map { try $0.adapterFolder(storage: .bfloat16) }
        let server = try Server(
            [
                "--backend", "reference", "--served-model-name", "tiny", "--lora", "first=\(folders[0].path)", "--lora",
                "second=\(folders[1].path)/",
            ], model: base.path)

        let listed = try server.call("models").output
        #expect(
            listed.split(separator: "\n").map { line in String(line.prefix { $0 != " " }) } == [
                "tiny", "first", "second",
            ],
            "\(listed)")
        #expect(listed.split(separator: "\n").allSatisfy { $0.contains(" qwen2") }, "\(listed)")

        let prompt = golden.model.prompt.map { String($0) }.joined(separator: ",")
        let calls = try [("tiny", golden.model), ("first", golden.adapters[0]), ("second", golden.adapters[1])].map {
            name, expected in
            let call = try server.startCall(
                "--model", name, "--ids", prompt, "--max-tokens", "32", "--temperature", "0", "--ignore-eos",
                "--format", "json")
            return (name: name, expected: expected, call: call)
        }
        for (name, expected, call) in calls {
            let outcome = try call.finish(within: .seconds(120))
            #expect(outcome.status == 0, "\(outcome.errors)")
            let ids = expected.greedy.map { String($0) }.joined(separator: ",")
            #expect(outcome.output.contains("[\(ids)]"), "\(name): \(outcome.output)")
        }

        let vectors = try ["tiny", "first", "second"].map { name in
            let outcome = try server.call("embed", "--model", name, "--ids", prompt)
            #expect(outcome.status == 0, "\(outcome.errors)")
            return outcome.output
        }
        #expect(Set(vectors).count == 3, "an adapter's name gives the embedding of another")

        let unknown = try server.call("--model", "third", "hello")
        #expect(unknown.status != 0)
        #expect(unknown.errors.contains("this server has 'tiny', 'first', 'second'"), "\(unknown.errors)")
    }

    @Test func `a wrong adapter ends the start with a sentence`() throws {
        let golden = try AdaptedModel.all()[0]
        let base = try golden.model.folder()
        let other = try AdaptedModel.all()[1].adapters[0].adapterFolder()
        func serve(_ adapters: String...) throws -> ChildProcess.Outcome {
            try Programs.run(
                "lmserve",
                ["--model", base.path, "--served-model-name", "tiny", "--listen", "127.0.0.1:0"]
                    + adapters.flatMap { ["--lora", $0] })
        }
        let misfit = try serve("a=\(other.path)")
        #expect(misfit.status == 65 && misfit.errors.contains("adapter_model.safetensors: tensor 'base_model."))
        #expect(try serve("a=/nowhere").errors.contains("/nowhere"))
        for text in ["a", "=x", "a="] {
            let outcome = try serve(text)
            #expect(outcome.status == 2 && outcome.errors.contains("NAME=FOLDER"), "\(outcome.errors)")
            #expect(!outcome.errors.contains("model:"), "the model is opened before the option is read")
        }
        let own = try golden.adapters[0].adapterFolder()
        for outcome in [try serve("a=\(own.path)", "a=\(own.path)"), try serve("tiny=\(own.path)")] {
            #expect(outcome.status == 2 && outcome.errors.contains("is taken"), "\(outcome.errors)")
        }
    }
}
