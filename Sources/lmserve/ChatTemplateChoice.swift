import LMEngine
import LMSupport

/// Which chat template a model is served with.
struct ChatTemplateChoice {
    /// A built-in format or a file; nil for the model's own template.
    let named: String?

    private static let byteLimit = 1 << 20

    /// A template that was asked for must be there and usable; a model's own that is not leaves raw prompts and ids, and
    /// is named on standard error.
    func template(for source: ModelSource) throws(ProgramError) -> ChatTemplate? {
        if let named { return try template(named, source) }
        guard let own = source.checkpoint.chatTemplate else { return nil }
        do {
            return try ChatTemplate(own)
        } catch {
            StandardStream.error.note("warning: no chat: \(error.message)")
            return nil
        }
    }

    private func template(_ name: String, _ source: ModelSource) throws(ProgramError) -> ChatTemplate {
        if ChatTemplate.Format(rawValue: name) == nil {
            return try template(file: name, source)
        }
        do {
            return try ChatTemplate(source: nil, name: name)
        } catch {
            throw ProgramError(error)
        }
    }

    private func template(file path: String, _ source: ModelSource) throws(ProgramError) -> ChatTemplate {
        let bytes: [UInt8]
        do {
            bytes = try InputText.bytes(of: path, limit: Self.byteLimit)
        } catch {
            let formats = ChatTemplate.Format.allCases.map(\.rawValue).joined(separator: ", ")
            throw ProgramError(
                error.code, "--chat-template: \(error.message); it takes a file, or one of \(formats)")
        }
        let text = try InputText.text(bytes, source: path)
        do {
            return try ChatTemplate(ChatTemplateSource(text, modelPath: source.path))
        } catch {
            throw ProgramError(.badInput, "\(path): \(error.message)")
        }
    }
}
