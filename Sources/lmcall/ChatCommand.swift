import Glibc
import LMClient
import LMSupport

/// `lmcall chat`: a conversation, one line at a time.
struct ChatCommand {
    let settings: CallSettings
    let interruption: Interruption

    func run() async throws -> ExitCode {
        guard settings.prompt.ids.isEmpty, !settings.prompt.isRaw else {
            throw ProgramError.usage("a chat is made of messages; --ids and --raw are for single prompts")
        }
        let generation = Generation(client: try settings.server.connect(), interruption: interruption)
        var request = try settings.request(.messages([]))
        var messages: [GenerateRequest.Message] = []
        if case .messages(let earlier)? = try earlierMessages() { messages = earlier }
        note("Empty line: ignored. /clear: start over. Ctrl-C: stop the answer. Ctrl-D: leave.")
        while let line = nextLine() {
            let text = line.drop { $0 == " " }
            if text.isEmpty { continue }
            if text == "/clear" {
                messages.removeAll()
                continue
            }
            messages = messages + [.user(line)]
            var writer = ChatWriter()
            request.prompt = .messages(settings.prompt.conversation(messages, then: ""))
            do {
                _ = try await generation.run(request, showingUsage: isConversation, to: &writer)
                messages.append(.assistant(writer.text))
            } catch let error as ProgramError {
                // The conversation is worth more than one failed answer.
                guard isConversation else { throw error }
                _ = reportFailure(error, program: "lmcall")
                messages.removeLast()
            }
            if interruption.end(), !isConversation { return .interrupted }
        }
        if isConversation { note("") }
        return .success
    }

    /// A person types and reads, so prompts and hints are welcome.
    private var isConversation: Bool { isatty(STDIN_FILENO) == 1 && StandardStream.error.terminal.isTerminal }

    private func earlierMessages() throws(ProgramError) -> GenerateRequest.Prompt? {
        guard let file = settings.prompt.messagesFile else { return nil }
        return .messages(try JSONInput.conversation(path: file))
    }

    private func note(_ text: String) {
        if isConversation { StandardStream.error.note(text) }
    }

    private func nextLine() -> String? {
        interruption.setAtPrompt(true)
        defer { interruption.setAtPrompt(false) }
        if isConversation {
            do { try StandardStream.error.write("> ") } catch {}
        }
        return readLine()
    }
}

/// Shows an answer, always ends its line, and keeps the text for the conversation.
private struct ChatWriter: AnswerWriter {
    private(set) var text = ""

    mutating func began(_ opening: Answer.Opening) {}

    mutating func received(_ piece: Answer.Piece) throws {
        text += piece.text
        try StandardStream.output.write(StandardStream.output.terminal.showing(piece.text))
    }

    mutating func ended(_ ending: Answer.Ending) throws { try StandardStream.output.write("\n") }

    mutating func failed(_ failure: Answer.Failure) throws {
        if !text.isEmpty { try StandardStream.output.write("\n") }
    }
}
