import LMEngine
import LMSupport

/// `lmserve inspect`: says what a model is and what serving it takes; its weights stay untouched.
struct InspectCommand {
    var json = false

    static var table: OptionTable<InspectCommand> {
        OptionTable(
            usage: "lmserve inspect MODEL [OPTIONS]",
            summary: """
                Says what is in a model, given as --model takes it: family, sizes, types, tokenizer, chat template, the
                memory it needs, and what the server would choose. Reads headers and texts alone.
                """,
            groups: [
                OptionGroup("Output", [.flag("--json", set: \.json, "one JSON object instead of text")])
            ],
            epilogue: """
                Examples:
                  lmserve inspect ~/models/Qwen2.5-0.5B-Instruct
                  lmserve inspect SmolLM2-135M-Instruct.Q4_1 --json
                """)
    }

    func run(model: String) throws {
        var settings = ModelSettings()
        settings.name = model
        let source = try ModelSource(settings)
        let inspection: Inspection
        do throws(EngineError) {
            inspection = try Inspection(source)
        } catch {
            throw ProgramError(error)
        }
        try StandardStream.output.write((json ? try JSONText.line(inspection) : inspection.text) + "\n")
    }
}
