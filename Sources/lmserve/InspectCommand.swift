import LMEngine
import LMSupport

/// `lmserve inspect`: says what a model is and what serving it takes; its weights stay untouched.
struct InspectCommand {
    var model = ModelSettings()
    var json = false

    /// Those of the server's options on which sizes depend.
    private static let modelOptions = [
        "--dtype", "--kv-cache-dtype", "--quantization", "--quantize-head", "--calibration",
    ]

    static var table: OptionTable<InspectCommand> {
        OptionTable(
            usage: "lmserve inspect MODEL [OPTIONS]",
            summary: """
                Says what is in a model, given as --model takes it: family, sizes, types, tokenizer, chat template, the
                memory it needs, and what the server would choose, as it is or with options of the server. Reads headers and
                texts alone: nothing is quantized.
                """,
            groups: [
                OptionGroup(
                    "Model",
                    ModelSettings.options(at: \InspectCommand.model).filter { modelOptions.contains($0.names[0]) }),
                OptionGroup("Output", [.flag("--json", set: \.json, "one JSON object instead of text")]),
            ],
            epilogue: """
                Examples:
                  lmserve inspect ~/models/Qwen2.5-0.5B-Instruct
                  lmserve inspect SmolLM2-135M-Instruct.Q4_1 --json
                """)
    }

    func run(model: String) throws {
        var settings = self.model
        settings.name = model
        let source = try ModelSource(settings, isOutline: true)
        let inspection: Inspection
        do throws(EngineError) {
            inspection = try Inspection(source, settings)
        } catch {
            throw ProgramError(error)
        }
        try StandardStream.output.write((json ? try JSONText.line(inspection) : inspection.text) + "\n")
    }
}
