import LMConformance
import LMSupport

/// `lmcall conformance`: holds a server against the specification.
struct ConformanceCommand {
    private var settings: ConformanceSettings
    private let cases: [Case]

    /// - Parameter words: sections, cases and at most one address.
    init(settings: ConformanceSettings, words: [String]) throws(ProgramError) {
        let isCase = { (word: String) in word.allSatisfy { $0.isNumber || $0 == "." || $0 == "/" } }
        let addresses = words.filter { !isCase($0) }
        guard addresses.count <= 1 else { throw .usage("one server at a time: \(addresses.joined(separator: ", "))") }
        self.settings = settings
        if let address = addresses.first { self.settings.server.host = address }

        let wanted = words.filter(isCase)
        for word in wanted where !Catalogue.cases.contains(where: { $0.isIn(word) }) {
            throw .usage("there is no section or case \(word); see --list")
        }
        cases = Catalogue.cases.filter { entry in wanted.isEmpty || wanted.contains { entry.isIn($0) } }
    }

    func run() throws -> ExitCode {
        guard !settings.listsOnly else {
            for entry in cases { try StandardStream.output.write(Report.line(entry) + "\n") }
            return .success
        }
        let runner = Runner(try target(), isStrict: settings.isStrict)
        if let reason = runner.reasonUnreachable() { throw ProgramError(.cannotConnect, "no case was run: \(reason)") }
        let results = try runner.run(cases) { try StandardStream.output.write(Report.line($0) + "\n") }
        try StandardStream.output.write(Report.summary(results) + "\n")
        if let junitFile = settings.junitFile { try saveText(Report.junit(results), to: junitFile) }
        let hasFailures = results.contains { if case .failed = $0.verdict { true } else { false } }
        return hasFailures ? .failure : .success
    }

    private func target() throws -> Target {
        do {
            let server = settings.server
            var target = try Target(endpoint: server.endpoint)
            target.tls = try server.encryption().map { encryption in
                var tls = Target.TLS(authorityFile: encryption.authorityFile)
                tls.newest = settings.newestTLS == .v1_2 ? .v1_2 : .v1_3
                tls.identity = encryption.certificate.map { ($0.certificate, $0.key) }
                return tls
            }
            target.key = try server.apiKey()
            target.connectTimeout = Int(server.connectTimeout / .milliseconds(1))
            if let file = settings.otherKeyFile {
                var other = ServerOptions()
                other.keyFile = file
                target.otherKey = try other.apiKey()
            }
            target.isByteAtATime = settings.isByteAtATime
            target.timeout = Int(settings.timeout / .milliseconds(1))
            target.drainCommand = settings.drainCommand
            return target
        } catch let error as ProgramError {
            throw error
        } catch {
            throw ProgramError.usage("\(error)")
        }
    }
}

extension Case {
    /// Whether the word names this case, its section or one that its section is part of.
    fileprivate func isIn(_ word: String) -> Bool {
        id == word || section == word || section.hasPrefix(word + ".")
    }
}
