import LMClient
import LMSupport

extension CallSettings {
    /// The request that the options describe.
    ///
    /// - Throws: when the tools cannot be read.
    func request(_ prompt: GenerateRequest.Prompt) throws(ProgramError) -> GenerateRequest {
        var request = GenerateRequest(prompt)
        request.tools = try self.prompt.tools()
        request.templateArguments = try self.prompt.checkedTemplateArguments()
        request.model = self.prompt.model
        request.isRaw = self.prompt.isRaw
        request.timeout = self.prompt.timeout
        request.window = self.prompt.window
        request.sampling = sampling
        request.stop = stop
        return request
    }
}

extension CallSettings.PromptSettings {
    /// The prompt from all the places it can come from.
    ///
    /// - Parameter words: what the command line says beside options.
    /// - Returns: nil when there is none.
    /// - Throws: when two of them contradict each other, or one cannot be read.
    func resolve(_ words: [String]) throws(ProgramError) -> GenerateRequest.Prompt? {
        if !ids.isEmpty {
            guard words.isEmpty, messagesFile == nil, system == nil else {
                throw .usage("--ids is a whole prompt; leave out the other one")
            }
            return .tokens(ids)
        }
        if let messagesFile {
            guard !isRaw else { throw .usage("--raw sends text as it is, --messages needs the chat template; use one") }
            // Standard input may be where the conversation is, so only a '-' reads it for the prompt too.
            let next = words.contains("-") ? try PromptInput.text(arguments: words) : words.joined(separator: " ")
            return .messages(conversation(try JSONInput.conversation(path: messagesFile), then: next ?? ""))
        }
        guard let text = try PromptInput.text(arguments: words) else { return nil }
        guard system != nil else { return .text(text) }
        guard !isRaw else { throw .usage("--raw sends text as it is, --system needs the chat template; use one") }
        return .messages(conversation([], then: text))
    }

    /// What `--tools` names; nil without.
    func tools() throws(ProgramError) -> String? {
        try toolsFile.map { (path) throws(ProgramError) in try JSONInput.tools(path: path) }
    }

    /// What `--template-arguments` says; nil without.
    func checkedTemplateArguments() throws(ProgramError) -> String? {
        if let templateArguments {
            try JSONInput.checkObject(templateArguments, source: "--template-arguments")
        }
        return templateArguments
    }

    /// The system message, the conversation so far and what the person says next.
    func conversation(_ messages: [GenerateRequest.Message], then text: String) -> [GenerateRequest.Message] {
        (system.map { [.system($0)] } ?? []) + messages + (text.isEmpty ? [] : [.user(text)])
    }
}

extension ServerOptions {
    /// A client of the server; it connects when it is first used.
    func connect() throws(ProgramError) -> LMClient {
        var configuration = ClientConfiguration(endpoint: endpoint)
        configuration.tls = try encryption().map {
            .init(
                authorityFile: $0.authorityFile,
                certificate: $0.certificate.map { .init(chainFile: $0.certificate, privateKeyFile: $0.key) })
        }
        configuration.apiKey = try apiKey().map { APIKey($0) }
        configuration.connectTimeout = connectTimeout
        configuration.agent = "lmcall/\(productVersion)"
        do {
            return try LMClient(configuration)
        } catch {
            throw ProgramError(error)
        }
    }
}

extension ProgramError {
    /// What a failure of a request means to whoever started the program.
    init(_ error: LMError) {
        let wait = error.retryAfter.map { "; try again in \(($0 / .seconds(1)).fixed(1)) s" } ?? ""
        self.init(ExitCode(errorName: error.code.description), error.message + wait)
    }
}

extension Answer.Failure {
    /// A failure of a request as JSON output carries it.
    init(_ error: LMError) {
        self.init(
            code: error.code.description, message: error.message, retryable: error.isRetryable,
            retryAfterMs: error.retryAfter.map { Int($0 / .milliseconds(1)) })
    }
}
