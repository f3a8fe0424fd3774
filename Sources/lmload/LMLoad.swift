import Glibc
import LMClient
import LMSupport

/// The load test program: parses, configures, runs, reports.
@main enum LMLoad {
    static func main() async {
        prepareProcess()
        do {
            exitProgram(try await run(try InputText.arguments()))
        } catch {
            exitProgram(reportFailure(error, program: "lmload"))
        }
    }

    private static func run(_ arguments: [String]) async throws -> ExitCode {
        switch try LoadSettings.table.parse(arguments, into: LoadSettings()) {
        case .show(let text):
            try StandardStream.output.write(text)
            return .success
        case .run(let settings, let rest):
            if let first = rest.positionals.first {
                throw ProgramError.usage("unexpected argument '\(first)'; see --help")
            }
            do {
                return try await load(settings)
            } catch let error as LMError {
                throw ProgramError(ExitCode(errorName: error.code.description), error.message)
            }
        }
    }

    private static func load(_ settings: LoadSettings) async throws -> ExitCode {
        let clients = try settings.clients()
        // Also connects every client, so that no request pays for it.
        var models: [ModelInfo] = []
        for client in clients { models = try await client.models() }
        guard let model = models.first(where: { settings.model == nil || $0.name == settings.model }) else {
            let names = models.map(\.name).joined(separator: ", ")
            throw ProgramError(
                .modelUnavailable, "the server does not serve '\(settings.model ?? "")'; it serves: \(names)")
        }
        let runner = settings.runner(clients, model)
        let date = timestamp()
        let outcome = await runner.run()
        let report = LoadReport(
            setup: .init(
                promptCount: settings.promptCount, model: model.name, arrival: runner.arrival,
                maxConcurrency: settings.maxConcurrency, percentiles: settings.percentiles),
            records: outcome.records, duration: outcome.duration, clientProcessorSeconds: outcome.processorSeconds)
        try StandardStream.output.write(report.text)
        if let file = settings.resultFile { try saveText(JSONText.pretty(report.json(date: date)) + "\n", to: file) }

        let errors = outcome.records.compactMap(\.error)
        for error in errors.prefix(10) { StandardStream.error.note("lmload: a request failed: \(error)") }
        return errors.isEmpty ? .success : .failure
    }

    /// Local time as vLLM stamps its results.
    private static func timestamp() -> String {
        var seconds = time(nil)
        var parts = tm()
        localtime_r(&seconds, &parts)
        var text = [CChar](repeating: 0, count: 32)
        let count = strftime(&text, text.count, "%Y%m%d-%H%M%S", &parts)
        return String(decoding: text.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

extension LoadSettings {
    fileprivate func clients() throws -> [LMClient] {
        var configuration = ClientConfiguration(endpoint: server.endpoint)
        configuration.tls = try server.encryption().map {
            .init(
                authorityFile: $0.authorityFile,
                certificate: $0.certificate.map { .init(chainFile: $0.certificate, privateKeyFile: $0.key) })
        }
        configuration.apiKey = try server.apiKey().map { APIKey($0) }
        configuration.connectTimeout = server.connectTimeout
        configuration.agent = "lmload/\(productVersion)"
        // A repetition would hide a refusal, and its wait would count as the server's.
        configuration.retry = .none
        return try (0..<connections).map { _ in try LMClient(configuration) }
    }

    fileprivate func runner(_ clients: [LMClient], _ model: ModelInfo) -> LoadRunner {
        var random = SeededRandom(seed: seed)
        let workload = RandomWorkload(
            inputLength: inputLength, outputLength: outputLength, rangeRatio: rangeRatio,
            vocabularySize: max(1, model.vocabularySize))
        let arrival = ArrivalProcess(rate: requestRate, burstiness: burstiness)
        let requests = workload.requests(count: promptCount, using: &random)
        return LoadRunner(
            clients: clients, model: model.name, requests: requests,
            arrivals: arrival.arrivals(count: promptCount, using: &random), arrival: arrival,
            maxConcurrency: maxConcurrency)
    }
}
