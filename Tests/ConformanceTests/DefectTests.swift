import LMConformance
import ProgramKit
import Testing

/// The suite against servers that are broken on purpose: a good server behind a proxy that breaks it.
@Suite(.serialized, .timeLimit(.minutes(10))) struct DefectTests {
    private let server: TinyServer

    init() throws { server = try TinyServer() }

    /// Runs cases through the proxy.
    private func run(_ defect: Defect, _ cases: [Case], milliseconds: Int) throws -> [Runner.Result] {
        let port = try #require(server.server.address.split(separator: ":").last.flatMap { UInt16($0) })
        let proxy = try DefectProxy(port: port, defect: defect)
        return try withExtendedLifetime(proxy) {
            var target = try Target(endpoint: proxy.address)
            target.timeout = milliseconds
            return Runner(target, isStrict: false).run(cases) { _ in }
        }
    }

    @Test func aProxyWithoutADefectChangesNothing() throws {
        for result in try run(.none, Catalogue.cases, milliseconds: 30_000) {
            if case .failed(let reason) = result.verdict { Issue.record("\(result.case.id): \(reason)") }
        }
    }

    @Test(arguments: Defect.ofStreams + Defect.ofConnections + Defect.ofRequests + Defect.ofResumption)
    func aDefectIsFound(_ defect: Defect) throws {
        let cases = Catalogue.cases.filter { defect.foundBy.contains($0.id) }
        #expect(cases.count == defect.foundBy.count, "a case is missing")
        for result in try run(defect, cases, milliseconds: 2_000) {
            guard case .failed = result.verdict else {
                Issue.record("\(result.case.id) \(result.case.title): \(result.verdict)")
                continue
            }
        }
    }
}
