import LMEngine
import LMSupport

/// What a `--lora` asks for.
struct AdapterOption {
    let name: String
    let path: String

    /// What the protocol has room for.
    private static let nameByteCount = 256

    /// Reads `NAME=FOLDER`.
    static var parser: ValueParser<AdapterOption> {
        ValueParser("NAME=FOLDER") { (text) throws(ValueError) in
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty, parts[0].utf8.count <= nameByteCount else {
                throw ValueError("expects NAME=FOLDER with a name of 1 to \(nameByteCount) bytes, got '\(text)'")
            }
            return AdapterOption(name: String(parts[0]), path: String(parts[1]))
        }
    }

    /// The adapters that the settings ask for, opened for the model.
    ///
    /// - Parameter model: the name of the model itself.
    static func open(
        _ options: [AdapterOption], for source: ModelSource, named model: String
    ) throws(ProgramError) -> [Adapter] {
        guard options.count <= Adapter.maximumCount else {
            throw .usage("--lora: \(options.count) adapters; the limit is \(Adapter.maximumCount)")
        }
        var names: Set<String> = [model]
        var adapters: [Adapter] = []
        for option in options {
            guard names.insert(option.name).inserted else {
                throw .usage("--lora: the name '\(option.name)' is taken; names are the model's and those of adapters")
            }
            do throws(EngineError) {
                let adapter = try Adapter(
                    name: option.name, path: option.path, for: source.checkpoint.configuration)
                StandardStream.error.note(
                    "adapter: \(adapter.name), rank \(adapter.rank), \(describeBytes(adapter.byteCount)) in memory")
                adapters.append(adapter)
            } catch {
                throw ProgramError(error)
            }
        }
        return adapters
    }
}
